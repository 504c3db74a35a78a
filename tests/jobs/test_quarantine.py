"""What was refused can be looked at, and taken in once a mended mapping accepts it; nobody's id is kept in clear."""

import hashlib
import hmac
import json
from datetime import date
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.files import parse_yaml, validate
from conf.source import Source
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from jobs.quarantine import quarantine
from jobs.release import release
from jobs.status import status
from tests.conftest import KEY, lake_at
from tests.jobs.test_ingest import SHOP, TODAY, order, write_orders
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE

LATER = date(2025, 3, 20)


def shop(text: str = SHOP) -> Source:
    data, places = parse_yaml(text, "shop.yml")
    return validate(Source, data, places, "shop.yml")


MENDED = SHOP.replace("{sold: paid, back: refunded}", "{sold: paid, back: refunded, lent: paid}")


def pseudonym(name: str) -> str:
    return hmac.new(KEY.encode(), name.encode(), hashlib.sha256).hexdigest()[:32]


def rows(lake: Lake, *columns: str) -> list[tuple[object, ...]]:
    return sorted(map(tuple, lake.read(ORDER_EVENTS).select(*columns).collect()))


@pytest.mark.full  # a minute: six intakes and releases
def test_refused_records_are_listed_and_released_once_by_a_mended_mapping(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_orders(
        folder / "2025-03-09" / "orders.csv",
        [
            order("good"),
            order("lent-1", what="lent", buyer="Anna Berg"),
            order("lent-2", what="lent"),
            order("comma", amount="12,50"),
            order("twice-over", what="lent"),
            order("twice-over", what="lent", amount="1.00"),
        ],
    )
    ingest(lake, shop(), str(folder), None, TODAY)
    aggregate(lake, date(2025, 3, 12))

    told = quarantine(lake, shop(), None, 1)
    assert told.table is not None
    assert [row[:3] for row in told.table[1]] == [
        ("kind: value not in the mapping", "orders", 4),
        ("amount_fen: no plain amount", "orders", 1),
    ]
    assert told.values["refused"] == 5
    assert told.lines[0] == "orders: kind: not in its values: lent (4)"
    assert "not in its values" not in "".join(quarantine(lake, None, None, 1).lines)
    assert not any("Anna" in line for line in told.lines)
    assert any(pseudonym("Anna Berg") in line for line in quarantine(lake, shop(), "2025-03-09", 20).lines)
    assert quarantine(lake, shop(), "2025-03-10", 1).values["refused"] == 0

    nothing = release(lake, shop(), None, LATER)
    assert nothing.values["released"] == 0
    done = release(lake, shop(MENDED), None, LATER)
    assert (done.values["accepted"], done.values["duplicate"], done.values["still refused"]) == (2, 0, 3)
    assert rows(lake, "event_id", "amount_fen", "buyer_id", F.col("arrival_day").cast("string")) == [
        ("good", 1250, pseudonym("b1"), "2025-03-09"),
        ("lent-1", 1250, pseudonym("Anna Berg"), "2025-03-20"),
        ("lent-2", 1250, pseudonym("b1"), "2025-03-20"),
    ]
    after = quarantine(lake, shop(), None, 0)
    assert (after.values["refused"], after.values["released"]) == (3, 2)

    runs = len(lake.runs())
    assert release(lake, shop(MENDED), None, LATER).values["released"] == 0
    assert len(lake.runs()) == runs
    for told_row in lake.read(DELIVERIES).collect():
        kept = lake.read(QUARANTINE).filter(F.col("delivery_id") == told_row["delivery_id"]).count()
        went_in = lake.read(ORDER_EVENTS).filter(F.col("delivery_id") == told_row["delivery_id"]).count()
        assert (kept, went_in) == (told_row["quarantined"], told_row["accepted"])


TWO_FEEDS = """
name: shop
description: a row is two events
time_zone: Asia/Shanghai
deliveries: folders
arrival: {assume: event_day + 0}
feeds:
  - name: paid
    files: &files orders*.csv
    event: order_event
    filter: what = 'sold'
    fields: &fields
      event_id: {expression: "concat('paid/', id)"}
      seller_id: shop
      order_id: order
      buyer_id: buyer
      happened_at: at
      kind: {constant: paid}
      amount_fen: {column: amount, unit: yuan}
  - name: shipped
    files: *files
    event: order_event
    filter: what = 'sold'
    fields:
      <<: *fields
      event_id: {expression: "concat('shipped/', id)"}
      happened_at: voids
      kind: {constant: shipped}
"""


@pytest.mark.full  # half a minute: two feeds, three runs
def test_what_one_feed_refuses_of_a_record_that_another_takes_stays_in_quarantine(lake: Lake, tmp_path: Path) -> None:
    noon = "2025-03-09 12:00:00"
    records = [
        order("known", voids=noon),
        order("half", what="lent", voids="soon"),
        order("half", what="lent", voids="soon"),
        order("whole", what="lent", voids=noon),
        order("none", what="lent", voids="soon", amount="x"),
    ]
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", records)
    ingest(lake, shop(TWO_FEEDS), str(tmp_path / "in"), None, TODAY)
    mended = TWO_FEEDS.replace("what = 'sold'", "what in ('sold', 'lent')")

    def waiting() -> list[tuple[object, ...]]:
        kept = lake.read(QUARANTINE).filter("released_by is null")
        return sorted(map(tuple, kept.select("feed", F.get_json_object("record", "$.id"), "reasons").collect()))

    for _ in ("once", "and once more, which changes nothing"):
        done = release(lake, shop(mended), None, LATER)
        assert waiting() == [
            ("(none)", "none", ["record: no feed takes it"]),
            *[("shipped", "half", ["happened_at: no timestamp"])] * 2,
        ]
        # `none` is refused by both feeds
        assert done.values["still refused"] == 4
        (told,) = lake.read(DELIVERIES).filter("name = '2025-03-09'").collect()
        assert (told["records_in"], told["accepted"], told["quarantined"]) == (8, 2, 6)
        assert lake.read(QUARANTINE).count() == 6
    assert len(lake.runs()) == 2
    assert [event for (event,) in rows(lake, "event_id")] == [
        "paid/half",
        "paid/known",
        "paid/whole",
        "shipped/known",
        "shipped/whole",
    ]

    done = release(lake, shop(mended.replace("happened_at: voids", "happened_at: at")), None, LATER)
    assert (done.values["accepted"], done.values["duplicate"]) == (1, 1)
    assert [feed for feed, *_ in waiting()] == ["(none)"]


def test_a_delivery_with_too_many_bad_records_is_held_whole_and_comes_back_whole(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for day, bad in (("2025-03-08", 20), ("2025-03-09", 90)):
        place = folder / day / "payments.parquet"
        place.parent.mkdir(parents=True)
        duckdb.sql(
            f"copy (select 'p{day}-' || i as id, 's1' as shop, timestamp '{day} 11:22:33.123457' as at, 'in' as way,"
            f" case when i < {bad} then 1.25 else 2 end as fen from range(200) as t(i)) to '{place}' (format parquet)"
        )
    # the same id as of a record that is held: what is held was never here
    write_orders(folder / "2025-03-09" / "orders.csv", [order("held-with-it")])
    write_orders(folder / "2025-03-10" / "orders.csv", [order("held-with-it")])

    done = ingest(lake, shop(), str(folder), None, TODAY)

    assert len(done.lines) == 1 and "shop/2025-03-09@" in done.lines[0]
    assert "90 of its 201 records are bad, more than 25%" in done.lines[0]
    by_day = {row["name"]: row for row in lake.read(DELIVERIES).collect()}
    counts = {day: (row["accepted"], row["duplicate"], row["quarantined"]) for day, row in by_day.items()}
    assert counts == {"2025-03-08": (180, 0, 20), "2025-03-09": (0, 0, 201), "2025-03-10": (1, 0, 0)}
    assert by_day["2025-03-09"]["held"] is not None and by_day["2025-03-08"]["held"] is None
    held = lake.read(QUARANTINE).filter(F.array_contains("reasons", "delivery_held: too many of its records are bad"))
    assert held.count() == 201
    assert held.filter("array_contains(reasons, 'amount_fen: smaller than a fen')").count() == 90

    mended = SHOP.replace("amount_fen: {column: fen, unit: fen}", "amount_fen: {column: fen, unit: yuan}")
    done = release(lake, shop(mended), None, LATER)

    # the held order had come again and gone in: it repeats that
    assert (done.values["accepted"], done.values["duplicate"], done.values["still refused"]) == (220, 1, 0)
    assert lake.read(PAYMENT_EVENTS).count() == 400
    stamps = lake.read(PAYMENT_EVENTS).select(F.date_format("happened_at", "HH:mm:ss.SSSSSS")).distinct().collect()
    assert [row[0] for row in stamps] == ["03:22:33.123457"]


@pytest.mark.full  # a lake of its own
def test_what_filters_leave_out_is_not_bad(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    tests = [order(f"test-{number}", shop="test") for number in range(100)]
    write_orders(folder / "2025-03-08" / "orders.csv", [*tests, *(order(f"good-{number}") for number in range(100))])
    # of what a feed takes, and of lines that nobody can take apart, three in ten are bad; of all lines not two
    wrong = [order(f"wrong-{number}", amount="x") for number in range(15)]
    write_orders(
        folder / "2025-03-09" / "orders.csv", [*tests, *wrong, *(order(f"fair-{number}") for number in range(70))]
    )
    with (folder / "2025-03-09" / "orders.csv").open("a", encoding="utf-8") as file:
        file.write("cut\n" * 15)
    filtered = SHOP.replace("    event: order_event\n", "    event: order_event\n    filter: shop <> 'test'\n")

    done = ingest(lake, shop(filtered), str(folder), None, TODAY)

    assert len(done.lines) == 1 and "shop/2025-03-09@" in done.lines[0]
    assert "30 of its 100 records are bad, more than 25%" in done.lines[0]
    told = lake.read(DELIVERIES).select("name", "records_in", "accepted", "quarantined")
    assert sorted(map(tuple, told.collect())) == [("2025-03-08", 200, 100, 100), ("2025-03-09", 200, 0, 200)]


@pytest.mark.full  # half a minute
def test_a_file_that_no_mapping_read_comes_in_again_by_one_that_does(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_orders(
        folder / "2025-03-09" / "orders.csv", [order("good"), order("lent", what="lent"), order("bad", at="?")]
    )
    write_orders(folder / "2025-03-09" / "till.csv", [order("good"), order("till-1"), order("till-2")])
    write_orders(folder / "2025-03-10" / "orders.csv", [order("next")])
    ingest(lake, shop(), str(folder), None, TODAY)
    first = lake.read(DELIVERIES).filter("name = '2025-03-09'").collect()[0]
    assert (first["records_in"], first["accepted"], first["quarantined"]) == (4, 1, 3)
    told = release(lake, shop(), None, LATER)
    assert told.lines == [
        "1 files and lines that could not be taken apart are refused too. Once the mapping reads them:"
        " seller-credit ingest --again"
    ]

    mended = shop(MENDED.replace("files: orders*.csv", "files: [orders*.csv, till.csv]"))
    assert ingest(lake, mended, str(folder), None, LATER).values["known already"] == 2
    done = ingest(lake, mended, str(folder), None, LATER, again=True)
    assert [done.values[name] for name in ("records in", "accepted", "duplicate", "quarantined")] == [7, 3, 3, 1]
    assert {event for (event,) in rows(lake, "event_id")} == {"good", "next", "lent", "till-1", "till-2"}
    # the bad one is refused once, by the newest
    after = quarantine(lake, shop(), None, 0)
    assert (after.values["refused"], after.values["released"], after.values["judged anew"]) == (1, 0, 3)
    runs = len(lake.runs())
    assert ingest(lake, mended, str(folder), None, LATER, again=True).values["known already"] == 2
    assert len(lake.runs()) == runs
    told_of = status(lake).values
    assert (told_of["intake: records in"], told_of["taken in again: records in"]) == (5, 7)


@pytest.mark.full
def test_what_came_first_under_again_comes_once_and_a_day_that_moves_makes_no_second_event(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    write_orders(folder / "2025-03-11" / "orders.csv", [order("moved", at="2025-03-05 10:00:00")])
    assert ingest(lake, shop(), str(folder), None, LATER, again=True).values["accepted"] == 1
    assert ingest(lake, shop(), str(folder), None, LATER, again=True).values["known already"] == 1
    swapped = shop(SHOP.replace("happened_at: at", "happened_at: {column: at, format: yyyy-dd-MM HH:mm:ss}", 1))
    before = rows(lake, "event_id")
    again = ingest(lake, swapped, str(folder), None, date(2025, 12, 30), again=True)
    assert again.values["accepted"] == 0 and rows(lake, "event_id") == before
    reasons = lake.read(QUARANTINE).filter("record like '%\"moved\"%'").select("reasons").collect()
    assert [row["reasons"] for row in reasons] == [["event_id: known already with other content"]]


def test_no_file_of_the_lake_holds_an_id_of_a_buyer(lake: Lake, tmp_path: Path) -> None:
    secret = "Zacharias-Quitmeyer-77"
    folder = tmp_path / "in"
    write_orders(
        folder / "2025-03-09" / "orders.csv",
        [
            order("good", buyer=secret),
            order("bad", buyer=secret, amount="x"),
            order("blank", buyer=f" {secret}"),
            order("again", buyer=secret, at="2999-01-01"),
        ],
    )
    with (folder / "2025-03-09" / "orders.csv").open("a", encoding="utf-8") as file:
        file.write(f"cut,s1,o-cut,{secret}")

    ingest(lake, shop(), str(folder), None, TODAY)

    assert rows(lake, "event_id", "buyer_id") == [("good", pseudonym(secret))]
    assert lake.read(QUARANTINE).count() == 4
    # Parquet compresses pages: the text of every table, and the logs as they lie there
    for table in (ORDER_EVENTS, QUARANTINE, DELIVERIES):
        text = lake.read(table).select(F.to_json(F.struct("*")).alias("row")).collect()
        assert not [row for row in text if "Quitmeyer" in row["row"]]
    logs = [path for path in Path(lake.root).rglob("*.json") if b"Quitmeyer" in path.read_bytes()]
    assert logs == []
    plan = lake.read(ORDER_EVENTS)._jdf.queryExecution().toString()
    assert KEY not in plan


def test_what_nobody_reads_within_a_record_is_a_pseudonym_in_quarantine(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "2025-03-09"
    folder.mkdir(parents=True)
    told = order("bad", what="lent") | {"delivery": {"receiver": "Anna Quitmeyer"}, "lines": [], "city": "Bern"}
    (folder / "orders.jsonl").write_text(
        "".join(json.dumps(row | {"voids": None}) + "\n" for row in (order("good"), told))
    )
    ingest(lake, shop(SHOP.replace("files: orders*.csv", "files: orders*.jsonl")), str(tmp_path / "in"), None, TODAY)
    (kept,) = lake.read(QUARANTINE).collect()
    assert sorted(kept["pseudonyms"]) == ["buyer", "delivery", "lines"]
    assert "Quitmeyer" not in kept["record"] and json.loads(kept["record"])["city"] == "Bern"


@pytest.mark.full  # a lake of its own
def test_columns_that_tell_of_persons_are_pseudonyms_in_quarantine(lake: Lake, tmp_path: Path) -> None:
    text = SHOP.replace(
        "event: order_event", "event: order_event\n    filter: what <> 'test'\n    personal: [note, greeting]", 1
    )
    told = {"buyer_phone": "0171-55443322", "receiver_name": "Anna Quitmeyer", "note": "for Quitmeyer", "city": "Bern"}
    write_orders(
        tmp_path / "in" / "2025-03-09" / "orders.csv",
        [order("lent", what="lent", **told), order("test", what="test", **told)],
        ("id", "shop", "order", "buyer", "at", "what", "amount", "voids", *told),
    )

    ingest(lake, shop(text), str(tmp_path / "in"), None, TODAY)

    kept = lake.read(QUARANTINE).select("pseudonyms", F.from_json("record", "id string, city string, note string"))
    hidden = ["buyer", "buyer_phone", "receiver_name", "note"]
    found = [(sorted(names), *record) for names, record in kept.collect()]
    note = pseudonym("for Quitmeyer")
    assert sorted(found) == [(sorted(hidden), name, "Bern", note) for name in ("lent", "test")]
    shown = "".join(quarantine(lake, None, None, 20).lines)
    assert pseudonym("0171-55443322") in shown
    assert "Quitmeyer" not in shown and "55443322" not in shown

    done = release(lake, shop(text.replace("back: refunded}", "back: refunded, lent: paid}")), None, LATER)
    assert done.values["accepted"] == 1
    assert rows(lake, "event_id", "buyer_id") == [("lent", pseudonym("b1"))]


@pytest.mark.full  # a lake of its own
def test_a_source_without_ids_of_persons_has_no_key_and_keeps_no_names(lake: Lake, tmp_path: Path) -> None:
    fields = {"seller_id": "shop", "changed_on": "since"}
    feed = {"name": "shops", "files": "*.csv", "event": "seller_version", "fields": fields}
    described = {"name": "plain", "description": "", "time_zone": "UTC", "deliveries": "folders"}
    source = Source.model_validate({**described, "arrival": {"assume": "event_day + 0"}, "feeds": [feed]})
    row = {"shop": "s1", "since": "soon", "keeper_name": "Anna"}
    write_orders(tmp_path / "in" / "2025-03-09" / "shops.csv", [row], row)
    (tmp_path / "pseudonyms.key").unlink()

    ingest(lake, source, str(tmp_path / "in"), None, TODAY)

    (kept,) = lake.read(QUARANTINE).collect()
    assert kept["pseudonyms"] == ["keeper_name"]
    assert json.loads(kept["record"]) == {"shop": "s1", "since": "soon"}


@pytest.mark.full  # a lake of its own
def test_a_lake_knows_its_key(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", [order("one")])
    ingest(lake, shop(), str(tmp_path / "in"), None, TODAY)
    write_orders(tmp_path / "in" / "2025-03-10" / "orders.csv", [order("two")])

    for text, words in (("f" * 40, "made with another key"), ("short", "want 32 or more")):
        (tmp_path / "pseudonyms.key").write_text(text)
        with pytest.raises(UserError, match=words) as error:
            ingest(lake, shop(), str(tmp_path / "in"), None, TODAY)
        assert text not in str(error.value)
    (tmp_path / "pseudonyms.key").unlink()
    with pytest.raises(UserError, match="there is no file"):
        ingest(lake, shop(), str(tmp_path / "in"), None, TODAY)
    monkeypatch.setenv("SELLER_CREDIT_PSEUDONYM_KEY", KEY)
    ingest(lake, shop(), str(tmp_path / "in"), None, TODAY)
    assert len(rows(lake, "event_id")) == 2


@pytest.mark.full  # a lake of its own
def test_what_is_read_from_a_pseudonym_cannot_be_released(spark: object, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)  # type: ignore[arg-type]
    text = SHOP.replace(
        "kind: {column: what, values: {sold: paid, back: refunded}}",
        "kind: {expression: \"if(buyer = 'bank', 'back', what)\", values: {sold: paid, back: refunded}}",
    )
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", [order("one", buyer="bank"), order("two", what="lent")])
    ingest(lake, shop(text), str(tmp_path / "in"), None, TODAY)
    # what is read besides the id is read before the id becomes a pseudonym
    assert rows(lake, "event_id", "kind", "buyer_id") == [("one", "refunded", pseudonym("bank"))]
    with pytest.raises(UserError, match="kind is read from a column that the quarantine holds as pseudonyms"):
        release(lake, shop(text), None, LATER)


@pytest.mark.full  # a lake of its own
def test_while_no_day_is_closed_a_release_arrives_as_its_records_tell(lake: Lake, tmp_path: Path) -> None:
    write_orders(tmp_path / "in" / "2025-03-01" / "orders.csv", [order("old", what="lent", at="2025-03-01 09:00:00")])
    write_orders(tmp_path / "in" / "2025-03-01" / "orders2.csv", [order("older", at="2025-02-28 09:00:00")])
    ingest(lake, shop(), str(tmp_path / "in"), None, TODAY)
    assert release(lake, shop(MENDED), None, LATER).values["accepted"] == 1
    assert status(lake).values["released"] == 1
    days = rows(lake, "event_id", F.col("arrival_day").cast("string"))  # type: ignore[arg-type]
    assert days == [("old", "2025-03-01"), ("older", "2025-02-28")]
