"""The shop itself, and how long we have known it."""

from transforms.features.feature import Feature

_SHOP = "shop"
_THIN = "thin file"

FEATURES: list[Feature] = [
    Feature(
        "shop_age_days",
        _SHOP,
        "shop_age_days",
        "days",
        "days since the shop opened",
        "opening day unknown",
        "falls",
        "int",
    ),
    Feature(
        "verified", _SHOP, "verified", "1 or 0", "whether the owner's identity was verified", "not told", "falls", "int"
    ),
    Feature(
        "penalty_points",
        _SHOP,
        "penalty_points",
        "points",
        "points for breaking the platform's rules",
        "not told",
        "rises",
        "int",
    ),
    Feature(
        "payout_account_days",
        _SHOP,
        "payout_account_days",
        "days",
        "days since the payout account last changed",
        "payout account not told",
        "falls",
        "int",
    ),
    Feature(
        "owner_days",
        _SHOP,
        "owner_days",
        "days",
        "days since the owner last changed",
        "owner not told",
        "falls",
        "int",
    ),
    Feature(
        "device_days",
        _SHOP,
        "device_days",
        "days",
        "days since the device that runs the shop last changed",
        "device not told",
        "falls",
        "int",
    ),
    Feature(
        "penalty_points_change_180d",
        _SHOP,
        "penalty_points - penalty_points_before",
        "points",
        "points for breaking the platform's rules, less those of 180 days ago",
        "not told now, or not 180 days ago",
        "rises",
        "int",
    ),
    Feature(
        "closed",
        _SHOP,
        "closed",
        "1 or 0",
        "whether the shop has closed",
        "never: a shop not told to have closed is open",
        "rises",
        "int",
        model_input=False,
    ),
    Feature(
        "history_days",
        _THIN,
        "history_days",
        "days",
        "days since the first event that we know of, applications for loans and answers to them apart",
        "never: 0 without events",
        "falls",
        "int",
    ),
    Feature(
        "complete_blocks",
        _THIN,
        "complete_blocks",
        "blocks",
        "complete 30-day blocks of history, at most twelve",
        "never: 0 without events",
        "falls",
        "int",
        model_input=False,
    ),
]
