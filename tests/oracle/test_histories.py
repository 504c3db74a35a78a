"""Sweep, advance, rebuild and DuckDB agree, to the last fen, on random histories of sellers."""

from collections.abc import Iterable
from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.aggregate import aggregate
from jobs.lakehouse.lake import Lake
from tests.conftest import lake_at
from tests.oracle.histories import DAYS, FIRST_DAY, WANTED, Row, as_table, random_histories, window_sums
from transforms.features.feature import column_of
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.silver import SELLER_DAY
from transforms.tables.table import Table
from transforms.windows.advance import advance
from transforms.windows.rebuild import rebuild
from transforms.windows.sweep import sweep

CLOSINGS = (90, 91, 250, 430, 2 * DAYS)
"""Days since the first through which arrivals are closed, one aggregate each."""

AS_OF = (60, 91, 92, 93, 123, 251, 252, 400, 431, DAYS, DAYS + 31, DAYS + 366, 2 * DAYS)
"""As-of days in the order of the advance: before, between and after late news, a day apart and months apart."""

NAMES = ["seller_id", "as_of", "first_day", *(column_of(*sum_) for sum_ in WANTED)]


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def fill_bronze(lake: Lake, feeds: dict[str, list[Row]]) -> None:
    """Publish the events as `ingest` would have."""
    with lake.run("ingest", "histories", {}, {}) as run:
        for table, feed in ((ORDER_EVENTS, "orders"), (PAYMENT_EVENTS, "payments"), (LOAN_EVENTS, "loans")):
            run.append(table, bronze_rows(lake.spark, table, feeds.get(feed, [])))
        run.append(SELLERS, lake.read(SELLERS))
        told = ("paid", "cancelled", "refunded", "item_id", "category")
        lent = ("drawn", "due", "repaid") if "loans" in feeds else ()
        kinds = (
            "payment_event.sale",
            *(f"order_event.{name}" for name in told),
            *(f"loan_event.{name}" for name in lent),
        )
        run.facts = {"kinds_told": ",".join(kinds), "simulated": "True"}
        run.figures = dict.fromkeys(("deliveries", "records in", "accepted", "duplicate", "quarantined"), 0)
        run.publish()


def bronze_rows(spark: SparkSession, table: Table, rows: list[Row]) -> DataFrame:
    """Events with whatever else their table wants."""
    events = spark.createDataFrame(as_table(rows))
    told = {
        "counterparty_id": F.lit("someone"),
        "order_id": F.col("event_id"),
        "happened_at": F.to_timestamp("event_day"),
        "arrival_month": F.date_format("arrival_day", "yyyy-MM"),
        "delivery_id": F.lit("one"),
        "content_hash": F.lit(0),
    }
    have = events.withColumns(told)
    return have.select(
        *((F.col(c.name) if c.name in have.columns else F.lit(None)).cast(c.type).alias(c.name) for c in table)
    )


def known(duck: pa.Table, as_of_days: Iterable[date]) -> pa.Table:
    days = pa.array(list(as_of_days), pa.date32())
    return duck.filter(pa.compute.is_in(duck["as_of"], days))


def assert_same(have: DataFrame, want: pa.Table, way: str) -> None:
    """Compare whole rows; name the first that differ."""
    ours = have.select(*NAMES).toArrow()
    theirs = want.select(NAMES)
    assert ours.num_rows == theirs.num_rows, way
    for left, right in (("ours", "theirs"), ("theirs", "ours")):
        odd = duckdb.sql(f"select * from {left} except select * from {right} order by seller_id, as_of limit 3")
        assert odd.fetchall() == [], f"{way}: rows of {left} that are not in {right}"


@pytest.mark.parametrize(
    ("sellers", "as_of_days"),
    [
        pytest.param(120, (252, 431), id="quick"),
        pytest.param(2_500, AS_OF, id="2500", marks=pytest.mark.full),
    ],
)
def test_the_three_ways_and_duckdb_agree(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, sellers: int, as_of_days: tuple[int, ...]
) -> None:
    lake = lake_at(spark, tmp_path_factory.mktemp("histories"))
    feeds = random_histories(sellers, sellers)
    fill_bronze(lake, feeds)
    for closing in CLOSINGS if sellers > 1_000 else (CLOSINGS[2], CLOSINGS[-1]):
        aggregate(lake, day(closing))
    tiles = lake.read(SELLER_DAY).cache()
    wanted = window_sums(feeds, map(day, as_of_days)).to_arrow_table()
    labels = spark.createDataFrame(wanted.select(["seller_id", "as_of"]).to_pandas()).selectExpr(
        "seller_id", "cast(as_of as date) as as_of"
    )
    assert len(set(wanted["seller_id"].to_pylist())) > sellers * 0.95

    assert_same(sweep(tiles, labels, WANTED), wanted, "sweep")
    events = [lake.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS)]
    assert_same(rebuild(*events, labels, WANTED), wanted, "rebuild")
    sums, before = None, None
    for as_of in map(day, as_of_days):
        of_day = labels.filter(F.col("as_of") == F.lit(as_of))
        if sums is None or before is None:
            sums = sweep(tiles, of_day, WANTED).localCheckpoint()
        else:
            sums = advance(sums, tiles, of_day, before, as_of, WANTED).localCheckpoint()
        assert_same(sums, known(wanted, [as_of]), f"advance from {before} to {as_of}")
        before = as_of
    tiles.unpersist()
