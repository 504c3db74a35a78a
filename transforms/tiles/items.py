"""Order events -> what each seller sold of each item."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.tables.silver import SELLER_ITEM_DAY


def item_days(orders: DataFrame) -> DataFrame:
    """Order events -> the change of each seller's sales of each item, a row an event day and arrival day.

    Of paid orders that tell an item or a category; an order that tells no quantity above 0 is taken for one piece.
    """
    pieces = F.when(F.col("quantity") > 0, F.col("quantity")).otherwise(1).cast("bigint")
    is_told = F.col("item_id").isNotNull() | F.col("category").isNotNull()
    return (
        orders.filter((F.col("kind") == "paid") & is_told)
        .groupBy("seller_id", "item_id", "category", "event_day", "arrival_day")
        .agg(
            F.sum("sign").alias("orders"),
            F.sum(F.col("sign") * pieces).alias("pieces"),
            F.sum(F.col("sign") * F.col("amount_fen")).alias("paid_fen"),
        )
        .filter((F.col("orders") != 0) | (F.col("pieces") != 0) | (F.col("paid_fen") != 0))
        .withColumn("arrival_month", F.date_format("arrival_day", "yyyy-MM"))
        .select(*SELLER_ITEM_DAY.names)
    )
