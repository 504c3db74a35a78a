"""One decision made again from its slices, its model version and its policy: the same rows, or where they differ."""

import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.decided import Basis, decision_of, decisions_by, of_slice, require_policy_of, scores_by
from jobs.lakehouse.lake import Lake, Published
from ml.registry import check, load
from transforms.tables.gold import DECISIONS, SCORES, SELLER_FEATURES

_Row = Mapping[str, Any]


def replay(lake: Lake, decision_id: str, as_of: date | None) -> Report:
    """Score and decide one seller again, from the features, by the model and by the policy that a decision names.

    Every column of its rows in gold.scores and gold.decisions is compared, to the last bit. Nothing is written. Raises
    UserError where there is no such decision, or where what it rests on is no longer there.
    """
    decided_by, decision = decision_of(lake, decision_id, as_of)
    policy = require_policy_of(decided_by)
    basis = Basis(
        _run(lake, decision["scores_run_id"]),
        lake.run_of(decided_by.facts.get("previous_run_id")),
        lake.run_of(decided_by.facts.get("earlier_run_id")),
    )
    facts = basis.scored_by.facts
    name, version, made_by = facts["model_name"], int(facts["model_version"]), facts["model_run_id"]
    uri = lake.settings.mlflow.tracking_uri
    check(uri)
    loaded = load(uri, name, version)
    if loaded.run_id != made_by:
        raise UserError(
            f"{decision_id}: was scored by {name} version {version} of MLflow run {made_by}, and the registry {uri} has"
            f" another model under that number (run {loaded.run_id}). Say which registry had it: --set"
            " mlflow.tracking_uri=ADDRESS"
        )
    seller, day = decision["seller_id"], decided_by.as_of
    features = of_slice(lake.read(SELLER_FEATURES), seller, day, decision["features_run_id"])
    before = lake.read(DECISIONS).filter(F.col("seller_id") == seller)
    scores = scores_by(loaded, features.drop("run_id"), decision["features_run_id"], decision["scores_run_id"])
    decisions = decisions_by(policy, basis, scores, features, before, decision["run_id"])
    score = _only(of_slice(lake.read(SCORES), seller, day, decision["scores_run_id"]), "score", seller)
    # in which task a seller was scored is no part of the answer
    score.pop("bucket")
    differences = {
        **_differences("score", score, _only(scores, "features", seller)),
        **_differences("decision", decision, _only(decisions, "features", seller)),
    }
    lines = [f"{column}: was {then}, is {again}" for column, (then, again) in differences.items()]
    values = {
        "decision": decision_id,
        "seller": seller,
        "as of": day,
        "outcome": decision["outcome"],
        "features by": decision["features_run_id"],
        "model": f"{name} {version}",
        "policy": f"{policy.name} {policy.version}",
        "columns compared": len(score) + len(decision),
        "columns that differ": len(differences),
    }
    failure = f"{decision_id} comes out otherwise in {', '.join(differences)}" if differences else ""
    return Report("replay", values, lines=lines, failure=failure)


def _run(lake: Lake, run_id: str) -> Published:
    found = lake.run_of(run_id)
    if found is None:
        raise UserError(f"{lake.root}: run {run_id}, on which the decision rests, is not among the published runs")
    return found


def _only(rows: DataFrame, what: str, seller: str) -> dict[str, Any]:
    found = rows.limit(2).collect()
    if len(found) != 1:
        there = "more than one row" if found else "no row"
        raise UserError(f"{seller}: of the {what} that the decision rests on there is {there} any more")
    return found[0].asDict(recursive=True)


def _differences(what: str, then: _Row, again: _Row) -> dict[str, tuple[Any, Any]]:
    """Columns of a row that came out otherwise, in order, with both values."""
    return {
        f"{what}.{name}": (value, again.get(name)) for name, value in then.items() if not _same(value, again.get(name))
    }


def _same(then: Any, again: Any) -> bool:
    return bool(then == again or (then != then and again != again))


@step("replay", "seller-credit replay 0c1f6a0f3f8d4c5e9a7b2d4e6f8091a3 --as-of 2024-09-01")
@click.argument("decision")
@click.option("--as-of", type=DAY, help="The decision's day: where it is not told, all days are looked through.")
def command(invocation: Invocation, decision: str, as_of: date | None) -> Report:
    """Make one decision again from its features, model version and policy, and compare it column by column.

    DECISION is the id at the end of a seller's record. Exit code 1 where anything comes out otherwise.
    """
    return replay(invocation.lake(), decision, as_of)


if __name__ == "__main__":
    sys.exit(run_command(command))
