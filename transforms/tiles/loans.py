"""Loan events -> the loan book: each loan's state as known from one arrival day on."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.tables.silver import LOAN_BOOK
from transforms.tiles.plans import LOAN, plan_events, standing


def loan_states(events: DataFrame) -> DataFrame:
    """One row a loan and arrival day that brought news of it; needs every earlier event of the loans in it.

    Days past due at an as-of day `d` are `d - oldest_unpaid_due_on`: nothing happens on the days in between.
    """
    known = plan_events(events)
    # what a day brought is known as of the next
    states, instalments = standing(
        known, known.select(*LOAN, F.date_add("arrival_day", 1).alias("from_day")).distinct()
    )
    unpaid = F.when(F.col("unpaid_fen") > 0, F.struct("due_on", "unpaid_fen"))
    plans = instalments.groupBy(*LOAN, "from_day").agg(
        F.max("due_on").alias("last_due_on"), F.min(unpaid).alias("oldest")
    )
    is_repaid = (F.col("drawn_fen") > 0) & (F.col("outstanding_fen") <= 0) & (F.col("written_off_fen") <= 0)
    return (
        states.join(plans, [*LOAN, "from_day"], "left")
        .withColumns(
            {
                "arrival_day": F.date_sub("from_day", 1),
                "oldest_unpaid_due_on": F.col("oldest.due_on"),
                "oldest_unpaid_fen": F.coalesce("oldest.unpaid_fen", F.lit(0)).cast("bigint"),
                "settled_on": F.when(is_repaid, F.col("repaid_on")),
            }
        )
        .select(*LOAN_BOOK.names)
    )
