"""A world's configuration -> the deliveries of a simulated marketplace, and beside them the truth."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from conf.errors import UserError
from conf.world import World, load_world
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.session import spark_session
from transforms.market.faults import delivered
from transforms.market.loans import default_causes, loan_events
from transforms.market.orders import order_events
from transforms.market.payments import payment_events
from transforms.market.sellers import seller_traits, seller_versions
from transforms.market.weeks import seller_weeks

WORLD_FILE = "world.json"
SCRATCH = "unfinished"
"""Folder that a run works in and removes at its end: where it stands, the run did not come to its end."""

_DELIVERIES, _TRUTH = "deliveries", "truth"
_FILE = "part-0.parquet"


def simulate(spark: SparkSession, world: World, out: str) -> Report:
    """Write the world's deliveries and truth under `out`; nothing when they stand there already.

    Raises UserError when `out` holds another world or something else.
    """
    folder = Path(out).resolve()
    values = {"world": world.name, "seed": world.seed, "sellers": world.sellers, "last day": world.last_day}
    if _is_finished(folder, world):
        return Report("simulate", values, lines=[f"{folder} holds this world already: nothing was done"])
    started = time.monotonic()
    scratch = folder / SCRATCH
    _start_over(folder)
    scratch.mkdir(parents=True)

    # two tasks a core, so that no worker waits long for the last one; what is drawn does not depend on it
    numbers = spark.range(1, world.sellers + 1, 1, spark.sparkContext.defaultParallelism * 2)
    seller_weeks(numbers, world).write.parquet(str(scratch / "weeks"))
    weeks = spark.read.parquet(str(scratch / "weeks"))
    feeds = {
        "sellers": seller_versions(weeks, world),
        "orders": delivered(order_events(weeks, world), world, ("amount_fen", "list_price_fen"), is_critical=False),
        "payments": delivered(payment_events(weeks, world), world, ("amount_fen", "balance_fen"), is_critical=False),
        "loans": delivered(loan_events(weeks, world), world, ("amount_fen",), is_critical=True),
    }
    for name, records in feeds.items():
        _write_days(records, scratch, name)
    _write_truth(world, numbers, weeks, scratch / _TRUTH)
    for name in (_DELIVERIES, _TRUTH):
        (scratch / name).rename(folder / name)
    shutil.rmtree(scratch)
    body = {"digest": world.digest(), "world": world.model_dump(mode="json")}
    (folder / WORLD_FILE).write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    values |= {"deliveries": str(folder / _DELIVERIES), "seconds": round(time.monotonic() - started, 1)}
    return Report(
        "simulate", values, lines=["Synthetic: its default rates, prices and profits are no estimate of any."]
    )


def _is_finished(folder: Path, world: World) -> bool:
    finished = folder / WORLD_FILE
    if not finished.is_file():
        return False
    try:
        digest = json.loads(finished.read_text(encoding="utf-8"))["digest"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"--out {folder}: its {WORLD_FILE} cannot be read; give another folder") from None
    if digest != world.digest():
        raise UserError(f"--out {folder}: holds another world (see its {WORLD_FILE}); give another folder")
    return True


def _start_over(folder: Path) -> None:
    """Remove what an unfinished run left; refuse a folder in which anything else stands."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is no folder")
    standing = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    ours = {SCRATCH, _DELIVERIES, _TRUTH} if SCRATCH in standing else set()
    if standing - ours:
        raise UserError(f"--out {folder}: is not empty and holds no world; give another folder")
    # the scratch goes last: while it stands, the next run knows that it may start over
    for name in (_DELIVERIES, _TRUTH, SCRATCH):
        if name in standing:
            shutil.rmtree(folder / name)


def _write_days(records: DataFrame, place: Path, feed: str) -> None:
    """Write one Parquet file a delivery day and feed; the planted faults of the records go to the truth.

    The same files whatever the parallelism: a day's records are in one task, in order. Written through Arrow and not
    by partitionBy: the demo's loans, 48,420 records in 1282 files, took 4 seconds of processor time and not 26.
    """
    keys = [name for name in ("event_id", "voids", "shop_id", "changed_on") if name in records.columns]
    in_order = records.repartition("delivered_on").sortWithinPartitions("delivered_on", *keys, "faults")
    planted = in_order.mapInArrow(_day_writer(str(place / _DELIVERIES), feed), _FAULTS_SCHEMA)
    planted.write.mode("append").parquet(str(place / _TRUTH / "faults"))


_FAULTS_SCHEMA = "feed string, fault string, event_id string, delivered_on date"
_FAULTS_ARROW = pa.schema(
    [("feed", pa.string()), ("fault", pa.string()), ("event_id", pa.string()), ("delivered_on", pa.date32())]
)


def _day_writer(deliveries: str, feed: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Write the files of a task's days, and give back a row a planted fault."""

    def write_day(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
        records = pa.Table.from_batches(parts)
        folder = Path(deliveries) / records["delivered_on"][0].as_py().isoformat() / feed
        folder.mkdir(parents=True, exist_ok=True)
        # a task that is tried again replaces its files
        pq.write_table(records.drop_columns(["faults"]), folder / f"{_FILE}.{os.getpid()}")
        (folder / f"{_FILE}.{os.getpid()}").replace(folder / _FILE)
        faults = records["faults"].combine_chunks()
        rows = pc.list_parent_indices(faults)
        planted = [
            pa.array([feed] * len(rows), pa.string()),
            faults.flatten(),
            *(
                records[name].take(rows).combine_chunks() if name in records.column_names else pa.nulls(len(rows), kind)
                for name, kind in (("event_id", pa.string()), ("delivered_on", pa.date32()))
            ),
        ]
        return pa.RecordBatch.from_arrays(planted, schema=_FAULTS_ARROW)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            days = batch.column("delivered_on").cast(pa.int32()).to_numpy()
            edges = [0, *(np.flatnonzero(np.diff(days)) + 1), len(days)]
            for start, end in pairwise(edges):
                part = batch.slice(start, end - start)
                if waiting and waiting[-1].column("delivered_on")[0] != part.column("delivered_on")[0]:
                    yield write_day(waiting)
                    waiting = []
                waiting.append(part)
        if waiting:
            yield write_day(waiting)

    return run


def _write_truth(world: World, numbers: DataFrame, weeks: DataFrame, truth: Path) -> None:
    weeks.drop("orders", "loan_events").coalesce(1).write.parquet(str(truth / "weeks"))
    seller_traits(numbers, world).coalesce(1).write.parquet(str(truth / "sellers"))
    default_causes(weeks, world).coalesce(1).write.parquet(str(truth / "defaults"))


@step("simulate", "seller-credit simulate --out demo/world")
@click.option("--out", required=True, metavar="FOLDER", help="New folder for the world's deliveries and truth.")
@click.option(
    "--world", default="demo", metavar="NAME_OR_FILE", help="World that comes with the package, or a .yml file."
)
@click.option("--sellers", type=click.IntRange(min=1), help="Shops, instead of the world's own number.")
@click.option("--days", type=click.IntRange(min=7), help="Days, instead of the world's own number.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all chance, instead of the world's own.")
def command(
    invocation: Invocation, out: str, world: str, sellers: int | None, days: int | None, seed: int | None
) -> Report:
    """Make a marketplace that never was: shops, orders, payments and loans as daily files, and the truth beside them.

    In it a loan goes bad because a shop's cash runs short, for causes that the files show only in part. The same seed
    gives the same files.

    What such data can show: that the figures are computed rightly, at what scale and speed, that a run can be
    replayed, that the reasons given find the causes that were planted, and how far labels of accepted sellers alone
    mislead. What it cannot show: real default rates, fairness or profit. No figure from it may stand beside a real
    lender's.

    FOLDER/truth holds what no real ledger would tell (causes, hidden debts, planted faults). No step reads it.
    """
    told = load_world(world, sellers, days, seed)
    return simulate(spark_session(invocation.settings), told, out)


if __name__ == "__main__":
    sys.exit(run_command(command))
