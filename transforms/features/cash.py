"""The payment account: what comes in, what goes out, what is left."""

from transforms.features.feature import Feature, ratios, sums

_FAMILY = "payment account"

FEATURES: list[Feature] = [
    *sums(
        "inflow_sum", "inflow_fen", (90,), family=_FAMILY, unit="fen",
        meaning="money in, without loans drawn", risk="falls",
    ),
    *sums(
        "free_cash_sum", "free_cash_fen", (30, 90), family=_FAMILY, unit="fen",
        meaning="money in less money out, without loans drawn and repaid here", risk="falls",
    ),
    *ratios(
        "free_cash_rate", "free_cash_fen", "inflow_fen", (90,), family=_FAMILY, unit="share",
        meaning="share of the money in that was left after all outflow", unknown_when="no money in", risk="falls",
    ),
    *ratios(
        "supplier_rate", "supplier_fen", "net_sales_fen", (90, 365), family=_FAMILY, unit="share",
        meaning="paid to suppliers over net sales (restocking)", unknown_when="net sales of 0", risk=None,
    ),
    *ratios(
        "withdrawal_rate", "withdrawn_fen", "inflow_fen", (90,), family=_FAMILY, unit="share",
        meaning="share of the money in that the owner withdrew", unknown_when="no money in", risk="rises",
    ),
    *ratios(
        "advertising_rate", "advertising_fen", "net_sales_fen", (90,), family=_FAMILY, unit="share",
        meaning="paid for advertising over net sales", unknown_when="net sales of 0", risk=None,
    ),
    *ratios(
        "other_lender_rate", "other_lender_fen", "inflow_fen", (90,), family=_FAMILY, unit="share",
        meaning="share of the money in that went to other lenders", unknown_when="no money in", risk="rises",
    ),
    *sums(
        "failed_debits_count", "failed_debits", (90,), family=_FAMILY, unit="debits",
        meaning="debits that failed for want of cover", risk="rises",
    ),
    Feature(
        "free_cash_median_block", _FAMILY,
        # the lower of the two middle ones where the number is even: an integer, and never flattering
        "case when complete_blocks >= 3 then element_at(sort_array(free_cash_blocks), cast((complete_blocks + 1) div 2 as int)) end",
        "fen", "free cash of the median of the last complete 30-day blocks, at most twelve",
        "under 90 days of history", "falls", "bigint", model_input=False,
    ),
]
