"""What a seller's account held at the end of each of the last 90 days, as known before an as-of day."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from transforms.features.states.state import State
from transforms.windows.asked import Asked

BALANCE_DAYS = 90
LOOK_BACK_DAYS = 180
"""A balance holds until the next movement, for no more than 90 days before the window."""


def _balance(name: str, kind: str, meaning: str) -> State:
    return State(name, "day series", kind, meaning)


BALANCE_STATES = (
    _balance("balance_day_fen", "bigint", "balances at the ends of the last 90 days of which they are known, summed"),
    _balance("balance_days", "bigint", "days of the last 90 of which the balance is known"),
    _balance("lowest_balance_fen", "bigint", "lowest balance at a day's end, fen"),
    _balance("highest_balance_fen", "bigint", "highest balance at a day's end, fen"),
    _balance("balances", "array<struct<balance_fen:bigint,days:int>>", "each balance and the days for which it held"),
)


def balance_states_at(balances: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with BALANCE_STATES, from silver.seller_balance; only sellers with a balance.

    A day without a movement has the balance of the day before.
    """
    in_reach = (F.col("event_day") < F.col("as_of")) & (F.col("event_day") >= F.date_sub("as_of", LOOK_BACK_DAYS))
    known = (
        asked.of_sellers(balances).filter(in_reach & (F.col("arrival_day") < F.col("as_of"))).repartition("seller_id")
    )
    by_seller = Window.partitionBy("seller_id", "as_of").orderBy("event_day")
    until = F.coalesce(F.lead("event_day").over(by_seller), F.col("as_of"))
    from_day = F.greatest("event_day", F.date_sub("as_of", BALANCE_DAYS))
    held = (
        known.groupBy("seller_id", "as_of", "event_day")
        .agg(F.max_by("balance_fen", "arrival_day").alias("balance_fen"))
        .filter(F.col("balance_fen").isNotNull())
        .withColumn("days", F.date_diff(until, from_day))
        .filter(F.col("days") > 0)
    )
    return held.groupBy("seller_id", "as_of").agg(
        F.sum(F.col("balance_fen") * F.col("days")).alias("balance_day_fen"),
        F.sum("days").alias("balance_days"),
        F.min("balance_fen").alias("lowest_balance_fen"),
        F.max("balance_fen").alias("highest_balance_fen"),
        F.sort_array(F.collect_list(F.struct("balance_fen", "days"))).alias("balances"),
    )
