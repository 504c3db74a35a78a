"""A step killed at a commit and run again leaves the tables of an undisturbed run; run twice it changes nothing."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.settings import KEY_VARIABLE
from conf.source import load_source
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from tests.conftest import KEY, PROJECT, SMALL, lake_at
from tests.oracle.ledger import FIRST_DAY, MAPPING, random_ledger, write_deliveries
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.silver import LOAN_BOOK, SELLER_BUYER_DAY, SELLER_DAY
from transforms.tables.table import Table

BRONZE = (ORDER_EVENTS, PAYMENT_EVENTS, DELIVERIES, QUARANTINE)
SILVER = (SELLER_DAY, SELLER_BUYER_DAY, LOAN_BOOK)
CLOSED = FIRST_DAY + timedelta(days=120)
TODAY = FIRST_DAY + timedelta(days=900)


def killed_at(failpoint: str, folder: Path, *words: str) -> None:
    """Run a command in a process of its own, which the failpoint kills as SIGKILL does."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "SELLER_CREDIT_LAKE__ROOT": str(folder / "lake"),
        "SELLER_CREDIT_SPARK__SHUFFLE_PARTITIONS": "2",
        "SELLER_CREDIT_SPARK__MASTER": "local[2]",
        "SELLER_CREDIT_SPARK__CONFIG": json.dumps(SMALL),
        KEY_VARIABLE: KEY,
        "SC_FAILPOINT": failpoint,
    }
    command = [sys.executable, "-m", "jobs.cli", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
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


def test_an_ingest_killed_and_run_again_gives_the_same_tables(
    spark: SparkSession, ledger: Path, taken_in: Path, tmp_path: Path
) -> None:
    # by then every table is written, and nothing published
    words = ("ingest", "--source", str(ledger / "ledger.yml"), "--input", str(ledger / "in"))
    killed_at("ingest:before:publish", tmp_path, *words)
    lake = lake_at(spark, tmp_path)
    assert lake.runs() == []
    for table in (ORDER_EVENTS, DELIVERIES):
        assert spark.read.format("delta").load(lake.path(table)).count() > 0
        assert lake.read(table).count() == 0

    take_in(lake, ledger)

    for table in BRONZE:
        assert contents(lake, table) == contents(lake_at(spark, taken_in), table), table.name


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

    for table in SILVER:
        assert contents(lake, table) == contents(undisturbed, table), table.name
