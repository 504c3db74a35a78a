"""What a model version is judged by: its gates as they stand, and where its card is."""

import sys

import click

from jobs.lakehouse.champion import champions, gates_of, training_of
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake
from ml.gates import PASS, too_few_bads
from ml.registry import CHAMPION, alias, check, resolve, run_of


def review(lake: Lake, version: str) -> Report:
    """Run the gates of a version and say what promoting it would need; changes nothing."""
    registry = lake.settings.mlflow
    check(registry.tracking_uri)
    number = resolve(registry.tracking_uri, registry.model, version)
    training = training_of(lake, number, run_of(registry.tracking_uri, registry.model, number))
    gates = gates_of(lake, training)
    open_gates = [gate for gate in gates if gate.verdict != PASS]
    standing = champions(lake)
    lines = []
    told = too_few_bads(training.figures)
    if told:
        lines.append(told)
    if open_gates:
        lines.append(f"To promote it all the same, each with its reason (seller-credit promote {number} ...):")
        lines += [f"  --override '{gate.gate}=WHY'" for gate in open_gates]
    pointed_at = alias(registry.tracking_uri, registry.model, CHAMPION)
    signed = standing[-1] if standing else None
    if pointed_at != signed:
        lines.append(
            f"The registry's alias {CHAMPION} is on {pointed_at or 'none'}, but gold.signoffs says {signed or 'none'},"
            " and that is what scores: the next `seller-credit promote` sets the alias right."
        )
    return Report(
        "review",
        {
            "version": f"{registry.model} {number}",
            "algorithm": training.facts["algorithm"],
            "trained by": training.facts["trainer"],
            "training set": training.facts["training_set"],
            "champion": f"{registry.model} {signed}" if signed else None,
            "gates that pass": f"{len(gates) - len(open_gates)} of {len(gates)}",
            "card": f"card.html of run {training.facts['mlflow_run']} in {registry.tracking_uri}",
        },
        (("gate", "verdict", "evidence"), [(gate.gate, gate.verdict, gate.evidence) for gate in gates]),
        lines,
    )


@step("review", "seller-credit review challenger")
@click.argument("version", metavar="VERSION|challenger|champion")
def command(invocation: Invocation, version: str) -> Report:
    """Run the gates of a registered model version and show them, with what promoting it would need."""
    return review(invocation.lake(), version)


if __name__ == "__main__":
    sys.exit(run_command(command))
