"""Loan events -> what was past due of each loan on every day, as known then.

An as-of day sees what happened and arrived before it, by the plan then in force (transforms/tiles/plans.py).
"""

from datetime import date, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.outcome import OutcomeDefinition
from transforms.tiles.plans import LOAN, plan_events, standing


def loan_segments(events: DataFrame, known_by: date) -> DataFrame:
    """One row a loan and stretch of as-of days [from_day, until_day) on which nothing changed, up to `known_by`.

    Columns: loan_id, seller_id, from_day, until_day, drawn_on, outstanding_fen, past_due_fen (of instalments that fell
    due before), oldest_due_on (the oldest of them that is not paid; null where none), last_due_on (of the plan), and
    written_off_fen, rescheduled_on. Days past due on a day `d` are `d - oldest_due_on`.
    """
    known = plan_events(events.filter(F.col("arrival_day") < F.lit(known_by)))
    # what is known changes the day after news came; what is past due, the day after an instalment falls due
    news = known.select(*LOAN, F.date_add("arrival_day", 1).alias("from_day"))
    dues = known.filter(F.col("due_on") < F.lit(known_by)).select(*LOAN, F.date_add("due_on", 1).alias("from_day"))
    first = known.groupBy(*LOAN).agg(F.date_add(F.min("arrival_day"), 1).alias("first_day"))
    days = news.union(dues).distinct().join(first, [*LOAN]).filter(F.col("from_day") >= F.col("first_day"))
    states, instalments = standing(known, days.drop("first_day"))
    is_late = (F.col("due_on") < F.col("from_day")) & (F.col("unpaid_fen") > 0)
    late = instalments.groupBy(*LOAN, "from_day").agg(
        F.sum(F.when(is_late, F.col("unpaid_fen")).otherwise(0)).alias("past_due_fen"),
        F.min(F.when(is_late, F.col("due_on"))).alias("oldest_due_on"),
        F.max("due_on").alias("last_due_on"),
    )
    by_loan = Window.partitionBy(*LOAN).orderBy("from_day")
    end = F.lit(known_by + timedelta(days=1))
    return (
        states.join(late, [*LOAN, "from_day"], "left")
        .withColumn("until_day", F.coalesce(F.lead("from_day").over(by_loan), end))
        .select(
            *LOAN,
            "from_day",
            "until_day",
            "drawn_on",
            "outstanding_fen",
            F.coalesce("past_due_fen", F.lit(0)).alias("past_due_fen"),
            "oldest_due_on",
            "last_due_on",
            "written_off_fen",
            "rescheduled_on",
        )
    )


def with_arrears(segments: DataFrame, definition: OutcomeDefinition) -> DataFrame:
    """Add what a stretch means: is_arrears, last_days (past due on its last day), bad_from (a day in it) and bad_why.

    Below the material amounts, or with nothing outstanding, nothing is past due. `exposure_fen` is what was outstanding
    when the stretch began, before a write-off in it.
    """
    by_loan = Window.partitionBy(*LOAN).orderBy("from_day")
    is_arrears = (
        F.col("oldest_due_on").isNotNull()
        & (F.col("outstanding_fen") > 0)
        & (F.col("past_due_fen") >= definition.material_fen)
        & (F.col("past_due_fen") >= F.col("outstanding_fen") * definition.material_share)
    )
    judged = segments.withColumns(
        {
            "is_arrears": is_arrears,
            "last_days": F.when(is_arrears, F.date_diff("until_day", "oldest_due_on") - 1).otherwise(0),
        }
    )
    before = {name: F.lag(name).over(by_loan) for name in ("rescheduled_on", "last_days", "outstanding_fen")}
    is_new_plan = F.col("rescheduled_on").isNotNull() & ~F.col("rescheduled_on").eqNullSafe(before["rescheduled_on"])
    days_then = F.when(before["last_days"] > 0, before["last_days"] + 1).otherwise(0)
    is_distressed = is_new_plan & (days_then >= definition.distressed_days)
    is_written_off = F.col("written_off_fen") > 0
    late_from = F.greatest(F.col("from_day"), F.date_add("oldest_due_on", definition.bad_days))
    is_late = is_arrears & (late_from < F.col("until_day"))
    at_once = is_written_off | F.col("is_distressed")
    return judged.withColumns(
        {
            "is_distressed": is_distressed,
            "exposure_fen": F.when(is_written_off, F.coalesce(before["outstanding_fen"], "outstanding_fen")).otherwise(
                F.col("outstanding_fen")
            ),
        }
    ).withColumns(
        {
            "bad_from": F.when(at_once, F.col("from_day")).when(is_late, late_from),
            "bad_why": F.when(is_written_off, "written off")
            .when(F.col("is_distressed"), "rescheduled in distress")
            .when(is_late, f"{definition.bad_days} or more days past due"),
        }
    )
