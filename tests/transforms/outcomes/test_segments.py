"""By what sellers are told apart when a model is judged."""

from datetime import date, timedelta

from pyspark.sql import SparkSession

from transforms.outcomes.segments import SEGMENTS, with_segments

AS_OF = date(2024, 3, 1)
EVE = AS_OF - timedelta(days=1)
ROW = "seller_id string, as_of date, net_sales_sum_365d bigint, shop_age_days int, complete_blocks int"
PROFILE = (
    "seller_id string, changed_on date, arrival_day date, content_hash bigint, region string, owner_type string,"
    " category string"
)


def test_of_profiles_the_newest_that_was_known_before_the_day_counts(spark: SparkSession) -> None:
    told = [
        ("s1", date(2020, 1, 1), date(2020, 1, 1), 9, "old", "person", "toys"),
        ("s1", EVE, EVE, 1, "eve", "", None),
        ("s1", EVE, EVE, 2, "eve, but later by its hash", "person", "toys"),
        ("s1", AS_OF, EVE, 1, "changes on the day", "person", "toys"),
        ("s1", EVE, AS_OF, 1, "told on the day", "person", "toys"),
    ]
    rows = [("s1", AS_OF, 0, 1, 12), ("s1", EVE, 0, 1, 12), ("stranger", AS_OF, 0, 1, 12)]
    found = with_segments(spark.createDataFrame(rows, ROW), spark.createDataFrame(told, PROFILE)).collect()
    of = {(row["seller_id"], row["as_of"]): tuple(row[name] for name in SEGMENTS[:3]) for row in found}
    assert of == {
        ("s1", AS_OF): ("eve", "unknown", "unknown"),
        ("s1", EVE): ("old", "person", "toys"),
        ("stranger", AS_OF): ("unknown", "unknown", "unknown"),
    }
    assert len(found) == 3


def test_where_one_size_age_and_length_of_history_ends_and_the_next_begins(spark: SparkSession) -> None:
    year = 365
    cases = [
        ((100_000_00 - 1, year - 1, 11), ("1 under 100,000 yuan a year", "1 under a year", "thin file: under 12")),
        ((100_000_00, year, 12), ("2 under 1 million yuan a year", "2 under three years", "full")),
        ((1_000_000_00 - 1, 3 * year - 1, 40), ("2 under 1 million yuan a year", "2 under three years", "full")),
        ((1_000_000_00, 3 * year, 12), ("3 a million yuan a year or more", "3 three years or more", "full")),
        ((-5, 0, 0), ("1 under 100,000 yuan a year", "1 under a year", "thin file: under 12")),
        ((None, None, 12), ("unknown", "unknown", "full")),
    ]
    rows = [(f"s{number}", AS_OF, *values) for number, (values, _) in enumerate(cases)]
    found = with_segments(spark.createDataFrame(rows, ROW), spark.createDataFrame([], PROFILE)).collect()
    by_seller = {row["seller_id"]: row for row in found}
    for number, (values, wanted) in enumerate(cases):
        row = by_seller[f"s{number}"]
        got = (row["size"], row["shop_age"], row["history"].removesuffix(" blocks of 30 days"))
        assert got == wanted, values
