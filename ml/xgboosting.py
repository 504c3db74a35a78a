"""The challenger: XGBoost on Spark, which may only move the score the way that the catalogue expects."""

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorSlicer
from pyspark.sql import DataFrame
from xgboost.spark import SparkXGBClassifier

from ml.cohorts import FIT_WEIGHT
from ml.pipeline import FEATURES, LABEL, MARGIN, Inputs
from transforms.features.catalogue import BY_NAME


@dataclass(frozen=True)
class XGBoosting:
    """What the trees are grown with."""

    trees: int = 150
    depth: int = 3
    step_size: float = 0.05
    subsampling: float = 0.8
    share_of_features: float = 0.4
    least_weight_a_leaf: float = 5.0
    ridge: float = 1.0
    seed: int = 1

    partitions: ClassVar[int | None] = 1
    """Of the rows: one worker's. A barrier stage takes no partitions that were coalesced, so they are made so."""

    has_exact_reasons: ClassVar[bool] = False
    """Our exact reasons are those of Spark's trees: it stays a challenger."""


def fit_xgboost(vectors: DataFrame, preparation: PipelineModel, inputs: Inputs, settings: XGBoosting) -> PipelineModel:
    """Fit on prepared rows; the model goes from a feature row to its `margin`, a vector of one.

    One worker: a barrier stage wants all of its workers' slots at once, and the same rows give the same trees only so.
    """
    logging.getLogger("XGBoost-PySpark").setLevel(logging.ERROR)
    directions = [_direction(name) for name in inputs.features] + [0] * len(inputs.flagged)
    wanted: dict[str, Any] = {
        "n_estimators": settings.trees,
        "max_depth": settings.depth,
        "learning_rate": settings.step_size,
        "subsample": settings.subsampling,
        "colsample_bytree": settings.share_of_features,
        "min_child_weight": settings.least_weight_a_leaf,
        "reg_lambda": settings.ridge,
        "random_state": settings.seed,
        "tree_method": "hist",
        "monotone_constraints": f"({','.join(map(str, directions))})",
    }
    trees = SparkXGBClassifier(
        features_col=FEATURES,
        label_col=LABEL,
        weight_col=FIT_WEIGHT,
        raw_prediction_col="raw",
        probability_col="raw_probability",
        prediction_col="raw_class",
        num_workers=1,
        verbosity=0,
        verbose=False,
        **wanted,
    )
    margin = VectorSlicer(inputCol="raw", outputCol=MARGIN, indices=[1])
    return PipelineModel([*preparation.stages, trees.fit(vectors), margin])


def _direction(name: str) -> int:
    known = BY_NAME.get(name)
    return {"rises": 1, "falls": -1}.get(known.risk or "", 0) if known else 0
