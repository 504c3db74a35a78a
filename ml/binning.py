"""Features cut into bins, and rows counted by bin: one pass whatever the number of features."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

Cuts = Mapping[str, tuple[float, ...]]
"""Rising cuts by feature: bin 0 is up to the first, bin k above the k-th. Bin -1 holds what is unknown."""

UNKNOWN = -1
_SAMPLE = 50_000
"""Rows that quantiles are taken from, exactly: approximate ones differ from run to run with the order of the tasks."""


def cuts_of(rows: DataFrame, features: Sequence[str], bins: int, many: int) -> Cuts:
    """Cuts at the quantiles of each feature over its known values; fewer where values repeat.

    `many` is the number of rows; of more than 50,000 the quantiles are those of a sample by seller and day.
    """
    rows = rows.filter(in_sample(many))
    # once, and not once a feature: every part of an expression is a call to the JVM of a millisecond
    wanted = F.array(*(F.lit(number / bins) for number in range(1, bins)))
    found = rows.agg(*(F.percentile(number_of(name), wanted).alias(name) for name in features)).collect()[0]
    return {name: tuple(sorted(set(found[name] or ()))) for name in features}


def in_sample(many: int) -> Column:
    """Whether a row is one of those that quantiles are taken from, of so many rows: all of 50,000 and fewer."""
    return F.pmod(F.xxhash64("seller_id", "as_of"), F.lit(max(1, -(-many // _SAMPLE)))) == 0


def number_of(name: str) -> Column:
    """A feature as a double, null where it is unknown: NaN is unknown too."""
    return F.expr(f"nanvl(cast(`{name}` as double), cast(null as double))")


def counted(rows: DataFrame, cuts: Cuts, by: Column) -> dict[str, dict[object, NDArray[np.float64]]]:
    """Rows by feature, value of `by`, and bin: the last place of each array counts what is unknown."""
    names = list(cuts)
    told = rows.select(by.alias("by"), F.posexplode(F.array(*map(number_of, names))).alias("place", "value"))
    # the cuts as data: written out as comparisons, sixty features of twenty bins were more than Spark could compile;
    # in one text, since two thousand literals took three seconds to hand over
    listed = F.lit(json.dumps([cuts[name] for name in names]))
    of_feature = F.from_json(listed, "array<array<double>>")[F.col("place")]
    above = F.size(F.filter(of_feature, lambda cut: cut < F.col("value")))
    number = F.when(F.col("value").isNotNull(), above).otherwise(UNKNOWN)
    found: dict[str, dict[object, NDArray[np.float64]]] = {name: {} for name in names}
    for row in told.groupBy("place", number.alias("bin"), "by").count().collect():
        name = names[row["place"]]
        counts = found[name].setdefault(row["by"], np.zeros(len(cuts[name]) + 2))
        counts[row["bin"]] += row["count"]
    return found
