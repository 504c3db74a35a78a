"""Every feature, in the order of its column. Adding one is adding an entry to its family's file."""

import hashlib
from collections.abc import Mapping
from dataclasses import astuple
from functools import cache

from transforms.features import brushing, buyers, cash, credit_history, goods, network, sales, service, shop
from transforms.features.feature import Feature, window_sums_in
from transforms.features.formulas import expanded, names_in
from transforms.features.states.balances import BALANCE_STATES
from transforms.features.states.days import DAY_STATES
from transforms.features.states.items import CATEGORY_STATES, ITEM_STATES
from transforms.features.states.loans import LOAN_STATES
from transforms.features.states.network import NETWORK_STATES
from transforms.features.states.pairs import PAIR_STATES
from transforms.features.states.profiles import PROFILE_STATES
from transforms.features.states.state import MadeOf, State
from transforms.tables import measures
from transforms.tables.measures import MEASURES

SUM_STATES = (
    State("history_days", "additive", "int", "days since the first event that we know of", (), "0"),
    State("complete_blocks", "additive", "int", "complete 30-day blocks of history, at most twelve", (), "0"),
    State(
        "sales_blocks",
        "additive",
        "array<bigint>",
        "net sales of the last 30-day blocks that an order is known from before, at most twelve, newest first, fen",
    ),
    State(
        "free_cash_blocks",
        "additive",
        "array<bigint>",
        "free cash of the last 30-day blocks that a payment is known from before, at most twelve, newest first, fen",
    ),
)
"""What is made of several window sums at once; see `transforms/features/evaluate.py`."""

STATES: Mapping[str, State] = {
    state.name: state
    for states in (
        SUM_STATES,
        PAIR_STATES,
        ITEM_STATES,
        CATEGORY_STATES,
        DAY_STATES,
        BALANCE_STATES,
        LOAN_STATES,
        PROFILE_STATES,
        NETWORK_STATES,
    )
    for state in states
}

CATALOGUE: tuple[Feature, ...] = tuple(
    feature
    for family in (sales, goods, buyers, service, brushing, cash, credit_history, shop, network)
    for feature in family.FEATURES
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in CATALOGUE}
MODEL_INPUTS: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE if feature.model_input)


@cache
def formulas() -> Mapping[str, str]:
    """Each feature's formula over window sums and states alone.

    Raises CatalogueError with every problem of the entries.
    """
    return expanded(CATALOGUE, STATES)


def made_of(feature: Feature) -> tuple[MadeOf, ...]:
    """The kinds of what a feature is made of; buyers' measures are sums of tiles that come from pairs."""
    kinds = {STATES[name].made_of for name in names_in(formulas()[feature.name]) if name in STATES}
    for measure, _ in window_sums_in(formulas()[feature.name]):
        kinds.add("pair" if MEASURES[measure].event == "seller_buyer_day" else "additive")
    in_order: tuple[MadeOf, ...] = ("additive", "pair", "item", "day series", "loan", "profile", "graph")
    return tuple(kind for kind in in_order if kind in kinds)


def digest() -> str:
    """Sha-256 of every entry, and of the measures: two equal digests are two equal catalogues.

    Raises CatalogueError where the entries cannot be worked out: every step asks for it before its work begins.
    """
    formulas()
    told = [astuple(feature) for feature in CATALOGUE]
    return hashlib.sha256(repr([told, measures.digests()]).encode()).hexdigest()


def digest_of_values() -> str:
    """What all values are made of, in one word: that an entry is only told otherwise is not in it."""
    told = [(feature.name, digest_of(feature.name)) for feature in CATALOGUE]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def digest_of(name: str) -> str:
    """What a feature's values are made of, in one word: its formula with all features put in, and its measures'."""
    formula = formulas()[name]
    summed = sorted({MEASURES[measure].sql for measure, _ in window_sums_in(formula)})
    return hashlib.sha256(repr([formula, BY_NAME[name].type, summed]).encode()).hexdigest()[:16]
