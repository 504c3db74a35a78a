"""What a seller's loans of a cohort make of its outcome."""

from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from transforms.outcomes.cohorts import Definition, cohort_outcomes

AS_OF = date(2024, 3, 1)
LOANS = (
    "loan_id string, seller_id string, drawn_on date, followed_on date, worst_days_past_due int, is_written_off boolean"
)
ENDED = date(2024, 9, 1)
Loan = tuple[date, date | None, int | None, bool | None]


def loan(worst: int | None = 0, *, drawn_after: int = 0, written_off: bool = False) -> Loan:
    """A loan drawn so many days after the as-of day; a `worst` of None is not followed to its end yet."""
    is_open = worst is None
    return (AS_OF + timedelta(days=drawn_after), None if is_open else ENDED, worst, None if is_open else written_off)


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
    "90 days": ([loan(90)], ("bad", 1, 90, ENDED)),
    "written off in time": ([loan(5, written_off=True)], ("bad", 1, 5, ENDED)),
    "the worst of several": ([loan(3), loan(91), loan(40)], ("bad", 3, 91, ENDED)),
    "bad, and another not yet followed": ([loan(91), loan(None)], ("unknown", 2, None, None)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_outcome_of_a_cohort(spark: SparkSession, name: str) -> None:
    loans, wanted = CASES[name]
    drawn = spark.createDataFrame([(f"l{n}", "s1", *values) for n, values in enumerate(loans)], LOANS)
    labels = spark.createDataFrame([("s1", AS_OF)], "seller_id string, as_of date")
    rows = cohort_outcomes(drawn, labels, Definition()).collect()
    assert [(r["outcome"], r["loans"], r["worst_days_past_due"], r["known_on"]) for r in rows] == [wanted]
