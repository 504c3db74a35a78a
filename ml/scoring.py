"""Scores of sellers: probability, score, and points by feature that add up to it, each row checked on its way."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorSlicer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import GeneralizedLinearRegressionModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BooleanType, DoubleType, NumericType, StructType

from ml.reasons import (
    Floats,
    Reference,
    Trees,
    by_feature,
    contributions,
    contributions_and_margins,
    expected_margin,
    stage_of,
    trees_of,
)
from transforms.lending.scale import POINTS_PER_LOG_ODDS, clipped, plain_score_of_log_odds, score_of_log_odds
from transforms.tables.table import ContractError

MOST_OFF_MARGIN = 1e-9
"""Between the arrays' margin and Spark's own, which sums the trees in another order."""

MOST_OFF_POINTS = 1e-6
"""Points between the score before clipping and base plus points."""

_ASSEMBLED, _SHARES, _POINTS = "assembled", "shares", "points"
_KEY = ("seller_id", "as_of")

_Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Scorer:
    """A registered model with all that turns its margin into points."""

    model: PipelineModel
    trees: Trees
    reference_contributions: tuple[float, ...]
    """Mean contribution to the margin of the reference sellers, in the order of ``trees.features``."""
    slope: float
    """Calibrated log-odds of bad for one unit of margin."""
    base_points: float
    """Score before clipping of the reference seller."""
    reference: str | None
    """Which sellers those are, as the reference has it."""


def scorer(model: PipelineModel, reference: Reference) -> Scorer:
    """Put a model and its reference together; refuses another model's reference by the features that differ."""
    trees = trees_of(model)
    problems = [f"missing: {name}" for name in trees.features if name not in reference.contributions]
    problems += [f"not in the model: {name}" for name in reference.contributions if name not in trees.features]
    if problems:
        raise ContractError(f"reference: {'; '.join(problems)}")
    calibration = stage_of(model, GeneralizedLinearRegressionModel)
    intercept, slope = float(calibration.intercept), float(calibration.coefficients[0])
    means = tuple(reference.contributions[name] for name in trees.features)
    log_odds = intercept + slope * (expected_margin(trees) + math.fsum(means))
    return Scorer(
        model=model,
        trees=trees,
        reference_contributions=means,
        slope=slope,
        base_points=plain_score_of_log_odds(log_odds),
        reference=reference.kind,
    )


def score(features: DataFrame, by: Scorer, is_checked: bool = True) -> DataFrame:
    """One row a seller: margin, log-odds of bad, PD, score, and points by feature.

    Margin, log-odds and PD are the Spark model's own. A row whose trees or points do not add up to them stops the job
    by the seller's name; unchecked for one who measures how far they are off, and offers nothing by them.
    """
    calibration = stage_of(by.model, GeneralizedLinearRegressionModel)
    log_odds = F.col(calibration.getLinkPredictionCol())
    sliced = F.col(stage_of(by.model, VectorSlicer).getOutputCol())
    before_clipping = score_of_log_odds(log_odds)
    predicted = _predicted(features, by.model, by.trees).select(
        *_KEY,
        vector_to_array(sliced)[0].alias("margin"),
        log_odds.alias("log_odds"),
        F.col(calibration.getPredictionCol()).alias("pd"),
        before_clipping.alias("score_before_clipping"),
        clipped(before_clipping).alias("score"),
        F.lit(by.base_points).alias("base_points"),
        F.lit(by.reference).cast("string").alias("reference"),
        _assembled(by.trees),
    )
    pointed = _mapped(predicted, _POINTS, _pointing(by.trees, by.reference_contributions, by.slope, is_checked))
    return pointed.select(
        *(name for name in pointed.columns if name != _POINTS),
        F.map_from_arrays(F.lit(list(by.trees.features)), F.col(_POINTS)).alias(_POINTS),
    )


def mean_contributions(features: DataFrame, model: PipelineModel, chosen: str, kind: str) -> Reference:
    """The reference of a model: mean contributions by feature over all the rows given, at least one.

    ``chosen`` says how the caller chose them, ``kind`` what they are. The last bits of the means depend on how
    the rows are partitioned.
    """
    trees = trees_of(model)
    shared = _mapped(_predicted(features, model, trees).select(_assembled(trees)), _SHARES, _sharing(trees))
    means = [F.avg(F.col(_SHARES)[place]) for place in range(len(trees.features))]
    found = shared.agg(F.count(F.lit(1)), *means).head()
    sellers = found[0] if found else 0
    if not found or not sellers:
        raise ValueError(f"reference: no sellers ({chosen})")
    means_of = dict(zip(trees.features, found[1:], strict=True))
    return Reference(contributions=means_of, chosen=chosen, sellers=sellers, kind=kind)


def _predicted(features: DataFrame, model: PipelineModel, trees: Trees) -> DataFrame:
    """The model's own outputs, once every feature that it wants is there and is a number."""
    kinds = {field.name: field.dataType for field in features.schema}
    problems = [f"missing: {name}" for name in _KEY if name not in kinds]
    for name in trees.features:
        if name not in kinds:
            problems.append(f"missing: {name}")
        elif not isinstance(kinds[name], (NumericType, BooleanType)):
            problems.append(f"{name}: want a number, have {kinds[name].simpleString()}")
    if problems:
        raise ContractError(f"features: {'; '.join(problems)}")
    return model.transform(features)


def _assembled(trees: Trees) -> Column:
    # one array and no vector, which Arrow cannot carry
    return F.array(*(F.col(name).cast("double") for name in trees.columns)).alias(_ASSEMBLED)


def _mapped(rows: DataFrame, name: str, step: Callable[[_Batches], _Batches]) -> DataFrame:
    """Replace the assembled values, the last column, by what a step makes of them: an array of doubles."""
    kept = [field for field in rows.schema if field.name != _ASSEMBLED]
    return rows.mapInArrow(step, StructType(kept).add(name, ArrayType(DoubleType())))


def _sharing(trees: Trees) -> Callable[[_Batches], _Batches]:
    def share(batches: _Batches) -> _Batches:
        for batch in batches:
            found = by_feature(trees, contributions(trees, _matrix(batch, trees)))
            yield pa.RecordBatch.from_arrays([_lists(found)], names=[_SHARES])

    return share


def _pointing(
    trees: Trees, reference: Sequence[float], slope: float, is_checked: bool
) -> Callable[[_Batches], _Batches]:
    means = np.array(reference)
    points_per_margin = -POINTS_PER_LOG_ODDS * slope

    def point(batches: _Batches) -> _Batches:
        for batch in batches:
            shares, margins = contributions_and_margins(trees, _matrix(batch, trees))
            # adding 0 turns -0 into 0, for features that no tree splits on
            points = points_per_margin * (by_feature(trees, shares) - means) + 0.0
            if is_checked:
                _check(batch, "margin of Spark", "of the trees", _numbers(batch, "margin"), margins, MOST_OFF_MARGIN)
                summed = _numbers(batch, "base_points") + points.sum(axis=1)
                scores = _numbers(batch, "score_before_clipping")
                _check(batch, "score before clipping", "base and points", scores, summed, MOST_OFF_POINTS)
            kept = [name for name in batch.schema.names if name != _ASSEMBLED]
            columns = [*(batch.column(name) for name in kept), _lists(points)]
            yield pa.RecordBatch.from_arrays(columns, names=[*kept, _POINTS])

    return point


def _check(batch: pa.RecordBatch, wanted: str, had: str, want: Floats, have: Floats, most_off: float) -> None:
    # not `> most_off`: that is false for NaN
    off = np.flatnonzero(~(np.abs(want - have) <= most_off))
    if off.size:
        row = int(off[0])
        seller = batch.column("seller_id")[row].as_py()
        raise ValueError(
            f"seller {seller}: {wanted} {float(want[row])}, {had} {float(have[row])} ({off.size} such rows)"
        )


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    return batch.column(name).to_numpy(zero_copy_only=False)


def _matrix(batch: pa.RecordBatch, trees: Trees) -> Floats:
    values = batch.column(_ASSEMBLED).flatten().to_numpy(zero_copy_only=False)
    return values.reshape(batch.num_rows, len(trees.columns))


def _lists(matrix: Floats) -> pa.ListArray:
    rows, columns = matrix.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * columns), pa.array(matrix.ravel()))
