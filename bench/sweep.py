"""Features for a training set as known then: the sweep against a join with a filter, and against Spark's own windows.

    python -m bench.sweep --out /tmp/sweep

Twelve measures by five windows, from tiles of 400 days of which one in twenty came late, for 1 to 365 as-of days a
seller. The join brings every tile to every label of its seller and adds up what is known in each window; the window
solution lets each tile enter and leave every window at its day and takes a running sum. All three give the same rows,
or the run stops. Told is processor time a (label + tile), of the whole process tree, the second time that each was run;
of the largest case (`--largest`) the first time is by a tenth of the sellers.

The last table has one seller with a fifth of all tiles, beside as many rows spread evenly: how long the
slowest task of the sweep took. Two cores hide skew in the time of a job; they cannot in that of a task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from bench.machine import described, measured, tasks_of
from bench.refresh import ADDITIVE, WINDOWS
from bench.report import Row, report
from conf.settings import load_settings
from jobs.lakehouse.session import spark_session
from transforms.features.feature import column_of
from transforms.windows.sweep import sweep
from transforms.windows.wide import WindowSums

FIRST_DAY = date(2024, 1, 1)
DAYS = 400
WANTED: WindowSums = [(measure, days) for measure in ADDITIVE for days in WINDOWS]


@dataclass(frozen=True)
class Case:
    """Sellers with so many tiles and labels each."""

    sellers: int
    tiles: int
    labels: int

    @property
    def rows(self) -> int:
        return self.sellers * (self.tiles + self.labels)


CASES = (Case(100_000, 20, 1), Case(10_000, 200, 12), Case(20_000, 100, 52), Case(10_000, 200, 365))
LARGEST = Case(27_400, 100, 365)
SKEWED = Case(20_000, 100, 52)
SHARE_OF_ONE = 5
"""One row in so many is the one seller's."""


def tiles_of(spark: SparkSession, case: Case, is_skewed: bool = False) -> DataFrame:
    """Tiles spread over the days, one in twenty up to 30 days late."""
    number = spark.range(0, case.sellers * case.tiles, 1, 4)
    day = F.pmod(F.xxhash64("id", F.lit("day")), F.lit(DAYS)).cast("int")
    is_late = F.pmod(F.xxhash64("id", F.lit("late")), F.lit(20)) == 0
    late = F.when(is_late, F.pmod(F.xxhash64("id", F.lit("days")), F.lit(30)).cast("int") + 1).otherwise(0)
    values = (F.pmod(F.xxhash64("id", F.lit(name)), F.lit(100_000)).alias(name) for name in ADDITIVE)
    dated = number.select(
        _seller(case, is_skewed).alias("seller_id"),
        F.date_add(F.lit(FIRST_DAY), day).alias("event_day"),
        late.alias("late"),
        *values,
    )
    return dated.withColumn("arrival_day", F.date_add("event_day", F.col("late")))


def labels_of(spark: SparkSession, case: Case, is_skewed: bool = False) -> DataFrame:
    """As-of days in the last year, evenly spread; with skew, a seller has what the tiles' rule gives it."""
    number = spark.range(0, case.sellers * case.labels, 1, 4)
    if is_skewed:
        # as many labels as days there are at most: the one seller's others would stand twice
        day = F.pmod(F.xxhash64("id", F.lit("as of")), F.lit(365)).cast("int")
        return number.select(_seller(case, True).alias("seller_id"), _as_of(day)).distinct()
    place = (F.col("id") / case.sellers).cast("int")
    day = (place * (365 // case.labels)).cast("int")
    return number.select(_seller(case, False).alias("seller_id"), _as_of(day))


def _as_of(day: Any) -> Any:
    return F.date_add(F.lit(FIRST_DAY), day + (DAYS - 364)).alias("as_of")


def _seller(case: Case, is_skewed: bool) -> Any:
    even = F.format_string("S%07d", F.pmod(F.col("id"), F.lit(case.sellers)))
    is_of_one = F.pmod(F.xxhash64("id", F.lit("one")), F.lit(SHARE_OF_ONE)) == 0
    return F.when(is_of_one, "S-one").otherwise(even) if is_skewed else even


def by_sweep(tiles: DataFrame, labels: DataFrame) -> DataFrame:
    return sweep(tiles, labels, WANTED).drop("first_day")


def by_join(tiles: DataFrame, labels: DataFrame) -> DataFrame:
    known = (F.col("arrival_day") < F.col("as_of")) & (F.col("event_day") < F.col("as_of"))
    met = labels.join(tiles, "seller_id", "left")
    sums = (
        F.sum(F.when(known & (F.col("event_day") >= F.date_sub("as_of", days)), F.col(name)).otherwise(0)).alias(
            column_of(name, days)
        )
        for name, days in WANTED
    )
    return met.groupBy("seller_id", "as_of").agg(*sums)


def by_windows(tiles: DataFrame, labels: DataFrame) -> DataFrame:
    """Each tile enters a window on the day after it is known, and leaves it once: labels see the running sum."""
    enters = F.date_add(F.greatest("event_day", "arrival_day"), 1)
    windows = F.explode(F.array(*(F.lit(days) for days in WINDOWS))).alias("days")
    placed = tiles.select("seller_id", windows, enters.alias("enters"), "event_day", *ADDITIVE)
    placed = placed.withColumn("leaves", F.expr("date_add(event_day, days + 1)")).filter("enters < leaves")
    moves = placed.select("seller_id", "days", F.col("enters").alias("day"), F.lit(False).alias("is_label"), *ADDITIVE)
    gone = ((-F.col(name)).alias(name) for name in ADDITIVE)
    moves = moves.unionByName(
        placed.select("seller_id", "days", F.col("leaves").alias("day"), F.lit(False).alias("is_label"), *gone)
    )
    nothing = (F.lit(0).cast("bigint").alias(name) for name in ADDITIVE)
    asked = labels.select("seller_id", windows, F.col("as_of").alias("day"), F.lit(True).alias("is_label"), *nothing)
    so_far = Window.partitionBy("seller_id", "days").orderBy("day").rangeBetween(Window.unboundedPreceding, 0)
    running = (F.sum(name).over(so_far).alias(name) for name in ADDITIVE)
    told = moves.unionByName(asked).select("seller_id", "days", "day", "is_label", *running).filter("is_label")
    wide = (F.max(F.when(F.col("days") == days, F.col(name))).alias(column_of(name, days)) for name, days in WANTED)
    return told.groupBy("seller_id", F.col("day").alias("as_of")).agg(*wide)


WAYS: dict[str, Callable[[DataFrame, DataFrame], DataFrame]] = {
    "sweep": by_sweep,
    "join and filter": by_join,
    "Spark's windows": by_windows,
}


def fingerprint(rows: DataFrame) -> tuple[int, int]:
    """Number of rows, and the exclusive or of their hashes: what two equal tables have in common, and few others."""
    names = [column_of(name, days) for name, days in WANTED]
    hashed = F.xxhash64("seller_id", "as_of", *(F.col(name).cast("bigint") for name in names))
    found = rows.agg(F.count(F.lit(1)), F.bit_xor(hashed)).collect()[0]
    return found[0], found[1]


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for what is found.")
@click.option("--largest", is_flag=True, help="Ten million labels, in place of fewer.")
@click.option("--divide-by", default=1, show_default=True, help="Sellers of every case, divided: to try it out.")
def main(out: Path, largest: bool, divide_by: int) -> None:
    """Print two tables, and write them and a plot into the folder."""
    spark = spark_session(load_settings("local", {}, ["spark.driver_memory=6g", "spark.shuffle_partitions=16"]))
    found: list[Row] = []
    for whole in [LARGEST] if largest else CASES:
        case = Case(whole.sellers // divide_by, whole.tiles, whole.labels)
        costs: dict[str, float] = {}
        # of the largest a round takes a quarter of an hour
        for round_, share in (("warm up", 10 if largest else 1), ("measured", 1)):
            some = Case(case.sellers // share, case.tiles, case.labels)
            tiles, labels = tiles_of(spark, some).persist(), labels_of(spark, some).persist()
            many, results = (tiles.count(), labels.count()), {}
            for way, run in WAYS.items():
                with measured() as told:
                    results[way] = fingerprint(run(tiles, labels))
                costs[way] = told[1] / sum(many) * 1e6
                click.echo(f"{some} {way}, {round_}: {told[0]:.1f} s, {costs[way]:.2f} us")
            if len(set(results.values())) > 1:
                raise click.ClickException(f"{some}: the ways differ: {results}")
            tiles.unpersist()
            labels.unpersist()
        found.append({"labels": many[1], "a seller": case.labels, "tiles": many[0], **costs})
    of_tasks: list[Row] = []
    case = Case(SKEWED.sellers // divide_by, SKEWED.tiles, SKEWED.labels)
    for is_skewed in (False, True):
        tiles, labels = tiles_of(spark, case, is_skewed).persist(), labels_of(spark, case, is_skewed).persist()
        tiles.count()
        labels.count()
        with tasks_of(spark) as tasks:
            fingerprint(by_sweep(tiles, labels))
        what = "one seller has a fifth" if is_skewed else "spread evenly"
        told_of = {"slowest task, s": tasks.longest_seconds, "execution memory of a task, MB": tasks.largest_megabytes}
        of_tasks.append({"rows of the sweep": f"{case.rows:,}, {what}", **told_of})
        tiles.unpersist()
        labels.unpersist()
    about = f"processor us a (label + tile) of {len(WANTED)} sums, the second time. {described('pyspark', 'numpy')}."
    report(out, "sweep", about, found, ["labels", "a seller"], list(WAYS), more=of_tasks)


if __name__ == "__main__":
    main()
