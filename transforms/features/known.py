"""Features of any sellers and as-of days, each as known then, by either way of the engine."""

from collections.abc import Collection

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.features.evaluate import evaluate, wanted_sums
from transforms.features.states import loan_states_at, profile_states_at
from transforms.tiles.loans import loan_states
from transforms.windows.rebuild import rebuild
from transforms.windows.sweep import sweep


def features_by_sweep(
    tiles: DataFrame, book: DataFrame, sellers: DataFrame, labels: DataFrame, kinds_told: Collection[str]
) -> DataFrame:
    """Features of labels (seller_id, as_of; none twice) from silver.seller_day, silver.loan_book, bronze.sellers."""
    sums = sweep(tiles, labels, wanted_sums())
    return evaluate(sums, loan_states_at(book, labels), profile_states_at(sellers, labels), kinds_told)


def features_by_rebuild(
    orders: DataFrame,
    payments: DataFrame,
    loans: DataFrame,
    sellers: DataFrame,
    labels: DataFrame,
    kinds_told: Collection[str],
) -> DataFrame:
    """The same from the bronze events alone."""
    sums = rebuild(orders, payments, loans, labels, wanted_sums())
    book = loan_states(loans)
    return evaluate(sums, loan_states_at(book, labels), profile_states_at(sellers, labels), kinds_told)


def known_sellers(sellers: DataFrame, tiles: DataFrame, as_of_days: DataFrame) -> DataFrame:
    """Labels (seller_id, as_of) of every seller with a profile or an event known before each of the days."""
    profiled = sellers.select("seller_id", F.greatest(F.col("changed_on"), F.col("arrival_day")).alias("known"))
    first = (
        profiled.union(tiles.select("seller_id", "arrival_day")).groupBy("seller_id").agg(F.min("known").alias("known"))
    )
    return first.join(F.broadcast(as_of_days), F.col("known") < F.col("as_of")).select("seller_id", "as_of")
