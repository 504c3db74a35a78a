"""Events -> day tiles: the sum of one arrival day's news about one seller and event day."""

from functools import partial, reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.tables.measures import BUYERS, MEASURES, Measure
from transforms.tables.silver import SELLER_DAY

KEY = ("seller_id", "event_day", "arrival_day")
PLACE = ("is_back_dated", "event_month", "week")
"""What the task that writes a tile is chosen by; all three follow from KEY."""


def seller_days(orders: DataFrame, payments: DataFrame, loans: DataFrame, buyers: DataFrame) -> DataFrame:
    """Sum news to one row a seller, event day and arrival day, in partitions as `placed` makes them.

    `orders`, `payments` and `loans` are events; `buyers` holds the changes of the buyer measures, with the same key.
    Sums of integers only, so that tiles add up in any order and a correction is a negative tile.
    """
    # Events are shuffled to where their tiles are written, and summed there: a row of sums is some five times as wide,
    # and tiles of two events were shuffled twice, to be summed and to be written (131 against 104 processor seconds
    # for 10^7 events).
    events = {"order_event": orders, "payment_event": payments, "loan_event": loans}
    told = [*(rows.withColumn("event", F.lit(event)) for event, rows in events.items()), _changes(buyers)]
    news = placed(reduce(partial(DataFrame.unionByName, allowMissingColumns=True), told))
    sums = (F.coalesce(_sum(measure), F.lit(0)).alias(measure.name) for measure in MEASURES.values())
    return news.groupBy(*KEY, *PLACE).agg(*sums).select(*SELLER_DAY.names)


def placed(rows: DataFrame) -> DataFrame:
    """Rows of event days where their table wants them: a day's together, a month's in a few files, for one day or for
    history. PLACE is added where it is lacking.
    """
    return rows.withColumns(
        {
            "is_back_dated": F.col("arrival_day") > F.col("event_day"),
            "event_month": F.date_format("event_day", "yyyy-MM"),
            # a week of a month is small enough for one task and large enough that history is no heap of tiny files
            "week": F.floor(F.dayofmonth("event_day") / 8),
        }
    ).repartition(*PLACE)


def in_event_order(tiles: DataFrame) -> DataFrame:
    """Placed tiles in the order of their files."""
    return tiles.sortWithinPartitions("is_back_dated", "event_month", "event_day", "seller_id")


def _sum(measure: Measure) -> Column:
    if measure.event == BUYERS:
        return F.sum(measure.name)
    of_event = f"event = '{measure.event}' and ({measure.when})"
    return F.expr(f"sum(cast(sign * ({measure.value}) as bigint)) filter (where {of_event})")


def _changes(buyers: DataFrame) -> DataFrame:
    names = [measure.name for measure in MEASURES.values() if measure.event == BUYERS]
    none = F.lit(None).cast("bigint")
    columns = (F.col(name) if name in buyers.columns else none.alias(name) for name in names)
    return buyers.select(*KEY, F.lit(BUYERS).alias("event"), *columns)


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
