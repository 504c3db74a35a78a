"""What a source's text, number or stamp becomes, or why it is refused: one row a case, all read in one query."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import EVENTS
from conf.source import FieldMapping
from transforms.intake.fields import read_field

FIELDS = {field.name: field for event in EVENTS.values() for field in event}

NO_AMOUNT = "amount_fen: no plain amount"
YUAN, COMMA = {"unit": "yuan"}, {"unit": "yuan", "decimal": "comma"}
GROUPED = {**COMMA, "groups": True}
BERLIN = {"time_zone": "Europe/Berlin"}
DOTTED = {"format": "dd.MM.yyyy HH:mm"}
SECONDS, MILLISECONDS = {"format": "epoch_seconds"}, {"format": "epoch_milliseconds"}
NO_STAMP = "happened_at: no timestamp"
SKIPPED = "happened_at: no such time in Europe/Berlin"

TEXTS: list[tuple[str, dict[str, Any], str | None, Any, str | None]] = [
    # our field, how it is mapped, their text, our value (as text), why it is refused
    ("amount_fen", YUAN, "12.50", "1250", None),
    ("amount_fen", YUAN, "12.5000", "1250", None),
    ("amount_fen", YUAN, "12.501", None, NO_AMOUNT),
    ("amount_fen", YUAN, "+12.5", "1250", None),
    ("amount_fen", YUAN, "12,50", None, NO_AMOUNT),
    ("amount_fen", YUAN, "1e3", None, NO_AMOUNT),
    ("amount_fen", YUAN, "-5", "-500", "amount_fen: negative"),
    ("amount_fen", {**YUAN, "absolute": True}, "-5", "500", None),
    ("amount_fen", YUAN, "9999999999999", "999999999999900", "amount_fen: larger than 100000000000 yuan"),
    ("amount_fen", YUAN, "99999999999999", None, NO_AMOUNT),
    ("amount_fen", YUAN, " ", None, "amount_fen: missing"),
    ("amount_fen", {"unit": "fen"}, "1250", "1250", None),
    ("amount_fen", {"unit": "fen"}, "1250.00", "1250", None),
    ("amount_fen", {"unit": "fen"}, "12.50", None, NO_AMOUNT),
    ("amount_fen", {"unit": "jiao"}, "3.5", "35", None),
    ("amount_fen", {"unit": "jiao"}, "3.55", None, NO_AMOUNT),
    ("amount_fen", {"unit": "thousands"}, "1.23456", "123456", None),
    ("amount_fen", {"unit": "thousands"}, "1.234567", None, NO_AMOUNT),
    ("amount_fen", {"unit": "thousands"}, "100000000", "10000000000000", None),
    ("amount_fen", COMMA, "12,5", "1250", None),
    ("amount_fen", COMMA, "12", "1200", None),
    ("amount_fen", COMMA, "12.50", None, NO_AMOUNT),
    ("amount_fen", COMMA, "1.250", None, NO_AMOUNT),
    ("amount_fen", COMMA, None, None, "amount_fen: missing"),
    ("amount_fen", GROUPED, "1.234.567,89", "123456789", None),
    ("amount_fen", GROUPED, "1234567,89", "123456789", None),
    ("amount_fen", GROUPED, "1.234", "123400", None),
    ("amount_fen", GROUPED, "12.50", None, NO_AMOUNT),
    ("amount_fen", GROUPED, "1.23.456", None, NO_AMOUNT),
    ("amount_fen", {**YUAN, "groups": True}, "1,234.50", "123450", None),
    ("amount_fen", {**YUAN, "groups": True}, "12,50", None, NO_AMOUNT),
    ("balance_fen", COMMA, "-0,05", "-5", None),
    ("balance_fen", COMMA, None, None, None),
    ("daily_rate", {"decimal": "comma"}, "0,0005", "5.0E-4", None),
    ("daily_rate", {"decimal": "comma"}, "0.0005", None, "daily_rate: no number"),
    ("rating", {}, "1", "1", None),
    ("rating", {}, "0", "0", "rating: smaller than 1"),
    ("rating", {}, "6", "6", "rating: larger than 5"),
    ("hours_since_paid", {}, "0", "0.0", None),
    ("hours_since_paid", {}, "100000", "100000.0", None),
    ("hours_since_paid", {}, "100000.5", "100000.5", "hours_since_paid: larger than 100000"),
    ("hours_since_paid", {}, "-0.5", "-0.5", "hours_since_paid: negative"),
    ("hours_since_paid", {}, "NaN", None, "hours_since_paid: no number"),
    ("hours_since_paid", {}, None, None, None),
    ("quantity", {"groups": True}, "1,000", "1000", None),
    ("happened_at", {}, "2024-02-29 12:00:00", "2024-02-29 12:00:00", None),
    ("happened_at", {}, "2023-02-29 12:00:00", None, NO_STAMP),
    ("happened_at", {}, "9999-12-31T23:59:59.123456789Z", "9999-12-31 23:59:59.123456", None),
    ("happened_at", {}, "10000-01-01 00:00:00", None, NO_STAMP),
    ("happened_at", {}, "12:00:00", None, NO_STAMP),
    # the night of 30 March 2025 has no hour from two to three in Berlin, that of 26 October has it twice
    ("happened_at", BERLIN, "2025-03-30 01:59:59", "2025-03-30 00:59:59", None),
    ("happened_at", BERLIN, "2025-03-30 02:30:00", "2025-03-30 01:30:00", SKIPPED),
    ("happened_at", BERLIN, "2025-03-30 03:00:00", "2025-03-30 01:00:00", None),
    ("happened_at", BERLIN, "2025-03-30T02:30:00+01:00", "2025-03-30 01:30:00", None),
    ("happened_at", BERLIN, "2025-10-26 02:30:00", "2025-10-26 00:30:00", None),
    ("happened_at", {**BERLIN, **DOTTED}, "30.03.2025 02:30", "2025-03-30 01:30:00", SKIPPED),
    ("happened_at", {**BERLIN, **DOTTED}, "01.07.2025 12:00", "2025-07-01 10:00:00", None),
    ("happened_at", {"time_zone": "Asia/Shanghai"}, "2025-07-01 12:00:00", "2025-07-01 04:00:00", None),
    (
        "happened_at",
        {**BERLIN, "format": "dd.MM.yyyy HH:mm XXX"},
        "01.07.2025 12:00 +08:00",
        "2025-07-01 04:00:00",
        None,
    ),
    ("happened_at", {**BERLIN, "format": ["dd.MM.yyyy HH:mm", "iso"]}, "2025-07-01", "2025-06-30 22:00:00", None),
    ("happened_at", {**BERLIN, "format": ["dd.MM.yyyy HH:mm", "iso"]}, "1.7.25", None, NO_STAMP),
    ("happened_at", {"format": "yyyy-MM-dd"}, "2025-7-1", None, NO_STAMP),
    ("happened_at", SECONDS, "1741424400", "2025-03-08 09:00:00", None),
    ("happened_at", SECONDS, "1741424400.25", "2025-03-08 09:00:00.25", None),
    ("happened_at", {**SECONDS, **BERLIN}, "1741424400", "2025-03-08 09:00:00", None),
    ("happened_at", SECONDS, "1741424400000", None, NO_STAMP),
    ("happened_at", MILLISECONDS, "1741424400250", "2025-03-08 09:00:00.25", None),
    ("happened_at", MILLISECONDS, "999999999999999", None, NO_STAMP),
    ("happened_at", MILLISECONDS, "yesterday", None, NO_STAMP),
    ("due_on", {"format": "dd.MM.yyyy"}, "29.02.2024", "2024-02-29", None),
    ("due_on", {"format": "dd.MM.yyyy"}, "29.02.2023", None, "due_on: no date"),
    ("due_on", {"format": ["dd.MM.yyyy", "iso"]}, "2024-02-29", "2024-02-29", None),
    ("due_on", {**MILLISECONDS, **BERLIN}, "1741388400000", "2025-03-08", None),
    ("reason", {"values": {"a": "torn", "b": "late"}}, "b", "late", None),
    ("reason", {"values": {"a": "torn"}}, "c", None, "reason: value not in the mapping"),
    ("reason", {"values": {"a": "torn"}, "otherwise": "some other"}, "c", "some other", None),
    ("reason", {"values": {"a": "torn"}, "otherwise": "some other"}, None, None, None),
]

NUMBERS: list[tuple[str, dict[str, Any], Any, str, Any, str | None]] = [
    # our field, how it is mapped, their value, its type, our value (as text), why it is refused
    ("amount_fen", YUAN, 12.5, "double", "1250", None),
    ("amount_fen", YUAN, float("nan"), "double", None, NO_AMOUNT),
    ("amount_fen", YUAN, 0.001, "double", "0", "amount_fen: smaller than a fen"),
    ("amount_fen", {"unit": "thousands"}, 1.23456, "double", "123456", None),
    ("amount_fen", {"unit": "jiao"}, Decimal("3.5"), "decimal(10,1)", "35", None),
    (
        "amount_fen",
        {"unit": "thousands"},
        Decimal("1.234567"),
        "decimal(20,6)",
        "123456",
        "amount_fen: smaller than a fen",
    ),
    ("amount_fen", {**YUAN, "absolute": True}, -3, "int", "300", None),
    ("amount_fen", YUAN, 2**63 - 1, "bigint", None, NO_AMOUNT),
    ("amount_fen", YUAN, Decimal(10**32), "decimal(38,0)", None, NO_AMOUNT),
    ("amount_fen", YUAN, None, "decimal(38,0)", None, "amount_fen: missing"),
    ("balance_fen", YUAN, None, "int", None, None),
    ("balance_fen", YUAN, Decimal(-(10**37)), "decimal(38,0)", None, "balance_fen: no plain amount"),
    ("hours_since_paid", {}, 1e20, "double", "1.0E20", "hours_since_paid: larger than 100000"),
    ("hours_since_paid", {}, Decimal(10**37), "decimal(38,0)", "1.0E37", "hours_since_paid: larger than 100000"),
    ("daily_rate", {}, -1e20, "double", "-1.0E20", None),
    ("happened_at", SECONDS, 1741424400, "bigint", "2025-03-08 09:00:00", None),
    ("happened_at", MILLISECONDS, 2**63 - 1, "bigint", None, NO_STAMP),
    ("happened_at", MILLISECONDS, float("nan"), "double", None, NO_STAMP),
    ("happened_at", BERLIN, date(2025, 7, 1), "date", "2025-06-30 22:00:00", None),
    ("happened_at", BERLIN, datetime(2025, 3, 30, 2, 30), "timestamp_ntz", "2025-03-30 01:30:00", SKIPPED),  # noqa: DTZ001
    ("due_on", BERLIN, datetime(2025, 6, 30, 22, 30, tzinfo=UTC), "timestamp", "2025-07-01", None),
    ("due_on", {}, datetime(2025, 7, 1, 23, 30), "timestamp_ntz", "2025-07-01", None),  # noqa: DTZ001
]


def test_texts(spark: SparkSession) -> None:
    row = spark.createDataFrame([[text for _, _, text, _, _ in TEXTS]], T.StructType([
        T.StructField(f"c{number}", T.StringType()) for number in range(len(TEXTS))
    ]))  # fmt: skip
    cases = [(field, mapping, T.StringType()) for field, mapping, *_ in TEXTS]
    assert read(row, cases) == [(value, problem) for *_, value, problem in TEXTS]


def test_numbers_and_stamps(spark: SparkSession) -> None:
    schema = ", ".join(f"c{number} {kind}" for number, (_, _, _, kind, _, _) in enumerate(NUMBERS))
    row = spark.createDataFrame([[value for _, _, value, *_ in NUMBERS]], schema)
    cases = [(field, mapping, row.schema[number].dataType) for number, (field, mapping, *_) in enumerate(NUMBERS)]
    assert read(row, cases) == [(value, problem) for *_, value, problem in NUMBERS]


def read(row: Any, cases: list[tuple[str, dict[str, Any], T.DataType]]) -> list[tuple[str | None, str | None]]:
    """Value (as text) and problem of each case, the value only where it counts or the problem does not tell."""
    columns = []
    for number, (field, mapping, kind) in enumerate(cases):
        described = FieldMapping.model_validate({"column": f"c{number}", **mapping})
        found = read_field(FIELDS[field], described, F.col(f"c{number}"), kind, "UTC")
        columns += [found.value.cast("string").alias(f"v{number}"), found.problem.alias(f"p{number}")]
    (told,) = row.select(*columns).collect()
    return [(told[f"v{number}"], told[f"p{number}"]) for number in range(len(cases))]


def test_days_and_stamps_beyond_the_year_9999_are_refused_before_a_zone_shifts_them(spark: SparkSession) -> None:
    """64 bits can hold them, DuckDB writes its infinity so, and Python knows no such year."""
    row = spark.range(1).selectExpr(
        *(f"timestamp_micros({sign}9223372036854775807) as c{number}" for number, sign in enumerate(("", "-"))),
        "cast(timestamp_micros(9223372036854775807) as timestamp_ntz) as c2",
        "date_from_unix_date(2147483647) as c3",
        "date_from_unix_date(-2147483648) as c4",
        "timestamp_micros(9223372036854775807) as c5",
        "cast(timestamp_micros(9223372036854775807) as timestamp_ntz) as c6",
        "date_from_unix_date(2147483647) as c7",
        "'0000-12-31 10:00:00' as c8",
    )
    fields = ("happened_at",) * 5 + ("due_on",) * 3 + ("happened_at",)
    cases = [(field, BERLIN, row.schema[number].dataType) for number, field in enumerate(fields)]
    assert read(row, cases) == [(None, NO_STAMP)] * 5 + [(None, "due_on: no date")] * 3 + [(None, NO_STAMP)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_every_hour_of_a_year_is_read_or_refused(spark: SparkSession, zone: str) -> None:
    """A whole year's wall clock, each half hour: what comes back shows the same clock, and one gap is refused."""
    stamp = F.expr("timestamp '2025-01-01 00:00:00' + make_interval(0, 0, 0, 0, 0, cast(id as int) * 30)")
    hours = spark.range(365 * 48).select(F.date_format(stamp, "yyyy-MM-dd HH:mm:ss").alias("at"))
    mapping = FieldMapping(column="at", time_zone=zone)
    found = read_field(FIELDS["happened_at"], mapping, F.col("at"), T.StringType(), "UTC")
    shown = F.date_format(F.from_utc_timestamp(found.value, zone), "yyyy-MM-dd HH:mm:ss")
    counts = hours.select(
        F.count_if(found.problem.isNotNull()).alias("refused"),
        F.count_if(found.problem.isNull() & (shown != F.col("at"))).alias("moved"),
    ).collect()[0]
    assert tuple(counts) == (1 if zone == "Australia/Lord_Howe" else 2, 0)
