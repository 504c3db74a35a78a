"""What a simulated marketplace costs at growing numbers of events, and what it costs to take all of it in.

    python -m bench.simulate --out /tmp/simulated --events 100000 --events 1000000 --events 10000000

Each size is a run of `seller-credit simulate` on the demo's world with more sellers, then of `seller-credit ingest`
into an empty lake, each in a process of its own. Memory is the largest resident set of one process (Spark's
driver, or a Python worker), and the largest sum of all. Events are the deliveries' orders, payments and loans.
Writes simulate.md, simulate.json and simulate.png into the folder; worlds and lakes are removed, unless --keep.
"""

import secrets
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import pyarrow.dataset

from bench.intake import Cost, ingest, measured
from bench.machine import described
from bench.report import Row, report

EVENTS_A_SELLER = 733
"""Of the demo's 1,464 days."""


@dataclass(frozen=True)
class World:
    """A world of one size: what it cost to simulate and to take in, and the bytes of what lies there."""

    sellers: int
    events: int
    simulated: Cost
    taken_in: Cost
    deliveries_bytes: int
    truth_bytes: int
    bronze_bytes: int


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def world_of(sellers: int, out: Path) -> World:
    """Simulate so many sellers into `out`, and take their deliveries in."""
    world = out / "world"
    words = [sys.executable, "-m", "jobs.cli", "simulate", "--out", str(world), "--sellers", str(sellers), "--json"]
    # how many events there are is known when they are there
    simulated = measured("simulate", 0, words)
    feeds = [pyarrow.dataset.dataset(sorted((world / "deliveries").glob(f"*/{feed}/*.parquet"))) for feed in
             ("orders", "payments", "loans")]  # fmt: skip
    events = sum(feed.count_rows() for feed in feeds)
    (out / "key").write_text(secrets.token_hex(32))
    return World(
        sellers=sellers,
        events=events,
        simulated=simulated,
        taken_in=ingest("ingest", events, out / "lake", "marketplace", world / "deliveries"),
        deliveries_bytes=folder_bytes(world / "deliveries"),
        truth_bytes=folder_bytes(world / "truth"),
        bronze_bytes=folder_bytes(out / "lake"),
    )


def told(worlds: list[World]) -> list[Row]:
    """Two rows a world, with the marginal cost of its size over the one before."""
    rows: list[Row] = []
    for world, before in zip(worlds, [None, *worlds], strict=False):
        bytes_an_event = {"simulate": world.deliveries_bytes, "ingest": world.bronze_bytes}
        for what, cost, earlier in (
            ("simulate", world.simulated, before.simulated if before else None),
            ("ingest", world.taken_in, before.taken_in if before else None),
        ):
            more = None
            if before is not None and earlier is not None:
                more = 1e6 * (cost.processor_seconds - earlier.processor_seconds) / (world.events - before.events)
            rows.append(
                {
                    "what": what,
                    "sellers": world.sellers,
                    "events": world.events,
                    "wall s": cost.wall_seconds,
                    "processor s": cost.processor_seconds,
                    "us an event": 1e6 * cost.processor_seconds / world.events,
                    "us an event more": more,
                    "million events a core minute": 60e-6 * world.events / cost.processor_seconds,
                    "largest process, MB": cost.peak_megabytes,
                    "all processes, MB": cost.together_megabytes,
                    "bytes an event": bytes_an_event[what] / world.events,
                }
            )
    return rows


@click.command()
@click.option("--events", multiple=True, type=click.IntRange(min=10_000), help="About so many; give it several times.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the worlds, and what is found.")
@click.option("--keep", is_flag=True, help="Leave worlds and lakes where they are.")
def main(events: tuple[int, ...], out: Path, keep: bool) -> None:
    """Simulate worlds of growing size, take them in, and write what each cost, and a plot of it, into the folder."""
    about = f"the demo's world, 1,464 days. {described('pyspark', 'delta-spark')}."
    worlds: list[World] = []
    for number in sorted(events or (100_000, 1_000_000, 10_000_000)):
        place = out / f"world-{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        worlds.append(world_of(max(1, number // EVENTS_A_SELLER), place))
        # after each: the largest world is the one that may not come to its end
        runs = [asdict(world) for world in worlds]
        report(out, "simulate", about, told(worlds), ["what", "events"], ["us an event"], runs=runs)
        if not keep:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
