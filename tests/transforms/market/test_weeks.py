"""Sellers' weeks: the same from the seed alone, money that adds up, sizes and needs as a market has them."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.world import load_world
from tests.transforms.market.conftest import Market, fingerprint, many_faults, simulated
from transforms.market.borrowing import Condition, Loans
from transforms.market.chance import Chance
from transforms.market.orders import order_events
from transforms.market.payments import payment_events
from transforms.market.seasons import common_demand, in_break
from transforms.market.sellers import seller_versions
from transforms.market.traits import traits_of
from transforms.market.weeks import INFLOWS, MONEY, Weeks, simulate_sellers


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


def drawn(rows: pa.Table) -> dict[tuple[int, int], tuple[int, float]]:
    """Week and approval probability of each approved loan, by seller and serial."""
    told = zip(rows["number"].to_pylist(), rows["week"].to_pylist(), rows["loan_events"].to_pylist(), strict=True)
    return {
        (number, event["serial"]): (week, event["approval_probability"])
        for number, week, events in told
        for event in events
        if event["kind"] == "approved"
    }


def test_a_world_of_many_is_the_same_as_made_alone_and_no_other(spark: SparkSession) -> None:
    many = load_world("demo", sellers=50, days=140, seed=3, worlds=3)
    alone = many.model_copy(update={"worlds": 1, "first_world": 2})
    weeks = simulated(spark, many, 4)
    third = weeks.filter(F.col("number") > 100)
    assert fingerprint(third) == fingerprint(simulated(spark, alone, 1))
    assert weeks.select("number").distinct().count() > 100
    assert not np.allclose(common_demand(many, 0), common_demand(many, 2))
    sellers = seller_versions(weeks, many)
    worlds = sellers.groupBy("world").agg(F.min("shop_id"), F.max("shop_id")).orderBy("world").collect()
    assert [row[0] for row in worlds] == ["demo-0", "demo-1", "demo-2"]
    assert worlds[0][2] <= "S000050" < worlds[1][1] <= worlds[1][2] <= "S000100" < worlds[2][1]
    buyers = order_events(weeks, many).groupBy("buyer_id").agg(F.countDistinct(F.col("shop_id") > "S000050"))
    assert buyers.filter(buyers[1] > 1).count() == 0


def test_without_loans_a_seller_lives_the_same_life_until_its_first_draw() -> None:
    world = load_world("demo", sellers=300, days=364)
    with_loans = simulate_sellers(world, np.arange(1, 301))
    without = simulate_sellers(world.model_copy(update={"lends": False}), np.arange(1, 301))
    assert pc.sum(without["loan_draw"]).as_py() == 0 < pc.sum(with_loans["loan_draw"]).as_py()

    def lives(rows: pa.Table) -> dict[tuple[int, int], tuple[float, int]]:
        names = ("number", "week", "demand", "cash_after")
        return {(n, w): (d, c) for n, w, d, c in zip(*(rows[name].to_pylist() for name in names), strict=True)}

    first_draw: dict[int, int] = {}
    owner_drew: dict[int, int] = {}
    for (number, _), (week, _) in drawn(with_loans).items():
        first_draw[number] = min(week, first_draw.get(number, week))
    # a loan that goes bad frightens the other shops of the owner: those are left out here
    owner_of = dict(zip(with_loans["number"].to_pylist(), with_loans["owner"].to_pylist(), strict=True))
    for number, week in first_draw.items():
        owner_drew[owner_of[number]] = min(week, owner_drew.get(owner_of[number], week))
    one, other = lives(with_loans), lives(without)
    same = {key for key in one if key[1] < owner_drew.get(owner_of[key[0]], world.weeks)}
    assert len(first_draw) > 20
    assert all(one[key] == other[key] for key in same)
    after = {key for key in one.keys() & other.keys() if key[1] >= first_draw.get(key[0], world.weeks)}
    assert sum(one[key] != other[key] for key in after) > 0.9 * len(after)
    # a loan lifts sales, or does nothing to them
    lifts = np.array([one[key][0] - other[key][0] for key in after])
    assert lifts.min() > -1e-9
    assert lifts.max() > 0.01


def test_another_future_begins_where_the_first_does_and_leaves_it_alone() -> None:
    world = load_world("demo", 40)
    numbers = np.arange(1, 41)
    lived = Weeks(world, traits_of(world, numbers))
    for week in range(60):
        lived.run(week)
    other, same = lived.branched(world.seed + 1), lived.branched(world.seed)
    begins = [each.run(60)["columns"] for each in (other, same, lived)]
    assert np.array_equal(begins[0]["cash_before"], begins[2]["cash_before"])
    assert not np.array_equal(begins[0]["cash_after"], begins[2]["cash_after"])
    for name, values in begins[1].items():
        assert np.array_equal(values, begins[2][name]), name
    for week in range(61, 70):
        assert np.array_equal(same.run(week)["columns"]["cash_after"], lived.run(week)["columns"]["cash_after"])
        other.run(week)


def test_a_later_era_approves_by_risk_and_says_how_likely_it_was() -> None:
    world = load_world("demo", sellers=600, days=364)
    lending = world.lending.model_copy(update={"better_rule_day": 273, "draw_level": 1.0, "cut_off": -1.0})
    approved = drawn(simulate_sellers(world.model_copy(update={"lending": lending}), np.arange(1, 601)))
    early = [chance for week, chance in approved.values() if week < 39]
    late = [chance for week, chance in approved.values() if week >= 39]
    assert set(early) == {1.0, lending.random_approval}
    at_random = [chance for chance in late if chance < 1]
    assert 0 < len(at_random) < len(late)
    assert all(lending.random_at_worst <= chance <= lending.random_at_cut_off for chance in at_random)
    assert len(set(at_random)) > 5


def test_the_chance_of_approval_falls_from_the_cut_off_to_the_worst() -> None:
    world = load_world("demo", sellers=4)
    risk = world.lending.cut_off + np.array([-0.01, 1e-9, 1.5, 3.0, 9.0])
    lending = Loans(world, traits_of(world, np.arange(1, 6)), Chance(1, np.arange(1, 6)))
    zero = np.zeros(5)
    now = Condition(zero == 0, zero, zero.astype(np.int64), risk, zero, zero, zero.astype(np.int64))
    by_rule, chance = lending.approval(world.lending.better_rule_day, now)
    assert by_rule.tolist() == [True, False, False, False, False]
    assert chance[1:].tolist() == [0.3, round(0.3 / 30**0.5, 6), 0.01, 0.01]


def test_shops_of_one_owner_follow_one_another_within_a_family() -> None:
    world = load_world("demo", sellers=20_000)
    traits = traits_of(world, np.arange(1, 20_001))
    linked = traits.owner != traits.number
    assert abs(linked.mean() / (world.shops.siblings * 19 / 20) - 1) < 0.15
    assert (traits.owner <= traits.number).all()
    assert ((traits.owner - 1) // 20 == (traits.number - 1) // 20).all()
    # an owner's shops stand side by side
    assert (traits.owner[1:][linked[1:]] == traits.owner[:-1][linked[1:]]).all()
    # a part of the numbers alone gives the same
    assert (traits_of(world, np.arange(101, 201)).owner == traits.owner[100:200]).all()


def test_the_closing_of_a_shop_raises_the_hazard_of_its_owners_others() -> None:
    world = load_world("demo", sellers=2_000, days=700)
    shops = world.shops.model_copy(update={"siblings": 0.5, "contagion_a_week": 0.2})
    closings = {}
    for contagion in (0.0, 0.2):
        told = shops.model_copy(update={"contagion_a_week": contagion})
        rows = simulate_sellers(world.model_copy(update={"shops": told}), np.arange(1, 1_001))
        last = dict(zip(rows["number"].to_pylist(), rows["closed_day"].to_pylist(), strict=True))
        owner = dict(zip(rows["number"].to_pylist(), rows["owner"].to_pylist(), strict=True))
        shared = {each for each, count in Counter(owner.values()).items() if count > 1}
        closings[contagion] = [
            np.mean([last[number] is not None for number in last if (owner[number] in shared) == flag])
            for flag in (False, True)
        ]
    assert closings[0.2][0] == closings[0.0][0]
    assert closings[0.2][1] > closings[0.0][1] + 0.1


def test_in_the_regime_break_goods_cost_more_and_never_before_it() -> None:
    world = load_world("demo", sellers=200, days=364)
    demand = world.demand.model_copy(update={"break_day": 182, "break_days": 91})
    told = []
    for margin in (0.0, 0.05):
        broken = world.model_copy(update={"demand": demand.model_copy(update={"break_margin": margin})})
        rows = simulate_sellers(broken, np.arange(1, 201))
        week = rows["week"].to_numpy()
        spent = np.bincount(week, rows["supplier"].to_numpy()) / np.bincount(week, rows["sale"].to_numpy())
        told.append(spent)
    assert (told[0][:26] == told[1][:26]).all()
    assert 1.01 < told[1][26:39].sum() / told[0][26:39].sum() < 1.10


def test_worlds_have_their_regime_break_in_one_season_or_each_in_its_own() -> None:
    world = load_world("demo", worlds=40)
    first_of_all = {int(in_break(world, index).argmax()) * 7 for index in range(40)}
    assert first_of_all == {917}  # the first week that begins on day 912 or later

    spread = world.model_copy(update={"demand": world.demand.model_copy(update={"break_day_spread": 200})})
    breaks = [in_break(spread, index) for index in range(40)]
    first = [int(weeks.argmax()) * 7 for weeks in breaks]
    assert min(first) >= 712
    assert max(first) < 1112 + 7
    assert max(first) - min(first) > 300
    assert {int(weeks.sum()) for weeks in breaks} == {26}
    assert (in_break(spread, 3) == in_break(spread.model_copy(update={"worlds": 1}), 3)).all()
    assert (in_break(spread, 3) != in_break(spread.model_copy(update={"seed": 2}), 3)).any()


def test_brushing_is_of_rings_and_likelier_below_the_edge() -> None:
    world = load_world("demo")
    traits = traits_of(world, np.arange(1, 40_001))
    brushes = traits.brushed_share > 0
    assert abs(brushes.mean() / world.shops.brushing_shops - 1) < 0.15
    members = Counter(traits.ring[brushes].tolist())
    in_rings = sum(count for count in members.values() if count > 1) / brushes.sum()
    assert world.shops.ringed * 0.7 < in_rings < world.shops.ringed * 1.3
    assert max(members.values()) <= 6
    monthly = traits.sales * traits.visible * 4.33 / world.lending.least_monthly_sales_yuan
    below = brushes[(monthly > 0.6) & (monthly < 1)].mean()
    assert below > 1.1 * brushes[(monthly > 1) & (monthly < 1.6)].mean()


def test_sizes_are_heavy_tailed_but_capped() -> None:
    world = load_world("demo")
    sales = np.sort(traits_of(world, np.arange(1, 20_001)).sales)
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
