"""Whatever a delivery holds, every record is accepted, a duplicate, or quarantined with its reasons."""

import csv
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.files import parse_yaml, validate
from conf.source import Source
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from tests.conftest import KEY
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.table import Table

TODAY = date(2025, 3, 10)

SHOP = """
name: shop
description: a small shop system's exports
time_zone: Asia/Shanghai
deliveries: folders
arrival: {assume: event_day + 0}
feeds:
  - name: orders
    files: orders*.csv
    event: order_event
    fields:
      event_id: id
      seller_id: shop
      order_id: order
      buyer_id: buyer
      happened_at: at
      voids: voids
      kind: {column: what, values: {sold: paid, back: refunded}}
      amount_fen: {column: amount, unit: yuan}
  - name: payments
    files: payments*.parquet
    event: payment_event
    fields:
      event_id: id
      seller_id: shop
      counterparty_id: {constant: bank}
      happened_at: at
      direction: {column: way, values: {in: in, out: out}}
      kind: {constant: sale}
      amount_fen: {column: fen, unit: fen}
"""

BUYER = hmac.new(KEY.encode(), b"b1", hashlib.sha256).hexdigest()[:32]
"""What stands for b1, by Python's own HMAC."""

COLUMNS = ("id", "shop", "order", "buyer", "at", "what", "amount", "voids")


def source() -> Source:
    data, places = parse_yaml(SHOP, "shop.yml")
    return validate(Source, data, places, "shop.yml")


def order(event: str, **changes: str) -> dict[str, str]:
    return {
        "id": event,
        "shop": "s1",
        "order": f"o-{event}",
        "buyer": "b1",
        "at": "2025-03-09 10:00:00",
        "what": "sold",
        "amount": "12.50",
        "voids": "",
        **changes,
    }


def write_orders(path: Path, rows: Iterable[Mapping[str, str]], columns: Iterable[str] = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def write_payments(path: Path, rows: int, first: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(
        f"copy (select 'p' || (i + {first}) as id, 's1' as shop, timestamp '2025-03-08 12:00:00' as at, 'in' as way,"
        f" 100 + i as fen from range({rows}) as t(i)) to '{path}' (format parquet)"
    )


def taken_in(lake: Lake, folder: Path, today: date = TODAY, **options: Any) -> dict[str, Any]:
    return dict(ingest(lake, source(), str(folder), None, today, **options).values)


def ids(lake: Lake, table: Table) -> set[str]:
    return {row["event_id"] for row in lake.read(table).select("event_id").collect()}


def refusals(lake: Lake) -> dict[str, list[str]]:
    """Reasons by the id that the record came with, or by its file where the whole file was refused."""
    rows = lake.read(QUARANTINE).select("file", F.get_json_object("record", "$.id").alias("id"), "reasons").collect()
    return {row["id"] or row["file"]: sorted(row["reasons"]) for row in rows}


BAD = {
    "comma": ({"amount": "12,50"}, ["amount_fen: no plain amount"]),
    "exponent": ({"amount": "1e3"}, ["amount_fen: no plain amount"]),
    "nan": ({"amount": "NaN"}, ["amount_fen: no plain amount"]),
    "tenth-of-a-fen": ({"amount": "1.001"}, ["amount_fen: no plain amount"]),
    "negative": ({"amount": "-5.00"}, ["amount_fen: negative"]),
    "too-much": ({"amount": "9999999999999"}, ["amount_fen: larger than 100000000000 yuan"]),
    "no-amount": ({"amount": ""}, ["amount_fen: missing"]),
    "future": ({"at": "2999-01-01 00:00:00"}, ["happened_at: in the future"]),
    "old": ({"at": "1900-01-01 00:00:00"}, ["happened_at: before 2000-01-01"]),
    "no-date": ({"at": "9 March"}, ["happened_at: no timestamp"]),
    "blank-end": ({"shop": "s1 "}, ["seller_id: blank at an end"]),
    "line-feed": ({"buyer": "b1\n", "shop": "s1\n"}, ["seller_id: blank at an end", "buyer_id: blank at an end"]),
    "zero-width": ({"buyer": "b\u200b1"}, ["buyer_id: invisible character"]),
    "long": ({"shop": "x" * 10_000}, ["seller_id: longer than 128 characters"]),
    "no-shop": ({"shop": ""}, ["seller_id: missing"]),
    "kind": ({"what": "lent"}, ["kind: value not in the mapping"]),
    "two": ({"what": "lent", "amount": "x"}, ["amount_fen: no plain amount", "kind: value not in the mapping"]),
}


def test_bad_records_and_files_are_kept_with_their_reasons_and_good_ones_go_in(lake: Lake, tmp_path: Path) -> None:
    day = tmp_path / "in" / "2025-03-09"
    rows = [order("good"), *(order(name, **changes) for name, (changes, _) in BAD.items()), order("good-too")]
    write_orders(day / "orders.csv", rows)
    with (day / "orders.csv").open("a", encoding="utf-8") as file:
        file.write("cut,s1,o-cut,b1,2025-03-09 10")
    write_payments(day / "payments.parquet", 50)
    write_payments(day / "payments-cut.parquet", 50, first=50)
    whole = (day / "payments-cut.parquet").read_bytes()
    (day / "payments-cut.parquet").write_bytes(whole[: len(whole) // 2])
    (day / "notes.txt").write_text("call the bank")
    (tmp_path / "in" / "2025-03-10").mkdir()

    values = taken_in(lake, tmp_path / "in")

    refused = refusals(lake)
    assert {name: refused.get(name) for name in BAD} == {name: sorted(reasons) for name, (_, reasons) in BAD.items()}
    assert [reason[:26] for reason in refused["payments-cut.parquet"]] == ["file: no readable Parquet "]
    assert refused["notes.txt"] == ["file: no feed reads it"]
    assert "record: columns do not fit the header" in refused["orders.csv"]
    assert ids(lake, ORDER_EVENTS) == {"good", "good-too"}
    assert len(ids(lake, PAYMENT_EVENTS)) == 50
    deliveries = {row["name"]: row for row in lake.read(DELIVERIES).collect()}
    told = deliveries["2025-03-09"]
    assert told["records_in"] == told["accepted"] + told["duplicate"] + told["quarantined"] == values["records in"]
    assert (told["accepted"], told["duplicate"], told["quarantined"]) == (52, 0, len(BAD) + 3)
    assert deliveries["2025-03-10"]["records_in"] == 0


def test_refused_files_are_told_by_name(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "in" / "2025-03-09").mkdir(parents=True)
    for number in range(42):
        (tmp_path / "in" / "2025-03-09" / f"notes-{number:02}.txt").write_text("call the bank")
    (tmp_path / "in" / "orders.csv").write_text("")

    lines = ingest(lake, source(), str(tmp_path / "in"), None, TODAY).lines

    assert lines[0] == "refused: (input)/orders.csv: lies beside the deliveries, each of which is a folder"
    assert lines[1] == "refused: 2025-03-09/notes-00.txt: no feed reads it"
    assert len(lines) == 41 and lines[-1] == "refused: 3 more files: see `seller-credit quarantine`"


def test_what_overflows_is_refused_and_the_rest_goes_in(lake: Lake, tmp_path: Path) -> None:
    place = tmp_path / "in" / "2025-03-09" / "payments.parquet"
    place.parent.mkdir(parents=True)
    duckdb.sql(
        "copy (select id, 's1' as shop, stamp as at, 'in' as way, fen::decimal(38, 0) as fen from (values"
        " ('good', timestamp '2025-03-08 12:00:00', '100'), ('never', timestamp 'infinity', '100'),"
        f" ('much', timestamp '2025-03-08 12:00:00', '1{'0' * 33}')) as t(id, stamp, fen))"
        f" to '{place}' (format parquet)"
    )

    taken_in(lake, tmp_path / "in")

    assert ids(lake, PAYMENT_EVENTS) == {"good"}
    assert refusals(lake) == {"much": ["amount_fen: no plain amount"], "never": ["happened_at: no timestamp"]}


def test_columns_are_taken_by_name_and_a_file_that_lacks_one_is_refused_by_name(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_orders(folder / "2025-03-08" / "orders.csv", [order("as-mapped")])
    write_orders(folder / "2025-03-09" / "orders.csv", [order("reordered")], reversed(COLUMNS))
    write_orders(
        folder / "2025-03-09" / "orders-2.csv", [order("lacking")], [name for name in COLUMNS if name != "amount"]
    )

    taken_in(lake, folder)

    rows = lake.read(ORDER_EVENTS).select("event_id", "seller_id", "amount_fen", "buyer_id").collect()
    assert sorted(map(tuple, rows)) == [("as-mapped", "s1", 1250, BUYER), ("reordered", "s1", 1250, BUYER)]
    (reasons,) = refusals(lake).values()
    assert len(reasons) == 1 and reasons[0].startswith("file: ") and "amount" in reasons[0]


def test_a_mapping_that_fits_no_file_is_refused_before_anything_is_read(lake: Lake, tmp_path: Path) -> None:
    write_orders(
        tmp_path / "in" / "2025-03-09" / "orders.csv", [order("x")], ("id", "shop", "order", "at", "what", "voids")
    )

    with pytest.raises(UserError) as error:
        taken_in(lake, tmp_path / "in")

    told = "\n".join(error.value.problems)
    assert "orders.csv" in told and "amount" in told and "buyer" in told
    assert lake.runs() == []


@pytest.mark.full  # half a minute
def test_a_mapping_that_has_fitted_before_refuses_a_days_only_file_of_a_feed_by_name(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    drifted = [name for name in COLUMNS if name != "amount"]
    write_orders(folder / "2025-03-08" / "orders.csv", [order("as-mapped")])
    taken_in(lake, folder)
    write_orders(folder / "2025-03-09" / "orders.csv", [order("drifted")], drifted)
    write_payments(folder / "2025-03-09" / "payments.parquet", 5)

    # a mapping that was never used may be wrong itself
    with pytest.raises(UserError, match="amount"):
        ingest(lake, source().model_copy(update={"description": "another"}), str(folder), None, TODAY)
    done = ingest(lake, source(), str(folder), None, TODAY)

    assert [done.values[name] for name in ("records in", "accepted", "quarantined")] == [6, 5, 1]
    assert len(done.lines) == 1 and "refused: 2025-03-09/orders.csv: feed orders: amount_fen: " in done.lines[0]
    # and where nothing of a day fits
    write_orders(folder / "2025-03-10" / "orders.csv", [order("drifted")], drifted)
    assert taken_in(lake, folder)["quarantined"] == 1


def test_stamps_without_a_zone_are_the_sources_own_and_days_are_the_business_zones(lake: Lake, tmp_path: Path) -> None:
    rows = [
        order("no-zone", at="2025-03-08 23:30:00"),
        order("utc", at="2025-03-08T16:30:00Z"),
        order("new-york", at="2025-03-08T11:29:59-05:00"),
        order("day-alone", at="2025-03-08"),
    ]
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", rows)

    taken_in(lake, tmp_path / "in")

    days = lake.read(ORDER_EVENTS).select(
        "event_id", F.col("happened_at").cast("string"), F.col("event_day").cast("string")
    )
    assert sorted(map(tuple, days.collect())) == [
        ("day-alone", "2025-03-07 16:00:00", "2025-03-08"),
        ("new-york", "2025-03-08 16:29:59", "2025-03-09"),
        ("no-zone", "2025-03-08 15:30:00", "2025-03-08"),
        ("utc", "2025-03-08 16:30:00", "2025-03-09"),
    ]


def test_repeats_conflicts_and_corrections_over_deliveries(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_orders(
        folder / "2025-03-08" / "orders.csv",
        [
            order("a"),
            order("a"),
            order("b"),
            order("twice"),
            order("twice", amount="9.00"),
            order("wrong", amount="7.00"),
        ],
    )
    write_orders(
        folder / "2025-03-09" / "orders.csv",
        [
            order("a"),
            order("b", amount="99.00"),
            order("c1", voids="wrong", amount="", what="", buyer=""),
            order("c2", voids="wrong"),
            order("c3", voids="nobody"),
            order("c4", voids="c1"),
        ],
    )

    values = taken_in(lake, folder)

    assert (values["accepted"], values["duplicate"], values["quarantined"]) == (4, 2, 6)
    reasons = refusals(lake)
    assert reasons == {
        "twice": ["event_id: stands twice in its delivery with different content"],
        "b": ["event_id: known already with other content"],
        "c2": ["voids: the event was voided before"],
        "c3": ["voids: the event is unknown"],
        "c4": ["voids: is itself a correction"],
    }
    signs = lake.read(ORDER_EVENTS).select("event_id", "sign", "amount_fen", "buyer_id").collect()
    assert sorted(map(tuple, signs)) == [
        ("a", 1, 1250, BUYER),
        ("b", 1, 1250, BUYER),
        ("c1", -1, 700, BUYER),
        ("wrong", 1, 700, BUYER),
    ]

    # in runs of their own, and all of it once more: the same, and nothing new
    again = taken_in(lake, folder)
    assert again["deliveries"] == 0
    # an id of another day, three weeks before
    of_another_day = order("wrong", at="2025-02-16 10:00:00", amount="7.00")
    more = [order("b"), order("b", amount="1.00"), order("c5", voids="a"), of_another_day]
    write_orders(folder / "2025-03-10" / "orders.csv", more)
    later = taken_in(lake, folder)
    assert (later["deliveries"], later["accepted"], later["duplicate"], later["quarantined"]) == (1, 1, 0, 3)
    assert ids(lake, ORDER_EVENTS) == {"a", "b", "c1", "wrong", "c5"}
    assert refusals(lake)["wrong"] == ["event_id: known already with other content"]


@pytest.mark.full  # half a minute
def test_a_correction_of_an_id_that_came_again_takes_back_the_newest(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    deliveries = {
        "2025-01-05": [order("a", at="2025-01-05 10:00:00", amount="5.00")],
        "2025-03-08": [order("a", at="2025-03-08 10:00:00", amount="7.00")],
        "2025-03-09": [order("c1", voids="a"), order("c2", voids="a")],
        "2025-03-10": [order("c3", voids="a")],
    }
    counts = []
    for day, rows in deliveries.items():
        write_orders(folder / day / "orders.csv", rows)
        values = taken_in(lake, folder)
        counts.append((values["accepted"], values["quarantined"]))

    assert counts == [(1, 0), (1, 0), (1, 1), (0, 1)]
    rows = lake.read(ORDER_EVENTS).select("event_id", "sign", "amount_fen", F.col("event_day").cast("string"))
    assert sorted(map(tuple, rows.collect())) == [
        ("a", 1, 500, "2025-01-05"),
        ("a", 1, 700, "2025-03-08"),
        ("c1", -1, 700, "2025-03-08"),
    ]
    assert refusals(lake) == {name: ["voids: the event was voided before"] for name in ("c2", "c3")}


@pytest.mark.full  # a minute
def test_an_id_that_came_again_is_known_by_each_of_its_contents(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    first = order("a", at="2025-01-05 10:00:00", amount="5.00")
    for day, rows in (("2025-01-05", [first]), ("2025-03-08", [order("a", at="2025-03-08 10:00:00")])):
        write_orders(folder / day / "orders.csv", rows)
        assert taken_in(lake, folder)["accepted"] == 1
    # both are looked up now, and each record is judged once
    other = order("a", at="2025-01-05 10:00:00", amount="6.00")
    for rows, wanted in (([first], (0, 1, 0)), ([other], (0, 0, 1))):
        write_orders(folder / f"again-{wanted[1]}" / "orders.csv", rows)
        values = taken_in(lake, folder, again=True)
        assert values["records in"] == 1
        assert (values["accepted"], values["duplicate"], values["quarantined"]) == wanted
    assert lake.read(ORDER_EVENTS).count() == 2


@pytest.mark.full  # two intakes
def test_a_mapping_that_reads_what_is_known_otherwise_is_told_and_takes_nothing_in(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    rows = [order(f"e{number}") | {"sku": "x"} for number in range(120)]
    write_orders(folder / "2025-03-08" / "orders.csv", rows, (*COLUMNS, "sku"))
    taken_in(lake, folder)
    before = [run.run_id for run in lake.runs()]
    data, places = parse_yaml(SHOP.replace("order_id: order\n", "order_id: order\n      item_id: sku\n", 1), "shop.yml")
    longer = validate(Source, data, places, "shop.yml")
    with pytest.raises(UserError, match="reads 120 of 120 records for bronze.order_events otherwise than they were"):
        ingest(lake, longer, str(folder), None, TODAY, again=True)
    assert [run.run_id for run in lake.runs()] == before and lake.read(QUARANTINE).count() == 0


@pytest.mark.full  # three intakes
def test_the_days_of_a_lake_are_those_of_one_zone(lake: Lake, tmp_path: Path) -> None:
    write_orders(tmp_path / "in" / "2025-03-08" / "orders.csv", [order("one")])
    taken_in(lake, tmp_path / "in")
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", [order("two")])
    calendar = lake.settings.calendar.model_copy(update={"time_zone": "Europe/Berlin"})
    elsewhere = Lake(lake.spark, lake.settings.model_copy(update={"calendar": calendar}))
    with pytest.raises(UserError, match="days are those of Asia/Shanghai, and calendar.time_zone says Europe/Berlin"):
        taken_in(elsewhere, tmp_path / "in")
    assert taken_in(lake, tmp_path / "in")["accepted"] == 1


@pytest.mark.full  # half a minute
def test_a_correction_needs_no_day_of_its_own(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_orders(folder / "2025-03-08" / "orders.csv", [order("wrong", amount="7.00")])
    taken_in(lake, folder)
    aggregate(lake, date(2025, 3, 9))
    write_orders(folder / "2025-03-09" / "orders.csv", [order("c1", voids="wrong", at="")])

    assert taken_in(lake, folder)["accepted"] == 1

    rows = lake.read(ORDER_EVENTS).select("event_id", "sign", "amount_fen", F.col("event_day").cast("string"))
    assert sorted(map(tuple, rows.collect())) == [("c1", -1, 700, "2025-03-09"), ("wrong", 1, 700, "2025-03-09")]


@pytest.mark.full  # ten seconds and more
def test_a_correction_arrives_with_its_load_and_never_before_its_original(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    late = validate(Source, parse_yaml(SHOP.replace("event_day + 0", "event_day + 3"), "shop.yml")[0], {}, "shop.yml")
    early = order("c-early", voids="early", at="2025-03-02 10:00:00")
    write_orders(
        folder / "2025-03-09" / "orders.csv",
        [order("wrong"), order("early", at="2025-03-04 10:00:00"), order("c-wrong", voids="wrong", at=""), early],
    )

    values = ingest(lake, late, str(folder), None, TODAY).values

    assert values["accepted"] == 4
    rows = lake.read(ORDER_EVENTS).select("event_id", "sign", F.col("arrival_day").cast("string"), "arrival_month")
    assert sorted(map(tuple, rows.collect())) == [
        ("c-early", -1, "2025-03-07", "2025-03"),
        ("c-wrong", -1, "2025-03-10", "2025-03"),
        ("early", 1, "2025-03-07", "2025-03"),
        ("wrong", 1, "2025-03-10", "2025-03"),
    ]
