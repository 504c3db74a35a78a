"""A step killed at a commit and run again leaves the tables of an undisturbed run; run twice it changes nothing."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.source import load_source
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from tests.conftest import PROJECT, lake_at
from tests.oracle.ledger import FIRST_DAY, MAPPING, random_ledger, write_deliveries
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.silver import LOAN_BOOK, SELLER_BUYER_DAY, SELLER_DAY
from transforms.tables.table import Table

TABLES = (ORDER_EVENTS, PAYMENT_EVENTS, DELIVERIES, QUARANTINE, SELLER_DAY, SELLER_BUYER_DAY, LOAN_BOOK)
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
def undisturbed(spark: SparkSession, ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = lake_at(spark, tmp_path_factory.mktemp("undisturbed"))
    # twice over: the second time changes nothing
    for _ in range(2):
        take_in(lake, ledger)
    for _ in range(2):
        aggregate(lake, CLOSED)
    assert [run.step for run in lake.runs()] == ["ingest", "aggregate"]
    return lake


@pytest.mark.parametrize(
    ("failpoint", "rows_left_behind"),
    [
        ("ingest:after:bronze.order_events", ORDER_EVENTS),
        ("ingest:before:publish", DELIVERIES),
        ("aggregate:after:silver.seller_day", SELLER_DAY),
    ],
)
def test_a_killed_step_run_again_gives_the_same_tables(
    spark: SparkSession, ledger: Path, undisturbed: Lake, tmp_path: Path, failpoint: str, rows_left_behind: Table
) -> None:
    lake = lake_at(spark, tmp_path)
    if failpoint.startswith("ingest"):
        words = ("ingest", "--source", str(ledger / "ledger.yml"), "--input", str(ledger / "in"))
    else:
        take_in(lake, ledger)
        words = ("aggregate", "--through", str(CLOSED))
    published = len(lake.runs())

    killed_at(failpoint, tmp_path, *words)

    lake = lake_at(spark, tmp_path)
    assert len(lake.runs()) == published
    assert spark.read.format("delta").load(lake.path(rows_left_behind)).count() > 0
    assert lake.read(rows_left_behind).count() == 0
    take_in(lake, ledger)
    aggregate(lake, CLOSED)
    assert [run.step for run in lake.runs()] == ["ingest", "aggregate"]
    for table in TABLES:
        assert contents(lake, table) == contents(undisturbed, table), table.name
