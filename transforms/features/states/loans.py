"""The state of a seller's loans, as the loan book knew it before an as-of day."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.features.states.state import State
from transforms.windows.asked import Asked

LONG_HELD_DAYS = 30
"""A loan repaid sooner proves little: its principal does not raise the next limit."""

ON_TIME_DAYS = 3
"""News of a repayment may come some days late: fewer days past due than this count as on time."""

BAD_DAYS_PAST_DUE = 30
"""From here on a seller is a bad neighbour."""


# what a source must tell of for a state to be known
DRAWN = ("loan_event.drawn",)
REPAID = (*DRAWN, "loan_event.repaid")
DUE = (*REPAID, "loan_event.due")
"""Without instalments nobody is ever past due, and without repayments everybody is: both are unknown then."""


def _loan(name: str, kind: str, meaning: str, needs: tuple[str, ...], none: str | None = "0") -> State:
    return State(name, "loan", kind, meaning, needs, none)


LOAN_STATES = (
    _loan("outstanding_fen", "bigint", "principal outstanding, fen", REPAID),
    _loan("open_loans", "bigint", "loans with principal outstanding", REPAID),
    _loan("days_past_due", "int", "days past due of the oldest unpaid instalment", DUE),
    _loan("past_due_fen", "bigint", "unpaid of each loan's oldest instalment that is past due, fen", DUE),
    _loan("largest_days_past_due_365d", "int", "largest days past due in the last 365 days", DUE),
    _loan("settled_loans", "bigint", "loans repaid in full", REPAID),
    _loan("on_time_loans", "bigint", "of these, loans never more than 3 days past due", DUE),
    _loan("early_loans", "bigint", "of these, loans repaid before the last instalment fell due", DUE),
    _loan("settled_loan_days", "bigint", "days from draw to last repayment, summed over loans repaid in full", REPAID),
    _loan("largest_principal_repaid", "bigint", "largest loan repaid in full after 30 days or more, fen", REPAID),
    _loan(
        "days_without_arrears",
        "int",
        "days since a loan was past due, or since the first draw where none was",
        DUE,
        None,
    ),
    _loan("days_since_draw", "int", "days since the newest draw", DRAWN, None),
)


def loan_states_at(book: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with what silver.loan_book knew of the seller's loans; only sellers with a loan.

    Besides LOAN_STATES a row has `was_bad`: 30 days past due in the last 365 days, or written off.
    """
    return _states(asked.of_sellers(book))


def bad_sellers_at(book: DataFrame, asked: Asked) -> DataFrame:
    """Every seller with a loan, asked for or not, as of each of the days: outstanding_fen, was_bad."""
    states = _states(asked.of_days(book))
    return states.select("seller_id", "as_of", "outstanding_fen", "was_bad")


def _states(book: DataFrame) -> DataFrame:
    """Rows of the loan book, each with an as-of day, to the states of their sellers."""
    known = book.filter(F.col("arrival_day") < F.col("as_of")).repartition("seller_id")
    by_loan = Window.partitionBy("seller_id", "as_of", "loan_id").orderBy("arrival_day")
    next_known = F.lead("arrival_day").over(by_loan)
    past_due = F.greatest(F.date_diff("until", "oldest_unpaid_due_on"), F.lit(0))
    # a state holds until the next one is known, the newest until the as-of day
    states = known.withColumn("until", F.coalesce(next_known, F.col("as_of"))).withColumn(
        "past_due", F.when(F.col("outstanding_fen") > 0, F.coalesce(past_due, F.lit(0))).otherwise(0)
    )
    is_recent = F.col("until") > F.date_sub("as_of", 365)
    newest = ("outstanding_fen", "drawn_fen", "drawn_on", "last_due_on", "settled_on", "oldest_unpaid_fen", "past_due")
    loans = states.groupBy("seller_id", "as_of", "loan_id").agg(
        *(F.max_by(name, "arrival_day").alias(name) for name in newest),
        F.max("past_due").alias("worst"),
        F.max(F.when(is_recent, F.col("past_due")).otherwise(0)).alias("worst_365d"),
        F.max(F.when(F.col("past_due") > 0, F.col("until"))).alias("arrears_until"),
        F.max_by("written_off_fen", "arrival_day").alias("written_off_fen"),
    )
    is_settled = F.col("settled_on").isNotNull()
    held = F.date_diff("settled_on", "drawn_on")
    is_late = F.col("past_due") > 0
    clean_since = F.coalesce(F.max("arrears_until"), F.min("drawn_on"))
    is_bad = (F.col("worst_365d") >= BAD_DAYS_PAST_DUE) | (F.col("written_off_fen") > 0)
    return loans.groupBy("seller_id", "as_of").agg(
        F.sum(F.greatest("outstanding_fen", F.lit(0))).cast("bigint").alias("outstanding_fen"),
        _count(F.col("outstanding_fen") > 0).alias("open_loans"),
        F.max("past_due").cast("int").alias("days_past_due"),
        F.sum(F.when(is_late, F.col("oldest_unpaid_fen")).otherwise(0)).cast("bigint").alias("past_due_fen"),
        F.max("worst_365d").cast("int").alias("largest_days_past_due_365d"),
        _count(is_settled).alias("settled_loans"),
        _count(is_settled & (F.col("worst") <= ON_TIME_DAYS)).alias("on_time_loans"),
        _count(is_settled & (F.col("settled_on") < F.col("last_due_on"))).alias("early_loans"),
        F.sum(F.when(is_settled, held).otherwise(0)).cast("bigint").alias("settled_loan_days"),
        F.max(F.when(is_settled & (held >= LONG_HELD_DAYS), F.col("drawn_fen")).otherwise(0)).alias(
            "largest_principal_repaid"
        ),
        F.date_diff("as_of", clean_since).cast("int").alias("days_without_arrears"),
        F.date_diff("as_of", F.max("drawn_on")).cast("int").alias("days_since_draw"),
        F.max(is_bad).alias("was_bad"),
    )


def _count(condition: Column) -> Column:
    return F.sum(F.coalesce(condition.cast("bigint"), F.lit(0)))
