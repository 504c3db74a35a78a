"""A model card from figures: one HTML file that needs nothing else, and its plots."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import matplotlib
from jinja2 import Environment, StrictUndefined, Template
from matplotlib import pyplot
from matplotlib.figure import Figure

from ml.evaluate import Counts, Evaluation, by_decile
from ml.gates import Gate

matplotlib.use("Agg")


@dataclass(frozen=True)
class Sample:
    """One sample that the model was judged on, and by whose side."""

    name: str
    meaning: str
    counts: Counts
    model: Evaluation
    baseline: Evaluation | None


@dataclass(frozen=True)
class Card:
    """What the card says."""

    name: str
    summary: str
    is_simulated: bool
    trained: Mapping[str, str]
    samples: Sequence[Sample]
    spread: str | None
    """AUC over repeated cross-validation, in words; None where there was none."""
    top_features: Sequence[tuple[str, str, float]]
    """Name, meaning, mean size of its points."""
    dropped: Sequence[str]
    gates: Sequence[Gate]
    limits: Sequence[str]


def to_html(card: Card, plots: Mapping[str, bytes]) -> str:
    """The card as one page: plots within, every text escaped, no script."""
    pictures = {name: base64.b64encode(content).decode() for name, content in plots.items()}
    return _template().render(card=card, pictures=pictures)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("ml.card") / "card.html.j2").read_text("utf-8"))


def plots_of(card: Card) -> dict[str, bytes]:
    """PNG pictures by file name: calibration by tenth of the sample, and the ROC curve."""
    return {"calibration.png": _calibration(card), "roc.png": _roc(card)}


def _calibration(card: Card) -> bytes:
    figure, axes = pyplot.subplots(figsize=(5.6, 4.2), layout="constrained")
    edge = 0.0
    for sample in card.samples:
        tenths = by_decile(sample.counts)
        axes.plot([t[0] for t in tenths], [t[1] for t in tenths], marker="o", label=sample.name)
        edge = max([edge, *(max(t[0], t[1]) for t in tenths)])
    axes.plot([0, edge], [0, edge], color="grey", linewidth=0.8, label="predicted = observed")
    axes.set(xlabel="mean predicted PD of a tenth of the sample", ylabel="share that went bad", title="Calibration")
    axes.legend()
    return _png(figure)


def _roc(card: Card) -> bytes:
    figure, axes = pyplot.subplots(figsize=(4.8, 4.2), layout="constrained")
    for sample in card.samples:
        good, bad = sample.counts.good.sum(axis=0)[::-1], sample.counts.bad.sum(axis=0)[::-1]
        if good.sum() and bad.sum():
            goods = [0, *(good.cumsum() / good.sum())]
            bads = [0, *(bad.cumsum() / bad.sum())]
            axes.plot(goods, bads, label=f"{sample.name}: AUC {sample.model.auc.value:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.set(xlabel="share of goods above a cut-off of risk", ylabel="share of bads above it", title="ROC")
    axes.legend(loc="lower right")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return content.getvalue()


def to_markdown(card: Card) -> str:
    """The version's description in the registry: a plain sentence first, then tables."""
    lines = [card.summary, ""]
    if card.is_simulated:
        lines += ["**Simulated data: these figures say nothing about a real lender's losses.**", ""]
    lines += [
        "| sample | rows | bads | AUC | KS | baseline AUC | observed / expected |",
        "|---|---|---|---|---|---|---|",
    ]
    for sample in card.samples:
        figures, baseline = sample.model, sample.baseline
        lines.append(
            f"| {sample.name} | {figures.rows:,} | {figures.bads:,} | {figures.auc} | {figures.ks} |"
            f" {baseline.auc if baseline else '-'} | {figures.observed_to_expected} |"
        )
    if card.spread:
        lines += ["", card.spread]
    lines += ["", "| gate | verdict | evidence |", "|---|---|---|"]
    lines += [f"| {gate.gate} | {gate.verdict} | {gate.evidence} |" for gate in card.gates]
    lines += ["", "| trained | |", "|---|---|", *(f"| {label} | {value} |" for label, value in card.trained.items())]
    return "\n".join(lines)
