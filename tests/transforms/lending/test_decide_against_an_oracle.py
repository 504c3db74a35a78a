"""Limit and price of sellers that nobody thought of, against plain exact arithmetic written from the rules."""

from collections import Counter
from fractions import Fraction
from math import floor
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ALPHA = [Fraction(percent, 100) for percent in (12, 11, 10, 9, 8, 6, 5, 4, 3, 2)]
EDGES = (0.001, 0.0025, 0.005, 0.01, 0.0175, 0.03, 0.05, 0.1, 0.2)
YUAN = 100

DRAWN = Fraction(123, 365)
DAYS = 90 * DRAWN
EXPOSURE = DRAWN + Fraction(4, 10) * (1 - DRAWN)
COSTS = Fraction(6, 100) * DAYS / 365 + Fraction(2, 100) * 90 / 365


def oracle_terms(row):
    grade = 1 + sum(row["pd"] >= edge for edge in EDGES)
    cash = Fraction(row["free_cash_median_block"]) * Fraction(7, 10) / 2
    terms = {
        "share_of_sales": ALPHA[grade - 1] * row["clean_net_sales_sum_365d"],
        "smallest_blocks": 2 * row["second_smallest_sales_block"],
        # a third of the principal and 30 days of interest on all of it, at 0.06 % a day
        "affordable": cash / (Fraction(1, 3) + 30 * Fraction(6, 10_000)),
        "track_record": max(50_000 * YUAN, Fraction(3, 2) * row["largest_principal_repaid"]),
        "ceiling": 1_000_000 * YUAN,
    }
    if row["complete_blocks"] < 12:
        terms["thin_file"] = 20_000 * YUAN
    return {name: floor(term) for name, term in terms.items()}


def oracle(row):
    """Outcome, limit, drawable and the terms that may have bound it; limits in fen."""
    if row["closed"] or (row["days_past_due"] or 0) > 0 or (row["written_off_loans"] or 0) > 0:
        return "decline", 0, 0, None
    if (row["history_days"] or 90) < 90 or (row["complete_blocks"] if row["complete_blocks"] is not None else 3) < 3:
        return "not_enough_history", 0, 0, None
    if any(value is None for name, value in row.items() if not name.startswith(("previous", "earlier"))):
        return "not_enough_information", 0, 0, None
    pd = Fraction(row["pd"])
    if pd == 1:
        return "decline", 0, 0, None
    loss = pd * Fraction(3, 4) * EXPOSURE
    if (COSTS + loss) / (DAYS * (1 - pd)) > Fraction(6, 10_000):
        return "decline", 0, 0, None
    terms = oracle_terms(row)
    limit = max(0, min(terms.values())) // (1000 * YUAN) * 1000 * YUAN
    binding = {name for name, term in terms.items() if term == min(terms.values())}
    if limit == 0:
        return "decline", 0, 0, binding
    return "offer", limit, max(0, limit - max(0, row["outstanding_principal"])), binding


def random_fen(random):
    kind = random.randrange(4)
    if kind == 0:
        return random.randint(-(10**7), 10**8)
    if kind == 1:
        # round figures fall on the edges of steps and shares
        return random.randint(0, 10**4) * 1000 * YUAN
    return random.randint(0, 10**9 if kind == 2 else 10**12)


def random_figures(random):
    """A seller who is mostly in order: every figure is unknown or refuses in about one case of thirty."""

    def mostly(value, *others):
        return random.choice(others) if random.randrange(30) < len(others) else value

    pd = random.choice(
        [random.uniform(1e-5, 0.0176), random.uniform(0.017, 0.0185), random.random(), random.choice(EDGES)]
    )
    return {
        "pd": mostly(pd, None, 0.0, 1.0),
        "history_days": mostly(random.randint(90, 2000), None, 40),
        "complete_blocks": mostly(random.randint(3, 12), None, 2),
        "closed": mostly(False, None, True),
        "days_past_due": mostly(0, None, 5),
        "written_off_loans": mostly(0, None, 1),
        "clean_net_sales_sum_365d": mostly(random_fen(random), None),
        "second_smallest_sales_block": mostly(random_fen(random), None),
        "free_cash_median_block": mostly(random_fen(random), None),
        "largest_principal_repaid": mostly(random.choice([0, random_fen(random)]), None),
        "outstanding_principal": mostly(random.choice([0, random_fen(random)]), None),
    }


# hypothesis draws the worlds' seeds: it takes minutes to draw hundreds of sellers, figure by figure, by itself
FEW = settings(max_examples=3, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
SEEDS = st.integers(0, 2**32)


@FEW
@given(seed=SEEDS)
def test_outcome_limit_and_price_are_those_of_exact_arithmetic(decided, seller, seed):
    random = Random(seed)
    rows = [seller(**random_figures(random)) for _ in range(400)]
    decisions = decided(*rows)
    outcomes = Counter(decision.outcome for decision in decisions)
    assert all(
        outcomes[outcome] >= 8 for outcome in ("offer", "decline", "not_enough_history", "not_enough_information")
    )
    for row, decision in zip(rows, decisions, strict=True):
        outcome, limit, drawable, binding = oracle(row)
        assert (decision.outcome, decision.limit_fen, decision.drawable_fen) == (outcome, limit, drawable), row
        if binding is not None:
            assert decision.bound_by in binding
        if outcome == "offer":
            pd, rate = Fraction(row["pd"]), Fraction(str(decision.daily_rate))
            profit = (1 - pd) * rate * DAYS - COSTS - pd * Fraction(3, 4) * EXPOSURE
            assert profit >= -Fraction(1, 10**14)
            assert decision.expected_profit_a_yuan == pytest.approx(float(profit), abs=1e-12)
            assert Fraction(3, 10_000) <= rate <= Fraction(6, 10_000)
        else:
            assert decision.daily_rate is None
            assert decision.reasons


FEN = ("clean_net_sales_sum_365d", "second_smallest_sales_block", "free_cash_median_block", "largest_principal_repaid")
RISING = (*FEN, "complete_blocks")


@FEW
@given(seed=SEEDS, more=st.integers(1, 10**9))
def test_more_of_anything_never_lowers_a_limit(decided, seller, seed, more):
    random = Random(seed)
    base = [
        seller(
            pd=random.uniform(1e-5, 0.0176),
            complete_blocks=random.randint(3, 12),
            **{figure: random_fen(random) for figure in FEN},
        )
        for _ in range(200)
    ]
    raised = [
        {**row, name: 12 if name == "complete_blocks" else row[name] + more}
        for place, row in enumerate(base)
        for name in [RISING[place % len(RISING)]]
    ]
    safer = [{**row, "pd": row["pd"] / 2} for row in base]
    decisions = decided(*base, *raised, *safer)
    before, after, less_risk = decisions[: len(base)], decisions[len(base) : 2 * len(base)], decisions[2 * len(base) :]
    for row, one, two, three in zip(base, before, after, less_risk, strict=True):
        assert 0 <= one.limit_fen <= two.limit_fen, row
        assert one.limit_fen <= three.limit_fen, row
        assert one.limit_fen % 100_000 == 0
