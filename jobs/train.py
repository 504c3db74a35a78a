"""gold.training_set -> a registered model version with its evidence: fit, calibrate, evaluate, card."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import mean, stdev
from typing import Any

import click
from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.policy import Policy, load_policy
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Published, Run, code_version
from jobs.pages.wording import smallest_score_offered
from ml.card.card import Card, Sample, plots_of, to_html, to_markdown
from ml.cross_validate import fit_both, judged_by_both, out_of_fold
from ml.evaluate import Evaluation, auc, count, count_by, evaluate
from ml.gates import gates
from ml.pipeline import (
    LOG_ODDS,
    SMALL_SAMPLE,
    Boosting,
    Inputs,
    UnfitError,
    fit_calibration,
    usable_inputs,
    whole_model,
)
from ml.reasons import Reference
from ml.registry import Delta, Evidence, register
from ml.scoring import mean_contributions, score, scorer
from transforms.features.catalogue import BY_NAME, MODEL_INPUTS
from transforms.tables.gold import TRAINING_SET

CALIBRATION_FOLDS = 3
NEAR_THE_CUT_OFF = 30
"""Points above the cut-off within which a seller is a reference."""
LEAST_REFERENCES = 30
TOP_FEATURES = 10
CROSS_VALIDATED, IN_TRAINING, OUT_OF_TIME = "cross-validated", "training", "out of time"

_PURPOSE = (
    "It ranks sellers for offers of credit lines: the probability is that a seller who draws in the 90 days after the"
    " as-of day goes bad on what it drew. It is no forecast for a seller who would not draw.",
    "Declined sellers have no outcome: the model is known for those who were lent to.",
    "Never inputs: region, owner type, and any rating that another lender gave.",
)


@dataclass(frozen=True)
class Plan:
    """How a version is trained and judged."""

    boosting: Boosting
    trained_on: date | None
    folds: int
    repeats: int

    @property
    def is_cross_validated(self) -> bool:
        return self.trained_on is None


@dataclass(frozen=True)
class _Fitted:
    """A model with all that its evidence is made of."""

    model: PipelineModel
    inputs: Inputs
    samples: tuple[Sample, ...]
    fold_aucs: tuple[float, ...]
    repeat_aucs: tuple[float, ...]
    reference: Reference
    sizes: Mapping[str, float]
    """Mean size of each feature's points over the training rows, largest first."""
    example: Mapping[str, Any]


def train(lake: Lake, plan: Plan, trainer: str, policy: Policy) -> Report:
    """Train on the newest training set, register the version as challenger, and publish its figures."""
    made_by = lake.require_run("training-set", None, "Run `seller-credit training-set` first.")
    identity = {"training_set": made_by.run_id, "plan": repr(plan), "policy": policy.digest(), "trainer": trainer}
    arguments = {"trained_on": plan.trained_on, "folds": plan.folds, "repeats": plan.repeats, "trainer": trainer}
    with lake.run("train", lake.settings.mlflow.model, identity, arguments) as run:
        published = run.already_published
        if published is not None:
            return Report(
                "train", {"published already by": published.run_id, "version": published.facts["model_version"]}
            )
        rows = run.read(TRAINING_SET).filter(F.col("training_set") == made_by.run_id)
        # every one of the fits reads them again
        rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            fitted = _fit(rows, plan, policy)
        except UnfitError as error:
            raise StepFailure(f"train: {error}") from None
        finally:
            rows.unpersist()
        figures = _figures(fitted)
        card = _card(lake, fitted, plan, figures, made_by, trainer)
        settings = lake.settings.mlflow
        version, mlflow_run = register(
            settings.tracking_uri,
            settings.experiment,
            settings.model,
            fitted.model,
            _evidence(run, fitted, plan, figures, card, made_by, trainer),
        )
        run.figures = figures
        run.facts = {
            "model_name": settings.model,
            "model_version": str(version),
            "mlflow_run": mlflow_run,
            "trainer": trainer,
            "training_set": made_by.run_id,
        }
        run.publish()
    return _report(fitted, f"{settings.model} {version}", card)


def _fit(rows: DataFrame, plan: Plan, policy: Policy) -> _Fitted:
    seen = rows if plan.trained_on is None else rows.filter(F.col("known_on") <= F.lit(plan.trained_on))
    inputs = usable_inputs(seen.filter(~F.col("indeterminate")), MODEL_INPUTS)
    # every row calibrates, by trees that did not see it: a held-out quarter of some fifty bad groups put the level of
    # every probability off by a quarter
    unseen = out_of_fold(seen, inputs, plan.boosting, plan.folds, plan.repeats)
    trees, scorecard = fit_both(seen, inputs, plan.boosting)
    unseen = unseen.persist(StorageLevel.MEMORY_AND_DISK)
    calibration = fit_calibration(unseen)
    model = whole_model(trees, calibration)

    def sample(name: str, meaning: str, judged: DataFrame) -> Sample:
        calibrated = calibration.transform(judged)
        counts = count(calibrated.select("group_id", "bad", LOG_ODDS))
        baseline = count(calibrated.select("group_id", "bad", F.col("baseline_log_odds").alias(LOG_ODDS)))
        return Sample(name, meaning, counts, evaluate(counts), evaluate(baseline))

    in_training = sample(
        IN_TRAINING,
        "rows with a known outcome; indeterminate ones grew no tree",
        judged_by_both(seen, trees, scorecard, inputs),
    )
    fold_aucs: tuple[float, ...] = ()
    repeat_aucs: tuple[float, ...] = ()
    if plan.trained_on is None:
        last = sample(CROSS_VALIDATED, "rows judged by trees of the other folds", unseen)
        fold_aucs, repeat_aucs = (
            tuple(
                auc(counts.good.sum(axis=0), counts.bad.sum(axis=0), counts.log_odds)
                for counts in count_by(calibration.transform(unseen), *keys).values()
            )
            for keys in (("repeat", "fold"), ("repeat",))
        )
    else:
        held = rows.filter(F.col("as_of") >= F.lit(plan.trained_on))
        last = sample(OUT_OF_TIME, f"cohorts from {plan.trained_on} on", judged_by_both(held, trees, scorecard, inputs))
    unseen.unpersist()
    reference = _reference(seen, model, policy)
    points = score(seen, scorer(model, reference))
    sizes = (
        points.agg(*(F.avg(F.abs(F.col("points")[name])).alias(name) for name in inputs.features)).collect()[0].asDict()
    )
    example = seen.select(*(F.col(name).cast("double").alias(name) for name in inputs.features)).first()
    return _Fitted(
        model=model,
        inputs=inputs,
        samples=(in_training, last),
        fold_aucs=tuple(found for found in fold_aucs if found == found),
        repeat_aucs=repeat_aucs,
        reference=reference,
        sizes=dict(sorted(sizes.items(), key=lambda item: -item[1])),
        example=example.asDict() if example else {},
    )


def _reference(rows: DataFrame, model: PipelineModel, policy: Policy) -> Reference:
    """Mean contributions of the sellers just above the cut-off [Regulation B commentary, 9(b)(2)-5]."""
    cut_off = smallest_score_offered(policy)
    everyone = mean_contributions(rows, model, "all sellers of the training rows")
    scored = score(rows, scorer(model, everyone)).select("seller_id", "as_of", "score_before_clipping")
    is_near = F.col("score_before_clipping").between(cut_off, cut_off + NEAR_THE_CUT_OFF)
    near = rows.join(scored.filter(is_near), ["seller_id", "as_of"], "left_semi")
    if near.limit(LEAST_REFERENCES).count() < LEAST_REFERENCES:
        return everyone
    return mean_contributions(near, model, f"training rows with a score of {cut_off} to {cut_off + NEAR_THE_CUT_OFF}")


def _figures(fitted: _Fitted) -> dict[str, float]:
    in_training, last = fitted.samples
    model = last.model
    intervals = {
        "calibration_intercept": model.calibration_intercept,
        "calibration_slope": model.calibration_slope,
        "observed_to_expected": model.observed_to_expected,
        "evaluated_auc": model.auc,
    }
    found = {
        "train_rows": in_training.model.rows,
        "train_bads": in_training.model.bads,
        "train_auc": in_training.model.auc.value,
        "evaluated_rows": model.rows,
        "evaluated_bads": model.bad_groups,
        "evaluated_auc": model.auc.value,
        "evaluated_ks": model.ks.value,
        "baseline_auc": last.baseline.auc.value if last.baseline else float("nan"),
        "brier": model.brier,
        **{f"{name}_{end}": getattr(interval, end) for name, interval in intervals.items() for end in ("low", "high")},
    }
    # NaN: a sample of one outcome alone has no AUC
    return {name: value for name, value in found.items() if value == value}


def _spread(fitted: _Fitted) -> str | None:
    if len(fitted.repeat_aucs) < 2:
        return None
    return (
        f"AUC over {len(fitted.repeat_aucs)} repeats: mean {mean(fitted.repeat_aucs):.3f},"
        f" standard deviation {stdev(fitted.repeat_aucs):.3f} between repeats,"
        f" {stdev(fitted.fold_aucs):.3f} between the {len(fitted.fold_aucs)} folds."
        " An association, and no forecast, where the outcomes have no dates of their own."
    )


def _card(
    lake: Lake, fitted: _Fitted, plan: Plan, figures: Mapping[str, float], made_by: Published, trainer: str
) -> Card:
    last = fitted.samples[-1]
    boosting = plan.boosting
    how = (
        f"{plan.repeats} x {plan.folds} cross-validation by connected groups"
        if plan.is_cross_validated
        else f"outcomes known by {plan.trained_on}; out-of-time cohorts from that day on"
    )
    return Card(
        name=lake.settings.mlflow.model,
        summary=(
            f"Probability that a seller who draws credit goes bad on it: {boosting.trees} boosted trees of depth"
            f" {boosting.depth} on {len(fitted.inputs.features)} features; AUC {last.model.auc} {last.name}."
        ),
        is_simulated=lake.is_simulated(),
        trained={
            "training set": made_by.run_id,
            "judged by": how,
            "trained by": trainer,
            "calibration": "affine on the margin, fitted on groups that the trees did not see",
            "reference of the reasons": f"{fitted.reference.chosen}, {fitted.reference.sellers:,} rows",
            "boosting": ", ".join(f"{name} {value}" for name, value in vars(boosting).items()),
            "code": code_version(),
        },
        samples=fitted.samples,
        spread=_spread(fitted),
        top_features=[(name, BY_NAME[name].meaning, size) for name, size in list(fitted.sizes.items())[:TOP_FEATURES]],
        dropped=[name for name in MODEL_INPUTS if name not in fitted.inputs.features],
        gates=gates(figures),
        limits=_PURPOSE,
    )


def _evidence(
    run: Run, fitted: _Fitted, plan: Plan, figures: Mapping[str, float], card: Card, made_by: Published, trainer: str
) -> Evidence:
    lake = run.lake
    version = lake.published_version(TRAINING_SET)
    plots = plots_of(card)
    tables = [
        Delta(TRAINING_SET.name, lake.path(TRAINING_SET), version or 0, f"training_set = '{made_by.run_id}'"),
    ]
    return Evidence(
        parameters={**vars(plan.boosting), "trained_on": plan.trained_on, "folds": plan.folds, "repeats": plan.repeats},
        metrics=figures,
        tags={
            "training_set": made_by.run_id,
            "trainer": trainer,
            "code": code_version(),
            "catalogue": made_by.facts["catalogue"],
            "simulated": str(lake.is_simulated()),
        },
        description=to_markdown(card),
        artifacts={"card.html": to_html(card, plots), **plots},
        documents={
            "features.json": {"features": list(fitted.inputs.features)},
            "reference.json": fitted.reference.to_dict(),
        },
        tables=tables,
        features=fitted.inputs.features,
        example=fitted.example,
    )


def _report(fitted: _Fitted, version: str, card: Card) -> Report:
    def row(sample: Sample) -> Sequence[Any]:
        found: Evaluation = sample.model
        baseline = str(sample.baseline.auc) if sample.baseline else None
        return (
            sample.name,
            found.rows,
            found.bads,
            str(found.auc),
            str(found.ks),
            baseline,
            str(found.observed_to_expected),
        )

    lines = [
        f"{number:2d}. {name}: {size:.1f} points, {meaning}"
        for number, (name, meaning, size) in enumerate(card.top_features, 1)
    ]
    return Report(
        "train",
        {"registered": version, "features": len(fitted.inputs.features)},
        (
            ("sample", "rows", "bads", "AUC (95 % interval)", "KS", "AUC of a scorecard", "observed / expected"),
            [tuple(row(sample)) for sample in fitted.samples],
        ),
        [*([card.spread] if card.spread else []), "Features that carry it (mean size of their points):", *lines],
    )


_CROSS = re.compile(r"^([1-9][0-9]?)x([1-9][0-9]?)$")


@step("train", "seller-credit train --trained-on 2023-09-01 --trainer 'Wang Fang'")
@click.option(
    "--trained-on", type=DAY, help="Only outcomes known by this day train; cohorts from it on test out of time."
)
@click.option("--cross-validate", metavar="REPEATSxFOLDS", help="Where outcomes are few: 5x5. Instead of --trained-on.")
@click.option("--trainer", required=True, help="Who trains it; another person must promote it.")
@click.option("--trees", type=click.IntRange(1, 1000), help="Boosted trees [default: 25; 20 with --cross-validate].")
@click.option("--policy", default="standard", metavar="NAME_OR_FILE", help="Policy whose cut-off the reasons refer to.")
def command(
    invocation: Invocation,
    trained_on: date | None,
    cross_validate: str | None,
    trainer: str,
    trees: int | None,
    policy: str,
) -> Report:
    """Train a model on the newest training set and register it in MLflow as the challenger, with its card.

    Trees are boosted on rows whose outcome was known by the day of training; their margin is calibrated on folds that
    they did not see. A connected group is never in two folds.
    """
    if (trained_on is None) == (cross_validate is None):
        raise UserError("train: want either --trained-on DAY or --cross-validate REPEATSxFOLDS (5x5)")
    folds, repeats, boosting = CALIBRATION_FOLDS, 1, Boosting()
    if cross_validate is not None:
        found = _CROSS.match(cross_validate)
        if found is None or int(found[2]) < 2:
            raise UserError(f"--cross-validate {cross_validate}: want REPEATSxFOLDS with two folds or more, as 5x5")
        repeats, folds, boosting = int(found[1]), int(found[2]), SMALL_SAMPLE
    if trees is not None:
        boosting = replace(boosting, trees=trees)
    return train(invocation.lake(), Plan(boosting, trained_on, folds, repeats), trainer, load_policy(policy))


if __name__ == "__main__":
    sys.exit(run_command(command))
