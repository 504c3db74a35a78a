"""How well a model ranks and how true its probabilities are, each figure with an interval.

Rows are counted where they are: by block of connected groups, log-odds to a hundredth, and outcome. The table of counts
is bounded whatever the number of rows; the figures are made of it. Intervals resample blocks of groups, not rows, since
a seller's months are not independent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

Floats = NDArray[np.float64]
Figure = Callable[[Floats, Floats, Floats], float]
"""Of goods, bads and log-odds by level."""

BLOCKS = 200
RESAMPLES = 400
STEP = 0.01
"""Log-odds are counted to this: two rows nearer than that are tied."""
_FURTHEST = 12.0


@dataclass(frozen=True)
class Counts:
    """Rows by block, log-odds and outcome: what every figure is made of."""

    log_odds: Floats
    """Of each level, rising."""
    good: Floats
    """[blocks, levels] rows that are not bad."""
    bad: Floats
    """[blocks, levels] rows that are bad."""
    bad_groups: int

    @property
    def rows(self) -> int:
        return round(self.good.sum() + self.bad.sum())

    @property
    def bads(self) -> int:
        return round(self.bad.sum())

    @property
    def mean_pd(self) -> float:
        """Of all rows; NaN without any."""
        by_level = (self.good + self.bad).sum(axis=0)
        return float((by_level * _sigmoid(self.log_odds)).sum() / by_level.sum()) if self.rows else math.nan

    def share_up_to(self, log_odds: float) -> float:
        """Share of rows with log-odds at most this: those that a cut-off there lets through."""
        by_level = (self.good + self.bad).sum(axis=0)
        return float(by_level[self.log_odds <= log_odds].sum() / by_level.sum()) if self.rows else math.nan


@dataclass(frozen=True)
class Interval:
    """A figure with the 2.5 % and 97.5 % points of its resamples; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not defined"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class Evaluation:
    """What one sample says of a model."""

    rows: int
    bads: int
    bad_groups: int
    auc: Interval
    ks: Interval
    observed_to_expected: Interval
    calibration_intercept: Interval
    """Of the logistic regression of the outcome on the log-odds, its slope held at 1: 0 is true on average."""
    calibration_slope: Interval
    """Of the same with a free intercept: below 1 the log-odds are spread too wide."""
    brier: float
    log_loss: float

    @property
    def gini(self) -> Interval:
        """Twice the AUC less one: the same ranking on a scale from 0 to 1."""
        return Interval(*(2 * end - 1 for end in (self.auc.value, self.auc.low, self.auc.high)))


def count(judged: DataFrame) -> Counts:
    """Count rows with `log_odds` (a number), `bad` (0 or 1) and `group_id`; by their `weight`, where they have one."""
    return count_by(judged.withColumn("all", F.lit(0)), "all").get((0,), _tabulated([], 0))


def count_by(judged: DataFrame, *keys: str) -> dict[tuple[object, ...], Counts]:
    """The same for each value of some columns, in one pass."""
    level = F.round(F.least(F.greatest("log_odds", F.lit(-_FURTHEST)), F.lit(_FURTHEST)) / STEP).cast("int")
    weight = F.col("weight") if "weight" in judged.columns else F.lit(1)
    block = F.pmod(F.xxhash64("group_id"), F.lit(BLOCKS))
    counted = (
        judged.select(
            *keys, block.alias("block"), level.alias("level"), F.col("bad").cast("int"), weight.alias("weight")
        )
        .groupBy(*keys, "block", "level", "bad")
        .agg(F.sum("weight").alias("count"))
        .collect()
    )
    groups = judged.filter("bad = 1").groupBy(*keys).agg(F.countDistinct("group_id").alias("groups")).collect()
    bad_groups = {tuple(row[key] for key in keys): int(row["groups"]) for row in groups}
    rows_of: dict[tuple[object, ...], list[Row]] = {}
    for row in counted:
        rows_of.setdefault(tuple(row[key] for key in keys), []).append(row)
    return {key: _tabulated(rows, bad_groups.get(key, 0)) for key, rows in rows_of.items()}


def _tabulated(rows: list[Row], bad_groups: int) -> Counts:
    levels = sorted({row["level"] for row in rows})
    place = {level: number for number, level in enumerate(levels)}
    tables = np.zeros((2, BLOCKS, len(levels)))
    for row in rows:
        tables[row["bad"], row["block"], place[row["level"]]] += row["count"]
    return Counts(np.array(levels, dtype=float) * STEP, tables[0], tables[1], bad_groups)


def evaluate(counts: Counts, seed: int = 1) -> Evaluation:
    """Every figure of a sample, with 95 % intervals by resampling blocks of groups."""
    shares = _shares(seed)
    whole_good, whole_bad = counts.good.sum(axis=0), counts.bad.sum(axis=0)

    def interval(figure: Figure) -> Interval:
        return _interval(figure(whole_good, whole_bad, counts.log_odds), _resampled(counts, figure, shares))

    pd = _sigmoid(counts.log_odds)
    weight = float((whole_good + whole_bad).sum()) or 1.0
    brier = float((whole_good * pd**2 + whole_bad * (1 - pd) ** 2).sum() / weight)
    # ln of a probability from its log-odds, which never meets the logarithm of 0
    misses = whole_good * np.logaddexp(0, counts.log_odds) + whole_bad * np.logaddexp(0, -counts.log_odds)
    return Evaluation(
        rows=counts.rows,
        bads=counts.bads,
        bad_groups=counts.bad_groups,
        auc=interval(auc),
        ks=interval(ks),
        observed_to_expected=interval(_observed_to_expected),
        calibration_intercept=interval(_intercept),
        calibration_slope=interval(_slope),
        brier=brier,
        log_loss=float(misses.sum() / weight),
    )


def difference_of_auc(counts: Counts, others: Counts, seed: int = 1) -> Interval:
    """AUC of one model less that of another on the same rows; both see the same groups in every resample."""
    shares = _shares(seed)
    ours, theirs = (_resampled(counted, auc, shares) for counted in (counts, others))
    values = [auc(c.good.sum(axis=0), c.bad.sum(axis=0), c.log_odds) for c in (counts, others)]
    return _interval(values[0] - values[1], ours - theirs)


def _shares(seed: int) -> Floats:
    """[resamples, blocks] how often each block of groups was drawn."""
    return np.random.default_rng(seed).multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), size=RESAMPLES).astype(float)


def _resampled(counts: Counts, figure: Figure, shares: Floats) -> Floats:
    goods, bads = shares @ counts.good, shares @ counts.bad
    return np.array([figure(good, bad, counts.log_odds) for good, bad in zip(goods, bads, strict=True)])


def _interval(value: float, resampled: Floats) -> Interval:
    known = resampled[~np.isnan(resampled)]
    low, high = np.percentile(known, [2.5, 97.5]) if known.size else (math.nan, math.nan)
    return Interval(float(value), float(low), float(high))


def auc(good: Floats, bad: Floats, log_odds: Floats) -> float:
    """Chance that a bad row has higher log-odds than a good one, ties counted half; levels are rising."""
    pairs = good.sum() * bad.sum()
    if pairs == 0:
        return math.nan
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / pairs)


def ks(good: Floats, bad: Floats, log_odds: Floats) -> float:
    """Largest distance between the two cumulative distributions (Kolmogorov and Smirnov)."""
    if good.sum() == 0 or bad.sum() == 0:
        return math.nan
    return float(np.abs(np.cumsum(good) / good.sum() - np.cumsum(bad) / bad.sum()).max())


def _observed_to_expected(good: Floats, bad: Floats, log_odds: Floats) -> float:
    expected = ((good + bad) * _sigmoid(log_odds)).sum()
    return float(bad.sum() / expected) if expected > 0 else math.nan


def _intercept(good: Floats, bad: Floats, log_odds: Floats) -> float:
    return _logistic(good, bad, log_odds, with_slope=False)[0]


def _slope(good: Floats, bad: Floats, log_odds: Floats) -> float:
    return _logistic(good, bad, log_odds, with_slope=True)[1]


def _logistic(good: Floats, bad: Floats, log_odds: Floats, with_slope: bool) -> tuple[float, float]:
    """Newton's method for the two coefficients of recalibration (Cox 1958); NaN where it does not settle."""
    if good.sum() == 0 or bad.sum() == 0:
        return math.nan, math.nan
    intercept, slope = 0.0, 1.0
    total = good + bad
    for _ in range(50):
        pd = _sigmoid(intercept + slope * log_odds)
        weight = total * pd * (1 - pd)
        miss = bad - total * pd
        # separable resamples run away: a long step is cut, and what does not settle is unknown
        if not weight.sum() > 1e-12:
            return math.nan, math.nan
        if not with_slope:
            step = float(np.clip(miss.sum() / weight.sum(), -2, 2))
            intercept += step
            if abs(step) < 1e-9:
                return intercept, slope
            continue
        curve = np.array([[weight.sum(), (weight * log_odds).sum()], [0.0, (weight * log_odds**2).sum()]])
        curve[1, 0] = curve[0, 1]
        determinant = curve[0, 0] * curve[1, 1] - curve[0, 1] ** 2
        if not determinant > 1e-12:
            return math.nan, math.nan
        move = np.clip(np.linalg.solve(curve, np.array([miss.sum(), (miss * log_odds).sum()])), -2, 2)
        intercept, slope = intercept + float(move[0]), slope + float(move[1])
        if np.abs(move).max() < 1e-9:
            return intercept, slope
    return math.nan, math.nan


def _sigmoid(log_odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-log_odds))


def by_decile(counts: Counts) -> list[tuple[float, float, int]]:
    """Mean PD, share that went bad, and rows, of ten parts of the sample from lowest to highest log-odds."""
    good, bad = counts.good.sum(axis=0), counts.bad.sum(axis=0)
    total = good + bad
    if not total.sum():
        return []
    part = np.minimum((np.cumsum(total) - total / 2) / total.sum() * 10, 9.999).astype(int)
    pd = _sigmoid(counts.log_odds)
    found = []
    for number in range(10):
        of_part = part == number
        rows = total[of_part].sum()
        if rows:
            found.append((float((total * pd)[of_part].sum() / rows), float(bad[of_part].sum() / rows), int(rows)))
    return found
