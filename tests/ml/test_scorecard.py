"""The scorecard's bins, weights and points table."""

import math
import random
from datetime import date

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ml.pipeline import usable_inputs
from ml.scorecard import Scorecard, characteristic, fit_scorecard
from transforms.lending.scale import POINTS_PER_LOG_ODDS

SETTINGS = Scorecard()


@pytest.mark.parametrize("direction", [1, -1, 0])
def test_bins_are_monotone_in_the_expected_direction_and_keep_every_row(direction: int) -> None:
    goods = np.array([90.0, 95, 80, 88, 70, 75, 60, 40])
    bads = np.array([2.0, 1, 5, 4, 9, 8, 12, 7])
    found = characteristic("x", (1.0, 2, 3, 4, 5, 6), goods, bads, direction, SETTINGS)
    known = np.array(found.evidence[:-1])
    assert (np.diff(known) * (direction or 1) > 0).all() and sum(found.goods) == goods.sum()
    assert sum(found.bads) == bads.sum() and (found.goods[-1], found.bads[-1]) == (40, 7)
    if direction == -1:
        # risk rises with it, and may not: nothing is left of it but the bin of what is unknown
        assert len(found.cuts) == 0
    else:
        assert 1 <= len(found.cuts) <= SETTINGS.most_bins - 1
    least = SETTINGS.least_share_of_a_bin * (goods.sum() + bads.sum())
    assert all(good + bad >= least for good, bad in zip(found.goods[:-1], found.bads[:-1], strict=True))


def test_a_handful_of_unknown_ones_weighs_nothing() -> None:
    found = characteristic("x", (1.0,), np.array([90.0, 90, 1]), np.array([1.0, 9, 1]), 0, SETTINGS)
    assert found.evidence[-1] == 0 and found.evidence[0] < 0 < found.evidence[1]


def test_the_points_table_is_the_model(spark: SparkSession) -> None:
    chance = random.Random(2)
    rows = []
    for number in range(900):
        refunds, sales = chance.random(), chance.gauss(0, 1)
        bad = int(chance.random() < 1 / (1 + math.exp(2.5 + sales - 3 * refunds)))
        told = None if chance.random() < 0.1 else math.nan if chance.random() < 0.1 else sales
        rows.append((f"s{number}", date(2024, 1, 1), refunds, told, chance.random(), bad))
    schema = "seller_id string, as_of date, refund_rate_90d double, gmv_growth_90d double, noise double, bad int"
    table = spark.createDataFrame(rows, schema).coalesce(1)
    inputs = usable_inputs(table, ("refund_rate_90d", "gmv_growth_90d", "noise"))
    fitted = fit_scorecard(table, inputs)
    by_bin = {(feature, label): points for feature, label, *_, points in fitted.points()}
    cuts = {kept.feature: (kept.cuts, kept.labels()) for kept in fitted.characteristics}
    assert {"refund_rate_90d", "gmv_growth_90d"} <= set(cuts)
    logistic = next(stage for stage in fitted.model.stages if isinstance(stage, LogisticRegressionModel))
    assert min(logistic.coefficients.toArray()) >= 0
    scored = fitted.model.transform(table).select("*", vector_to_array(F.col("margin"))[0].alias("log_odds")).collect()
    for row in scored[:100]:
        points = 0.0
        for feature, (edges, labels) in cuts.items():
            value = row[feature]
            is_unknown = value is None or math.isnan(value)
            label = labels[-1] if is_unknown else labels[sum(value > edge for edge in edges)]
            points += by_bin[feature, label]
        assert row["log_odds"] == pytest.approx(logistic.intercept - points / POINTS_PER_LOG_ODDS, abs=1e-9)
    # catalogue: risk falls with growth, rises with refunds
    for feature, sign in (("gmv_growth_90d", 1), ("refund_rate_90d", -1)):
        points = [by_bin[feature, label] for label in cuts[feature][1][:-1]]
        assert (np.diff(points) * sign >= 0).all()
