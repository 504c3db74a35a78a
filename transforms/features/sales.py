"""Scale, trend, volatility."""

from transforms.features.feature import Feature, ratios, sums

_SCALE = "scale and trend"
_VOLATILITY = "volatility and season"

# What is sold without a carrier's trace is taken off size features: brushed orders must not buy a limit.
_CLEAN = (
    "{sales} * (1 - coalesce(try_divide(cast(untraced_shipments_{window} as double), traceable_shipments_{window}), 0))"
)


def _clean(name: str, measure: str, days: int, words: str, model_input: bool = True) -> Feature:
    window = f"{days}d"
    formula = _CLEAN.format(sales=f"{measure}_{window}", window=window)
    # a ledger that tells nothing of shipments has nothing to clean by
    formula = f"cast(round(coalesce({formula}, {measure}_{window})) as bigint)"
    return Feature(
        f"{name}_sum_{window}",
        _SCALE,
        formula,
        "fen",
        f"{words} without the share shipped with no carrier's trace, last {days} days",
        f"no source tells of {measure}",
        "falls",
        "bigint",
        model_input,
    )


_MEAN = "aggregate(sales_blocks, 0D, (sum, block) -> sum + block, sum -> sum / 12)"

FEATURES: list[Feature] = [
    *sums(
        "orders_count", "paid_orders", (30, 90, 365), family=_SCALE, unit="orders", meaning="orders paid", risk="falls"
    ),
    *sums(
        "gmv_sum", "paid_fen", (30, 90, 365), family=_SCALE, unit="fen", meaning="amount of orders paid", risk="falls"
    ),
    *sums(
        "net_sales_sum",
        "net_sales_fen",
        (90, 365),
        family=_SCALE,
        unit="fen",
        meaning="amount paid less cancelled less refunded",
        risk="falls",
    ),
    _clean("clean_gmv", "paid_fen", 90, "amount of orders paid"),
    _clean("clean_net_sales", "net_sales_fen", 365, "amount paid less cancelled less refunded"),
    *ratios(
        "average_order_value",
        "paid_fen",
        "paid_orders",
        (90, 365),
        family=_SCALE,
        unit="fen an order",
        meaning="what a paid order was worth",
        unknown_when="no paid order in the window",
        risk=None,
    ),
    Feature(
        "gmv_growth_90d",
        _SCALE,
        "case when history_days >= 180"
        " then try_divide(cast(paid_fen_90d as double), paid_fen_180d - paid_fen_90d) - 1 end",
        "share",
        "growth of the amount of orders paid, last 90 days against the 90 before",
        "under 180 days of history, or none sold in the 90 days before",
        "falls",
    ),
    Feature(
        "gmv_growth_365d",
        _SCALE,
        "case when history_days >= 730"
        " then try_divide(cast(paid_fen_365d as double), paid_fen_730d - paid_fen_365d) - 1 end",
        "share",
        "growth of the amount of orders paid, last 365 days against the 365 before",
        "under 730 days of history, or none sold in the year before",
        "falls",
    ),
    Feature(
        "sales_slope_12_blocks",
        _SCALE,
        # least squares over x = 1 (oldest) to 12 (newest), mean 6.5, sum of squares 143; blocks stand newest first
        "case when complete_blocks = 12"
        " then try_divide(aggregate(transform(sales_blocks, (block, i) -> (5.5D - i) * block),"
        f" 0D, (sum, term) -> sum + term) / 143, {_MEAN}) end",
        "share a block",
        "slope of net sales over the last twelve 30-day blocks, over their mean",
        "under 360 days of history, or net sales of 0",
        "falls",
    ),
    Feature(
        "smallest_sales_block",
        _SCALE,
        "case when complete_blocks = 12 then array_min(sales_blocks) end",
        "fen",
        "net sales of the weakest of the last twelve 30-day blocks",
        "under 360 days of history",
        "falls",
        "bigint",
    ),
    Feature(
        "second_smallest_sales_block",
        _SCALE,
        "case when complete_blocks >= 3 then element_at(sort_array(sales_blocks), 2) end",
        "fen",
        "net sales of the second weakest of the last complete 30-day blocks, at most twelve",
        "under 90 days of history",
        "falls",
        "bigint",
        model_input=False,
    ),
    *sums(
        "active_days",
        "active_days",
        (90,),
        family=_VOLATILITY,
        unit="days",
        meaning="days with a paid order",
        risk="falls",
    ),
    Feature(
        "sales_variation_12_blocks",
        _VOLATILITY,
        "case when complete_blocks = 12"
        f" then try_divide(sqrt(aggregate(transform(sales_blocks, block -> pow(block - {_MEAN}, 2)),"
        f" 0D, (sum, term) -> sum + term) / 12), {_MEAN}) end",
        "share",
        "standard deviation of net sales over the last twelve 30-day blocks, over their mean",
        "under 360 days of history, or net sales of 0",
        "rises",
    ),
    Feature(
        "drawdown_180d",
        _VOLATILITY,
        "case when complete_blocks >= 6"
        " then 1 - try_divide(cast(sales_blocks[0] as double), array_max(slice(sales_blocks, 1, 6))) end",
        "share",
        "fall of the newest 30-day block's net sales from the best of the last six",
        "under 180 days of history, or nothing sold in them",
        "rises",
    ),
]
