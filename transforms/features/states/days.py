"""A seller's days in order: weeks, gaps, the busiest day, and what left the account after a draw."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from transforms.features.states.state import State
from transforms.windows.asked import Asked

WEEKS = 26
GAP_DAYS = 180
DRAW_DAYS = 365
CASH_OUT_DAYS = 2
"""A withdrawal on the day of a draw or so many days after counts as cashed out."""

DAY_MEASURES = ("paid_orders", "paid_fen", "net_sales_fen", "drawn_fen", "withdrawn_fen")
"""Measures of the tiles that the states are made of."""


def _series(name: str, kind: str, meaning: str, needs: tuple[str, ...] = (), none: str | None = "0") -> State:
    return State(name, "day series", kind, meaning, needs or ("order_event.paid",), none)


DAY_STATES = (
    _series(
        "weekly_sales",
        "array<bigint>",
        "net sales of each of the last 26 weeks, newest first, fen",
        none=f"array_repeat(0L, {WEEKS})",
    ),
    _series(
        "sales_gap_days", "int", "longest run of days without a paid order in the last 180 days", none=str(GAP_DAYS)
    ),
    _series("quiet_days", "int", "days from the newest paid order of the last 180 days to the as-of day", none=None),
    _series("busiest_day_orders", "bigint", "orders paid on the busiest day of the last 90"),
    _series("best_day_fen", "bigint", "amount of orders paid on the best day of the last 90, fen"),
    _series(
        "cashed_out_fen",
        "bigint",
        "withdrawn by the owner on the day of a draw of the last 365 days or the two days after, fen",
        ("loan_event.drawn", "payment_event.withdrawal"),
    ),
)


def day_states_at(tiles: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with DAY_STATES, from rows of silver.seller_day; only sellers with a day in them."""
    age = F.date_diff("as_of", "event_day")
    sales_days = max(7 * WEEKS, GAP_DAYS)
    # beyond half a year only draws and withdrawals count
    is_in_reach = (age >= 1) & ((age <= sales_days) | ((F.col("drawn_fen") != 0) | (F.col("withdrawn_fen") != 0)))
    known = (
        asked.of_sellers(tiles.select("seller_id", "event_day", "arrival_day", *DAY_MEASURES))
        .filter(is_in_reach & (age <= DRAW_DAYS) & (F.col("arrival_day") < F.col("as_of")))
        # all that follows is worked out where a seller's days are: one exchange, and none to join the states
        .repartition("seller_id")
    )
    daily = known.groupBy("seller_id", "as_of", "event_day").agg(*(F.sum(name).alias(name) for name in DAY_MEASURES))
    in_order = Window.partitionBy("seller_id", "as_of").orderBy(F.unix_date("event_day"))
    sold_before = F.max("sold").over(in_order.rowsBetween(Window.unboundedPreceding, -1))
    drawn_lately = F.max(F.col("drawn_fen") > 0).over(in_order.rangeBetween(-CASH_OUT_DAYS, 0))
    week = F.floor((age - 1) / 7)
    is_recent = age <= 90
    series = (
        daily.withColumn("sold", F.when((F.col("paid_orders") > 0) & (age <= GAP_DAYS), F.col("event_day")))
        .withColumns({"sold_before": sold_before, "drawn_lately": drawn_lately})
        # the day before the window stands for the sale before the first
        .withColumn("gap", F.date_diff("sold", F.coalesce("sold_before", F.date_sub("as_of", GAP_DAYS + 1))) - 1)
        .groupBy("seller_id", "as_of")
        .agg(
            F.array(
                *(F.sum(F.when(week == n, F.col("net_sales_fen")).otherwise(0)).cast("bigint") for n in range(WEEKS))
            ).alias("weekly_sales"),
            F.date_diff("as_of", F.max("sold")).alias("quiet_days"),
            F.max("gap").alias("gap"),
            F.max(F.when(is_recent, F.col("paid_orders")).otherwise(0)).alias("busiest_day_orders"),
            F.max(F.when(is_recent, F.col("paid_fen")).otherwise(0)).alias("best_day_fen"),
            F.sum(F.when(F.col("drawn_lately"), F.col("withdrawn_fen")).otherwise(0)).alias("cashed_out_fen"),
        )
    )
    longest = F.coalesce(F.greatest("gap", F.col("quiet_days") - 1), F.lit(GAP_DAYS))
    return series.withColumn("sales_gap_days", longest.cast("int")).drop("gap")
