"""A registered model in small: the stages of the product, fitted on 400 made-up sellers of three features."""

import math
import random
from datetime import date
from functools import cache
from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.feature import Imputer, SQLTransformer, VectorAssembler, VectorSlicer
from pyspark.ml.regression import GeneralizedLinearRegression
from pyspark.sql import DataFrame, SparkSession

SCHEMA = "seller_id string, as_of date, sales double, orders int, refunds double, bad double"
FEATURES = ["sales", "orders", "refunds"]
COLUMNS = ["sales__filled", "orders__filled", "sales__missing", "refunds__filled", "orders__missing"]
AS_OF = date(2024, 9, 1)


def sellers(spark: SparkSession, many: int = 400) -> DataFrame:
    """Rows with unknown sales (null or NaN) and orders, whose bads follow all three features."""
    return spark.createDataFrame(_rows(many), SCHEMA).coalesce(1)


@cache
def small_model(spark: SparkSession) -> PipelineModel:
    """Three trees of depth 4 over five columns: the same column twice and more on a path. Fitted once a session."""
    rows = sellers(spark)
    numbers = ", ".join(f"cast({name} as double) {name}__number" for name in FEATURES)
    flags = ", ".join(f"double({name} is null or isnan({name})) {name}__missing" for name in ("sales", "orders"))
    trees = GBTClassifier(
        featuresCol="features", labelCol="bad", maxIter=3, maxDepth=4, stepSize=0.6, subsamplingRate=0.8, seed=11
    )
    trees.setRawPredictionCol("raw").setProbabilityCol("raw_probability").setPredictionCol("raw_class")
    boosted = Pipeline(
        stages=[
            SQLTransformer(statement=f"select *, {numbers}, {flags} from __THIS__"),
            Imputer(
                strategy="median",
                inputCols=[f"{name}__number" for name in FEATURES],
                outputCols=[f"{name}__filled" for name in FEATURES],
            ),
            VectorAssembler(inputCols=COLUMNS, outputCol="features"),
            trees,
            VectorSlicer(inputCol="raw", outputCol="sliced", indices=[1]),
        ]
    ).fit(rows)
    calibration = GeneralizedLinearRegression(
        family="binomial", link="logit", featuresCol="sliced", labelCol="bad", linkPredictionCol="log_odds_of_bad"
    ).fit(boosted.transform(rows))
    return PipelineModel([*boosted.stages, calibration])


def _rows(many: int) -> list[tuple[Any, ...]]:
    chance = random.Random(5)
    rows = []
    for number in range(many):
        sales, orders, refunds = round(chance.gauss(0, 1), 1), chance.randrange(12), round(chance.random(), 2)
        log_odds = 4 * math.sin(2 * sales) + 0.5 * (orders - 6) * (1 if sales > 0 else -1) + 4 * (refunds - 0.5)
        told = [sales, None, float("nan")][chance.choices([0, 1, 2], [8, 1, 1])[0]]
        known = None if chance.random() < 0.15 else orders
        bad = float(chance.random() < 1 / (1 + math.exp(-log_odds)))
        rows.append((f"s{number}", AS_OF, told, known, refunds, bad))
    return rows
