"""A picture of what the steps cost, run by run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

Points = Sequence[tuple[int, float]]
"""The number of a run, and what it cost."""


def write_cost_plot(panels: Mapping[str, Mapping[str, Points]], path: Path) -> None:
    """Draw a panel a figure (seconds, MB read, ...) and in each a line a step, as PNG."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    for axes, (title, by_step) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for step, points in by_step.items():
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=step)
        axes.set_title(title)
        axes.set_xlabel("run")
        axes.set_ylim(bottom=0)
    figure.axes[0].legend(fontsize="small")
    figure.savefig(path, format="png", dpi=120)
