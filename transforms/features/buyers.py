"""Who buys: how many, how faithful, how new."""

from transforms.features.feature import Feature, ratios, sums, told_before, untold_before

_FAMILY = "buyers"

FEATURES: list[Feature] = [
    *sums(
        "distinct_buyers",
        "last_buyers",
        (90, 365),
        family=_FAMILY,
        unit="buyers",
        meaning="distinct buyers",
        risk="falls",
    ),
    *ratios(
        "repeat_buyer_rate",
        "second_last_buyers",
        "last_buyers",
        (180,),
        family=_FAMILY,
        unit="share",
        meaning="share of buyers with two or more orders",
        unknown_when="no buyer in the window",
        risk="falls",
    ),
    *ratios(
        "new_buyer_share",
        "first_buyers",
        "last_buyers",
        (90,),
        family=_FAMILY,
        unit="share",
        meaning="share of buyers who had never bought here before",
        unknown_when="no buyer in the window",
        risk=None,
    ),
    *ratios(
        "orders_per_buyer",
        "paid_orders",
        "last_buyers",
        (90,),
        family=_FAMILY,
        unit="orders",
        meaning="paid orders a buyer",
        unknown_when="no buyer in the window",
        risk=None,
    ),
    Feature(
        "lapsed_buyer_share_180d",
        _FAMILY,
        f"case when {told_before('paid_orders', 180)}"
        " then try_divide(cast(last_buyers_180d - last_buyers_90d as double), last_buyers_180d) end",
        "share",
        "share of the buyers of the last 180 days who did not buy in the last 90",
        f"{untold_before('paid_orders', 180)}, or no buyer in them",
        "rises",
    ),
    Feature(
        "returning_buyer_rate_60d",
        _FAMILY,
        "try_divide(cast(buyers_returned_30d as double), buyers_before_30d)",
        "share",
        "share of the buyers of 60 to 31 days ago who bought again in the last 30 days",
        "no buyer 60 to 31 days ago",
        "falls",
    ),
    Feature(
        "buyer_concentration_90d",
        _FAMILY,
        # squares of fen pass what a bigint holds: they are summed as decimals, exactly
        "try_divide(cast(buyer_square_fen as double), pow(cast(buyer_fen as double), 2))",
        "of 1",
        "concentration of the amount paid on few buyers (Herfindahl index: 1 where one buyer paid all), last 90 days",
        "nothing paid in the window",
        "rises",
    ),
    Feature(
        "largest_buyer_share_90d",
        _FAMILY,
        "try_divide(cast(largest_buyer_fen as double), buyer_fen)",
        "share",
        "share of the amount paid that came from the largest buyer, last 90 days",
        "nothing paid in the window",
        "rises",
    ),
    Feature(
        "top_ten_buyer_share_90d",
        _FAMILY,
        "try_divide(cast(top_buyers_fen as double), buyer_fen)",
        "share",
        "share of the amount paid that came from the ten largest buyers, last 90 days",
        "nothing paid in the window",
        "rises",
    ),
]
