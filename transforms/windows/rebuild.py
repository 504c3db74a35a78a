"""Window sums from raw events as known on a day, by plain conditional aggregation: slow, obvious, used to check."""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.features.feature import EVER, column_of
from transforms.tables.measures import MEASURES
from transforms.tiles.days import AT_THE_DOOR
from transforms.windows.wide import WindowSums

_BUYER_MEASURES = ("active_days", "last_buyers", "first_buyers", "second_last_buyers")


def rebuild(
    orders: DataFrame, payments: DataFrame, loans: DataFrame, labels: DataFrame, wanted: WindowSums
) -> DataFrame:
    """The rows that `sweep` gives, from events alone: no tiles, no running sums, no moved days."""
    known = {
        event: _known(rows, labels)
        for event, rows in (("order_event", orders), ("payment_event", payments), ("loan_event", loans))
    }
    parts = [_sums(rows, event, wanted) for event, rows in known.items()]
    parts += [_buyers(known["order_event"], wanted), _first_days(known)]
    joined = reduce(
        lambda left, right: left.join(right, ["seller_id", "as_of"], "left"), parts, labels.select("seller_id", "as_of")
    )
    return joined.select(
        "seller_id",
        "as_of",
        "first_day",
        *(F.coalesce(column_of(m, days), F.lit(0)).cast("bigint").alias(column_of(m, days)) for m, days in wanted),
    )


def _known(events: DataFrame, labels: DataFrame) -> DataFrame:
    """Each label with the events that were known before its as-of day began: no hint, for labels may be many."""
    is_known = (F.col("event_day") < F.col("as_of")) & (F.col("arrival_day") < F.col("as_of"))
    return events.join(labels.select("seller_id", "as_of"), "seller_id").filter(is_known)


def _in_window(days: int) -> Column:
    return F.lit(True) if days == EVER else F.col("event_day") >= F.date_sub("as_of", days)


def _sums(known: DataFrame, event: str, wanted: WindowSums) -> DataFrame:
    sums = [
        F.sum(F.when(_in_window(days), F.expr(MEASURES[name].sql)).otherwise(0)).alias(column_of(name, days))
        for name, days in wanted
        if MEASURES[name].event == event
    ]
    rows = known.groupBy("seller_id", "as_of")
    return rows.agg(*sums) if sums else rows.agg(F.count(F.lit(1)).alias(f"count_of_{event}"))


def _buyers(known_orders: DataFrame, wanted: WindowSums) -> DataFrame:
    """Active days and buyers by their definitions, from the net paid orders of each pair and day."""
    pair_day = (
        known_orders.filter(F.col("kind") == "paid")
        .groupBy("seller_id", "as_of", "buyer_id", "event_day")
        .agg(F.sum("sign").alias("orders"))
        .filter(F.col("orders") > 0)
    )
    windows = sorted({days for name, days in wanted if name in _BUYER_MEASURES})
    pair = pair_day.groupBy("seller_id", "as_of", "buyer_id").agg(
        F.min("event_day").alias("first_day"),
        *(F.sum(F.when(_in_window(days), F.col("orders")).otherwise(0)).alias(f"orders_{days}") for days in windows),
    )
    is_new = {
        days: F.lit(True) if days == EVER else F.col("first_day") >= F.date_sub("as_of", days) for days in windows
    }
    definitions = {
        "last_buyers": lambda days: F.col(f"orders_{days}") > 0,
        "second_last_buyers": lambda days: F.col(f"orders_{days}") > 1,
        "first_buyers": lambda days: is_new[days],
    }
    buyers = pair.groupBy("seller_id", "as_of").agg(
        F.count(F.lit(1)).alias("buyers_known"),
        *(
            F.sum(definitions[name](days).cast("bigint")).alias(column_of(name, days))
            for name, days in wanted
            if name in definitions
        ),
    )
    days_with_orders = (
        pair_day.select("seller_id", "as_of", "event_day")
        .distinct()
        .groupBy("seller_id", "as_of")
        .agg(
            F.count(F.lit(1)).alias("days_known"),
            *(
                F.sum(_in_window(days).cast("bigint")).alias(column_of(name, days))
                for name, days in wanted
                if name == "active_days"
            ),
        )
    )
    return buyers.join(days_with_orders, ["seller_id", "as_of"], "full")


def _first_days(known: dict[str, DataFrame]) -> DataFrame:
    of_history = known | {"loan_event": known["loan_event"].filter(~F.col("kind").isin(*AT_THE_DOOR))}
    parts = [rows.select("seller_id", "as_of", "event_day") for rows in of_history.values()]
    days = reduce(DataFrame.unionByName, parts)
    return days.groupBy("seller_id", "as_of").agg(F.min("event_day").alias("first_day"))
