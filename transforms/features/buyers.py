"""Who buys: how many, how faithful, how new."""

from transforms.features.feature import Feature, ratios, sums

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
]
