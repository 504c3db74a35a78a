"""The scorecard: features in a few monotone bins, their weights of evidence, and a logistic regression of these.

The baseline that every model is reported beside, and an algorithm of its own. Its stages are stock ones of Spark ML,
and its points are a table that a person can read.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.feature import SQLTransformer, VectorAssembler, VectorSlicer
from pyspark.ml.linalg import DenseMatrix
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.binning import counted, cuts_of
from ml.cohorts import FIT_WEIGHT
from ml.pipeline import LABEL, MARGIN, Inputs, UnfitError, in_fixed_order
from transforms.features.catalogue import BY_NAME
from transforms.lending.scale import POINTS_PER_LOG_ODDS, plain_score_of_log_odds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scorecard:
    """What the scorecard is fitted with."""

    fine_bins: int = 20
    most_bins: int = 6
    least_share_of_a_bin: float = 0.05
    least_information_value: float = 0.02
    """Below it a characteristic is held to be unpredictive [Siddiqi, Credit Risk Scorecards]."""
    most_characteristics: int = 15
    ridge: float = 0.001

    has_exact_reasons: ClassVar[bool] = False
    """Its points are exact, but `score` explains trees alone: it stays a challenger."""


@dataclass(frozen=True)
class Characteristic:
    """One feature of the scorecard: its bins, unknown last, and what they weigh."""

    feature: str
    cuts: tuple[float, ...]
    goods: tuple[float, ...]
    bads: tuple[float, ...]
    evidence: tuple[float, ...]
    """Weight of evidence of bad: ln of the bin's share of all bads over its share of all goods; rising is riskier."""
    information_value: float

    def labels(self) -> list[str]:
        """The bins in words, unknown last."""
        edges = [f"{cut:,.6g}" for cut in self.cuts]
        if not edges:
            return ["known", "unknown"]
        between = [f"above {low} to {high}" for low, high in pairwise(edges)]
        return [f"up to {edges[0]}", *between, f"above {edges[-1]}", "unknown"]


@dataclass(frozen=True)
class FittedScorecard:
    """The model from a feature row to its `margin`, the log-odds of bad, with the bins that it rests on."""

    model: PipelineModel
    characteristics: tuple[Characteristic, ...]

    def points(
        self, intercept: float = 0.0, slope: float = 1.0
    ) -> list[tuple[str, str, int, int, float, float, float]]:
        """The table: feature, bin, goods, bads, share of bad, weight of evidence, points (fewer are riskier).

        First what everybody begins with: with the points of one bin a feature it sums to the score, by a calibration of
        this intercept and slope.
        """
        logistic = next(stage for stage in self.model.stages if isinstance(stage, LogisticRegressionModel))
        first = self.characteristics[0]
        goods, bads = int(sum(first.goods)), int(sum(first.bads))
        base = plain_score_of_log_odds(intercept + slope * float(logistic.intercept))
        found = [("base", "every seller", goods, bads, bads / (goods + bads), 0.0, base)]
        for weight, kept in zip(logistic.coefficients.toArray(), self.characteristics, strict=True):
            for label, good, bad, evidence in zip(kept.labels(), kept.goods, kept.bads, kept.evidence, strict=True):
                share = bad / (good + bad) if good + bad else math.nan
                points = -POINTS_PER_LOG_ODDS * slope * float(weight) * evidence + 0.0
                found.append((kept.feature, label, int(good), int(bad), share, evidence, points))
        return found


def fit_scorecard(rows: DataFrame, inputs: Inputs, settings: Scorecard = Scorecard()) -> FittedScorecard:
    """Fit it on decided rows with the columns of `inputs`, and `bad`; UnfitError where nothing tells good from bad.

    Bins are monotone in the catalogue's direction of risk, in the data's own where the catalogue has none; weights are
    never negative, so that a characteristic moves the score the way that its bins do.
    """
    cuts = cuts_of(rows, inputs.features, settings.fine_bins, inputs.rows)
    tables = counted(rows, cuts, F.col(LABEL).cast("int"))
    found = []
    for name in inputs.features:
        none = np.zeros(len(cuts[name]) + 2)
        known = BY_NAME.get(name)
        direction = {"rises": 1, "falls": -1}.get(known.risk or "", 0) if known else 0
        found.append(
            characteristic(name, cuts[name], tables[name].get(0, none), tables[name].get(1, none), direction, settings)
        )
    ranked = sorted(found, key=lambda kept: (-kept.information_value, kept.feature))[: settings.most_characteristics]
    if not ranked or not ranked[0].information_value > 0:
        raise UnfitError(f"scorecard: of {len(inputs.features)} features none tells good from bad")
    telling = [kept for kept in ranked if kept.information_value >= settings.least_information_value] or ranked[:1]
    preparation = Pipeline(
        stages=[
            SQLTransformer(statement=f"select *, {', '.join(map(_weighed, telling))} from __THIS__"),  # noqa: S608
            VectorAssembler(inputCols=[f"{kept.feature}__evidence" for kept in telling], outputCol="evidence"),
        ]
    ).fit(rows)
    logistic = LogisticRegression(
        featuresCol="evidence",
        labelCol=LABEL,
        weightCol=FIT_WEIGHT,
        regParam=settings.ridge,
        elasticNetParam=0.0,
        standardization=False,
        lowerBoundsOnCoefficients=DenseMatrix(1, len(telling), [0.0] * len(telling)),
    )
    logistic.setRawPredictionCol("raw").setProbabilityCol("raw_probability").setPredictionCol("raw_class")
    # one partition: the sums of several are added up as they come, and another order is another last digit
    vectors = in_fixed_order(preparation.transform(rows), "evidence", inputs.rows, 1).persist()
    try:
        fitted = logistic.fit(vectors)
    finally:
        vectors.unpersist()
    margin = VectorSlicer(inputCol="raw", outputCol=MARGIN, indices=[1])
    return FittedScorecard(PipelineModel([*preparation.stages, fitted, margin]), tuple(telling))


def characteristic(
    name: str, cuts: tuple[float, ...], goods: Floats, bads: Floats, direction: int, settings: Scorecard
) -> Characteristic:
    """Merge fine bins until risk only rises (`direction` 1), only falls (-1), or does what the data does (0)."""
    good, bad = list(goods[:-1]), list(bads[:-1])
    if direction == 0:
        direction = _direction_of(goods[:-1], bads[:-1])
    edges = list(cuts)
    least = settings.least_share_of_a_bin * float(goods.sum() + bads.sum())

    def rate(place: int) -> float:
        return (bad[place] + 0.5) / (good[place] + bad[place] + 1.0)

    def merge(place: int) -> None:
        """The bin at a place with the next one."""
        good[place : place + 2] = [good[place] + good[place + 1]]
        bad[place : place + 2] = [bad[place] + bad[place + 1]]
        del edges[place]

    while len(good) > 1:
        steps = [direction * (rate(place + 1) - rate(place)) for place in range(len(good) - 1)]
        small = [place for place in range(len(good)) if good[place] + bad[place] < least]
        if min(steps) <= 0:
            merge(int(np.argmin(steps)))
        elif small:
            place = small[0]
            at_right = place < len(steps) and (place == 0 or steps[place] <= steps[place - 1])
            merge(place if at_right else place - 1)
        elif len(good) > settings.most_bins:
            merge(int(np.argmin(steps)))
        else:
            break
    merged_good, merged_bad = np.array([*good, goods[-1]]), np.array([*bad, bads[-1]])
    of_goods = (merged_good + 0.5) / (merged_good.sum() + 0.5 * len(merged_good))
    of_bads = (merged_bad + 0.5) / (merged_bad.sum() + 0.5 * len(merged_bad))
    evidence = np.log(of_bads / of_goods)
    if merged_good[-1] + merged_bad[-1] < least:
        # a handful of unknown ones says nothing
        evidence[-1] = 0.0
    return Characteristic(
        name,
        tuple(edges),
        tuple(map(float, merged_good)),
        tuple(map(float, merged_bad)),
        tuple(map(float, evidence)),
        float(((of_bads - of_goods) * evidence).sum()),
    )


def _direction_of(goods: Floats, bads: Floats) -> int:
    """Whether bads lie higher or lower than goods: 1 or -1."""
    below = np.cumsum(goods) - goods
    pairs = goods.sum() * bads.sum()
    higher = (bads * (below + goods / 2)).sum()
    return 1 if higher >= pairs / 2 else -1


def _weighed(kept: Characteristic) -> str:
    """SQL of a characteristic's weight of evidence."""
    number = f"cast(`{kept.feature}` as double)"
    *known, unknown = kept.evidence
    steps = "".join(
        f" when {number} <= double('{cut!r}') then double('{evidence!r}')"
        for cut, evidence in zip(kept.cuts, known, strict=False)
    )
    return (
        f"case when {number} is null or isnan({number}) then double('{unknown!r}'){steps}"
        f" else double('{known[-1]!r}') end as `{kept.feature}__evidence`"
    )
