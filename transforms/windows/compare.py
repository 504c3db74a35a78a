"""Tables of features by several ways, held side by side: where do they differ."""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

TOLERANCE = 1e-12
"""Of ratios, relative; integers must be equal."""


def held_together(ways: Mapping[str, DataFrame], types: Mapping[str, str]) -> DataFrame:
    """One row a seller of any of the ways: seller_id, and in `differences` each feature that is not the same in all.

    `ways` are frames with a row a seller_id and the columns of `types`. A difference is a struct of the feature and
    its value by each way, as text; a seller whom a way leaves out differs in every feature that another way knows.
    """
    frames = [
        rows.select("seller_id", *(F.col(name).alias(f"{way}:{name}") for name in types)) for way, rows in ways.items()
    ]
    joined = reduce(lambda left, right: left.join(right, "seller_id", "full"), frames)
    found = []
    for name, kind in types.items():
        values = [F.col(f"`{way}:{name}`") for way in ways]
        is_same = reduce(Column.__and__, (_same(values[0], other, kind) for other in values[1:]))
        told = (value.cast("string").alias(way) for way, value in zip(ways, values, strict=True))
        found.append(F.when(~is_same, F.struct(F.lit(name).alias("feature"), *told)))
    return joined.select("seller_id", F.array_compact(F.array(*found)).alias("differences"))


def _same(left: Column, right: Column, kind: str) -> Column:
    if kind != "double":
        return left.eqNullSafe(right)
    is_close = F.abs(left - right) <= TOLERANCE * F.greatest(F.abs(left), F.abs(right))
    return left.eqNullSafe(right) | F.coalesce(is_close, F.lit(False))
