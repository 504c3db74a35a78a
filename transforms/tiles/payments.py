"""Payment events -> whom a seller paid, and what its account held at the end of a day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.tables.silver import SELLER_BALANCE, SELLER_PAYEE_DAY

PAID_FOR_SOMETHING = ("supplier", "wages", "transfer", "other")
"""Kinds of payment with a person or firm at the other end: not the platform, the state, a lender or the owner."""

_DAY = ["seller_id", "event_day"]


def payee_days(payments: DataFrame) -> DataFrame:
    """Payment events -> the change of what each seller paid to each counterparty, a row an event and arrival day."""
    took_place = ~F.coalesce("failed", F.lit(False))
    return (
        payments.filter((F.col("direction") == "out") & F.col("kind").isin(*PAID_FOR_SOMETHING) & took_place)
        .groupBy("seller_id", F.col("counterparty_id").alias("payee_id"), "event_day", "arrival_day")
        .agg(F.sum(F.col("sign") * F.col("amount_fen")).alias("paid_out_fen"))
        .filter(F.col("paid_out_fen") != 0)
        .withColumn("arrival_month", F.date_format("arrival_day", "yyyy-MM"))
        .select(*SELLER_PAYEE_DAY.names)
    )


def day_balances(payments: DataFrame) -> DataFrame:
    """One row a seller, event day and arrival day that brought news of it; needs every earlier event of these days.

    The day's last movement that no correction has voided tells the balance; of two at one time the greater id.
    """
    told = payments.filter((F.col("sign") == 1) & F.col("balance_fen").isNotNull())
    voided = payments.filter(F.col("sign") == -1).select(
        *_DAY, F.col("voids").alias("event_id"), F.col("arrival_day").alias("voided_on")
    )
    standing = told.select(
        *_DAY, "event_id", "happened_at", "balance_fen", F.col("arrival_day").alias("known_on")
    ).join(voided, [*_DAY, "event_id"], "left")
    news = standing.select(*_DAY, F.explode(F.array("known_on", "voided_on")).alias("arrival_day"))
    is_known = (F.col("known_on") <= F.col("arrival_day")) & ~(F.col("voided_on") <= F.col("arrival_day")).eqNullSafe(
        True
    )
    order = F.when(is_known, F.struct("happened_at", "event_id"))
    return (
        news.filter(F.col("arrival_day").isNotNull())
        .distinct()
        .join(standing, _DAY)
        .groupBy(*_DAY, "arrival_day")
        .agg(F.max_by("balance_fen", order).alias("balance_fen"))
        .withColumn("arrival_month", F.date_format("arrival_day", "yyyy-MM"))
        .select(*SELLER_BALANCE.names)
    )
