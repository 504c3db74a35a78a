"""Events -> day tiles: the sum of one arrival day's news about one seller and event day."""

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from transforms.tables.measures import MEASURES
from transforms.tables.silver import SELLER_DAY

KEY = ("seller_id", "event_day", "arrival_day")
AT_THE_DOOR = ("applied", "declined", "approved", "outcome")
"""Kinds of loan event that are no history of a seller's: who asks for a loan early is no older for it."""


def seller_days(orders: DataFrame, payments: DataFrame, loans: DataFrame, buyers: DataFrame) -> DataFrame:
    """Sum news to one row a seller, event day and arrival day.

    `orders`, `payments` and `loans` are events; `buyers` holds the changes of the buyer measures, with the same key.
    Loan events AT_THE_DOOR make no tile. Sums of integers only, so that tiles add up in any order and a correction is a
    negative tile.
    """
    book = loans.filter(~F.col("kind").isin(*AT_THE_DOOR))
    parts = [_values(orders, "order_event"), _values(payments, "payment_event"), _values(book, "loan_event")]
    return (
        reduce(DataFrame.unionByName, [*parts, _changes(buyers)])
        .groupBy(*KEY)
        .agg(*(F.sum(name).alias(name) for name in MEASURES))
        .withColumns(
            {
                "is_back_dated": F.col("arrival_day") > F.col("event_day"),
                "event_month": F.date_format("event_day", "yyyy-MM"),
            }
        )
        .select(*SELLER_DAY.names)
    )


def in_event_order(tiles: DataFrame) -> DataFrame:
    """Tiles as their table wants them: a day's rows together, a month's in a few files, for one day or for history."""
    # a week of a month is small enough for one task and large enough that history is no heap of tiny files
    week = F.floor(F.dayofmonth("event_day") / 8)
    return tiles.repartition("is_back_dated", "event_month", week).sortWithinPartitions(
        "is_back_dated", "event_month", "event_day", "seller_id"
    )


def _values(events: DataFrame, event: str) -> DataFrame:
    return events.select(
        *KEY,
        *(
            F.expr(measure.sql).alias(name) if measure.event == event else F.lit(0).cast("bigint").alias(name)
            for name, measure in MEASURES.items()
        ),
    )


def _changes(buyers: DataFrame) -> DataFrame:
    return buyers.select(
        *KEY,
        *(F.col(name) if name in buyers.columns else F.lit(0).cast("bigint").alias(name) for name in MEASURES),
    )


def active_day_changes(news: DataFrame, before: DataFrame) -> DataFrame:
    """Tell on which arrival day a seller's day came to have a paid order, or lost its last one.

    `news` are rows of silver.seller_buyer_day; `before` are the earlier tiles of the sellers and days in the news,
    whose paid_orders are the same orders. One row a change: KEY and active_days, 1 or -1.
    """
    daily = (
        news.select(*KEY, "orders", F.lit(True).alias("is_news"))
        .unionByName(before.select(*KEY, F.col("paid_orders").alias("orders"), F.lit(False).alias("is_news")))
        .groupBy(*KEY, "is_news")
        .agg(F.sum("orders").alias("orders"))
    )
    so_far = Window.partitionBy("seller_id", "event_day").orderBy("arrival_day")
    total = F.sum("orders").over(so_far)
    change = (total > 0).cast("bigint") - (total - F.col("orders") > 0).cast("bigint")
    return (
        daily.withColumn("active_days", change)
        .filter(F.col("is_news") & (F.col("active_days") != 0))
        .select(*KEY, "active_days")
    )
