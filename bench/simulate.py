"""What a simulated marketplace costs: seconds, processor seconds and memory at growing numbers of events.

    python -m bench.simulate --out /tmp/simulated --events 100000 --events 1000000 --events 10000000

Each size is a run of `seller-credit simulate` on the demo's world with more sellers, in a process of its own. Memory is
the largest resident set of one process of its tree (Spark's driver, or a Python worker), and the largest sum of all.
Writes simulate.md, simulate.json and simulate.png into the folder; the worlds are removed, unless --keep.
"""

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import pyarrow.dataset

from bench.machine import described
from bench.report import Row, report

EVENTS_A_SELLER = 733
"""Of the demo's 1,464 days."""


@dataclass(frozen=True)
class Cost:
    """One run of `simulate`."""

    sellers: int
    events: int
    wall_seconds: float
    processor_seconds: float
    largest_process_bytes: int
    all_processes_bytes: int
    deliveries_bytes: int
    scratch_bytes: int


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
            found += [each for child in children for each in tree(int(child))]
    return found


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def measured(sellers: int, out: Path) -> Cost:
    """Simulate so many sellers into `out`."""
    started = time.monotonic()
    words = [sys.executable, "-m", "jobs.cli", "simulate", "--out", str(out), "--sellers", str(sellers)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    ticks: dict[int, int] = {}
    largest = together = 0
    while process.poll() is None:
        resident = []
        for each in tree(process.pid):
            with suppress(OSError, ValueError):
                fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
                ticks[each] = int(fields[11]) + int(fields[12])
                resident.append(int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
        largest, together = max(largest, *resident, 0), max(together, sum(resident))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"simulate --sellers {sellers} ended with {process.returncode}")
    wall = time.monotonic() - started
    feeds = [pyarrow.dataset.dataset(sorted((out / "deliveries").glob(f"*/{feed}/*.parquet"))) for feed in
             ("orders", "payments", "loans")]  # fmt: skip
    return Cost(
        sellers=sellers,
        events=sum(feed.count_rows() for feed in feeds),
        wall_seconds=wall,
        processor_seconds=sum(ticks.values()) / os.sysconf("SC_CLK_TCK"),
        largest_process_bytes=largest,
        all_processes_bytes=together,
        deliveries_bytes=folder_bytes(out / "deliveries"),
        scratch_bytes=folder_bytes(out / "truth"),
    )


def told(costs: list[Cost]) -> list[Row]:
    """A row a world, with the marginal cost of its size over the one before."""
    rows: list[Row] = []
    for cost, before in zip(costs, [None, *costs], strict=False):
        more = None
        if before is not None:
            more = 1e6 * (cost.processor_seconds - before.processor_seconds) / (cost.events - before.events)
        rows.append(
            {
                "sellers": cost.sellers,
                "events": cost.events,
                "wall s": cost.wall_seconds,
                "processor s": cost.processor_seconds,
                "us an event": 1e6 * cost.processor_seconds / cost.events,
                "us an event more": more,
                "largest process, GiB": cost.largest_process_bytes / 2**30,
                "all, GiB": cost.all_processes_bytes / 2**30,
                "deliveries, bytes an event": cost.deliveries_bytes / cost.events,
                "truth, bytes an event": cost.scratch_bytes / cost.events,
            }
        )
    return rows


@click.command()
@click.option("--events", multiple=True, type=click.IntRange(min=10_000), help="About so many; give it several times.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the worlds, and what is found.")
@click.option("--keep", is_flag=True, help="Leave the worlds where they are.")
def main(events: tuple[int, ...], out: Path, keep: bool) -> None:
    """Simulate worlds of growing size, and write what each cost, and a plot of it, into the folder."""
    out.mkdir(parents=True, exist_ok=True)
    about = f"the demo's world, 1,464 days. {described('pyspark')}."
    costs: list[Cost] = []
    for number in sorted(events or (100_000, 1_000_000, 10_000_000)):
        world = out / f"world-{number}"
        shutil.rmtree(world, ignore_errors=True)
        costs.append(measured(max(1, number // EVENTS_A_SELLER), world))
        # after each: the largest world is the one that may not come to its end
        report(out, "simulate", about, told(costs), ["events"], ["us an event"])
        if not keep:
            shutil.rmtree(world)


if __name__ == "__main__":
    main()
