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

from jobs.lakehouse.lake import Lake
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
LAST_INVOICE = date(2020, 2, 29)

pytestmark = pytest.mark.full


def days_until(last: date) -> list[date]:
    return [last - timedelta(days=number) for number in reversed(range(DAYS))]


def day_by_day(folder: Path, first_steps: Sequence[Sequence[str]], last: date) -> None:
    """Take a ledger in, then close each arrival day by itself and advance to the next, up to `last`.

    In one process with the settings of a user's: that of the tests has nothing compiled, which makes an hour of it.
    """
    days = days_until(last)
    steps = [*first_steps, f"aggregate --through {days[0] - timedelta(days=2)}".split()]
    for as_of in days:
        steps += f"aggregate --through {as_of - timedelta(days=1)}".split(), f"features --as-of {as_of}".split()
    words = list(chain.from_iterable(["then", *step] for step in steps))[1:]
    told = {name: value for name, value in environment(folder).items() if name != "SELLER_CREDIT_SPARK__CONFIG"}
    command = [sys.executable, "-m", "jobs.cli", *words]
    done = subprocess.run(command, cwd=folder, env=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def same_by_days(lake: Lake, last: date, sellers: int) -> None:
    """What was published day by day is what the sweep gives for all of the days; of more than so many sellers."""
    days = days_until(last)
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
    last = date.fromisoformat(str(world["first_day"])) + timedelta(days=499)
    simulated = ["simulate", "--world", "world.yml", "--out", "world"]
    taken_in = ["ingest", "--source", "marketplace", "--input", "world/deliveries"]
    day_by_day(tmp_path, [simulated, taken_in], last)
    same_by_days(lake_at(spark, tmp_path), last, 8)


@pytest.mark.skipif(not (INVOICES / "invoices.parquet").is_file(), reason=f"the public invoices are not in {INVOICES}")
def test_the_last_sixty_days_of_real_invoices(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("invoices.parquet", "enterprises.csv"):
        shutil.copy(INVOICES / name, tmp_path / "in" / name)
    day_by_day(tmp_path, [["ingest", "--source", "vat_invoices", "--input", "in"]], LAST_INVOICE)
    same_by_days(lake_at(spark, tmp_path), LAST_INVOICE, 350)
