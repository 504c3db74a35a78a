"""Fulfilment, service, refunds."""

from transforms.features.feature import Feature, change, ratios

_SERVICE = "fulfilment and service"
_REFUNDS = "refunds"
_NO_ORDER = "no paid order in the window"

_BINS = (
    # from hours, to hours, shipments up to the first, shipments up to the second
    (0, 12, "0", "shipped_within_half_day_90d"),
    (12, 24, "shipped_within_half_day_90d", "shipped_within_day_90d"),
    (24, 48, "shipped_within_day_90d", "(timed_shipments_90d - late_shipments_90d)"),
    (48, 72, "(timed_shipments_90d - late_shipments_90d)", "shipped_within_three_days_90d"),
)


def _median_of_bins(half: str) -> str:
    """The hours at which half of the shipments were out, on a straight line within the bin that reaches half."""
    cases = " ".join(
        f"when {upto} >= {half} then {low} + {high - low} * ({half} - {before}) / ({upto} - {before})"
        for low, high, before, upto in _BINS
    )
    return f"case when timed_shipments_90d = 0 then null {cases} when timed_shipments_90d > 0 then 72 end"


FEATURES: list[Feature] = [
    *ratios(
        "shipping_hours_mean",
        "shipping_hours",
        "timed_shipments",
        (90,),
        family=_SERVICE,
        unit="hours",
        meaning="hours from payment to shipment",
        unknown_when="no shipment with a known time",
        risk="rises",
    ),
    Feature(
        "shipping_hours_median_90d",
        _SERVICE,
        _median_of_bins("timed_shipments_90d / 2.0D"),
        "hours",
        "hours from payment to shipment of the middle shipment, from counts up to 12, 24, 48 and 72 hours (72: more)"
        ", last 90 days",
        "no shipment with a known time",
        "rises",
    ),
    *ratios(
        "late_shipment_rate",
        "late_shipments",
        "timed_shipments",
        (30, 90),
        family=_SERVICE,
        unit="share",
        meaning="share of shipments more than 48 hours after payment",
        unknown_when="no shipment with a known time",
        risk="rises",
    ),
    *ratios(
        "cancellation_rate",
        "cancelled_orders",
        "paid_orders",
        (90, 365),
        family=_SERVICE,
        unit="share",
        meaning="cancelled orders over paid orders",
        unknown_when=_NO_ORDER,
        risk="rises",
    ),
    *ratios(
        "delivery_hours_mean",
        "delivery_hours",
        "timed_deliveries",
        (90,),
        family=_SERVICE,
        unit="hours",
        meaning="hours from payment to delivery",
        unknown_when="no delivery with a known time",
        risk="rises",
    ),
    *ratios(
        "late_delivery_rate",
        "late_deliveries",
        "timed_deliveries",
        (90,),
        family=_SERVICE,
        unit="share",
        meaning="share of deliveries more than seven days after payment",
        unknown_when="no delivery with a known time",
        risk="rises",
    ),
    *ratios(
        "confirmation_hours_mean",
        "confirmation_hours",
        "timed_confirmations",
        (90,),
        family=_SERVICE,
        unit="hours",
        meaning="hours from payment to the buyer's confirmation",
        unknown_when="no confirmation with a known time",
        risk=None,
    ),
    *ratios(
        "dispute_rate",
        "disputed_orders",
        "paid_orders",
        (180,),
        family=_SERVICE,
        unit="share",
        meaning="disputes over paid orders",
        unknown_when=_NO_ORDER,
        risk="rises",
    ),
    *ratios(
        "lost_dispute_share",
        "lost_disputes",
        "disputed_orders",
        (365,),
        family=_SERVICE,
        unit="share",
        meaning="disputes lost over disputes",
        unknown_when="no dispute in the window",
        risk="rises",
    ),
    *ratios(
        "rating_average",
        "rating_stars",
        "ratings",
        (90,),
        family=_SERVICE,
        unit="stars",
        meaning="mean rating",
        unknown_when="no rating in the window",
        risk="falls",
    ),
    Feature(
        "rating_change_90d",
        _SERVICE,
        change("rating_stars", "ratings", 90),
        "stars",
        "mean rating of the last 90 days less that of the 90 before",
        "no rating in the last 90 days, or none in the 90 before",
        "falls",
    ),
    *ratios(
        "low_rating_share",
        "low_ratings",
        "ratings",
        (180,),
        family=_SERVICE,
        unit="share",
        meaning="share of ratings of one or two stars",
        unknown_when="no rating in the window",
        risk="rises",
    ),
    *ratios(
        "refund_rate",
        "refunded_orders",
        "paid_orders",
        (90, 365),
        family=_REFUNDS,
        unit="share",
        meaning="refunds over paid orders",
        unknown_when=_NO_ORDER,
        risk="rises",
    ),
    *ratios(
        "refund_amount_rate",
        "refunded_fen",
        "paid_fen",
        (30, 180),
        family=_REFUNDS,
        unit="share",
        meaning="amount paid back over amount paid",
        unknown_when=_NO_ORDER,
        risk="rises",
    ),
    *ratios(
        "quality_refund_share",
        "quality_refunds",
        "refunded_orders",
        (365,),
        family=_REFUNDS,
        unit="share",
        meaning="share of refunds that were for quality",
        unknown_when="no refund in the window",
        risk="rises",
    ),
    *ratios(
        "refund_hours_mean",
        "refund_hours",
        "timed_refunds",
        (180,),
        family=_REFUNDS,
        unit="hours",
        meaning="hours from payment to refund",
        unknown_when="no refund with a known time",
        risk="rises",
    ),
    Feature(
        "refund_rate_change_90d",
        _REFUNDS,
        change("refunded_orders", "paid_orders", 90),
        "percentage points",
        "refunds over paid orders in the last 90 days, less the same in the 90 before",
        "no paid order in the last 90 days, or none in the 90 before",
        "rises",
    ),
]
