"""Outcomes of the two samples, by a definition: what became of the loans drawn, and of the book.

Origination: the loans that a seller drew in the 90 days from a day on, each followed until 90 days after its last
instalment. A seller-month without a draw has no outcome: unknown, never good. A cohort counts once all who drew, 99 of
a hundred by the definition, are settled: before that only who drew early and for a short time is. Behavioural: a seller
with exposure that is neither 30 days late nor in default; the 180 days from the day on. The two are never mixed.
"""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.outcome import OutcomeDefinition
from transforms.tiles.plans import LOAN

ORIGINATION, BEHAVIOURAL, GIVEN = "origination", "behavioural", "given"
_FAR = "9999-01-01"


def loan_outcomes(arrears: DataFrame, definition: OutcomeDefinition, known_by: date) -> DataFrame:
    """One row a loan with a draw, of `past_due.with_arrears`: loan_id, seller_id, drawn_on, settled_on (the as-of day
    on which it went bad, else on which its follow-up ends; null where no day can be told), worst_days_past_due, bad_on,
    bad_why, exposure_at_default_fen.

    What became of it is null where it is not settled by `known_by`. A default on another loan of the seller is one on
    this loan too, if it is outstanding on that day by at least the material amount. No day can be told without a due,
    and of a loan that was first heard of after its follow-up: how late it was then, nobody knew.
    """
    by_loan = Window.partitionBy(*LOAN)
    newest = F.max(F.struct("from_day", "last_due_on", "drawn_on", "rescheduled_on")).over(by_loan)
    of_plan = F.when(F.col("last_due_on").isNotNull(), F.struct("from_day", "last_due_on"))
    # rescheduled, and no new due told yet: followed by the plan before
    last_due_on = F.coalesce(
        "newest.last_due_on", F.when(F.col("newest.rescheduled_on").isNotNull(), F.col("newest_plan.last_due_on"))
    )
    loans = (
        arrears.withColumns({"newest": newest, "newest_plan": F.max(of_plan).over(by_loan)})
        .withColumns(
            {
                "drawn_on": F.col("newest.drawn_on"),
                "ends_on": F.date_add(last_due_on, definition.follow_up_days),
                "first_told": F.min("from_day").over(by_loan),
            }
        )
        .withColumn("followed_on", F.when(F.col("first_told") <= F.col("ends_on"), F.col("ends_on")))
    )
    in_time = F.col("from_day") <= F.col("followed_on")
    # the stretch may go on after the follow-up
    days_too_many = F.greatest(F.date_diff("until_day", "followed_on") - 1, F.lit(0))
    own = F.struct(F.col("bad_from").alias("day"), F.col("bad_why").alias("why"), F.col("exposure_fen"))
    of_others = (
        arrears.groupBy(F.col("loan_id").alias("other_id"), "seller_id")
        .agg(F.min("bad_from").alias("day"))
        .filter(F.col("day").isNotNull())
    )
    is_pulled = (
        (F.col("loan_id") != F.col("other_id"))
        & (F.col("day") >= F.col("from_day"))
        & (F.col("day") < F.col("until_day"))
        & (F.col("day") <= F.col("followed_on"))
        & (F.col("outstanding_fen") >= definition.material_fen)
    )
    pulled = (
        loans.join(of_others, "seller_id", "inner")
        .filter(is_pulled)
        .groupBy(*LOAN)
        .agg(
            F.min(
                F.struct(
                    "day", F.lit("default on another loan").alias("why"), F.col("outstanding_fen").alias("exposure_fen")
                )
            ).alias("by_others")
        )
    )
    judged = (
        loans.groupBy(*LOAN)
        .agg(
            F.max("drawn_on").alias("drawn_on"),
            F.max("followed_on").alias("followed_on"),
            F.coalesce(F.max(F.when(in_time, F.col("last_days") - days_too_many)), F.lit(0)).alias("worst"),
            F.min(F.when(F.col("bad_from") <= F.col("followed_on"), own)).alias("own"),
        )
        .filter(F.col("drawn_on").isNotNull())
        .join(pulled, [*LOAN], "left")
    )
    # of one day the loan's own default is the reason
    is_own = F.col("own").isNotNull() & (F.col("by_others").isNull() | (F.col("own.day") <= F.col("by_others.day")))
    default = F.when(is_own, F.col("own")).otherwise(F.col("by_others"))

    def when_settled(value: Column) -> Column:
        return F.when(F.col("settled_on") <= F.lit(known_by), value)

    settled = judged.withColumn("default", default).withColumn("settled_on", F.least("followed_on", "default.day"))
    return settled.select(
        *LOAN,
        "drawn_on",
        "settled_on",
        when_settled(F.greatest(F.col("worst"), F.lit(0))).cast("int").alias("worst_days_past_due"),
        when_settled(F.col("default.day")).alias("bad_on"),
        when_settled(F.col("default.why")).alias("bad_why"),
        when_settled(F.col("default.exposure_fen")).alias("exposure_at_default_fen"),
    )


def with_approvals(loans: DataFrame, events: DataFrame, known_by: date) -> DataFrame:
    """Add `approval_probability` to rows with a loan_id and seller_id: the smallest that an approval of the loan tells.

    Null where none tells one between 0 and 1; `events` is bronze.loan_events, of which what was known by a day counts.
    """
    is_told = (F.col("kind") == "approved") & (F.col("approval_probability") > 0) & (F.col("approval_probability") <= 1)
    approvals = (
        events.filter(is_told & (F.col("arrival_day") < F.lit(known_by)) & (F.col("event_day") < F.lit(known_by)))
        .groupBy(*LOAN, "approval_probability")
        .agg(F.sum("sign").alias("standing"))
        .filter(F.col("standing") > 0)
        .groupBy(*LOAN)
        .agg(F.min("approval_probability").alias("approval_probability"))
    )
    return loans.join(approvals, [*LOAN], "left")


def _approval() -> Column:
    """Of a seller's loans the largest probability: it is seen where any of them was approved. One without a record was
    approved by rule.
    """
    told = F.max(F.coalesce("approval_probability", F.lit(1.0)))
    return F.when(F.count("approval_probability") > 0, told)


def given_outcomes(events: DataFrame, known_by: date) -> DataFrame:
    """One row a seller and day on which a source gave an outcome, of bronze.loan_events known before `known_by`.
    Columns are those of `cohort_outcomes`.

    Of several that stand the worst counts: that of one loan may be amended, which takes the first one back.
    """
    is_given = (F.col("kind") == "outcome") & F.col("bad").isNotNull() & (F.col("arrival_day") < F.lit(known_by))
    standing = (
        events.filter(is_given)
        .groupBy("seller_id", F.col("event_day").alias("as_of"), "loan_id", "bad")
        .agg(F.sum("sign").alias("standing"), F.max("arrival_day").alias("arrived"))
        .filter(F.col("standing") > 0)
    )
    return standing.groupBy("seller_id", "as_of").agg(
        F.when(F.max("bad"), "bad").otherwise("good").alias("outcome"),
        F.lit("given by the source").alias("why"),
        F.count_distinct("loan_id").alias("loans"),
        F.lit(None).cast("int").alias("worst_days_past_due"),
        F.lit(None).cast("date").alias("bad_on"),
        F.lit(None).cast("bigint").alias("exposure_at_default_fen"),
        F.lit(None).cast("double").alias("approval_probability"),
        F.date_add(F.max("arrived"), 1).alias("known_on"),
    )


def cohort_outcomes(loans: DataFrame, labels: DataFrame, definition: OutcomeDefinition, known_by: date) -> DataFrame:
    """One row a label (seller_id, as_of): outcome, why, loans, worst_days_past_due, bad_on, exposure_at_default_fen,
    approval_probability, known_on.

    `loans` come from `loan_outcomes`, and from `with_approvals` where probabilities of approval are wanted: all loans
    of the ledger, also of sellers without a label. Of several loans the worst counts: one that is bad settles it, else
    all must be followed to the end. No outcome is known before its cohort is (`_cohorts_settled`), so that neither
    quick defaults nor quick repayments are counted early.
    """
    labels = labels.select("seller_id", "as_of")
    is_of_cohort = (F.col("drawn_on") >= F.col("as_of")) & (
        F.col("drawn_on") < F.date_add("as_of", definition.draw_days)
    )
    drawn = loans.join(F.broadcast(labels.select("as_of").distinct()), is_of_cohort)
    all_are_settled = F.count("settled_on") == F.count(F.lit(1))
    sellers = drawn.groupBy("seller_id", "as_of").agg(
        F.count(F.lit(1)).alias("loans"),
        F.max("worst_days_past_due").alias("worst_days_past_due"),
        F.min(F.when(F.col("bad_on").isNotNull(), F.struct("bad_on", "bad_why"))).alias("bad"),
        F.sum("exposure_at_default_fen").alias("exposure_at_default_fen"),
        (_approval() if "approval_probability" in loans.columns else F.lit(None)).alias("approval"),
        F.coalesce(F.min("bad_on"), F.when(all_are_settled, F.max("settled_on"))).alias("settled_on"),
    )
    cohorts = F.broadcast(_cohorts_settled(sellers, definition))
    judged = labels.join(sellers, ["seller_id", "as_of"], "left").join(cohorts, "as_of", "left")
    has_none = F.col("loans").isNull()
    is_open = F.col("settled_on").isNull() | (F.col("settled_on") > F.lit(known_by))
    known_on = F.greatest("settled_on", "cohort_settled_on")
    why_unknown = (
        F.when(has_none, f"no loan drawn in the {definition.draw_days} days from the as-of day on")
        .when(is_open, "a loan is not followed to its end yet")
        .otherwise("the cohort is not followed to its end yet")
    )
    is_unknown = has_none | is_open | (known_on > F.lit(known_by))
    return _told(judged.withColumn("known_on", known_on), is_unknown, why_unknown, definition)


def _cohorts_settled(sellers: DataFrame, definition: OutcomeDefinition) -> DataFrame:
    """One row a cohort with a loan: as_of, cohort_settled_on, the first day by which its draws are over and the
    definition's share of those who drew is settled. Those of whom no day can be told apart: they would hold their
    cohort back for ever.
    """
    by_day = (
        sellers.filter(F.col("settled_on").isNotNull())
        .groupBy("as_of", "settled_on")
        .agg(F.count(F.lit(1)).alias("settled"))
    )
    cohort = Window.partitionBy("as_of")
    share = F.sum("settled").over(cohort.orderBy("settled_on")) / F.sum("settled").over(cohort)
    return (
        by_day.withColumn("share", share)
        .filter(F.col("share") >= definition.cohort_share)
        .groupBy("as_of")
        .agg(F.min("settled_on").alias("last"))
        .select("as_of", F.greatest("last", F.date_add("as_of", definition.draw_days)).alias("cohort_settled_on"))
    )


def default_episodes(arrears: DataFrame, definition: OutcomeDefinition, known_by: date) -> DataFrame:
    """One row a seller and default: seller_id, default_on, default_why, cured_on (null while it is not).

    Cured is after 90 days without arrears; a default before that continues the first. What was written off is not.
    """
    is_trouble = F.col("is_arrears") | F.col("bad_from").isNotNull()
    until = F.when(F.col("written_off_fen") > 0, F.to_date(F.lit(_FAR))).otherwise(F.col("until_day"))
    trouble = arrears.filter(is_trouble).select(
        "seller_id", "from_day", until.alias("until_day"), "bad_from", "bad_why"
    )
    before = Window.partitionBy("seller_id").orderBy("from_day", "until_day").rowsBetween(Window.unboundedPreceding, -1)
    so_far = Window.partitionBy("seller_id").orderBy("from_day", "until_day")
    is_new = F.coalesce(F.date_diff("from_day", F.max("until_day").over(before)) >= definition.cure_days, F.lit(True))
    cured_on = F.date_add(F.max("until_day"), definition.cure_days)
    return (
        trouble.withColumn("is_new", is_new.cast("int"))
        .withColumn("episode", F.sum("is_new").over(so_far))
        .groupBy("seller_id", "episode")
        .agg(
            F.min(F.when(F.col("bad_from").isNotNull(), F.struct("bad_from", "bad_why"))).alias("first"),
            F.when(cured_on <= F.lit(known_by), cured_on).alias("cured_on"),
        )
        .filter(F.col("first").isNotNull())
        .select(
            "seller_id",
            F.col("first.bad_from").alias("default_on"),
            F.col("first.bad_why").alias("default_why"),
            "cured_on",
        )
    )


def behavioural_outcomes(
    arrears: DataFrame, labels: DataFrame, definition: OutcomeDefinition, known_by: date
) -> DataFrame:
    """The same columns as `cohort_outcomes`, for the labels whose seller has exposure, is under 30 days late, and is
    neither in default nor on probation: sellers already bad would only inflate every figure.
    """
    key = ["seller_id", "as_of"]
    days = definition.performance_days
    at_days = arrears.join(labels.select(*key), "seller_id", "inner")
    holds = (F.col("from_day") <= F.col("as_of")) & (F.col("as_of") < F.col("until_day"))
    late = F.when(holds & F.col("is_arrears"), F.date_diff("as_of", "oldest_due_on")).otherwise(0)
    end = F.date_add("as_of", days)
    is_after = (F.col("from_day") <= end) & (F.col("until_day") > F.date_add("as_of", 1))
    days_too_many = F.greatest(F.date_diff("until_day", end) - 1, F.lit(0))
    is_bad = (F.col("bad_from") > F.col("as_of")) & (F.col("bad_from") <= end)
    # all of a seller's loans default with the first: each by what was outstanding then, as in the other sample
    first = F.min(F.when(is_bad, F.col("bad_from"))).over(Window.partitionBy(*key))
    is_then = (F.col("from_day") <= F.col("defaulted_on")) & (F.col("defaulted_on") < F.col("until_day"))
    at_default = F.when(F.col("bad_from") == F.col("defaulted_on"), F.col("exposure_fen")).when(
        is_then & (F.col("outstanding_fen") >= definition.material_fen), F.col("outstanding_fen")
    )
    book = (
        at_days.withColumn("defaulted_on", first)
        .groupBy(*key)
        .agg(
            F.sum(F.when(holds & (F.col("outstanding_fen") > 0), F.col("outstanding_fen")).otherwise(0)).alias(
                "exposure"
            ),
            F.coalesce(F.sum((holds & (F.col("outstanding_fen") > 0)).cast("bigint")), F.lit(0)).alias("loans"),
            F.max(late).alias("late"),
            F.coalesce(F.max(F.when(is_after, F.col("last_days") - days_too_many)), F.lit(0)).alias("worst"),
            F.min(F.when(is_bad, F.struct(F.col("bad_from").alias("bad_on"), "bad_why"))).alias("bad"),
            F.sum(at_default).alias("exposure_at_default_fen"),
        )
        .filter((F.col("exposure") > 0) & (F.col("late") < definition.indeterminate_days))
    )
    episodes = default_episodes(arrears, definition, known_by)
    in_default = (F.col("default_on") <= F.col("as_of")) & (
        F.col("cured_on").isNull() | (F.col("as_of") < F.col("cured_on"))
    )
    already = labels.select(*key).join(episodes, "seller_id", "inner").filter(in_default).select(*key).distinct()
    judged = book.join(already, key, "left_anti").withColumns(
        {
            "worst_days_past_due": F.greatest(F.col("worst"), F.lit(0)).cast("int"),
            "known_on": end,
            "approval": F.lit(None),
        }
    )
    is_unknown = F.col("known_on") > F.lit(known_by)
    return _told(judged, is_unknown, F.lit(f"the {days} days are not over yet"), definition)


def _told(judged: DataFrame, is_unknown: Column, why_unknown: Column, definition: OutcomeDefinition) -> DataFrame:
    bad_why, worst = F.col("bad.bad_why"), F.col("worst_days_past_due")
    is_between = worst >= definition.indeterminate_days
    outcome = (
        F.when(is_unknown, "unknown")
        .when(bad_why.isNotNull(), "bad")
        .when(is_between, "indeterminate")
        .otherwise("good")
    )
    why = (
        F.when(is_unknown, why_unknown)
        .when(bad_why.isNotNull(), bad_why)
        .when(is_between, f"{definition.indeterminate_days} to {definition.bad_days - 1} days past due")
        .otherwise(f"under {definition.indeterminate_days} days past due")
    )
    told = judged.withColumns({"told": outcome, "reason": why, "is_unknown": is_unknown})
    known = ~F.col("is_unknown")
    return told.select(
        "seller_id",
        "as_of",
        F.col("told").alias("outcome"),
        F.col("reason").alias("why"),
        F.coalesce("loans", F.lit(0)).cast("bigint").alias("loans"),
        F.when(known, F.col("worst_days_past_due")).alias("worst_days_past_due"),
        F.when(known & (F.col("told") == "bad"), F.col("bad.bad_on")).alias("bad_on"),
        F.when(known & (F.col("told") == "bad"), F.col("exposure_at_default_fen")).alias("exposure_at_default_fen"),
        F.col("approval").cast("double").alias("approval_probability"),
        F.when(known, F.col("known_on")).alias("known_on"),
    )


BUCKETS = ("0", "1-29", "30-59", "60-89", "90+", "written off", "repaid")


def roll_rates(arrears: DataFrame, as_of_days: DataFrame) -> DataFrame:
    """Loans by where they were at a month's end and where at the next: before, after (of BUCKETS), loans.

    Shows which cut is a point of no return: from there on few loans go back. `as_of_days` are month ends, none twice.
    """
    days = F.date_diff("as_of", "oldest_due_on")
    bucket = (
        F.when(F.col("written_off_fen") > 0, "written off")
        .when(F.col("outstanding_fen") <= 0, "repaid")
        .when(~F.col("is_arrears"), "0")
        .when(days < 30, "1-29")
        .when(days < 60, "30-59")
        .when(days < 90, "60-89")
        .otherwise("90+")
    )
    holds = (F.col("from_day") <= F.col("as_of")) & (F.col("as_of") < F.col("until_day"))
    at = arrears.join(F.broadcast(as_of_days), holds, "inner").select(*LOAN, "as_of", bucket.alias("before"))
    by_loan = Window.partitionBy(*LOAN).orderBy("as_of")
    rolled = at.withColumn("after", F.lead("before").over(by_loan)).filter(F.col("after").isNotNull())
    return (
        rolled.filter(~F.col("before").isin("repaid", "written off"))
        .groupBy("before", "after")
        .agg(F.count(F.lit(1)).alias("loans"))
    )
