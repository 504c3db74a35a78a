"""Fulfilment, service, refunds, brushing."""

from transforms.features.feature import Feature, ratios

_SERVICE = "fulfilment and service"
_REFUNDS = "refunds"
_BRUSHING = "brushing"
_NO_ORDER = "no paid order in the window"

FEATURES: list[Feature] = [
    *ratios(
        "shipping_hours_mean", "shipping_hours", "timed_shipments", (90,), family=_SERVICE, unit="hours",
        meaning="hours from payment to shipment", unknown_when="no shipment with a known time", risk="rises",
    ),
    *ratios(
        "late_shipment_rate", "late_shipments", "timed_shipments", (90,), family=_SERVICE, unit="share",
        meaning="share of shipments more than 48 hours after payment",
        unknown_when="no shipment with a known time", risk="rises",
    ),
    *ratios(
        "cancellation_rate", "cancelled_orders", "paid_orders", (90, 365), family=_SERVICE, unit="share",
        meaning="cancelled orders over paid orders", unknown_when=_NO_ORDER, risk="rises",
    ),
    *ratios(
        "dispute_rate", "disputed_orders", "paid_orders", (180,), family=_SERVICE, unit="share",
        meaning="disputes over paid orders", unknown_when=_NO_ORDER, risk="rises",
    ),
    *ratios(
        "rating_average", "rating_stars", "ratings", (90,), family=_SERVICE, unit="stars",
        meaning="mean rating", unknown_when="no rating in the window", risk="falls",
    ),
    *ratios(
        "low_rating_share", "low_ratings", "ratings", (180,), family=_SERVICE, unit="share",
        meaning="share of ratings of one or two stars", unknown_when="no rating in the window", risk="rises",
    ),
    *ratios(
        "refund_rate", "refunded_orders", "paid_orders", (90, 365), family=_REFUNDS, unit="share",
        meaning="refunds over paid orders", unknown_when=_NO_ORDER, risk="rises",
    ),
    *ratios(
        "refund_amount_rate", "refunded_fen", "paid_fen", (30, 180), family=_REFUNDS, unit="share",
        meaning="amount paid back over amount paid", unknown_when=_NO_ORDER, risk="rises",
    ),
    *ratios(
        "quality_refund_share", "quality_refunds", "refunded_orders", (365,), family=_REFUNDS, unit="share",
        meaning="share of refunds that were for quality", unknown_when="no refund in the window", risk="rises",
    ),
    *ratios(
        "untraced_shipment_share", "untraced_shipments", "traceable_shipments", (90,), family=_BRUSHING, unit="share",
        meaning="share of shipments without a trace at a carrier",
        unknown_when="no shipment of which a trace is known or missing", risk="rises",
    ),
    *ratios(
        "fast_confirmation_share", "fast_confirmations", "confirmed_orders", (90,), family=_BRUSHING, unit="share",
        meaning="share of orders confirmed within 24 hours of payment", unknown_when="no confirmation in the window",
        risk="rises",
    ),
]
