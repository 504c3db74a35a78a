"""Signs of orders that a shop gave to itself; no sign alone proves one."""

from transforms.features.feature import Feature, ratios

_BRUSHING = "brushing"
_SIGNS = (
    "array_compact(array(untraced_shipment_share_90d, fast_confirmation_share_90d, fast_praise_share_180d,"
    " circular_flow_share_90d))"
)

FEATURES: list[Feature] = [
    *ratios(
        "untraced_shipment_share",
        "untraced_shipments",
        "traceable_shipments",
        (90,),
        family=_BRUSHING,
        unit="share",
        meaning="share of shipments without a trace at a carrier",
        unknown_when="no shipment of which a trace is known or missing",
        risk="rises",
    ),
    *ratios(
        "fast_confirmation_share",
        "fast_confirmations",
        "timed_confirmations",
        (90,),
        family=_BRUSHING,
        unit="share",
        meaning="share of confirmations that came within 24 hours of payment",
        unknown_when="no confirmation with a known time in the window",
        risk="rises",
    ),
    *ratios(
        "fast_praise_share",
        "fast_praises",
        "timed_ratings",
        (180,),
        family=_BRUSHING,
        unit="share",
        meaning="share of ratings that gave five stars within 48 hours of payment",
        unknown_when="no rating with a known time in the window",
        risk="rises",
    ),
    Feature(
        "burst_ratio_90d",
        _BRUSHING,
        "try_divide(cast(busiest_day_orders * active_days_90d as double), paid_orders_90d)",
        "times the mean day",
        "orders of the busiest day over those of the mean day with orders, last 90 days",
        "no paid order in the window",
        "rises",
    ),
    Feature(
        "best_day_share_90d",
        _BRUSHING,
        "try_divide(cast(best_day_fen as double), paid_fen_90d)",
        "share",
        "share of the amount of orders paid that the best day brought, last 90 days",
        "nothing paid in the window",
        "rises",
    ),
    Feature(
        "exclusive_buyer_share_90d",
        _BRUSHING,
        "try_divide(cast(buyers_here_alone as double), buyers_counted)",
        "share",
        "share of buyers who bought from no other shop, last 90 days",
        "no buyer in the window",
        "rises",
    ),
    Feature(
        "circular_flow_share_90d",
        _BRUSHING,
        "try_divide(cast(circular_fen as double), buyer_fen)",
        "share",
        "share of the amount paid that came from buyers whom the shop paid within seven days before or after, last 90"
        " days",
        "nothing paid in the window, or no source tells of payments out",
        "rises",
    ),
    Feature(
        "brush_score_90d",
        _BRUSHING,
        f"try_divide(aggregate({_SIGNS}, 0D, (sum, sign) -> sum + sign), size({_SIGNS}))",
        "share",
        "mean of the signs that are known: shipments without a trace, fast confirmations, fast praise, circular flow",
        "none of the four is known",
        "rises",
        # for a policy's check: the model sees the signs themselves
        model_input=False,
    ),
]
