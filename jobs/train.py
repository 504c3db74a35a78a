"""gold.training_set -> a registered model version with its evidence: fit, calibrate, evaluate, card."""

import csv
import hashlib
import hmac
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import click
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.outcome import OutcomeDefinition, definition_from_json
from conf.policy import Policy, load_policy
from jobs.lakehouse.champion import champions, features_lost, gates_now, signed_run, training_of
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Published, Run, code_version
from jobs.lakehouse.secret import pseudonym_key
from jobs.lakehouse.training_sets import NEWEST, training_set_of
from jobs.pages.wording import smallest_score_offered
from ml.algorithms import ALGORITHMS, name_of, packages_of, settings_of
from ml.card.card import Card, plots_of, to_html, to_markdown
from ml.cross_validate import KEPT
from ml.findings import Champion, Findings, figures_of, findings, spread_in_words, tables_of
from ml.fitting import Fitted, Plan, fitted, problems_of
from ml.gates import too_few_bads
from ml.pipeline import SMALL_SAMPLE, Boosting, UnfitError
from ml.registry import (
    CHALLENGER,
    Delta,
    Evidence,
    Loaded,
    alias,
    check,
    knows_model,
    load,
    register,
    run_of,
    set_challenger,
    set_finished,
    withdraw,
)
from ml.tuning import Tuning, tuned
from transforms.features import catalogue
from transforms.features.catalogue import BY_NAME, MODEL_INPUTS
from transforms.outcomes.cohorts import BEHAVIOURAL
from transforms.outcomes.segments import SEGMENTS, with_segments
from transforms.tables.bronze import LOAN_EVENTS, SELLERS
from transforms.tables.gold import DECISIONS, OUTCOMES, SELLER_FEATURES, TRAINING_SET
from transforms.tables.table import Table

CALIBRATION_FOLDS = 3
TOP_FEATURES = 10


def train(
    lake: Lake, plan: Plan, trainer: str, policy: Policy, training_set: str = NEWEST, new_registry: bool = False
) -> Report:
    """Train on a training set, register the version, publish its figures, and make it the challenger.

    Raises UserError, before anything is fitted, where the set is of another catalogue, the registry cannot be used, or
    is not the one that the lake's versions are in (unless it is to be a `new_registry`), or the rows cannot carry a
    model.
    """
    settings = lake.settings.mlflow
    made_by = training_set_of(lake, training_set)
    if made_by.facts["sample"] == BEHAVIOURAL:
        raise UserError(
            f"train: {made_by.run_id} is of the behavioural sample: no PD at origination can be learned of it"
        )
    _require_same_features(made_by)
    # one of another release is told before anything is fitted
    definition = _definition(made_by)
    check(settings.tracking_uri, settings.experiment)
    if not new_registry:
        _require_same_registry(lake)
    key = pseudonym_key(lake)
    newest_features = _newest_features(lake)
    request = _request(made_by, plan, policy, trainer, newest_features)
    asked = json.dumps(request, sort_keys=True)
    # judged beside the champion: under another one the same rows make another version, but for the champion itself
    standing = champions(lake)
    training = training_of(lake, standing[-1], signed_run(lake)) if standing else None
    if training is not None and training.facts["request"] == asked and _is_registered(lake, training):
        return _published_before(lake, training)
    identity = request | {"champion": standing[-1] if standing else None}
    arguments = {
        "algorithm": name_of(plan.algorithm),
        "trained_on": plan.trained_on,
        "folds": plan.folds,
        "repeats": plan.repeats,
        "tries": plan.tries,
        "trainer": trainer,
    }
    with lake.run("train", settings.model, identity, arguments) as run:
        published = run.already_published
        if published is not None and _is_registered(lake, published):
            return _published_before(lake, published)
        champion, unjudged = _champion(lake)
        rows = run.read(TRAINING_SET).filter(F.col("training_set") == made_by.run_id)
        # every one of the fits reads them again, and wants the memory for itself
        rows = with_segments(rows, run.read(SELLERS)).persist(StorageLevel.DISK_ONLY)
        try:
            problems = problems_of(rows, MODEL_INPUTS, plan)
            if problems:
                raise UserError([f"train: {problem}" for problem in problems])
            rival, incomparable = _rival(lake, champion, rows, plan, _definition_in_words(made_by))
            tuning = None
            if plan.tries and plan.trained_on is not None:
                tuning = tuned(rows, MODEL_INPUTS, plan.algorithm, plan.tries, plan.trained_on)
                plan = replace(plan, algorithm=tuning.best.algorithm)
            with fitted(rows, MODEL_INPUTS, plan, (*KEPT, *SEGMENTS, "approval_probability")) as fit:
                found = findings(
                    fit,
                    plan,
                    rows,
                    {name: BY_NAME[name].risk for name in MODEL_INPUTS},
                    smallest_score_offered(policy),
                    policy.grades.edges,
                    rival,
                    _snapshot(run, newest_features),
                )
                found = _under_pseudonyms(found, key)
                figures = figures_of(found, champion.version if champion else None)
                figures["cut_off_score"] = smallest_score_offered(policy)
                facts = _facts(plan, made_by, policy)
                since = unjudged or [*_since(lake, champion, fit, facts), *incomparable]
                card = _card(run, fit, found, plan, facts, figures, made_by, definition, trainer, since, tuning)
                version, mlflow_run = register(
                    settings.tracking_uri,
                    settings.experiment,
                    settings.model,
                    fit.model,
                    _evidence(run, fit, found, plan, facts, figures, card, made_by, trainer),
                )
        except UnfitError as error:
            raise StepFailure(f"train: {error}") from None
        finally:
            rows.unpersist()
        run.figures = figures
        run.facts = {
            "model_name": settings.model,
            "model_version": str(version),
            "mlflow_run": mlflow_run,
            "trainer": trainer,
            "request": asked,
            "draw_days": str(definition.draw_days) if definition else "",
            **facts,
        }
        try:
            run.publish()
        except BaseException:
            # nobody could judge it: its figures are in no table
            withdraw(settings.tracking_uri, settings.model, version)
            raise
        set_finished(settings.tracking_uri, settings.model, version)
        set_challenger(settings.tracking_uri, settings.model, version)
    return _report(found, fit, f"{settings.model} {version}", card)


def _require_same_registry(lake: Lake) -> None:
    """Raise UserError where the lake has trained versions of the model, and the registry has no such model."""
    settings = lake.settings.mlflow
    trained = [run for run in lake.runs() if run.step == "train" and run.facts["model_name"] == settings.model]
    if trained and not knows_model(settings.tracking_uri, settings.model):
        raise UserError(
            f"train: registry {settings.tracking_uri} has no model {settings.model}, and this lake has trained"
            f" version {trained[-1].facts['model_version']} of it: check mlflow.tracking_uri, or say"
            " --new-registry to begin one there"
        )


def _require_same_features(made_by: Published) -> None:
    """Raise UserError where the features of a set are not those that sellers will be scored by."""
    if made_by.facts["catalogue"] != catalogue.digest():
        raise UserError(
            f"train: training set {made_by.run_id} was made by another catalogue of features: what it calls by a name"
            " may not be what sellers are scored by. Run `seller-credit training-set` again"
        )


def _request(
    made_by: Published, plan: Plan, policy: Policy, trainer: str, newest_features: Published | None
) -> dict[str, str | None]:
    """All that decides what a version is and how it is judged, but for the champion."""
    return {
        "training_set": made_by.run_id,
        "plan": repr(plan),
        "policy": policy.digest(),
        "trainer": trainer,
        # the gate adverse-impact and the shifts go by them
        "features": newest_features.run_id if newest_features else None,
        "code": code_version(),
    }


_CHANGES = {
    "algorithm": "Algorithm",
    "settings": "Settings",
    "training_set": "Training set",
    "definition": "Outcome definition",
    "judged_by": "Judged by",
    "catalogue": "Catalogue of features",
    "policy": "Policy",
}
"""Facts of a training that the card holds against those of the champion's, in words."""


def _facts(plan: Plan, made_by: Published, policy: Policy) -> dict[str, str]:
    settings = ", ".join(f"{name} {value}" for name, value in settings_of(plan.algorithm).items())
    return {
        "algorithm": name_of(plan.algorithm),
        "settings": settings,
        "training_set": made_by.run_id,
        "definition": _definition_in_words(made_by),
        "judged_by": _judged_by(plan),
        "catalogue": made_by.facts["catalogue"][:12],
        "policy": f"{policy.name} {policy.version} {policy.digest()[:12]}",
    }


def _definition(made_by: Published) -> OutcomeDefinition | None:
    """What bad means in a training set; None where the source gave its outcomes."""
    told = made_by.facts.get("definition_as_json")
    return None if told is None else definition_from_json(told)


def _definition_in_words(made_by: Published) -> str:
    """Name, version and digest of what bad means in a training set."""
    name, definition = made_by.facts["definition"], _definition(made_by)
    return name if definition is None else f"{name} {definition.digest()[:12]}"


def _asked(definition: OutcomeDefinition | None) -> str:
    """What the probability is of."""
    if definition is None:
        return "that the outcome which the source gives of a seller is bad"
    return f"that a seller who draws in the {definition.draw_days} days after the as-of day goes bad on what it drew"


def _limits(definition: OutcomeDefinition | None) -> list[str]:
    """What a version may be used for, and what not."""
    no_forecast = "" if definition is None else " It is no forecast for a seller who would not draw."
    return [
        f"It ranks sellers for offers of credit lines: the probability is {_asked(definition)}.{no_forecast}",
        "Declined sellers have no outcome: the model is known for those who were lent to.",
        "Never inputs: region, owner type, and any rating that another lender gave.",
    ]


def _cohorts(seen: DataFrame, plan: Plan) -> str:
    """The as-of days whose rows trained."""
    of = seen.agg(F.count_distinct("as_of").alias("many"), F.min("as_of").alias("first"), F.max("as_of").alias("last"))
    told = of.collect()[0]
    known = "" if plan.trained_on is None else f", those with outcomes known by {plan.trained_on}"
    return f"{told['many']} as-of days, {told['first']} to {told['last']}{known}"


def _judged_by(plan: Plan) -> str:
    if plan.is_cross_validated:
        return f"{plan.repeats} x {plan.folds} cross-validation by connected groups"
    return f"outcomes known by {plan.trained_on}; out-of-time cohorts from that day on"


def _is_registered(lake: Lake, training: Published) -> bool:
    """Whether the registry still has the version that a run trained."""
    settings, version = lake.settings.mlflow, int(training.facts["model_version"])
    return run_of(settings.tracking_uri, settings.model, version) == training.facts["mlflow_run"]


def _published_before(lake: Lake, run: Published) -> Report:
    settings, version = lake.settings.mlflow, int(run.facts["model_version"])
    # killed before it could be told, and by now perhaps not the newest
    set_finished(settings.tracking_uri, settings.model, version)
    # the newest training, killed before it could be named: the challenger is the one before it
    if run == lake.last_run("train") and alias(settings.tracking_uri, settings.model, CHALLENGER) != version:
        set_challenger(settings.tracking_uri, settings.model, version)
    return Report("train", {"published already by": run.run_id, "version": run.facts["model_version"]})


def _champion(lake: Lake) -> tuple[Loaded | None, list[str]]:
    """The version that scores now, to be judged on the same rows; None before the first, or with why it cannot be.

    A champion that was deleted, or wants features that are gone, must not keep a new one from being trained.
    """
    standing = champions(lake)
    if not standing:
        return None, []
    settings, number = lake.settings.mlflow, standing[-1]
    made_by = run_of(settings.tracking_uri, settings.model, number)
    if made_by is None or made_by != (signed_run(lake) or made_by):
        return None, [f"The champion, version {number}, is no longer in the registry: it was not judged."]
    try:
        loaded = load(settings.tracking_uri, settings.model, number)
    except UserError as error:
        return None, [f"The champion, version {number}, cannot be loaded, and was not judged: {error}"]
    lost = features_lost(loaded, TRAINING_SET)
    if lost:
        return None, [f"The champion, version {number}, wants features that it cannot have: {'; '.join(lost)}."]
    return loaded, []


def _rival(
    lake: Lake, champion: Loaded | None, rows: DataFrame, plan: Plan, definition: str
) -> tuple[Champion | None, list[str]]:
    """The champion as far as it can be judged on cohorts that it did not train on, and on what it cannot, with why."""
    if champion is None:
        return None, []
    its = f"The champion, version {champion.version},"
    if plan.trained_on is None:
        return None, [
            f"{its} was not judged: no cohort of a cross-validated version is later than all that trained it."
        ]
    training = training_of(lake, champion.version, signed_run(lake))
    learned, told = training.facts.get("definition", definition), training.arguments.get("trained_on")
    if learned != definition:
        return None, [f"{its} learned another outcome ({learned}), and was not judged by this one ({definition})."]
    if told is None:
        return None, [f"{its} was cross-validated on all rows of its set, and was not judged: it trained on them."]
    trained_on = date.fromisoformat(told)
    newest = rows.agg(F.max("as_of")).collect()[0][0]
    if newest < trained_on:
        why = f"trained on outcomes known by {trained_on}, and no cohort is from that day on"
        return None, [f"{its} {why}: it was not judged."]
    rival = Champion(champion.pipeline, trained_on)
    if trained_on <= plan.trained_on:
        return rival, []
    return rival, [
        f"{its} trained on outcomes known by {trained_on}: it is compared on cohorts from that day on alone."
    ]


def _newest_features(lake: Lake) -> Published | None:
    """The run that made the features of the newest day by this catalogue; None before any."""
    return lake.newest_run("features", catalogue=catalogue.digest())


def _snapshot(run: Run, newest: Published | None) -> DataFrame | None:
    """The features that a run made of all sellers, to see how they have shifted and who would be approved."""
    if newest is None:
        return None
    newest_features = run.read(SELLER_FEATURES).filter(F.col("run_id") == newest.run_id)
    return with_segments(newest_features, run.read(SELLERS))


def funnel(lake: Lake, read: Callable[[Table], DataFrame], made_by: Published) -> list[tuple[str, int]]:
    """Seller-months from all to those with a known outcome, as known when the set was made; then the sellers decided on
    as of the newest day.
    """
    outcomes = read(OUTCOMES).filter(F.col("run_id") == made_by.run_id)
    figures = [F.count(F.lit(1)).alias("all sellers, each month")]
    definition = _definition(made_by)
    if definition is not None:
        events, kinds = read(LOAN_EVENTS), list(lake.kinds_told())
        if "known_by" in made_by.facts:
            # as the outcomes, which no later news has changed
            known_by = date.fromisoformat(made_by.facts["known_by"])
            events, kinds = events.filter(F.col("arrival_day") < F.lit(known_by)), lake.kinds_told_before(known_by)
        told = {
            kind: name
            for kind, name in (("applied", "asked for a loan"), ("approved", "were approved one"))
            if f"loan_event.{kind}" in kinds
        }
        if told:
            at_the_door = _at_the_door(events, outcomes.select("as_of").distinct(), definition.draw_days, list(told))
            outcomes = outcomes.join(at_the_door, ["seller_id", "as_of"], "left")
        days = f"in the {definition.draw_days} days after"
        figures += [F.count_if(F.col(kind) > 0).alias(f"{name} {days}") for kind, name in told.items()]
        figures.append(F.count_if(F.col("loans") > 0).alias(f"drew {days}"))
        is_open = (F.col("outcome") == "unknown") & (F.col("loans") > 0)
        figures.append(F.count_if(is_open).alias("of these not followed to the end"))
    figures += [F.count_if(F.col("outcome") == outcome).alias(outcome) for outcome in ("good", "indeterminate", "bad")]
    found = outcomes.agg(*figures).collect()[0].asDict()
    decided = lake.newest_run("decide")
    if decided is not None:
        newest = read(DECISIONS).filter(F.col("run_id") == decided.run_id)
        is_eligible = (F.size("knock_outs") == 0) & F.col("outcome").isin("offer", "decline")
        found |= (
            newest.agg(
                F.count(F.lit(1)).alias(f"all sellers, decided on as of {decided.as_of}"),
                F.count_if(is_eligible).alias("eligible: no knock-out, history and figures enough"),
                F.count_if(F.col("outcome") == "offer").alias("offered"),
            )
            .collect()[0]
            .asDict()
        )
    return [(name, int(value)) for name, value in found.items()]


def _at_the_door(events: DataFrame, days: DataFrame, draw_days: int, kinds: Sequence[str]) -> DataFrame:
    """One row a seller and as-of day with loan events of these kinds while draws count: how many of each."""
    told = events.filter(F.col("kind").isin(list(kinds)))
    in_time = F.col("event_day").between(F.col("as_of"), F.date_add("as_of", draw_days - 1))
    counts = (F.sum(F.when(F.col("kind") == kind, F.col("sign")).otherwise(0)).alias(kind) for kind in kinds)
    return told.join(F.broadcast(days), in_time).groupBy("seller_id", "as_of").agg(*counts)


def _card(
    run: Run,
    fit: Fitted,
    found: Findings,
    plan: Plan,
    facts: Mapping[str, str],
    figures: Mapping[str, float],
    made_by: Published,
    definition: OutcomeDefinition | None,
    trainer: str,
    since_champion: Sequence[str],
    tuning: Tuning | None,
) -> Card:
    lake = run.lake
    judged_by = found.judged
    reference = found.reference
    return Card(
        name=lake.settings.mlflow.model,
        algorithm=name_of(plan.algorithm),
        summary=(
            f"Probability {_asked(definition)}: {name_of(plan.algorithm)} on"
            f" {len(fit.inputs.features)} features; AUC {judged_by.model.auc} {judged_by.name}."
        ),
        too_few_bads=too_few_bads(figures),
        is_simulated=lake.is_simulated(),
        trained={
            "training set": made_by.run_id,
            "outcome definition": facts["definition"],
            "known by": made_by.facts.get("known_by", "-"),
            "trained on": _cohorts(fit.seen, plan),
            "judged by": facts["judged_by"],
            "trained by": trainer,
            "calibration": "affine on the margin, fitted on each row's margin by a model of the other folds; the"
            " registered model was fitted on all of them",
            "reference of the reasons": f"{reference.chosen}, {reference.sellers:,} rows" if reference else "none",
            facts["algorithm"]: facts["settings"],
            "catalogue": facts["catalogue"],
            "policy": facts["policy"],
            "code": code_version(),
            "tables": ", ".join(
                f"{table.name} version {version}"
                for table in (TRAINING_SET, OUTCOMES, SELLERS, SELLER_FEATURES)
                if (version := lake.published_version(table)) is not None
            ),
        },
        findings=found,
        funnel=funnel(lake, run.read, made_by),
        roll_rates=json.loads(made_by.facts.get("roll_rates", "[]")),
        spread=spread_in_words(found),
        tuning=tuning,
        top_features=[(name, BY_NAME[name].meaning, size) for name, size in found.importance[:TOP_FEATURES]],
        dropped=[name for name in MODEL_INPUTS if name not in fit.inputs.features],
        gates=gates_now(lake, figures, made_by.run_id, None),
        limits=_limits(definition),
        since_champion=since_champion,
    )


def _since(lake: Lake, champion: Loaded | None, fit: Fitted, now: Mapping[str, str]) -> list[str]:
    """What is different from the version that scores now."""
    if champion is None:
        return ["There is no champion yet: this is the first version."]
    before = training_of(lake, champion.version, signed_run(lake)).facts
    features = fit.inputs.features
    new = [name for name in features if name not in champion.features]
    gone = [name for name in champion.features if name not in features]
    lines = [f"The champion is version {champion.version}."]
    lines += [
        f"{words}: {now[name]}; the champion's: {before.get(name, 'not told')}."
        for name, words in _CHANGES.items()
        if before.get(name) != now[name]
    ]
    lines += [f"Features that it does not use: {', '.join(new)}."] if new else []
    lines += [f"Features that it uses and this version does not: {', '.join(gone)}."] if gone else []
    return lines


def _evidence(
    run: Run,
    fit: Fitted,
    found: Findings,
    plan: Plan,
    facts: Mapping[str, str],
    figures: Mapping[str, float],
    card: Card,
    made_by: Published,
    trainer: str,
) -> Evidence:
    lake = run.lake
    plots = plots_of(card)
    told = tables_of(found) | {"funnel": (("sellers", "number"), list(card.funnel))}
    if card.roll_rates:
        told["roll_rates"] = (tuple(map(str, card.roll_rates[0])), [tuple(row) for row in card.roll_rates[1:]])
    if card.tuning:
        told["tuning"] = card.tuning.table()
    tables = {f"tables/{name}.csv": _csv(header, rows) for name, (header, rows) in told.items()}
    return Evidence(
        parameters={
            "algorithm": name_of(plan.algorithm),
            **settings_of(plan.algorithm),
            "trained_on": plan.trained_on,
            "folds": plan.folds,
            "repeats": plan.repeats,
            "tries": plan.tries,
            "outcome_definition": facts["definition"],
        },
        metrics=figures,
        tags={
            "training_set": made_by.run_id,
            "outcome_definition": facts["definition"],
            "trainer": trainer,
            "git_commit": code_version(),
            "catalogue": made_by.facts["catalogue"],
            "policy": facts["policy"],
            "algorithm": facts["algorithm"],
            "simulated": str(lake.is_simulated()),
        },
        description=to_markdown(card),
        artifacts={
            "card.html": to_html(card, plots),
            **{f"plots/{name}": png for name, png in plots.items()},
            **tables,
        },
        documents={
            "features.json": {
                "features": list(fit.inputs.features),
                "digests": {name: catalogue.digest_of(name) for name in fit.inputs.features},
            },
            "reference.json": found.reference.to_dict() if found.reference else {},
        },
        tables=[
            Delta(
                TRAINING_SET.name,
                lake.path(TRAINING_SET),
                lake.published_version(TRAINING_SET) or 0,
                f"training_set = '{made_by.run_id}'",
            )
        ],
        features=fit.inputs.features,
        example=found.example,
        packages=packages_of(plan.algorithm),
    )


def _under_pseudonyms(found: Findings, key: bytes) -> Findings:
    """Sellers of the worst misses by keyed pseudonyms: whoever sees the run and has no key cannot tell who they are."""

    def pseudonym(seller: str) -> str:
        return hmac.new(key, f"seller {seller}".encode(), hashlib.sha256).hexdigest()[:12]

    return replace(found, misses=tuple(replace(miss, seller=pseudonym(miss.seller)) for miss in found.misses))


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _report(found: Findings, fit: Fitted, version: str, card: Card) -> Report:
    table = [
        (
            sample.name,
            sample.model.rows,
            sample.model.bads,
            str(sample.model.auc),
            str(sample.model.ks),
            str(sample.baseline.auc) if sample.baseline else None,
            str(sample.model.observed_to_expected),
        )
        for sample in found.samples
    ]
    lines = [
        f"{number:2d}. {name}: {size:.1f} points, {meaning}"
        for number, (name, meaning, size) in enumerate(card.top_features, 1)
    ]
    return Report(
        "train",
        {
            "registered": version,
            "algorithm": card.algorithm,
            "features": len(fit.inputs.features),
            **{name: card.trained[name] for name in ("training set", "outcome definition")},
        },
        (
            ("sample", "rows", "bads", "AUC (95 % interval)", "KS", "AUC of the scorecard", "observed / expected"),
            table,
        ),
        [
            *([card.too_few_bads] if card.too_few_bads else []),
            *([card.spread] if card.spread else []),
            *([card.tuning.in_words()] if card.tuning else []),
            f"Features that carry it ({found.importance_is}):",
            *lines,
        ],
    )


_TREES = f"Boosted trees [default: {Boosting().trees}; {SMALL_SAMPLE.trees} with --cross-validate]."
_CROSS = re.compile(r"^([1-9][0-9]?)x([1-9][0-9]?)$")


@step("train", "seller-credit train --trained-on 2023-09-01 --trainer 'Wang Fang'")
@click.option(
    "--trained-on", type=DAY, help="Only outcomes known by this day train; cohorts from it on test out of time."
)
@click.option("--cross-validate", metavar="REPEATSxFOLDS", help="Where outcomes are few: 5x5. Instead of --trained-on.")
@click.option("--trainer", required=True, help="Who trains it; another person must promote it.")
@click.option("--algorithm", type=click.Choice(list(ALGORITHMS)), default="gbt", help="What is fitted.")
@click.option("--trees", type=click.IntRange(1, 1000), help=_TREES)
@click.option(
    "--tune",
    type=click.IntRange(1, 100),
    metavar="N",
    help="First try N other settings, on cohorts that are later than the outcomes they are fitted on.",
)
@click.option("--policy", default="standard", metavar="NAME_OR_FILE", help="Policy whose cut-off the reasons refer to.")
@click.option("--training-set", default=NEWEST, metavar="SET", help="Id of the set that it learns from.")
@click.option("--new-registry", is_flag=True, help="Also where the registry has none of the lake's versions.")
def command(
    invocation: Invocation,
    trained_on: date | None,
    cross_validate: str | None,
    trainer: str,
    algorithm: str,
    trees: int | None,
    tune: int | None,
    policy: str,
    training_set: str,
    new_registry: bool,
) -> Report:
    """Train a model on a training set and register it in MLflow as the challenger, with its card.

    Trees are boosted on all rows whose outcome was known by the day of training; their calibration is fitted on margins
    that trees of the other folds gave. A connected group is never in two folds.
    """
    if not trainer.strip():
        raise UserError("train: want --trainer NAME: another person must promote what it trains")
    if tune is not None and trained_on is None:
        raise UserError("train --tune: settings are compared on later cohorts, and --cross-validate has none")
    if (trained_on is None) == (cross_validate is None):
        raise UserError("train: want either --trained-on DAY or --cross-validate REPEATSxFOLDS (5x5)")
    folds, repeats, is_small = CALIBRATION_FOLDS, 1, False
    if cross_validate is not None:
        found = _CROSS.match(cross_validate)
        if found is None or int(found[2]) < 2:
            raise UserError(f"--cross-validate {cross_validate}: want REPEATSxFOLDS with two folds or more, as 5x5")
        repeats, folds, is_small = int(found[1]), int(found[2]), True
    chosen = ALGORITHMS[algorithm]
    if isinstance(chosen, Boosting):
        chosen = SMALL_SAMPLE if is_small else chosen
        chosen = replace(chosen, trees=trees) if trees is not None else chosen
    elif trees is not None:
        raise UserError(f"--trees: a {algorithm} has none")
    plan = Plan(chosen, trained_on, folds, repeats, tune or 0)
    rules = load_policy(policy)
    return train(invocation.lake(), plan, trainer, rules, training_set, new_registry)


if __name__ == "__main__":
    sys.exit(run_command(command))
