"""Outcomes of the origination sample: what became of the loans that a seller drew in the 90 days from a day on.

Bad: 90 or more days past due with at least 1 % of exposure and 100 yuan past due, or written off. Indeterminate: worst
30 to 89 days. A seller-month without a draw has no outcome: unknown, never good. [EU 2018/171 for materiality, its
amounts scaled to small draws; EBA/GL/2016/07]
"""

from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

DRAW_DAYS = 90
"""Loans drawn in [as_of, as_of + 90) are the cohort's."""

FOLLOW_UP_DAYS = 90
"""A loan is followed until this many days after its last instalment falls due."""


@dataclass(frozen=True)
class Definition:
    """When a loan is bad."""

    bad_days: int = 90
    indeterminate_days: int = 30
    material_share: float = 0.01
    material_fen: int = 10_000


def loan_outcomes(book: DataFrame, definition: Definition, known_by: date) -> DataFrame:
    """One row a loan of silver.loan_book: seller_id, drawn_on, followed_on (the as-of day on which its follow-up
    ends), worst_days_past_due, is_written_off; the last two null where it is not followed to the end by `known_by`.
    """
    known = book.filter(F.col("arrival_day") < F.lit(known_by))
    by_loan = Window.partitionBy("loan_id").orderBy("arrival_day")
    whole_loan = Window.partitionBy("loan_id")
    followed_on = F.date_add(F.max("last_due_on").over(whole_loan), FOLLOW_UP_DAYS)
    states = known.withColumns(
        {
            "next_arrival": F.lead("arrival_day").over(by_loan),
            "followed_on": followed_on,
            "first_drawn_on": F.min("drawn_on").over(whole_loan),
        }
    ).filter(F.col("first_drawn_on").isNotNull())
    # news that arrives on a day is seen by the as-of days after it
    until = F.least(F.coalesce("next_arrival", "followed_on"), F.col("followed_on"))
    in_time = F.col("arrival_day") < F.col("followed_on")
    is_material = (F.col("oldest_unpaid_fen") >= definition.material_fen) & (
        F.col("oldest_unpaid_fen") >= F.col("outstanding_fen") * definition.material_share
    )
    days = F.greatest(F.date_diff(until, "oldest_unpaid_due_on"), F.lit(0))
    # a written-off balance is no longer outstanding, but nobody paid it
    is_owing = (F.col("outstanding_fen") > 0) & is_material & in_time
    return (
        states.groupBy("loan_id")
        .agg(
            F.max("seller_id").alias("seller_id"),
            F.min("first_drawn_on").alias("drawn_on"),
            F.max("followed_on").alias("followed_on"),
            F.max(F.when(is_owing, F.coalesce(days, F.lit(0))).otherwise(0)).alias("worst"),
            F.max(in_time & (F.col("written_off_fen") > 0)).alias("written_off"),
        )
        .select(
            "loan_id",
            "seller_id",
            "drawn_on",
            "followed_on",
            _when_followed(F.col("worst"), known_by).cast("int").alias("worst_days_past_due"),
            _when_followed(F.col("written_off"), known_by).alias("is_written_off"),
        )
    )


def _when_followed(value: Column, known_by: date) -> Column:
    return F.when(F.col("followed_on") <= F.lit(known_by), value)


def cohort_outcomes(loans: DataFrame, labels: DataFrame, definition: Definition) -> DataFrame:
    """One row a label (seller_id, as_of): outcome, why, loans, worst_days_past_due, known_on.

    `loans` come from `loan_outcomes`. Of several loans the worst counts; one not yet followed to the end leaves the
    cohort's outcome unknown, whatever the others did, so that quick defaults are not counted early.
    """
    is_of_cohort = (F.col("drawn_on") >= F.col("as_of")) & (F.col("drawn_on") < F.date_add("as_of", DRAW_DAYS))
    drawn = loans.join(F.broadcast(labels.select("seller_id", "as_of")), "seller_id").filter(is_of_cohort)
    worst = drawn.groupBy("seller_id", "as_of").agg(
        F.count(F.lit(1)).alias("loans"),
        F.max(F.col("worst_days_past_due").isNull()).alias("is_open"),
        F.max("worst_days_past_due").alias("worst_days_past_due"),
        F.max(F.coalesce("is_written_off", F.lit(False))).alias("is_written_off"),
        # a loan without a due event is never followed to the end
        F.when(F.count("followed_on") == F.count(F.lit(1)), F.max("followed_on")).alias("followed_on"),
    )
    judged = labels.select("seller_id", "as_of").join(worst, ["seller_id", "as_of"], "left")
    is_unknown = F.col("loans").isNull() | F.col("is_open")
    is_bad = F.col("is_written_off") | (F.col("worst_days_past_due") >= definition.bad_days)
    is_between = F.col("worst_days_past_due") >= definition.indeterminate_days
    outcome = F.when(is_unknown, "unknown").when(is_bad, "bad").when(is_between, "indeterminate").otherwise("good")
    why = (
        F.when(F.col("loans").isNull(), f"no loan drawn in the {DRAW_DAYS} days from the as-of day on")
        .when(F.col("is_open"), "a loan is not followed to its end yet")
        .when(F.col("is_written_off"), "written off")
        .when(is_bad, f"{definition.bad_days} or more days past due")
        .when(is_between, f"{definition.indeterminate_days} to {definition.bad_days - 1} days past due")
        .otherwise(f"under {definition.indeterminate_days} days past due")
    )
    return judged.select(
        "seller_id",
        "as_of",
        outcome.alias("outcome"),
        why.alias("why"),
        F.coalesce("loans", F.lit(0)).alias("loans"),
        F.when(~is_unknown, F.col("worst_days_past_due")).alias("worst_days_past_due"),
        F.when(~is_unknown, F.col("followed_on")).alias("known_on"),
    )
