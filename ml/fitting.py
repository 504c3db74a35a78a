"""Fit a version: what trains it, what calibrates it, and the rows that it is judged on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.algorithms import Algorithm, fit
from ml.cross_validate import baseline_calibration, calibrated_by_others, judged_by_both, out_of_fold
from ml.pipeline import LOG_ODDS, Inputs, fit_calibration, usable_inputs, whole_model
from ml.scorecard import FittedScorecard, Scorecard, fit_scorecard
from ml.split import fold_of

CHAMPION_LOG_ODDS, BASELINE_LOG_ODDS = "champion_log_odds", "baseline_log_odds"


@dataclass(frozen=True)
class Plan:
    """How a version is trained and judged."""

    algorithm: Algorithm
    trained_on: date | None
    """Outcomes known by this day train, cohorts from it on judge; None: judged by cross-validation."""
    folds: int
    repeats: int
    tries: int = 0
    """Settings to compare beside the algorithm's own, before it is fitted."""

    @property
    def is_cross_validated(self) -> bool:
        return self.trained_on is None


@dataclass(frozen=True)
class Fitted:
    """A model, and rows with its `log_odds` and `baseline_log_odds` beside their outcome, kept while it is judged."""

    model: PipelineModel
    inputs: Inputs
    scorecard: FittedScorecard
    baseline_calibration: tuple[float, float]
    """Intercept and slope by which the scorecard's margin became its `baseline_log_odds`."""
    seen: DataFrame
    """The training rows."""
    in_training: DataFrame
    judged: DataFrame
    """Out of time, or out of fold where there is no later cohort: the rows that the gates go by, each once."""
    unseen_groups: DataFrame
    """The same rows, once a repeat, each by the models of other folds: they saw no row of its group, at no time."""


def problems_of(rows: DataFrame, candidates: Sequence[str], plan: Plan) -> list[str]:
    """What would make the fits fail, or mean nothing: found in one pass, before hours of work."""
    is_seen = F.lit(True) if plan.trained_on is None else F.col("known_on") <= F.lit(plan.trained_on)
    is_later = F.lit(False) if plan.trained_on is None else F.col("as_of") >= F.lit(plan.trained_on)
    trains = is_seen & ~F.col("indeterminate")
    # each repeat places the groups anew
    folds = {repeat: fold_of(plan.folds, 1, repeat) for repeat in range(plan.repeats)}

    numbers = [name for name in candidates if name in rows.columns]
    found = rows.agg(
        F.count_if(trains & (F.col("bad") == 0)).alias("good"),
        F.count_if(trains & (F.col("bad") == 1)).alias("bad"),
        F.count_if(is_later).alias("later"),
        F.count_distinct(F.when(trains, F.col("group_id"))).alias("groups"),
        *(
            F.size(F.collect_set(F.when(trains & (F.col("bad") == bad), fold))).alias(f"folds {bad} {repeat}")
            for repeat, fold in folds.items()
            for bad in (0, 1)
        ),
        *(
            F.count_if(F.abs(F.col(name).cast("double")) == F.lit(float("inf"))).alias(f"infinite {name}")
            for name in numbers
        ),
    ).collect()[0]
    known_by = "" if plan.trained_on is None else f" with an outcome known by {plan.trained_on}"
    problems = [
        f"the training set has no column {name}: it was made by another catalogue"
        for name in candidates
        if name not in numbers
    ]
    if not found["good"] and not found["bad"]:
        problems.append(f"no row{known_by} that is good or bad: there is nothing to train on")
    elif not found["bad"] or not found["good"]:
        only, none = ("good", "bad") if found["good"] else ("bad", "good")
        problems.append(f"all {found[only]} rows{known_by} are {only}: no {none} outcome, there is nothing to learn")
    elif found["groups"] < plan.folds:
        problems.append(f"{found['groups']} groups of sellers in {plan.folds} folds: want fewer folds, or more rows")
    elif min(found[f"folds {bad} {repeat}"] for repeat in folds for bad in (0, 1)) < 2:
        problems.append("all bads, or all goods, are in one fold: the models of the others have nothing to learn")
    if plan.trained_on is not None and not found["later"]:
        problems.append(f"no cohort from {plan.trained_on} on has a known outcome: nothing to test on, out of time")
    problems += [
        f"feature {name}: infinite in {found[f'infinite {name}']} rows" for name in numbers if found[f"infinite {name}"]
    ]
    return problems


@contextmanager
def fitted(rows: DataFrame, candidates: Sequence[str], plan: Plan, keep: Sequence[str]) -> Iterator[Fitted]:
    """Fit a version on rows of a training set, which the caller has persisted; columns in `keep` go with each row.

    Every row calibrates, by models that did not see it: a held-out quarter of some fifty bad groups put the level of
    every probability off by a quarter. Where the same rows are judged, each is so by a calibration without its fold.
    Raises UnfitError where the rows cannot carry a model.
    """
    seen = rows if plan.trained_on is None else rows.filter(F.col("known_on") <= F.lit(plan.trained_on))
    later = None if plan.trained_on is None else rows.filter(F.col("as_of") >= F.lit(plan.trained_on))
    inputs = usable_inputs(seen.filter(~F.col("indeterminate")), candidates)
    outside = out_of_fold(seen, inputs, plan.algorithm, plan.folds, plan.repeats, later=later, keep=keep)
    outside = outside.persist(StorageLevel.MEMORY_AND_DISK)
    kept = [outside]
    try:
        calibration = fit_calibration(outside.filter(~F.col("is_later")))
        intercept, slope = baseline_calibration(outside.filter(~F.col("is_later")))
        baseline = {BASELINE_LOG_ODDS: F.lit(intercept) + F.lit(slope) * F.col(BASELINE_LOG_ODDS)}
        # with the scorecard's own settings also where it is only the baseline
        settings = plan.algorithm if isinstance(plan.algorithm, Scorecard) else Scorecard()
        decided = seen.filter(~F.col("indeterminate"))
        scorecard = fit_scorecard(decided, inputs, settings)
        margin = scorecard.model if isinstance(plan.algorithm, Scorecard) else fit(seen, inputs, plan.algorithm)

        def judged(sample: DataFrame) -> DataFrame:
            both = judged_by_both(sample.select(*keep, *inputs.features), margin, scorecard.model, inputs)
            calibrated = calibration.transform(both).withColumns(baseline)
            kept.append(calibrated.select(*keep, LOG_ODDS, BASELINE_LOG_ODDS).persist(StorageLevel.MEMORY_AND_DISK))
            return kept[-1]

        if later is None:
            by_others = calibrated_by_others(outside, plan.folds, plan.repeats)
        else:
            # no later row took part in the calibration
            by_others = calibration.transform(outside.filter("is_later")).withColumns(baseline)
        unseen_groups = by_others.select(*keep, "repeat", "fold", LOG_ODDS, BASELINE_LOG_ODDS)
        yield Fitted(
            model=whole_model(margin, calibration),
            inputs=inputs,
            scorecard=scorecard,
            baseline_calibration=(intercept, slope),
            seen=seen,
            in_training=judged(seen),
            # the other repeats are the same rows: they tell how far the figures depend on the folds
            judged=unseen_groups.filter("repeat = 0") if later is None else judged(later),
            unseen_groups=unseen_groups,
        )
    finally:
        for frame in kept:
            frame.unpersist()


def log_odds_by(rows: DataFrame, model: PipelineModel, name: str) -> DataFrame:
    """seller_id, as_of and the log-odds of bad by a whole model, under a name of its own."""
    return model.transform(rows).select("seller_id", "as_of", F.col(LOG_ODDS).alias(name))
