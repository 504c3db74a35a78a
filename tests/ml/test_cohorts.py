"""Cohorts weigh in a fit so that what all sellers of a time share is laid to none of them."""

import math
import random
from datetime import date

import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ml.algorithms import ALGORITHMS, Algorithm, fit
from ml.cohorts import FIT_WEIGHT, cohort_weights, fit_weight
from ml.pipeline import MARGIN, usable_inputs

COHORTS = [date(2023, month, 1) for month in range(1, 9)]
SLUMP = 2.0
"""Log-odds that the last two cohorts have above the others."""
SCHEMA = "seller_id string, as_of date, bad int, indeterminate boolean, stress double, months_open double"


def market(spark: SparkSession, sellers: int = 700) -> DataFrame:
    """Rows whose bads follow a seller's own stress and the cohort's level; all sellers opened in the same year."""
    chance = random.Random(7)
    made = []
    for place, as_of in enumerate(COHORTS):
        for number in range(sellers):
            stress = chance.gauss(0, 1)
            log_odds = -2.5 + stress + SLUMP * (place >= len(COHORTS) - 2)
            bad = int(chance.random() < 1 / (1 + math.exp(-log_odds)))
            made.append((f"s{number}", as_of, bad, False, stress, place + chance.random() * 2))
    return spark.createDataFrame(made, SCHEMA).coalesce(1)


def test_goods_weigh_what_gives_their_cohort_the_odds_of_all(spark: SparkSession) -> None:
    """Worked by hand: 40 bads to 160 goods in all, 10 to 90 in one cohort and 30 to 70 in the other."""
    first, second = COHORTS[:2]
    outcomes = [(first, 1)] * 10 + [(first, 0)] * 90 + [(second, 1)] * 30 + [(second, 0)] * 70
    rows = spark.createDataFrame(outcomes, "as_of date, bad int")

    weights = cohort_weights(rows)
    assert weights == pytest.approx({first: 15 / 27.5, second: 35 / 22.5}, abs=1e-12)

    told = {
        (row["as_of"], row["bad"]): row["weight"]
        for row in rows.select("*", fit_weight(weights))
        .groupBy("as_of", "bad")
        .agg(F.max(FIT_WEIGHT).alias("weight"))
        .collect()
    }
    assert told == {(first, 1): 1.0, (second, 1): 1.0, (first, 0): weights[first], (second, 0): weights[second]}


def test_one_cohort_weighs_as_it_is_and_one_outcome_too(spark: SparkSession) -> None:
    alone = spark.createDataFrame([(COHORTS[0], int(number % 5 == 0)) for number in range(50)], "as_of date, bad int")
    assert cohort_weights(alone) == {COHORTS[0]: 1.0}
    good = alone.filter("bad = 0")
    assert [row[FIT_WEIGHT] for row in good.select(fit_weight(cohort_weights(good))).distinct().collect()] == [1.0]


@pytest.mark.full  # three models
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_slump_is_not_laid_to_what_only_grows_with_the_calendar(spark: SparkSession, name: str) -> None:
    """Of two sellers with the same stress the one whose shop is six months older is no riskier; stress still is."""
    rows = market(spark).persist()
    algorithm: Algorithm = ALGORITHMS[name]
    inputs = usable_inputs(rows, ("stress", "months_open"))
    model = fit(rows, inputs, algorithm)
    asked = spark.createDataFrame(
        [("calm young", -1.0, 1.5), ("calm old", -1.0, 8.5), ("pressed young", 1.0, 1.5), ("pressed old", 1.0, 8.5)],
        "seller_id string, stress double, months_open double",
    )
    margin = vector_to_array(F.col(MARGIN))[0].alias("margin")
    told = {row["seller_id"]: row["margin"] for row in model.transform(asked).select("seller_id", margin).collect()}
    rows.unpersist()
    by_stress = (told["pressed young"] - told["calm young"] + told["pressed old"] - told["calm old"]) / 2
    by_age = (told["calm old"] - told["calm young"] + told["pressed old"] - told["pressed young"]) / 2
    assert by_stress > 0.5
    assert abs(by_age) < 0.25 * by_stress
