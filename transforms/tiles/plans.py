"""What stands of each loan as of some days: its sums, and the instalments of the plan in force.

An as-of day sees what happened and arrived before it. Repayments pay the oldest instalment first, whatever the payer
had in mind. A rescheduling ends the plan before: only instalments due by events of its day or later stand (or its own,
where it names a due day), and only repayments from its day on pay them.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

_COUNTED = ("drawn", "due", "repaid", "rescheduled", "written_off")
LOAN = ("loan_id", "seller_id")
"""What a loan is known by: a source may number the loans of each seller from 1."""
_KEY = (*LOAN, "from_day")
_NO_PLAN = "1900-01-01"


def plan_events(events: DataFrame) -> DataFrame:
    """The events that a loan's state is made of, a row for all that are alike in LOAN, kind, event_day, arrival_day and
    due_on: their `fen`, and how `many` stand, corrections taken off.
    """
    counted = events.filter(F.col("kind").isin(*_COUNTED))
    return counted.groupBy(*LOAN, "kind", "event_day", "arrival_day", "due_on").agg(
        F.sum(F.col("sign") * F.col("amount_fen")).alias("fen"),
        F.sum("sign").alias("many"),
    )


def standing(known: DataFrame, days: DataFrame) -> tuple[DataFrame, DataFrame]:
    """States and instalments of loans as of `days` (loan_id, seller_id, from_day; none twice), from their plan_events.

    A state is a row a loan and day: drawn_on, repaid_on and rescheduled_on (the first draw, the newest repayment and
    rescheduling that stand; null where none does), drawn_fen, repaid_fen, written_off_fen, outstanding_fen, and
    paid_fen, what was repaid of the plan in force. An instalment is a row a loan, day and due_on: due_fen, unpaid_fen.
    """
    seen = days.join(known, [*LOAN]).filter(F.col("arrival_day") < F.col("from_day"))
    dated = F.col("kind").isin("drawn", "repaid", "rescheduled")
    # a day that was voided is no day of the loan, though its events are there
    stands = seen.filter(dated).groupBy(*_KEY, "kind", "event_day").agg(F.sum("many").alias("many")).filter("many > 0")
    marks = stands.groupBy(*_KEY).agg(
        F.min(F.when(F.col("kind") == "drawn", F.col("event_day"))).alias("drawn_on"),
        F.max(F.when(F.col("kind") == "repaid", F.col("event_day"))).alias("repaid_on"),
        F.max(F.when(F.col("kind") == "rescheduled", F.col("event_day"))).alias("rescheduled_on"),
    )
    seen = seen.join(marks, [*_KEY], "left")
    is_of_plan = F.col("event_day") >= F.coalesce("rescheduled_on", F.to_date(F.lit(_NO_PLAN)))

    def total(name: str, counts: str) -> Column:
        return F.sum(F.when(F.expr(counts), F.col("fen")).otherwise(0)).alias(name)

    states = (
        seen.withColumn("is_of_plan", is_of_plan)
        .groupBy(*_KEY, "drawn_on", "repaid_on", "rescheduled_on")
        .agg(
            total("drawn_fen", "kind = 'drawn'"),
            total("repaid_fen", "kind = 'repaid'"),
            total("written_off_fen", "kind = 'written_off'"),
            total("paid_fen", "kind = 'repaid' and is_of_plan"),
        )
        .withColumn("outstanding_fen", F.col("drawn_fen") - F.col("repaid_fen") - F.col("written_off_fen"))
    )
    # one that falls due on no day would hide all others: nulls come first
    is_instalment = F.col("kind").isin("due", "rescheduled") & F.col("due_on").isNotNull()
    plan = seen.filter(is_instalment & is_of_plan).groupBy(*_KEY, "due_on").agg(F.sum("fen").alias("due_fen"))
    so_far = F.sum("due_fen").over(Window.partitionBy(*_KEY).orderBy("due_on"))
    due = plan.filter("due_fen > 0").withColumn("due_so_far", so_far)
    unpaid = F.least(F.col("due_fen"), F.greatest(F.col("due_so_far") - F.col("paid_fen"), F.lit(0)))
    instalments = due.join(states.select(*_KEY, "paid_fen"), [*_KEY]).withColumn("unpaid_fen", unpaid)
    return states, instalments.drop("due_so_far", "paid_fen")
