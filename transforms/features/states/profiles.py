"""The state of a seller's profile, as known before an as-of day."""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from transforms.features.states.state import State
from transforms.groups.groups import LINKING
from transforms.windows.asked import Asked

POINTS_DAYS = 180
"""Penalty points are compared with those of this many days ago."""


def _profile(name: str, kind: str, meaning: str, none: str | None = None) -> State:
    return State(name, "profile", kind, meaning, (), none)


_CHANGES = {"payout_account_days": "payout_account_id", "owner_days": "owner_id", "device_days": "device_id"}

PROFILE_STATES = (
    _profile("shop_age_days", "int", "days since the shop opened"),
    _profile("verified", "int", "1 where the owner's identity was verified, else 0"),
    _profile("penalty_points", "int", "points for breaking the platform's rules"),
    _profile("penalty_points_before", "int", "the same 180 days ago"),
    *(
        _profile(name, "int", f"days since the {attribute.removesuffix('_id').replace('_', ' ')} last changed")
        for name, attribute in _CHANGES.items()
    ),
    _profile("closed", "int", "1 where the shop has closed, else 0", "0"),
    _profile("linkable", "int", "1 where an owner, payout account or device was told, else 0"),
)


def profile_states_at(sellers: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with the newest profile version known then; only sellers with one.

    Of versions of one day the one learned last counts; a seller's versions are few, so that all are compared.
    """
    is_known = (F.col("changed_on") < F.col("as_of")) & (F.col("arrival_day") < F.col("as_of"))
    known = asked.of_sellers(sellers).filter(is_known).repartition("seller_id")
    in_order = Window.partitionBy("seller_id", "as_of").orderBy("changed_on", "arrival_day", "content_hash")
    order = F.struct("changed_on", "arrival_day", "content_hash")
    is_old = F.col("changed_on") < F.date_sub("as_of", POINTS_DAYS)
    changed = {f"{name}_on": _changed_on(attribute, in_order) for name, attribute in _CHANGES.items()}
    return (
        known.withColumns(changed)
        .groupBy("seller_id", "as_of")
        .agg(
            F.date_diff("as_of", F.max_by("registered_on", order)).alias("shop_age_days"),
            F.max_by("verified", order).cast("int").alias("verified"),
            F.max_by("penalty_points", order).alias("penalty_points"),
            F.max_by("penalty_points", F.when(is_old, order)).alias("penalty_points_before"),
            *(F.date_diff("as_of", F.max(f"{name}_on")).alias(name) for name in _CHANGES),
            F.coalesce(F.max_by("closed_on", order) < F.col("as_of"), F.lit(False)).cast("int").alias("closed"),
            F.max(F.coalesce(*LINKING).isNotNull().cast("int")).alias("linkable"),
        )
    )


def _changed_on(attribute: str, in_order: WindowSpec) -> Column:
    """The version's day where it brought another value than the last one that was told, or the first."""
    # a version that leaves it out says nothing of it
    before = F.last(attribute, ignorenulls=True).over(in_order.rowsBetween(Window.unboundedPreceding, -1))
    is_change = F.col(attribute).isNotNull() & (before.isNull() | (before != F.col(attribute)))
    return F.when(is_change, F.col("changed_on"))
