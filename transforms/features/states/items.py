"""What a seller has sold in the last 90 days, item by item, as known before an as-of day."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.features.states.state import State, sum_of_squares
from transforms.windows.asked import Asked

ITEM_DAYS = 90
_LABEL = ["seller_id", "as_of"]
_ITEMS = ("order_event.paid", "order_event.item_id")
_CATEGORIES = ("order_event.paid", "order_event.category")

ITEM_STATES = (
    State("items_sold", "item", "bigint", "items sold in the last 90 days", _ITEMS, "0"),
    State("item_fen", "item", "bigint", "amount of orders paid that tell their item, last 90 days, fen", _ITEMS, "0"),
    State(
        "item_square_fen",
        "item",
        "decimal(38,0)",
        "square of each item's amount of the last 90 days, summed, fen x fen",
        _ITEMS,
        "0",
    ),
)

CATEGORY_STATES = (
    State("categories_sold", "item", "bigint", "categories sold in the last 90 days", _CATEGORIES, "0"),
    State(
        "category_fen",
        "item",
        "bigint",
        "amount of orders paid that tell their category, last 90 days, fen",
        _CATEGORIES,
        "0",
    ),
    State(
        "category_usual_fen",
        "item",
        "bigint",
        "what as many pieces of each of these categories brought on average, of all sellers, itself among them, last 90"
        " days, fen",
        _CATEGORIES,
        "0",
    ),
)


def item_states_at(items: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with ITEM_STATES, from silver.seller_item_day. Only sellers with a sale in the window."""
    return (
        _standing(items, "item_id", asked)
        .groupBy(*_LABEL)
        .agg(
            F.count(F.lit(1)).alias("items_sold"),
            F.sum("paid_fen").alias("item_fen"),
            sum_of_squares("paid_fen").alias("item_square_fen"),
        )
    )


def category_states_at(items: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with CATEGORY_STATES, from silver.seller_item_day. Only sellers with a sale in the window.

    Every seller's sales are read: together they make a category's average price.
    """
    # a day's sales in one row before they meet every as-of day whose window they are in
    by_day = (
        items.filter(F.col("category").isNotNull())
        .groupBy("category", "event_day", "arrival_day")
        .agg(F.sum("paid_fen").alias("paid_fen"), F.sum("pieces").alias("pieces"))
    )
    averages = (
        asked.of_windows(by_day, ITEM_DAYS)
        .groupBy("as_of", "category")
        .agg(F.try_divide(F.sum("paid_fen").cast("double"), F.sum("pieces")).alias("piece_fen"))
    )
    # to the nearest fen a category, so that their sum is a whole number, whatever the order of its terms
    usual = F.round(F.col("pieces") * F.col("piece_fen")).cast("bigint")
    return (
        _standing(items, "category", asked)
        .join(F.broadcast(averages), ["as_of", "category"])
        .groupBy(*_LABEL)
        .agg(
            F.count(F.lit(1)).alias("categories_sold"),
            F.sum("paid_fen").alias("category_fen"),
            F.sum(usual).alias("category_usual_fen"),
        )
    )


def _standing(items: DataFrame, of: str, asked: Asked) -> DataFrame:
    """A row a label and item, or category, of which an order of the window stands."""
    sold = asked.only(asked.of_windows(items.filter(F.col(of).isNotNull()), ITEM_DAYS))
    return (
        sold.groupBy(*_LABEL, of)
        .agg(*(F.sum(name).alias(name) for name in ("orders", "pieces", "paid_fen")))
        .filter(F.col("orders") > 0)
    )
