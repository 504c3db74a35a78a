"""Which settings to fit with: a stated number of them, each judged on cohorts later than what it was fitted on.

Rows out of time take no part: a version's own judgement stays one on rows that chose nothing.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product
from typing import Any

from pyspark import StorageLevel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.algorithms import Algorithm, fit, settings_of
from ml.evaluate import Counts, Interval, count, difference_of_auc, evaluate
from ml.pipeline import LOG_ODDS, MARGIN, Boosting, UnfitError, usable_inputs
from ml.scorecard import Scorecard
from ml.xgboosting import XGBoosting

CHOICES: Mapping[type[Algorithm], Mapping[str, Sequence[Any]]] = {
    Boosting: {
        "trees": (40, 80, 120, 160),
        "depth": (2, 3, 4),
        "step_size": (0.05, 0.1, 0.2),
        "subsampling": (0.6, 0.8, 1.0),
        "least_rows_a_leaf": (100, 250, 1000),
        "largest_share_of_features": ("0.1", "0.2", "0.4"),
    },
    XGBoosting: {
        "trees": (75, 150, 300),
        "depth": (2, 3, 4),
        "step_size": (0.025, 0.05, 0.1),
        "subsampling": (0.6, 0.8, 1.0),
        "share_of_features": (0.2, 0.4, 0.8),
        "least_weight_a_leaf": (1.0, 5.0, 20.0),
        "ridge": (1.0, 5.0, 25.0),
    },
    Scorecard: {
        "most_bins": (4, 6, 8),
        "least_share_of_a_bin": (0.03, 0.05, 0.1),
        "least_information_value": (0.01, 0.02, 0.05),
        "most_characteristics": (8, 15, 25),
        "ridge": (0.0001, 0.001, 0.01),
    },
}
"""What is drawn from, by algorithm: around the defaults, since hundreds of bads cannot tell settings far apart."""


@dataclass(frozen=True)
class Trial:
    """One setting, and how it ranked the validation rows."""

    algorithm: Algorithm
    differs: str
    """What it has other than the default, in words."""
    auc: Interval
    less_default: Interval | None
    """AUC less that of the default on the same rows; None of the default itself."""


@dataclass(frozen=True)
class Tuning:
    """What was tried, the default first, and what was taken."""

    validated_from: date
    """Fitted on outcomes known by this day, judged on cohorts from it on."""
    rows: int
    bads: int
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The highest AUC; of equals the one tried first."""
        return max(self.trials, key=lambda trial: trial.auc.value)

    def table(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        """Header and a row a setting."""
        header = ("settings", "auc", "auc_low", "auc_high", "auc_less_default", "less_default_low", "less_default_high")
        return header, [
            (
                trial.differs,
                *vars(trial.auc).values(),
                *(vars(trial.less_default).values() if trial.less_default else ()),
            )
            for trial in self.trials
        ]

    def in_words(self) -> str:
        """How the settings were chosen, in a sentence or two."""
        best = self.best
        chosen = (
            f"the default held (AUC {best.auc})"
            if best.less_default is None
            else f"{best.differs} was taken: AUC {best.auc}, {best.less_default} more than the default"
        )
        return (
            f"Settings: of {len(self.trials)} tried, {chosen}, on {self.rows:,} rows ({self.bads:,} bad) of cohorts"
            f" from {self.validated_from} on, by models of outcomes known by then. The best of several looks better"
            " than it is: no row out of time took part, and those tell."
        )


def candidates_of(algorithm: Algorithm, tries: int, seed: int) -> list[Algorithm]:
    """The algorithm as it stands, then at most `tries` others, drawn without repeats."""
    choices = CHOICES[type(algorithm)]
    every = [replace(algorithm, **dict(zip(choices, values, strict=True))) for values in product(*choices.values())]
    others = [other for other in every if other != algorithm]
    return [algorithm, *random.Random(seed).sample(others, min(tries, len(others)))]  # noqa: S311


def validation_day(rows: DataFrame, trained_on: date) -> date:
    """The cohort's day that leaves most bads on the side that has fewer: known by it, and of the cohorts from it on.

    Raises UnfitError where no day has goods and bads on both sides.
    """
    known = rows.filter((F.col("known_on") <= F.lit(trained_on)) & ~F.col("indeterminate"))
    # rows a day and outcome: bookkeeping, not data
    cohorts, learned = (
        known.groupBy("bad", F.col(day).alias("day")).count().collect() for day in ("as_of", "known_on")
    )
    days = sorted({row["day"] for row in cohorts})

    def fewest(day: date) -> int:
        """Rows of the outcome and side that has fewest."""
        before, after = Counter[int](), Counter[int]()
        for row in learned:
            before[row["bad"]] += row["count"] * (row["day"] <= day)
        for row in cohorts:
            after[row["bad"]] += row["count"] * (row["day"] >= day)
        return min(side[bad] for side in (before, after) for bad in (0, 1))

    best = max(days, key=fewest, default=None)
    if best is None or not fewest(best):
        raise UnfitError(
            f"no cohort's day parts the outcomes known by {trained_on} so that both sides have goods and bads:"
            " settings cannot be compared, train without --tune"
        )
    return best


def tuned(
    rows: DataFrame, names: Sequence[str], algorithm: Algorithm, tries: int, trained_on: date, seed: int = 1
) -> Tuning:
    """Fit the algorithm and `tries` other settings on what was known by the validation day, and judge each after it.

    `rows` are a training set's, which the caller has persisted. Raises UnfitError where they cannot be parted.
    """
    day = validation_day(rows, trained_on)
    earlier = rows.filter((F.col("known_on") <= F.lit(day)) & ~F.col("indeterminate"))
    later = rows.filter((F.col("as_of") >= F.lit(day)) & (F.col("known_on") <= F.lit(trained_on)))
    inputs = usable_inputs(earlier, names)
    judged_on = later.select("group_id", "bad", *inputs.features).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        found = [
            (candidate, _counted(judged_on, fit(earlier, inputs, candidate)))
            for candidate in candidates_of(algorithm, tries, seed)
        ]
    finally:
        judged_on.unpersist()
    default = found[0][1]
    evaluated = [evaluate(counts) for _, counts in found]
    trials = tuple(
        Trial(
            candidate,
            _differences(candidate, algorithm) or "the default",
            judged.auc,
            difference_of_auc(counts, default) if place else None,
        )
        for place, ((candidate, counts), judged) in enumerate(zip(found, evaluated, strict=True))
    )
    return Tuning(day, evaluated[0].rows, evaluated[0].bads, trials)


def _counted(rows: DataFrame, model: Any) -> Counts:
    """Rows by margin, in steps of a 300th of its spread: a small step size gives margins that are close together."""
    margin = model.transform(rows).select("group_id", "bad", vector_to_array(F.col(MARGIN))[0].alias(MARGIN))
    centre, spread = margin.agg(F.avg(MARGIN), F.stddev_pop(MARGIN)).collect()[0]
    return count(margin.select("group_id", "bad", ((F.col(MARGIN) - centre) / (spread or 1.0) * 3).alias(LOG_ODDS)))


def _differences(candidate: Algorithm, default: Algorithm) -> str:
    usual = settings_of(default)
    return ", ".join(f"{name} {value}" for name, value in settings_of(candidate).items() if value != usual[name])
