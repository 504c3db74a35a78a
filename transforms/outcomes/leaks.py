"""What a training set must not know: the future of its features, and outcomes that were known already."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.features.known import Bronze

_TIMES = 1000
_MOST_OFF = 1e-9
"""Relative: doubles may be summed in another order."""


def poisoned(bronze: Bronze, as_of: date) -> Bronze:
    """The same ledger with a future that gives itself away: whatever happened or arrived on `as_of` or later has its
    amount times 1000 and comes twice, under new ids and items; profiles of then are turned round.

    Features as of that day may not move.
    """
    return Bronze(
        orders=_events(bronze.orders, as_of, ("event_id", "order_id", "item_id")),
        payments=_events(bronze.payments, as_of, ("event_id",)),
        loans=_events(bronze.loans, as_of, ("event_id", "loan_id")),
        sellers=_profiles(bronze.sellers, as_of),
    )


def _events(events: DataFrame, as_of: date, ids: Sequence[str]) -> DataFrame:
    is_future = (F.col("event_day") >= F.lit(as_of)) | (F.col("arrival_day") >= F.lit(as_of))
    raised = events.withColumn(
        "amount_fen", F.when(is_future, F.col("amount_fen") * _TIMES + _TIMES).otherwise(F.col("amount_fen"))
    )
    again = raised.filter(is_future).withColumns({name: F.concat(name, F.lit("-again")) for name in ids})
    return raised.unionByName(again)


def _profiles(sellers: DataFrame, as_of: date) -> DataFrame:
    is_future = (F.col("changed_on") >= F.lit(as_of)) | (F.col("arrival_day") >= F.lit(as_of))
    turned = {
        "registered_on": F.date_sub("registered_on", _TIMES),
        "penalty_points": F.coalesce("penalty_points", F.lit(0)) + _TIMES,
        "verified": ~F.coalesce("verified", F.lit(False)),
        "closed_on": F.lit(as_of),
        "payout_account_id": F.lit("another"),
        "owner_id": F.lit("another"),
        "device_id": F.lit("another"),
    }
    kinds = dict(sellers.dtypes)
    return sellers.withColumns(
        {
            name: F.when(is_future, value.cast(kinds[name])).otherwise(F.col(name))
            for name, value in turned.items()
            if name in kinds
        }
    )


def moved_features(stored: DataFrame, rebuilt: DataFrame, features: Sequence[str]) -> DataFrame:
    """One row: how many rows of `stored` are not in `rebuilt` (`gone`), and by feature how many differ."""
    both = stored.select("seller_id", "as_of", *(F.col(name).alias(f"stored {name}") for name in features)).join(
        rebuilt.select("seller_id", "as_of", F.lit(True).alias("is_there"), *features), ["seller_id", "as_of"], "left"
    )
    is_there = F.col("is_there").isNotNull()
    return both.agg(
        F.count_if(~is_there).alias("gone"),
        *(F.count_if(is_there & _differs(F.col(f"stored {name}"), F.col(name))).alias(name) for name in features),
    )


def _differs(one: Column, other: Column) -> Column:
    first, second = one.cast("double"), other.cast("double")
    scale = F.greatest(F.abs(first), F.abs(second), F.lit(1.0))
    is_off = F.abs(first - second) > scale * _MOST_OFF
    return F.when(first.isNull() | second.isNull(), ~first.eqNullSafe(second)).otherwise(is_off)


def split_groups(rows: DataFrame, groups: DataFrame) -> DataFrame:
    """One row: sellers of a training set with several groups (`sellers`), and connected groups of `groups` (seller_id,
    group_id) that the set has in several parts (`groups`): a split by group would have them on both sides.
    """
    held = rows.select("seller_id", "group_id").distinct()
    by_seller = held.groupBy("seller_id").agg(F.count(F.lit(1)).alias("parts"))
    connected = held.join(groups.select("seller_id", F.col("group_id").alias("connected")), "seller_id", "inner")
    by_group = connected.groupBy("connected").agg(F.count_distinct("group_id").alias("parts"))
    return by_seller.agg(F.count_if(F.col("parts") > 1).alias("sellers")).join(
        by_group.agg(F.count_if(F.col("parts") > 1).alias("groups")), how="cross"
    )


def other_outcomes(rows: DataFrame, outcomes: DataFrame) -> DataFrame:
    """One row: rows of a training set whose outcome was known by the as-of day (`inside`), rows whose outcome or the
    day on which it was known is not the one that the loans give (`other`), and known outcomes without a row
    (`missing`): a set without its bads has no row that is wrong.
    """
    told = outcomes.filter(F.col("outcome") != "unknown").select(
        "seller_id", "as_of", "outcome", F.col("known_on").alias("known_by_the_loans")
    )
    both = rows.withColumn("is_row", F.lit(True)).join(told, ["seller_id", "as_of"], "full")
    is_row = F.col("is_row").isNotNull()
    label = F.when(F.col("bad") == 1, "bad").when(F.col("indeterminate"), "indeterminate").otherwise("good")
    is_same = label.eqNullSafe(F.col("outcome")) & F.col("known_on").eqNullSafe(F.col("known_by_the_loans"))
    return both.agg(
        F.count_if(F.col("known_on") <= F.col("as_of")).alias("inside"),
        F.count_if(is_row & ~is_same).alias("other"),
        F.count_if(~is_row).alias("missing"),
    )
