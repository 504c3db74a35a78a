"""Features of any sellers and as-of days, each as known then, by any way of the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.features.catalogue import CATALOGUE
from transforms.features.evaluate import KindsTold, evaluate, inputs, wanted_states, wanted_sums
from transforms.features.feature import Feature
from transforms.features.states.balances import BALANCE_STATES, LOOK_BACK_DAYS, balance_states_at
from transforms.features.states.days import DAY_MEASURES, DAY_STATES, DRAW_DAYS, GAP_DAYS, WEEKS, day_states_at
from transforms.features.states.items import CATEGORY_STATES, ITEM_DAYS, ITEM_STATES, category_states_at, item_states_at
from transforms.features.states.loans import LOAN_STATES, loan_states_at
from transforms.features.states.network import NETWORK_STATES, network_states_at
from transforms.features.states.pairs import CIRCLE_DAYS, PAIR_DAYS, PAIR_STATES, pair_states_at
from transforms.features.states.profiles import PROFILE_STATES, profile_states_at
from transforms.features.states.state import State
from transforms.tables.bronze import SELLERS
from transforms.tables.measures import MEASURES
from transforms.tables.silver import (
    LOAN_BOOK,
    SELLER_BALANCE,
    SELLER_BUYER_DAY,
    SELLER_DAY,
    SELLER_ITEM_DAY,
    SELLER_PAYEE_DAY,
)
from transforms.tiles.buyers import pair_days
from transforms.tiles.items import item_days
from transforms.tiles.loans import loan_states
from transforms.tiles.payments import day_balances, payee_days
from transforms.windows.asked import Asked
from transforms.windows.rebuild import rebuild
from transforms.windows.sweep import sweep

SILVER = (SELLER_DAY, SELLER_BUYER_DAY, LOAN_BOOK, SELLERS, SELLER_PAYEE_DAY, SELLER_BALANCE, SELLER_ITEM_DAY)
"""Tables of `Silver`, in the order of its fields."""


@dataclass(frozen=True)
class Silver:
    """What features are made of day by day: what `aggregate` summed, and the profiles."""

    tiles: DataFrame
    """silver.seller_day"""
    pairs: DataFrame
    """silver.seller_buyer_day"""
    book: DataFrame
    """silver.loan_book"""
    sellers: DataFrame
    """bronze.sellers"""
    payees: DataFrame
    """silver.seller_payee_day"""
    balances: DataFrame
    """silver.seller_balance"""
    items: DataFrame
    """silver.seller_item_day"""

    def since(self, first: date) -> "Silver":
        """What the states of as-of days from `first` on look at, so that years before are not read.

        Sums look further back: its tiles are for the states alone.
        """
        return replace(
            self,
            tiles=_since(self.tiles, first, max(DRAW_DAYS, GAP_DAYS, 7 * WEEKS)),
            pairs=_since(self.pairs, first, PAIR_DAYS),
            payees=_since(self.payees, first, PAIR_DAYS + CIRCLE_DAYS),
            balances=_since(self.balances, first, LOOK_BACK_DAYS),
            items=_since(self.items, first, ITEM_DAYS),
        )


@dataclass(frozen=True)
class Bronze:
    """The events as they came in, and the profiles: bronze.order_events, payment_events, loan_events, sellers."""

    orders: DataFrame
    payments: DataFrame
    loans: DataFrame
    sellers: DataFrame


STATES_AT: Mapping[str, tuple[tuple[State, ...], Callable[[Silver, Asked], DataFrame]]] = {
    "day series": (DAY_STATES, lambda silver, asked: day_states_at(silver.tiles, asked)),
    "pairs": (PAIR_STATES, lambda silver, asked: pair_states_at(silver.pairs, silver.payees, asked)),
    "items": (ITEM_STATES, lambda silver, asked: item_states_at(silver.items, asked)),
    "categories": (CATEGORY_STATES, lambda silver, asked: category_states_at(silver.items, asked)),
    "balances": (BALANCE_STATES, lambda silver, asked: balance_states_at(silver.balances, asked)),
    "loans": (LOAN_STATES, lambda silver, asked: loan_states_at(silver.book, asked).drop("was_bad")),
    "profiles": (PROFILE_STATES, lambda silver, asked: profile_states_at(silver.sellers, asked)),
    "network": (NETWORK_STATES, lambda silver, asked: network_states_at(silver.sellers, silver.book, asked)),
}
"""What is worked out together: states, and how they become columns of the labels."""


def features_by_sweep(
    silver: Silver, labels: DataFrame, asked: Asked, kinds_told: KindsTold, first: date | None = None
) -> DataFrame:
    """Features of labels (seller_id, as_of; none twice), their sums by the sweep.

    `asked` are the labels, or every seller where all labels are of one day. No as-of day is before `first`, where that
    is given: the states then read no more than they need.
    """
    sums = sweep(silver.tiles, labels, wanted_sums())
    return features_of_sums(sums, silver.since(first) if first else silver, asked, kinds_told)


def features_by_rebuild(bronze: Bronze, labels: DataFrame, asked: Asked, kinds_told: KindsTold) -> DataFrame:
    """The same from the bronze events alone: nothing that was summed before is read."""
    sums = rebuild(bronze.orders, bronze.payments, bronze.loans, labels, wanted_sums())
    anew = Silver(
        _days_of_events(bronze),
        pair_days(bronze.orders),
        loan_states(bronze.loans),
        bronze.sellers,
        payee_days(bronze.payments),
        day_balances(bronze.payments),
        item_days(bronze.orders),
    )
    return features_of_sums(sums, anew, asked, kinds_told)


def features_of_sums(sums: DataFrame, silver: Silver, asked: Asked, kinds_told: KindsTold) -> DataFrame:
    """Features of labels whose window sums are at hand: a row a label with first_day and every wanted sum."""
    return evaluate(inputs_of_sums(sums, silver, asked, kinds_told))


def inputs_of_sums(
    sums: DataFrame,
    silver: Silver,
    asked: Asked,
    kinds_told: KindsTold,
    features: Sequence[Feature] = CATALOGUE,
) -> DataFrame:
    """What the features are made of, for labels whose window sums are at hand: the sums, and the states they name."""
    wanted = set(wanted_states(features))
    made = [make(silver, asked) for states, make in STATES_AT.values() if wanted & set(states)]
    return inputs(sums, made, kinds_told, features)


def _since(rows: DataFrame, first: date, days: int) -> DataFrame:
    """Rows of event days from so many days before `first` on; nothing arrives before its event day."""
    oldest = first - timedelta(days=days)
    # a table's partitions are months of the one day or of the other
    months = [
        F.col(name) >= F.lit(f"{oldest:%Y-%m}") for name in ("arrival_month", "event_month") if name in rows.columns
    ]
    return reduce(DataFrame.filter, months, rows.filter(F.col("event_day") >= F.lit(oldest)))


def _days_of_events(bronze: Bronze) -> DataFrame:
    """The measures that day series are made of, an event a row: they are summed by the series themselves."""
    events = {"order_event": bronze.orders, "payment_event": bronze.payments, "loan_event": bronze.loans}
    return reduce(
        DataFrame.unionByName,
        [
            rows.select(
                "seller_id",
                "event_day",
                "arrival_day",
                *(
                    F.expr(MEASURES[name].sql if MEASURES[name].event == event else "0L").alias(name)
                    for name in DAY_MEASURES
                ),
            )
            for event, rows in events.items()
        ],
    )


def known_sellers(sellers: DataFrame, news: DataFrame, asked: Asked) -> DataFrame:
    """Labels (seller_id, as_of) of every seller with a profile or an event known before each of the days asked for.

    `news` are tiles, or the events themselves.
    """
    known = asked.of_days(first_known(sellers, news)).filter(F.col("known") < F.col("as_of"))
    return known.select("seller_id", "as_of")


def first_known(sellers: DataFrame, news: DataFrame) -> DataFrame:
    """A row a seller (seller_id) with the day on which its first profile or event was known (known)."""
    profiled = sellers.select("seller_id", F.greatest(F.col("changed_on"), F.col("arrival_day")).alias("known"))
    both = profiled.union(news.select("seller_id", "arrival_day"))
    return both.groupBy("seller_id").agg(F.min("known").alias("known"))
