"""The future that gives itself away, and what is compared with it."""

from datetime import date

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from transforms.features.known import Bronze
from transforms.outcomes.leaks import moved_features, other_outcomes, poisoned, split_groups

AS_OF = date(2024, 3, 1)
EVENTS = (
    "event_id string, order_id string, item_id string, loan_id string, event_day date, arrival_day date,"
    " amount_fen bigint"
)
PROFILES = (
    "seller_id string, changed_on date, arrival_day date, registered_on date, penalty_points int, verified boolean"
)
ROWS = "seller_id string, as_of date, group_id string, bad int, indeterminate boolean, known_on date"


def test_what_came_or_arrived_on_the_day_is_poisoned_and_what_was_known_is_not(spark: SparkSession) -> None:
    before, on_the_day = date(2024, 2, 29), AS_OF
    events = spark.createDataFrame(
        [
            ("known", "o1", "i1", "l1", before, before, 100),
            ("arrived late", "o2", "i1", "l2", before, on_the_day, 100),
            ("of the day", "o3", None, "l3", on_the_day, on_the_day, 100),
        ],
        EVENTS,
    )
    sellers = spark.createDataFrame(
        [("s1", before, before, before, 1, True), ("s1", on_the_day, on_the_day, before, 1, True)], PROFILES
    )
    found = poisoned(Bronze(events, events, events, sellers), AS_OF)
    orders = {(row["event_id"], row["order_id"]): row["amount_fen"] for row in found.orders.collect()}
    assert orders == {
        ("known", "o1"): 100,
        ("arrived late", "o2"): 101_000,
        ("arrived late-again", "o2-again"): 101_000,
        ("of the day", "o3"): 101_000,
        ("of the day-again", "o3-again"): 101_000,
    }
    assert {row["item_id"] for row in found.orders.collect()} == {"i1", "i1-again", None}
    assert {row["loan_id"] for row in found.loans.collect()} >= {"l3-again"}
    assert [row["verified"] for row in found.sellers.orderBy("changed_on").collect()] == [True, False]
    # a sum that forgot to end before the day moves; one that ends there does not
    honest, leaking = (
        table.agg(
            F.sum(
                F.when((F.col("event_day") < F.lit(AS_OF)) & (F.col("arrival_day") < F.lit(AS_OF)), F.col("amount_fen"))
            ),
            F.sum("amount_fen"),
        ).collect()[0]
        for table in (events, found.orders)
    )
    assert honest[0] == leaking[0] and honest[1] != leaking[1]


def test_moved_features_are_counted_by_name_and_unknown_is_not_zero(spark: SparkSession) -> None:
    schema = "seller_id string, as_of date, a double, b bigint"
    stored = [("s1", AS_OF, 1.0, 5), ("s2", AS_OF, None, 5), ("s3", AS_OF, 0.1 + 0.2, None), ("s4", AS_OF, 1.0, 1)]
    rebuilt = [("s1", AS_OF, 1.0, 6), ("s2", AS_OF, 0.0, 5), ("s3", AS_OF, 0.3, None)]
    tables = (spark.createDataFrame(rows, schema) for rows in (stored, rebuilt))
    assert moved_features(*tables, ["a", "b"]).collect()[0].asDict() == {"gone": 1, "a": 1, "b": 1}


def test_outcomes_and_groups_that_a_split_could_not_trust(spark: SparkSession) -> None:
    known_on = date(2024, 12, 1)
    rows = spark.createDataFrame(
        [
            ("s1", AS_OF, "g1", 1, False, known_on),
            ("s1", date(2024, 6, 1), "g2", 0, False, known_on),
            ("s2", AS_OF, "g1", 0, True, AS_OF),
            ("s3", AS_OF, "g3", 0, False, known_on),
            ("s4", AS_OF, "g4", 0, False, known_on),
        ],
        ROWS,
    )
    outcomes = spark.createDataFrame(
        [
            ("s1", AS_OF, "bad", known_on),
            ("s1", date(2024, 6, 1), "bad", known_on),
            ("s2", AS_OF, "indeterminate", known_on),
            ("s3", AS_OF, "unknown", None),
            ("s4", AS_OF, "good", known_on),
            ("left out", AS_OF, "bad", known_on),
            ("without a draw", AS_OF, "unknown", None),
        ],
        "seller_id string, as_of date, outcome string, known_on date",
    )
    assert other_outcomes(rows, outcomes).collect()[0].asDict() == {"inside": 1, "other": 3, "missing": 1}
    groups = spark.createDataFrame([("s3", "s3"), ("s4", "s3"), ("s2", "s2")], "seller_id string, group_id string")
    assert split_groups(rows, groups).collect()[0].asDict() == {"sellers": 1, "groups": 1}
