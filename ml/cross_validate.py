"""Margins of rows by models that did not see them."""

from collections.abc import Sequence
from functools import reduce

from pyspark.ml import PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ml.algorithms import Algorithm, fit
from ml.pipeline import LOG_ODDS, MARGIN, Inputs, fit_affine, usable_inputs
from ml.scorecard import Scorecard
from ml.split import fold_of

KEPT = ("seller_id", "as_of", "group_id", "bad", "indeterminate")


def fit_both(rows: DataFrame, inputs: Inputs, algorithm: Algorithm) -> tuple[PipelineModel, PipelineModel]:
    """The algorithm's model up to its margin, and the scorecard that is reported beside it."""
    model = fit(rows, inputs, algorithm)
    return model, model if isinstance(algorithm, Scorecard) else fit(rows, inputs, Scorecard())


def judged_by_both(rows: DataFrame, model: PipelineModel, scorecard: PipelineModel, inputs: Inputs) -> DataFrame:
    """Rows with `margin` (a vector of one) by the model, and `baseline_log_odds` by the scorecard."""
    own = [name for name in rows.columns if name not in inputs.features]
    baseline = scorecard.transform(rows).select("*", vector_to_array(F.col(MARGIN))[0].alias("baseline_log_odds"))
    by_model = model.transform(baseline.select(*rows.columns, "baseline_log_odds"))
    return by_model.select(*own, MARGIN, "baseline_log_odds")


def out_of_fold(
    rows: DataFrame,
    inputs: Inputs,
    algorithm: Algorithm,
    folds: int,
    repeats: int = 1,
    seed: int = 1,
    later: DataFrame | None = None,
    keep: Sequence[str] = KEPT,
) -> DataFrame:
    """One row a row and repeat: `keep`, is_later, repeat, fold; `margin`, `baseline_log_odds` by other folds' models.

    Rows of `later` train no model but come too, with `is_later`: each judged by the model that saw no row of
    its group. The caller should have persisted both: every fit reads them.
    """
    kept = rows.select(*keep, *inputs.features, F.lit(False).alias("is_later"))
    if later is not None:
        kept = kept.unionByName(later.select(*keep, *inputs.features, F.lit(True).alias("is_later")))
    columns = (*keep, "is_later", "repeat", "fold", MARGIN, "baseline_log_odds")
    parts = []
    for repeat in range(repeats):
        placed = kept.withColumns({"repeat": F.lit(repeat), "fold": fold_of(folds, seed, repeat)})
        for fold in range(folds):
            others = placed.filter((F.col("fold") != fold) & ~F.col("is_later"))
            # a feature that few rows have may tell nothing in the rest of them
            told = usable_inputs(others.filter(~F.col("indeterminate")), inputs.features)
            model, scorecard = fit_both(others, told, algorithm)
            parts.append(judged_by_both(placed.filter(F.col("fold") == fold), model, scorecard, told).select(*columns))
    return reduce(DataFrame.unionByName, parts)


def calibrated_by_others(outside: DataFrame, folds: int, repeats: int) -> DataFrame:
    """Rows of `out_of_fold` with their `log_odds`, each by a calibration of the other folds of its repeat; their
    `baseline_log_odds` too.

    By one that a row took part in, observed over expected, intercept and slope would be 1, 0 and 1 whatever the model.
    Folds that are calibrated apart rank worse together than their margins: of 123 firms with invoices the same
    scorecard had an AUC of 0.72 so and of 0.79 without. Two models are compared only where both are.
    """
    baseline = array_to_vector(F.array("baseline_log_odds"))
    return outside.withColumns(
        {
            LOG_ODDS: _by_other_folds(outside, F.col(MARGIN), folds, repeats),
            "baseline_log_odds": _by_other_folds(outside, baseline, folds, repeats),
        }
    )


def baseline_calibration(outside: DataFrame) -> tuple[float, float]:
    """Intercept and slope of the scorecard's calibration, on rows that scorecards of the other folds judged: as the
    model's. Uncalibrated, its level would be that of the rows without the indeterminate ones, and too high by a fifth.
    """
    found = fit_affine(outside.withColumn(MARGIN, array_to_vector(F.array("baseline_log_odds"))))
    return float(found.intercept), float(found.coefficients.toArray()[0])


def _by_other_folds(outside: DataFrame, margin: Column, folds: int, repeats: int) -> Column:
    """Log-odds of a margin (a vector of one), by a calibration of it on the other folds of the row's repeat."""
    value = vector_to_array(margin)[0]
    by_fold = []
    for repeat in range(repeats):
        of_repeat = outside.filter(F.col("repeat") == repeat).withColumn(MARGIN, margin)
        for fold in range(folds):
            found = fit_affine(of_repeat.filter(F.col("fold") != fold))
            log_odds = F.lit(float(found.intercept)) + F.lit(float(found.coefficients.toArray()[0])) * value
            by_fold.append(F.when((F.col("repeat") == repeat) & (F.col("fold") == fold), log_odds))
    return F.coalesce(*by_fold)
