"""Sellers' weeks: the same from the seed alone, money that adds up, sizes and needs as a market has them."""

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.world import load_world
from tests.transforms.market.conftest import Market, fingerprint, many_faults, simulated
from transforms.market.chance import Chance
from transforms.market.payments import payment_events
from transforms.market.traits import traits_of
from transforms.market.weeks import INFLOWS, MONEY, simulate_sellers


def test_the_seed_alone_decides_whatever_the_parallelism(spark: SparkSession, market: Market) -> None:
    again = simulated(spark, market.world, 5)
    assert fingerprint(again) == fingerprint(market.weeks)


def test_another_seed_is_another_market(spark: SparkSession, market: Market) -> None:
    other = simulated(spark, many_faults(seed=6), 2)
    assert fingerprint(other)[1] != fingerprint(market.weeks)[1]


def test_more_sellers_leave_the_first_ones_as_they_were(spark: SparkSession, market: Market) -> None:
    more = simulated(spark, many_faults(sellers=100), 3)
    assert fingerprint(more.filter(F.col("number") <= market.world.sellers)) == fingerprint(market.weeks)


def test_cash_after_a_week_is_cash_before_and_its_flows(market: Market) -> None:
    net = sum((F.col(name) if name in INFLOWS else -F.col(name) for name in MONEY), F.col("cash_before"))
    assert market.weeks.filter(F.col("cash_after") != net).count() == 0
    assert market.weeks.filter(F.least(*MONEY) < 0).count() == 0


def test_cash_goes_over_from_a_week_to_the_next(market: Market) -> None:
    following = market.weeks.select(
        "number", (F.col("week") - 1).alias("week"), F.col("cash_before").alias("next_before")
    )
    joined = market.weeks.join(following, ["number", "week"], "inner").agg(
        F.count(F.lit(1)), F.sum((F.col("cash_after") != F.col("next_before")).cast("int"))
    )
    weeks, torn = joined.collect()[0]
    assert weeks > 1000
    assert torn == 0


def test_orders_add_up_to_sales(market: Market) -> None:
    ordered = F.aggregate("orders", F.lit(0).cast("bigint"), lambda total, order: total + order.amount_fen)
    wrong = market.weeks.filter(ordered != F.col("sale"))
    assert wrong.count() == 0


def test_the_account_tells_of_every_flow_of_an_inner_week(market: Market) -> None:
    payments = market.payments.filter(~F.col("failed")).withColumn("week", F.floor(F.col("day") / 7).cast("int"))
    signed = F.when(F.col("direction") == "in", F.col("amount_fen")).otherwise(-F.col("amount_fen"))
    told = (
        payments.withColumn("number", F.substring("shop_id", 2, 6).cast("bigint"))
        .groupBy("number", "week")
        .agg(F.sum(signed).alias("net"))
    )
    weeks = market.weeks.filter("week < 29").select(
        "number", "week", (F.col("cash_after") - F.col("cash_before")).alias("net_of_week")
    )
    wrong = weeks.join(told, ["number", "week"], "left").filter(F.coalesce("net", F.lit(0)) != F.col("net_of_week"))
    assert wrong.count() == 0


def test_the_last_balance_of_a_week_is_its_cash(market: Market) -> None:
    last = (
        payment_events(market.weeks.filter("week < 29"), market.world)
        .withColumn("week", F.floor(F.col("day") / 7).cast("int"))
        .groupBy("shop_id", "week")
        .agg(F.max_by("balance_fen", "event_id").alias("balance"))
    )
    cash = market.weeks.select(F.format_string("S%06d", "number").alias("shop_id"), "week", "cash_after")
    joined = last.join(cash, ["shop_id", "week"], "inner")
    assert joined.count() > 1000
    assert joined.filter(F.col("balance") != F.col("cash_after")).count() == 0


def test_the_needy_draw_more() -> None:
    """Among weeks of borrowing shops that had not asked for two months."""
    world = load_world("demo", sellers=600, days=364)
    rows = simulate_sellers(world, np.arange(1, 601))
    number, week = rows["number"].to_numpy(), rows["week"].to_numpy()
    draws = np.array([any(event["kind"] == "drawn" for event in told) for told in rows["loan_events"].to_pylist()])
    need = np.zeros((601, world.weeks))
    drew = np.zeros((601, world.weeks), dtype=bool)
    need[number, week], drew[number, week] = rows["need"].to_numpy(), draws
    borrowers = np.flatnonzero(drew.any(axis=1))
    start = 36  # lending begins in week 26
    rested = np.stack([~drew[borrowers, at - 8 : at].any(axis=1) for at in range(start, world.weeks)], axis=1)
    needy = need[borrowers, start:] > 0.4
    share = {flag: drew[borrowers, start:][rested & (needy == flag)].mean() for flag in (True, False)}
    assert share[True] > 1.3 * share[False] > 0


def test_sizes_are_heavy_tailed_but_capped() -> None:
    world = load_world("demo")
    sales = np.sort(traits_of(world, np.arange(20_000)).sales)
    share_of_largest = sales[-200:].sum() / sales.sum()
    assert 0.15 < share_of_largest < 0.5
    assert sales[-1] <= world.shops.median_weekly_sales_yuan * world.shops.largest_times_median
    assert 0.9 < np.median(sales) / world.shops.median_weekly_sales_yuan < 1.1


def test_chance_is_uniform_normal_and_poisson() -> None:
    chance = Chance(3, np.arange(40_000))
    uniform, normal = chance.uniform("u", 7), chance.normal("n", 7)
    assert abs(uniform.mean() - 0.5) < 0.01
    assert 0 < uniform.min() < uniform.max() < 1
    assert abs(normal.mean()) < 0.02
    assert abs(normal.std() - 1) < 0.02
    for mean in (0.3, 4.0, 50.0):
        counts = chance.poisson("p", np.full(40_000, mean), 7)
        assert abs(counts.mean() / mean - 1) < 0.03
        assert abs(counts.var() / mean - 1) < 0.05
    # neither the purpose nor the time nor the neighbour says anything of the number
    assert abs(np.corrcoef(uniform, chance.uniform("v", 7))[0, 1]) < 0.02
    assert abs(np.corrcoef(uniform, chance.uniform("u", 8))[0, 1]) < 0.02
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 0.02
