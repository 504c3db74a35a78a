"""The algorithms by one interface: from rows to a model that gives each row its `margin`, a vector of one."""

from collections.abc import Mapping
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.pipeline import Boosting, Inputs, fit_preparation, fit_trees, prepared
from ml.scorecard import Scorecard, fit_scorecard
from ml.xgboosting import XGBoosting, fit_xgboost

Algorithm = Boosting | XGBoosting | Scorecard


def fit(rows: DataFrame, inputs: Inputs, algorithm: Algorithm) -> PipelineModel:
    """Fit on rows with the columns of `inputs`, `bad` and `indeterminate`; indeterminate ones are left out."""
    decided = rows.filter(~F.col("indeterminate"))
    if isinstance(algorithm, Scorecard):
        return fit_scorecard(decided, inputs, algorithm).model
    preparation = fit_preparation(decided, inputs)
    with prepared(decided, preparation, inputs, algorithm.partitions) as vectors:
        if isinstance(algorithm, XGBoosting):
            return fit_xgboost(vectors, preparation, inputs, algorithm)
        return fit_trees(vectors, preparation, algorithm, inputs.rows)


ALGORITHMS: Mapping[str, Algorithm] = {
    "gbt": Boosting(),
    "xgboost": XGBoosting(),
    "scorecard": Scorecard(),
}
"""By the name that the command line and the card call them."""


def name_of(algorithm: Algorithm) -> str:
    """Its name in ALGORITHMS."""
    return next(name for name, known in ALGORITHMS.items() if type(known) is type(algorithm))


def packages_of(algorithm: Algorithm) -> tuple[str, ...]:
    """Distributions that a model of this algorithm cannot be loaded without, besides PySpark."""
    return ("xgboost-cpu",) if isinstance(algorithm, XGBoosting) else ()


def settings_of(algorithm: Algorithm) -> Mapping[str, Any]:
    """What it is fitted with, for the record."""
    return vars(algorithm)
