"""Features of any sellers and as-of days, each as known then, by either way of the engine."""

from collections.abc import Collection
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.features.evaluate import evaluate, wanted_sums
from transforms.features.states import loan_states_at, profile_states_at
from transforms.tiles.loans import loan_states
from transforms.windows.rebuild import rebuild
from transforms.windows.sweep import sweep


@dataclass(frozen=True)
class Silver:
    """What features are made of day by day: tiles, buyer days and loan book by `aggregate`, and the profiles."""

    tiles: DataFrame
    """silver.seller_day"""
    pairs: DataFrame
    """silver.seller_buyer_day"""
    book: DataFrame
    """silver.loan_book"""
    sellers: DataFrame
    """bronze.sellers"""


@dataclass(frozen=True)
class Bronze:
    """The events as they came in, and the profiles: bronze.order_events, payment_events, loan_events, sellers."""

    orders: DataFrame
    payments: DataFrame
    loans: DataFrame
    sellers: DataFrame


def features_by_sweep(silver: Silver, labels: DataFrame, kinds_told: Collection[str]) -> DataFrame:
    """Features of labels (seller_id, as_of; none twice), their sums by the sweep."""
    return features_of_sums(sweep(silver.tiles, labels, wanted_sums()), silver, labels, kinds_told)


def features_of_sums(sums: DataFrame, silver: Silver, labels: DataFrame, kinds_told: Collection[str]) -> DataFrame:
    """Features of labels whose window sums are at hand: a row a label with first_day and every wanted sum."""
    loans, profiles = loan_states_at(silver.book, labels), profile_states_at(silver.sellers, labels)
    return evaluate(sums, loans, profiles, kinds_told)


def features_by_rebuild(bronze: Bronze, labels: DataFrame, kinds_told: Collection[str]) -> DataFrame:
    """The same from the bronze events alone."""
    sums = rebuild(bronze.orders, bronze.payments, bronze.loans, labels, wanted_sums())
    loans = loan_states_at(loan_states(bronze.loans), labels)
    return evaluate(sums, loans, profile_states_at(bronze.sellers, labels), kinds_told)


def known_sellers(sellers: DataFrame, tiles: DataFrame, as_of_days: DataFrame) -> DataFrame:
    """Labels (seller_id, as_of) of every seller with a profile or an event known before each of the days."""
    profiled = sellers.select("seller_id", F.greatest(F.col("changed_on"), F.col("arrival_day")).alias("known"))
    first = (
        profiled.union(tiles.select("seller_id", "arrival_day")).groupBy("seller_id").agg(F.min("known").alias("known"))
    )
    return first.join(F.broadcast(as_of_days), F.col("known") < F.col("as_of")).select("seller_id", "as_of")
