"""What a benchmark found, in a folder: a table in Markdown, as JSON with what it comes of, and a plot of it."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.figure import Figure

Row = Mapping[str, str | float | None]
"""Cells by their headings, in order; all rows of a table have the same. None where there is nothing to tell."""


def report(
    out: Path,
    name: str,
    about: str,
    rows: Sequence[Row],
    labels: Sequence[str],
    bars: Sequence[str],
    more: Sequence[Row] = (),
    runs: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write NAME.md, NAME.json and NAME.png into a folder, and print the table.

    `about` tells of rows, cores and machine; the command is told by itself. In the plot a row has the cells of `labels`
    beside it, and a bar for each heading in `bars`. `more` is a second table, and `runs` what the rows are medians of:
    it is in the JSON alone.
    """
    command = f"python -m bench.{name} {' '.join(sys.argv[1:])}".strip()
    lines = [f"`{command}`: {about}", "", *table(rows), *(["", *table(more)] if more else [])]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text("\n".join(lines) + "\n")
    told = {"command": command, "about": about, "rows": [*rows], "more": [*more], "runs": [*runs]}
    (out / f"{name}.json").write_text(json.dumps(told, indent=2))
    figure = Figure(figsize=(9, 1.5 + 0.3 * len(rows) * max(1, len(bars) * 0.6)), layout="constrained")
    axes = figure.subplots()
    place, thick = np.arange(len(rows)), 0.8 / len(bars)
    for number, bar in enumerate(bars):
        cells = [row[bar] for row in rows]
        lengths = [0.0 if cell is None or isinstance(cell, str) else cell for cell in cells]
        axes.barh(place + (number - (len(bars) - 1) / 2) * thick, lengths, thick, label=bar)
    axes.set_yticks(place, [", ".join(_shown(row[label]) for label in labels) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel(bars[0] if len(bars) == 1 else "")
    if len(bars) > 1:
        axes.legend()
    figure.savefig(out / f"{name}.png", dpi=120)
    click.echo("\n".join(lines))


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a table in Markdown."""
    headings = list(rows[0])
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    return [*lines, *(f"| {' | '.join(_shown(row[heading]) for heading in headings)} |" for row in rows)]


def _shown(cell: str | float | None) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
