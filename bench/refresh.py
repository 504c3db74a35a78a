"""What a day's refresh costs: the engine's advance against plain Spark, naive and well written, DuckDB and Polars.

    python -m bench.refresh --events 20000000 --out /tmp/refresh

All ways give 12 additive measures, and with buyers 4 more, over 5 windows of every seller, as Parquet, from the same
events: the engine from its lake, the others from the Parquet files of bronze. The engine's day is all that `aggregate`
does with the day's news (tiles, buyers, items, loan book), and the wide table carried on to the new day.

Cold is a process of its own, from its start to its end. Warm is a round in one process in which each way has been run
before; ways alternate, and medians are told. Processor seconds are those of the whole process tree; of Spark's tasks
the longest and the one with most execution memory are told too. A result that is not the same as DuckDB's stops the
run. Writes refresh.md, refresh.json and refresh.png into the folder.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any, cast

import click
import duckdb
from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from bench.machine import described, measured, processor_seconds, run_measured, tasks_of, use_cores, whereabouts
from bench.report import Row, report
from conf.settings import Settings, load_settings
from jobs.aggregate import aggregate
from jobs.lakehouse.cost import newest_stage
from jobs.lakehouse.lake import Lake, jobs_named, session_settings
from jobs.lakehouse.session import spark_session
from transforms.features.feature import column_of
from transforms.features.known import known_sellers
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import WINDOW_SUMS
from transforms.tables.measures import MEASURES
from transforms.tables.ops import RUNS
from transforms.tables.silver import SELLER_DAY
from transforms.tiles.days import in_event_order, seller_days
from transforms.windows.advance import advance
from transforms.windows.asked import EverySeller
from transforms.windows.sweep import sweep
from transforms.windows.wide import WindowSums

FIRST_DAY = date(2024, 1, 1)
WINDOWS = (7, 30, 90, 180, 365)
ADDITIVE = (
    "paid_orders",
    "paid_fen",
    "cancelled_orders",
    "refunded_orders",
    "refunded_fen",
    "net_sales_fen",
    "shipped_orders",
    "shipping_hours",
    "late_shipments",
    "confirmed_orders",
    "ratings",
    "rating_stars",
)
BUYERS = ("active_days", "last_buyers", "first_buyers", "second_last_buyers")
SHARE_OF_ONE = 5
ROUNDS = 4
"""Days that follow the history: the first round warms up, the others are measured."""


@dataclass(frozen=True)
class Cost:
    """One way, once."""

    way: str
    with_buyers: bool
    is_cold: bool
    wall_seconds: float
    processor_seconds: float
    process_megabytes: float | None = None
    """Of the largest process; cold, since a process keeps what an earlier way made it take."""
    longest_task_seconds: float | None = None
    largest_task_megabytes: float | None = None
    """Execution memory: the sum of the peaks of its sorts and hash tables, without Python workers."""


@dataclass(frozen=True)
class Ledger:
    """Events of some days, the news of the measured ones included."""

    events: int
    days: int
    sellers: int
    is_skewed: bool = False
    """One event in SHARE_OF_ONE is one seller's."""
    buyer_days: int | None = None
    """For so many days a buyer is one of a seller's 250, then another is; None: the same 250 for ever."""

    @property
    def last_day(self) -> date:
        return FIRST_DAY + timedelta(days=self.days - 1)


def wanted(with_buyers: bool) -> WindowSums:
    return sorted((m, days) for m in (*ADDITIVE, *(BUYERS if with_buyers else ())) for days in WINDOWS)


# ---- the ledger ------------------------------------------------------------


def events_sql(ledger: Ledger) -> str:
    """Events of the days: busy and quiet sellers, 2 % up to 20 days late, 1 in 200 paid orders taken back."""
    busy = f"floor({ledger.sellers} * power(hash(i, 1) / 18446744073709551616.0, 2))::bigint"
    seller = f"case when hash(i, 12) % {SHARE_OF_ONE} = 0 then 0 else {busy} end" if ledger.is_skewed else busy
    # a seller with a fifth of all has as many buyers and items for its orders as the others
    of_one = f"case when seller = 0 then {ledger.sellers // SHARE_OF_ONE} else 1 end" if ledger.is_skewed else "1"
    # others come as evenly as these leave
    turned = f" + after * 250 * {of_one} // {ledger.buyer_days}" if ledger.buyer_days else ""
    buyer = f"hash(i, 2) % (250 * {of_one}){turned}"
    each = f"""
        select i, {seller} as seller,
            (hash(i, 3) % 100) as chance,
            (i * {ledger.days + ROUNDS} // {ledger.events})::int as after,
            case when hash(i, 5) % 50 = 0 then (hash(i, 6) % 21)::int else 0 end as late,
            1000 + hash(i, 7) % 99000 as amount
        from range({ledger.events}) t(i)
    """
    row = f"""
        select i, printf('S%07d', seller) as seller_id, md5(seller || '/' || ({buyer})) as buyer_id,
            case when chance < 60 then 'paid' when chance < 78 then 'shipped' when chance < 84 then 'confirmed'
                when chance < 90 then 'rated' when chance < 95 then 'cancelled' else 'refunded' end as kind,
            date '{FIRST_DAY}' + after as event_day, date '{FIRST_DAY}' + after + late as arrival_day,
            amount::bigint as amount_fen, 1 as sign, hash(i, 13) % (20 * {of_one}) as item
        from ({each})
    """
    return f"""
        with e as ({row}), corrected as (
            select * exclude (arrival_day, sign), arrival_day + (hash(i, 8) % 40)::int as arrival_day, -1 as sign
            from e where kind = 'paid' and hash(i, 9) % 200 = 0
        )
        select printf('%015d', i) || case when sign < 0 then '-c' else '' end as event_id,
            event_day, arrival_day, seller_id, buyer_id, kind, amount_fen, sign::int as sign,
            case when kind = 'shipped' then (hash(i, 10) % 96)::double end as hours_since_paid,
            case when kind = 'rated' then (1 + hash(i, 11) % 5)::int end as rating,
            case when kind = 'paid' then seller_id || '/' || item end as item_id,
            case when kind = 'paid' then 'category ' || item % 3 end as category,
            event_day::timestamp as happened_at, printf('%015d', i) as order_id
        from (select * from e union all by name select * from corrected) order by arrival_day
    """


def close_history(lake: Lake, out: Path, ledger: Ledger) -> None:
    """Close the days of history, and write the sums as of the day after it; what stands is not made again."""
    with measured() as told:
        closed = aggregate(lake, ledger.last_day).values
    click.echo(f"aggregate of history: {told[0]:.0f} s, {told[1]:.0f} processor s; {closed}")
    as_of = ledger.last_day + timedelta(days=1)
    labels = known_sellers(lake.read(SELLERS), lake.read(SELLER_DAY), EverySeller(as_of))
    for with_buyers in (True, False):
        sums = wanted(with_buyers)
        if not (Path(sums_path(out, as_of, with_buyers)) / "_SUCCESS").exists():
            swept = sweep(lake.read(SELLER_DAY), labels, sums)
            with session_settings(lake.spark, WINDOW_SUMS.file_options):
                swept.write.mode("overwrite").parquet(sums_path(out, as_of, with_buyers))


def _fill_bronze(lake: Lake, out: Path, ledger: Ledger) -> None:
    files = out / "events"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    duckdb.sql(f"set temp_directory = '{out / 'duckdb'}'")
    duckdb.sql(f"copy ({events_sql(ledger)}) to '{files}' (format parquet, file_size_bytes '200MB')")
    told = lake.spark.read.parquet(str(files)).withColumns(
        {
            "arrival_month": F.date_format("arrival_day", "yyyy-MM"),
            "content_hash": F.lit(0),
            "delivery_id": F.lit("bench"),
        }
    )
    with lake.run("ingest", "bench", {}, {}) as run:
        columns = [
            (F.col(c.name) if c.name in told.columns else F.lit(None)).cast(c.type).alias(c.name) for c in ORDER_EVENTS
        ]
        run.append(ORDER_EVENTS, told.select(*columns))
        for table in (PAYMENT_EVENTS, LOAN_EVENTS, SELLERS):
            run.append(table, lake.read(table))
        run.facts = {
            "kinds_told": "order_event.paid,order_event.item_id,order_event.category",
            "simulated": "True",
        }
        run.publish()
    shutil.rmtree(files)


def sums_path(out: Path, as_of: date, with_buyers: bool) -> str:
    return str(out / f"sums-{as_of}{'-buyers' if with_buyers else ''}")


# ---- the ways ------------------------------------------------------------


def by_engine(lake: Lake, out: Path, as_of: date, with_buyers: bool, result: str) -> None:
    """News into tiles, and yesterday's wide table carried on."""
    yesterday = as_of - timedelta(days=1)
    if with_buyers:
        aggregate(lake, yesterday)
        tiles = lake.read(SELLER_DAY)
    else:
        # its own tiles, without buyers; those of `aggregate` have the rest already
        news = lake.read(ORDER_EVENTS).filter(F.col("arrival_day") == F.lit(yesterday))
        news = news.filter(F.col("arrival_month") == f"{yesterday:%Y-%m}")
        none = lake.read(SELLER_DAY).limit(0)
        of_day = seller_days(news, lake.read(PAYMENT_EVENTS).limit(0), lake.read(LOAN_EVENTS).limit(0), none)
        path = str(out / f"tiles-{as_of}")
        options = SELLER_DAY.file_options
        with jobs_named(lake.spark, "tiles without buyers"), session_settings(lake.spark, options):
            in_event_order(of_day).write.format("delta").mode("overwrite").save(path)
        before = lake.read(SELLER_DAY).filter(F.col("arrival_day") < F.lit(yesterday))
        tiles = before.unionByName(lake.spark.read.format("delta").load(path))
    carry_on(lake, out, tiles, as_of, with_buyers)
    shutil.rmtree(result, ignore_errors=True)
    # what the day's features are made of is what the next day's are carried on from: one table
    shutil.copytree(sums_path(out, as_of, with_buyers), result, copy_function=os.link)


def carry_on(lake: Lake, out: Path, tiles: DataFrame, as_of: date, with_buyers: bool) -> None:
    """The wide table of a day from that of the day before, and what tiles entered and left the windows."""
    yesterday = as_of - timedelta(days=1)
    held = lake.spark.read.parquet(sums_path(out, yesterday, with_buyers))
    new = advance(held, tiles, lake.read(SELLERS), yesterday, as_of, wanted(with_buyers))
    options = WINDOW_SUMS.file_options
    with jobs_named(lake.spark, "the wide table carried on"), session_settings(lake.spark, options):
        new.write.mode("overwrite").parquet(sums_path(out, as_of, with_buyers))


def _known(lake: Lake, as_of: date) -> DataFrame:
    is_known = (F.col("event_day") < F.lit(as_of)) & (F.col("arrival_day") < F.lit(as_of))
    return lake.read(ORDER_EVENTS).filter(is_known)


def _additive(known: DataFrame, as_of: date, *more: Column) -> DataFrame:
    return known.groupBy("seller_id").agg(
        F.min("event_day").alias("first_day"),
        *(
            F.sum(F.when(_within(as_of, days), F.expr(MEASURES[name].sql)).otherwise(0)).alias(column_of(name, days))
            for name in ADDITIVE
            for days in WINDOWS
        ),
        *more,
    )


def _within(as_of: date, days: int) -> Column:
    return F.col("event_day") >= F.lit(as_of - timedelta(days=days))


def by_plain_spark(lake: Lake, out: Path, as_of: date, with_buyers: bool, result: str) -> None:
    """Written well: one pass for what adds up, and one row a pair for the buyers."""
    known = _known(lake, as_of)
    wide = _additive(known, as_of)
    if with_buyers:
        pair_days = (
            known.filter("kind = 'paid'")
            .select("seller_id", "buyer_id", "event_day", "sign")
            .repartition("seller_id", "buyer_id")
            .groupBy("seller_id", "buyer_id", "event_day")
            .agg(F.sum("sign").alias("orders"))
            .filter("orders > 0")
        )
        orders = [F.sum(F.when(_within(as_of, n), F.col("orders")).otherwise(0)).alias(f"orders_{n}") for n in WINDOWS]
        pairs = pair_days.groupBy("seller_id", "buyer_id").agg(F.min("event_day").alias("event_day"), *orders)
        buyers = pairs.groupBy("seller_id").agg(
            *(F.sum((F.col(f"orders_{n}") > 0).cast("bigint")).alias(column_of("last_buyers", n)) for n in WINDOWS),
            *(
                F.sum((F.col(f"orders_{n}") > 1).cast("bigint")).alias(column_of("second_last_buyers", n))
                for n in WINDOWS
            ),
            *(F.sum(_within(as_of, n).cast("bigint")).alias(column_of("first_buyers", n)) for n in WINDOWS),
        )
        days = known.filter("kind = 'paid'").groupBy("seller_id", "event_day").agg(F.sum("sign").alias("orders"))
        active = (
            days.filter("orders > 0")
            .groupBy("seller_id")
            .agg(*(F.sum(_within(as_of, n).cast("bigint")).alias(column_of("active_days", n)) for n in WINDOWS))
        )
        wide = wide.join(buyers, "seller_id", "left").join(active, "seller_id", "left")
    _write(wide, as_of, with_buyers, result)


def by_naive_spark(lake: Lake, out: Path, as_of: date, with_buyers: bool, result: str) -> None:
    """As one writes it first: a COUNT(DISTINCT) a window. It gives distinct buyers alone, taken back or not."""
    buyer = F.when(F.col("kind") == "paid", F.col("buyer_id"))
    distinct = (F.countDistinct(F.when(_within(as_of, n), buyer)).alias(f"distinct_{n}") for n in WINDOWS)
    wide = _additive(_known(lake, as_of), as_of, *distinct)
    wide.write.mode("overwrite").parquet(result)


def _write(wide: DataFrame, as_of: date, with_buyers: bool, result: str) -> None:
    names = [column_of(*sum_) for sum_ in wanted(with_buyers)]
    columns = (F.coalesce(name, F.lit(0)).cast("bigint").alias(name) for name in names)
    wide.select("seller_id", F.lit(as_of).alias("as_of"), "first_day", *columns).write.mode("overwrite").parquet(result)


def by_duckdb(lake: Lake, out: Path, as_of: date, with_buyers: bool, result: str) -> None:
    """The same plan as SQL on the same files, as Parquet."""
    shutil.rmtree(result, ignore_errors=True)
    duck = duckdb.connect(config={"threads": cores_of(lake), "temp_directory": str(out / "duckdb")})
    known = f"event_day < date '{as_of}' and arrival_day < date '{as_of}'"
    files = f"read_parquet('{lake.path(ORDER_EVENTS)}/*/*.parquet', hive_partitioning = true)"
    within = {n: f"event_day >= date '{as_of - timedelta(days=n)}'" for n in WINDOWS}
    sums = ", ".join(
        f"sum(case when {within[n]} then {MEASURES[m].sql} else 0 end)::bigint as {column_of(m, n)}"
        for m in ADDITIVE
        for n in WINDOWS
    )
    joins, columns = "", [column_of(*sum_) for sum_ in wanted(with_buyers)]
    parts = f"with known as (select * from {files} where {known}),\n"
    parts += f"sums as (select seller_id, min(event_day) as first_day, {sums} from known group by seller_id)"
    if with_buyers:
        orders = ", ".join(f"sum(case when {within[n]} then orders else 0 end) as orders_{n}" for n in WINDOWS)
        counts = ", ".join(
            f"count(*) filter (orders_{n} > 0) as {column_of('last_buyers', n)},"
            f" count(*) filter (orders_{n} > 1) as {column_of('second_last_buyers', n)},"
            f" count(*) filter ({within[n]}) as {column_of('first_buyers', n)}"
            for n in WINDOWS
        )
        active = ", ".join(f"count(*) filter ({within[n]}) as {column_of('active_days', n)}" for n in WINDOWS)
        parts += f""",
            pair_days as (select seller_id, buyer_id, event_day, sum(sign) as orders from known where kind = 'paid'
                group by all having sum(sign) > 0),
            pairs as (select seller_id, buyer_id, min(event_day) as event_day, {orders} from pair_days group by all),
            buyers as (select seller_id, {counts} from pairs group by seller_id),
            days as (select seller_id, event_day from known where kind = 'paid' group by all having sum(sign) > 0),
            active as (select seller_id, {active} from days group by seller_id)"""
        joins = "left join buyers using (seller_id) left join active using (seller_id)"
    listed = ", ".join(f"coalesce({name}, 0)::bigint as {name}" for name in columns)
    Path(result).mkdir()
    duck.execute(
        f"copy ({parts} select seller_id, date '{as_of}' as as_of, first_day, {listed} from sums {joins})"
        f" to '{result}/part-0.parquet' (format parquet)"
    )


def by_polars(lake: Lake, out: Path, as_of: date, with_buyers: bool, result: str) -> None:
    """The same plan in Polars' streaming engine, on the same files."""
    # its pool of threads is made by the import, of the size that the environment says then
    import polars as pl

    def within(days: int) -> pl.Expr:
        return pl.col("event_day") >= as_of - timedelta(days=days)

    def counted(condition: pl.Expr, measure: str, days: int) -> pl.Expr:
        return condition.sum().cast(pl.Int64).alias(column_of(measure, days))

    files = pl.scan_parquet(f"{lake.path(ORDER_EVENTS)}/*/*.parquet", hive_partitioning=True)
    known = files.filter((pl.col("event_day") < as_of) & (pl.col("arrival_day") < as_of))
    wide = (
        known.with_columns(pl.sql_expr(MEASURES[name].sql).alias(name) for name in ADDITIVE)
        .group_by("seller_id")
        .agg(
            pl.col("event_day").min().alias("first_day"),
            *(
                pl.when(within(days)).then(pl.col(name)).otherwise(0).sum().alias(column_of(name, days))
                for name in ADDITIVE
                for days in WINDOWS
            ),
        )
    )
    if with_buyers:
        paid = known.filter(pl.col("kind") == "paid")
        pair_days = paid.group_by("seller_id", "buyer_id", "event_day").agg(pl.col("sign").sum().alias("orders"))
        orders = (pl.when(within(n)).then(pl.col("orders")).otherwise(0).sum().alias(f"orders_{n}") for n in WINDOWS)
        pairs = pair_days.filter(pl.col("orders") > 0).group_by("seller_id", "buyer_id")
        buyers = (
            pairs.agg(pl.col("event_day").min(), *orders)
            .group_by("seller_id")
            .agg(
                *(counted(pl.col(f"orders_{n}") > 0, "last_buyers", n) for n in WINDOWS),
                *(counted(pl.col(f"orders_{n}") > 1, "second_last_buyers", n) for n in WINDOWS),
                *(counted(within(n), "first_buyers", n) for n in WINDOWS),
            )
        )
        days = paid.group_by("seller_id", "event_day").agg(pl.col("sign").sum().alias("orders"))
        active = (
            days.filter(pl.col("orders") > 0)
            .group_by("seller_id")
            .agg(*(counted(within(n), "active_days", n) for n in WINDOWS))
        )
        wide = wide.join(buyers, on="seller_id", how="left").join(active, on="seller_id", how="left")
    columns = (pl.col(column_of(*sum_)).fill_null(0).cast(pl.Int64) for sum_ in wanted(with_buyers))
    shutil.rmtree(result, ignore_errors=True)
    Path(result).mkdir()
    wide.select("seller_id", pl.lit(as_of).alias("as_of"), "first_day", *columns).sink_parquet(f"{result}/0.parquet")


WAYS: dict[str, Callable[[Lake, Path, date, bool, str], None]] = {
    "engine": by_engine,
    "plain Spark, written well": by_plain_spark,
    "DuckDB": by_duckdb,
    "Polars": by_polars,
    "plain Spark, COUNT(DISTINCT)": by_naive_spark,
}
EXACT = ("engine", "plain Spark, written well", "DuckDB", "Polars")
PROFILED = ("engine", "DuckDB")


# ---- the measuring ------------------------------------------------------------


def require_same(out: Path, with_buyers: bool, ways: list[str]) -> int:
    """Compare whole rows with DuckDB's; returns their number."""
    results = {way: f"read_parquet('{_result(out, way)}/*.parquet')" for way in ways}
    columns = ", ".join(["seller_id", "as_of", "first_day", *(column_of(*sum_) for sum_ in wanted(with_buyers))])
    want = f"select {columns} from {results['DuckDB']}"
    for way, rows in results.items():
        have = f"select {columns} from {rows}"
        differ = f"(({have}) except all ({want})) union all (({want}) except all ({have}))"
        odd = duckdb.execute(f"{differ} limit 1").fetchall()
        if odd:
            raise click.ClickException(f"{way} does not give what DuckDB gives: {odd[0][:3]} ...")
    return duckdb.execute(f"select count(*) from ({want})").fetchall()[0][0]


def _result(out: Path, way: str) -> str:
    return str(out / f"result-{way.replace(' ', '-').replace('(', '').replace(')', '').replace(',', '')}")


def settings_of(out: Path, cores: int, memory: str) -> Settings:
    told = [
        f"lake.root={out / 'lake'}",
        f"pseudonyms.key_file={out / 'key'}",
        f"spark.master=local[{cores}]",
        f"spark.driver_memory={memory}",
    ]
    return load_settings("local", {}, told)


def open_lake(out: Path, cores: int, memory: str) -> Lake:
    settings = settings_of(out, cores, memory)
    return Lake(spark_session(settings), settings)


def cores_of(lake: Lake) -> int:
    return int(lake.settings.spark.master.removeprefix("local[").removesuffix("]"))


def rounds(lake: Lake, out: Path, days: int, naive: bool, asked: Sequence[str]) -> tuple[list[Cost], list[Row]]:
    """Warm: every way once a day, on the days after the history; the first day warms up.

    Also where the processor seconds of the engine's last day went.
    """
    costs: list[Cost] = []
    profile: list[Row] = []
    for number in range(1, ROUNDS):
        as_of = FIRST_DAY + timedelta(days=days + number)
        for with_buyers in (True, False):
            ways = [way for way in asked if way in EXACT or (naive and number == 2 and with_buyers)]
            for way in ways if number % 2 else reversed(ways):
                # to ask for the tasks takes seconds of the driver, which are nobody's: it ends last
                stage = newest_stage(lake.spark)
                with tasks_of(lake.spark) as tasks:
                    before = processor_seconds(lake.spark)
                    with measured() as told:
                        WAYS[way](lake, out, as_of, with_buyers, _result(out, way))
                    spent = {name: now - before[name] for name, now in processor_seconds(lake.spark).items()}
                if way == "engine" and number == ROUNDS - 1:
                    day = f"the engine's day {'with' if with_buyers else 'without'} buyers"
                    parts = sorted(whereabouts(lake.spark, stage, spent, told[1]).items(), key=lambda part: -part[1])
                    profile += [{"of": day, "where": part, "processor s": seconds} for part, seconds in parts]
                of_spark = (tasks.longest_seconds, tasks.largest_megabytes) if tasks.longest_seconds else (None, None)
                cost = Cost(way, with_buyers, False, told[0], told[1], None, *of_spark)
                click.echo(f"{as_of} {cost}")
                if number > 1:
                    costs.append(cost)
            require_same(out, with_buyers, [way for way in ways if way in EXACT])
    return costs, profile


def cold(out: Path, way: str, days: int, with_buyers: bool, cores: int, memory: str) -> Cost:
    """A process of its own, on a copy of the lake, so that the engine has the day before it again."""
    words = [sys.executable, "-m", "bench.refresh", "--out", str(out), "--days", str(days), "--only", way]
    words += ["--cores", str(cores), "--memory", memory]
    ended = run_measured([*words, *(["--buyers"] if with_buyers else [])])
    tree = ended.tree
    return Cost(way, with_buyers, True, ended.wall_seconds, tree.processor_seconds, tree.peak_megabytes)


# ---- the report ------------------------------------------------------------


def report_costs(out: Path, ledger: Ledger, cores: int, costs: list[Cost], profile: list[Row]) -> None:
    """Write medians of what each way cost, and where the engine's processor seconds went."""
    ordered = sorted(costs, key=lambda cost: (not cost.with_buyers, cost.is_cold, list(WAYS).index(cost.way)))
    by_kind = {_kind(cost): [other for other in costs if _kind(other) == _kind(cost)] for cost in ordered}
    rows: list[Row] = []
    for (with_buyers, is_cold, way), runs in by_kind.items():
        engine = by_kind.get((with_buyers, is_cold, "engine"), runs)
        rows.append(
            {
                "what": f"{'with' if with_buyers else 'without'} buyers, {'cold' if is_cold else 'warm'}",
                "way": way,
                **{heading: _median(runs, name) for heading, name in FIGURES.items()},
                "engine is cheaper by": _times(runs, engine, "processor_seconds"),
                "faster by": _times(runs, engine, "wall_seconds"),
                "runs": len(runs),
            }
        )
    about = (
        f"{ledger.events:,} events of {ledger.sellers:,} sellers in {ledger.days + ROUNDS} days, {cores} cores used; 12"
        f" measures, and 4 of buyers, by 5 windows. {described('pyspark', 'delta-spark', 'duckdb', 'polars')}."
    )
    single = [vars(cost) for cost in costs]
    report(out, "refresh", about, rows, ["what", "way"], ["processor s"], more=profile, runs=single)


FIGURES = {
    "processor s": "processor_seconds",
    "wall s": "wall_seconds",
    "longest task s": "longest_task_seconds",
    "execution memory of a task, MB": "largest_task_megabytes",
    "largest process, MB": "process_megabytes",
}


def _median(runs: list[Cost], name: str) -> float | None:
    values = [value for cost in runs if (value := getattr(cost, name)) is not None]
    return median(values) if values else None


def _times(runs: list[Cost], engine: list[Cost], name: str) -> float:
    return median(getattr(cost, name) for cost in runs) / median(getattr(cost, name) for cost in engine)


def _kind(cost: Cost) -> tuple[bool, bool, str]:
    return cost.with_buyers, cost.is_cold, cost.way


@click.command()
@click.option("--events", default=2_000_000, show_default=True, help="Events in the days.")
@click.option("--days", default=400, show_default=True, help="Days of history before the measured ones.")
@click.option("--sellers", type=int, help="How many share the events [default: one to 500 events].")
@click.option("--skewed", is_flag=True, help="One seller has a fifth of all events.")
@click.option(
    "--cores", default=os.cpu_count() or 1, show_default=True, help="That each way may use, of the machine's."
)
@click.option("--memory", default="4g", show_default=True, help="Heap of the one JVM: driver and tasks.")
@click.option("--naive/--no-naive", default=True, help="Also the way with a COUNT(DISTINCT) a window, once.")
@click.option("--colds/--no-colds", default=True, help="Also each way in a process of its own.")
@click.option("--profile", "is_profile", is_flag=True, help="Warm, the engine and DuckDB alone: where seconds go.")
@click.option("--polars/--no-polars", default=True, help="Also Polars: 13 GB with 10^8 events, beside the one JVM.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder; the lake lies there.")
@click.option("--again", is_flag=True, help="Take a lake whose days were measured back to before them.")
@click.option("--only", help="Run one way once, in this lake: what a cold run does.")
@click.option("--buyers", is_flag=True, help="With --only: with buyers.")
def main(
    events: int,
    days: int,
    sellers: int | None,
    skewed: bool,
    cores: int,
    memory: str,
    naive: bool,
    colds: bool,
    is_profile: bool,
    polars: bool,
    out: Path,
    again: bool,
    only: str | None,
    buyers: bool,
) -> None:
    """Measure a day's refresh, and write two tables and a plot into the folder."""
    use_cores(cores)
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    as_of = FIRST_DAY + timedelta(days=days + 1)
    if only is not None:
        without_spark = only in ("DuckDB", "Polars")
        # these read no more of a lake than where its files are
        lake = (
            Lake(cast(Any, None), settings_of(out, cores, memory)) if without_spark else open_lake(out, cores, memory)
        )
        WAYS[only](lake, out, as_of, buyers, _result(out, only))
        return
    ledger = Ledger(events, days, sellers or max(events // 500, 100), skewed)
    lake = prepared(out, ledger, cores, memory)
    if again:
        lake = taken_back(lake, out, ledger)
    require_unused(lake, ledger)
    costs: list[Cost] = []
    ways = [way for way in (PROFILED if is_profile else WAYS) if polars or way != "Polars"]
    if colds and not is_profile:
        lake.spark.stop()
        exact = [way for way in ways if way in EXACT]
        for with_buyers in (True, False):
            for way in exact:
                if way == "engine" and with_buyers:
                    shutil.copytree(out / "lake", out / "lake-before")
                costs.append(cold(out, way, days, with_buyers, cores, memory))
                if way == "engine" and with_buyers:
                    shutil.rmtree(out / "lake")
                    (out / "lake-before").rename(out / "lake")
                click.echo(costs[-1])
            require_same(out, with_buyers, exact)
        lake = open_lake(out, cores, memory)
    of_rounds, profile = rounds(lake, out, days, naive, ways)
    report_costs(out, ledger, cores, [*costs, *of_rounds], profile)


def prepared(out: Path, ledger: Ledger, cores: int, memory: str, is_closed: bool = True) -> Lake:
    """The lake of a folder with all bronze and, if `is_closed`, history closed; what stands there is not made again.

    Raises UsageError where another ledger lies there.
    """
    told, file = json.dumps(asdict(ledger)), out / "ledger.json"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        (out / "key").write_text(secrets.token_hex(32))
        file.write_text(told)
    if file.read_text() != told:
        raise click.UsageError(f"{out} holds another ledger: {file.read_text()}. Want: {told}")
    lake = open_lake(out, cores, memory)
    if lake.last_run("ingest") is None:
        _fill_bronze(lake, out, ledger)
    # the last that closing writes
    last = Path(sums_path(out, ledger.last_day + timedelta(days=1), False)) / "_SUCCESS"
    if is_closed and not last.exists():
        close_history(lake, out, ledger)
    return lake


def require_unused(lake: Lake, ledger: Ledger) -> None:
    """Raise UsageError where the days to be measured are closed already: the engine would find nothing to do."""
    closed = lake.closed_through()
    if closed is not None and closed > ledger.last_day:
        raise click.UsageError(f"{lake.root}: its days were measured before: give a new folder as --out, or --again")


def taken_back(lake: Lake, out: Path, ledger: Ledger) -> Lake:
    """The lake as it was when its history was closed: runs published later are as those that died before they were.

    The first step that writes takes their rows off.
    """
    closing = next(run for run in lake.runs() if run.facts.get("closed_through") == str(ledger.last_day))
    runs = DeltaTable.forPath(lake.spark, lake.path(RUNS))
    versions = sorted(row["version"] for row in runs.history().select("version").collect())
    is_closing = F.col("run_id") == closing.run_id
    runs.restoreToVersion(next(v for v in versions if not lake.read_version(RUNS, v).filter(is_closing).isEmpty()))
    for left in out.glob("tiles-*"):
        shutil.rmtree(left)
    return Lake(lake.spark, lake.settings)


if __name__ == "__main__":
    main()
