"""What intake costs: raw files -> bronze, by format, share of bad records, repeats, and size of the lake.

    python -m bench.intake --events 4000000 --out /tmp/intake

Files are made by DuckDB, a delivery a day, in the marketplace's own columns. Every `ingest` is a process of its own;
what counts is the processor time of its whole tree, so that other work on the machine disturbs little. Beside it stands
what a plain copy costs: Spark reads the same files and writes the same number of columns to Delta, with no check at
all. Writes intake.md, intake.json and intake.png into the folder.
"""

import json
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import click
import duckdb

from bench.machine import described, run_measured
from bench.report import Row, report

FIRST_DAY = date(2024, 1, 1)


@dataclass(frozen=True)
class Cost:
    """One run of a command."""

    what: str
    events: int
    wall_seconds: float
    processor_seconds: float
    peak_megabytes: int
    """Resident, of the largest process."""
    together_megabytes: int
    """Resident, of all its processes at one time."""
    figures: dict[str, int]

    @property
    def events_a_core_minute(self) -> float:
        return self.events / self.processor_seconds * 60


def records(first: int, number: int, day: date, bad: float, sellers: int) -> str:
    """SQL for a day's paid orders, `number` of them from id `first` on; a share of them is bad in one of four ways."""
    return f"""
        select
            printf('%015d-paid', i) as event_id,
            printf('S%07d', i * 7919 % {sellers}) as shop_id,
            case when fault = 4 then timestamp '2999-01-01' else timestamp '{day}' end - interval 8 hour
                + to_seconds((hash(i, 2) % 86400)::bigint) as at,
            null::varchar as voids,
            printf('%015d', i) as order_id,
            case when fault = 1 then ' B1' else printf('B%09d', hash(i, 3) % {45 * sellers}) end as buyer_id,
            case when fault = 2 then 'lent' else 'paid' end as what,
            case when fault = 3 then '12,50'
                else printf('%d.%02d', 10 + hash(i, 4) % 990, hash(i, 5) % 100) end as amount,
            printf('I%09d', hash(i, 6) % {20 * sellers}) as item_id,
            'clothing' as category,
            printf('%d.%02d', 1000 + hash(i, 4) % 990, hash(i, 5) % 100) as list_price,
            (1 + hash(i, 7) % 3)::int as quantity,
            null::double as hours_since_paid,
            null::boolean as logistics,
            null::int as rating,
            null::varchar as reason,
            date '{day}' as delivered_on
        from (
            select i, case when (hash(i, 8) % 1000000) < {bad * 1e6} then 1 + hash(i, 9) % 4 else 0 end as fault
            from range({first}, {first + number}) as t(i)
        )
    """


def write(folder: Path, events: int, days: int, kind: str, bad: float, sellers: int) -> Path:
    """A folder a day, the events spread evenly: `kind` is parquet, csv or jsonl."""
    options = {"parquet": "format parquet", "csv": "format csv, header", "jsonl": "format json"}[kind]
    each = events // days
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        place = folder / str(day) / "orders"
        place.mkdir(parents=True)
        duckdb.sql(f"copy ({records(number * each, each, day, bad, sellers)}) to '{place}/part-0.{kind}' ({options})")
    return folder


def write_day(folder: Path, day: date, first: int, events: int, corrections: int, sellers: int) -> Path:
    """One more day: its events from id `first` on, and corrections of earlier ones, spread over all of history."""
    place = folder / str(day) / "orders"
    place.mkdir(parents=True)
    step = max(first // max(corrections, 1), 1)
    named = f"""
        select * replace (event_id || '-void' as event_id, event_id as voids)
        from ({records(0, first, day, 0.0, sellers)}) where order_id::bigint % {step} = {step // 2}
        limit {corrections}
    """
    both = f"{records(first, events, day, 0.0, sellers)} union all ({named})"
    duckdb.sql(f"copy ({both}) to '{place}/part-0.parquet' (format parquet)")
    return folder


def ingest(what: str, events: int, lake: Path, source: str, files: Path, *more: str) -> Cost:
    """Run the step as its user does, and measure its process tree."""
    words = [sys.executable, "-m", "jobs.cli", "ingest", "--source", source, "--input", str(files)]
    key = f"pseudonyms.key_file={lake.parent / 'key'}"
    return measured(what, events, [*words, "--lake", str(lake), "--json", "--set", key, *more])


PLAIN_COPY = """
import sys
from pyspark.sql import functions as F
from conf.settings import load_settings
from jobs.lakehouse.session import spark_session
spark = spark_session(load_settings("local", {}, []))
rows = spark.read.parquet(sys.argv[1] + "/*/orders")
rows.withColumn("month", F.substring(F.col("delivered_on").cast("string"), 1, 7)).write.format("delta").partitionBy(
    "month"
).save(sys.argv[2])
print("{}")
"""


def plain_copy(events: int, lake: Path, files: Path) -> Cost:
    """The same files into a Delta table of monthly partitions by Spark, unread, unchecked and unsorted."""
    return measured("a plain copy", events, [sys.executable, "-c", PLAIN_COPY, str(files), str(lake)])


def measured(what: str, events: int, words: list[str]) -> Cost:
    """Run a command and measure its process tree."""
    ended = run_measured(words)
    told = json.loads(ended.output[ended.output.index("{") :])
    figures = {name: value for name, value in told.items() if isinstance(value, int)}
    tree = ended.tree
    cost = Cost(
        what, events, ended.wall_seconds, tree.processor_seconds, tree.peak_megabytes, tree.together_megabytes, figures
    )
    click.echo(f"{what}: {cost.processor_seconds:.1f} processor seconds, {figures}")
    return cost


@click.command()
@click.option("--events", default=4_000_000, show_default=True, help="Events of the first load.")
@click.option("--days", default=50, show_default=True, help="Days over which they spread.")
@click.option("--corrections", default=0, show_default=True, help="Corrections of earlier events in that day.")
@click.option("--day-events", default=0, help="Also: a day of so many into an empty lake and into the loaded one.")
@click.option("--lake-events", default=0, help="The lake of that day: so many events written into it, not taken in.")
@click.option("--formats", default="parquet", show_default=True, help="parquet,csv,jsonl")
@click.option("--bad", default=0.05, show_default=True, help="Share of bad records in a further run; 0 leaves it out.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder; files and lakes lie there.")
def main(
    events: int, days: int, day_events: int, corrections: int, lake_events: int, formats: str, bad: float, out: Path
) -> None:
    """Measure intake, and write one table and its plot into the folder."""
    out.mkdir(parents=True)
    (out / "key").write_text(secrets.token_hex(32))
    sellers = max(events // 500, 100)
    costs: list[Cost] = []
    for kind in formats.split(",") if formats else ():
        files = write(out / f"files-{kind}", events, days, kind, 0.0, sellers)
        source = _source(out, kind)
        costs.append(ingest(f"{kind}, sound", events, out / f"lake-{kind}", source, files))
        if kind == "parquet":
            costs.append(plain_copy(events, out / "copy", files))
            shutil.rmtree(out / "copy")
            costs.append(ingest("the same again", events, out / "lake-parquet", source, files))
            if bad:
                worse = write(out / "files-bad", events, days, kind, bad, sellers)
                costs.append(ingest(f"{kind}, {bad:.0%} bad", events, out / "lake-bad", source, worse))
                shutil.rmtree(worse)
        if kind != "parquet":
            shutil.rmtree(files)
    if day_events:
        day = FIRST_DAY + timedelta(days=days)
        loaded = out / "lake-parquet"
        if lake_events:
            loaded = out / "lake-filled"
            words = ["--lake", str(loaded), "--events", str(lake_events), "--days", str(days)]
            subprocess.run([sys.executable, "-m", "bench.bronze", *words], check=True)
        before = lake_events or events
        files = write_day(out / "files-day", day, before, day_events, corrections, max(before // 500, 100))
        told = ("--arrival-day", str(day))
        for lake in (out / "lake-empty-1", loaded, out / "lake-empty-2"):
            what = f"a day's {day_events:,} into {f'a lake of {before:,}' if lake == loaded else 'an empty one'}"
            costs.append(ingest(what, day_events, lake, _source(out, "parquet"), files, *told))
    rows: list[Row] = [
        {
            "what": cost.what,
            "events": cost.events,
            "million events a core minute": cost.events_a_core_minute / 1e6,
            "processor s": cost.processor_seconds,
            "wall s": cost.wall_seconds,
            "largest process, MB": cost.peak_megabytes,
        }
        for cost in costs
    ]
    about, bars = f"{described('pyspark', 'delta-spark')}.", ["million events a core minute"]
    report(out, "intake", about, rows, ["what"], bars, runs=[vars(cost) for cost in costs])


def _source(out: Path, kind: str) -> str:
    """The marketplace's mapping, or the same for files of another format."""
    if kind == "parquet":
        return "marketplace"
    path = out / f"marketplace_{kind}.yml"
    text = (Path(__file__).parents[1] / "conf" / "sources" / "marketplace.yml").read_text()
    path.write_text(text.replace(".parquet", f".{kind}"))
    return str(path)


if __name__ == "__main__":
    main()
