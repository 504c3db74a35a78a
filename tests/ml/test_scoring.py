"""Scores and points of the small model: that they add up, that they are the reference's, and what is refused."""

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyspark.errors import PythonException
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ml.reasons import Reference, by_feature, contributions
from ml.scoring import Scorer, mean_contributions, score, scorer
from tests.ml.small_model import AS_OF, COLUMNS, FEATURES, SCHEMA, sellers, small_model
from transforms.lending.scale import AVERAGE, JUST_QUALIFY
from transforms.tables.gold import SCORES
from transforms.tables.table import ContractError

POINTS_PER_LOG_ODDS = 40 / math.log(2)


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> PipelineModel:
    return small_model(spark)


@pytest.fixture(scope="module")
def features(spark: SparkSession) -> DataFrame:
    return sellers(spark).drop("bad")


@pytest.fixture(scope="module")
def near(features: DataFrame) -> DataFrame:
    """The reference sellers: 40 of the 400."""
    return features.filter("cast(substr(seller_id, 2) as int) < 40")


@pytest.fixture(scope="module")
def reference(near: DataFrame, model: PipelineModel) -> Reference:
    return mean_contributions(near, model, "the first 40", JUST_QUALIFY)


@pytest.fixture(scope="module")
def by(model: PipelineModel, reference: Reference) -> Scorer:
    return scorer(model, reference)


@pytest.fixture(scope="module")
def scores(features: DataFrame, by: Scorer) -> Mapping[str, Any]:
    return _by_seller(score(features, by))


def _by_seller(scored: DataFrame) -> dict[str, Any]:
    rows = scored.collect()
    found = {row.seller_id: row for row in rows}
    assert len(found) == len(rows)
    return found


def _values(model: PipelineModel, rows: DataFrame) -> np.ndarray:
    found = model.transform(rows).select(*COLUMNS).collect()
    return np.array([list(row) for row in found], dtype=float)


def test_the_columns_are_those_of_the_table(features: DataFrame, by: Scorer) -> None:
    added = ("bucket", "run_id", "model_name", "model_version", "features_run_id")
    wanted = {column.name: column.type for column in SCORES if column.name not in added}
    assert dict(score(features, by).dtypes) == wanted


def test_every_seller_is_scored_once(scores: Mapping[str, Any]) -> None:
    assert set(scores) == {f"s{number}" for number in range(400)}
    assert {row.as_of for row in scores.values()} == {AS_OF}
    assert {row.reference for row in scores.values()} == {JUST_QUALIFY}


def test_base_and_points_are_the_score(scores: Mapping[str, Any]) -> None:
    for row in scores.values():
        assert row.base_points + sum(row.points.values()) == pytest.approx(row.score_before_clipping, abs=1e-9)
        odds_of_good = (1 - row.pd) / row.pd
        wanted = 660 + POINTS_PER_LOG_ODDS * (math.log(odds_of_good) - math.log(30))
        assert row.score_before_clipping == pytest.approx(wanted, abs=1e-6)
        assert row.score == min(950.0, max(350.0, row.score_before_clipping))
    assert any(row.score_before_clipping < 350 for row in scores.values())


def test_the_numbers_are_the_models_own(model: PipelineModel, features: DataFrame, scores: Mapping[str, Any]) -> None:
    calibration = model.stages[-1]
    for row in model.transform(features).collect():
        have = scores[row.seller_id]
        assert (have.pd, have.log_odds, have.margin) == (row.prediction, row.log_odds_of_bad, row.sliced[0])
        log_odds = calibration.intercept + calibration.coefficients[0] * have.margin
        assert have.log_odds == pytest.approx(log_odds, abs=1e-12)


def test_points_are_the_features_share_of_the_log_odds(
    model: PipelineModel, features: DataFrame, near: DataFrame, by: Scorer, scores: Mapping[str, Any]
) -> None:
    means = by_feature(by.trees, contributions(by.trees, _values(model, near))).mean(axis=0)
    shares = by_feature(by.trees, contributions(by.trees, _values(model, features)))
    wanted = -POINTS_PER_LOG_ODDS * model.stages[-1].coefficients[0] * (shares - means)
    sellers_in_order = [row.seller_id for row in features.select("seller_id").collect()]
    have = np.array([list(scores[seller].points.values()) for seller in sellers_in_order])
    assert np.abs(have - wanted).max() < 1e-9
    assert have.min() < -20 and have.max() > 20


def test_points_name_every_feature_in_the_order_of_the_model(scores: Mapping[str, Any]) -> None:
    assert {tuple(row.points) for row in scores.values()} == {tuple(FEATURES)}


def test_the_reference_sellers_have_no_points_on_average(
    near: DataFrame, by: Scorer, scores: Mapping[str, Any]
) -> None:
    rows = [scores[row.seller_id] for row in near.select("seller_id").collect()]
    assert len(rows) == 40
    for name in FEATURES:
        assert math.fsum(row.points[name] for row in rows) / 40 == pytest.approx(0, abs=1e-9)
    mean_score = math.fsum(row.score_before_clipping for row in rows) / 40
    assert by.base_points == pytest.approx(mean_score, abs=1e-9)


def test_the_reference_says_how_it_was_chosen(
    model: PipelineModel, near: DataFrame, by: Scorer, reference: Reference
) -> None:
    means = by_feature(by.trees, contributions(by.trees, _values(model, near))).mean(axis=0)
    assert list(reference.contributions) == FEATURES
    assert list(reference.contributions.values()) == pytest.approx(list(means), abs=1e-14)
    assert (reference.chosen, reference.sellers, reference.kind) == ("the first 40", 40, JUST_QUALIFY)


def test_a_reference_of_nobody_is_refused(features: DataFrame, model: PipelineModel) -> None:
    with pytest.raises(ValueError, match=r"reference: no sellers \(score 660 to 670\)"):
        mean_contributions(features.filter("false"), model, "score 660 to 670", JUST_QUALIFY)


def test_a_reference_of_another_model_is_refused_by_all_the_names(model: PipelineModel) -> None:
    with pytest.raises(ContractError, match="reference: missing: sales; missing: refunds; not in the model: returns"):
        scorer(model, Reference({"orders": 0.1, "returns": 0.2}, "all", 4, AVERAGE))


def test_features_that_are_missing_or_no_numbers_are_refused_together(features: DataFrame, by: Scorer) -> None:
    wrong = features.drop("sales", "as_of").withColumn("refunds", F.col("refunds").cast("string"))
    with pytest.raises(ContractError, match="missing: as_of; missing: sales; refunds: want a number, have string"):
        score(wrong, by)
    with pytest.raises(ContractError, match="missing: as_of; missing: sales; refunds: want a number, have string"):
        mean_contributions(wrong, by.model, "all", AVERAGE)


def test_other_numbers_of_the_same_value_score_the_same(
    features: DataFrame, by: Scorer, scores: Mapping[str, Any]
) -> None:
    other = features.select(
        "seller_id",
        "as_of",
        "sales",
        F.col("orders").cast("bigint"),
        F.col("refunds").cast("decimal(9,2)"),
        F.lit("x").alias("shop"),
    )
    assert _by_seller(score(other, by)) == scores


def test_a_seller_scores_the_same_alone(
    spark: SparkSession, features: DataFrame, by: Scorer, scores: Mapping[str, Any]
) -> None:
    for seller in ("s0", "s7"):
        row = features.filter(F.col("seller_id") == seller).head()
        alone = spark.createDataFrame([tuple(row)], features.schema)
        assert score(alone, by).collect() == [scores[seller]]


def test_scores_do_not_depend_on_partitions_or_batches(
    spark: SparkSession, features: DataFrame, by: Scorer, scores: Mapping[str, Any]
) -> None:
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "7")
    try:
        shuffled = features.repartition(5, "orders").sortWithinPartitions(F.desc("refunds"))
        assert _by_seller(score(shuffled, by)) == scores
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def test_a_seller_of_whom_nothing_is_known_is_scored(spark: SparkSession, by: Scorer) -> None:
    schema = SCHEMA.removesuffix(", bad double")
    told = [("known", AS_OF, 0.1, 6, 0.5), ("null", AS_OF, None, None, None), ("nan", AS_OF, math.nan, None, math.nan)]
    found = _by_seller(score(spark.createDataFrame(told, schema), by))
    assert found["null"].points == found["nan"].points
    assert 350 <= found["null"].score <= 950


def test_trees_that_are_not_sparks_stop_the_job_by_the_seller(features: DataFrame, by: Scorer) -> None:
    off = replace(by, trees=replace(by.trees, value=by.trees.value + 1e-8))
    with pytest.raises(PythonException, match=r"seller s12: margin of Spark -?\d.*, of the trees -?\d.*\(1 such rows"):
        score(features.filter("seller_id = 's12'"), off).collect()


@pytest.mark.parametrize("changed", ["base", "table"])
def test_points_that_do_not_add_up_stop_the_job_by_the_seller(features: DataFrame, by: Scorer, changed: str) -> None:
    off = {
        "base": replace(by, base_points=by.base_points + 2e-6),
        "table": replace(by, trees=replace(by.trees, table=by.trees.table * 1.001)),
    }[changed]
    with pytest.raises(PythonException, match="seller s12: score before clipping .*, base and points .*"):
        score(features.filter("seller_id = 's12'"), off).collect()


def test_executors_need_neither_the_settings_nor_the_registry() -> None:
    asked = "import sys, ml.scoring; print(sorted({'pydantic', 'mlflow', 'conf'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
