"""From events to day tiles: the engine's into Delta, beside DuckDB doing the same aggregation into Parquet.

    python -m bench.tiles --events 20000000 --out /tmp/refresh

The ledger is that of bench.refresh, and its folder may be given: a lake that stands there is read, and not changed.
Both make every measure of order events, a row a seller, event day and arrival day, from the files of bronze, and write
the zeros of the other measures; the engine also partitions by month, sorts by event day, checks the rows and keeps the
statistics of its table. The second of two rounds is told. Sums that are not the same stop the run.
"""

import shutil
from pathlib import Path

import click
import duckdb

from bench.machine import described, measured, tasks_of, use_cores
from bench.refresh import Ledger, cores_of, prepared
from bench.report import report
from jobs.lakehouse.lake import Lake
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS
from transforms.tables.measures import MEASURES
from transforms.tables.silver import SELLER_DAY
from transforms.tiles.days import KEY, in_event_order, seller_days

OF_ORDERS = [measure for measure in MEASURES.values() if measure.event == "order_event"]


def beside(lake: Lake, result: Path) -> Lake:
    """A lake of its own for the engine's tiles, so that their table has its checks and statistics."""
    place = lake.settings.lake.model_copy(update={"root": str(result)})
    return Lake(lake.spark, lake.settings.model_copy(update={"lake": place}))


def by_engine(lake: Lake, result: Path) -> None:
    shutil.rmtree(result, ignore_errors=True)
    none = lake.read(SELLER_DAY).limit(0)
    payments, loans = (lake.read(table).limit(0) for table in (PAYMENT_EVENTS, LOAN_EVENTS))
    tiles = in_event_order(seller_days(lake.read(ORDER_EVENTS), payments, loans, none))
    with beside(lake, result).run("aggregate", "bench", {}, {}) as run:
        run.append(SELLER_DAY, tiles)


def by_duckdb(lake: Lake, result: Path) -> None:
    shutil.rmtree(result, ignore_errors=True)
    result.mkdir()
    duck = duckdb.connect(config={"threads": cores_of(lake), "temp_directory": f"{result}-spilled"})
    # Spark's name of the one function in the measures that DuckDB has by another
    duck.execute("create macro date_format(day, pattern) as strftime(day, '%m%d')")
    sums = ", ".join(
        f"{f'sum({measure.sql})' if measure in OF_ORDERS else 0}::bigint as {name}"
        for name, measure in MEASURES.items()
    )
    files = f"read_parquet('{lake.path(ORDER_EVENTS)}/*/*.parquet', hive_partitioning = true)"
    duck.execute(
        f"copy (select {', '.join(KEY)}, {sums} from {files} group by {', '.join(KEY)})"
        f" to '{result}/0.parquet' (format parquet)"
    )


def require_same(engine: str, duck: Path) -> int:
    """Compare every sum of whole tables, and the number of rows, which it returns."""
    # each row's sums weighed by its key, so that no two rows can have changed places
    key = "hash(seller_id, event_day, arrival_day) % 1000003"
    told = ", ".join(f"sum({name}::hugeint * ({key})::bigint)" for name in MEASURES)
    # written once, so that all files are the table's
    have = duckdb.execute(f"select count(*), {told} from read_parquet('{engine}/*/*/*.parquet')").fetchall()
    want = duckdb.execute(f"select count(*), {told} from read_parquet('{duck}/*.parquet')").fetchall()
    if have != want:
        raise click.ClickException(f"the engine's tiles are not DuckDB's: {have} and {want}")
    return int(want[0][0])


@click.command()
@click.option("--events", default=2_000_000, show_default=True, help="Events in the ledger.")
@click.option("--days", default=400, show_default=True, help="Days of history.")
@click.option("--skewed", is_flag=True, help="One seller has a fifth of all events.")
@click.option("--cores", default=2, show_default=True, help="That each may use.")
@click.option("--memory", default="4g", show_default=True, help="Heap of the JVM.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the lake, and for what is found."
)
def main(events: int, days: int, skewed: bool, cores: int, memory: str, out: Path) -> None:
    """Print one table, and write it and its plot into the folder."""
    use_cores(cores)
    lake = prepared(out, Ledger(events, days, max(events // 500, 100), skewed), cores, memory, is_closed=False)
    ways, costs, rows = {"engine": by_engine, "DuckDB": by_duckdb}, {}, 0
    results = {way: out / f"tiles-{way}" for way in ways}
    for _ in range(2):
        for way, run in ways.items():
            with tasks_of(lake.spark) as tasks, measured() as told:
                run(lake, results[way])
            of_spark = [tasks.longest_seconds, tasks.largest_megabytes] if tasks.longest_seconds else []
            costs[way] = [*told, *of_spark]
            click.echo(f"{way}: {told[0]:.1f} s, {told[1]:.1f} processor s")
        rows = require_same(beside(lake, results["engine"]).path(SELLER_DAY), results["DuckDB"])
    about = (
        f"{events:,} events into {rows:,} tiles of {len(MEASURES)} measures, {len(OF_ORDERS)} of them of orders,"
        f" {cores} cores used; the second round. {described('pyspark', 'delta-spark', 'duckdb')}."
    )
    told_of = [
        {
            "way": way,
            "processor s": processor,
            "wall s": wall,
            "times DuckDB's wall s": wall / costs["DuckDB"][0],
            "longest task s": of_spark[0] if of_spark else None,
            "execution memory of a task, MB": of_spark[1] if of_spark else None,
        }
        for way, (wall, processor, *of_spark) in costs.items()
    ]
    report(out, "tiles", about, told_of, ["way"], ["processor s", "wall s"])


if __name__ == "__main__":
    main()
