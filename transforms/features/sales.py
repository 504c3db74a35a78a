"""Scale, trend, volatility."""

from transforms.features.feature import Feature, change, growth, ratios, sums, told_before, untold, untold_before

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
        untold(measure),
        "falls",
        "bigint",
        model_input,
    )


_NO_YEAR = untold_before("net_sales_fen", 360)
_MEAN = "aggregate(sales_blocks, 0D, (sum, block) -> sum + block, sum -> sum / 12)"


def _spread(series: str, count: int) -> str:
    """Standard deviation over mean; an array of one mean gives it a name, so that it is worked out once."""
    mean = f"aggregate({series}, 0D, (sum, sale) -> sum + sale) / {count}"
    squares = f"aggregate({series}, 0D, (sum, sale) -> sum + (sale - mean) * (sale - mean))"
    return f"transform(array({mean}), mean -> try_divide(sqrt({squares} / {count}), greatest(mean, 0D)))[0]"


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
    *(_clean("clean_gmv", "paid_fen", days, "amount of orders paid") for days in (30, 90, 365)),
    *(
        _clean("clean_net_sales", "net_sales_fen", days, "amount paid less cancelled less refunded")
        for days in (90, 365)
    ),
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
        "average_order_value_change_90d",
        _SCALE,
        change("paid_fen", "paid_orders", 90),
        "fen an order",
        "what a paid order was worth in the last 90 days, less the same in the 90 before",
        "no paid order in the last 90 days, or none in the 90 before",
        None,
    ),
    Feature(
        "gmv_growth_90d",
        _SCALE,
        growth("paid_fen", 90),
        "share",
        "growth of the amount of orders paid, last 90 days against the 90 before",
        f"{untold_before('paid_fen', 180)}, or none sold in the 90 days before",
        "falls",
    ),
    Feature(
        "orders_growth_90d",
        _SCALE,
        growth("paid_orders", 90),
        "share",
        "growth of the number of orders paid, last 90 days against the 90 before",
        f"{untold_before('paid_fen', 180)}, or none sold in the 90 days before",
        "falls",
    ),
    Feature(
        "sales_pace_30d",
        _SCALE,
        f"case when {told_before('paid_fen', 90)}"
        " then try_divide(cast(3 * paid_fen_30d as double), paid_fen_90d) - 1 end",
        "share",
        "amount of orders paid of the last 30 days against a third of that of the last 90",
        f"{untold_before('paid_fen', 90)}, or none sold in them",
        "falls",
    ),
    Feature(
        "gmv_growth_on_year_90d",
        _SCALE,
        f"case when {told_before('paid_fen', 455)}"
        " then try_divide(cast(paid_fen_90d as double), paid_fen_455d - paid_fen_365d) - 1 end",
        "share",
        "growth of the amount of orders paid, last 90 days against the same 90 days a year before",
        f"{untold_before('paid_fen', 455)}, or none sold in the 90 days a year before",
        "falls",
    ),
    Feature(
        "gmv_growth_365d",
        _SCALE,
        growth("paid_fen", 365),
        "share",
        "growth of the amount of orders paid, last 365 days against the 365 before",
        f"{untold_before('paid_fen', 730)}, or none sold in the year before",
        "falls",
    ),
    Feature(
        "sales_slope_12_blocks",
        _SCALE,
        # least squares over x = 1 (oldest) to 12 (newest), mean 6.5, sum of squares 143; blocks stand newest first
        "case when size(sales_blocks) = 12"
        " then try_divide(aggregate(transform(sales_blocks, (block, i) -> (5.5D - i) * block),"
        f" 0D, (sum, term) -> sum + term) / 143, greatest({_MEAN}, 0D)) end",
        "share a block",
        "how fast net sales rose or fell over the last twelve 30-day blocks (slope over mean)",
        f"{_NO_YEAR}, or net sales of 0 or less",
        "falls",
    ),
    Feature(
        "smallest_sales_block",
        _SCALE,
        "case when size(sales_blocks) = 12 then array_min(sales_blocks) end",
        "fen",
        "net sales of the weakest of the last twelve 30-day blocks",
        _NO_YEAR,
        "falls",
        "bigint",
    ),
    Feature(
        "second_smallest_sales_block",
        _SCALE,
        "case when size(sales_blocks) >= 3 then element_at(sort_array(sales_blocks), 2) end",
        "fen",
        "net sales of the second weakest of the last complete 30-day blocks, at most twelve",
        untold_before("net_sales_fen", 90),
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
        f"case when size(sales_blocks) = 12 then {_spread('sales_blocks', 12)} end",
        "share",
        "how far net sales of the last twelve 30-day blocks lie from their mean (standard deviation over mean)",
        f"{_NO_YEAR}, or net sales of 0 or less",
        "rises",
    ),
    Feature(
        "drawdown_180d",
        _VOLATILITY,
        "case when size(sales_blocks) >= 6"
        " then 1 - try_divide(cast(sales_blocks[0] as double), greatest(array_max(slice(sales_blocks, 1, 6)), 0)) end",
        "share",
        "fall of the newest 30-day block's net sales from the best of the last six",
        f"{untold_before('net_sales_fen', 180)}, or no block with net sales in them",
        "rises",
    ),
    Feature(
        "sales_variation_26_weeks",
        _VOLATILITY,
        f"case when {told_before('net_sales_fen', 210)} then {_spread('weekly_sales', 26)} end",
        "share",
        "how far net sales of the last 26 weeks lie from their mean (standard deviation over mean)",
        f"{untold_before('net_sales_fen', 210)}, or net sales of 0 or less",
        "rises",
    ),
    Feature(
        "longest_gap_180d",
        _VOLATILITY,
        f"case when {told_before('paid_orders', 180)} then sales_gap_days end",
        "days",
        "longest run of days without a paid order, last 180 days",
        untold_before("paid_orders", 180),
        "rises",
        "int",
    ),
    Feature(
        "days_since_order",
        _VOLATILITY,
        "case when history_days > 0 and paid_orders_90d is not null"
        " then coalesce(quiet_days, least(history_days, 180)) end",
        "days",
        "days since the newest paid order, or since the first event where there is none, at most 180",
        "no event yet, or no source tells of orders",
        "rises",
        "int",
    ),
    *ratios(
        "festival_sales_share",
        "festival_fen",
        "paid_fen",
        (365,),
        family=_VOLATILITY,
        unit="share",
        meaning="share of the amount of orders paid that fell on 18 June and 11 November",
        unknown_when="no paid order in the window",
        risk=None,
    ),
    Feature(
        "season_index_next_90d",
        _VOLATILITY,
        # blocks stand newest first: the last three begin 360 days before the as-of day
        "case when size(sales_blocks) = 12"
        " then try_divide(cast(4 * (sales_blocks[9] + sales_blocks[10] + sales_blocks[11]) as double),"
        " greatest(aggregate(sales_blocks, 0L, (sum, block) -> sum + block), 0)) end",
        "times the mean quarter",
        "net sales of the quarter that began 360 days ago, as the coming one does now, over the mean quarter since",
        f"{_NO_YEAR}, or net sales of 0 or less",
        None,
    ),
]
