"""What a seller's loans of a cohort make of its outcome."""

from collections import Counter
from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.outcome import load_definition
from transforms.outcomes.cohorts import cohort_outcomes, given_outcomes, with_approvals

AS_OF = date(2024, 3, 1)
LOANS = (
    "loan_id string, seller_id string, drawn_on date, settled_on date, worst_days_past_due int, bad_on date,"
    " bad_why string, exposure_at_default_fen bigint"
)
ENDED, WENT_BAD = date(2024, 9, 1), date(2024, 7, 29)
Loan = tuple[date, date | None, int | None, date | None, str | None, int | None]


def loan(worst: int | None = 0, *, drawn_after: int = 0, written_off: bool = False) -> Loan:
    """A loan drawn so many days after the as-of day; a `worst` of None is not followed to its end yet."""
    drawn_on = AS_OF + timedelta(days=drawn_after)
    is_bad = written_off or (worst or 0) >= 90
    why = "written off" if written_off else "90 or more days past due"
    default = (WENT_BAD, why, 500_000) if is_bad else (None, None, None)
    return (drawn_on, None if worst is None else WENT_BAD if is_bad else ENDED, worst, *default)


CASES: dict[str, tuple[list[Loan], tuple[str, int, int | None, date | None]]] = {
    "nothing drawn": ([], ("unknown", 0, None, None)),
    "drawn before and after the quarter": (
        [loan(200, drawn_after=-1), loan(200, drawn_after=90)],
        ("unknown", 0, None, None),
    ),
    "first and last day of the quarter": ([loan(), loan(drawn_after=89)], ("good", 2, 0, ENDED)),
    "29 days": ([loan(29)], ("good", 1, 29, ENDED)),
    "30 days": ([loan(30)], ("indeterminate", 1, 30, ENDED)),
    "89 days": ([loan(89)], ("indeterminate", 1, 89, ENDED)),
    "90 days": ([loan(90)], ("bad", 1, 90, WENT_BAD)),
    "written off in time": ([loan(5, written_off=True)], ("bad", 1, 5, WENT_BAD)),
    "the worst of several": ([loan(3), loan(91), loan(40)], ("bad", 3, 91, WENT_BAD)),
    "bad, and another not yet followed": ([loan(91), loan(None)], ("bad", 2, 91, WENT_BAD)),
    "one followed, and another not yet": ([loan(3), loan(None)], ("unknown", 2, None, None)),
}


# one at a time: no outcome is known before its cohort is
@pytest.mark.parametrize("name", CASES)
def test_the_outcome_of_a_cohort(spark: SparkSession, name: str) -> None:
    loans, wanted = CASES[name]
    drawn = spark.createDataFrame([(f"l{n}", "s1", *values) for n, values in enumerate(loans)], LOANS)
    labels = spark.createDataFrame([("s1", AS_OF)], "seller_id string, as_of date")
    rows = cohort_outcomes(drawn, labels, load_definition("standard"), ENDED).collect()
    assert [(r["outcome"], r["loans"], r["worst_days_past_due"], r["known_on"]) for r in rows] == [wanted]
    assert [r["bad_on"] for r in rows] == [WENT_BAD if wanted[0] == "bad" else None]
    assert [r["approval_probability"] for r in rows] == [None]
    assert [r["exposure_at_default_fen"] for r in rows] == [500_000 if wanted[0] == "bad" else None]


def test_no_outcome_is_known_before_its_cohort_is(spark: SparkSession) -> None:
    """A hundred sellers: those with the shortest loans would else be the only ones of a young cohort."""
    definition = load_definition("standard")
    labels = spark.createDataFrame([(f"s{n}", AS_OF) for n in range(101)], "seller_id string, as_of date")

    def known_on(long: int, known_by: date, never: int = 0) -> dict[tuple[str, str, date | None], int]:
        """A hundred loans, of which some are followed to ENDED, and some never, the others to the day before."""
        ends = [None] * never + [ENDED] * long + [ENDED - timedelta(days=1)] * (100 - long - never)
        of_sellers = [
            (f"l{n}", f"s{n}", AS_OF, end, 0 if end and end <= known_by else None, None, None, None)
            for n, end in enumerate(ends)
        ]
        # drawn after the quarter, and so of no cohort
        of_sellers += [
            (f"x{n}", f"s{n}", AS_OF + timedelta(days=90), date(2025, 1, 1), None, *[None] * 3) for n in range(9)
        ]
        rows = cohort_outcomes(spark.createDataFrame(of_sellers, LOANS), labels, definition, known_by).collect()
        assert len(rows) == 101
        return Counter((row["outcome"], row["why"], row["known_on"]) for row in rows if row["loans"])

    good, open_loan = "under 30 days past due", "a loan is not followed to its end yet"
    young = "the cohort is not followed to its end yet"
    before = ENDED - timedelta(days=1)
    assert known_on(2, before) == {("unknown", open_loan, None): 2, ("unknown", young, None): 98}
    assert known_on(2, ENDED) == {("good", good, ENDED): 100}
    # one of a hundred holds back no other, and one that is never followed none at all
    assert known_on(1, before) == {("unknown", open_loan, None): 1, ("good", good, before): 99}
    assert known_on(0, before, never=5) == {("unknown", open_loan, None): 5, ("good", good, before): 95}
    # nor is a cohort known that is still drawing, however short its first loans are
    short = definition.model_copy(update={"follow_up_days": 30})
    day = AS_OF + timedelta(days=40)
    first = spark.createDataFrame([("l0", "s0", AS_OF, day, 0, None, None, None)], LOANS)
    rows = cohort_outcomes(first, labels, short, day + timedelta(days=49)).filter("loans > 0").collect()
    assert [row["why"] for row in rows] == [young]
    rows = cohort_outcomes(first, labels, short, day + timedelta(days=50)).filter("loans > 0").collect()
    assert [row["known_on"] for row in rows] == [AS_OF + timedelta(days=90)]


def test_the_approvals_that_stand_and_were_known_count(spark: SparkSession) -> None:
    drawn = spark.createDataFrame([(f"l{n}", "s1", *loan()) for n in range(3)], LOANS)
    day, later = date(2024, 3, 2), date(2024, 12, 2)
    told = [
        ("l0", "approved", 1.0, day, 1),
        ("l1", "approved", 0.3, day, 1),
        ("l1", "approved", 0.1, later, 1),  # not known yet
        ("l2", "approved", 0.05, day, 1),
        ("l2", "approved", 0.05, day, -1),
        ("l2", "approved", 0.0, day, 1),  # nobody is approved with a probability of 0
        ("l2", "applied", 0.02, day, 1),
    ]
    events = spark.createDataFrame(
        [("s1", *row[:3], row[3], *row[3:]) for row in told]
        # another seller's loan of the same id
        + [("s2", "l2", "approved", 0.5, day, day, 1)],
        "seller_id string, loan_id string, kind string, approval_probability double, event_day date,"
        " arrival_day date, sign int",
    )
    loans = with_approvals(drawn, events, date(2024, 12, 1))
    assert dict(loans.select("loan_id", "approval_probability").collect()) == {"l0": 1.0, "l1": 0.3, "l2": None}
    labels = spark.createDataFrame([("s1", AS_OF)], "seller_id string, as_of date")
    # a seller is seen where any of its loans was approved; one without a record was approved by rule
    for these, wanted in (("l1", 0.3), ("l0 l1", 1.0), ("l1 l2", 1.0), ("l2", None)):
        chosen = loans.filter(F.col("loan_id").isin(these.split()))
        (row,) = cohort_outcomes(chosen, labels, load_definition("standard"), ENDED).collect()
        assert (row["outcome"], row["approval_probability"]) == ("good", wanted), these


def test_of_outcomes_given_by_a_source_those_that_stand_and_were_known_count(spark: SparkSession) -> None:
    day, later = date(2024, 3, 2), date(2024, 12, 2)
    told = [
        ("amended", "l0", True, day, 1),
        ("amended", "l0", True, later, -1),  # a correction has the values of what it takes back
        ("amended", "l0", False, later, 1),
        ("taken back", "l1", True, day, 1),
        ("taken back", "l1", True, day, -1),
        ("two loans", "l2", False, day, 1),
        ("two loans", "l3", True, day, 1),
    ]
    events = spark.createDataFrame(
        [(seller, loan_id, "outcome", bad, AS_OF, known, sign) for seller, loan_id, bad, known, sign in told],
        "seller_id string, loan_id string, kind string, bad boolean, event_day date, arrival_day date, sign int",
    )

    def known_by(last: date) -> dict[str, tuple[str, int, date]]:
        rows = given_outcomes(events, last).collect()
        assert {row["as_of"] for row in rows} == {AS_OF}
        return {row["seller_id"]: (row["outcome"], row["loans"], row["known_on"]) for row in rows}

    then, after = day + timedelta(days=1), later + timedelta(days=1)
    assert known_by(later) == {"amended": ("bad", 1, then), "two loans": ("bad", 2, then)}
    assert known_by(after) == {"amended": ("good", 1, after), "two loans": ("bad", 2, then)}
