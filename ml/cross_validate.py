"""Margins of rows by trees that did not see them."""

from functools import reduce

from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.pipeline import MARGIN, Boosting, Inputs, fit_preparation, fit_scorecard, fit_trees, prepared, usable_inputs
from ml.split import fold_of

KEPT = ("seller_id", "as_of", "group_id", "bad", "indeterminate")


def fit_both(rows: DataFrame, inputs: Inputs, boosting: Boosting) -> tuple[PipelineModel, PipelineModel]:
    """Trees up to their margin, and the scorecard that is reported beside them; indeterminate rows are left out."""
    decided = rows.filter(~F.col("indeterminate"))
    preparation = fit_preparation(decided, inputs)
    with prepared(decided, preparation, inputs) as vectors:
        return fit_trees(vectors, preparation, boosting), fit_scorecard(vectors, preparation)


def judged_by_both(rows: DataFrame, trees: PipelineModel, scorecard: PipelineModel, inputs: Inputs) -> DataFrame:
    """Rows with `margin` (a vector of one) by the trees, and `baseline_log_odds` by the scorecard."""
    own = [name for name in rows.columns if name not in inputs.features]
    baseline = scorecard.transform(rows).select("*", vector_to_array(F.col(MARGIN))[0].alias("baseline_log_odds"))
    by_trees = trees.transform(baseline.select(*rows.columns, "baseline_log_odds"))
    return by_trees.select(*own, MARGIN, "baseline_log_odds")


def out_of_fold(
    rows: DataFrame, inputs: Inputs, boosting: Boosting, folds: int, repeats: int = 1, seed: int = 1
) -> DataFrame:
    """One row a row and repeat: KEPT, repeat, fold, `margin`, `baseline_log_odds`, by models of the other folds.

    The caller should have persisted `rows`: every fit reads them.
    """
    kept = rows.select(*KEPT, *inputs.features)
    columns = (*KEPT, "repeat", "fold", MARGIN, "baseline_log_odds")
    parts = []
    for repeat in range(repeats):
        placed = kept.withColumns({"repeat": F.lit(repeat), "fold": fold_of(folds, seed, repeat)})
        for fold in range(folds):
            others = placed.filter(F.col("fold") != fold)
            # a feature that few rows have may tell nothing in the rest of them
            told = usable_inputs(others.filter(~F.col("indeterminate")), inputs.features)
            trees, scorecard = fit_both(others, told, boosting)
            parts.append(judged_by_both(placed.filter(F.col("fold") == fold), trees, scorecard, told).select(*columns))
    return reduce(DataFrame.unionByName, parts)
