"""A model card from figures: one HTML file that needs nothing else, and its plots."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import matplotlib
import numpy as np
from jinja2 import Environment, StrictUndefined, Template
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.agreement import TRAINING_COHORT, Agreement
from ml.directions import Direction
from ml.evaluate import Counts, by_decile
from ml.findings import SCORE_SHIFT, Findings
from ml.gates import Gate
from ml.registry import THIS_MODEL
from ml.stability import Shift
from ml.tuning import Tuning
from transforms.lending.scale import plain_score_of_log_odds
from transforms.outcomes.segments import FAIRNESS

matplotlib.use("Agg")


MOST_SHIFTS, MOST_DIRECTIONS = 12, 12


@dataclass(frozen=True)
class Card:
    """What the card says."""

    name: str
    algorithm: str
    summary: str
    too_few_bads: str | None
    """Stands in its first lines; None where the bads are enough."""
    is_simulated: bool
    trained: Mapping[str, str]
    findings: Findings
    funnel: Sequence[tuple[str, int]]
    """Seller-months from all of them to those with an outcome."""
    roll_rates: Sequence[Sequence[str | int]]
    """A header, then a row a bucket of days past due: the loans in it, and where they were a month later; or nothing,
    where the source gave the outcomes."""
    spread: str | None
    """AUC over repeated cross-validation, in words; None where there was none."""
    tuning: Tuning | None
    """Settings that were compared; None where the algorithm's own were taken."""
    top_features: Sequence[tuple[str, str, float]]
    """Name, meaning, mean size of its points."""
    dropped: Sequence[str]
    gates: Sequence[Gate]
    limits: Sequence[str]
    since_champion: Sequence[str]

    def of(self, attribute: str) -> list[Agreement]:
        """Predicted and observed by the values of one attribute."""
        return [value for value in self.findings.agreements if value.attribute == attribute]

    @property
    def segments(self) -> list[str]:
        """The attributes other than grade and cohorts, in order."""
        return [
            name
            for name in dict.fromkeys(value.attribute for value in self.findings.agreements)
            if name not in ("grade", "cohort", TRAINING_COHORT)
        ]

    @property
    def levels(self) -> str | None:
        """How far the level moved from one cohort that trained to another; None where there are not two."""
        found = [value.observed / value.mean_pd for value in self.of(TRAINING_COHORT)]
        if len(found) < 2:
            return None
        return (
            f"Of the {len(found)} cohorts that trained, observed / expected was from {min(found):.2f} to"
            f" {max(found):.2f}: so far did levels move, with the times and by chance. The interval out of time"
            " resamples sellers, and knows nothing of what all of them share."
        )

    @property
    def shifts(self) -> list[Shift]:
        """The score's shifts and the largest of the features'."""
        found = self.findings.shifts
        of_features = [shift for shift in found if shift.feature != SCORE_SHIFT]
        return [shift for shift in found if shift.feature == SCORE_SHIFT] + of_features[:MOST_SHIFTS]

    @property
    def directions(self) -> list[Direction]:
        """The largest moves, and all that go against the catalogue."""
        found = self.findings.directions
        return [*found[:MOST_DIRECTIONS], *(move for move in found[MOST_DIRECTIONS:] if move.is_reversed)]

    @property
    def reweighted(self) -> str | None:
        """What the reweighted figures rest on; None where no loan was approved at random."""
        found = self.findings.reweighted
        if found is None:
            return None
        return (
            f"{found.at_random:,} of the {found.rows:,} rows {self.findings.judged.name} are loans"
            " approved at random, with a recorded probability. Weighted by its inverse the sample stands for all who"
            f" had a chance of approval, and says as much as {found.effective_rows:,.0f} rows of one weight."
        )

    @property
    def how_to_load(self) -> str:
        """A line of Python for whoever has pyspark and mlflow alone."""
        return f'mlflow.spark.load_model("{THIS_MODEL}").transform(features)'


def to_html(card: Card, plots: Mapping[str, bytes]) -> str:
    """The card as one page: plots within, every text escaped, no script."""
    pictures = {name: base64.b64encode(content).decode() for name, content in plots.items()}
    return _template().render(card=card, pictures=pictures)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("ml.card") / "card.html.j2").read_text("utf-8"))


def plots_of(card: Card) -> dict[str, bytes]:
    """PNG pictures by file name."""
    return {
        "calibration.png": _calibration(card),
        "roc.png": _roc(card),
        "gain.png": _gain(card),
        "lift.png": _lift(card),
        "scores.png": _scores(card),
        "cohorts.png": _cohorts(card),
    }


def _calibration(card: Card) -> bytes:
    figure, axes = _axes("mean predicted PD of a tenth of the sample", "share that went bad", "Calibration")
    edge = 0.0
    for sample in card.findings.samples:
        tenths = by_decile(sample.counts)
        axes.plot([t[0] for t in tenths], [t[1] for t in tenths], marker="o", label=sample.name)
        edge = max([edge, *(max(t[0], t[1]) for t in tenths)])
    axes.plot([0, edge], [0, edge], color="grey", linewidth=0.8, label="predicted = observed")
    axes.legend()
    return _png(figure)


def _roc(card: Card) -> bytes:
    figure, axes = _axes("share of goods above a cut-off of risk", "share of bads above it", "ROC")
    for sample in card.findings.samples:
        good, bad = sample.counts.good.sum(axis=0)[::-1], sample.counts.bad.sum(axis=0)[::-1]
        if good.sum() and bad.sum():
            goods = [0, *(good.cumsum() / good.sum())]
            bads = [0, *(bad.cumsum() / bad.sum())]
            axes.plot(goods, bads, label=f"{sample.name}: AUC {sample.model.auc.value:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.legend(loc="lower right")
    return _png(figure)


def _gain(card: Card) -> bytes:
    figure, axes = _axes("share of sellers, riskiest first", "share of all bads among them", "Cumulative gain")
    for sample in card.findings.samples[1:]:
        if sample.counts.bads:
            sellers, gained = _gained(sample.counts)
            axes.plot(sellers, gained, label=f"{sample.name}: {np.interp(0.1, sellers, gained):.0%} in the first tenth")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.legend(loc="lower right")
    return _png(figure)


def _gained(counts: Counts) -> tuple[list[float], list[float]]:
    """Shares of sellers, riskiest first, and of all bads among them."""
    good, bad = counts.good.sum(axis=0)[::-1], counts.bad.sum(axis=0)[::-1]
    return [0, *((good + bad).cumsum() / (good + bad).sum())], [0, *(bad.cumsum() / bad.sum())]


def _lift(card: Card) -> bytes:
    title = "share that went bad, over that of all"
    figure, axes = _axes("share of sellers, riskiest first", title, "Lift")
    share = np.linspace(0.02, 1, 50)
    for sample in card.findings.samples[1:]:
        if sample.counts.bads:
            lift = np.interp(share, *_gained(sample.counts)) / share
            axes.plot(share, lift, label=f"{sample.name}: {np.interp(0.1, share, lift):.1f} in the first tenth")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.legend()
    return _png(figure)


def _scores(card: Card) -> bytes:
    figure, axes = _axes("score", "share of the sample", "Scores of those who went bad and of the others")
    counts = card.findings.judged.counts
    scores = [plain_score_of_log_odds(log_odds) for log_odds in counts.log_odds.tolist()]
    edges = np.linspace(350, 950, 31).tolist()
    for name, weights in (("not bad", counts.good.sum(axis=0)), ("bad", counts.bad.sum(axis=0))):
        if weights.sum():
            axes.hist(np.clip(scores, 350, 950), bins=edges, weights=weights / weights.sum(), alpha=0.6, label=name)
    axes.legend()
    return _png(figure)


def _cohorts(card: Card) -> bytes:
    figure, axes = _axes("", "share", "Predicted and observed by cohort")
    found = card.of("cohort")
    places = range(len(found))
    axes.plot(places, [value.mean_pd for value in found], marker="o", label="mean PD")
    axes.plot(places, [value.observed for value in found], marker="s", linestyle="none", label="went bad")
    axes.set_xticks(list(places), [value.value for value in found], rotation=60, ha="right", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.legend()
    return _png(figure)


def _axes(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    figure, axes = pyplot.subplots(figsize=(5.2, 4.0), layout="constrained")
    axes.set(xlabel=x, ylabel=y, title=title)
    return figure, axes


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)
    return content.getvalue()


def to_markdown(card: Card) -> str:
    """The version's description in the registry: a plain sentence first, then tables."""
    found = card.findings
    lines = [card.summary, ""]
    if card.too_few_bads:
        lines += [f"**{card.too_few_bads}**", ""]
    if card.is_simulated:
        lines += ["**Simulated data: these figures say nothing about a real lender's losses.**", ""]
    lines += [
        "| sample | rows | bads | AUC | Gini | KS | scorecard AUC | champion AUC | observed / expected | slope |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for sample in found.samples:
        figures = sample.model
        lines.append(
            f"| {sample.name} | {figures.rows:,} | {figures.bads:,} | {figures.auc} | {figures.gini.value:.3f} |"
            f" {figures.ks} | {sample.baseline.auc if sample.baseline else '-'} |"
            f" {sample.champion.auc if sample.champion else '-'} | {figures.observed_to_expected} |"
            f" {figures.calibration_slope} |"
        )
    if card.reweighted and found.reweighted:
        lines += ["", f"{card.reweighted} AUC then {found.reweighted.model.auc}."]
    if card.spread:
        lines += ["", card.spread]
    if card.tuning:
        lines += ["", card.tuning.in_words()]
    lines += ["", "| gate | verdict | evidence |", "|---|---|---|"]
    # how many bad groups are wanted stands above, once
    lines += [f"| {gate.gate} | {gate.verdict} | {gate.measured} |" for gate in card.gates]
    # a description has little room: settings are parameters of the run, and how calibrated is the same of all versions
    trained = {label: value for label, value in card.trained.items() if label not in ("calibration", card.algorithm)}
    lines += ["", "| trained | |", "|---|---|", *(f"| {label} | {value} |" for label, value in trained.items())]
    lines += ["", "To load it with pyspark and mlflow alone:", "", f"    {card.how_to_load}"]
    lines += ["", "What it is for, and what not:", "", *(f"* {limit}" for limit in card.limits)]
    whose = f"of all sellers as of {found.approved[0].as_of}" if found.approved else f"of the rows {found.judged.name}"
    lines += ["", f"Approved by score alone, {whose}:", ""]
    for attribute in FAIRNESS:
        rates = [value for value in found.approved or found.agreements if value.attribute == attribute]
        told = ", ".join(f"{value.value} {value.approved:.0%} of {value.rows:,}" for value in rates)
        lines += [f"* by {attribute.replace('_', ' ')}: {told or 'nobody'}"]
    lines += ["", "Since the champion:", "", *(f"* {line}" for line in card.since_champion)]
    return "\n".join(lines)
