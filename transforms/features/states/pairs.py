"""What a seller's buyers have done in the last 90 days, each buyer by itself, as known before an as-of day."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.features.states.state import State, sum_of_squares
from transforms.windows.asked import Asked

PAIR_DAYS = 90
TOP_BUYERS = 10
MONTH_DAYS = 30
CIRCLE_DAYS = 7
"""Money that a shop pays to a buyer within so many days of the buyer's order may have gone round."""


def _pair(name: str, kind: str, meaning: str) -> State:
    return State(name, "pair", kind, meaning, ("order_event.paid",), "0")


PAIR_STATES = (
    _pair("buyer_fen", "bigint", "amount of orders paid in the last 90 days, fen"),
    _pair("buyer_square_fen", "decimal(38,0)", "square of each buyer's amount of the last 90 days, summed, fen x fen"),
    _pair("largest_buyer_fen", "bigint", "amount of the buyer who paid most in the last 90 days, fen"),
    _pair("top_buyers_fen", "bigint", "amount of the ten buyers who paid most in the last 90 days, fen"),
    _pair("buyers_counted", "bigint", "buyers of the last 90 days"),
    _pair("buyers_here_alone", "bigint", "of these, buyers who bought from no other seller in the last 90 days"),
    _pair("buyers_before_30d", "bigint", "buyers with an order 60 to 31 days before the as-of day"),
    _pair("buyers_returned_30d", "bigint", "of these, buyers with an order in the last 30 days"),
    State(
        "circular_fen",
        "pair",
        "bigint",
        "amount of orders of the last 90 days whose buyer was paid by the seller within 7 days before or after, fen",
        ("order_event.paid", "payment_event.supplier"),
        "0",
    ),
)


def pair_states_at(pairs: DataFrame, payees: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with PAIR_STATES, from silver.seller_buyer_day and silver.seller_payee_day.

    Only sellers with a buyer in the window. Every seller's pairs are read, since a buyer may have bought elsewhere.
    """
    bought = asked.of_windows(pairs, PAIR_DAYS).repartition("buyer_id")
    in_last_month = F.col("event_day") >= F.date_sub("as_of", MONTH_DAYS)
    in_month_before = ~in_last_month & (F.col("event_day") >= F.date_sub("as_of", 2 * MONTH_DAYS))
    by_buyer = Window.partitionBy("as_of", "buyer_id")
    each = asked.only(
        bought.groupBy("as_of", "buyer_id", "seller_id")
        .agg(
            F.sum("orders").alias("orders"),
            F.sum("paid_fen").alias("fen"),
            _orders_while(in_last_month).alias("last_month"),
            _orders_while(in_month_before).alias("month_before"),
        )
        .filter(F.col("orders") > 0)
        .withColumn("shops", F.count(F.lit(1)).over(by_buyer))
    )
    was_here = F.col("month_before") > 0
    by_seller = Window.partitionBy("seller_id", "as_of").orderBy(F.desc("fen"), "buyer_id")
    top = (
        each.withColumn("place", F.row_number().over(by_seller))
        .filter(F.col("place") <= TOP_BUYERS)
        .groupBy("seller_id", "as_of")
        .agg(F.max("fen").alias("largest_buyer_fen"), F.sum("fen").alias("top_buyers_fen"))
    )
    return (
        each.groupBy("seller_id", "as_of")
        .agg(
            F.sum("fen").alias("buyer_fen"),
            sum_of_squares("fen").alias("buyer_square_fen"),
            F.count(F.lit(1)).alias("buyers_counted"),
            _count(F.col("shops") == 1).alias("buyers_here_alone"),
            _count(was_here).alias("buyers_before_30d"),
            _count(was_here & (F.col("last_month") > 0)).alias("buyers_returned_30d"),
        )
        .join(top, ["seller_id", "as_of"])
        .join(_circular(pairs, payees, asked), ["seller_id", "as_of"], "left")
    )


def _circular(pairs: DataFrame, payees: DataFrame, asked: Asked) -> DataFrame:
    """Amount of orders whose buyer the seller paid some days before or after; only sellers with such an order."""
    key = ["as_of", "seller_id", "buyer_id"]
    paid_out = (
        asked.of_windows(payees.withColumnRenamed("payee_id", "buyer_id"), PAIR_DAYS + CIRCLE_DAYS)
        .groupBy(*key, F.col("event_day").alias("paid_out_on"))
        .agg(F.sum("paid_out_fen").alias("paid_out_fen"))
        .filter(F.col("paid_out_fen") > 0)
    )
    of_payees = pairs.join(paid_out.select("seller_id", "buyer_id").distinct(), ["seller_id", "buyer_id"], "left_semi")
    bought = asked.of_windows(of_payees, PAIR_DAYS).groupBy(*key, "event_day").agg(F.sum("paid_fen").alias("fen"))
    is_near = F.abs(F.date_diff("event_day", "paid_out_on")) <= CIRCLE_DAYS
    # an order counts once, however often its buyer was paid about then
    near = bought.join(paid_out, key).filter(is_near).groupBy(*key, "event_day").agg(F.max("fen").alias("fen"))
    return near.groupBy("seller_id", "as_of").agg(F.sum("fen").alias("circular_fen"))


def _orders_while(condition: Column) -> Column:
    return F.sum(F.when(condition, F.col("orders")).otherwise(0))


def _count(condition: Column) -> Column:
    return F.sum(condition.cast("bigint"))
