"""What the shop's goods cost against their list prices."""

from transforms.features.feature import Feature

FEATURES: list[Feature] = [
    Feature(
        "discount_depth_90d",
        "prices",
        "1 - try_divide(cast(paid_of_listed_fen_90d as double), listed_fen_90d)",
        "share",
        "what orders were paid below their list prices, last 90 days",
        "no paid order with a list price in the window",
        "rises",
    ),
]
