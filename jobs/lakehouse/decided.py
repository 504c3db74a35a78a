"""What scores and decisions are made of, and by what rules and by which model a day was decided."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.policy import Policy
from jobs.lakehouse.champion import champion, signed_run
from jobs.lakehouse.lake import Lake, Published
from ml.reasons import Reference
from ml.registry import Loaded
from ml.scoring import score, scorer
from transforms.features.catalogue import BY_NAME
from transforms.lending.decide import SCORED_COLUMNS, decide
from transforms.lending.limit import FIGURES
from transforms.tables.gold import DECISIONS

_EARLIER = (
    "previous_grade",
    "previous_model_version",
    "earlier_grade_by_model",
    "earlier_model_version",
    "earlier_as_of",
)


@dataclass(frozen=True)
class Basis:
    """The runs that a day's decisions rest on."""

    scored_by: Published
    previous: Published | None
    """The latest decisions before the day; None where there are none whose grades mean the same."""
    earlier: Published | None
    """Decisions old enough to agree with the day's on a better grade; None likewise."""


def scores_by(loaded: Loaded, features: DataFrame, features_run_id: str, run_id: str) -> DataFrame:
    """Rows of gold.scores by a version, all but their bucket, from rows of one slice of gold.seller_features."""
    return score(features, scorer(loaded.pipeline, Reference.from_dict(loaded.reference))).select(
        "*",
        F.lit(run_id).alias("run_id"),
        F.lit(loaded.name).alias("model_name"),
        F.lit(loaded.version).alias("model_version"),
        F.lit(features_run_id).alias("features_run_id"),
    )


def decisions_by(
    policy: Policy, basis: Basis, scores: DataFrame, features: DataFrame, decisions: DataFrame, run_id: str
) -> DataFrame:
    """Rows of gold.decisions by a policy: from rows of the slices of scores and features that `basis` names, and from
    gold.decisions, whose grades went before.
    """
    figures = {"history_days", "complete_blocks", *(figure for figure in FIGURES.values() if figure in BY_NAME)}
    before = _of_run(decisions, basis.previous).select(
        "seller_id",
        F.col("grade").alias("previous_grade"),
        F.col("model_version").alias("previous_model_version"),
    )
    agreeing = _of_run(decisions, basis.earlier).select(
        "seller_id",
        F.col("grade_by_model").alias("earlier_grade_by_model"),
        F.col("model_version").alias("earlier_model_version"),
        F.col("as_of").alias("earlier_as_of"),
    )
    scored = (
        scores.drop("run_id")
        .join(features.select("seller_id", *sorted(figures)), "seller_id", "inner")
        .join(before, "seller_id", "left")
        .join(agreeing, "seller_id", "left")
        .select(
            *(name for name in SCORED_COLUMNS if name not in _EARLIER),
            *_EARLIER,
            *sorted(figures - set(SCORED_COLUMNS)),
            "model_name",
            "features_run_id",
            F.lit(basis.scored_by.run_id).alias("scores_run_id"),
            F.lit(run_id).alias("run_id"),
        )
    )
    return decide(
        scored,
        policy,
        {feature.name: feature.family for feature in BY_NAME.values()},
        run_id,
        carry=("run_id", "model_name", "model_version", "features_run_id", "scores_run_id"),
    )


def _of_run(decisions: DataFrame, published: Published | None) -> DataFrame:
    if published is None:
        return decisions.filter(F.lit(False))
    # the day is the partition; the run alone would be looked for in all of them
    is_of_day = F.col("as_of") == F.lit(published.as_of)
    return decisions.filter(is_of_day & (F.col("run_id") == published.run_id))


def decision_of(lake: Lake, decision_id: str, as_of: date | None) -> tuple[Published, dict[str, Any]]:
    """The run that made a decision, and its row; UserError where there is none of this id.

    An id does not tell its day: without one, the ids of all days are looked through.
    """
    decisions = lake.read(DECISIONS).filter(F.col("decision_id") == decision_id)
    if as_of is not None:
        decisions = decisions.filter(F.col("as_of") == F.lit(as_of))
    found = decisions.limit(1).collect()
    run = lake.run_of(found[0]["run_id"]) if found else None
    if run is None:
        raise UserError(f"{decision_id}: no decision of this id {f'as of {as_of} ' if as_of else ''}in {lake.root}")
    return run, found[0].asDict(recursive=True)


def of_slice(table: DataFrame, seller: str, day: date, run_id: str) -> DataFrame:
    """A seller's row of one published slice of gold.seller_features, gold.scores or gold.decisions."""
    is_of_slice = (F.col("as_of") == F.lit(day)) & (F.col("run_id") == run_id)
    return table.filter(is_of_slice & (F.col("seller_id") == seller))


def require_policy_of(decided_by: Published) -> Policy:
    """The policy that decided, as it was; UserError of decisions that are older than its being kept."""
    policy = policy_of(decided_by)
    if policy is None:
        raise UserError(
            f"the policy that decided as of {decided_by.as_of} was not kept with the decisions then (run"
            f" {decided_by.run_id}). Copy it, raise the version of the copy, and decide that day again: `seller-credit"
            " decide --policy FILE`."
        )
    return policy


def policy_of(decided_by: Published) -> Policy | None:
    """The policy that decided, as it was; None of decisions that are older than its being kept."""
    told = decided_by.facts.get("policy_as_json")
    return None if told is None else Policy.from_json(told)


def model_of(lake: Lake, decided: Published) -> str | None:
    """MLflow run of the model whose scores were decided on; None where that is not told."""
    scored_by = lake.run_of(decided.facts.get("scores_run_id"))
    return scored_by.facts["model_run_id"] if scored_by else None


def model_for(lake: Lake, as_of: date) -> tuple[int, str | None]:
    """Version and MLflow run of the model that scores a day: the champion, or the model that decided the day where a
    later one has been decided since.

    The run is None where a sign-off does not tell it. Raises UserError before any version was promoted.
    """
    decided = [run for run in lake.runs() if run.step == "decide"]
    of_day = [run for run in decided if run.as_of == as_of]
    if of_day and any(run.as_of > as_of for run in decided):
        scored_by = lake.run_of(of_day[-1].facts.get("scores_run_id"))
        if scored_by is not None:
            return int(scored_by.facts["model_version"]), scored_by.facts["model_run_id"]
    return champion(lake), signed_run(lake)
