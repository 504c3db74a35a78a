"""What sellers are told apart by when a model is judged: never inputs of it."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

FAIRNESS = ("region", "owner_type")
"""Attributes by which nobody may fare worse without a reason."""
SEGMENTS = (*FAIRNESS, "category", "size", "shop_age", "history")

_SMALL_FEN, _LARGE_FEN = 100_000_00, 1_000_000_00
_YEAR = 365


def with_segments(rows: DataFrame, sellers: DataFrame) -> DataFrame:
    """Add the columns of SEGMENTS, text, to rows of a training set or of features; `sellers` is bronze.sellers.

    Region, owner type and category are those of the newest profile known before the as-of day; what is unknown says so.
    """
    known = sellers.join(rows.select("seller_id", "as_of"), "seller_id", "inner").filter(
        (F.col("changed_on") < F.col("as_of")) & (F.col("arrival_day") < F.col("as_of"))
    )
    newest_first = Window.partitionBy("seller_id", "as_of").orderBy(
        F.desc("changed_on"), F.desc("arrival_day"), "content_hash"
    )
    newest = (
        known.withColumn("place", F.row_number().over(newest_first))
        .filter("place = 1")
        .select("seller_id", "as_of", "region", "owner_type", "category")
    )
    sales, age, blocks = F.col("net_sales_sum_365d"), F.col("shop_age_days"), F.col("complete_blocks")
    size = (
        F.when(sales < _SMALL_FEN, "1 under 100,000 yuan a year")
        .when(sales < _LARGE_FEN, "2 under 1 million yuan a year")
        .when(sales.isNotNull(), "3 a million yuan a year or more")
    )
    shop_age = F.when(age < _YEAR, "1 under a year").when(age < 3 * _YEAR, "2 under three years")
    history = F.when(blocks < 12, "thin file: under 12 blocks of 30 days").otherwise("full")
    told = {
        "size": size,
        "shop_age": shop_age.when(age.isNotNull(), "3 three years or more"),
        "history": history,
        **{name: F.col(name) for name in ("region", "owner_type", "category")},
    }
    joined = rows.join(newest, ["seller_id", "as_of"], "left")
    return joined.withColumns(
        {name: F.coalesce(F.nullif(told[name], F.lit("")), F.lit("unknown")) for name in SEGMENTS}
    )
