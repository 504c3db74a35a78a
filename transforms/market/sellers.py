"""Sellers' weeks -> versions of their profiles, and what they were born with."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.world import DAYS_A_WEEK, World
from transforms.market.chance import uniform_column, whole_column
from transforms.market.files import day_on, numbered, shop_id, word_at
from transforms.market.seasons import CATEGORY_NAMES
from transforms.market.traits import REGIONS, members, traits_of

_SQL_TYPES = {"i": "bigint", "f": "double", "b": "boolean"}
"""By numpy's letter of the kind."""


def seller_versions(weeks: DataFrame, world: World) -> DataFrame:
    """One row a version of a shop's profile, as the marketplace's file has it: its opening, a new payout account, new
    penalty points, its closing; none of them faulty. A shop that was open before the first day has its first version
    on that day.
    """
    end = (F.col("week") + 1) * DAYS_A_WEEK
    first = F.col("week") * DAYS_A_WEEK
    is_first = (F.col("opened_day") >= first) & (F.col("opened_day") < end)
    is_last = (F.col("closed_day") >= first) & (F.col("closed_day") < end)
    day = (
        F.when(is_last, F.col("closed_day"))
        .when(is_first, F.col("opened_day"))
        .otherwise(first + whole_column(world.seed, "version day", DAYS_A_WEEK, "number", "week"))
    )
    versions = weeks.filter("profile_changed").select("*", day.alias("day"), is_last.alias("is_last"))
    own_device = F.when(uniform_column(world.seed, "device", "number") < 0.3, F.col("number")).otherwise(F.col("owner"))
    return versions.filter(F.col("day") < world.days).select(
        shop_id("number").alias("shop_id"),
        day_on(world, F.col("day")).alias("changed_on"),
        day_on(world, F.col("registered_day")).alias("opened_on"),
        F.concat_ws("-", F.lit(world.name), F.call_function("div", F.col("number") - 1, F.lit(world.sellers))).alias(
            "world"
        ),
        word_at(REGIONS, "region").alias("region"),
        word_at(CATEGORY_NAMES, "category").alias("category"),
        F.when(uniform_column(world.seed, "owner type", "owner") < 0.7, "person")
        .otherwise("company")
        .alias("owner_type"),
        numbered("P", F.col("owner")).alias("owner_id"),
        F.concat_ws("-", numbered("A", F.col("owner")), "payout_account").alias("payout_account"),
        numbered("D", own_device).alias("device_id"),
        (uniform_column(world.seed, "verified", "number") < 0.97).alias("verified"),
        "penalty_points",
        F.when(F.col("is_last"), day_on(world, F.col("closed_day"))).alias("closed_on"),
        day_on(world, F.col("day")).alias("delivered_on"),
        F.array().cast("array<string>").alias("faults"),
    )


def seller_traits(families: DataFrame, world: World) -> DataFrame:
    """One row a seller: what it was born with, for the truth. Yuan and weeks; see `Traits`."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            traits = traits_of(world, members(world, batch.column(0).to_numpy()))
            yield pa.RecordBatch.from_pydict({field.name: getattr(traits, field.name) for field in fields(traits)})

    # the annotations are numpy aliases: one seller's traits say the types
    sample = traits_of(world, np.ones(1, dtype=np.int64))
    schema = ", ".join(f"{field.name} {_SQL_TYPES[getattr(sample, field.name).dtype.kind]}" for field in fields(sample))
    return families.select("id").mapInArrow(run, schema)
