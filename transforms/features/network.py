"""The shops connected with this one by an owner, a payout account or a device."""

from transforms.features.feature import Feature

_FAMILY = "network"
_UNLINKABLE = "owner, payout account and device not told"


def _of_group(name: str, state: str, unit: str, meaning: str, model_input: bool = True) -> Feature:
    formula = f"case when linkable = 1 then {state} end"
    return Feature(name, _FAMILY, formula, unit, meaning, _UNLINKABLE, "rises", "bigint", model_input)


FEATURES: list[Feature] = [
    _of_group("group_members", "group_size", "shops", "shops connected by owner, account or device, with this one"),
    _of_group("group_closed_shops", "others_closed", "shops", "other shops of the connected group that have closed"),
    _of_group(
        "bad_neighbours",
        "others_bad",
        "shops",
        "other shops of the connected group 30 days past due in the last 365 days, or with a loan written off",
    ),
    Feature(
        "bad_neighbour_share",
        _FAMILY,
        "case when linkable = 1 then try_divide(cast(others_bad as double), group_size - 1) end",
        "share",
        "share of the other shops of the connected group 30 days past due in the last 365 days or written off",
        "no other shop is connected, or owner, payout account and device not told",
        "rises",
    ),
    # for the limit of a group: how much siblings owe says little beside whether they pay
    _of_group("group_exposure", "others_outstanding_fen", "fen", "principal that the others of the group owe", False),
]
