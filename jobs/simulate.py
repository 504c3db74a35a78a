"""A world's configuration -> the deliveries of a simulated marketplace, and beside them the truth."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from conf.errors import UserError
from conf.world import FAMILY, World, load_world
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.session import spark_session
from transforms.market.faults import TRUNCATED, delivered, drifted, file_fault
from transforms.market.loans import default_causes, loan_events
from transforms.market.orders import order_events
from transforms.market.payments import payment_events
from transforms.market.sellers import seller_traits, seller_versions
from transforms.market.weeks import WEEKS_SCHEMA, seller_weeks

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
    values = {
        "world": world.name,
        "seed": world.seed,
        "sellers": world.sellers,
        "worlds": world.worlds,
        "last day": world.last_day,
    }
    if _is_finished(folder, world):
        return Report("simulate", values, lines=[f"{folder} holds this world already: nothing was done"])
    started = time.monotonic()
    scratch = folder / SCRATCH
    _start_over(folder)
    scratch.mkdir(parents=True)

    # tasks of at most 50,000 sellers, and two a core, so that no worker waits long for the last one; what is drawn does
    # not depend on it
    ids = world.families
    parts = max(spark.sparkContext.defaultParallelism * 2, len(ids) * FAMILY // 50_000)
    families = spark.range(ids.start, ids.stop, 1, min(parts, len(ids)))
    # written once: it feeds all files, and is the truth of every week
    seller_weeks(families, world).write.parquet(str(scratch / _TRUTH / "weeks"))
    weeks = spark.read.schema(WEEKS_SCHEMA).parquet(str(scratch / _TRUTH / "weeks"))
    feeds = {
        "sellers": seller_versions(weeks, world),
        "orders": delivered(order_events(weeks, world), world, ("amount_fen", "list_price_fen"), is_critical=False),
        "payments": delivered(payment_events(weeks, world), world, ("amount_fen", "balance_fen"), is_critical=False),
        "loans": delivered(loan_events(weeks, world), world, ("amount_fen",), is_critical=True),
    }
    for name, records in feeds.items():
        _write_days(records, world, scratch, name)
    seller_traits(families, world).write.parquet(str(scratch / _TRUTH / "sellers"))
    default_causes(weeks, world).coalesce(1).write.parquet(str(scratch / _TRUTH / "defaults"))
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


def _write_days(records: DataFrame, world: World, place: Path, feed: str) -> None:
    """Write one Parquet file a delivery day and feed; the planted faults go to the truth.

    The same files whatever the parallelism: a day's records are in one task, in order. Written through Arrow and not
    by partitionBy: the demo's loans, 48,420 records in 1282 files, took 4 seconds of processor time and not 26.
    """
    keys = [name for name in ("event_id", "voids", "shop_id", "changed_on") if name in records.columns]
    # as Spark is set up for small worlds; of large ones two million rows a task, or its sort would spill many times
    tasks = len(world.families) * FAMILY * world.days // 4 // _ROWS_A_TASK
    is_large = tasks > int(records.sparkSession.conf.get("spark.sql.shuffle.partitions") or 0)
    by_day = records.repartition(tasks, "delivered_on") if is_large else records.repartition("delivered_on")
    in_order = by_day.sortWithinPartitions("delivered_on", *keys, "faults")
    planted = in_order.mapInArrow(_day_writer(str(place / _DELIVERIES), world, feed), _FAULTS_SCHEMA)
    planted.write.mode("append").parquet(str(place / _TRUTH / "faults"))


_FAULTS_SCHEMA = "feed string, fault string, event_id string, delivered_on date, file string"
"""A row a planted fault: of a record (no file), or of a whole file (no event_id)."""
_FAULTS_ARROW = pa.schema(
    [
        ("feed", pa.string()),
        ("fault", pa.string()),
        ("event_id", pa.string()),
        ("delivered_on", pa.date32()),
        ("file", pa.string()),
    ]
)
_ROWS_A_TASK = 2_000_000
"""At a row of orders and one of payments every fourth day of a shop, as in the demo."""
_ROWS_A_GROUP = 500_000
"""Rows of a day that a task holds at most, about 100 MB."""


def _day_writer(
    deliveries: str, world: World, feed: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Write the files of a task's days, and give back a row a planted fault."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        file: _DayFile | None = None
        for batch in batches:
            days = batch.column("delivered_on").cast(pa.int32()).to_numpy()
            edges = [0, *(np.flatnonzero(np.diff(days)) + 1), len(days)]
            for start, end in pairwise(edges):
                part = batch.slice(start, end - start)
                day = part.column("delivered_on")[0].as_py()
                if file is None or file.day != day:
                    if file is not None:
                        yield file.close()
                    file = _DayFile(Path(deliveries), world, feed, day)
                yield file.add(part)
        if file is not None:
            yield file.close()

    return run


class _DayFile:
    """The file of a day and feed, written in groups of a fixed size: bit for bit the same however it comes in."""

    def __init__(self, deliveries: Path, world: World, feed: str, day: date) -> None:
        self.day, self._feed = day, feed
        self._fault = file_fault(world, feed, (day - world.first_day).days)
        self._path = deliveries / day.isoformat() / feed / _FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # a task that is tried again replaces its files
        self._unfinished = self._path.with_name(f"{_FILE}.{os.getpid()}")
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """Take records in; return their planted faults."""
        self._waiting.append(records)
        self._rows += len(records)
        if self._rows >= _ROWS_A_GROUP:
            self._write(_ROWS_A_GROUP)
        faults = records["faults"]
        rows = pc.list_parent_indices(faults)
        columns = {"fault": faults.flatten()}
        columns |= {
            name: records[name].take(rows) for name in ("event_id", "delivered_on") if name in records.schema.names
        }
        return self._planted(columns, len(rows))

    def close(self) -> pa.RecordBatch:
        """Finish the file; return what is wrong with it as a whole."""
        self._write(self._rows).close()
        if self._fault == TRUNCATED:
            os.truncate(self._unfinished, self._unfinished.stat().st_size // 2)
        self._unfinished.replace(self._path)
        faults = [] if self._fault is None else [self._fault]
        name = f"{self.day.isoformat()}/{self._feed}/{_FILE}"
        return self._planted(
            {"fault": faults, "delivered_on": [self.day] * len(faults), "file": [name] * len(faults)}, len(faults)
        )

    def _write(self, rows: int) -> pq.ParquetWriter:
        table = pa.Table.from_batches(self._waiting)
        group = drifted(table.slice(0, rows).drop_columns(["faults"]), self._fault)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._unfinished, group.schema)
        self._writer.write_table(group, row_group_size=_ROWS_A_GROUP)
        self._waiting, self._rows = table.slice(rows).to_batches(), self._rows - rows
        return self._writer

    def _planted(self, columns: dict[str, Any], rows: int) -> pa.RecordBatch:
        columns = columns | {"feed": [self._feed] * rows}
        known = [
            (
                columns[field.name]
                if isinstance(columns[field.name], pa.Array)
                else pa.array(columns[field.name], field.type)
            )
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in _FAULTS_ARROW
        ]
        return pa.RecordBatch.from_arrays(known, schema=_FAULTS_ARROW)


@step("simulate", "seller-credit simulate --out demo/world")
@click.option("--out", required=True, metavar="FOLDER", help="New folder for the world's deliveries and truth.")
@click.option(
    "--world",
    default="demo",
    metavar="NAME_OR_FILE",
    help="World that comes with the package (demo; busy; faulty: files wrong in every way), or a .yml file.",
)
@click.option("--sellers", type=click.IntRange(min=1), help="Shops, instead of the world's own number.")
@click.option("--days", type=click.IntRange(min=7), help="Days, instead of the world's own number.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all chance, instead of the world's own.")
@click.option("--worlds", type=click.IntRange(min=1), help="Worlds in one run: other sellers, other common shocks.")
@click.option(
    "--first-world", type=click.IntRange(min=0), help="Number of the first: world K alone is world K of many."
)
@click.option("--without-loans", is_flag=True, help="The same world in which nobody is lent anything.")
def command(
    invocation: Invocation,
    out: str,
    world: str,
    sellers: int | None,
    days: int | None,
    seed: int | None,
    worlds: int | None,
    first_world: int | None,
    without_loans: bool,
) -> Report:
    """Make a marketplace that never was: shops, orders, payments and loans as daily files, and the truth beside them.

    In it a loan goes bad because a shop's cash runs short, for causes that the files show only in part. The same seed
    gives the same files. World K of a run of many (column `world` of the sellers) is the same, ids and all, as
    `--worlds 1 --first-world K`. `--without-loans` gives the counterfactual: each seller's chance is the same.

    What such data can show: that the figures are computed rightly, at what scale and speed, that a run can be
    replayed, that the reasons given find the causes that were planted, and how far labels of accepted sellers alone
    mislead. What it cannot show: real default rates, fairness or profit. No figure from it may stand beside a real
    lender's.

    What is not in it: instalment plans made anew, buyers with a life of their own, loans that a better rule prices by
    risk, owners whose pocket is one for all their shops.

    FOLDER/truth holds what no real ledger would tell (causes, hidden debts, planted faults). No step reads it.
    """
    lends = False if without_loans else None
    told = load_world(world, sellers, days, seed, worlds=worlds, first_world=first_world, lends=lends)
    return simulate(spark_session(invocation.settings), told, out)


if __name__ == "__main__":
    sys.exit(run_command(command))
