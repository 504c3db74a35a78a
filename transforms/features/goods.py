"""What the shop sells: how many things, and at what prices."""

from transforms.features.feature import Feature

_FAMILY = "goods"
_NO_ITEMS = "no source tells of items"
_NO_CATEGORIES = "no source tells of the items' categories"

FEATURES: list[Feature] = [
    Feature(
        "active_items_90d",
        _FAMILY,
        "items_sold",
        "items",
        "distinct items sold, last 90 days",
        _NO_ITEMS,
        "falls",
        "bigint",
    ),
    Feature(
        "item_concentration_90d",
        _FAMILY,
        # squares of fen pass what a bigint holds: they are summed as decimals, exactly
        "try_divide(cast(item_square_fen as double), pow(cast(item_fen as double), 2))",
        "of 1",
        "concentration of sales on few items (Herfindahl index: 1 where one item sold for all of it), last 90 days",
        "no paid order that tells its item in the window",
        "rises",
    ),
    Feature(
        "categories_90d",
        _FAMILY,
        "categories_sold",
        "categories",
        "distinct categories sold, last 90 days",
        _NO_CATEGORIES,
        None,
        "bigint",
    ),
    Feature(
        "price_against_category_90d",
        _FAMILY,
        "try_divide(cast(category_fen as double), category_usual_fen)",
        "times the usual price",
        "amount paid over what as many pieces of such goods brought all sellers, itself among them, last 90 days",
        "no paid order that tells its category in the window",
        None,
    ),
    Feature(
        "discount_depth_90d",
        _FAMILY,
        "1 - try_divide(cast(paid_of_listed_fen_90d as double), listed_fen_90d)",
        "share",
        "what orders were paid below their list prices, last 90 days",
        "no paid order with a list price in the window",
        "rises",
    ),
]
