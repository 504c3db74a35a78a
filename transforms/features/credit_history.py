"""What the seller did with earlier loans here."""

from transforms.features.feature import Feature, sums

_FAMILY = "credit history"
_NO_LOANS = "no source tells of loans"

FEATURES: list[Feature] = [
    *sums(
        "drawn_loans_count", "drawn_loans", (36_500,), family=_FAMILY, unit="loans", meaning="loans drawn", risk=None
    ),
    Feature(
        "outstanding_principal",
        _FAMILY,
        "outstanding_fen",
        "fen",
        "principal outstanding now",
        _NO_LOANS,
        "rises",
        "bigint",
    ),
    Feature(
        "debt_rate",
        _FAMILY,
        "try_divide(cast(outstanding_fen as double), net_sales_fen_90d)",
        "share",
        "principal outstanding now over net sales of the last 90 days",
        "no net sales in the window",
        "rises",
    ),
    Feature(
        "days_past_due",
        _FAMILY,
        "days_past_due",
        "days",
        "days past due of the oldest unpaid instalment now",
        _NO_LOANS,
        "rises",
        "int",
    ),
    Feature(
        "largest_days_past_due_365d",
        _FAMILY,
        "largest_days_past_due_365d",
        "days",
        "largest days past due in the last 365 days",
        _NO_LOANS,
        "rises",
        "int",
    ),
    Feature("settled_loans", _FAMILY, "settled_loans", "loans", "loans repaid in full", _NO_LOANS, "falls", "bigint"),
    Feature(
        "largest_principal_repaid",
        _FAMILY,
        "largest_principal_repaid",
        "fen",
        "largest loan repaid in full after 30 days or more",
        _NO_LOANS,
        "falls",
        "bigint",
        model_input=False,
    ),
    Feature(
        "written_off_loans",
        _FAMILY,
        "written_off_loans_ever",
        "loans",
        "loans written off",
        _NO_LOANS,
        "rises",
        "bigint",
        model_input=False,
    ),
]
