"""What is published: steps, figures, versions, age, cost."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from conf.errors import UserError
from jobs.lakehouse.command import Invocation, Report, run_command, shown, step
from jobs.lakehouse.cost import FORGOTTEN, LARGEST_TASK
from jobs.lakehouse.lake import Lake, Published
from jobs.pages.cost import write_cost_plot

_INTAKE = ("deliveries", "records in", "accepted", "duplicate", "quarantined")

_TOLD = {"train": ("train_rows", "train_auc", "evaluated_auc", "scorecard_auc", "evaluated_bad_groups")}
"""Of a step with dozens of figures, those that a line of the table has room for: the card has all."""


def status(lake: Lake) -> Report:
    """Every run, with its figures and seconds, and the totals of the intake: how many records were quarantined at
    first, and how many of them were released since.
    """
    runs = lake.runs()
    if not runs:
        return Report("status", {"lake": lake.root}, lines=["nothing is published here yet"])
    promoted = lake.last_run("promote")
    once_more = _totals(runs, again=True)
    released = sum(run.figures["records in"] for run in runs if run.step == "release")
    values: dict[str, Any] = {
        "lake": lake.root,
        "data": "simulated" if lake.is_simulated() else "as delivered",
        "closed through": lake.closed_through(),
        "champion": f"{promoted.facts['model_name']} {promoted.facts['model_version']}" if promoted else None,
        **{f"intake: {name}": int(total) for name, total in _totals(runs, again=False).items()},
        **(
            {f"taken in again: {name}": int(total) for name, total in once_more.items()}
            if any(once_more.values())
            else {}
        ),
        **({"released": int(released)} if released else {}),
    }
    rows = [(run.step, run.slice, _in_words(run), round(run.seconds, 1), _megabytes(run)) for run in runs]
    peaks = [megabytes for *_, megabytes in rows if megabytes is not None]
    rows.append(("all steps", "", "", round(sum(run.seconds for run in runs), 1), max(peaks, default=None)))
    return Report("status", values, (("step", "slice", "figures", "seconds", "peak MB"), rows))


def cost(lake: Lake, plot: Path | None) -> Report:
    """What every run read, shuffled, wrote and took, oldest first, so that a trend is seen; and a picture of it."""
    runs = lake.runs()
    rows = [
        (
            run.step,
            run.slice,
            round(run.seconds, 1),
            _of(run, "processor_seconds", 1, 1),
            _of(run, "rows_read", 1),
            _of(run, "bytes_read", 1e6, 1),
            _of(run, "bytes_shuffled", 1e6, 1),
            sum(output["rows"] for output in run.outputs),
            round(sum(output["bytes"] for output in run.outputs) / 1e6, 1),
            sum(output["files"] for output in run.outputs),
            _of(run, LARGEST_TASK, 1e6, 1),
            _megabytes(run),
            _forgotten(run),
        )
        for run in runs
    ]
    headers = (
        "step",
        "slice",
        "s",
        "cpu s",
        "rows read",
        "MB read",
        "MB shuffled",
        "rows",
        "MB",
        "files",
        "task MB",
        "peak MB",
        "without",
    )
    lines = []
    if plot is not None:
        if not runs:
            raise UserError(f"{lake.root}: nothing is published yet: there is no cost to plot")
        write_cost_plot({title: _by_step(runs, of) for title, of in _PANELS.items()}, plot)
        lines = [f"plotted in {plot}"]
    return Report("cost", {"lake": lake.root, "runs": len(runs)}, (headers, rows), lines)


def _of(run: Published, name: str, unit: float, digits: int | None = None) -> float | None:
    return None if run.cost is None or name not in run.cost else round(run.cost[name] / unit, digits)


def _forgotten(run: Published) -> str | None:
    """What the figures of a run are without: stages that Spark no longer remembered at its end."""
    many = (run.cost or {}).get(FORGOTTEN)
    return f"{many:,.0f} stages" if many else None


def _megabytes(run: Published) -> int | None:
    return None if run.peak_memory_bytes is None else round(run.peak_memory_bytes / 1e6)


_PANELS: dict[str, Callable[[Published], float | None]] = {
    "seconds": lambda run: run.seconds,
    "MB read": lambda run: _of(run, "bytes_read", 1e6),
    "MB written": lambda run: sum(output["bytes"] for output in run.outputs) / 1e6,
    "peak MB of the driver": _megabytes,
}


def _by_step(runs: Sequence[Published], of: Callable[[Published], float | None]) -> dict[str, list[tuple[int, float]]]:
    """The points of each step that are known, in the order of their runs."""
    points: dict[str, list[tuple[int, float]]] = {}
    for run in runs:
        told = of(run)
        if told is not None:
            points.setdefault(run.step, []).append((run.sequence, told))
    return points


def _totals(runs: Sequence[Published], again: bool) -> dict[str, float]:
    taken_in = [run for run in runs if run.step == "ingest" and ("again" in run.facts) == again]
    return {name: sum(run.figures[name] for run in taken_in) for name in _INTAKE}


def _in_words(run: Published) -> str:
    told = {name: run.figures[name] for name in _TOLD.get(run.step, run.figures) if name in run.figures}
    numbers = {name: int(value) if value == int(value) else value for name, value in told.items()}
    return ", ".join(f"{name.replace('_', ' ')} {shown(value)}" for name, value in numbers.items())


@step("status", "seller-credit status --cost --plot cost.png")
@click.option("--cost", "of_cost", is_flag=True, help="What each run read, shuffled, wrote and took, oldest first.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="With --cost: draw the trend into this PNG file.",
)
def command(invocation: Invocation, of_cost: bool, plot: Path | None) -> Report:
    """Show what is published on a lake: every run, what it made, and how long it took."""
    if plot is not None and not of_cost:
        raise UserError("--plot draws what --cost tells: give both")
    if plot is not None and not plot.parent.is_dir():
        raise UserError(f"--plot {plot}: there is no folder {plot.parent}")
    return cost(invocation.lake(), plot) if of_cost else status(invocation.lake())


if __name__ == "__main__":
    sys.exit(run_command(command))
