"""`source check` and `source new` on the two example ledgers of the documentation, and on mappings that do not fit."""

import hashlib
import hmac
import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conf.errors import UserError
from conf.source import load_source
from jobs.cli import steps
from jobs.ingest import ingest
from jobs.lakehouse.command import run_command
from jobs.lakehouse.lake import Lake
from jobs.source import check, command, encoding_of, new
from tests.conftest import KEY, PROJECT
from transforms.tables.bronze import ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE

EXAMPLES = PROJECT / "docs" / "examples"
DOCUMENT = PROJECT / "docs" / "bring-your-own-ledger.md"
TODAY = date(2025, 4, 1)


def checked(lake: Lake, name: str, folder: Path | None = None) -> tuple[list[str], dict[tuple[str, str], Any]]:
    mapping = EXAMPLES / name / f"{name}.yml"
    report, unfit = check(lake, load_source(str(mapping)), str(folder or EXAMPLES / name / "deliveries"), 1000, TODAY)
    assert unfit == [] and report.table is not None
    return report.lines, {(row[0], row[1]): row[2:] for row in report.table[1]}


def quarantined(lake: Lake) -> list[list[str]]:
    return sorted(sorted(row["reasons"]) for row in lake.read(QUARANTINE).select("reasons").collect())


@pytest.mark.full  # the payment company of the same page goes the same way
def test_the_bookshops_of_the_documentation(lake: Lake) -> None:
    lines, fields = checked(lake, "bookshops")
    assert fields["paid", "amount_fen"] == (
        "Betrag in yuan, decimal comma",
        "100.0%",
        "12,50 → 1250, 1.234,00 → 123400, 7 → 700",
    )
    assert fields["paid", "rating"] == ("Sterne (not in all files)", "25.0%", "5, 4")
    assert fields["paid", "buyer_id"] == ("Kunde", "100.0%", "K-…")
    assert fields["shipped", "kind"] == ("always shipped", "", "shipped")
    told = "\n".join(lines)
    assert "category: not in its values: Spiele (1)" in told
    assert "paid: files 2; sampled 8 records, 4 of them good" in told
    assert "K-48213" not in told + str(fields)
    shown = DOCUMENT.read_text(encoding="utf-8")
    assert [line for line in lines if line not in shown] == []

    # the second delivery: with the column of stars, and the night of summer time
    folder = EXAMPLES / "bookshops"
    mapping = load_source(str(folder / "bookshops.yml"))
    ingest(lake, mapping, str(folder / "deliveries"), None, TODAY, first="2025-03-31")

    events = lake.read(ORDER_EVENTS).selectExpr(
        "event_id", "amount_fen", "kind", "cast(happened_at as string)", "rating"
    )
    assert sorted(map(tuple, events.collect())) == [
        ("paid/1007", 840, "paid", "2025-03-29 22:30:00", 5),
        ("shipped/1007", 840, "shipped", "2025-03-31 07:00:00", 5),
        ("shipped/1008", 1500, "shipped", "2025-03-31 07:10:00", None),
    ]
    assert quarantined(lake) == [
        ["happened_at: no such time in Europe/Berlin"],
        ["quantity: cannot be computed"],
        ["quantity: cannot be computed"],
    ]


def test_the_payment_company_of_the_documentation(lake: Lake) -> None:
    lines, fields = checked(lake, "payment_company")
    assert fields["movements", "counterparty_id"][2] == "wx…, ba…"
    assert "wx-" not in str((lines, fields))
    assert fields["movements", "happened_at"][2].startswith("1741424400000 → 2025-03-08 09:00:00, ")
    assert fields["movements", "amount_fen"][2] == "128.50 → 12850, 19.9 → 1990, -100.00 → 10000"
    shown = DOCUMENT.read_text(encoding="utf-8")
    assert [line for line in lines if line not in shown] == []

    folder = EXAMPLES / "payment_company"
    ingest(lake, load_source(str(folder / "payment_company.yml")), str(folder / "deliveries"), None, TODAY)

    events = lake.read(PAYMENT_EVENTS).select("event_id", "direction", "kind", "amount_fen", "balance_fen", "failed")
    assert sorted(map(tuple, events.collect())) == [
        ("m-1", "in", "sale", 12850, None, False),
        ("m-2", "in", "sale", 1990, None, False),
        ("m-3", "out", "withdrawal", 10000, 4840, True),
        ("m-8", "out", "refund", 1990, None, False),
    ]
    # the id within the object, and not the object, is what stands under a pseudonym
    (payer,) = lake.read(PAYMENT_EVENTS).filter("event_id = 'm-1'").select("counterparty_id").collect()
    assert payer[0] == hmac.new(KEY.encode(), b"wx-88120034", hashlib.sha256).hexdigest()[:32]
    kept = [row["record"] for row in lake.read(QUARANTINE).select("record").collect()]
    assert len(kept) == 4 and "wx-" not in str(kept)
    assert quarantined(lake) == [
        ["amount_fen: no plain amount"],
        ["direction: value not in the mapping", "kind: value not in the mapping"],
        ["record: is not one JSON object"],
        ["record: no feed takes it"],
    ]


def test_a_mapping_that_does_not_fit_tells_everything_and_where(lake: Lake, tmp_path: Path) -> None:
    text = (EXAMPLES / "bookshops" / "bookshops.yml").read_text(encoding="utf-8")
    mapping = tmp_path / "mine.yml"
    mapping.write_text(
        text.replace("column: Betrag", "column: Betragg")
        .replace("cast(Stück as int)", "Stück * 2")
        .replace("haendler.csv", "shops.csv")
    )
    with pytest.raises(UserError) as error:
        check(lake, load_source(str(mapping)), str(EXAMPLES / "bookshops" / "deliveries"), 10, TODAY)
    told = "\n".join(error.value.problems)
    where = dict(enumerate(mapping.read_text().splitlines(), 1))
    amount = next(number for number, line in where.items() if "Betragg" in line)
    assert f"{mapping}:{amount}: " in told
    for words in (
        "amount_fen: column Betragg is not in the file (near to it: Betrag)",
        "quantity: takes the text",
        "feed shops: no file is called shops.csv",
    ):
        assert words in told


def test_an_id_that_is_a_persons_is_refused_with_its_line(lake: Lake, tmp_path: Path) -> None:
    text = (EXAMPLES / "payment_company" / "payment_company.yml").read_text(encoding="utf-8")
    mapping = tmp_path / "mine.yml"
    mapping.write_text(text.replace("get_json_object(merchant, '$.id')", "get_json_object(party, '$.id')"))
    with pytest.raises(UserError) as error:
        check(lake, load_source(str(mapping)), str(EXAMPLES / "payment_company" / "deliveries"), 10, TODAY)
    (told,) = error.value.problems
    number = next(n for n, line in enumerate(mapping.read_text().splitlines(), 1) if "seller_id" in line)
    assert told.startswith(f"{mapping}:{number}: ")
    assert "seller_id: is read as counterparty_id is, which is kept as a pseudonym" in told


@pytest.mark.full  # half a minute: what is read is tested in transforms
def test_the_arrival_column_is_shown_with_what_becomes_of_it(lake: Lake, tmp_path: Path) -> None:
    text = (EXAMPLES / "bookshops" / "bookshops.yml").read_text(encoding="utf-8")
    mapping = tmp_path / "mine.yml"
    rule = "{column: Bezahlt am, format: dd.MM.yyyy}"
    mapping.write_text(text.replace("    filter: Art <> 'Test'\n", f"    filter: Art <> 'Test'\n    arrival: {rule}\n"))
    folder = str(EXAMPLES / "bookshops" / "deliveries")
    report, unfit = check(lake, load_source(str(mapping)), folder, 10, TODAY)
    assert report.table is not None
    rows = {(row[0], row[1]): row[2:] for row in report.table[1]}
    assert rows["paid", "arrival"] == (
        "Bezahlt am in dd.MM.yyyy",
        "100.0%",
        "27.03.2025 09:15, 27.03.2025 10:02, 27.03.2025 11:30",
    )
    assert ("shops", "arrival") not in rows
    assert "       8 arrival: missing or no date" in report.lines
    assert unfit == ["feed paid: none of 8 sampled records is good: see its reasons"]

    mapping.write_text(mapping.read_text().replace(rule, rule.replace("yyyy}", "yyyy HH:mm}")))
    report, unfit = check(lake, load_source(str(mapping)), folder, 10, TODAY)
    assert unfit == [] and report.table is not None
    rows = {(row[0], row[1]): row[2:] for row in report.table[1]}
    assert rows["paid", "arrival"][2].startswith("27.03.2025 09:15 → 2025-03-27, ")
    # in the clocks' gap an hour is no time, and yet the day is known
    assert "arrival" not in "".join(report.lines)


def test_a_feed_without_a_good_record_is_exit_code_two(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / "payment_company" / "payment_company.yml").read_text(encoding="utf-8")
    mapping = tmp_path / "mine.yml"
    mapping.write_text(text.replace("epoch_milliseconds", "epoch_seconds"))
    words = ["check", str(mapping), "--input", str(EXAMPLES / "payment_company" / "deliveries"), "--json"]
    assert run_command(command, words) == 2
    shown = capsys.readouterr()
    assert "none of 6 sampled records is good" in shown.err
    assert "happened_at: no timestamp" in "\n".join(json.loads(shown.out)["lines"])
    assert not list(tmp_path.glob("lake*"))


def test_new_writes_a_skeleton_that_check_can_be_brought_to_like(tmp_path: Path) -> None:
    text = new(str(EXAMPLES / "bookshops" / "deliveries"), "mine")
    assert "deliveries: folders" in text and "files: bestellungen-*.csv" in text.replace('"', "")
    assert 'csv: {delimiter: ";", encoding: windows-1252}' in text
    assert "K-48213" not in text
    payments = new(str(EXAMPLES / "payment_company" / "deliveries"), "mine")
    assert "event: payment_event" in payments and "happened_at: {column: ts, format: epoch_milliseconds}" in payments

    shutil.copytree(EXAMPLES / "payment_company" / "deliveries", tmp_path / "in")
    out = tmp_path / "mine.yml"
    words = ["new", "--input", str(tmp_path / "in"), "--name", "mine", "--out", str(out)]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert out.read_text(encoding="utf-8") == payments
    assert run_command(command, words) == 2


CHINESE, TAIWANESE = (
    "订单号,店铺,买家,金额,备注\n1,好店,张三,12.50,请尽快发货,谢谢\n",
    "訂單號,店鋪,買家,金額\n1,好店,張三,12.50\n",
)


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        ("id,shop\n1,a\n", "ascii", "utf-8"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "gbk", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
        (TAIWANESE, "big5", "big5"),
        ("Straße;Müller;Ärzte;Größe;Übergabe;für 5 €\n", "windows-1252", "windows-1252"),
        ("créée;Île;garçon;Noël;où;être\n", "latin-1", "windows-1252"),
        ("Date créée;montant\n", "windows-1252", "windows-1252"),
        ("Größe;Betrag\n", "windows-1252", "windows-1252"),
    ],
)
def test_the_encoding_of_a_text_is_told_from_its_bytes(tmp_path: Path, text: str, encoding: str, told: str) -> None:
    content = (text * 40).encode(encoding)
    # wherever the head of a file ends
    if encoding == "utf-8":
        assert encoding_of(content.replace("买家".encode(), b"\xff", 1)) == "utf-8"
    assert {encoding_of(content[: len(content) - cut]) for cut in range(4)} == {told}
    (tmp_path / "in" / "2025-01-01").mkdir(parents=True)
    (tmp_path / "in" / "2025-01-01" / "a.csv").write_bytes(content)
    skeleton = new(str(tmp_path / "in"), "mine")
    assert (f"encoding: {told}" in skeleton) == (told != "utf-8")
    assert text.split("\n")[0].split(",")[0].split(";")[0] in skeleton


def test_the_commands_explain_themselves() -> None:
    for name, subcommand in command.commands.items():
        text = subcommand.get_help(subcommand.make_context(name, [], resilient_parsing=True))
        assert "Example:" in text and f"seller-credit source {name}" in text and "--json" in text
    assert "source" in steps.commands
    assert run_command(command, ["list"]) == 0
