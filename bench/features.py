"""What a day of all features costs: carried on, swept from all day tiles, and rebuilt from the raw events.

    python -m bench.features --events 3000000 --out /tmp/features

The whole of `features`, as its user runs it, by each of its three ways: the last is what one would do who keeps nothing
from day to day. Beside it what the carried day consists of, each part alone and written nowhere: the window sums, also
a third of them, and what is worked out together of the other features. All sums of the first day are swept; that day
and the next warm up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.machine import Tasks, described, measured, tasks_of, use_cores
from bench.refresh import Ledger, prepared, require_unused, taken_back
from bench.report import Row, report
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.lakehouse.cost import FORGOTTEN, cost_since, newest_stage
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.window_sums import HeldSums, newest_sums, sums_at
from transforms.features.catalogue import CATALOGUE
from transforms.features.evaluate import wanted_sums
from transforms.features.known import SILVER, STATES_AT, Silver
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.windows.asked import Asked, EverySeller
from transforms.windows.compare import held_together

WAYS = {"carried on": "advance", "swept from day tiles": "sweep", "rebuilt from raw events": "rebuild"}
MEGABYTE = 1e6


@dataclass(frozen=True)
class Cost:
    """One block of code, once."""

    wall_seconds: float
    processor_seconds: float
    tasks: Tasks
    rows_read: float
    megabytes_read: float
    megabytes_shuffled: float


def cost_of(lake: Lake, run: Callable[[], object]) -> Cost:
    """Run something, and tell what it cost. Raises ClickException where Spark does not remember all of it."""
    stage = newest_stage(lake.spark)
    with tasks_of(lake.spark) as tasks, measured() as told:
        run()
    cost = cost_since(lake.spark, stage)
    if cost[FORGOTTEN]:
        raise click.ClickException("Spark has forgotten stages of what was measured")
    read, shuffled = cost["bytes_read"] / MEGABYTE, cost["bytes_shuffled"] / MEGABYTE
    return Cost(told[0], told[1], tasks, cost["rows_read"], read, shuffled)


def to_nowhere(rows: DataFrame) -> None:
    rows.write.format("noop").mode("overwrite").save()


def parts_of(lake: Lake, held: HeldSums, carried_from: HeldSums) -> dict[str, Callable[[], None]]:
    """What the carried day consists of, each alone; `held` are the day's sums."""
    as_of = held.as_of
    silver, sums, asked = Silver(*map(lake.read, SILVER)), lake.read(WINDOW_SUMS), EverySeller(as_of)
    near, wanted = silver.since(as_of), wanted_sums()

    def carried(some: list[tuple[str, int]]) -> None:
        to_nowhere(sums_at(as_of, carried_from, sums, silver.tiles, silver.sellers, some))

    def made(make: Callable[[Silver, Asked], DataFrame]) -> None:
        to_nowhere(make(near, asked))

    some = wanted[::3]
    return {
        f"window sums, {len(wanted)} of them": partial(carried, wanted),
        f"window sums, {len(some)} of them": partial(carried, some),
        **{name: partial(made, make) for name, (_, make) in STATES_AT.items()},
    }


def require_same(lake: Lake, runs: dict[str, str]) -> int:
    """Compare the features that runs have published, by way and run; returns the number of sellers."""
    rows = lake.read(SELLER_FEATURES)
    ways = {way: rows.filter(F.col("run_id") == run) for way, run in runs.items()}
    types = {feature.name: rows.schema[feature.name].dataType.simpleString() for feature in CATALOGUE}
    told = held_together(ways, types).agg(
        F.count("*").alias("sellers"), F.count_if(F.size("differences") > 0).alias("differ")
    )
    (of_all,) = told.collect()
    if of_all["differ"]:
        raise click.ClickException(f"{of_all['differ']} sellers have other features by another way")
    return int(of_all["sellers"])


@click.command()
@click.option("--events", default=3_000_000, show_default=True, help="Events in the days.")
@click.option("--days", default=400, show_default=True, help="Days of history before the measured ones.")
@click.option("--skewed", is_flag=True, help="One seller has a fifth of all events.")
@click.option("--cores", default=2, show_default=True, help="That Spark may use.")
@click.option("--memory", default="1536m", show_default=True, help="Heap of the one JVM: driver and tasks.")
@click.option("--rebuild/--no-rebuild", default=True, help="Also from raw events.")
@click.option("--again", is_flag=True, help="Take a lake whose days were measured back to before them.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the lake, and for what is found."
)
def main(events: int, days: int, skewed: bool, cores: int, memory: str, rebuild: bool, again: bool, out: Path) -> None:
    """Print two tables, and write them and a plot into the folder."""
    use_cores(cores)
    ledger = Ledger(events, days, max(events // 500, 100), skewed)
    lake = prepared(out, ledger, cores, memory)
    if again:
        lake = taken_back(lake, out, ledger)
    require_unused(lake, ledger)
    for number in (1, 2, 3):
        as_of = ledger.last_day + timedelta(days=number)
        if number > 1:
            aggregate(lake, as_of - timedelta(days=1))
        first = cost_of(lake, partial(features, lake, as_of))
        click.echo(f"{as_of}: {first}")
    carried_from, held = (newest_sums(lake, as_of - timedelta(days=back)) for back in (1, 0))
    assert carried_from is not None and held is not None
    costs = {"carried on": first}
    for way, mode in WAYS.items():
        if way != "carried on" and (rebuild or mode != "rebuild"):
            costs[way] = cost_of(lake, partial(features, lake, as_of, mode, again=True))
            click.echo(f"{way}: {costs[way]}")
    published = [run for run in lake.runs() if run.step == "features" and run.as_of == as_of]
    runs = dict(zip(costs, [run.run_id for run in published[-len(costs) :]], strict=True))
    sellers = require_same(lake, runs)
    parts = {}
    for name, part in parts_of(lake, held, carried_from).items():
        part()
        parts[name] = cost_of(lake, part)
        click.echo(f"{name}: {parts[name]}")
    skew = ", one with a fifth" if skewed else ""
    about = (
        f"{events:,} events of {sellers:,} sellers in {days} days{skew}; {len(CATALOGUE)}"
        f" features of each, the same by all ways; {cores} cores, a heap of {memory}. {described('pyspark')}."
    )
    base = costs["carried on"].processor_seconds
    report(
        out,
        "features",
        about,
        [_row(name, cost, base) for name, cost in costs.items()],
        ["what"],
        ["processor s"],
        more=[_row(name, cost, base) for name, cost in parts.items()],
    )


def _row(name: str, cost: Cost, base: float) -> Row:
    return {
        "what": name,
        "processor s": cost.processor_seconds,
        "of the carried day's": cost.processor_seconds / base,
        "wall s": cost.wall_seconds,
        "rows read": int(cost.rows_read),
        "MB read": cost.megabytes_read,
        "MB shuffled": cost.megabytes_shuffled,
        "longest task s": cost.tasks.longest_seconds,
        "execution memory of a task, MB": cost.tasks.largest_megabytes,
    }


if __name__ == "__main__":
    main()
