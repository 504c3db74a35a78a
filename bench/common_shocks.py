"""How much simulated sellers default together: the correlation behind quarterly default rates, and what the break does.

    python -m bench.common_shocks --sellers 2000 --seeds 8

Each world is simulated twice, as it is and without its regime break: chance is the same in both. A loan belongs to the
quarter of its draw, and is bad if its seller defaults on it.

Correlation, of the worlds without a break: in the one-factor model [Vasicek 2002] the loans of a quarter share a
standard-normal factor, whose square loading it is. The rate of a quarter is that of all worlds together, so that what
grows with the age of the lending is no correlation; the factor is of one world and quarter. Told is the value of most
likelihood, with those where twice the log-likelihood lies within 3.84 of the best. Neighbouring quarters share shocks
(half of one is left after 23 weeks), which the model does not know: the interval is too narrow.

Cure: of the loans that came to be 30 days past due, those that did not go on to default.

Break: odds of default on the loans drawn in it over the odds of those drawn in the same weeks of the world without.
"""

from dataclasses import dataclass

import click
import numpy as np
from scipy.stats import binom, norm

from bench.machine import described
from conf.world import DAYS_A_WEEK, World, load_world
from ml.evaluate import Floats
from transforms.market.borrowing import DEFAULTED, DRAWN
from transforms.market.seasons import in_break
from transforms.market.traits import members, traits_of
from transforms.market.weeks import Weeks

WEEKS_A_QUARTER = 13
FOLLOWED_WEEKS = 39
"""From a draw: the longest term, and half a year."""
DAYS_PAST_DUE = 30
CORRELATIONS = np.concatenate([[0.0], np.arange(0.0025, 0.2501, 0.0025)])
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


@dataclass(frozen=True)
class Loans:
    """Loans of a world that can be followed: the week of each draw, whether it came to be 30 days past due, and bad."""

    week: Floats
    late: Floats
    bad: Floats

    def counts(self, first: int, end: int) -> tuple[int, int]:
        """Loans drawn in the weeks from `first` until before `end`, and how many of them went bad."""
        is_of = (self.week >= first) & (self.week < end)
        return int(is_of.sum()), int(self.bad[is_of].sum())


def loans_in(world: World) -> Loans:
    weeks = Weeks(world, traits_of(world, members(world, np.asarray(world.families))))
    # a seller asks at most every third week, so that no serial is as high as the weeks are many
    drawn = np.full((len(weeks.traits), world.weeks), -1)
    late, bad = np.zeros((2, *drawn.shape))
    for week in range(world.weeks):
        events = weeks.run(week)["events"]
        kind, seller, serial = (events[name].astype(np.int64) for name in ("kind", "seller", "serial"))
        drawn[seller[kind == DRAWN], serial[kind == DRAWN]] = week
        bad[seller[kind == DEFAULTED], serial[kind == DEFAULTED]] = 1
        is_late = (weeks.loans.outstanding > 0) & (
            (week + 1) * DAYS_A_WEEK - weeks.loans.oldest_due_day() >= DAYS_PAST_DUE
        )
        seller, slot = np.nonzero(is_late)
        late[seller, weeks.loans.serial[seller, slot]] = 1
    is_followed = (drawn >= 0) & (drawn < world.weeks - FOLLOWED_WEEKS)
    return Loans(drawn[is_followed].astype(float), np.maximum(late, bad)[is_followed], bad[is_followed])


def quarters_of(worlds: list[Loans], weeks: int) -> tuple[Floats, Floats]:
    """[worlds, quarters] of loans and of bads; quarters in which no loan went bad anywhere are left out."""
    starts = range(0, weeks - FOLLOWED_WEEKS - WEEKS_A_QUARTER + 1, WEEKS_A_QUARTER)
    told = np.array([[world.counts(start, start + WEEKS_A_QUARTER) for start in starts] for world in worlds])
    loans, bad = told[:, :, 0].astype(float), told[:, :, 1].astype(float)
    is_used = bad.sum(axis=0) > 0
    return loans[:, is_used], bad[:, is_used]


def log_likelihood(loans: Floats, bad: Floats, rates: Floats, correlation: float) -> float:
    """Of the numbers of bad loans, the factor of each world and quarter integrated out."""
    level = norm.ppf(rates)[None, :, None]
    conditional = norm.cdf((level + np.sqrt(correlation) * NODES) / np.sqrt(1 - correlation))
    each = binom.pmf(bad[:, :, None], loans[:, :, None], conditional) @ WEIGHTS / WEIGHTS.sum()
    return float(np.log(np.maximum(each, 1e-300)).sum())


def correlation_of(loans: Floats, bad: Floats) -> tuple[float, float, float]:
    """Best, lowest and highest correlation, each with the level of the rates that suits it best."""
    rates = bad.sum(axis=0) / loans.sum(axis=0)
    levels = np.exp(np.linspace(-0.3, 0.3, 25))
    best = np.array([max(log_likelihood(loans, bad, rates * level, at) for level in levels) for at in CORRELATIONS])
    within = CORRELATIONS[2 * (best.max() - best) <= 3.84]
    return float(CORRELATIONS[best.argmax()]), float(within.min()), float(within.max())


def odds(loans: int, bad: int) -> float:
    return (bad + 0.5) / (loans - bad + 0.5)


@click.command()
@click.option("--world", "name", default="demo", show_default=True)
@click.option("--sellers", default=2000, show_default=True, help="Of each world.")
@click.option("--seeds", default=8, show_default=True, help="Worlds.")
def main(name: str, sellers: int, seeds: int) -> None:
    """Print one table."""
    world = load_world(name, sellers)
    seeded = [world.model_copy(update={"seed": seed}) for seed in range(1, seeds + 1)]
    breaks = [np.flatnonzero(in_break(each, 0)) for each in seeded]
    if not all(weeks.size and weeks[-1] < world.weeks - FOLLOWED_WEEKS for weeks in breaks):
        raise click.UsageError(
            f"world {name} has no regime break whose loans can be followed for {FOLLOWED_WEEKS} weeks"
        )
    calm = {"demand": world.demand.model_copy(update={"break_demand": 0, "break_margin": 0})}
    with_break = [loans_in(each) for each in seeded]
    without = [loans_in(each.model_copy(update=calm)) for each in seeded]
    loans, bad = quarters_of(without, world.weeks)
    best, low, high = correlation_of(loans, bad)
    hard, usual = (
        np.array([told.counts(weeks[0], weeks[-1] + 1) for told, weeks in zip(worlds, breaks, strict=True)])
        for worlds in (with_break, without)
    )
    ratios = [odds(*there) / odds(*here) for there, here in zip(hard, usual, strict=True)]
    pooled = odds(*hard.sum(axis=0)) / odds(*usual.sum(axis=0))
    late, gone = (np.array([getattr(told, name).sum() for told in with_break]) for name in ("late", "bad"))
    cured = 1 - gone / np.maximum(late, 1)
    followed = sum(len(told.bad) for told in with_break)
    rate = [told.bad.mean() for told in with_break]
    print(f"{described('numpy', 'scipy')}; world {name}, {seeds} seeds x {sellers} sellers. Simulated.\n")
    print("| | loans | bad | |")
    print("|---|---|---|---|")
    print(
        f"| factor correlation, {loans.size} quarters without a break | {int(loans.sum()):,} | {int(bad.sum()):,} |"
        f" {best:.1%} ({low:.1%} to {high:.1%}) |"
    )
    print(
        f"| cured of those 30 days past due | {int(late.sum()):,} | {int(gone.sum()):,} |"
        f" {1 - gone.sum() / late.sum():.0%} ({cured.min():.0%} to {cured.max():.0%} by world) |"
    )
    print(
        f"| loans that went bad | {followed:,} | {int(gone.sum()):,} |"
        f" {gone.sum() / followed:.1%} ({min(rate):.1%} to {max(rate):.1%} by world) |"
    )
    print(
        f"| odds in the break over those of the same weeks without | {hard[:, 0].sum():,} and {usual[:, 0].sum():,} |"
        f" {hard[:, 1].sum():,} and {usual[:, 1].sum():,} |"
        f" {pooled:.2f} ({min(ratios):.2f} to {max(ratios):.2f} by world) |"
    )


if __name__ == "__main__":
    main()
