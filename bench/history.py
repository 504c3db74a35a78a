"""What a day's refresh reads when history is longer: bytes of tiles, and of all else beside them.

    python -m bench.history --out /tmp/history --days 90 --days 400 --days 1861

A lake for each length of history, with as many sellers and as many events a day in all of them, and days that bring as
much: buyers come and go, since of buyers who stay for ever more return in a fifth year, and each return is a tile; and
the last two end on the same day of a year, since tiles lie by month.

Of the second of two days after it is told what Spark says it read: the tiles (all that carrying the window sums on
read, less what reading those of the day before and the profiles alone reads), these two, Delta's own lists of the files
of its tables, and what `aggregate` read for the day's news; beside it the sizes of the files.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import click
from pyspark.sql import DataFrame

from bench.machine import described, local_path, measured, use_cores
from bench.refresh import Ledger, carry_on, prepared, require_unused, sums_path
from bench.report import Row, report
from jobs.aggregate import aggregate
from jobs.lakehouse.cost import FORGOTTEN, cost_since, newest_stage, stages
from jobs.lakehouse.lake import Lake
from transforms.tables.bronze import SELLERS as PROFILES
from transforms.tables.silver import SELLER_BUYER_DAY, SELLER_DAY, SELLER_ITEM_DAY
from transforms.tables.table import Table

SELLERS = 4_000
BUYER_DAYS = 365
CORES = 2
MEGABYTE = 1e6


def on_disk(folder: str, pattern: str) -> float:
    """Megabytes of the files of a folder that match."""
    return sum(file.stat().st_size for file in Path(folder).rglob(pattern)) / MEGABYTE


def of_table(lake: Lake, table: Table) -> float:
    """Megabytes of the files that the newest version of a table has."""
    files = lake.read(table).inputFiles()
    return sum(Path(local_path(file)).stat().st_size for file in files) / MEGABYTE


@dataclass(frozen=True)
class Read:
    """Megabytes that Spark's stages read: of data, and of what Delta keeps of its tables' files."""

    data: float
    logs: float


def read_since(lake: Lake, stage: int) -> Read:
    """What was read since a stage. Raises ClickException where Spark does not remember all of it."""
    told = cost_since(lake.spark, stage)
    if told[FORGOTTEN]:
        raise click.ClickException("Spark has forgotten stages of what was measured")
    # Delta names its jobs itself: "Delta: ...: Filtering files for query"
    logs = sum(
        each["inputBytes"]
        for each in stages(lake.spark)
        if each["stageId"] > stage and (each.get("description") or "").startswith("Delta: ")
    )
    return Read((told["bytes_read"] - logs) / MEGABYTE, logs / MEGABYTE)


def reading(lake: Lake, rows: DataFrame) -> float:
    """Megabytes of data that reading some rows alone reads."""
    stage = newest_stage(lake.spark)
    rows.write.format("noop").mode("overwrite").save()
    return read_since(lake, stage).data


def of_a_day(lake: Lake, out: Path, ledger: Ledger) -> dict[str, float]:
    """Megabytes by what they are of, and processor seconds, of the second day after history."""
    told: dict[str, float] = {}
    for number in (1, 2):
        as_of = ledger.last_day + timedelta(days=1 + number)
        stage = newest_stage(lake.spark)
        with measured() as of_aggregate:
            aggregate(lake, as_of - timedelta(days=1))
        by_aggregate = read_since(lake, stage)
        # with the list of runs read before, which is not tiles
        before, tiles = sums_path(out, as_of - timedelta(days=1), True), lake.read(SELLER_DAY)
        stage = newest_stage(lake.spark)
        with measured() as of_advance:
            carry_on(lake, out, tiles, as_of, True)
        by_advance = read_since(lake, stage)
        of_sums = reading(lake, lake.spark.read.parquet(before))
        of_profiles = reading(lake, lake.read(PROFILES).select("seller_id"))
        told = {
            "tiles, read": by_advance.data - of_sums - of_profiles,
            "window sums, read": of_sums,
            "profiles, read": of_profiles,
            "Delta's logs, read by advance": by_advance.logs,
            "aggregate, read": by_aggregate.data,
            "Delta's logs, read by aggregate": by_aggregate.logs,
            "tiles": of_table(lake, SELLER_DAY),
            "window sums": on_disk(before, "*.parquet"),
            "pairs": of_table(lake, SELLER_BUYER_DAY),
            "items": of_table(lake, SELLER_ITEM_DAY),
            "Delta's logs": on_disk(str(out / "lake"), "_delta_log/*"),
            "aggregate, processor s": of_aggregate[1],
            "aggregate, wall s": of_aggregate[0],
            "advance, processor s": of_advance[1],
            "advance, wall s": of_advance[0],
        }
        click.echo(told)
    return told


@click.command()
@click.option(
    "--days", multiple=True, type=int, default=(90, 400, 1_861), show_default=True, help="Lengths of history."
)
@click.option("--events-a-day", default=5_000, show_default=True, help="The same in every lake.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for a lake each, and for what is found."
)
def main(days: tuple[int, ...], events_a_day: int, out: Path) -> None:
    """Print one table, and write it and its plot into the folder."""
    use_cores(CORES)
    told: dict[int, dict[str, float]] = {}
    for many in days:
        ledger, folder = Ledger(events_a_day * many, many, SELLERS, buyer_days=BUYER_DAYS), out / f"{many}-days"
        lake = prepared(folder, ledger, CORES, "4g")
        require_unused(lake, ledger)
        told[many] = of_a_day(lake, folder, ledger)
        lake.spark.stop()
    about = f"MB but where seconds are named; {events_a_day:,} events a day of {SELLERS:,} sellers. "
    # the bar is of five years beside 400 days, in which the windows are full; 90 days come before them
    long, short = days[-1], days[-2] if len(days) > 1 else days[-1]
    times = f"times, {long:,} to {short:,} days"
    rows: list[Row] = [
        {
            "what": name,
            **{f"{many:,} days": told[many][name] for many in days},
            times: told[long][name] / told[short][name],
        }
        for name in told[long]
        if told[short][name]
    ]
    report(out, "history", about + described("pyspark", "delta-spark"), rows, ["what"], [times])


if __name__ == "__main__":
    main()
