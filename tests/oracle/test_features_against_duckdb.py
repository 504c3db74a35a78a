"""Features of a generated ledger, by sweep, by advance and by rebuild, against DuckDB over the raw files."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from conf.files import parse_yaml, validate
from conf.source import Source
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from tests.conftest import lake_at
from tests.oracle.ledger import FIRST_DAY, MAPPING, known_features, random_ledger, write_deliveries
from transforms.features.known import Bronze, features_by_rebuild, known_sellers
from transforms.tables.bronze import DELIVERIES, LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import SELLER_FEATURES
from transforms.tables.silver import SELLER_DAY
from transforms.windows.asked import Chosen, EverySeller

TODAY = FIRST_DAY + timedelta(days=900)


def rows_of(lake: Lake, run_id: str) -> list[tuple[object, ...]]:
    rows = lake.read(SELLER_FEATURES).filter(f"run_id = '{run_id}'").drop("run_id").orderBy("seller_id").collect()
    return [tuple(row) for row in rows]


def rebuilt(lake: Lake, as_of: date) -> list[tuple[object, ...]]:
    sellers = lake.read(SELLERS)
    labels = known_sellers(sellers, lake.read(SELLER_DAY), EverySeller(as_of))
    events = [lake.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS)]
    rows = (
        features_by_rebuild(Bronze(*events, sellers), labels, Chosen(labels), lake.kinds_told())
        .orderBy("seller_id")
        .collect()
    )
    return [tuple(row) for row in rows]


# an example is a whole ledger and three as-of days: few examples, each of many stories
@pytest.mark.full
@pytest.mark.parametrize(("examples", "sellers", "orders"), [(1, 8, 600), (1, 2_500, 60_000)])
def test_sweep_advance_and_rebuild_give_what_duckdb_gives(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, examples: int, sellers: int, orders: int
) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**32), closed_after=st.integers(60, 300))
    def check(seed: int, closed_after: int) -> None:
        folder = tmp_path_factory.mktemp("ledger")
        lake = lake_at(spark, folder)
        data, places = parse_yaml(MAPPING, "ledger.yml")
        source = validate(Source, data, places, "ledger.yml")
        write_deliveries(folder / "in", random_ledger(seed, sellers, orders, days=420))
        first = FIRST_DAY + timedelta(days=closed_after)
        told = FIRST_DAY + timedelta(days=430)

        # history up to a day, closed; then all the rest at once, months late
        ingest(lake, source, str(folder / "in"), None, TODAY, None, str(first))
        aggregate(lake, first)
        ingest(lake, source, str(folder / "in"), told, TODAY)
        aggregate(lake, told)

        last = told + timedelta(days=30)
        aggregate(lake, last)

        as_of_days = [first + timedelta(days=1), told + timedelta(days=1), last + timedelta(days=1)]
        # the first is swept, a year and then a month are carried on
        carried_on = [None, *map(str, as_of_days[:-1])]
        wanted = known_features(folder / "in", as_of_days, first, told)
        for as_of, before in zip(as_of_days, carried_on, strict=True):
            assert features(lake, as_of).values["carried on from"] == before
            published = lake.last_run("features", f"as_of={as_of}")
            assert published is not None
            rows = rows_of(lake, published.run_id)
            assert rows == rebuilt(lake, as_of)
            names = lake.read(SELLER_FEATURES).drop("run_id").columns
            for row in rows:
                have = dict(zip(names, row, strict=True))
                want = wanted[have["seller_id"], as_of]
                assert {name: have[name] for name in want} == want, (have["seller_id"], as_of, seed)
            assert len(rows) > sellers * 0.6
            assert {row[0] for row in rows} == {seller for seller, day in wanted if day == as_of}

        counted = lake.read(DELIVERIES).selectExpr("sum(records_in)", "sum(duplicate)", "sum(quarantined)").collect()[0]
        ledger = random_ledger(seed, sellers, orders, days=420)
        records = [row for rows in ledger.values() for row in rows]
        assert counted[0] == len(records)
        assert counted[1] == len(records) - len({row["id"] for row in records})
        assert counted[2] == 0

    check()
