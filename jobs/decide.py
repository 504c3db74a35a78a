"""gold.scores and features -> gold.decisions: grade, limit, price, reasons, offer."""

import sys
from datetime import date, timedelta

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.policy import Policy, load_policy
from jobs.lakehouse.champion import draw_days_of, is_champion, training_by
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.decided import Basis, decisions_by, model_of, policy_of
from jobs.lakehouse.lake import Lake, Published, Run
from transforms.lending.decide import OUTCOMES
from transforms.tables.gold import DECISIONS, SCORES, SELLER_FEATURES


def decide(lake: Lake, as_of: date, policy: Policy) -> Report:
    """Decide every seller that was scored as of a day, by a version that was signed off.

    Raises UserError where there are no scores, their model is not signed, or the policy was edited under its version;
    StepFailure where another step published meanwhile what the decisions rest on.
    """
    basis = _basis(lake, as_of, policy)
    identity = {
        "scores": basis.scored_by.run_id,
        "policy": policy.digest(),
        "previous": basis.previous.run_id if basis.previous else None,
        "earlier": basis.earlier.run_id if basis.earlier else None,
    }
    with lake.run("decide", f"as_of={as_of}", identity, {"as_of": as_of, "policy": policy.name}) as run:
        # the lock may have been waited for, and a model rolled back meanwhile
        if _basis(lake, as_of, policy) != basis:
            raise StepFailure(f"decide: scores or decisions as of {as_of} were published meanwhile. Run this again.")
        published = run.already_published
        if published is not None:
            return Report("decide", {"as of": as_of, "published already by": published.run_id})
        run.replace(DECISIONS, _decisions(run, basis, policy), f"as_of = '{as_of}' and run_id = '{run.run_id}'")
        run.figures = _figures(run, as_of)
        run.facts = {
            "policy": f"{policy.name} {policy.version}",
            "policy_as_json": policy.to_json(),
            "scores_run_id": basis.scored_by.run_id,
            "features_run_id": basis.scored_by.facts["features_run_id"],
            "previous_run_id": basis.previous.run_id if basis.previous else "",
            "earlier_run_id": basis.earlier.run_id if basis.earlier else "",
        }
        run.publish()
    lines = [*_of_another_horizon(lake, basis.scored_by, policy), *_of_another_policy(lake, basis.scored_by, policy)]
    return Report("decide", {"as of": as_of, **{name: int(value) for name, value in run.figures.items()}}, lines=lines)


def _of_another_horizon(lake: Lake, scored_by: Published, policy: Policy) -> list[str]:
    """A line where the probability that is priced is not of the days for which it is."""
    told, wanted = draw_days_of(lake, scored_by.facts["model_run_id"]), policy.price.horizon_days
    if told is None or told == str(wanted):
        return []
    what = f"of draws in {told} days" if told else "of the outcome that its source gave, and of no days"
    return [f"policy {policy.name} prices {wanted} days, and the model's probability is {what}: see price.horizon_days"]


def _of_another_policy(lake: Lake, scored_by: Published, policy: Policy) -> list[str]:
    """A line where the version's gates went by the cut-off or the grades of another policy."""
    training = training_by(lake, scored_by.facts["model_run_id"])
    judged_by = training.facts.get("policy") if training else None
    if judged_by is None or judged_by.split()[-1] == policy.digest()[:12]:
        return []
    return [
        f"the gates of {scored_by.facts['model_name']} {scored_by.facts['model_version']} (grades, adverse impact) were"
        f" judged by policy {judged_by}, and this is {policy.name} {policy.version} {policy.digest()[:12]}"
    ]


def _basis(lake: Lake, as_of: date, policy: Policy) -> Basis:
    scored_by = lake.require_run("score", f"as_of={as_of}", f"Run `seller-credit score --as-of {as_of}` first.")
    _require_signed(lake, scored_by)
    _require_unedited(lake, policy)

    def comparable_before(day: date) -> Published | None:
        found = lake.newest_run("decide", before=day)
        return found if found is not None and _grades_mean_the_same(lake, found, scored_by, policy) else None

    long_ago = as_of - timedelta(days=policy.grades.days_between_agreeing_snapshots - 1)
    return Basis(scored_by, comparable_before(as_of), comparable_before(long_ago))


def _require_unedited(lake: Lake, policy: Policy) -> None:
    """Raise UserError where a policy of this name and version has decided, and said something else."""
    for run in lake.runs():
        if run.step == "decide" and run.facts["policy"] == f"{policy.name} {policy.version}":
            then = policy_of(run)
            # by what it says and not by its digest: a rule that we have added since, at its default, is no edit
            if then is not None and then != policy:
                raise UserError(
                    f"decide: policy {policy.name} {policy.version} is not the one of that name and version that"
                    f" decided as of {run.as_of} (run {run.run_id}): it was edited since. Raise its version: what was"
                    " decided must be told by the rules that decided it."
                )


def _grades_mean_the_same(lake: Lake, decided: Published, scored_by: Published, policy: Policy) -> bool:
    """Whether grades of some decisions were cut at the policy's edges, by the model that scored."""
    then = policy_of(decided)
    # by its MLflow run: in a registry that was lost and begun anew another model has the number
    return (
        then is not None and then.grades == policy.grades and model_of(lake, decided) == scored_by.facts["model_run_id"]
    )


def _require_signed(lake: Lake, scored_by: Published) -> None:
    """Raise UserError where the model that scored is not the champion: never signed off, rolled back, or followed by
    another.

    A day that a model has decided it may decide again: by a mended policy, or from features that were published again.
    """
    facts, as_of = scored_by.facts, scored_by.as_of
    name, version, made_by = facts["model_name"], facts["model_version"], facts["model_run_id"]
    if is_champion(lake, version, made_by) or made_by in _models_that_decided(lake, as_of):
        return
    raise UserError(
        f"decide: the newest scores as of {as_of} are by {name} version {version} (MLflow run {made_by}), which was"
        f" not signed off, was rolled back or has a successor: no offer is made by it. Promote it (`seller-credit"
        f" promote {version} --approver NAME`), or score by the champion again (`seller-credit score --as-of {as_of}`)."
    )


def _models_that_decided(lake: Lake, as_of: date | None) -> set[str | None]:
    """MLflow runs of the models whose scores were decided on for a day."""
    return {model_of(lake, run) for run in lake.runs() if run.step == "decide" and run.as_of == as_of}


def _decisions(run: Run, basis: Basis, policy: Policy) -> DataFrame:
    scored_by = basis.scored_by
    scores = run.read(SCORES).filter(F.col("run_id") == scored_by.run_id)
    features = run.read(SELLER_FEATURES).filter(F.col("run_id") == scored_by.facts["features_run_id"])
    return decisions_by(policy, basis, scores, features, run.read(DECISIONS), run.run_id)


def _figures(run: Run, as_of: date) -> dict[str, float]:
    written = run.written(DECISIONS).filter((F.col("as_of") == F.lit(as_of)) & (F.col("run_id") == run.run_id))
    counted = written.agg(
        *(F.sum((F.col("outcome") == outcome).cast("int")).alias(outcome) for outcome in OUTCOMES),
        F.sum("limit_fen").alias("limit_fen"),
    ).collect()[0]
    return {
        "decisions": run.rows_written(DECISIONS),
        "offers": counted["offer"] or 0,
        "declines": counted["decline"] or 0,
        "without enough history": counted["not_enough_history"] or 0,
        "without enough information": counted["not_enough_information"] or 0,
        "limits offered, yuan": (counted["limit_fen"] or 0) // 100,
    }


@step("decide", "seller-credit decide --as-of 2024-09-01 --policy standard")
@click.option("--as-of", type=DAY, required=True, help="The day whose scores are decided on.")
@click.option(
    "--policy", default="standard", metavar="NAME_OR_FILE", help="Policy that comes with the package, or a .yml file."
)
def command(invocation: Invocation, as_of: date, policy: str) -> Report:
    """Decide what every scored seller is offered: grade, limit, price and reasons, by a versioned policy."""
    rules = load_policy(policy)
    return decide(invocation.lake(), as_of, rules)


if __name__ == "__main__":
    sys.exit(run_command(command))
