"""A step killed at a commit and run again leaves the tables of an undisturbed run; run twice it changes nothing."""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.source import load_source
from jobs.lakehouse.lake import Lake
from tests.conftest import PROJECT, lake_at
from tests.oracle.ledger import FIRST_DAY, MAPPING, random_ledger, write_deliveries
from transforms.tables.bronze import DELIVERIES, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.silver import LOAN_BOOK, SELLER_BUYER_DAY, SELLER_DAY
from transforms.tables.table import Table

TABLES = (ORDER_EVENTS, PAYMENT_EVENTS, DELIVERIES, QUARANTINE, SELLER_DAY, SELLER_BUYER_DAY, LOAN_BOOK)
CLOSED = FIRST_DAY + timedelta(days=120)


def run(folder: Path, *words: str, failpoint: str | None = None) -> int:
    """Run a command in a process of its own; the failpoint kills that process as SIGKILL does."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "SELLER_CREDIT_LAKE__ROOT": str(folder / "lake"),
        "SELLER_CREDIT_SPARK__SHUFFLE_PARTITIONS": "2",
        "SELLER_CREDIT_SPARK__MASTER": "local[2]",
    }
    if failpoint:
        environment["SC_FAILPOINT"] = failpoint
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in ((-9,) if failpoint else (0,)), done.stderr[-3000:]
    return done.returncode


def contents(lake: Lake, table: Table) -> list[tuple[object, ...]]:
    rows = lake.read(table).selectExpr(*(name for name in table.names if name != "run_id")).collect()
    return sorted((tuple(row) for row in rows), key=repr)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    write_deliveries(folder / "in", random_ledger(7, sellers=4, orders=150, days=60))
    (folder / "ledger.yml").write_text(MAPPING)
    load_source(str(folder / "ledger.yml"))
    return folder


def commands(ledger: Path) -> tuple[list[str], list[str]]:
    ingest = ["ingest", "--source", str(ledger / "ledger.yml"), "--input", str(ledger / "in")]
    return ingest, ["aggregate", "--through", str(CLOSED)]


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, ledger: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("undisturbed")
    ingest, aggregate = commands(ledger)
    # twice over: the second time changes nothing
    run(folder, *ingest, "then", *ingest, "then", *aggregate, "then", *aggregate)
    lake = lake_at(spark, folder)
    assert [run.step for run in lake.runs()] == ["ingest", "aggregate"]
    return lake


@pytest.mark.parametrize(
    ("step", "failpoint"),
    [
        ("ingest", "ingest:after:bronze.order_events"),
        ("ingest", "ingest:before:publish"),
        ("aggregate", "aggregate:after:silver.seller_day"),
        ("aggregate", "aggregate:after:publish"),
    ],
)
def test_a_killed_step_run_again_gives_the_same_tables(
    spark: SparkSession, ledger: Path, undisturbed: Lake, tmp_path: Path, step: str, failpoint: str
) -> None:
    ingest, aggregate = commands(ledger)
    if step == "ingest":
        run(tmp_path, *ingest, failpoint=failpoint)
        killed = lake_at(spark, tmp_path)
        assert killed.runs() == []
        assert killed.read(ORDER_EVENTS).count() == 0
        run(tmp_path, *ingest, "then", *aggregate)
    else:
        shutil.copytree(undisturbed.root, tmp_path / "lake")
        _unpublish_aggregate(spark, tmp_path)
        run(tmp_path, *aggregate, failpoint=failpoint)
        run(tmp_path, *aggregate)
    again = lake_at(spark, tmp_path)
    assert [published.step for published in again.runs()] == ["ingest", "aggregate"]
    for table in TABLES:
        assert contents(again, table) == contents(undisturbed, table), table.name


def _unpublish_aggregate(spark: SparkSession, folder: Path) -> None:
    """Back to where only the intake was published; what aggregate wrote lies there as a dead run would leave it."""
    from delta.tables import DeltaTable

    from transforms.tables.ops import RUNS

    DeltaTable.forPath(spark, lake_at(spark, folder).path(RUNS)).delete("step = 'aggregate'")
