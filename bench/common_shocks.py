"""How much simulated sellers default together: the correlation behind quarterly default rates, and the break's odds.

    python -m bench.common_shocks --sellers 2000 --seeds 8

Each world is simulated for itself. A loan belongs to the quarter of its draw, and is bad if its seller defaults on it.
In the one-factor model [Vasicek 2002] a quarter's loans share a standard-normal factor, whose square loading is the
correlation; it and the mean default rate are those of most likelihood over all quarters of all worlds, with the
interval where twice the log-likelihood lies within 3.84 of the best. Loans that live in the regime break are left out
of it, and told beside it: their odds of default over those of the others, with the smallest and the largest of the
worlds.
"""

from dataclasses import dataclass

import click
import numpy as np
from scipy.stats import binom, norm

from bench.machine import described
from bench.selective_labels import loans_of
from conf.world import FAMILY, World, load_world
from ml.evaluate import Floats
from transforms.market.weeks import simulate_sellers

WEEKS_A_QUARTER = 13
LIFE_WEEKS = 26
"""Within which nearly all defaults on a loan fall."""
CORRELATIONS = np.concatenate([[0.0], np.arange(0.0025, 0.2501, 0.0025)])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


@dataclass(frozen=True)
class Quarter:
    """The loans drawn in one quarter of one world."""

    loans: int
    bad: int
    in_break: bool
    is_mixed: bool
    """Some of its loans live in the break, or just after it."""


def quarters_of(world: World) -> list[Quarter]:
    """Quarters whose loans can be followed to their end."""
    weeks, bads = list[Floats](), list[Floats]()
    for start in range(1, world.sellers + 1, FAMILY):
        numbers = np.arange(start, min(start + FAMILY, world.sellers + 1))
        week, _, bad = loans_of(simulate_sellers(world, numbers), numbers)
        weeks.append(week)
        bads.append(bad)
    week, bad = np.concatenate(weeks), np.concatenate(bads)
    first = world.demand.break_day // 7
    last = first + world.demand.break_days // 7
    found = []
    for start in range(0, world.weeks - 2 * LIFE_WEEKS - WEEKS_A_QUARTER + 1, WEEKS_A_QUARTER):
        end = start + WEEKS_A_QUARTER
        is_of = (week >= start) & (week < end)
        in_break = first - LIFE_WEEKS // 2 <= start and end <= last
        is_mixed = not in_break and first - LIFE_WEEKS < end and start < last
        if is_of.any():
            found.append(Quarter(int(is_of.sum()), int(bad[is_of].sum()), in_break, is_mixed))
    return found


def log_likelihood(quarters: list[Quarter], rate: float, correlation: float) -> float:
    """Of the numbers of bad loans, the factor of each quarter integrated out."""
    conditional = norm.cdf((norm.ppf(rate) + np.sqrt(correlation) * NODES) / np.sqrt(1 - correlation))
    loans, bad = (np.array([getattr(quarter, name) for quarter in quarters]) for name in ("loans", "bad"))
    each = binom.pmf(bad[:, None], loans[:, None], conditional[None, :]) @ WEIGHTS / WEIGHTS.sum()
    return float(np.log(np.maximum(each, 1e-300)).sum())


def correlation_of(quarters: list[Quarter]) -> tuple[float, float, float]:
    """Best, lowest and highest correlation; the mean rate is the best for each."""
    mean = sum(quarter.bad for quarter in quarters) / sum(quarter.loans for quarter in quarters)
    rates = mean * np.exp(np.linspace(-0.5, 0.5, 41))
    best = np.array([max(log_likelihood(quarters, rate, value) for rate in rates) for value in CORRELATIONS])
    within = CORRELATIONS[2 * (best.max() - best) <= 3.84]
    return float(CORRELATIONS[best.argmax()]), float(within.min()), float(within.max())


def odds(quarters: list[Quarter]) -> float:
    bad, loans = sum(quarter.bad for quarter in quarters), sum(quarter.loans for quarter in quarters)
    return (bad + 0.5) / (loans - bad + 0.5)


@click.command()
@click.option("--world", "name", default="demo", show_default=True)
@click.option("--sellers", default=2000, show_default=True, help="Of each world.")
@click.option("--seeds", default=8, show_default=True, help="Worlds.")
def main(name: str, sellers: int, seeds: int) -> None:
    """Print one table."""
    world = load_world(name, sellers)
    told = [quarters_of(world.model_copy(update={"seed": seed})) for seed in range(1, seeds + 1)]
    calm = [[quarter for quarter in quarters if not quarter.in_break and not quarter.is_mixed] for quarters in told]
    broken = [[quarter for quarter in quarters if quarter.in_break] for quarters in told]
    every = [quarter for quarters in calm for quarter in quarters]
    best, low, high = correlation_of(every)
    ratios = [odds(hard) / odds(usual) for hard, usual in zip(broken, calm, strict=True) if hard and usual]
    pooled = odds([quarter for quarters in broken for quarter in quarters]) / odds(every)
    loans, bad = sum(quarter.loans for quarter in every), sum(quarter.bad for quarter in every)
    print(f"{described('numpy', 'scipy')}; world {name}, {seeds} seeds x {sellers} sellers. Simulated.\n")
    print("| quarters of draws | loans | bad | factor correlation | odds in the regime break over those outside |")
    print("|---|---|---|---|---|")
    print(
        f"| {len(every)} | {loans:,} | {bad:,} | {best:.1%} ({low:.1%} to {high:.1%}) |"
        f" {pooled:.2f} ({min(ratios):.2f} to {max(ratios):.2f} by world) |"
    )


if __name__ == "__main__":
    main()
