"""What is found of a fitted version: every figure that a reviewer asks for, of bounded tables of counts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from statistics import mean, stdev
from typing import Any

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.ml.regression import GeneralizedLinearRegressionModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.agreement import TRAINING_COHORT, Agreement, Approved, agreements, approval_rates, impact_ratio
from ml.directions import Direction, directions
from ml.evaluate import Counts, Evaluation, Interval, auc, count, count_by, difference_of_auc, evaluate
from ml.fitting import BASELINE_LOG_ODDS, CHAMPION_LOG_ODDS, Fitted, Plan, log_odds_by
from ml.gates import LEAST_ROWS_FOR_IMPACT
from ml.pipeline import LOG_ODDS, PD, features_used
from ml.reasons import Reference, stage_of
from ml.scorecard import Scorecard
from ml.scoring import Scorer, mean_contributions, score, scorer
from ml.stability import Shift, shifts
from transforms.lending.scale import (
    ANCHOR_ODDS,
    ANCHOR_SCORE,
    AVERAGE,
    JUST_QUALIFY,
    POINTS_PER_LOG_ODDS,
    grade_of,
    plain_score_of_log_odds,
)
from transforms.outcomes.segments import FAIRNESS, SEGMENTS

CROSS_VALIDATED, IN_TRAINING, OUT_OF_TIME = "cross-validated", "training", "out of time"
SCORE_SHIFT = "the score"
UNSEEN_GROUPS, SNAPSHOT = "out of time, unseen groups", "newest snapshot"
NEAR_THE_CUT_OFF = 30
"""Points above the cut-off within which a seller is a reference."""
LEAST_REFERENCES = 30
"""Where fewer are that near, the nearest of those who qualify."""
_SWEPT_ROWS = 300
_SCORED_SINGLY = 3
_MISSES = 10
_KEY = ("seller_id", "as_of")


@dataclass(frozen=True)
class Champion:
    """The version that scores now, to be judged beside another one."""

    model: PipelineModel
    trained_on: date
    """It trained on outcomes known by this day: on no cohort from it on."""


@dataclass(frozen=True)
class Sample:
    """One sample that the model was judged on, with other models on the same rows."""

    name: str
    meaning: str
    counts: Counts
    model: Evaluation
    baseline: Evaluation | None
    """The scorecard."""
    less_baseline: Interval | None = None
    """AUC of the model less that of the scorecard."""
    champion: Evaluation | None = None
    """On those of the rows that it did not train on."""
    less_champion: Interval | None = None
    beside_champion: Evaluation | None = None
    """Of the model, on the rows that the champion is judged on, where these are fewer."""


@dataclass(frozen=True)
class Reweighted:
    """The judged rows, each by one over the probability with which its loan was approved: what lending to all who asked
    would show, as far as each had a chance.
    """

    rows: int
    at_random: int
    """Rows whose loan was approved with a probability below 1."""
    effective_rows: float
    """As many rows of one weight would say as much: the square of the weights' sum over the sum of their squares."""
    model: Evaluation


@dataclass(frozen=True)
class Miss:
    """A row that the model got most wrong."""

    seller: str
    as_of: Any
    went: str
    pd: float


@dataclass(frozen=True)
class Findings:
    """Everything that is found of one version."""

    samples: tuple[Sample, ...]
    """Training rows first; the second is the one that the gates go by."""
    fold_aucs: tuple[float, ...]
    repeat_aucs: tuple[float, ...]
    agreements: tuple[Agreement, ...]
    approved: tuple[Approved, ...]
    """Of all sellers of the newest features, by the attributes of FAIRNESS; none where there are no features yet."""
    shifts: tuple[Shift, ...]
    directions: tuple[Direction, ...]
    unswept: tuple[str, ...]
    """Features whose direction the catalogue expects, and that are the same in all training rows where they are known:
    whether the model would move the score the right way by them cannot be told."""
    reweighted: Reweighted | None
    """None where no loan was approved at random."""
    misses: tuple[Miss, ...]
    reference: Reference | None
    """None where the algorithm has no exact reasons."""
    importance: tuple[tuple[str, float], ...]
    """Features by the mean size of their points over the training rows, or of their sweep where there are no points."""
    points: tuple[tuple[str, str, int, int, float, float, float], ...]
    """The scorecard as a table."""
    checks: Mapping[str, float]
    """Of contributions and of single scores."""
    example: Mapping[str, Any]

    @property
    def judged(self) -> Sample:
        return self.samples[1]

    @property
    def importance_is(self) -> str:
        """What the sizes in `importance` are."""
        return "mean size of its points" if self.reference else "points between its 10 % and its 90 % value"


def findings(
    fit: Fitted,
    plan: Plan,
    rows: DataFrame,
    expected: Mapping[str, str | None],
    cut_off: int,
    edges: Sequence[float],
    champion: Champion | None,
    snapshot: DataFrame | None,
) -> Findings:
    """Judge a fitted version.

    `rows` is the whole training set with its features; `expected` says by feature how risk moves with it; `cut_off` is
    the smallest score that an offer is made at, `edges` the policy's between grades; the champion is judged on cohorts
    that it did not train on; `snapshot` has the newest features of all sellers, with the columns of FAIRNESS.
    """
    judged = fit.judged
    if champion is not None and not plan.is_cross_validated:
        judged = _beside(champion, judged, rows)
    judged = judged.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        samples = _samples(fit, plan, judged)
        by_value = _by_value(judged, edges)
        if not plan.is_cross_validated:
            by_value |= _by_training_cohort(fit.in_training)
        misses = _misses(judged)
        reweighted = _reweighted(judged)
    finally:
        judged.unpersist()
    wanted = _of_inputs(expected, fit)
    some, used = _some(fit.seen, _SWEPT_ROWS), features_used(fit.model, fit.inputs)
    swept = tuple(directions(fit.seen, some, fit.model, wanted, used))
    told = {found.feature for found in swept}
    reference, importance, checks = _reasons(fit, plan, cut_off)
    fold_aucs, repeat_aucs = _spread(fit, plan)
    return Findings(
        samples=samples,
        fold_aucs=fold_aucs,
        repeat_aucs=repeat_aucs,
        agreements=tuple(agreements(by_value, _log_odds_of(cut_off))),
        approved=_approved(fit.model, snapshot, cut_off) if snapshot is not None else (),
        shifts=tuple(_shifts(fit, plan, rows, snapshot)),
        directions=swept,
        unswept=tuple(name for name, risk in wanted.items() if risk is not None and name not in told),
        reweighted=reweighted,
        misses=misses,
        reference=reference,
        importance=importance or tuple((found.feature, abs(found.points)) for found in swept),
        points=_points(fit, plan),
        checks=checks | _single_scores(fit),
        # of the features' range and of nobody: a real seller's row is no example
        example={found.feature: found.low for found in swept},
    )


def _beside(champion: Champion, judged: DataFrame, rows: DataFrame) -> DataFrame:
    """The judged rows with the champion's log-odds: null where it may have trained on them, and would look too good."""
    unseen = rows.filter(F.col("as_of") >= F.lit(champion.trained_on))
    unseen = unseen.join(judged.select(*_KEY), list(_KEY), "left_semi")
    return judged.join(log_odds_by(unseen, champion.model, CHAMPION_LOG_ODDS), list(_KEY), "left")


def _samples(fit: Fitted, plan: Plan, judged: DataFrame) -> tuple[Sample, ...]:
    training = _sample(IN_TRAINING, "rows with a known outcome; indeterminate ones trained nothing", fit.in_training)
    if plan.is_cross_validated:
        return training, _sample(CROSS_VALIDATED, "rows judged by models and calibrations of the other folds", judged)
    return (
        training,
        _sample(OUT_OF_TIME, f"cohorts from {plan.trained_on} on", judged),
        _sample(UNSEEN_GROUPS, "the same, by models that saw no row of the seller's group", fit.unseen_groups),
    )


def _sample(name: str, meaning: str, judged: DataFrame) -> Sample:
    def counts_by(rows: DataFrame, column: str) -> Counts:
        return count(rows.select("group_id", "bad", F.col(column).alias(LOG_ODDS)))

    counts, baseline = counts_by(judged, LOG_ODDS), counts_by(judged, BASELINE_LOG_ODDS)
    champion = beside_it = None
    if CHAMPION_LOG_ODDS in judged.columns:
        compared = judged.filter(F.col(CHAMPION_LOG_ODDS).isNotNull())
        champion, beside_it = counts_by(compared, CHAMPION_LOG_ODDS), counts_by(compared, LOG_ODDS)
    return Sample(
        name,
        meaning,
        counts,
        evaluate(counts),
        evaluate(baseline),
        difference_of_auc(counts, baseline),
        evaluate(champion) if champion else None,
        difference_of_auc(beside_it, champion) if champion and beside_it else None,
        evaluate(beside_it) if beside_it and beside_it.rows < counts.rows else None,
    )


def _reweighted(judged: DataFrame) -> Reweighted | None:
    if "approval_probability" not in judged.columns:
        return None
    probability = F.coalesce("approval_probability", F.lit(1.0))
    weighted = judged.select(
        "group_id", "bad", LOG_ODDS, probability.alias("probability"), (1 / probability).alias("weight")
    )
    told = weighted.agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(F.col("probability") < 1).alias("at_random"),
        F.sum("weight").alias("sum"),
        F.sum(F.col("weight") * F.col("weight")).alias("squares"),
    ).collect()[0]
    if not told["at_random"]:
        return None
    effective = told["sum"] ** 2 / told["squares"]
    return Reweighted(told["rows"], told["at_random"], effective, evaluate(count(weighted)))


def _by_value(judged: DataFrame, edges: Sequence[float]) -> dict[tuple[object, ...], Counts]:
    pd = F.expr(f"1 / (1 + exp(-{LOG_ODDS}))")
    told = {
        "grade": grade_of(pd, edges).cast("string"),
        "cohort": F.col("as_of").cast("string"),
        **{name: F.col(name) for name in SEGMENTS if name in judged.columns},
    }
    pairs = F.explode(
        F.array(*(F.struct(F.lit(name).alias("attribute"), value.alias("value")) for name, value in told.items()))
    )
    exploded = judged.select("group_id", "bad", LOG_ODDS, pairs.alias("told"))
    return count_by(exploded.select("group_id", "bad", LOG_ODDS, "told.attribute", "told.value"), "attribute", "value")


def _by_training_cohort(in_training: DataFrame) -> dict[tuple[object, ...], Counts]:
    """A model knows these sellers, but not their cohort's level: goods weigh so that all cohorts have the same odds."""
    attribute, value = F.lit(TRAINING_COHORT).alias("attribute"), F.col("as_of").cast("string").alias("value")
    return count_by(in_training.select("group_id", "bad", LOG_ODDS, attribute, value), "attribute", "value")


def _approved(model: PipelineModel, snapshot: DataFrame, cut_off: int) -> tuple[Approved, ...]:
    told = F.explode(
        F.array(*(F.struct(F.lit(name).alias("attribute"), F.col(name).alias("value")) for name in FAIRNESS))
    )
    is_approved = (F.col(LOG_ODDS) <= _log_odds_of(cut_off)).cast("double")
    scored = model.transform(snapshot).select("as_of", told.alias("told"), is_approved.alias("approved"))
    found = scored.select("told.*", "as_of", "approved").groupBy("attribute", "value", "as_of")
    rows = found.agg(F.count(F.lit(1)).alias("rows"), F.avg("approved").alias("approved"))
    return tuple(Approved(**row.asDict()) for row in rows.orderBy("attribute", "value").collect())


def _misses(judged: DataFrame) -> tuple[Miss, ...]:
    bads = judged.filter("bad = 1").orderBy(LOG_ODDS, *_KEY)
    goods = judged.filter("bad = 0").orderBy(F.desc(LOG_ODDS), *_KEY)
    found = [("bad", row) for row in bads.select(*_KEY, LOG_ODDS).limit(_MISSES).collect()]
    found += [("not bad", row) for row in goods.select(*_KEY, LOG_ODDS).limit(_MISSES).collect()]
    return tuple(Miss(row["seller_id"], row["as_of"], went, _sigmoid(row[LOG_ODDS])) for went, row in found)


def _points(fit: Fitted, plan: Plan) -> tuple[tuple[str, str, int, int, float, float, float], ...]:
    if not isinstance(plan.algorithm, Scorecard):
        return tuple(fit.scorecard.points(*fit.baseline_calibration))
    calibration = stage_of(fit.model, GeneralizedLinearRegressionModel)
    return tuple(fit.scorecard.points(float(calibration.intercept), float(calibration.coefficients[0])))


def _of_inputs(expected: Mapping[str, str | None], fit: Fitted) -> dict[str, str | None]:
    return {name: expected.get(name) for name in fit.inputs.features}


def _some(rows: DataFrame, many: int) -> DataFrame:
    """The same few rows at every run, whatever their order."""
    return rows.orderBy(F.xxhash64(*_KEY), *_KEY).limit(many)


def _reasons(
    fit: Fitted, plan: Plan, cut_off: int
) -> tuple[Reference | None, tuple[tuple[str, float], ...], dict[str, float]]:
    if plan.algorithm.has_exact_reasons is False:
        return None, (), {}
    reference = _reference(fit.seen, fit.model, cut_off)
    by: Scorer = scorer(fit.model, reference)
    total = F.aggregate(F.map_values("points"), F.col("base_points"), lambda so_far, points: so_far + points)
    found = (
        # unchecked: what is off is for the gate to tell
        score(fit.seen, by, is_checked=False)
        .agg(
            F.max(F.abs(total - F.col("score_before_clipping"))).alias("off"),
            F.count(F.lit(1)).alias("rows"),
            *(F.avg(F.abs(F.col("points")[name])).alias(f"size {name}") for name in fit.inputs.features),
        )
        .collect()[0]
    )
    sizes = {name: found[f"size {name}"] for name in fit.inputs.features}
    ranked = tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
    return reference, ranked, {"points_off_most": _or_infinite(found["off"]), "points_rows": found["rows"]}


def _reference(rows: DataFrame, model: PipelineModel, cut_off: int) -> Reference:
    """Mean contributions of the sellers just above the cut-off [Regulation B commentary, 9(b)(2)-5]."""
    scored = model.transform(rows).select(*_KEY, LOG_ODDS)
    qualifies = F.col(LOG_ODDS) <= _log_odds_of(cut_off)
    nearest = scored.filter(qualifies).orderBy(F.desc(LOG_ODDS)).select(LOG_ODDS).limit(LEAST_REFERENCES).collect()
    if len(nearest) < LEAST_REFERENCES:
        return mean_contributions(rows, model, "all sellers of the training rows", AVERAGE)
    low = min(nearest[-1][0], _log_odds_of(cut_off + NEAR_THE_CUT_OFF))
    near = rows.join(scored.filter(qualifies & (F.col(LOG_ODDS) >= low)).select(*_KEY), list(_KEY), "left_semi")
    chosen = f"training rows with a score of {cut_off} to {plain_score_of_log_odds(low):.0f}"
    return mean_contributions(near, model, chosen, JUST_QUALIFY)


def _log_odds_of(score_before_clipping: float) -> float:
    """Log-odds of bad that a score stands for."""
    return (ANCHOR_SCORE - score_before_clipping) / POINTS_PER_LOG_ODDS - math.log(ANCHOR_ODDS)


def _single_scores(fit: Fitted) -> dict[str, float]:
    """A few sellers scored one by one, against the same in bulk: to the last bit."""
    features = list(fit.inputs.features)
    some = _some(fit.seen, _SCORED_SINGLY).select(*_KEY, *features).collect()
    bulk = fit.model.transform(fit.seen.select(*_KEY, *features))
    is_one = [(F.col("seller_id") == row["seller_id"]) & (F.col("as_of") == row["as_of"]) for row in some]
    condition = F.lit(False)
    for one in is_one:
        condition = condition | one
    together = {(row["seller_id"], row["as_of"]): row[PD] for row in bulk.filter(condition).collect()}
    spark = fit.seen.sparkSession
    schema = fit.seen.select(*_KEY, *features).schema
    off = 0.0
    for row in some:
        alone = fit.model.transform(spark.createDataFrame([row], schema)).select(PD).collect()[0][0]
        off = max(off, _or_infinite(abs(alone - together[row["seller_id"], row["as_of"]])))
    return {"single_score_off_most": off, "single_score_rows": len(some)}


def _or_infinite(off: float) -> float:
    """How far something is off; NaN is as far as can be: `max` would lose it, and a figure of NaN is left out."""
    return math.inf if math.isnan(off) else off


def _spread(fit: Fitted, plan: Plan) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not plan.is_cross_validated:
        return (), ()
    by_fold, by_repeat = (
        tuple(
            auc(counts.good.sum(axis=0), counts.bad.sum(axis=0), counts.log_odds)
            for counts in count_by(fit.unseen_groups, *keys).values()
        )
        for keys in (("repeat", "fold"), ("repeat",))
    )
    return tuple(found for found in by_fold if found == found), by_repeat


def _shifts(fit: Fitted, plan: Plan, rows: DataFrame, snapshot: DataFrame | None) -> list[Shift]:
    features = fit.inputs.features
    parts = [fit.seen.select(*_KEY, *features, F.lit(IN_TRAINING).alias("sample"))]
    if plan.trained_on is not None:
        later = rows.filter(F.col("as_of") >= F.lit(plan.trained_on))
        parts.append(later.select(*_KEY, *features, F.lit(OUT_OF_TIME).alias("sample")))
    if snapshot is not None:
        parts.append(snapshot.select(*_KEY, *features, F.lit(SNAPSHOT).alias("sample")))
    if len(parts) == 1:
        return []
    together = parts[0]
    for part in parts[1:]:
        together = together.unionByName(part)
    scored = fit.model.transform(together).select(*_KEY, "sample", *features, F.col(LOG_ODDS).alias(SCORE_SHIFT))
    scored = scored.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        return shifts(scored, (SCORE_SHIFT, *features), IN_TRAINING)
    finally:
        scored.unpersist()


def figures_of(found: Findings, champion: int | None) -> dict[str, float]:
    """The figures that gates read and MLflow shows, by name; what is not defined is left out."""
    training, judged = found.samples[0], found.judged
    model = judged.model
    figures: dict[str, float] = {
        "train_rows": training.model.rows,
        "train_bads": training.model.bads,
        "train_bad_groups": training.model.bad_groups,
        "train_auc": training.model.auc.value,
        "evaluated_rows": model.rows,
        "evaluated_bads": model.bads,
        "evaluated_bad_groups": model.bad_groups,
        "evaluated_auc": model.auc.value,
        "evaluated_gini": model.gini.value,
        "evaluated_ks": model.ks.value,
        "brier": model.brier,
        "log_loss": model.log_loss,
    }
    intervals = {
        "evaluated_auc": model.auc,
        "calibration_intercept": model.calibration_intercept,
        "calibration_slope": model.calibration_slope,
        "observed_to_expected": model.observed_to_expected,
    }
    if judged.baseline is not None and judged.less_baseline is not None:
        figures |= _figures_of_other("scorecard", judged.baseline)
        intervals["auc_less_scorecard"] = judged.less_baseline
    if judged.champion is not None and judged.less_champion is not None and champion is not None:
        figures |= {"champion_version": champion, **_figures_of_other("champion", judged.champion)}
        figures["champion_bad_groups"] = judged.champion.bad_groups
        intervals["champion_auc_difference"] = judged.less_champion
    if found.reweighted is not None:
        figures |= {"approved_at_random": found.reweighted.at_random, "effective_rows": found.reweighted.effective_rows}
        intervals["reweighted_auc"] = found.reweighted.model.auc
        intervals["reweighted_observed_to_expected"] = found.reweighted.model.observed_to_expected
    if len(found.samples) > 2:
        unseen = found.samples[2].model
        intervals |= {
            "unseen_groups_auc": unseen.auc,
            "unseen_groups_observed_to_expected": unseen.observed_to_expected,
            "unseen_groups_calibration_slope": unseen.calibration_slope,
        }
    for name, interval in intervals.items():
        figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    # one region says nothing of regions
    for attribute, fewest in (("grade", 1), ("region", 2)):
        told = [value for value in found.agreements if value.attribute == attribute and value.value != "unknown"]
        tests = [value.p_after_holm for value in told]
        if len(tests) >= fewest:
            figures |= {f"{attribute}_tests": len(tests), f"{attribute}_tests_failed": sum(p < 0.05 for p in tests)}
    for attribute in FAIRNESS:
        # of those who were lent to most are approved in any group: it is among all that one may be turned away
        rates = approval_rates(found.approved or found.agreements, attribute, LEAST_ROWS_FOR_IMPACT)
        figures[f"impact_groups_{attribute}"] = len(rates)
        ratio = impact_ratio(rates)
        if ratio is not None:
            figures[f"adverse_impact_{attribute}"] = ratio
    judged_directions = [direction for direction in found.directions if direction.expected is not None]
    figures |= {
        "impact_of_all_sellers": bool(found.approved),
        "directions_swept": len(judged_directions),
        "directions_reversed": sum(direction.is_reversed for direction in judged_directions),
        "directions_unswept": len(found.unswept),
        "shift_alarms": sum(shift.is_alarm for shift in found.shifts),
        **found.checks,
    }
    for shift in found.shifts:
        if shift.feature == SCORE_SHIFT:
            figures[f"score_psi_{shift.sample.replace(' ', '_')}"] = shift.psi
    return {name: float(value) for name, value in figures.items() if not math.isnan(value)}


def _figures_of_other(name: str, other: Evaluation) -> dict[str, float]:
    """The model's own figures, of another one on the same rows."""
    return {
        f"{name}_auc": other.auc.value,
        f"{name}_gini": other.gini.value,
        f"{name}_ks": other.ks.value,
        f"{name}_observed_to_expected": other.observed_to_expected.value,
        f"{name}_calibration_intercept": other.calibration_intercept.value,
        f"{name}_calibration_slope": other.calibration_slope.value,
        f"{name}_brier": other.brier,
        f"{name}_log_loss": other.log_loss,
    }


def spread_in_words(found: Findings) -> str | None:
    """AUC over repeated cross-validation; None where there was none."""
    if len(found.repeat_aucs) < 2:
        return None
    return (
        f"AUC over {len(found.repeat_aucs)} repeats: mean {mean(found.repeat_aucs):.3f},"
        f" standard deviation {stdev(found.repeat_aucs):.3f} between repeats,"
        f" {stdev(found.fold_aucs):.3f} between the {len(found.fold_aucs)} folds."
        " An association, and no forecast, where the outcomes have no dates of their own."
    )


def tables_of(found: Findings) -> dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """Header and rows by name, for the run's artifacts."""
    return {
        "agreement": (
            (*_names(Agreement), "observed"),
            [(*vars(value).values(), value.observed) for value in found.agreements],
        ),
        "shift": ((*_names(Shift), "is_alarm"), [(*vars(shift).values(), shift.is_alarm) for shift in found.shifts]),
        "approved": (_names(Approved), [tuple(vars(value).values()) for value in found.approved]),
        "directions": (
            (*_names(Direction), "is_reversed"),
            [(*vars(direction).values(), direction.is_reversed) for direction in found.directions],
        ),
        "importance": (("feature", found.importance_is.replace(" ", "_")), list(found.importance)),
        "scorecard": (("feature", "bin", "goods", "bads", "share_bad", "evidence", "points"), list(found.points)),
        "worst_misses": (
            _names(Miss),
            [tuple(vars(miss).values()) for miss in found.misses],
        ),
    }


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
