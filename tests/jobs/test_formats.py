"""Files of every format, whole, odd and broken: each record is taken, or refused with its reason, and none is lost."""

import bz2
import gzip
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from pyspark.sql import Row
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.source import Source
from jobs import ingest as ingest_job
from jobs.ingest import ingest
from jobs.lakehouse import deliveries
from jobs.lakehouse.deliveries import find_deliveries, require_unchanged
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.reading import DamagedFile, raw_records, readable
from jobs.source import check
from tests.jobs.test_ingest import TODAY
from transforms.intake.mapping import MALFORMED, why_malformed
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, QUARANTINE

FIELDS: dict[str, Any] = {
    "event_id": "id",
    "seller_id": "shop",
    "order_id": "id",
    "buyer_id": "buyer",
    "happened_at": "at",
    "kind": {"constant": "paid"},
    "amount_fen": {"column": "amount", "unit": "yuan"},
    "rating": {"column": "stars", "optional": True},
}
COLUMNS = ("id", "shop", "buyer", "at", "amount")


def ledger(files: str | list[str], fields: Mapping[str, Any] = FIELDS, **keys: Any) -> Source:
    """A ledger of orders alone; `keys` go to its feed, but for `csv`, `deliveries` and `ignore`."""
    whole = {"deliveries": "whole", **{key: keys.pop(key) for key in ("csv", "deliveries", "ignore") if key in keys}}
    feed = {"name": "orders", "files": files, "event": "order_event", "fields": dict(fields), **keys}
    described = {"name": "shop", "description": "", "time_zone": "UTC", "arrival": {"assume": "event_day + 0"}}
    return Source.model_validate({**described, **whole, "feeds": [feed]})


def order(event: str, **changes: Any) -> dict[str, Any]:
    return {"id": event, "shop": "s1", "buyer": "b1", "at": "2025-03-09 10:00:00", "amount": "12.50", **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the ledger's files lie, beside the lake and its key."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def line(event: str, **changes: Any) -> str:
    return ",".join(str(order(event, **changes)[name]) for name in COLUMNS)


def raw(lake: Lake, source: Source, folder: Path) -> tuple[list[Row], dict[str, str]]:
    """The records of all files as they came, by id, with `why` they cannot be taken apart; refused files by name."""
    deliveries = find_deliveries(source, str(folder), None, None)
    refused = [(delivery, file) for delivery in deliveries for file in delivery.refused]
    rows: list[Row] = []
    for group in readable(lake, source, deliveries, refused):
        records = raw_records(lake, source, group, deliveries, str(folder))
        rows += records.withColumn("why", why_malformed(records)).collect()
    return sorted(rows, key=lambda row: str(row["id"])), {file.name: file.reason for _, file in refused}


def taken_in(lake: Lake, source: Source, folder: Path) -> tuple[set[str], list[list[str]]]:
    """Ids accepted, and the reasons of each refused record; the counts add up, or intake itself fails."""
    values = ingest(lake, source, str(folder), None, TODAY).values
    accepted = {row["event_id"] for row in lake.read(ORDER_EVENTS).select("event_id").collect()}
    refused = sorted(sorted(row["reasons"]) for row in lake.read(QUARANTINE).select("reasons").collect())
    (counts,) = lake.read(DELIVERIES).collect()
    assert counts["records_in"] == values["records in"] == len(accepted) + counts["duplicate"] + len(refused)
    return accepted, refused


def test_csv_of_any_form(lake: Lake, folder: Path) -> None:
    header = ",".join(COLUMNS)
    (folder / "plain.csv").write_text(f"{header}\n{line('a')}\n")
    (folder / "reordered.csv").write_text("amount,at,buyer,stars,shop,id\n7.00,2025-03-09,b1,5,s1,b\n")
    (folder / "mark.csv").write_bytes(b"\xef\xbb\xbf" + f"{header}\r\n{line('c')}\r\n".encode())
    (folder / "packed.csv.gz").write_bytes(gzip.compress(f"{header}\n{line('d')}\n".encode()))
    (folder / "packed.csv.bz2").write_bytes(bz2.compress(f"{header}\n{line('e')}\n".encode()))
    quoted = f'{header},note\n{line("f")},"says ""no"",\nand\n\ngoes on"\n{line("g")},\n'
    (folder / "quoted.csv").write_text(quoted)
    (folder / "twice.csv").write_text(f"{header},Amount\n{line('h')},1\n")
    (folder / "named.csv").write_text(f"{header},file,position\n{line('i')},x,y\n")

    # every line ends with a delimiter
    (folder / "unnamed.csv").write_text(f"{header},\n{line('j')},\n")

    rows, refused = raw(lake, ledger("*.csv*"), folder)

    assert [(row["id"], row["amount"], row["why"]) for row in rows] == [
        *((event, "12.50" if event != "b" else "7.00", None) for event in "abcdefgij"),
    ]
    assert {row["id"]: row["file"] for row in rows}["d"] == "packed.csv.gz"
    assert next(row["note"] for row in rows if row["id"] == "f") == 'says "no",\nand\n\ngoes on'
    # a column that intake calls so itself
    assert next((row["source_file"], row["file"]) for row in rows if row["id"] == "i") == ("x", "named.csv")
    assert [row["stars"] for row in rows] == [None, "5", *[None] * 7]
    assert refused == {"twice.csv": "file: a column stands twice in the header, or is called _malformed"}


@pytest.mark.parametrize(
    ("csv", "text", "encoding"),
    [
        ({"delimiter": "|", "quote": ""}, 'id|shop|buyer|at|amount\n"1|s1|b"1|2025-03-09|5.00\n', "utf-8"),
        ({"delimiter": "\t", "encoding": "latin-1"}, "id\tshop\tbuyer\tat\tamount\n\"1\ts\tü\t2025\t5.00\n", "latin-1"),
        ({"encoding": "gb18030"}, "id,shop,buyer,at,amount\n\"1,s1,中文,2025,5.00\n", "gb18030"),
        ({"encoding": "windows-1252"}, "id,shop,buyer,at,amount\n\"1,s1,€,2025,5.00\n", "cp1252"),
        ({"encoding": "utf-16"}, "id,shop,buyer,at,amount\n\"1,s1,€,2025,5.00\n", "utf-16"),
        ({"header": list(COLUMNS), "delimiter": ";"}, "\"1;s1;x;2025;5.00\n", "utf-8"),
        ({"delimiter": "||"}, "id||shop||buyer||at||amount\n\"1||s1||x||2025||5.00\n", "utf-8"),
    ],
)  # fmt: skip
def test_csv_as_the_mapping_says_it_is_written(
    lake: Lake, folder: Path, csv: dict[str, Any], text: str, encoding: str
) -> None:
    if csv.get("quote") != "":
        text = text.replace('"1', '"1"')
    (folder / "orders.csv").write_bytes(text.encode(encoding))
    (row,), refused = raw(lake, ledger("*.csv", csv=csv), folder)
    buyer = text.splitlines()[-1].split(csv.get("delimiter", ","))[2]
    assert (row["id"].strip('"'), row["buyer"], row["amount"], row["why"], refused) == ("1", buyer, "5.00", None, {})


def test_a_stray_quote_takes_no_more_than_its_line_where_records_are_lines(lake: Lake, folder: Path) -> None:
    stray = line("b", buyer='"b1')
    (folder / "orders.csv").write_text(f"{','.join(COLUMNS)}\n{line('a')}\n{stray}\n{line('c')}\n")
    rows, _ = raw(lake, ledger("*.csv", csv={"one_line": True}), folder)
    assert {row["id"] for row in rows} == {"a", "b", "c"}


def test_bytes_that_are_not_in_the_encoding_refuse_their_record_alone(lake: Lake, folder: Path) -> None:
    header = ",".join(COLUMNS).encode()
    bad = line("bad", buyer="müller").encode("latin-1")
    (folder / "orders.csv").write_bytes(b"\n".join([header, line("good").encode(), bad, line("too").encode()]))
    lines = [
        json.dumps(order("json")).encode(),
        json.dumps(order("x", buyer="ü"), ensure_ascii=False).encode("latin-1"),
    ]
    (folder / "orders.jsonl").write_bytes(b"\n".join(lines))
    # the sign of replacement itself, in a file of which every byte is sound, is a sign like others
    (folder / "sound.csv").write_text(f"{','.join(COLUMNS)}\n{line('sound', buyer='b�')}\n")

    rows, refused = raw(lake, ledger(["*.csv", "*.jsonl"]), folder)

    assert {row["id"] for row in rows if row["why"] is None} == {"good", "too", "json", "sound"}
    reason = "record: bytes that are not in the encoding"
    assert [row["why"] for row in rows if row["why"] is not None] == [reason, reason]
    assert refused == {}


def test_lines_of_json(lake: Lake, folder: Path) -> None:
    whole = [
        json.dumps(order("a", amount=12.5, more={"note": "x", "of": [1, 2.5]})),
        json.dumps(order("b", amount=12345678.05)),
        '{"id":"c","shop":"s1","buyer":"b1","at":"2025-03-09","amount":12345678901.10,"stars":4}',
        '\ufeff {"id":"d","shop":"s1","buyer":true,"at":null,"amount":"12,50"}  ',
        "",
        "   ",
    ]
    broken = {
        '{"id":"cut","shop":"s': "cut off",
        '{"id":"twice","id":"again"}': "a key twice",
        '{"id":"one"}{"id":"two"}': "two objects",
        '{"id":"one"},{"id":"two"}': "two objects in a list",
        '{"id":"rest"} and more': "more after it",
        '["id"]': "a list",
        '"id"': "a text",
        "{'id':'single'}": "other quotes",
        '{"id":NaN}': "no JSON number",
    }
    (folder / "orders.jsonl").write_text("\n".join([*whole, *broken]) + "\r\n", encoding="utf-8")
    (folder / "packed.json.gz").write_bytes(gzip.compress(json.dumps(order("e", rare="1")).encode()))
    with pa.CompressedOutputStream(str(folder / "packed.ndjson.zst"), "zstd") as stream:
        stream.write(json.dumps(order("f")).encode())
    (folder / "array.json").write_text('[{"id": 1}]')
    (folder / "pretty.json").write_text(json.dumps(order("x"), indent=1))

    rows, refused = raw(lake, ledger(["*.json*", "*.ndjson*"]), folder)

    good = {row["id"]: row for row in rows if row["why"] is None}
    assert sorted(good) == list("abcdef")
    assert good["a"]["more"] == '{"note":"x","of":[1,2.5]}'
    assert [good[event]["amount"] for event in "abcd"] == ["12.5", "12345678.05", "12345678901.1", "12,50"]
    assert (good["c"]["stars"], good["d"]["buyer"], good["d"]["at"]) == ("4", "true", None)
    assert (good["e"]["rare"], good["e"]["file"]) == ("1", "packed.json.gz")
    assert {row[MALFORMED]: row["why"] for row in rows if row["why"]} == dict.fromkeys(
        broken, "record: is not one JSON object"
    )
    assert refused == {
        "array.json": "file: is one JSON array; want one object a line",
        "pretty.json": "file: its objects go over several lines; want one object a line",
    }


def test_a_key_that_no_sampled_line_has_is_read_where_the_mapping_names_it(lake: Lake, folder: Path) -> None:
    lines = [json.dumps(order(f"e{number}")) for number in range(1500)] + [json.dumps(order("last", stars=3, odd=1))]
    (folder / "orders.jsonl").write_text("\n".join(lines))
    rows, _ = raw(lake, ledger("*.jsonl"), folder)
    (last,) = (row for row in rows if row["id"] == "last")
    assert (len(rows), last["stars"], "odd" in last) == (1501, "3", False)
    with pytest.raises(UserError, match="amount_fen: column amuont is not in the file"):
        raw(lake, ledger("*.jsonl", {**FIELDS, "amount_fen": {"column": "amuont", "unit": "yuan"}}), folder)


def test_a_delta_table_is_its_version(lake: Lake, folder: Path) -> None:
    table = folder / "orders"
    rows = lake.spark.createDataFrame([tuple(order(event).values()) for event in "ab"], list(COLUMNS))
    rows.write.format("delta").save(str(table))
    source = ledger("orders")
    (first,) = find_deliveries(source, str(folder), None, None)
    rows.write.format("delta").mode("append").save(str(table))
    (second,) = find_deliveries(source, str(folder), None, None)

    # the table itself may be the input too
    found, refused = raw(lake, source, table)

    assert (first.files[0].version, second.files[0].version) == (0, 1)
    assert first.digest != second.digest
    assert [(row["id"], row["file"], row["position"]) for row in found] == [("a", "orders", None)] * 2 + [
        ("b", "orders", None)
    ] * 2
    assert refused == {}


def test_a_stamp_that_spark_cannot_read_refuses_its_file_by_name(lake: Lake, folder: Path) -> None:
    good = pa.table({name: [order("good")[name]] for name in COLUMNS})
    nanoseconds = good.append_column("made", pa.array([1], pa.timestamp("ns")))
    pq.write_table(good, folder / "a.parquet")
    pq.write_table(nanoseconds, folder / "b.parquet")
    source = ledger("*.parquet")
    done = ingest(lake, source, str(folder), None, TODAY)
    assert (done.values["accepted"], done.values["quarantined"]) == (1, 1)
    assert done.lines == [
        "refused: whole/b.parquet: made in nanoseconds, which Spark does not read: write microseconds"
    ]


def test_an_address_on_another_machine_is_told_before_work_begins(lake: Lake) -> None:
    for root in ("hdfs://name:8020/in", "s3a://bucket/in"):
        with pytest.raises(UserError, match="deliveries are read from a path that the driver and all executors have"):
            ingest(lake, ledger("*.parquet"), root, None, TODAY)


def test_a_name_with_signs_of_a_pattern_is_that_file_and_no_other(lake: Lake, folder: Path) -> None:
    for name in ("orders1.csv", "orders[1].csv", "a{b,c}.csv", "q?.csv", "[!x]/s*.csv", "back\\slash.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{','.join(COLUMNS)}\n{line(name.replace(',', '_'))}\n")
    (folder / "j[1].jsonl").write_text(json.dumps(order("j[1].jsonl")))
    pq.write_table(pa.table({name: [str(order("p{1}.parquet")[name])] for name in COLUMNS}), folder / "p{1}.parquet")
    table = lake.spark.createDataFrame([tuple(order("d[1]").values())], list(COLUMNS))
    table.write.format("delta").save(str(folder / "d[1]"))
    (folder / "10:30.csv").write_text(f"{','.join(COLUMNS)}\n{line('colon')}\n")

    rows, refused = raw(lake, ledger(["*.csv", "*.jsonl", "*.parquet", "d*"]), folder)

    assert len(rows) == 9 and all(row["id"] == row["file"].replace(",", "_") for row in rows)
    assert refused == {"10:30.csv": "file: Spark reads no file here whose name has a colon"}


def test_a_file_beside_the_folders_of_deliveries_is_refused_by_name(lake: Lake, folder: Path) -> None:
    (folder / "2025-03-09").mkdir()
    for name in ("orders.csv", "2025-03-09/orders.csv", "README.md", "notes.txt"):
        (folder / name).write_text(f"{','.join(COLUMNS)}\n{line('a')}\n")
    lake.spark.range(1).write.format("delta").save(str(folder / "table"))
    folders = ledger(["*.csv", "table"], deliveries="folders", ignore=["*.md"])

    beside, day = find_deliveries(folders, str(folder), None, None)

    why = "file: lies beside the deliveries, each of which is a folder"
    assert {file.name: file.reason for file in beside.refused} == dict.fromkeys(
        ("notes.txt", "orders.csv", "table"), why
    )
    assert beside.files == () and beside.delivery_id.startswith("shop/(input)@")
    assert [file.name for file in day.files] == ["orders.csv"] and day.refused == ()
    # and of the input itself, where it is a table
    (alone,) = find_deliveries(folders, str(folder / "table"), None, None)
    assert [(file.name, file.reason) for file in alone.refused] == [("table", why)]


class AsAUser:
    """The disk as a user finds it who may not read what is called closed: tests may run as root, who reads all."""

    disk = fs.LocalFileSystem()
    type_name = "local"
    open_to_all = False

    def _may(self, path: str) -> str:
        if "closed" in path and not self.open_to_all:
            raise PermissionError(13, f"{path}: Permission denied")
        return path

    def get_file_info(self, what: Any) -> Any:
        found = self.disk.get_file_info(what)
        if isinstance(what, fs.FileSelector):
            self._may(what.base_dir)
            for info in found if what.recursive else ():
                if info.type == fs.FileType.Directory:
                    self._may(info.path)
        return found

    def open_input_stream(self, path: str, **options: Any) -> Any:
        return self.disk.open_input_stream(self._may(path), **options)

    def open_input_file(self, path: str) -> Any:
        return self.disk.open_input_file(self._may(path))


@pytest.mark.full  # two intakes
def test_what_may_not_be_read_is_refused_by_name_and_the_rest_goes_in(
    lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("1/orders.csv", "1/closed.csv", "1/closed/orders.csv", "1/sub/orders.csv", "2-closed/orders.csv")
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{','.join(COLUMNS)}\n{line(f'e{number}')}\n")
    os.mkfifo(folder / "1" / "pipe.csv")
    user = AsAUser()
    monkeypatch.setattr(deliveries, "file_system", lambda root: (user, root))
    source = ledger("*.csv", deliveries="folders")

    done = ingest(lake, source, str(folder), None, TODAY)

    assert done.lines == [
        "refused: 1/closed: folder: may not be read",
        "refused: 1/closed.csv: may not be read",
        "refused: 1/pipe.csv: is a pipe or a device",
        "refused: 2-closed/.: folder: may not be read",
    ]
    assert [done.values[name] for name in ("records in", "accepted", "quarantined")] == [6, 2, 4]
    # once they may be read they are other deliveries
    user.open_to_all = True
    again = ingest(lake, source, str(folder), None, TODAY)
    assert [again.values[name] for name in ("deliveries", "accepted", "duplicate")] == [2, 3, 2]


def test_an_input_that_may_not_be_read_is_a_mistake_of_the_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "closed").mkdir()
    monkeypatch.setattr(deliveries, "file_system", lambda root: (AsAUser(), root))
    with pytest.raises(UserError, match="is no folder that can be read"):
        find_deliveries(ledger("*.csv"), str(folder / "closed"), None, None)


def test_a_cut_or_flipped_archive_is_refused_by_name_and_the_others_are_read(lake: Lake, folder: Path) -> None:
    text = "\n".join(
        [",".join(COLUMNS), *(line(f"e{number}", buyer=f"b{number * 7919 % 997}") for number in range(500))]
    )
    whole = gzip.compress(text.encode())
    (folder / "whole.csv.gz").write_bytes(whole)
    (folder / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[-6] ^= 1
    (folder / "flipped.csv.gz").write_bytes(flipped)
    (folder / "after.jsonl.gz").write_bytes(gzip.compress(b"{}") + b"garbage")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "orders.parquet.gz").write_bytes(b"")

    rows, refused = raw(lake, ledger(["*.csv*", "*.jsonl.gz", "*.parquet*"]), folder)

    assert len(rows) == 500
    assert {name: reason.split(" (")[0] for name, reason in refused.items()} == {
        "cut.csv.gz": "file: no readable CSV",
        "flipped.csv.gz": "file: no readable CSV",
        "after.jsonl.gz": "file: no readable JSON lines",
        "empty.csv": "file: no header line",
        "orders.parquet.gz": "file: .gz is not read; want .parquet, .csv, .tsv, .psv, .txt, .jsonl, .ndjson, .json, "
        "the text formats also with .gz, .bz2, .zst; or a Delta table",
    }


def written_with_checksums(folder: Path) -> dict[str, list[str]]:
    """Write orders.parquet, 2,000 records of these columns."""
    columns = {name: [str(order("e")[name])] * 2000 for name in COLUMNS}
    columns["id"] = [f"event {number * 7919}" for number in range(2000)]
    pq.write_table(
        pa.table(columns),
        folder / "orders.parquet",
        compression="none",
        write_page_checksum=True,
        use_dictionary=False,
    )
    return columns


def flip_a_byte(file: Path) -> None:
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"event 7919")] ^= 1
    file.write_bytes(flipped)


def test_a_flipped_byte_in_parquet_is_told_by_the_files_name(lake: Lake, folder: Path) -> None:
    written_with_checksums(folder)
    rows, _ = raw(lake, ledger("*.parquet"), folder)
    assert len(rows) == 2000

    flip_a_byte(folder / "orders.parquet")
    with pytest.raises(DamagedFile, match=r"orders\.parquet: could not be read to its end"):
        check(lake, ledger("*.parquet"), str(folder), 5_000, TODAY)


@pytest.mark.full  # half a minute: what can be read is found out file by file
def test_a_sound_file_beside_damaged_ones_goes_in_and_the_counts_add_up(lake: Lake, folder: Path) -> None:
    columns = written_with_checksums(folder)
    flip_a_byte(folder / "orders.parquet")
    shutil.copy(folder / "orders.parquet", folder / "too.parquet")
    columns["id"] = [f"other {number}" for number in range(2000)]
    pq.write_table(pa.table(columns), folder / "sound.parquet")
    done = ingest(lake, ledger("*.parquet"), str(folder), None, TODAY)
    assert [done.values[name] for name in ("records in", "accepted", "duplicate", "quarantined")] == [2002, 2000, 0, 2]
    assert lake.read(ORDER_EVENTS).count() == 2000 and len(lake.runs()) == 1
    told = lake.read(QUARANTINE).select("file", F.element_at("reasons", 1)).orderBy("file").collect()
    why = "file: is damaged, which was found out in the middle of reading"
    assert [tuple(row) for row in told] == [("orders.parquet", why), ("too.parquet", why)]


def test_a_file_that_was_changed_is_told_by_its_name(folder: Path) -> None:
    path = folder / "orders.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{line('a')}\n")
    deliveries = find_deliveries(ledger("*.csv"), str(folder), None, None)
    require_unchanged(str(folder), deliveries)
    path.write_text(f"{','.join(COLUMNS)}\n{line('a')}\n{line('b')}\n")
    with pytest.raises(StepFailure, match=r"orders\.csv: was changed while it was read"):
        require_unchanged(str(folder), deliveries)


@pytest.mark.full  # half a minute: taken in twice
def test_a_file_that_changes_while_it_is_read_is_noticed(
    lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "orders.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{line('a')}\n{line('b')}\n")

    def judged_while_it_grows(*_: Any) -> None:
        path.write_text(f"{','.join(COLUMNS)}\n{line('a')}\n{line('b')}\n{line('c')}\n")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(ingest_job, "_mark_judged_anew", judged_while_it_grows)
        with pytest.raises(StepFailure, match=r"orders\.csv: was changed"):
            ingest(lake, ledger("*.csv"), str(folder), None, TODAY)
    assert lake.runs() == []
    assert ingest(lake, ledger("*.csv"), str(folder), None, TODAY).values["accepted"] == 3


def test_absurd_records_are_refused_alone_and_the_counts_add_up(lake: Lake, folder: Path) -> None:
    records = [
        line("good"),
        line("leap", at="2024-02-29 23:59:59"),
        line("no-leap", at="2023-02-29 10:00:00"),
        line("nine", at="9999-12-31 23:59:59"),
        line("huge", buyer="x" * 10_000_000),
        line("wide") + "," * 30_000,
        line("minus", amount="-0.01"),
        line("most", amount="99999999999999999999"),
        line("blank", shop="s1 "),
        # e with an accent in one sign, and in two: two ids that look alike
        line("nfc", shop="caf\u00e9"),
        line("nfd", shop="cafe\u0301"),
        line("zone", at="2025-03-09T23:30:00-08:00"),
        "short,s1",
    ]
    (folder / "orders.csv").write_text("\n".join([",".join(COLUMNS), *records]), encoding="utf-8")

    accepted, refused = taken_in(lake, ledger("*.csv"), folder)

    assert accepted == {"good", "leap", "nfc", "zone"}
    header = "record: columns do not fit the header"
    assert refused == sorted(
        [
            ["happened_at: no timestamp"],
            ["happened_at: in the future"],
            ["buyer_id: longer than 128 characters"],
            [header],
            ["amount_fen: negative"],
            ["amount_fen: no plain amount"],
            ["seller_id: blank at an end"],
            ["seller_id: a mark apart from its letter (not NFC)"],
            ["amount_fen: missing", "buyer_id: missing", "happened_at: missing", header],
        ]
    )


def test_files_of_several_patterns_and_formats_for_one_feed(lake: Lake, folder: Path) -> None:
    row = "'p' || i as id, 's1' as shop, 'b1' as buyer, timestamp '2025-03-09' as at, 5.00 as amount"
    duckdb.sql(f"copy (select {row} from range(2) t(i)) to '{folder}/a.parquet'")
    (folder / "b.csv").write_text(f"{','.join(COLUMNS)}\n{line('c1')}\n{line('c2')}\n")
    rows, refused = raw(lake, ledger(["*.parquet", "*.csv"]), folder)
    assert [(row["id"], row["position"]) for row in rows] == [("c1", None), ("c2", None), ("p0", 0), ("p1", 1)]
    assert refused == {}


def test_feeds_that_do_not_agree_how_a_file_is_written(lake: Lake, folder: Path) -> None:
    (folder / "a.csv").write_text(f"{','.join(COLUMNS)}\n")
    source = ledger("*.csv")
    (feed,) = source.model_dump(exclude_defaults=True)["feeds"]
    other = {**feed, "name": "other", "csv": {"delimiter": ";"}}
    both = Source.model_validate({**source.model_dump(exclude_defaults=True), "feeds": [feed, other]})
    (delivery,) = find_deliveries(both, str(folder), None, None)
    assert [file.reason for file in delivery.refused] == ["file: orders, other do not agree on its csv"]
