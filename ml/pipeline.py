"""The model: missing flags, imputation, boosted trees, calibration; stock Spark ML stages only, so it loads anywhere.

`probability = sigmoid(intercept + slope * margin)`: the calibration is affine on the margin, so that contributions to
the margin stay additive in the score.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.feature import Imputer, SQLTransformer, VectorAssembler, VectorSlicer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import GeneralizedLinearRegression, GeneralizedLinearRegressionModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ml.binning import in_sample, number_of
from ml.cohorts import FIT_WEIGHT, cohort_weights, fit_weight
from ml.reasons import FILLED, MISSING

LABEL = "bad"
MARGIN = "margin"
PD = "prediction"
LOG_ODDS = "log_odds"
FEATURES = "features"
ROWS_A_PARTITION = 25_000
"""A tree costs some ten jobs: 8,235 rows on two cores took 22 s for 40 trees in 8 partitions, 11 s in one."""


@dataclass(frozen=True)
class Boosting:
    """What the trees are grown with.

    A loan is in up to three cohorts, so that rows are fewer than they seem: with 50 rows a leaf and 0.4 of the features
    a node, 25 steps of 0.2 had an AUC of 0.675 on later cohorts of four simulated worlds; 40 of 0.1, with 500 rows and
    a tenth, had 0.702. By a stand-in of Spark's trees in 24 other worlds these have 0.0033 more (standard error
    0.0012): see `bench/README.md`.
    """

    trees: int = 80
    depth: int = 3
    step_size: float = 0.1
    subsampling: float = 0.8
    least_rows_a_leaf: int = 250
    """Of few rows no more than a fortieth part of them."""
    largest_share_of_features: str = "0.1"
    bins: int = 64
    seed: int = 1

    partitions: ClassVar[int | None] = None
    """Of the rows: as many as their number asks for."""

    has_exact_reasons: ClassVar[bool] = True


LEAST_LEAVES, FEWEST_ROWS = 40, 20
"""A leaf wants no more rows than a fortieth of all, or than these few."""

SMALL_SAMPLE = Boosting(trees=20, depth=2, step_size=0.2, least_rows_a_leaf=5, largest_share_of_features="0.4")
"""For some hundred rows: stumps of two splits, few of them."""


class UnfitError(Exception):
    """The rows cannot carry a model: the message says what is wrong with them."""


@dataclass(frozen=True)
class Inputs:
    """Which features go in, and which of them get a flag for being unknown."""

    features: tuple[str, ...]
    flagged: tuple[str, ...]
    rows: int
    """Rows that they were told from."""


def usable_inputs(rows: DataFrame, candidates: Sequence[str]) -> Inputs:
    """The candidates that tell something in these rows: one that is unknown everywhere, or the same, does not.

    Raises UnfitError where none does.
    """
    count = F.count(F.lit(1)).alias("rows")
    found = rows.agg(count, *(column for name in candidates for column in _told_of(name))).collect()[0].asDict()
    varies = {name for name in candidates if found[f"{name} low"] != found[f"{name} high"]}
    flagged = {name for name in candidates if 0 < found[f"{name} unknown"] < found["rows"]}
    if not varies | flagged:
        raise UnfitError(f"of {found['rows']} training rows no feature differs from one to another")
    return Inputs(
        tuple(name for name in candidates if name in varies | flagged),
        tuple(name for name in candidates if name in flagged),
        found["rows"],
    )


def _told_of(name: str) -> list[Column]:
    known = number_of(name)
    return [
        F.min(known).alias(f"{name} low"),
        F.max(known).alias(f"{name} high"),
        F.count_if(known.isNull()).alias(f"{name} unknown"),
    ]


def fit_preparation(rows: DataFrame, inputs: Inputs) -> PipelineModel:
    """Fit the stages that flag what is unknown, fill it with the median, and assemble a vector."""
    numbers = ", ".join(f"cast(`{name}` as double) as `{name}__number`" for name in inputs.features)
    flags = "".join(
        f", double(`{name}` is null or isnan(cast(`{name}` as double))) as `{name}{MISSING}`" for name in inputs.flagged
    )
    imputer = Imputer(
        strategy="median",
        inputCols=[f"{name}__number" for name in inputs.features],
        outputCols=[f"{name}{FILLED}" for name in inputs.features],
    )
    assembler = VectorAssembler(
        inputCols=[
            *(f"{name}{FILLED}" for name in inputs.features),
            *(f"{name}{MISSING}" for name in inputs.flagged),
        ],
        outputCol=FEATURES,
    )
    # names of the catalogue, never of the input
    as_numbers = SQLTransformer(statement=f"select *, {numbers}{flags} from __THIS__")  # noqa: S608
    # of one row of medians: its own differ from run to run with the order of the tasks
    return PipelineModel([as_numbers, imputer.fit(_medians(rows, inputs)), assembler])


def _medians(rows: DataFrame, inputs: Inputs) -> DataFrame:
    """One row: of each feature the median of what is known, under the name that the imputer wants."""
    columns = [f"{name}__number" for name in inputs.features]
    # the sample is told once a row, and not once a feature
    numbers = rows.select(
        in_sample(inputs.rows).alias("is_in_sample"),
        *(number_of(name).alias(column) for name, column in zip(inputs.features, columns, strict=True)),
    )

    def median(column: str) -> Column:
        of_sample = F.percentile(F.when(F.col("is_in_sample"), F.col(f"`{column}`")), F.lit(0.5))
        # one that nobody in the sample has is filled with the lowest that anybody has
        return F.coalesce(of_sample, F.min(f"`{column}`")).alias(column)

    return numbers.agg(*map(median, columns))


@contextmanager
def prepared(
    rows: DataFrame, preparation: PipelineModel, inputs: Inputs, partitions: int | None = None
) -> Iterator[DataFrame]:
    """The rows as vectors, in so many partitions, kept for as long as models are fitted on them."""
    vectors = preparation.transform(rows)
    ordered = in_fixed_order(vectors, FEATURES, inputs.rows, partitions)
    # memory is for what Spark makes of them, 1 kB a row: 20 trees of 800,000 took 60 s where that fits, 122 s elsewhere
    kept = ordered.persist(StorageLevel.DISK_ONLY)
    try:
        classes = kept.agg(F.min(LABEL), F.max(LABEL)).collect()[0]
        if classes[0] == classes[1]:
            raise UnfitError("the training rows are all good, all bad, or none: there is nothing to learn from them")
        yield kept
    finally:
        kept.unpersist()


def in_fixed_order(vectors: DataFrame, features: str, rows: int, partitions: int | None = None) -> DataFrame:
    """Vectors with their labels and weights, in one order and as many partitions as are told, or as their number asks.

    The same rows and seed give the same model only so: subsampling goes by place, and sums of doubles by order. In one
    JVM, that is: of several executors sums come as they arrive. Partitions by hash: the bounds of ranges come of a
    sample that differs from run to run.
    """
    partitions = partitions or -(-rows // ROWS_A_PARTITION)
    weight = fit_weight(cohort_weights(vectors))
    wanted = vectors.select("seller_id", "as_of", features, F.col(LABEL).cast("double").alias(LABEL), weight)
    return wanted.repartition(partitions, "seller_id", "as_of").sortWithinPartitions("seller_id", "as_of")


def fit_trees(vectors: DataFrame, preparation: PipelineModel, boosting: Boosting, rows: int) -> PipelineModel:
    """Fit boosted trees on prepared rows; the model goes from a feature row to its `margin`, a vector of one."""
    margin = VectorSlicer(inputCol="raw", outputCol=MARGIN, indices=[1])
    return PipelineModel([*preparation.stages, classifier(boosting, rows).fit(vectors), margin])


def classifier(boosting: Boosting, rows: int) -> GBTClassifier:
    """Spark's boosted trees, not fitted yet: from `features` and `bad` to `raw`, of which the second is the margin."""
    trees = GBTClassifier(
        featuresCol=FEATURES,
        labelCol=LABEL,
        weightCol=FIT_WEIGHT,
        maxIter=boosting.trees,
        maxDepth=boosting.depth,
        stepSize=boosting.step_size,
        subsamplingRate=boosting.subsampling,
        minInstancesPerNode=min(boosting.least_rows_a_leaf, max(rows // LEAST_LEAVES, FEWEST_ROWS)),
        featureSubsetStrategy=boosting.largest_share_of_features,
        maxBins=boosting.bins,
        seed=boosting.seed,
    )
    # not taken by the constructor
    return trees.setRawPredictionCol("raw").setProbabilityCol("raw_probability").setPredictionCol("raw_class")


def features_used(model: PipelineModel, inputs: Inputs) -> frozenset[str] | None:
    """The features on whose value one of the boosted trees splits; None of a model of another kind.

    One that is only asked whether it is known is not among them. A split without a gain is none: Spark makes a leaf.
    """
    for stage in model.stages:
        if isinstance(stage, GBTClassificationModel):
            # the flags for what is unknown come after the features
            sizes = stage.featureImportances.toArray()[: len(inputs.features)]
            return frozenset(name for name, size in zip(inputs.features, sizes, strict=True) if size > 0)
    return None


def fit_calibration(rows: DataFrame) -> GeneralizedLinearRegressionModel:
    """Fit log-odds of bad = intercept + slope * margin on `margin` and `bad`, each margin by trees that did not see it.

    Raises UnfitError where the margin does not rank the rows at all: a slope of 0 or below.
    """
    fitted = fit_affine(rows)
    slope = float(fitted.coefficients.toArray()[0])
    if not slope > 0:
        raise UnfitError(f"on rows that they did not see the models rank no better than chance (slope {slope:.3f})")
    return fitted


def fit_affine(rows: DataFrame) -> GeneralizedLinearRegressionModel:
    """The same whatever the slope: where a model is judged, one of 0 or below is a finding."""
    # the sums of several partitions are added up as they come: another order is another last digit
    ordered = rows.select(MARGIN, F.col(LABEL).cast("double").alias(LABEL)).repartition(1)
    # read again at each step of the fit
    ordered = ordered.sortWithinPartitions(vector_to_array(F.col(MARGIN))[0], LABEL).persist()
    try:
        return GeneralizedLinearRegression(
            family="binomial",
            link="logit",
            featuresCol=MARGIN,
            labelCol=LABEL,
            predictionCol=PD,
            linkPredictionCol=LOG_ODDS,
        ).fit(ordered)
    finally:
        ordered.unpersist()


def whole_model(trees: PipelineModel, calibration: GeneralizedLinearRegressionModel) -> PipelineModel:
    """One model from a feature row to `prediction`, the PD, and `log_odds`."""
    return PipelineModel([*trees.stages, calibration])
