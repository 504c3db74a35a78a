"""What figures of accepted sellers hide, where the truth is known: accepted only, reweighted, and true.

    python -m bench.selective_labels --sellers 3000 --seeds 4

Worlds in which everybody who asks is lent to, so that every draw has an outcome. Over them a lender's rule is laid: the
better part by an incumbent score is accepted, and below its cut-off some at random, with a recorded probability that
falls from 30 % to 1 %. A model (logistic regression on eight visible features) learns from what was accepted in the
first half of the history, and is judged on later draws three ways. Loans are those of the world whatever the rule says:
what small test loans would hide, and what lending changes, is not in it.
"""

import json
import math
from dataclasses import dataclass

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.machine import described
from conf.world import FAMILY, World, load_world
from ml.evaluate import BLOCKS, Counts, Evaluation, Floats, evaluate
from transforms.market.weeks import simulate_sellers

ACCEPTED_SHARE = 0.6
AT_CUT_OFF, AT_WORST = 0.30, 0.01
FEATURES = ("log sales", "growth", "refunds", "failed", "balance", "advertising", "withdrawn", "other lenders")
_WEEKS_KNOWN = 26
_QUARTER = 13
FAMILIES = 100
"""Lived at once: a week of twenty sellers is mostly calls to numpy."""


@dataclass(frozen=True)
class Draws:
    """One row a draw: what was visible before it, and whether it went bad."""

    seller: Floats
    week: Floats
    features: Floats
    bad: Floats

    def only(self, chosen: NDArray[np.bool_]) -> "Draws":
        return Draws(self.seller[chosen], self.week[chosen], self.features[chosen], self.bad[chosen])


def open_world(name: str, sellers: int, seed: int) -> World:
    """The world in which everybody who asks is lent to, by one rule for the whole of its time."""
    world = load_world(name, sellers)
    lending = world.lending.model_copy(update={"random_approval": 1.0, "better_rule_day": world.days})
    return world.model_copy(update={"lending": lending, "seed": seed})


def draws_of(world: World, first_seller: int) -> Draws:
    """Every draw with half a year of history behind it and a year ahead."""
    parts = []
    for start in range(1, world.sellers + 1, FAMILIES * FAMILY):
        numbers = np.arange(start, min(start + FAMILIES * FAMILY, world.sellers + 1))
        parts.append(_draws(simulate_sellers(world, numbers), numbers, world.weeks, first_seller))
    draws = Draws(*(np.concatenate([getattr(part, name) for part in parts]) for name in Draws.__dataclass_fields__))
    # chance goes by place: the same draws whatever is lived at once
    order = np.lexsort((draws.week, draws.seller))
    return Draws(*(getattr(draws, name)[order] for name in Draws.__dataclass_fields__))


def _draws(weeks: pa.Table, numbers: NDArray[np.int64], many: int, first_seller: int) -> Draws:
    of_week, of_place = weeks["week"].to_numpy(), weeks["number"].to_numpy() - numbers[0]

    def grid(name: str) -> Floats:
        """[weeks, sellers]; 0 while a shop is not open."""
        found = np.zeros((many, len(numbers)))
        found[of_week, of_place] = weeks[name].to_numpy()
        return found

    week, place, bad = loans_of(weeks, numbers)
    drawn = np.flatnonzero((week >= _WEEKS_KNOWN) & (week < many - 52))
    total = {
        name: np.vstack([np.zeros(len(numbers)), grid(name).cumsum(axis=0)])
        for name in ("sale", "refund", "advertising", "withdrawal", "other_lender", "failed_supplier", "failed_wages")
    }
    cash = grid("cash_after")

    def before(name: str, now: int, shop: int, ends: int = 0) -> float:
        end = now - ends
        return float(total[name][end, shop] - total[name][end - _QUARTER, shop])

    rows = []
    for row in drawn:
        now, shop = int(week[row]), int(place[row])
        sales, earlier = before("sale", now, shop), before("sale", now, shop, _QUARTER)
        base = max(sales, 1.0)
        rows.append(
            (
                math.log(base),
                math.log((sales + 1) / (earlier + 1)),
                before("refund", now, shop) / base,
                (before("failed_supplier", now, shop) + before("failed_wages", now, shop)) / base,
                cash[now - 1, shop] / base,
                before("advertising", now, shop) / base,
                before("withdrawal", now, shop) / base,
                before("other_lender", now, shop) / base,
            )
        )
    features = np.clip(np.array(rows).reshape(-1, len(FEATURES)), -20, 20)
    return Draws(first_seller + numbers[place[drawn]].astype(float), week[drawn].astype(float), features, bad[drawn])


def loans_of(weeks: pa.Table, numbers: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Of every loan the week of its draw, the place of its seller among `numbers`, and 1 if it went bad in the end."""
    events = weeks["loan_events"].combine_chunks()
    at = pc.list_parent_indices(events).to_numpy()
    flat = events.flatten()
    kind, serial = np.array(flat.field("kind").to_pylist()), flat.field("serial").to_numpy()
    week, place = weeks["week"].to_numpy()[at], weeks["number"].to_numpy()[at] - numbers[0]
    failed = {(place[row], serial[row]) for row in np.flatnonzero(kind == "defaulted")}
    drawn = np.flatnonzero(kind == "drawn")
    bad = np.array([(place[row], serial[row]) in failed for row in drawn], dtype=float)
    return week[drawn], place[drawn], bad


def chance_of_acceptance(incumbent: Floats) -> Floats:
    """1 for the better part by the incumbent score; below its cut-off 30 % falling to 1 % evenly in logs."""
    cut_off, worst = np.quantile(incumbent, [ACCEPTED_SHARE, 1.0])
    depth = np.clip((incumbent - cut_off) / max(worst - cut_off, 1e-9), 0, 1)
    return np.where(incumbent <= cut_off, 1.0, AT_CUT_OFF * (AT_WORST / AT_CUT_OFF) ** depth)


def fitted(draws: Draws, features: Floats) -> Floats:
    """Log-odds of every row of `features` by a regression on some draws."""
    scaler = StandardScaler().fit(draws.features)
    model = LogisticRegression(C=1.0, max_iter=500).fit(scaler.transform(draws.features), draws.bad)
    return model.decision_function(scaler.transform(features))


def counted(log_odds: Floats, bad: Floats, seller: Floats, weight: Floats) -> Counts:
    """Weighted counts as `ml.evaluate` takes them: sellers' rows stay in one block."""
    step = np.round(log_odds * 100).astype(int)
    levels, level = np.unique(step, return_inverse=True)
    tables = np.zeros((2, BLOCKS, len(levels)))
    np.add.at(tables, (bad.astype(int), (seller % BLOCKS).astype(int), level), weight)
    return Counts(levels / 100, tables[0], tables[1], len(set(seller[bad == 1])))


def experiment(draws: Draws, seed: int) -> list[tuple[str, int, int, float, Evaluation]]:
    """Way, draws, bads, effective sample size, and what is found."""
    chance = np.random.default_rng(seed)
    half = np.median(draws.week)
    early, late = draws.only(draws.week <= half), draws.only(draws.week > half)
    # the lender's score before: half of the features, on the first tenth of the draws, all of them accepted
    first = draws.only(draws.week <= np.quantile(draws.week, 0.1))
    few = [FEATURES.index(name) for name in ("log sales", "failed", "refunds", "growth")]
    narrow = Draws(first.seller, first.week, first.features[:, few], first.bad)
    accepted = []
    for part in (early, late):
        probability = chance_of_acceptance(fitted(narrow, part.features[:, few]))
        accepted.append((probability, chance.random(len(probability)) < probability))
    learned = early.only(accepted[0][1])
    log_odds = fitted(learned, late.features)
    probability, was_accepted = accepted[1]
    weight = np.where(was_accepted, 1 / probability, 0.0)
    rows = []
    for way, weights in (
        ("accepted only", was_accepted.astype(float)),
        ("accepted, reweighted", weight),
        ("true: everybody", np.ones(len(weight))),
    ):
        used = weights > 0
        size = float(weights.sum() ** 2 / (weights**2).sum())
        counts = counted(log_odds[used], late.bad[used], late.seller[used], weights[used])
        rows.append((way, int(used.sum()), int(late.bad[used].sum()), size, evaluate(counts)))
    return rows


@click.command()
@click.option("--world", "name", default="demo")
@click.option("--sellers", default=3000, help="Of each world.")
@click.option("--seeds", default=4, help="Worlds, pooled.")
def main(name: str, sellers: int, seeds: int) -> None:
    """Print one table."""
    parts = [draws_of(open_world(name, sellers, seed), seed * 1_000_000) for seed in range(1, seeds + 1)]
    draws = Draws(*(np.concatenate([getattr(part, field) for part in parts]) for field in Draws.__dataclass_fields__))
    print(f"{described('scikit-learn')}; world {name}, {seeds} seeds x {sellers}")
    print(f"sellers; {len(draws.bad):,} draws, {int(draws.bad.sum()):,} bad. Simulated: no estimate of any lender.\n")
    print("| judged on | draws | bads | effective size | AUC | observed / expected | intercept | slope |")
    print("|---|---|---|---|---|---|---|---|")
    for way, many, bads, size, found in experiment(draws, 1):
        print(
            f"| {way} | {many:,} | {bads:,} | {size:,.0f} | {found.auc} | {found.observed_to_expected} |"
            f" {found.calibration_intercept} | {found.calibration_slope} |"
        )
    print(json.dumps({"accepted_share": ACCEPTED_SHARE, "at_cut_off": AT_CUT_OFF, "at_worst": AT_WORST}))


if __name__ == "__main__":
    main()
