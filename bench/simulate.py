"""What a simulated marketplace costs: seconds, processor seconds and memory at growing numbers of events.

    python -m bench.simulate --out /tmp/simulated --events 100000 --events 1000000 --events 10000000

Each size is a run of `seller-credit simulate` on the demo's world with more sellers, in a process of its own. Memory is
the largest resident set of one process of its tree (Spark's driver, or a Python worker), and the largest sum of all.
Writes simulate.md into the folder; the worlds are removed, unless --keep.
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


def table(costs: list[Cost]) -> list[str]:
    """Markdown, with the marginal cost of each size over the one before."""
    lines = [
        "| sellers | events | seconds | processor seconds | µs an event | µs an event more | largest process, GiB"
        " | all, GiB | deliveries, bytes an event | truth, bytes an event |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    before: Cost | None = None
    for cost in costs:
        more = "-"
        if before is not None:
            seconds = cost.processor_seconds - before.processor_seconds
            more = f"{1e6 * seconds / (cost.events - before.events):.1f}"
        lines.append(
            f"| {cost.sellers:,} | {cost.events:,} | {cost.wall_seconds:.0f} | {cost.processor_seconds:.0f}"
            f" | {1e6 * cost.processor_seconds / cost.events:.1f} | {more} | {cost.largest_process_bytes / 2**30:.2f}"
            f" | {cost.all_processes_bytes / 2**30:.2f} | {cost.deliveries_bytes / cost.events:.0f}"
            f" | {cost.scratch_bytes / cost.events:.0f} |"
        )
        before = cost
    return lines


@click.command()
@click.option("--events", multiple=True, type=click.IntRange(min=10_000), help="About so many; give it several times.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for simulate.md and the worlds.")
@click.option("--keep", is_flag=True, help="Leave the worlds where they are.")
def main(events: tuple[int, ...], out: Path, keep: bool) -> None:
    """Simulate worlds of growing size and say what each cost."""
    out.mkdir(parents=True, exist_ok=True)
    head = [
        f"`python -m bench.simulate {' '.join(f'--events {each}' for each in events)}` on"
        f" {described('pyspark')}; the demo's world, 1,464 days.",
        "",
    ]
    costs: list[Cost] = []
    for number in sorted(events or (100_000, 1_000_000, 10_000_000)):
        world = out / f"world-{number}"
        shutil.rmtree(world, ignore_errors=True)
        costs.append(measured(max(1, number // EVENTS_A_SELLER), world))
        if not keep:
            shutil.rmtree(world)
        lines = [*head, *table(costs)]
        (out / "simulate.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(lines[-1], flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
