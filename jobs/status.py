"""What is published: steps, figures, versions, age, cost."""

import sys
from collections.abc import Sequence
from typing import Any

from jobs.lakehouse.command import Invocation, Report, run_command, shown, step
from jobs.lakehouse.lake import Lake, Published

_INTAKE = ("deliveries", "records in", "accepted", "duplicate", "quarantined")


def status(lake: Lake) -> Report:
    """The newest run of every step and slice, with its figures and seconds, and the totals of the intake."""
    runs = lake.runs()
    if not runs:
        return Report("status", {"lake": lake.root}, lines=["nothing is published here yet"])
    promoted = lake.last_run("promote")
    values: dict[str, Any] = {
        "lake": lake.root,
        "data": "simulated" if lake.is_simulated() else "as delivered",
        "closed through": lake.closed_through(),
        "champion": f"{promoted.facts['model_name']} {promoted.facts['model_version']}" if promoted else None,
        **{f"intake: {name}": int(total) for name, total in _totals(runs).items()},
    }
    rows = [(run.step, run.slice, _in_words(run), round(run.seconds, 1), _megabytes(run)) for run in runs]
    peaks = [megabytes for *_, megabytes in rows if megabytes is not None]
    rows.append(("all steps", "", "", round(sum(run.seconds for run in runs), 1), max(peaks, default=None)))
    return Report("status", values, (("step", "slice", "figures", "seconds", "peak MB"), rows))


def _megabytes(run: Published) -> int | None:
    return None if run.peak_memory_bytes is None else round(run.peak_memory_bytes / 1e6)


def _totals(runs: Sequence[Published]) -> dict[str, float]:
    taken_in = [run for run in runs if run.step == "ingest"]
    return {name: sum(run.figures[name] for run in taken_in) for name in _INTAKE}


def _in_words(run: Published) -> str:
    numbers = {name: int(value) if value == int(value) else value for name, value in run.figures.items()}
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in numbers.items())


@step("status", "seller-credit status")
def command(invocation: Invocation) -> Report:
    """Show what is published on a lake: every run, what it made, and how long it took."""
    return status(invocation.lake())


if __name__ == "__main__":
    sys.exit(run_command(command))
