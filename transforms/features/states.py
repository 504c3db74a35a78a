"""What is not a sum: the state of a seller's loans and of its profile, as known before an as-of day."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

LONG_HELD_DAYS = 30
"""A loan repaid sooner proves little: its principal does not raise the next limit."""

LOAN_STATES = {
    "outstanding_fen": "bigint",
    "days_past_due": "int",
    "largest_days_past_due_365d": "int",
    "settled_loans": "bigint",
    "largest_principal_repaid": "bigint",
}
PROFILE_STATES = {
    "shop_age_days": "int",
    "verified": "int",
    "penalty_points": "int",
    "payout_account_days": "int",
    "closed": "int",
}


def loan_states_at(book: DataFrame, labels: DataFrame) -> DataFrame:
    """Labels (seller_id, as_of) with what silver.loan_book knew of the seller's loans; only sellers with a loan."""
    known = book.join(F.broadcast(labels.select("seller_id", "as_of")), "seller_id").filter(
        F.col("arrival_day") < F.col("as_of")
    )
    by_loan = Window.partitionBy("seller_id", "as_of", "loan_id").orderBy("arrival_day")
    # a state holds until the next one is known, the newest until the as-of day
    until = F.least(F.coalesce(F.lead("arrival_day").over(by_loan), F.col("as_of")), F.col("as_of"))
    is_owing = F.col("outstanding_fen") > 0
    past_due = F.greatest(F.date_diff("until", "oldest_unpaid_due_on"), F.lit(0))
    states = known.withColumns({"until": until, "is_newest": F.lead("arrival_day").over(by_loan).isNull()}).withColumn(
        "past_due", F.when(is_owing, F.coalesce(past_due, F.lit(0))).otherwise(0)
    )
    newest = F.col("is_newest")
    is_recent = F.col("until") > F.date_sub("as_of", 365)
    is_settled = newest & F.col("settled_on").isNotNull()
    was_long_held = F.date_diff("settled_on", "drawn_on") >= LONG_HELD_DAYS
    return states.groupBy("seller_id", "as_of").agg(
        F.sum(F.when(newest & is_owing, F.col("outstanding_fen")).otherwise(0)).alias("outstanding_fen"),
        F.max(F.when(newest, F.col("past_due")).otherwise(0)).cast("int").alias("days_past_due"),
        F.max(F.when(is_recent, F.col("past_due")).otherwise(0)).cast("int").alias("largest_days_past_due_365d"),
        F.sum(is_settled.cast("bigint")).alias("settled_loans"),
        F.max(F.when(is_settled & was_long_held, F.col("drawn_fen")).otherwise(0)).alias("largest_principal_repaid"),
    )


def profile_states_at(sellers: DataFrame, labels: DataFrame) -> DataFrame:
    """Labels (seller_id, as_of) with the newest profile version known then; only sellers with one.

    Of versions of one day the one learned last counts; a seller's versions are few, so that all are compared.
    """
    known = sellers.join(F.broadcast(labels.select("seller_id", "as_of")), "seller_id").filter(
        (F.col("changed_on") < F.col("as_of")) & (F.col("arrival_day") < F.col("as_of"))
    )
    in_order = Window.partitionBy("seller_id", "as_of").orderBy("changed_on", "arrival_day", "content_hash")
    before = F.lag("payout_account_id").over(in_order)
    is_change = F.col("payout_account_id").isNotNull() & (before.isNull() | (before != F.col("payout_account_id")))
    order = F.struct("changed_on", "arrival_day", "content_hash")
    return (
        known.withColumn("payout_changed_on", F.when(is_change, F.col("changed_on")))
        .groupBy("seller_id", "as_of")
        .agg(
            F.date_diff("as_of", F.max_by("registered_on", order)).alias("shop_age_days"),
            F.max_by("verified", order).cast("int").alias("verified"),
            F.max_by("penalty_points", order).alias("penalty_points"),
            F.date_diff("as_of", F.max("payout_changed_on")).alias("payout_account_days"),
            F.coalesce(F.max_by("closed_on", order) < F.col("as_of"), F.lit(False)).cast("int").alias("closed"),
        )
    )
