"""A model version becomes champion: gates, a named sign-off, the registry's alias."""

import sys
from datetime import UTC, datetime

import click

from conf.errors import UserError
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Published, schema_of
from ml.gates import PASS, gates
from ml.registry import resolve, set_champion
from transforms.tables.gold import SIGNOFFS


def promote(lake: Lake, version: str, approver: str, override: str | None, signed_at: datetime) -> Report:
    """Sign a version off and let it score from now on.

    Raises UserError where the approver trained it, or a gate did not pass and no reason to override it is given.
    """
    registry = lake.settings.mlflow
    number = resolve(registry.tracking_uri, registry.model, version)
    trained_by = _training_of(lake, number)
    trainer = trained_by.facts["trainer"]
    if approver.strip().casefold() == trainer.strip().casefold() or not approver.strip():
        raise UserError(
            f"--approver {approver}: version {number} was trained by {trainer}; another person must approve it"
        )
    judged = gates(trained_by.figures)
    open_gates = [f"{gate.gate}: {gate.verdict} ({gate.evidence})" for gate in judged if gate.verdict != PASS]
    if open_gates and not (override or "").strip():
        raise UserError(
            [
                f"version {number}: {len(open_gates)} of {len(judged)} gates did not pass; to promote it all the same,"
                " give the reason: --override 'WHY'",
                *open_gates,
            ]
        )
    reason = override if open_gates else None
    identity = {"version": number, "approver": approver, "override": reason}
    with lake.run("promote", "champion", identity, {"version": number, "approver": approver}) as run:
        published = run.already_published
        if published is None:
            row = (
                run.run_id,
                registry.model,
                number,
                approver,
                trainer,
                [(gate.gate, gate.verdict, gate.evidence) for gate in judged],
                reason,
                signed_at,
            )
            run.append(SIGNOFFS, lake.spark.createDataFrame([row], schema_of(SIGNOFFS)).coalesce(1))
            run.facts = {"model_name": registry.model, "model_version": str(number), "approver": approver}
            run.publish()
        # after the sign-off, which is the truth; set again on a repeat, in case the first attempt died in between
        set_champion(registry.tracking_uri, registry.model, number)
    return Report(
        "promote",
        {"champion": f"{registry.model} {number}", "trained by": trainer, "approved by": approver, "override": reason}
        | ({"published already by": published.run_id} if published else {}),
        (("gate", "verdict", "evidence"), [(gate.gate, gate.verdict, gate.evidence) for gate in judged]),
    )


def _training_of(lake: Lake, version: int) -> Published:
    runs = [run for run in lake.runs() if run.step == "train" and run.facts["model_version"] == str(version)]
    if not runs:
        raise UserError(
            f"version {version} was not trained on this lake ({lake.root}): there is no evidence to judge it by"
        )
    return runs[-1]


@step("promote", "seller-credit promote 1 --approver 'Li Wei' --override 'first model; too few bads for the gates'")
@click.argument("version", metavar="VERSION|challenger")
@click.option("--approver", required=True, help="Who approves; not the person who trained it.")
@click.option("--override", metavar="WHY", help="Reason to promote although a gate did not pass.")
def command(invocation: Invocation, version: str, approver: str, override: str | None) -> Report:
    """Make a registered model version the champion that scores, by a named sign-off kept in gold.signoffs."""
    return promote(invocation.lake(), version, approver, override, datetime.now(UTC))


if __name__ == "__main__":
    sys.exit(run_command(command))
