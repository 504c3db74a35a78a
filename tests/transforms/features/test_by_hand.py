"""Every feature of the catalogue, worked out by hand on the tiny ledger: by sums and from events alone."""

from dataclasses import replace
from datetime import timedelta
from math import sqrt

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.source import load_source
from tests.transforms.features import tiny
from transforms.features.catalogue import BY_NAME, CATALOGUE
from transforms.features.evaluate import evaluate, inputs, value_of
from transforms.features.known import features_by_rebuild, features_by_sweep
from transforms.windows.asked import Chosen, EverySeller

Value = float | int | None

# net sales of the last twelve 30-day blocks of busy, newest first:
# 1700, 2000, 0, 700, 0, 0, 0, 0, 300, 0, 600, -50; their sum is 5250, that of their squares 7,832,500
_BLOCK_MEAN = 5250 / 12
_BLOCK_SLOPE = (5.5 * 1700 + 4.5 * 2000 + 2.5 * 700 - 2.5 * 300 - 4.5 * 600 + 5.5 * 50) / 143
# of the last 26 weeks: 1000, 300, 400, 0, 0, 0, 0, 2000, and 92 to 112 days ago -200, 400, 500
_WEEK_MEAN = 4400 / 26
_WEEK_SQUARES = 1000**2 + 300**2 + 400**2 + 2000**2 + 200**2 + 400**2 + 500**2

EXPECTED: dict[str, tuple[Value, Value, Value]] = {
    # a feature of: busy, who has everything; sister, who began 40 days ago; new, of whom only a profile is known
    # scale and trend
    "orders_count_30d": (4, 12, 0),
    "orders_count_90d": (7, 13, 0),
    "orders_count_365d": (11, 13, 0),
    "gmv_sum_30d": (300 + 100 + 600 + 1000, 1400, 0),
    "gmv_sum_90d": (4100, 1900, 0),
    "gmv_sum_365d": (5900, 1900, 0),
    "net_sales_sum_90d": (4100 - 100 - 300, 1900, 0),
    "net_sales_sum_365d": (5900 - 100 - 300 - 200 - 50, 1900, 0),
    "clean_gmv_sum_30d": (2000 * 1 // 2, 1400, 0),
    "clean_gmv_sum_90d": (4100 * 3 // 4, 1900, 0),
    "clean_gmv_sum_365d": (5900 * 4 // 5, 1900, 0),
    "clean_net_sales_sum_90d": (3700 * 3 // 4, 1900, 0),
    "clean_net_sales_sum_365d": (5250 * 4 // 5, 1900, 0),
    "average_order_value_90d": (4100 / 7, 1900 / 13, None),
    "average_order_value_365d": (5900 / 11, 1900 / 13, None),
    "average_order_value_change_90d": (4100 / 7 - 900 / 2, None, None),
    "gmv_growth_90d": (4100 / 900 - 1, None, None),
    "orders_growth_90d": (7 / 2 - 1, None, None),
    "sales_pace_30d": (2000 / (4100 / 3) - 1, None, None),
    "gmv_growth_on_year_90d": (4100 / 4000 - 1, None, None),
    "gmv_growth_365d": (5900 / 6000 - 1, None, None),
    "sales_slope_12_blocks": (_BLOCK_SLOPE / _BLOCK_MEAN, None, None),
    "smallest_sales_block": (-50, None, None),
    "second_smallest_sales_block": (0, None, None),
    # volatility and season
    "active_days_90d": (5, 2, 0),
    "sales_variation_12_blocks": (sqrt(7_832_500 / 12 - _BLOCK_MEAN**2) / _BLOCK_MEAN, None, None),
    "sales_variation_26_weeks": (sqrt(_WEEK_SQUARES / 26 - _WEEK_MEAN**2) / _WEEK_MEAN, None, None),
    "drawdown_180d": (1 - 1700 / 2000, None, None),
    "longest_gap_180d": (180 - 110, None, None),
    "days_since_order": (1, 5, None),
    "festival_sales_share_365d": ((500 + 300) / 5900, 0, None),
    "season_index_next_90d": ((0 + 600 - 50) / (5250 / 4), None, None),
    # goods: of i1 busy sold 2000 fen, of i2 900, of i3 1000; five hats for 2100, three shoes for 1600, where nine hats
    # brought all sellers 2600 and four shoes 1700; the sister sold four hats for 500 and one pair for 100
    "active_items_90d": (3, 2, 0),
    "item_concentration_90d": ((2000**2 + 900**2 + 1000**2) / 3900**2, (500**2 + 100**2) / 600**2, None),
    "categories_90d": (2, 2, 0),
    "price_against_category_90d": (
        (2100 + 1600) / (round(5 * 2600 / 9) + round(3 * 1700 / 4)),
        (500 + 100) / (round(4 * 2600 / 9) + round(1 * 1700 / 4)),
        None,
    ),
    "discount_depth_90d": (1 - (300 + 100) / (400 + 100), None, None),
    # buyers: b1 paid 2700 in 90 days, b2 300, b5 100, b6 1000; of the sister b9 500, b6 300, and eleven 100 each
    "distinct_buyers_90d": (4, 13, 0),
    "distinct_buyers_365d": (6, 13, 0),
    "repeat_buyer_rate_180d": (2 / 6, 0, None),
    "new_buyer_share_90d": (2 / 4, 1, None),
    "orders_per_buyer_90d": (7 / 4, 1, None),
    "lapsed_buyer_share_180d": (2 / 6, None, None),
    "returning_buyer_rate_60d": (2 / 3, 0, None),
    "buyer_concentration_90d": (
        (2700**2 + 300**2 + 100**2 + 1000**2) / 4100**2,
        (500**2 + 300**2 + 11 * 100**2) / 1900**2,
        None,
    ),
    "largest_buyer_share_90d": (2700 / 4100, 500 / 1900, None),
    "top_ten_buyer_share_90d": (1, (500 + 300 + 8 * 100) / 1900, None),
    # fulfilment and service: shipped after 10, 20, 30, 60 and 100 hours
    "shipping_hours_mean_90d": (44, None, None),
    "shipping_hours_median_90d": (36, None, None),
    "late_shipment_rate_30d": (2 / 3, None, None),
    "late_shipment_rate_90d": (2 / 5, None, None),
    "cancellation_rate_90d": (1 / 7, 0, None),
    "cancellation_rate_365d": (1 / 11, 0, None),
    "delivery_hours_mean_90d": (150, None, None),
    "late_delivery_rate_90d": (1 / 2, None, None),
    "confirmation_hours_mean_90d": ((20 + 160) / 2, None, None),
    "dispute_rate_180d": (1 / 9, 0, None),
    "lost_dispute_share_365d": (1 / 2, None, None),
    "rating_average_90d": (3.5, None, None),
    "rating_change_90d": (3.5 - 4.5, None, None),
    "low_rating_share_180d": (1 / 4, None, None),
    # refunds
    "refund_rate_90d": (1 / 7, 0, None),
    "refund_rate_365d": (3 / 11, 0, None),
    "refund_rate_change_90d": (1 / 7 - 1 / 2, None, None),
    "refund_amount_rate_30d": (300 / 2000, 0, None),
    "refund_amount_rate_180d": ((300 + 200) / 5000, 0, None),
    "quality_refund_share_365d": (1 / 3, None, None),
    "refund_hours_mean_180d": (240, None, None),
    # brushing
    "untraced_shipment_share_90d": (1 / 4, None, None),
    "fast_confirmation_share_90d": (1 / 2, None, None),
    "fast_praise_share_180d": (2 / 3, None, None),
    "burst_ratio_90d": (2 / (7 / 5), 12 / (13 / 2), None),
    "best_day_share_90d": (2000 / 4100, 1400 / 1900, None),
    "exclusive_buyer_share_90d": (3 / 4, 12 / 13, None),
    # b1 was paid 3 days after the order of 300 and 7 days before that of 600
    "circular_flow_share_90d": ((300 + 600) / 4100, 0, None),
    "brush_score_90d": ((1 / 4 + 1 / 2 + 2 / 3 + 900 / 4100) / 4, 0, None),
    # payment account
    "inflow_sum_90d": (2000 + 3000 + 600 + 100 + 400 + 40, 1500, 0),
    "inflow_growth_90d": (6140 / 1000 - 1, None, None),
    "outflow_sum_90d": (500 + 100 + 1400 + 300 + 50 + 4000, 1000, 0),
    "free_cash_sum_30d": (600 + 100 - 300 - 50 - 4000, 500, 0),
    "free_cash_sum_90d": (6140 - 6350, 500, 0),
    "free_cash_rate_90d": (-210 / 6140, 500 / 1500, None),
    "free_cash_median_block": (0, None, None),
    "smallest_free_cash_block": (-3650, None, None),
    "negative_cash_block_share": (1 / 12, None, None),
    "supplier_rate_90d": ((500 - 100) / 3700, 950 / 1900, None),
    "supplier_rate_365d": (400 / 5250, 950 / 1900, None),
    "withdrawal_rate_90d": ((1400 - 400 + 4000) / 6140, 0, None),
    "advertising_rate_90d": ((100 - 40) / 3700, 0, None),
    "other_lender_rate_90d": (300 / 6140, 50 / 1500, None),
    "outside_inflow_share_90d": (600 / 6140, 0, None),
    "failed_debits_count_30d": (1, 0, 0),
    "failed_debits_count_90d": (2, 0, 0),
    # busy had -210 + 300 to serve 2300 from
    "debt_service_rate_90d": (10, (200 + 50) / (500 + 50), 0),
    "balance_average_90d": (
        (5 * 1000 + 5 * 3000 + 20 * 2500 + 20 * 2400 + 10 * 4000 + 5 * 4600 + 8 * 4300 + 5 * 4250) / 90
        + (9250 + 6 * 5250 + 3250 + 4 * 3350) / 90,
        (10 * 1000 + 10 * 50 + 2 * 550 + 2 * 350 + 6 * 300) / 30,
        None,
    ),
    "balance_minimum_90d": (1000, 50, None),
    "balance_amplitude_90d": (9250 - 1000, 1000 - 50, None),
    "days_below_week_outflow_90d": (0, 10, None),
    # credit history
    "drawn_loans_count_365d": (3, 1, 0),
    "drawn_loans_count_ever": (4, 1, 0),
    "open_loans": (1, 1, 0),
    "outstanding_principal": (5000 - 1500, 400, 0),
    "debt_rate": (3500 / 3700, 400 / 1900, None),
    "days_past_due": (2, 0, 0),
    "past_due_amount": (2000 - 1500, 0, 0),
    "largest_days_past_due_365d": (10, 2, 0),
    "settled_loans": (3, 0, 0),
    "largest_principal_repaid": (2000, 0, 0),
    "written_off_loans": (0, 0, 0),
    "repaid_rate_ever": ((400 + 1000 + 2000 + 1500) / 8400, 200 / 600, None),
    "on_time_loan_rate": (2 / 3, None, None),
    "early_repayment_rate": (1 / 3, None, None),
    "mean_days_drawn": ((60 + 50 + 60) / 3, None, None),
    "days_without_arrears": (0, 8, None),
    "days_since_draw": (12, 25, None),
    "reschedulings_count_ever": (1, 0, 0),
    "cash_out_share_365d": (4000 / 8000, 0, None),
    # shop
    "shop_age_days": (1000, 60, None),
    "verified": (1, 0, None),
    "penalty_points": (5, None, None),
    "penalty_points_change_180d": (5 - 2, None, None),
    "payout_account_days": (100, 60, None),
    "owner_days": (50, 60, None),
    "device_days": (900, 60, None),
    "closed": (0, 0, 0),
    # network: busy and sister share an owner, busy and gone an account
    "group_members": (3, 3, None),
    "group_closed_shops": (1, 1, None),
    "bad_neighbours": (1, 1, None),
    "bad_neighbour_share": (1 / 2, 1 / 2, None),
    "group_exposure": (400, 3500, None),
    # thin file
    "history_days": (800, 40, 0),
    "complete_blocks": (12, 1, 0),
}

OF_GONE: dict[str, Value] = {
    # closed 300 days ago, 100 days after its only loan was written off
    "closed": 1,
    "written_off_loans": 1,
    "drawn_loans_count_ever": 1,
    "drawn_loans_count_365d": 0,
    "repaid_rate_ever": 0,
    "outstanding_principal": 0,
    "shop_age_days": 950,
    "group_members": 3,
    "group_closed_shops": 0,
    "orders_count_365d": 0,
}

KNOWN_WITHOUT_EVENTS = {
    *("shop_age_days", "verified", "penalty_points", "penalty_points_change_180d", "payout_account_days"),
    *("owner_days", "device_days", "closed", "group_members", "group_closed_shops", "history_days", "complete_blocks"),
    *("balance_average_90d", "balance_minimum_90d", "balance_amplitude_90d"),
}
"""What needs no kind of record: where no source tells any, all else is unknown, not zero."""


def test_every_feature_was_worked_out_by_hand() -> None:
    assert sorted(EXPECTED) == sorted(feature.name for feature in CATALOGUE)


@pytest.mark.parametrize("way", ["sums", pytest.param("events", marks=pytest.mark.full)])
def test_the_tiny_ledger_gives_what_was_worked_out(spark: SparkSession, way: str) -> None:
    events = tiny.bronze(spark)
    kinds = dict.fromkeys(load_source("marketplace").kinds_told())
    if way == "sums":
        found = features_by_sweep(tiny.silver(events), tiny.labels(spark), EverySeller(tiny.AS_OF), kinds)
    else:
        found = features_by_rebuild(events, tiny.labels(spark), Chosen(tiny.labels(spark)), kinds)
    rows = {row["seller_id"]: row.asDict() for row in found.collect()}
    wrong = {
        (seller, name): (rows[seller][name], wanted)
        for name, values in EXPECTED.items()
        for seller, wanted in zip(("busy", "sister", "new"), values, strict=True)
        if not same(rows[seller][name], wanted)
    }
    wrong |= {
        ("gone", name): (rows["gone"][name], wanted)
        for name, wanted in OF_GONE.items()
        if not same(rows["gone"][name], wanted)
    }
    assert not wrong


@pytest.mark.full  # all features once more
def test_what_no_source_tells_is_unknown_and_not_none(spark: SparkSession) -> None:
    found = features_by_sweep(tiny.silver(tiny.bronze(spark)), tiny.labels(spark), Chosen(tiny.labels(spark)), {})
    busy = found.filter("seller_id = 'busy'").collect()[0].asDict()
    assert {name for name in EXPECTED if busy[name] is not None} == KNOWN_WITHOUT_EVENTS


def test_what_a_source_tells_later_stays_unknown_of_the_days_before(spark: SparkSession) -> None:
    days = [tiny.AS_OF - timedelta(days=1), tiny.AS_OF]
    sums = spark.createDataFrame(
        [("s1", day, day, 700, 30) for day in days],
        "seller_id string, as_of date, first_day date, inflow_fen_90d bigint, paid_fen_90d bigint",
    )
    # the first load of payments arrives on the day before the later as-of day
    kinds = {"order_event.paid": None, "payment_event.sale": days[0]}
    features = [BY_NAME["inflow_sum_90d"], BY_NAME["gmv_sum_90d"]]
    found = evaluate(inputs(sums, [], kinds, features), features).collect()
    assert sorted(map(tuple, found)) == [("s1", days[0], None, 30), ("s1", days[1], 700, 30)]


# a feature of busy: with payments known from 150 days ago on; with orders known from 110 days ago on
CONNECTED_LATER: dict[str, dict[str, Value]] = {
    "payments": {
        "inflow_growth_90d": None,
        "smallest_free_cash_block": None,
        "negative_cash_block_share": 1 / 4,
        "free_cash_median_block": 0,
    },
    "orders": {
        **dict.fromkeys(("gmv_growth_90d", "orders_growth_90d", "gmv_growth_on_year_90d", "gmv_growth_365d")),
        **dict.fromkeys(("sales_slope_12_blocks", "smallest_sales_block", "sales_variation_12_blocks")),
        **dict.fromkeys(("sales_variation_26_weeks", "drawdown_180d", "longest_gap_180d", "season_index_next_90d")),
        "sales_pace_30d": 2000 / (4100 / 3) - 1,
        "second_smallest_sales_block": 1700,
        "lapsed_buyer_share_180d": None,
    },
}


@pytest.mark.parametrize("feed", ["payments", pytest.param("orders", marks=pytest.mark.full)])
def test_of_the_time_before_a_feed_was_connected_nothing_is_known(spark: SparkSession, feed: str) -> None:
    events = tiny.bronze(spark)
    days = {"payments": 150, "orders": 110}[feed]
    known = getattr(events, feed).filter(F.col("event_day") >= F.date_sub(F.lit(tiny.AS_OF), days))
    labels, kinds = tiny.labels(spark), dict.fromkeys(load_source("marketplace").kinds_told())
    silver = tiny.silver(replace(events, **{feed: known}))
    busy = features_by_sweep(silver, labels, Chosen(labels), kinds).filter("seller_id = 'busy'").collect()[0]
    assert {name: busy[name] for name in CONNECTED_LATER[feed]} == CONNECTED_LATER[feed]
    assert busy["complete_blocks"] == 12


def same(have: Value, wanted: Value) -> bool:
    if have is None or wanted is None or isinstance(have, int):
        return have == wanted
    return have == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_over_net_sales_of_less_than_nothing_a_ratio_is_unknown(spark: SparkSession) -> None:
    told = "5000000L as outstanding_fen, -20000L as net_sales_fen_90d, 700L as supplier_fen_90d"
    # a shop that refunds more than it sells: by a negative mean its fall would look like growth, its swings like calm
    blocks = "array(-600L, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L) as sales_blocks"
    rows = spark.sql(f"select {told}, {blocks}")
    names = ("debt_rate", "supplier_rate_90d", "sales_slope_12_blocks", "sales_variation_12_blocks", "drawdown_180d")
    names += ("season_index_next_90d",)
    assert rows.select(*(value_of(BY_NAME[name]).alias(name) for name in names)).first() == (None,) * len(names)
