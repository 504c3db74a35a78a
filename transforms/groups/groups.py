"""Sellers connected by an owner, a payout account or a device that they share, as known before an as-of day.

Links, hubs and counts are Spark's; the links of one day are then joined to groups in one Arrow batch: links are few
beside sellers, and a loop of joins would need a job a step, where an array needs none.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from transforms.arrow import array_of, numbers_of
from transforms.windows.asked import Asked, EverySeller

LINKING = ("owner_id", "payout_account_id", "device_id")
"""Attributes of a profile that connect the sellers who share a value of one."""

MOST_SHARERS = 50
"""A value that more sellers share links nobody: an agency's account, a market hall's device."""

_GROUPS = "as_of date, seller_id string, group_id string, members bigint"


def seller_groups(sellers: DataFrame, as_of: date) -> DataFrame:
    """Every seller of `bronze.sellers` known before `as_of`: seller_id, group_id, members; see `groups_at`."""
    return groups_at(sellers, EverySeller(as_of)).drop("as_of", "closed_on")


def groups_at(sellers: DataFrame, asked: Asked) -> DataFrame:
    """A row a day of `asked` and seller known before it, asked for or not.

    Columns: as_of, seller_id, closed_on as the seller's newest profile has it, group_id, members.

    A link holds from the day on which the profile version that made it was known, and for ever: a shop that gets a new
    account stays in its group. `group_id` is the smallest seller_id of the group; a seller without links is a group of
    one. A day's links are held in the memory of one task: some 200 bytes a link.
    """
    versions = sellers.withColumn("version", F.greatest("changed_on", "arrival_day"))
    newest = F.struct("changed_on", "arrival_day", "content_hash")
    known = asked.of_days(versions).filter(F.col("version") < F.col("as_of"))
    members = known.groupBy("seller_id", "as_of").agg(F.max_by("closed_on", newest).alias("closed_on"))
    linked = _links(versions, asked).groupBy("as_of").applyInArrow(_connected, _GROUPS)
    return members.join(linked, ["seller_id", "as_of"], "left").select(
        "as_of",
        "seller_id",
        "closed_on",
        F.coalesce("group_id", "seller_id").alias("group_id"),
        F.coalesce("members", F.lit(1)).cast("bigint").alias("members"),
    )


def _links(versions: DataFrame, asked: Asked) -> DataFrame:
    """Pairs (as_of, seller_id, other_id): each seller with the smallest of those who share a value; some twice."""
    attributes = F.array(*(F.struct(F.lit(name).alias("name"), F.col(name).alias("value")) for name in LINKING))
    held = (
        versions.select("seller_id", "version", F.explode(attributes).alias("attribute"))
        .filter(F.col("attribute.value").isNotNull())
        .groupBy("seller_id", "attribute.name", "attribute.value")
        .agg(F.min("version").alias("held_from"))
    )
    sharers = Window.partitionBy("as_of", "name", "value")
    return (
        asked.of_days(held)
        .filter(F.col("held_from") < F.col("as_of"))
        .withColumns({"sharers": F.count(F.lit(1)).over(sharers), "other_id": F.min("seller_id").over(sharers)})
        .filter((F.col("sharers") <= MOST_SHARERS) & (F.col("seller_id") != F.col("other_id")))
        .select("as_of", "seller_id", "other_id")
    )


def _connected(links: pa.Table) -> pa.Table:
    """One day's links -> the group of each linked seller."""
    ends = pa.chunked_array([*links.column("seller_id").chunks, *links.column("other_id").chunks], pa.string())
    encoded = ends.combine_chunks().dictionary_encode()
    # numbered in the order of their ids, so that the smallest number of a group is its smallest id
    in_order = pc.sort_indices(encoded.dictionary)
    number = np.empty(len(in_order), dtype=np.int64)
    number[numbers_of(in_order)] = np.arange(len(in_order))
    left, right = np.split(number[numbers_of(encoded.indices)], 2)
    root = smallest_reachable(len(in_order), left, right)
    ids = encoded.dictionary.take(in_order)
    return pa.table(
        {
            "as_of": links.column("as_of").take(array_of(np.zeros(len(ids), dtype=np.int64))),
            "seller_id": ids,
            "group_id": ids.take(array_of(root)),
            "members": array_of(np.bincount(root, minlength=len(ids))[root]),
        }
    )


def smallest_reachable(nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The smallest node that each of the nodes 0..n-1 reaches over the links left[i] - right[i].

    Each round hooks every root to the smallest root beside it, then follows parents by pointer jumping until all point
    to roots. A root that hooks to none has neighbours that do, so that two rounds at least halve the roots: a chain of
    n nodes takes O(log n) rounds of O(log n) jumps.
    """
    parent = np.arange(nodes)
    while True:
        one, other = parent[left], parent[right]
        apart = one != other
        if not apart.any():
            return parent
        np.minimum.at(parent, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        grand = parent[parent]
        while not np.array_equal(grand, parent):
            parent, grand = grand, grand[grand]
