"""Sixty days one by one: what each day's advance publishes is what the sweep gives for all of them at once."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import chain
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.source import load_source
from conf.world import load_world
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from jobs.simulate import simulate
from jobs.verify import verify
from tests.conftest import PROJECT, lake_at
from tests.jobs.test_invoices import INVOICES
from tests.jobs.test_kill_and_repeat import environment
from transforms.features.catalogue import CATALOGUE
from transforms.features.known import SILVER, Silver, features_by_sweep, known_sellers
from transforms.tables.gold import SELLER_FEATURES
from transforms.windows.asked import Chosen
from transforms.windows.compare import held_together

DAYS = 60
TODAY = date(2026, 1, 1)
LAST_INVOICE = date(2020, 2, 29)

pytestmark = pytest.mark.full


def day_by_day(folder: Path, days: Sequence[date]) -> None:
    """Close each of the days before by itself and advance to it, in one process with the settings of a user's.

    That of the tests has nothing compiled, which of sixty days makes an hour.
    """
    steps = [f"aggregate --through {as_of - timedelta(days=1)} then features --as-of {as_of}".split() for as_of in days]
    words = list(chain.from_iterable(["then", *step] for step in steps))[1:]
    told = {name: value for name, value in environment(folder).items() if name != "SELLER_CREDIT_SPARK__CONFIG"}
    command = [sys.executable, "-m", "jobs.cli", *words]
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def same_by_days(folder: Path, lake: Lake, last: date, sellers: int) -> None:
    """Advance to `last` day by day, each arrival day closed on its own, and compare; of more than so many sellers."""
    days = [last - timedelta(days=number) for number in reversed(range(DAYS))]
    aggregate(lake, days[0] - timedelta(days=1))
    day_by_day(folder, days)
    # nothing was read of the lake since the other process wrote it
    lake = lake_at(lake.spark, folder)
    carried = {run.as_of: run.facts["carried_from"] for run in lake.runs() if run.step == "features"}
    assert carried == {day: str(day - timedelta(days=1)) if day != days[0] else "" for day in days}
    silver = Silver(*map(lake.read, SILVER))
    asked = Chosen(lake.spark.createDataFrame([(day,) for day in days], "as_of date"))
    labels = known_sellers(silver.sellers, silver.tiles, asked)
    # a row a seller and day, under one name
    one = F.concat_ws("/", "as_of", "seller_id").alias("seller_id")
    names = [feature.name for feature in CATALOGUE]
    swept = features_by_sweep(silver, labels, Chosen(labels), lake.kinds_told()).select(one, *names)
    advanced = lake.read(SELLER_FEATURES).select(one, *names)
    compared = held_together({"sweep": swept, "advance": advanced}, {f.name: f.type for f in CATALOGUE}).persist()
    odd = compared.filter(F.size("differences") > 0).limit(3).collect()
    assert odd == []
    assert compared.count() == labels.count() > DAYS * sellers
    compared.unpersist()
    # and the events say so too, of the last day: the sweep reads the tiles that advance read
    assert verify(lake, last, None).failure == ""


def test_the_last_sixty_days_of_a_simulated_world(spark: SparkSession, tmp_path: Path) -> None:
    world = yaml.safe_load((PROJECT / "conf" / "worlds" / "demo.yml").read_text())
    world |= {"sellers": 40, "days": 500, "name": "sixty_days"}
    (tmp_path / "world.yml").write_text(yaml.safe_dump(world))
    simulate(spark, load_world(str(tmp_path / "world.yml")), str(tmp_path / "world"))
    lake = lake_at(spark, tmp_path)
    ingest(lake, load_source("marketplace"), str(tmp_path / "world" / "deliveries"), None, TODAY)
    first = date.fromisoformat(str(world["first_day"]))
    same_by_days(tmp_path, lake, first + timedelta(days=499), 8)


@pytest.mark.skipif(not (INVOICES / "invoices.parquet").is_file(), reason=f"the public invoices are not in {INVOICES}")
def test_the_last_sixty_days_of_real_invoices(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("invoices.parquet", "enterprises.csv"):
        shutil.copy(INVOICES / name, tmp_path / "in" / name)
    lake = lake_at(spark, tmp_path)
    ingest(lake, load_source("vat_invoices"), str(tmp_path / "in"), None, TODAY)
    same_by_days(tmp_path, lake, LAST_INVOICE, 350)
