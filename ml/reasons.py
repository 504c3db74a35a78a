"""Exact contributions of each feature to the margin of a boosted forest, at the speed of bulk scoring.

Path-dependent TreeSHAP (Lundberg and others 2018, arXiv 1802.03888, algorithm 1 for the conditional expectation) by
leaf pattern tables: for one leaf of value ``v`` let ``1..k`` be the distinct columns on its path, each with its splits
merged to one interval and with ``z_i``, the product of the cover shares along them. Bit ``o_i`` says whether a row lies
in the interval of column ``i``. The leaf then gives column ``i``

    v * (o_i - z_i) * sum over S of the others of |S|! (k - |S| - 1)! / k! * prod_{j in S} o_j * prod_{j not in S} z_j

which depends on the ``k`` bits alone: a table of ``2**k`` patterns by ``k`` columns is computed once a model, and a row
costs a few comparisons and additions a leaf.

Executors import this module and `ml.scoring`: of packages both want Spark, numpy, numba and pyarrow alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import factorial
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pyspark.ml import PipelineModel
from pyspark.ml.classification import GBTClassificationModel
from pyspark.ml.feature import VectorAssembler

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FILLED = "__filled"
"""Ends the column of a feature with its unknown values filled."""

MISSING = "__missing"
"""Ends the column that flags, by 1, where the feature is unknown."""

ROWS_AT_ONCE = 256
"""Rows of one block: with 78 columns its values and contributions are 320 kB."""

MOST_COLUMNS_ON_A_PATH = 8
"""A leaf's table has ``2**k * k`` numbers, 16 kB at 8 columns, and filling it takes ``4**k * k``, 4 MB at 8."""


@dataclass(frozen=True)
class Trees:
    """A forest as plain arrays, ready for executors.

    Conditions of leaf ``n`` are ``condition_from[n]:condition_from[n + 1]``: a row's value in ``column`` must not be
    ``<= low`` and must be ``<= high``, where NaN as a bound means that there is none. Its table begins at
    ``table_from[n]``, one run of ``k`` contributions for each pattern, bit ``i`` being the leaf's condition ``i``.
    ``value`` is the leaf's prediction times the weight of its tree.
    """

    columns: tuple[str, ...]
    """Assembled columns, in the order of the vector."""
    features: tuple[str, ...]
    """Features, in the order in which the assembled columns first name them."""
    feature_of_column: Integers
    """Index into ``features`` for each assembled column."""
    value: Floats
    reached: Floats
    """Share of the training rows that reach the leaf: product of the cover shares along its path."""
    condition_from: Integers
    column: Integers
    low: Floats
    high: Floats
    table_from: Integers
    table: Floats


@dataclass(frozen=True)
class Reference:
    """The seller that every other one is compared with: mean contributions of the sellers near the cut-off.

    Where too few reach it, those of all sellers.
    """

    contributions: Mapping[str, float]
    """Mean contribution to the margin by feature."""
    chosen: str
    """How the sellers were chosen, in words."""
    sellers: int
    """How many rows the means are over."""
    kind: str | None
    """JUST_QUALIFY or AVERAGE of the scale; None of a version that was registered before this was told."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON would have it; doubles survive to the last bit."""
        return {
            "contributions": dict(self.contributions),
            "chosen": self.chosen,
            "sellers": self.sellers,
            "kind": self.kind,
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Reference":
        """Read ``to_dict`` back; one error names every key that is missing or unknown."""
        wanted = {"contributions", "chosen", "sellers"}
        problems = [f"missing: {key}" for key in sorted(wanted - set(told))]
        problems += [f"unknown: {key}" for key in sorted(set(told) - wanted - {"kind"})]
        if problems:
            raise ValueError(f"reference: {'; '.join(problems)}")
        means = {str(name): float(mean) for name, mean in told["contributions"].items()}
        return cls(contributions=means, chosen=str(told["chosen"]), sellers=int(told["sellers"]), kind=told.get("kind"))


@dataclass(frozen=True)
class _Leaf:
    """One leaf on the way to the arrays: its merged interval and cover share for each column on its path."""

    value: float
    low: Mapping[int, float]
    high: Mapping[int, float]
    share: Mapping[int, float]


def feature_of(column: str) -> str:
    """The feature that an assembled column belongs to: its imputed value, its missing flag, or itself."""
    for suffix in (FILLED, MISSING):
        if column.endswith(suffix):
            return column.removesuffix(suffix)
    return column


def trees_of(model: PipelineModel) -> Trees:
    """Read the boosted trees of a registered model from the JVM, with full thresholds and unweighted covers.

    Refuses categorical splits, since an interval cannot say them.
    """
    assembler = stage_of(model, VectorAssembler)
    boosted = stage_of(model, GBTClassificationModel)
    columns = tuple(assembler.getInputCols())
    if boosted.numFeatures != len(columns):
        raise ValueError(f"model: trees of {boosted.numFeatures} columns behind an assembler of {len(columns)}")
    leaves = []
    for weight, tree in zip(boosted.treeWeights, boosted.trees, strict=True):
        leaves += _leaves(tree._java_obj.rootNode(), weight, columns)
    return _packed(leaves, columns)


def stage_of(model: PipelineModel, kind: type) -> Any:
    """The one stage of a kind."""
    found = [stage for stage in model.stages if isinstance(stage, kind)]
    if len(found) != 1:
        raise ValueError(f"model: want one {kind.__name__}, have {len(found)}")
    return found[0]


def contributions(trees: Trees, matrix: Floats) -> Floats:
    """Contributions to the margin, [rows, assembled columns], of assembled values [rows, assembled columns]."""
    return contributions_and_margins(trees, matrix)[0]


def contributions_and_margins(trees: Trees, matrix: Floats) -> tuple[Floats, Floats]:
    """Contributions to the margin [rows, assembled columns], and the margin itself [rows], as the trees give it.

    A row's numbers depend on that row alone, to the last bit. By Spark's rule a value goes left when it is ``<=`` the
    threshold, so NaN goes right.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(trees.columns):
        raise ValueError(f"matrix: want [rows, {len(trees.columns)}], have {list(matrix.shape)}")
    # [columns, rows], so that the inner loops run along memory
    shares = np.zeros(matrix.shape[::-1])
    margins = np.zeros(len(matrix))
    _add(
        np.ascontiguousarray(matrix.T, dtype=np.float64),
        trees.value,
        trees.condition_from,
        trees.column,
        trees.low,
        trees.high,
        trees.table_from,
        trees.table,
        shares,
        margins,
    )
    return np.ascontiguousarray(shares.T), margins


def expected_margin(trees: Trees) -> float:
    """Mean of the leaves by cover, summed over the trees: added to a row's contributions, it gives the row's margin."""
    return float(np.sum(trees.value * trees.reached))


def by_feature(trees: Trees, shares: Floats) -> Floats:
    """Contributions [rows, features] of contributions [rows, assembled columns]: a flag's joins its feature's."""
    summed = np.zeros((len(shares), len(trees.features)))
    for column, feature in enumerate(trees.feature_of_column):
        summed[:, feature] += shares[:, column]
    return summed


def _leaves(root: Any, weight: float, columns: tuple[str, ...]) -> list[_Leaf]:
    leaves = []
    waiting: list[tuple[Any, dict[int, float], dict[int, float], dict[int, float]]] = [(root, {}, {}, {})]
    while waiting:
        node, low, high, share = waiting.pop()
        if node.subtreeDepth() == 0:
            leaves.append(_Leaf(weight * node.prediction(), low, high, share))
            continue
        split = node.split()
        column = split.featureIndex()
        if split.getClass().getSimpleName() != "ContinuousSplit":
            raise ValueError(f"model: {columns[column]} is split by category; reasons are for numbers alone")
        threshold = split.threshold()
        left, right = node.leftChild(), node.rightChild()
        on_left, on_right = left.impurityStats().rawCount(), right.impurityStats().rawCount()
        left_share = on_left / (on_left + on_right)
        so_far = share.get(column, 1.0)
        above = {**low, column: max(low.get(column, threshold), threshold)}
        below = {**high, column: min(high.get(column, threshold), threshold)}
        waiting.append((right, above, high, {**share, column: so_far * (1 - left_share)}))
        waiting.append((left, low, below, {**share, column: so_far * left_share}))
    return leaves


def _packed(leaves: list[_Leaf], columns: tuple[str, ...]) -> Trees:
    deepest = max(len(leaf.share) for leaf in leaves)
    if deepest > MOST_COLUMNS_ON_A_PATH:
        raise ValueError(f"model: {deepest} columns on one path, at most {MOST_COLUMNS_ON_A_PATH} can be explained")
    features = tuple(dict.fromkeys(feature_of(column) for column in columns))
    paths = [sorted(leaf.share) for leaf in leaves]
    tables = [
        _table(leaf.value, np.array([leaf.share[column] for column in path]))
        for leaf, path in zip(leaves, paths, strict=True)
    ]
    in_order = [(leaf, column) for leaf, path in zip(leaves, paths, strict=True) for column in path]
    return Trees(
        columns=columns,
        features=features,
        feature_of_column=np.array([features.index(feature_of(column)) for column in columns], dtype=np.int64),
        value=np.array([leaf.value for leaf in leaves]),
        reached=np.array([float(np.prod(list(leaf.share.values()))) for leaf in leaves]),
        condition_from=np.cumsum([0, *(len(path) for path in paths)], dtype=np.int64),
        column=np.array([column for _, column in in_order], dtype=np.int64),
        low=np.array([leaf.low.get(column, np.nan) for leaf, column in in_order], dtype=np.float64),
        high=np.array([leaf.high.get(column, np.nan) for leaf, column in in_order], dtype=np.float64),
        table_from=np.cumsum([0, *(table.size for table in tables)], dtype=np.int64),
        table=np.concatenate([table.ravel() for table in tables]),
    )


def _table(value: float, share: Floats) -> Floats:
    """Contributions [2**k patterns, k columns] of one leaf, by the formula at the head of this module."""
    many = len(share)
    bits, weights = _subsets(many)
    # [pattern, subset, column]: the factor that the column brings to a product
    factors = np.where(bits[None, :, :], bits[:, None, :], share)
    table = np.empty((2**many, many))
    for column in range(many):
        without = ~bits[:, column]
        others = np.arange(many) != column
        products = np.prod(factors[:, without, :][:, :, others], axis=2)
        table[:, column] = value * (bits[:, column] - share[column]) * np.sum(products * weights[without], axis=1)
    return table


@lru_cache
def _subsets(many: int) -> tuple[NDArray[np.bool_], Floats]:
    """Bits [2**k, k] of every subset of k columns, and its weight in Shapley's mean [2**k] (0 for the whole set)."""
    bits = (np.arange(2**many)[:, None] >> np.arange(many)) % 2 == 1
    sizes = bits.sum(axis=1)
    by_size = [factorial(size) * factorial(many - size - 1) / factorial(many) for size in range(many)]
    return bits, np.array([*by_size, 0.0])[sizes]


@njit(cache=False)
def _add(
    values: Floats,
    leaf_value: Floats,
    condition_from: Integers,
    column: Integers,
    low: Floats,
    high: Floats,
    table_from: Integers,
    table: Floats,
    shares: Floats,
    margins: Floats,
) -> None:
    # a leaf at a time over a block of rows: its table and the block stay in the nearest caches, and the comparisons,
    # without a branch, go several rows at once: 6 times as fast as a row at a time at 100 trees of depth 5
    patterns = np.zeros(ROWS_AT_ONCE, dtype=np.int32)
    for start in range(0, values.shape[1], ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, values.shape[1])
        pattern = patterns[: end - start]
        for leaf in range(leaf_value.shape[0]):
            first, last = condition_from[leaf], condition_from[leaf + 1]
            many = last - first
            pattern[:] = 0
            for place in range(many):
                block = values[column[first + place], start:end]
                above, below, unbounded = low[first + place], high[first + place], np.isnan(high[first + place])
                bit = np.int32(1 << place)
                for row in range(len(block)):
                    # not `> above` and not `> below`: both are false for NaN, which goes right
                    inside = (not block[row] <= above) & (unbounded | (block[row] <= below))
                    pattern[row] += bit * inside
            for place in range(many):
                into = shares[column[first + place], start:end]
                run = table[table_from[leaf] + place : table_from[leaf + 1]]
                for row in range(len(into)):
                    into[row] += run[pattern[row] * many]
            reached = (1 << many) - 1
            into = margins[start:end]
            for row in range(len(into)):
                if pattern[row] == reached:
                    into[row] += leaf_value[leaf]
