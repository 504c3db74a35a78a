import math

import pytest
from pyspark.sql import functions as F

from transforms.lending.scale import (
    clipped,
    grade_of,
    is_probability,
    plain_pd,
    plain_score_before_clipping,
    score_before_clipping,
    score_of,
    score_of_log_odds,
)

EDGES = (0.001, 0.0025, 0.005, 0.01, 0.0175, 0.03, 0.05, 0.1, 0.2)
NAN = float("nan")


@pytest.fixture(scope="module")
def scored(spark):
    """Every function of the scale, for every kind of probability, in one pass."""
    pds = [0.03, 0.01, 0.1, 1 / 31, 2 / 62, 1 / 61, 0.0, 1.0, 1e-9, 0.9999999, None, NAN, -0.1, 1.1, math.inf]
    frame = spark.createDataFrame([(pd,) for pd in pds], "pd double")
    rows = frame.select(
        "pd",
        score_before_clipping(F.col("pd")).alias("raw"),
        score_of(F.col("pd")).alias("shown"),
        score_of_log_odds(F.when((F.col("pd") > 0) & (F.col("pd") < 1), F.ln("pd") - F.ln(1 - F.col("pd")))).alias(
            "by_odds"
        ),
        is_probability(F.col("pd")).alias("is_probability"),
        grade_of(F.col("pd"), EDGES).alias("grade"),
    ).collect()
    return dict(zip(map(str, pds), rows, strict=True))


def test_the_scale_is_where_the_rules_put_it(scored):
    assert [round(scored[pd].raw) for pd in ("0.03", "0.01", "0.1")] == [664, 729, 591]
    assert scored[str(1 / 31)].raw == pytest.approx(660, abs=1e-9), "30 goods to one bad"
    assert scored[str(1 / 61)].raw == pytest.approx(700, abs=1e-9), "twice the odds, 40 points more"


def test_scores_are_clipped_at_the_ends_and_the_sum_before_is_kept(scored):
    assert (scored["1e-09"].shown, scored["0.9999999"].shown) == (950.0, 350.0)
    assert scored["1e-09"].raw == pytest.approx(plain_score_before_clipping(1e-9))
    assert scored["1e-09"].raw > 1500 and scored["0.9999999"].raw < 0


def test_a_probability_rounded_to_0_or_1_has_a_score_at_the_end(scored):
    assert (scored["0.0"].shown, scored["1.0"].shown) == (950.0, 350.0)
    assert scored["0.0"].grade == 1 and scored["1.0"].grade == 10


@pytest.mark.parametrize("pd", ["None", "nan", "-0.1", "1.1", "inf"])
def test_what_is_no_probability_has_neither_score_nor_grade(scored, pd):
    row = scored[pd]
    assert (row.raw, row.shown, row.grade, row.is_probability) == (None, None, None, False)


def test_score_of_log_odds_is_the_score_of_the_probability(scored):
    for pd in ("0.03", "0.01", "0.1", "1e-09"):
        assert scored[pd].by_odds == pytest.approx(scored[pd].raw, abs=1e-6)


def test_a_grade_begins_at_its_edge(spark):
    either_side = [pd for edge in EDGES for pd in (math.nextafter(edge, 0), edge)]
    frame = spark.createDataFrame([(pd,) for pd in either_side], "pd double").coalesce(1)
    grades = [row.grade for row in frame.select(grade_of(F.col("pd"), EDGES).alias("grade")).collect()]
    assert grades == [grade for edge in range(9) for grade in (edge + 1, edge + 2)]


def test_nan_is_not_clipped_to_the_best_score(spark):
    frame = spark.createDataFrame([(NAN,), (None,), (1000.0,)], "score double").coalesce(1)
    assert [row[0] for row in frame.select(clipped(F.col("score"))).collect()] == [None, None, 950.0]


def test_plain_score_and_probability_are_each_others_inverse():
    for pd in (0.0005, 0.01, 0.3, 0.97):
        assert plain_pd(plain_score_before_clipping(pd)) == pytest.approx(pd, rel=1e-9)
    with pytest.raises(ValueError, match="want a probability"):
        plain_score_before_clipping(1.5)
