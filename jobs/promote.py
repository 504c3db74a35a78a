"""A model version becomes champion, or stops being it: gates, a named sign-off, the registry's alias."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from jobs.lakehouse.champion import PROMOTION, ROLLBACK, champions, gates_of, promotions, training_of
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Published, Run, schema_of
from ml.gates import PASS, Gate
from ml.registry import CHAMPION, alias, check, resolve, run_of, set_champion, tag_of
from transforms.tables.gold import SIGNOFFS

SIGNED_OFF = "signed_off"
"""The tag of a version that says who signed it off last, by which run."""


def promote(lake: Lake, version: str, approver: str, overrides: Mapping[str, str], signed_at: datetime) -> Report:
    """Sign a version off and let it score from now on.

    `overrides` has a reason for each gate that does not pass, by its name, and for no other. Raises UserError where one
    is missing or one too many, or the approver trained the version; StepFailure where another promotion came first.
    """
    registry = lake.settings.mlflow
    check(registry.tracking_uri)
    number = resolve(registry.tracking_uri, registry.model, version)
    before = champions(lake)
    training = training_of(lake, number, run_of(registry.tracking_uri, registry.model, number))
    trainer = training.facts["trainer"]
    _require_another(approver, trainer, number)
    _require_reasons(training, number)
    made_by = training.facts["mlflow_run"]
    identity = {"version": number, "mlflow_run": made_by, "approver": approver, "overrides": dict(overrides)}
    arguments = {"version": number, "approver": approver, **{f"override {g}": why for g, why in overrides.items()}}
    with lake.run("promote", CHAMPION, identity, arguments) as run:
        _let_the_alias_follow(lake)
        published = run.already_published
        gates = gates_of(lake, training)
        if published is None:
            _require_unchanged(lake, before)
            _require_overrides(gates, overrides, number)
            _sign(run, PROMOTION, training, approver, gates, overrides, None, signed_at)
    signed = {gate: why for gate, why in overrides.items() if why}
    return Report(
        "promote",
        {
            "champion": f"{registry.model} {number}",
            "trained by": trainer,
            "approved by": approver,
            **{f"override of {gate}": why for gate, why in signed.items()},
            **({"published already by": published.run_id} if published else {}),
        },
        (("gate", "verdict", "evidence"), [(gate.gate, gate.verdict, gate.evidence) for gate in gates]),
    )


def roll_back(lake: Lake, approver: str, reason: str, signed_at: datetime) -> Report:
    """Let the champion before the present one score again.

    The same again, by the same person for the same reason, is done already: a command whose end nobody saw can be
    repeated. One that was killed after it was signed is completed.
    """
    registry = lake.settings.mlflow
    before = champions(lake)
    if not approver.strip() or not reason.strip():
        raise UserError("promote --rollback: wants --approver NAME and --reason WHY")
    check(registry.tracking_uri)
    with lake.run("promote", CHAMPION, {"rollback of": before, "approver": approver, "reason": reason}, {}) as run:
        with suppress(UserError):
            # a registry that takes no alias must not keep a model in place
            _let_the_alias_follow(lake)
        last = lake.last_run("promote")
        if last is not None and _is_the_same(last, approver, reason):
            return Report(
                "promote",
                {"champion": f"{registry.model} {before[-1]}", "rolled back already by": last.run_id},
                lines=["To go further back, say why: another --reason."],
            )
        _require_unchanged(lake, before)
        if len(before) < 2:
            raise UserError(f"promote --rollback: there is no champion before {before[-1] if before else 'the first'}")
        target = resolve(registry.tracking_uri, registry.model, str(before[-2]))
        training = _training_signed(lake, promotions(lake)[-2], target)
        run.arguments = {"rollback": True, "approver": approver, "reason": reason}
        _sign(
            run,
            ROLLBACK,
            training,
            approver,
            gates_of(lake, training),
            {},
            reason,
            signed_at,
        )
    return Report(
        "promote",
        {
            "champion": f"{registry.model} {target}",
            "rolled back from": f"{registry.model} {before[-1]}",
            "approved by": approver,
            "reason": reason,
        },
    )


def _is_the_same(last: Published, approver: str, reason: str) -> bool:
    """Whether a sign-off is a roll-back by this person for this reason: any other is meant to go further back."""
    facts = last.facts
    return (facts["kind"], facts["approver"], facts.get("reason")) == (ROLLBACK, approver, reason)


def _training_signed(lake: Lake, promotion: Published, target: int) -> Published:
    """The training of the model that a promotion signed; UserError where the registry has another under its number."""
    training = training_of(lake, target, promotion.facts.get("mlflow_run"))
    signed, registry = training.facts["mlflow_run"], lake.settings.mlflow
    found = run_of(registry.tracking_uri, registry.model, target)
    if found != signed:
        raise UserError(
            f"promote --rollback: version {target} is not the one that was signed off: the registry made it by run"
            f" {found}, and run {signed} was promoted ({promotion.run_id}). Promote a version that the registry has, by"
            " `seller-credit promote VERSION --approver NAME`, or bring the lost registry back."
        )
    return training


def _require_another(approver: str, trainer: str, number: int) -> None:
    if approver.strip().casefold() == trainer.strip().casefold() or not approver.strip():
        raise UserError(
            f"--approver {approver}: version {number} was trained by {trainer}; another person must approve it"
        )


def _require_reasons(training: Published, number: int) -> None:
    if "points_rows" not in training.figures:
        raise UserError(
            f"version {number} is a {training.facts['algorithm']}: it has no exact reasons, so that no seller could be"
            " told why; it stays a challenger"
        )


def _require_unchanged(lake: Lake, before: Sequence[int]) -> None:
    if champions(lake) != before:
        last = lake.last_run("promote")
        told = f"version {last.facts['model_version']} by {last.facts['approver']}" if last else "none"
        raise StepFailure(
            f"promote: another sign-off came first, the champion is now {told}. Look at it"
            " (`seller-credit review champion`) and run this again if it still holds."
        )


def _require_overrides(gates: Sequence[Gate], overrides: Mapping[str, str], number: int) -> None:
    verdicts = {gate.gate: gate for gate in gates}
    problems = []
    for name, why in overrides.items():
        if name not in verdicts:
            problems.append(f"--override {name}: there is no such gate; known: {', '.join(verdicts)}")
        elif verdicts[name].verdict == PASS:
            problems.append(f"--override {name}: the gate passes, there is nothing to override")
        elif not why.strip():
            problems.append(f"--override {name}: the reason is missing: --override '{name}=WHY'")
    lacking = [gate for gate in gates if gate.verdict != PASS and gate.gate not in overrides]
    if lacking:
        problems.append(
            f"version {number}: {len(lacking)} of {len(gates)} gates did not pass; to promote it all the same, give a"
            " reason for each: --override GATE=WHY"
        )
        problems += [f"{gate.gate}: {gate.verdict} ({gate.evidence})" for gate in lacking]
    if problems:
        raise UserError(problems)


def _sign(
    run: Run,
    kind: str,
    training: Published,
    approver: str,
    gates: Sequence[Gate],
    overrides: Mapping[str, str],
    reason: str | None,
    signed_at: datetime,
) -> None:
    lake = run.lake
    standing = champions(lake)
    row = (
        run.run_id,
        kind,
        training.facts["model_name"],
        int(training.facts["model_version"]),
        standing[-1] if standing else None,
        approver,
        training.facts["trainer"],
        [(gate.gate, gate.verdict, gate.evidence) for gate in gates],
        sorted(overrides.items()),
        reason,
        signed_at,
    )
    run.append(SIGNOFFS, lake.spark.createDataFrame([row], schema_of(SIGNOFFS)).coalesce(1))
    run.figures = {"gates": len(gates), "overrides": len(overrides)}
    run.facts = {
        "kind": kind,
        "reason": reason or "",
        "model_name": training.facts["model_name"],
        "model_version": training.facts["model_version"],
        "mlflow_run": training.facts["mlflow_run"],
        "approver": approver,
    }
    run.publish()
    # after the sign-off, which is the truth; whoever comes next sets it right where this dies in between
    try:
        _let_the_alias_follow(lake)
    except UserError as error:
        version = training.facts["model_version"]
        raise StepFailure(
            f"promote: signed ({run.run_id}): version {version} scores from now on. The registry's alias could not"
            f" follow, and will at the next promotion or the same again: {error}"
        ) from None


def _let_the_alias_follow(lake: Lake) -> None:
    """Point the registry's alias, and the tags of the version, at the newest sign-off.

    The alias may have been there before, by hand or by a sign-off with other overrides: the tags tell which it is.
    """
    last = lake.last_run("promote")
    if last is None:
        return
    registry = lake.settings.mlflow
    version = int(last.facts["model_version"])
    is_there = alias(registry.tracking_uri, registry.model, CHAMPION) == version
    if is_there and last.run_id in tag_of(registry.tracking_uri, registry.model, version, SIGNED_OFF):
        return
    made_by = run_of(registry.tracking_uri, registry.model, version)
    if made_by is None or made_by != last.facts.get("mlflow_run", made_by):
        # deleted since, or another has its number now: what is signed next takes its place
        return
    signed = lake.read(SIGNOFFS).filter(F.col("run_id") == last.run_id).collect()[0].asDict(recursive=True)
    set_champion(registry.tracking_uri, registry.model, version, _tags(signed))


def _tags(signed: Mapping[str, Any]) -> dict[str, str]:
    at = signed["signed_at"].astimezone(UTC)  # told in the machine's zone
    by = f"{signed['kind']} by {signed['approver']}, {at:%Y-%m-%d %H:%M} UTC ({signed['run_id']})"
    tags = {SIGNED_OFF: by}
    if signed["reason"]:
        tags["rollback_reason"] = f"from version {signed['previous_version']}: {signed['reason']}"
    return tags | {f"override.{given['gate']}": given["reason"] for given in signed["overrides"]}


def _parsed(overrides: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    problems = []
    for text in overrides:
        gate, equals, why = text.partition("=")
        if not equals or not why.strip():
            problems.append(f"--override {text}: want GATE=WHY, as 'auc-fall=too few bads to tell'")
        elif gate.strip() in found:
            problems.append(f"--override {gate.strip()}: given twice")
        found[gate.strip()] = why.strip()
    if problems:
        raise UserError(problems)
    return found


@step("promote", "seller-credit promote 1 --approver 'Li Wei' --override 'auc-fall=first model; too few bads'")
@click.argument("version", metavar="VERSION|challenger", required=False)
@click.option("--approver", required=True, help="Who approves; not the person who trained it.")
@click.option(
    "--override",
    "overrides",
    metavar="GATE=WHY",
    multiple=True,
    help="Promote although this gate does not pass, and why; one for each such gate (seller-credit review lists them).",
)
@click.option("--rollback", is_flag=True, help="Instead: let the champion before the present one score again.")
@click.option("--reason", metavar="WHY", help="Why it is rolled back.")
def command(
    invocation: Invocation,
    version: str | None,
    approver: str,
    overrides: tuple[str, ...],
    rollback: bool,
    reason: str | None,
) -> Report:
    """Make a registered model version the champion that scores, by a named sign-off kept in gold.signoffs."""
    now = datetime.now(UTC)
    if rollback:
        if version is not None or overrides:
            raise UserError("promote --rollback: goes to the champion before; it takes no version and no --override")
        return roll_back(invocation.lake(), approver, reason or "", now)
    if version is None or reason is not None:
        raise UserError("promote: want VERSION, with --override GATE=WHY where a gate does not pass; or --rollback")
    return promote(invocation.lake(), version, approver, _parsed(overrides), now)


if __name__ == "__main__":
    sys.exit(run_command(command))
