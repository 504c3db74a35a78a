"""Contributions against the definition: every subset of columns, the expectation by walking the trees as saved."""

import json
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from operator import mul
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import SparkSession

from ml.reasons import (
    ROWS_AT_ONCE,
    Reference,
    Trees,
    by_feature,
    contributions,
    contributions_and_margins,
    expected_margin,
    feature_of,
    stage_of,
    trees_of,
)
from tests.ml.small_model import COLUMNS, FEATURES, small_model
from transforms.lending.scale import AVERAGE, JUST_QUALIFY


@dataclass
class Forest:
    """The trees as Spark saved them: a weight, and nodes by number, a tree."""

    trees: list[tuple[float, dict[int, Any]]]

    def splits(self) -> list[tuple[int, float]]:
        """Every column and threshold."""
        inner = [node for _, nodes in self.trees for node in nodes.values() if node.leftChild >= 0]
        return sorted({(node.split.featureIndex, node.split.leftCategoriesOrThreshold[0]) for node in inner})

    def margin(self, row: NDArray[np.float64], known: frozenset[int]) -> float:
        """Expectation of the margin when the known columns are the row's (EXPVALUE of arXiv 1802.03888)."""
        return sum(weight * _walked(nodes, 0, row, known) for weight, nodes in self.trees)

    def shapley(self, row: NDArray[np.float64]) -> list[float]:
        """Mean over all orders of what knowing a column adds."""
        every = range(len(row))
        subsets = [frozenset(subset) for size in range(len(row) + 1) for subset in combinations(every, size)]
        margins = {subset: self.margin(row, subset) for subset in subsets}
        found = []
        for column in every:
            without = [subset for subset in subsets if column not in subset]
            added = [margins[subset | {column}] - margins[subset] for subset in without]
            orders = [factorial(len(subset)) * factorial(len(row) - len(subset) - 1) for subset in without]
            found.append(sum(map(mul, orders, added)) / factorial(len(row)))
        return found


def _walked(nodes: dict[int, Any], at: int, row: NDArray[np.float64], known: frozenset[int]) -> float:
    node = nodes[at]
    if node.leftChild < 0:
        return float(node.prediction)
    column = node.split.featureIndex
    if column in known:
        goes_left = row[column] <= node.split.leftCategoriesOrThreshold[0]
        return _walked(nodes, node.leftChild if goes_left else node.rightChild, row, known)
    left, right = nodes[node.leftChild], nodes[node.rightChild]
    mixed = left.rawCount * _walked(nodes, left.id, row, known) + right.rawCount * _walked(nodes, right.id, row, known)
    return mixed / node.rawCount


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> PipelineModel:
    return small_model(spark)


@pytest.fixture(scope="module")
def trees(model: PipelineModel) -> Trees:
    return trees_of(model)


@pytest.fixture(scope="module")
def forest(spark: SparkSession, model: PipelineModel, tmp_path_factory: pytest.TempPathFactory) -> Forest:
    folder = str(tmp_path_factory.mktemp("saved") / "trees")
    stage_of(model, GBTClassificationModel).save(folder)
    weights = {row[0]: row[2] for row in spark.read.parquet(f"{folder}/treesMetadata").collect()}
    nodes: dict[int, dict[int, Any]] = {tree: {} for tree in weights}
    for row in spark.read.parquet(f"{folder}/data").collect():
        nodes[row.treeID][row.nodeData.id] = row.nodeData
    return Forest([(weights[tree], nodes[tree]) for tree in sorted(weights)])


@pytest.fixture(scope="module")
def rows(forest: Forest) -> NDArray[np.float64]:
    """Random rows; one for each split with its value exactly on the threshold, the next double below and above it;
    rows with NaN and infinities in one column, and in all."""
    chance = np.random.default_rng(3)
    usual = np.column_stack(
        [
            chance.normal(size=120),
            chance.integers(0, 12, 120).astype(float),
            chance.integers(0, 2, 120).astype(float),
            chance.random(120),
            chance.integers(0, 2, 120).astype(float),
        ]
    )
    splits = forest.splits()
    on = usual[np.arange(3 * len(splits)) % len(usual)].copy()
    for place, (column, threshold) in enumerate(splits):
        on[3 * place : 3 * place + 3, column] = [threshold, np.nextafter(threshold, -9), np.nextafter(threshold, 9)]
    odd = usual[:15].copy()
    for column in range(5):
        odd[3 * column : 3 * column + 3, column] = [np.nan, -np.inf, np.inf]
    return np.vstack([usual[:20], on, odd, np.full((1, 5), np.nan)])


def test_the_small_forest_is_worth_the_test(forest: Forest, trees: Trees) -> None:
    depths = [_repeats(nodes, 0, []) for _, nodes in forest.trees]
    assert max(depths) >= 3  # splits on one column along one path
    assert len({weight for weight, _ in forest.trees}) > 1
    assert {column for column, _ in forest.splits()} >= {0, 1, 2, 3}
    assert len(trees.value) == sum(node.leftChild < 0 for _, nodes in forest.trees for node in nodes.values())


def _repeats(nodes: dict[int, Any], at: int, path: list[int]) -> int:
    node = nodes[at]
    if node.leftChild < 0:
        return max((path.count(column) for column in path), default=0)
    longer = [*path, node.split.featureIndex]
    return max(_repeats(nodes, node.leftChild, longer), _repeats(nodes, node.rightChild, longer))


def test_contributions_are_the_shapley_values(trees: Trees, forest: Forest, rows: NDArray[np.float64]) -> None:
    found = contributions(trees, rows)
    assert found.shape == rows.shape
    wanted = np.array([forest.shapley(row) for row in rows])
    assert np.abs(found - wanted).max() < 1e-12
    assert np.abs(wanted).max() > 0.3


def test_contributions_and_expectation_add_up_to_the_margin(
    trees: Trees, forest: Forest, rows: NDArray[np.float64]
) -> None:
    shares, margins = contributions_and_margins(trees, rows)
    assert np.abs(expected_margin(trees) - forest.margin(rows[0], frozenset())) < 1e-12
    assert np.abs(shares.sum(axis=1) + expected_margin(trees) - margins).max() < 1e-12
    assert np.abs(by_feature(trees, shares).sum(axis=1) + expected_margin(trees) - margins).max() < 1e-12


def test_the_margin_is_sparks(
    spark: SparkSession, model: PipelineModel, trees: Trees, rows: NDArray[np.float64]
) -> None:
    numbered = [(place, [float(value) for value in row]) for place, row in enumerate(rows)]
    frame = spark.createDataFrame(numbered, "place int, row array<double>")
    boosted = stage_of(model, GBTClassificationModel)
    predicted = boosted.transform(frame.select("place", array_to_vector("row").alias("features")))
    spoken = {row.place: row.raw for row in predicted.select("place", vector_to_array("raw").alias("raw")).collect()}
    margins = contributions_and_margins(trees, rows)[1]
    assert max(abs(spoken[place][1] - margins[place]) for place in range(len(rows))) < 1e-12
    assert len(spoken) == len(rows)


def test_a_row_is_explained_the_same_alone_and_among_others(trees: Trees, rows: NDArray[np.float64]) -> None:
    together = by_feature(trees, contributions(trees, rows))
    alone = [by_feature(trees, contributions(trees, rows[place : place + 1]))[0] for place in range(len(rows))]
    assert np.array_equal(together, np.array(alone))
    many = np.vstack([rows[::-1]] * 7)
    assert len(many) > 2 * ROWS_AT_ONCE
    assert np.array_equal(by_feature(trees, contributions(trees, many)), np.vstack([together[::-1]] * 7))
    by_column = np.asfortranarray(rows)
    assert np.array_equal(by_feature(trees, contributions(trees, by_column)), together)


def test_a_flag_joins_its_feature(trees: Trees, rows: NDArray[np.float64]) -> None:
    assert trees.columns == tuple(COLUMNS)
    assert trees.features == tuple(FEATURES)
    shares = contributions(trees, rows)
    merged = by_feature(trees, shares)
    assert np.abs(shares[:, 2]).max() > 0  # the flag of sales counts
    assert np.array_equal(merged[:, 0], shares[:, 0] + shares[:, 2])
    assert np.array_equal(merged[:, 1], shares[:, 1] + shares[:, 4])
    assert np.array_equal(merged[:, 2], shares[:, 3])


def test_the_feature_of_a_column() -> None:
    assert [feature_of(name) for name in ("a__filled", "a__missing", "a", "missing__a")] == [
        "a",
        "a",
        "a",
        "missing__a",
    ]
    assert feature_of("a__missing__filled") == "a__missing"


def test_no_rows_are_no_contributions(trees: Trees) -> None:
    shares, margins = contributions_and_margins(trees, np.zeros((0, 5)))
    assert shares.shape == (0, 5)
    assert margins.shape == (0,)
    assert by_feature(trees, shares).shape == (0, 3)


def test_a_matrix_of_other_columns_is_refused(trees: Trees) -> None:
    with pytest.raises(ValueError, match=r"matrix: want \[rows, 5\], have \[2, 4\]"):
        contributions(trees, np.zeros((2, 4)))


def test_splits_by_category_are_refused(spark: SparkSession) -> None:
    told = [("north", 1.0), ("south", 0.0), ("west", 1.0), ("east", 0.0)] * 5
    regions = spark.createDataFrame(told, "region string, bad double").coalesce(1)
    model = Pipeline(
        stages=[
            StringIndexer(inputCol="region", outputCol="region_number"),
            VectorAssembler(inputCols=["region_number"], outputCol="features"),
            GBTClassifier(labelCol="bad", maxIter=1, maxDepth=1, seed=1),
        ]
    ).fit(regions)
    with pytest.raises(ValueError, match="region_number is split by category"):
        trees_of(model)


def test_trees_of_one_leaf_have_a_margin_and_no_contributions(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)], "sales double, bad double").coalesce(1)
    assembler = VectorAssembler(inputCols=["sales"], outputCol="features")
    model = Pipeline(stages=[assembler, GBTClassifier(labelCol="bad", maxIter=1, maxDepth=0, seed=1)]).fit(rows)
    trees = trees_of(model)
    shares, margins = contributions_and_margins(trees, np.array([[1.0], [np.nan]]))
    assert np.array_equal(shares, np.zeros((2, 1)))
    assert margins.tolist() == [expected_margin(trees)] * 2
    assert margins[0] == pytest.approx(1 / 3)


def test_a_path_of_too_many_columns_is_refused(model: PipelineModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.reasons.MOST_COLUMNS_ON_A_PATH", 2)
    with pytest.raises(ValueError, match=r"\d columns on one path, at most 2 can be explained"):
        trees_of(model)


def test_a_model_without_its_stages_is_refused(model: PipelineModel) -> None:
    with pytest.raises(ValueError, match="want one GBTClassificationModel, have 0"):
        trees_of(PipelineModel(model.stages[:3]))
    with pytest.raises(ValueError, match="want one VectorAssembler, have 2"):
        trees_of(PipelineModel([model.stages[2], *model.stages]))
    narrow = VectorAssembler(inputCols=COLUMNS[:4], outputCol="features")
    with pytest.raises(ValueError, match="trees of 5 columns behind an assembler of 4"):
        trees_of(PipelineModel([narrow, *model.stages[3:]]))


def test_a_reference_survives_json() -> None:
    reference = Reference({"sales": 0.1 + 0.2, "orders": -1e-17}, "score 660 to 670", 412, JUST_QUALIFY)
    told = json.loads(json.dumps(reference.to_dict()))
    assert Reference.from_dict(told) == reference
    del told["kind"]
    assert Reference.from_dict(told) == replace(reference, kind=None), "as versions of before have it"


def test_a_reference_with_other_keys_is_refused_by_all_their_names() -> None:
    told = Reference({"sales": 0.1}, "all", 4, AVERAGE).to_dict()
    del told["chosen"], told["sellers"]
    with pytest.raises(ValueError, match="reference: missing: chosen; missing: sellers; unknown: mean"):
        Reference.from_dict({**told, "mean": 1})
