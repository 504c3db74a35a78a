"""A step killed at a commit and run again leaves the tables of an undisturbed run; run twice it changes nothing."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import KEY_VARIABLE
from conf.source import load_source
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from jobs.release import release
from tests.conftest import KEY, PROJECT, SMALL, lake_at
from tests.jobs.test_ingest import SHOP, order, write_orders
from tests.jobs.test_quarantine import MENDED
from tests.oracle.ledger import FIRST_DAY, MAPPING, random_ledger, write_deliveries
from transforms.tables.bronze import DELIVERIES, LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.tables.silver import SELLER_DAY, SILVER_TABLES
from transforms.tables.table import Table

BRONZE = (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS, DELIVERIES, QUARANTINE)
GOLD = (WINDOW_SUMS, SELLER_FEATURES)
CLOSED = FIRST_DAY + timedelta(days=120)
TODAY = FIRST_DAY + timedelta(days=900)


def environment(folder: Path) -> dict[str, str]:
    """What a process of its own needs to work on the lake in a folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "SELLER_CREDIT_LAKE__ROOT": str(folder / "lake"),
        "SELLER_CREDIT_SPARK__SHUFFLE_PARTITIONS": "2",
        "SELLER_CREDIT_SPARK__MASTER": "local[2]",
        "SELLER_CREDIT_SPARK__CONFIG": json.dumps(SMALL),
        KEY_VARIABLE: KEY,
    }


def killed_at(failpoint: str, folder: Path, *words: str) -> None:
    """Run a command in a process of its own, which the failpoint kills as SIGKILL does."""
    told = environment(folder) | {"SC_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "jobs.cli", *words]
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr[-3000:]


def contents(lake: Lake, table: Table) -> list[tuple[object, ...]]:
    rows = lake.read(table).selectExpr(*(name for name in table.names if name != "run_id")).collect()
    return sorted((tuple(row) for row in rows), key=repr)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    write_deliveries(folder / "in", random_ledger(7, sellers=4, orders=150, days=60))
    (folder / "ledger.yml").write_text(MAPPING)
    return folder


def ingesting(ledger: Path) -> list[str]:
    """The same by the command line."""
    words = ("ingest", "--source", str(ledger / "ledger.yml"), "--input", str(ledger / "in"))
    return [sys.executable, "-m", "jobs.cli", *words]


def take_in(lake: Lake, ledger: Path) -> None:
    ingest(lake, load_source(str(ledger / "ledger.yml")), str(ledger / "in"), None, TODAY)


@pytest.fixture(scope="module")
def taken_in(spark: SparkSession, ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a lake with the ledger in bronze, taken in twice over: the second time changes nothing."""
    folder = tmp_path_factory.mktemp("taken-in")
    lake = lake_at(spark, folder)
    for _ in range(2):
        take_in(lake, ledger)
    assert [run.step for run in lake.runs()] == ["ingest"]
    return folder


@pytest.mark.full  # two minutes
def test_an_ingest_killed_and_run_again_gives_the_same_tables(
    spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path
) -> None:
    # by then every table is written, and nothing published
    killed_at("ingest:before:publish", tmp_path, *ingesting(ledger)[3:])
    lake = lake_at(spark, tmp_path)
    assert lake.runs() == []
    for table in (ORDER_EVENTS, DELIVERIES):
        assert spark.read.format("delta").load(lake.path(table)).count() > 0
        assert lake.read(table).count() == 0

    same_after_a_repeat(lake, ledger, taken_in)


def same_after_a_repeat(lake: Lake, ledger: Path, taken_in: Path) -> None:
    take_in(lake, ledger)
    assert [run.step for run in lake.runs()] == ["ingest"]
    for table in BRONZE:
        assert contents(lake, table) == contents(lake_at(lake.spark, taken_in), table), table.name


@pytest.mark.full
def test_an_aggregate_killed_and_run_again_gives_the_same_tables(
    spark: SparkSession, taken_in: Path, tmp_path: Path
) -> None:
    shutil.copytree(taken_in / "lake", tmp_path / "undisturbed" / "lake")
    undisturbed = lake_at(spark, tmp_path / "undisturbed")
    for _ in range(2):
        aggregate(undisturbed, CLOSED)
    assert [run.step for run in undisturbed.runs()] == ["ingest", "aggregate"]

    shutil.copytree(taken_in / "lake", tmp_path / "lake")
    killed_at("aggregate:after:silver.seller_day", tmp_path, "aggregate", "--through", str(CLOSED))
    lake = lake_at(spark, tmp_path)
    assert [run.step for run in lake.runs()] == ["ingest"]
    assert spark.read.format("delta").load(lake.path(SELLER_DAY)).count() > 0
    assert lake.read(SELLER_DAY).count() == 0
    aggregate(lake, CLOSED)

    for table in SILVER_TABLES:
        assert contents(lake, table) == contents(undisturbed, table), table.name


@pytest.fixture(scope="module")
def carried_on(spark: SparkSession, taken_in: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a lake with features of one day, and of the same lake with those of a later day too, undisturbed."""
    before, after = tmp_path_factory.mktemp("before"), tmp_path_factory.mktemp("after")
    shutil.copytree(taken_in / "lake", before / "lake")
    lake = lake_at(spark, before)
    aggregate(lake, CLOSED)
    features(lake, CLOSED - timedelta(days=30))
    shutil.copytree(before / "lake", after / "lake")
    features(lake_at(spark, after), CLOSED)
    return before, after


@pytest.mark.full
@pytest.mark.parametrize(
    "failpoint",
    [
        *(f"features:{moment}:{table.name}" for table in GOLD for moment in ("before", "after")),
        "features:before:publish",
        "features:after:publish",
    ],
)
def test_features_killed_at_each_commit(
    spark: SparkSession, carried_on: tuple[Path, Path], tmp_path: Path, failpoint: str
) -> None:
    before, after = carried_on
    shutil.copytree(before / "lake", tmp_path / "lake")
    killed_at(failpoint, tmp_path, "features", "--as-of", str(CLOSED))
    lake, undisturbed = lake_at(spark, tmp_path), lake_at(spark, after)
    assert len(lake.runs()) == (4 if failpoint == "features:after:publish" else 3)

    features(lake, CLOSED)
    assert [run.step for run in lake.runs()] == ["ingest", "aggregate", "features", "features"]
    for table in GOLD:
        assert contents(lake, table) == contents(undisturbed, table), table.name
    assert {row["as_of"] for row in lake.read(SELLER_FEATURES).select("as_of").collect()} == {
        CLOSED - timedelta(days=30),
        CLOSED,
    }


@pytest.mark.full
@pytest.mark.parametrize(
    "failpoint",
    [
        *(f"ingest:{moment}:{table.name}" for table in BRONZE for moment in ("before", "after")),
        "ingest:before:publish",
        "ingest:after:publish",
    ],
)
def test_an_ingest_killed_at_each_commit(
    spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path, failpoint: str
) -> None:
    killed_at(failpoint, tmp_path, *ingesting(ledger)[3:])
    same_after_a_repeat(lake_at(spark, tmp_path), ledger, taken_in)


@pytest.mark.full
@pytest.mark.parametrize(
    "failpoint",
    [
        *(f"release:{moment}:{table.name}" for table in (ORDER_EVENTS, QUARANTINE) for moment in ("before", "after")),
        "release:after:bronze.deliveries",
        "release:before:publish",
        "release:after:publish",
    ],
)
def test_a_release_killed_at_each_commit(spark: SparkSession, tmp_path: Path, failpoint: str) -> None:
    told = [order("good"), order("lent-1", what="lent"), order("lent-2", what="lent"), order("bad", amount="x")]
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", told)
    (tmp_path / "shop.yml").write_text(SHOP)
    mended = tmp_path / "mended.yml"
    mended.write_text(MENDED)
    today = date(2025, 3, 20)
    lake = lake_at(spark, tmp_path)
    ingest(lake, load_source(str(tmp_path / "shop.yml")), str(tmp_path / "in"), None, today)
    shutil.copytree(tmp_path / "lake", tmp_path / "undisturbed" / "lake")
    undisturbed = lake_at(spark, tmp_path / "undisturbed")
    release(undisturbed, load_source(str(mended)), today, today)

    killed_at(failpoint, tmp_path, "release", "--source", str(mended), "--arrival-day", str(today))
    release(lake, load_source(str(mended)), today, today)

    def without_run(of: Lake, table: Table) -> list[str]:
        return [re.sub("release@[^']+", "release", repr(row)) for row in contents(of, table)]

    for table in (ORDER_EVENTS, DELIVERIES, QUARANTINE):
        assert without_run(lake, table) == without_run(undisturbed, table), table.name
    assert lake.read(ORDER_EVENTS).count() == 3 and lake.read(QUARANTINE).filter("released_by is null").count() == 1


@pytest.mark.full
def test_neither_the_key_nor_a_buyer_is_in_what_spark_logs(tmp_path: Path) -> None:
    secret = "Zacharias-Quitmeyer-77"
    told = [
        order("good", buyer=secret),
        order("lent", what="lent", buyer=secret),
        order("bad", buyer=secret, amount="x"),
    ]
    write_orders(tmp_path / "in" / "2025-03-09" / "orders.csv", told)
    (tmp_path / "shop.yml").write_text(SHOP)
    (tmp_path / "events").mkdir()
    logging = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": f"file://{tmp_path / 'events'}"}
    logging |= {"spark.eventLog.compress": "false", "spark.sql.ui.explainMode": "extended"}
    env = environment(tmp_path) | {"SELLER_CREDIT_SPARK__CONFIG": json.dumps(SMALL | logging)}
    source = ("--source", str(tmp_path / "shop.yml"))
    said = ""
    for words in (("ingest", *source, "--input", str(tmp_path / "in")), ("quarantine",), ("release", *source)):
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        said += done.stdout + done.stderr
    logged = b"".join(file.read_bytes() for file in (tmp_path / "events").rglob("*") if file.is_file())
    # it is of these commands, and shows their plans
    assert b"SparkListenerSQLExecutionStart" in logged and b"bronze/order_events" in logged and b"amount_fen" in logged
    for hidden in (secret, KEY, KEY.encode().hex()):
        assert hidden not in said and hidden.encode() not in logged, hidden


@pytest.mark.full
def test_an_ingest_killed_at_twenty_random_moments(
    spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path
) -> None:
    chance = random.Random(20)
    (tmp_path / "timed").mkdir()
    started = time.monotonic()
    subprocess.run(
        ingesting(ledger), env=environment(tmp_path / "timed"), cwd=tmp_path, check=True, capture_output=True
    )
    whole = time.monotonic() - started
    left = []
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        process = subprocess.Popen(
            ingesting(ledger), env=environment(folder), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.3, 1.0) * whole)
        process.kill()
        process.wait()
        lake = lake_at(spark, folder)
        left.append(sorted(path.name for path in Path(lake.root).glob("bronze/*")))
        same_after_a_repeat(lake, ledger, taken_in)
    # some of the kills fell among the writes
    assert len({tuple(tables) for tables in left}) > 2, left


@pytest.mark.full
def test_two_ingests_at_once(spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(ingesting(ledger), env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("waiting for ingest (process" in text for text in told) == 1
    same_after_a_repeat(lake_at(spark, tmp_path), ledger, taken_in)


@pytest.mark.full
def test_deliveries_in_one_run_are_those_deliveries_in_many(
    spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path
) -> None:
    lake = lake_at(spark, tmp_path)
    days = sorted(folder.name for folder in (ledger / "in").iterdir())
    for last in (*days[3::4], days[-1]):
        ingest(lake, load_source(str(ledger / "ledger.yml")), str(ledger / "in"), None, TODAY, None, last)
    assert len(lake.runs()) > 3
    for table in BRONZE:
        assert contents(lake, table) == contents(lake_at(spark, taken_in), table), table.name
