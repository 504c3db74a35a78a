"""No record stops a job by an expression: where one fails it is null and says so."""

from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.expressions import read_expression
from conf.source import Feed, Source
from transforms.intake.expressions import expression_problems, format_problems
from transforms.intake.mapping import mapping_problems, with_optional_columns

COLUMNS = "text string, digits string, share double, most bigint, none int, list array<int>, day date, gap int"


@pytest.fixture(scope="module")
def record(spark: SparkSession) -> DataFrame:
    row = spark.createDataFrame([("abc", "12", 1.5, 2**63 - 1, 0, [7], None, None)], COLUMNS)
    return row.withColumn("late", F.timestamp_micros("most"))


THROWING = {
    # as Spark runs it: the job ends; as we do: null, and the record is quarantined
    "share / none": (None, True),
    "share % none": (None, True),
    "mod(most, none)": (None, True),
    "most + 1": (None, True),
    "most * 2": (None, True),
    "- most - 2": (None, True),
    "cast(text as int)": (None, True),
    "text :: date": (None, True),
    "to_date(text, 'yyyy-MM-dd')": (None, True),
    "to_timestamp(text)": (None, True),
    "case when none = 0 then cast(text as int) else 1 end": (None, True),
    "coalesce(cast(text as int), 5)": (5, True),
    "1 + cast(text as int)": (None, True),
    "hour(from_utc_timestamp(late, 'Asia/Shanghai'))": (None, True),
    "hour(to_utc_timestamp(late, 'America/New_York'))": (None, True),
}
SOUND = {
    "try_divide(share, none)": (None, False),
    # what is not known is not what fails
    "share / gap": (None, False),
    "gap + 1": (None, False),
    "cast(cast(gap as string) as int)": (None, False),
    "try_cast(text as int)": (None, False),
    "coalesce(try_cast(text as int), 5)": (5, False),
    "if(none = 0, 0D, share / none)": (0.0, False),
    "none <> 0 and share / none > 1": (False, False),
    "none = 0 or share / none > 1": (True, False),
    "case none when 0 then 1 else most * 2 end": (1, False),
    "coalesce(digits, cast(most * 2 as string))": ("12", False),
    "cast(digits as int) * 2": (24, False),
    "abs(-2.5)": (2.5, False),
    "list[5]": (None, False),
    "split(text, 'b')[1]": ("c", False),
    "split_part(text, 'b', 9)": ("", False),
    "day + interval 8 hours": (None, False),
    "hour(from_utc_timestamp(timestamp '2025-03-07 17:00:00', 'Asia/Shanghai'))": (1, False),
    "cast(day as string)": (None, False),
    "regexp_extract(text, '([a-z])c', 1)": ("b", False),
    "text not in ('x', 'y') and not text like 'x%'": (True, False),
    "`text` || '-' || digits": ("abc-12", False),
    "date_format(date '2024-02-29', 'yyyyMMdd')": ("20240229", False),
}


def test_what_throws_in_spark_is_null_and_tells_it(record: DataFrame) -> None:
    cases = {**THROWING, **SOUND}
    columns: list[Any] = []
    for text in cases:
        read = read_expression(text)
        columns += [F.expr(read.value), F.expr(read.fails or "false")]
    (row,) = record.select(*columns).collect()
    assert dict(zip(cases, zip(row[::2], row[1::2], strict=True), strict=True)) == cases


@pytest.mark.parametrize("text", list(THROWING)[:4])
def test_they_do_throw_in_spark(record: DataFrame, text: str) -> None:
    with pytest.raises(PySparkException):
        record.select(F.expr(text)).collect()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digits > 2", "takes the text digits for a bigint: write cast(digits as decimal(20,5))"),
        ("date_add(text, 1)", "takes the text text for a date"),
        ("coalesce(text, share)", "takes the text text for a double"),
        ("day > '2024-01-01'", "takes the text '2024-01-01' for a date"),
        ("text rlike '(a'", "'(a'"),
        ("regexp_extract(text, 'a', 1)", "group index"),
        ("regexp_replace(text, '(a)', '$2')", "regexp_replace"),
        ("to_date(text, 'yyyy-bb')", "bb"),
        ("date_format(day, 'yyyy-bb')", "bb"),
        ("text like 'a\\\\b'", "escape character"),
    ],
)
def test_what_would_throw_unseen_is_refused_over_the_files_columns(record: DataFrame, text: str, words: str) -> None:
    (problem, *_) = expression_problems(record.limit(0), read_expression(text))
    assert words in problem


def test_formats_are_tried(record: DataFrame) -> None:
    assert format_problems(record, ["iso", "epoch_seconds", "dd.MM.yyyy", "yyyy-MM-dd'T'HH:mm"]) == []
    assert len(format_problems(record, ["yyyy-bb", "yyyy 'open"])) == 2


def test_columns_that_may_be_missing_are_null_and_others_are_told(record: DataFrame) -> None:
    fields = {
        "event_id": "text",
        "seller_id": "text",
        "counterparty_id": "shop",
        "happened_at": "day",
        "direction": {"constant": "in"},
        "kind": {"constant": "sale"},
        "amount_fen": {"expression": "shares * 2", "unit": "yuan"},
        "balance_fen": {"expression": "saldo + limit_", "unit": "yuan", "optional": True},
        "failed": {"column": "list"},
    }
    feed = Feed.model_validate(
        {"name": "p", "files": "p.csv", "event": "payment_event", "filter": "shop = 'x'", "fields": fields}
    )
    source = Source.model_validate(
        {
            "name": "s",
            "description": "",
            "time_zone": "UTC",
            "deliveries": "whole",
            "arrival": {"column": "arrived"},
            "feeds": [feed.model_dump(exclude_none=True)],
        }
    )
    assert mapping_problems(record.limit(0), source, feed) == [
        "feed p: counterparty_id: column shop is not in the file",
        "feed p: amount_fen: column shares is not in the file (near to it: share)",
        "feed p: failed: a boolean cannot be read from array<int>",
        "feed p: filter: column shop is not in the file",
        "feed p: arrival: column arrived is not in the file",
    ]
    assert with_optional_columns(record, feed).select("saldo", "limit_").collect() == [(None, None)]
