"""When the first load of history came to know a record, and which are refused for it."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.source import Source
from transforms.intake.mapping import Calendar, Records, map_records, mapping_problems, with_reasons

TODAY = date(2025, 3, 10)
CALENDAR = Calendar("Asia/Shanghai", date(2000, 1, 1), date(2000, 1, 1), None, TODAY)
UNKNOWN = ["arrival: missing or no date"]
TOO_EARLY = ["happened_at: after the day it arrived"]
DOTTED = ["dd.MM.yyyy", "dd.MM.yyyy HH:mm", "iso"]

Told = list[tuple[Any, str | None, list[str]]]
"""Of each record: the column's value, the arrival day of what happened on 8 March at 00:30 in Shanghai, reasons."""

ARRIVALS: list[tuple[dict[str, Any], str, Told]] = [
    # the column's rule, its type, and what its values tell
    (
        {},
        "string",
        [
            ("2025-03-09", "2025-03-09", []),
            ("09.03.2025", None, UNKNOWN),
            ("1741424400", None, UNKNOWN),
            ("", None, UNKNOWN),
            (None, None, UNKNOWN),
            ("2025-03-07", "2025-03-07", TOO_EARLY),
            ("2025-03-11", "2025-03-11", ["arrival: in the future"]),
            ("2025-03-07T17:00:00Z", "2025-03-08", []),
            ("2025-03-07 17:00:00", "2025-03-08", []),
        ],
    ),
    (
        {"format": DOTTED},
        "string",
        [
            ("09.03.2025", "2025-03-09", []),
            ("09.03.2025 23:30", "2025-03-10", []),
            ("2025-03-09", "2025-03-09", []),
        ],
    ),
    ({"format": DOTTED, "time_zone": "Asia/Shanghai"}, "string", [("09.03.2025 23:30", "2025-03-09", [])]),
    ({"format": "epoch_seconds"}, "string", [("1741424400", "2025-03-08", [])]),
    ({"format": "epoch_milliseconds"}, "bigint", [(1741424400000, "2025-03-08", [])]),
    (
        {},
        "timestamp",
        [
            (datetime(2025, 3, 7, 17, tzinfo=UTC), "2025-03-08", []),
            (datetime(2025, 3, 7, 15, tzinfo=UTC), "2025-03-07", TOO_EARLY),
        ],
    ),
    ({}, "timestamp_ntz", [(datetime(2025, 3, 7, 17), "2025-03-08", [])]),  # noqa: DTZ001
    ({}, "date", [(date(2025, 3, 9), "2025-03-09", [])]),
]


def ledger(arrival: dict[str, Any]) -> Source:
    fields = {
        "event_id": "id",
        "seller_id": {"constant": "s1"},
        "counterparty_id": {"constant": "bank"},
        "happened_at": "at",
        "direction": {"constant": "in"},
        "kind": {"constant": "sale"},
        "amount_fen": {"constant": 1},
        "voids": "voids",
    }
    feed = {"name": "payments", "files": "*.csv", "event": "payment_event", "fields": fields}
    told = {"name": "l", "description": "", "time_zone": "UTC", "deliveries": "whole"}
    return Source.model_validate({**told, "arrival": arrival, "feeds": [feed]})


def arrived(
    spark: SparkSession, source: Source, rows: list[tuple[Any, ...]], kind: str = "string"
) -> list[tuple[str | None, list[str]]]:
    columns = "id string, at string, voids string, received " + kind
    place = "delivery_id string, delivery_order int, file string, position bigint"
    placed = [(f"e{number}", *row, "l/1", 0, "p.csv", number) for number, row in enumerate(rows)]
    raw = spark.createDataFrame(placed, f"{columns}, {place}")
    assert mapping_problems(raw.limit(0), source, source.feeds[0]) == []
    mapped = with_reasons(map_records(Records(raw, source, source.feeds[0], CALENDAR, (), raw, source.feeds)))
    found = mapped.orderBy("position").selectExpr("cast(arrival_day as string) as day", "reasons").collect()
    return [(row["day"], row["reasons"]) for row in found]


@pytest.mark.parametrize(("rule", "kind", "told"), ARRIVALS)
def test_a_column_tells_a_business_day_or_its_record_is_refused(
    spark: SparkSession, rule: dict[str, Any], kind: str, told: Told
) -> None:
    source = ledger({"column": "received", **rule})
    rows = [("2025-03-07 16:30:00", None, value) for value, _, _ in told]
    assert arrived(spark, source, rows, kind) == [(day, reasons) for _, day, reasons in told]


def test_an_assumed_day_is_the_day_of_the_load_at_the_latest(spark: SparkSession) -> None:
    stamps = ("2025-03-01 10:00:00", "2025-03-09 10:00:00", "2025-03-10 10:00:00", "2025-03-11 10:00:00")
    rows = [(at, None, None) for at in stamps]
    assert arrived(spark, ledger({"assume": "event_day + 3"}), [*rows, (None, "e0", None)]) == [
        ("2025-03-04", []),
        ("2025-03-10", []),
        ("2025-03-10", []),
        ("2025-03-11", ["happened_at: in the future"]),
        ("2025-03-10", []),
    ]


def test_a_column_of_another_type_is_refused_before_anything_is_read(spark: SparkSession) -> None:
    empty = spark.createDataFrame([], "id string, at string, voids string, received bigint")
    source = ledger({"column": "received"})
    assert mapping_problems(empty, source, source.feeds[0]) == [
        "feed payments: arrival: a date cannot be read from bigint"
    ]
    source = ledger({"column": "received", "format": "yyyy-bb"})
    (problem, _) = mapping_problems(empty, source, source.feeds[0])
    assert problem == "feed payments: arrival: a date cannot be read from bigint"
