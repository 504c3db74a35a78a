"""One small world, simulated once for all tests of this folder."""

from dataclasses import dataclass

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.world import World, load_world
from transforms.market.faults import delivered
from transforms.market.loans import loan_events
from transforms.market.orders import order_events
from transforms.market.payments import payment_events
from transforms.market.sellers import seller_versions
from transforms.market.weeks import seller_weeks


def many_faults(seed: int = 5, days: int = 217, sellers: int = 80) -> World:
    """A small world in which lending begins at once and every fault is frequent enough to be seen."""
    world = load_world("demo", sellers=sellers, days=days, seed=seed)
    lending = world.lending.model_copy(update={"first_day": 14, "draw_level": -0.5})
    rates = {"late": 0.05, "duplicated": 0.03, "broken": 0.03, "corrected": 0.03, "conflicting": 0.02, "clock": 0.02}
    faults = world.faults.model_copy(update=rates)
    shops = world.shops.model_copy(update={"brushing_shops": 0.2})
    return world.model_copy(update={"shops": shops, "lending": lending, "faults": faults})


@dataclass(frozen=True)
class Market:
    world: World
    weeks: DataFrame
    sellers: DataFrame
    orders: DataFrame
    payments: DataFrame
    loans: DataFrame
    delivered_orders: DataFrame
    delivered_loans: DataFrame


def simulated(spark: SparkSession, world: World, partitions: int) -> DataFrame:
    return seller_weeks(spark.range(world.families.start, world.families.stop, 1, partitions), world)


@pytest.fixture(scope="session")
def market(spark: SparkSession) -> Market:
    world = many_faults()
    weeks = simulated(spark, world, 2).localCheckpoint()
    orders = order_events(weeks, world).localCheckpoint()
    loans = loan_events(weeks, world).localCheckpoint()
    return Market(
        world=world,
        weeks=weeks,
        sellers=seller_versions(weeks, world).localCheckpoint(),
        orders=orders,
        payments=payment_events(weeks, world).localCheckpoint(),
        loans=loans,
        delivered_orders=delivered(
            orders, world, ("amount_fen", "list_price_fen"), is_critical=False
        ).localCheckpoint(),
        delivered_loans=delivered(loans, world, ("amount_fen",), is_critical=True).localCheckpoint(),
    )


def fingerprint(frame: DataFrame) -> tuple[int, int]:
    """Rows and the sum of their hashes: equal for equal rows in any order."""
    words = F.xxhash64(F.to_json(F.struct(*frame.columns))).cast("decimal(38,0)")
    row = frame.agg(F.count(F.lit(1)), F.sum(words)).collect()[0]
    return row[0], int(row[1])
