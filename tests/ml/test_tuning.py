"""Settings are compared on later cohorts, and nothing that is known after the day of training has a say."""

import math
import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from ml.pipeline import Boosting, UnfitError
from ml.scorecard import Scorecard
from ml.tuning import CHOICES, candidates_of, tuned, validation_day

TRAINED_ON = date(2024, 1, 1)
FEATURES = ("refund_rate_90d", "gmv_growth_90d")
SCHEMA = (
    "seller_id string, as_of date, group_id string, bad int, indeterminate boolean, known_on date,"
    " refund_rate_90d double, gmv_growth_90d double"
)
COHORTS = [date(2022, 1, 1), date(2022, 7, 1), date(2023, 1, 1), date(2023, 3, 1), date(2024, 2, 1)]
"""The outcome of each is known 190 days later: of the fourth before the day of training, of the last after it."""


def rows(later_signal: float) -> list[tuple[Any, ...]]:
    """Sellers whose risk rises with refunds; in the cohort out of time, as strongly as is said."""
    chance = random.Random(5)
    made = []
    for number in range(400):
        for cohort in COHORTS:
            refunds, growth = chance.random(), chance.gauss(0, 1)
            strength = later_signal if cohort >= TRAINED_ON else 3.0
            bad = int(chance.random() < 1 / (1 + math.exp(2.0 - strength * (refunds - 0.5))))
            known_on = cohort + timedelta(days=190)
            made.append((f"s{number}", cohort, f"g{number // 2}", bad, number % 40 == 7, known_on, refunds, growth))
    return made


@pytest.fixture
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(rows(3.0), SCHEMA).coalesce(1)


def test_validation_parts_the_known_outcomes_so_that_the_smaller_side_is_largest(table: DataFrame) -> None:
    # known before / in cohorts from it on: July 2022 has 0 / 3 cohorts, January 2023 one / 2, March 2023 two / 1
    assert validation_day(table, TRAINED_ON) in (date(2023, 1, 1), date(2023, 3, 1))
    two_and_one = table.filter("as_of != '2022-01-01' or bad = 0")
    assert validation_day(two_and_one, TRAINED_ON) == date(2023, 3, 1)


def test_outcomes_that_no_day_parts_are_named(table: DataFrame) -> None:
    with pytest.raises(UnfitError, match="no cohort's day parts the outcomes known by 2024-01-01"):
        validation_day(table.filter("as_of >= '2023-01-01'"), TRAINED_ON)


@pytest.mark.parametrize("algorithm", [Boosting(), Scorecard()])
def test_candidates_begin_with_the_default_and_do_not_repeat(algorithm: Any) -> None:
    found = candidates_of(algorithm, 20, 1)
    assert found[0] == algorithm and len(found) == len(set(found)) == 21
    assert found == candidates_of(algorithm, 20, 1) != candidates_of(algorithm, 20, 2)
    every = math.prod(len(values) for values in CHOICES[type(algorithm)].values())
    assert len(candidates_of(algorithm, 10**6, 1)) == every  # the default is among what is drawn from


@pytest.mark.full  # half a minute: four scorecards
def test_what_comes_after_the_day_of_training_has_no_say(spark: SparkSession, table: DataFrame) -> None:
    reversed_later = spark.createDataFrame(rows(-6.0), SCHEMA).coalesce(1)
    chosen = tuned(table, FEATURES, Scorecard(), 1, TRAINED_ON)
    assert tuned(reversed_later, FEATURES, Scorecard(), 1, TRAINED_ON) == chosen
    assert chosen.trials[0].differs == "the default" and chosen.trials[0].less_default is None
    assert chosen.best.auc.value == max(trial.auc.value for trial in chosen.trials) > 0.6
    assert chosen.rows == 400 * (2 if chosen.validated_from == date(2023, 1, 1) else 1)
    # of equals the default holds
    as_good = replace(chosen, trials=(chosen.trials[0], replace(chosen.trials[1], auc=chosen.trials[0].auc)))
    assert as_good.best is chosen.trials[0] and "the default held" in as_good.in_words()
