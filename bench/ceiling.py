"""How near a version comes to what the ledger can tell: many worlds in one lake, each with a model of its own.

    python -m bench.ceiling --worlds 8 --sellers 8000 --out /tmp/ceiling

The steps are those of a user: simulate, ingest, aggregate, training-set. Then each world has a model and a scorecard of
its own, fitted on outcomes known by the training day as `train` does it, and judged on its later cohorts. The feature
ceiling of a world is the same boosting with more and deeper trees, fitted on every cohort of worlds of the other half,
and of the worlds of earlier runs (`--many-worlds FOLDER`): what these features can say when rows are not scarce.
Conclusions are over worlds: a mean with its interval by Student's t, since rows of one world share its shocks. The
demo's regime break lies between what trains and what judges; `--break-day 546` has it a year earlier, before loans of
the last cohorts that train: a model then has seen a slump, and what came after. Worlds that have it in one season share
that shock too, and the interval over them does not know it: `--break-day 790 --break-spread 490` draws the day of each
world, from the first cohorts to the last half year. Writes ceiling.md and ceiling.json into the folder, which holds the
world and the lake; a run that was stopped goes on where it was.
"""

import json
import math
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import mean, stdev

import click
from pyspark import StorageLevel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.stats import t as student

from bench.machine import described
from conf.outcome import load_definition
from conf.settings import load_settings
from conf.source import load_source
from conf.world import World, load_world
from jobs.aggregate import aggregate
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from jobs.lakehouse.training_sets import NEWEST, training_set_of
from jobs.simulate import simulate
from jobs.training_set import training_set_by_cohorts
from ml.algorithms import ALGORITHMS, fit
from ml.cross_validate import KEPT
from ml.evaluate import Counts, Evaluation, Interval, auc, count, difference_of_auc, evaluate
from ml.fitting import BASELINE_LOG_ODDS, Plan, fitted
from ml.pipeline import LOG_ODDS, MARGIN, Boosting, usable_inputs
from transforms.features.catalogue import MODEL_INPUTS
from transforms.tables.bronze import SELLERS
from transforms.tables.gold import TRAINING_SET

FIRST_MONTH, LAST_MONTH, TRAINED_ON = date(2021, 8, 1), date(2023, 11, 1), date(2023, 9, 1)
"""As the demo has them: 12 months of history, cohorts with an 11.11 out of time."""
CLOSED_BEFORE_END = 4
"""Last days of a world in which only late records come in."""
CEILING = replace(Boosting(), trees=120, depth=4, step_size=0.1, least_rows_a_leaf=500)


def lake_of(out: Path) -> Lake:
    """The lake of many worlds in a folder, with a key of its own."""
    if not (out / "key").exists():
        out.mkdir(parents=True, exist_ok=True)
        (out / "key").write_text(secrets.token_hex(32))
    told = [
        f"lake.root={out / 'lake'}",
        f"pseudonyms.key_file={out / 'key'}",
        "spark.driver_memory=6g",
        "spark.shuffle_partitions=64",
    ]
    settings = load_settings("local", {}, told)
    return Lake(spark_session(settings), settings)


def training_rows(out: Path, world: World) -> DataFrame:
    """Rows of the training set of all worlds with their `world`, made by the steps that are not done yet."""
    lake = lake_of(out)
    closed = world.last_day - timedelta(days=CLOSED_BEFORE_END)
    source, deliveries = load_source("marketplace"), str(out / "world" / "deliveries")
    today = world.last_day
    steps: dict[str, Callable[[], object]] = {
        "simulate": lambda: simulate(lake.spark, world, str(out / "world")),
        "ingest": lambda: ingest(lake, source, deliveries, None, today, None, str(closed)),
        "aggregate": lambda: aggregate(lake, closed),
        "training-set": lambda: training_set_by_cohorts(lake, FIRST_MONTH, LAST_MONTH, load_definition("standard")),
    }
    for step, run in steps.items():
        began = time.monotonic()
        done = run()
        click.echo(f"{step}: {time.monotonic() - began:,.0f} s; {getattr(done, 'values', '')}")
    return known_rows(lake)


def known_rows(lake: Lake, training_set: str = NEWEST) -> DataFrame:
    """Rows of a training set of a lake with their `world`. Raises UserError where there is none."""
    made_by = training_set_of(lake, training_set)
    world_of = lake.read(SELLERS).select("seller_id", "world").distinct()
    rows = lake.read(TRAINING_SET).filter(F.col("training_set") == made_by.run_id)
    return rows.join(world_of, "seller_id", "inner")


def catalogue_of(folder: Path) -> str:
    """Digest of the features of a run's training set."""
    return str(training_set_of(lake_of(folder), NEWEST).facts["catalogue"])


def pooled(rows: DataFrame, worlds: Sequence[str], catalogue: str, folders: Sequence[Path]) -> DataFrame:
    """The rows, and those that earlier runs left in their folders.

    Raises where one of these has a world of the rows, or other features.
    """
    for folder in folders:
        if catalogue_of(folder) != catalogue:
            raise click.ClickException(f"{folder}: its features are of another catalogue than these worlds'")
        earlier = known_rows(lake_of(folder)).persist(StorageLevel.DISK_ONLY)
        both = {row["world"] for row in earlier.select("world").distinct().collect()} & set(worlds)
        if both:
            raise click.ClickException(f"{folder} holds {', '.join(sorted(both))}, which are to be judged")
        rows = rows.unionByName(earlier)
    return rows


def ceilings(rows: DataFrame, worlds: Sequence[str], boosting: Boosting) -> dict[str, float]:
    """AUC on each world's later cohorts by trees that saw every cohort of all worlds but those of its half."""
    found = {}
    for half in (worlds[::2], worlds[1::2]):
        others = rows.filter(~F.col("world").isin(list(half)))
        click.echo(f"the ceiling of {', '.join(half)} sees {others.count():,} rows")
        later = rows.filter(F.col("world").isin(list(half)) & (F.col("as_of") >= F.lit(TRAINED_ON)))
        judged = by_many_worlds(others, later, boosting).persist()
        for world in half:
            of_world = count(judged.filter(F.col("world") == world))
            found[world] = auc(of_world.good.sum(axis=0), of_world.bad.sum(axis=0), of_world.log_odds)
        judged.unpersist()
    return found


def by_many_worlds(others: DataFrame, judged: DataFrame, boosting: Boosting) -> DataFrame:
    """Rows with the margin, as `log_odds`, of trees that saw every cohort of other worlds."""
    inputs = usable_inputs(others.filter(~F.col("indeterminate")), MODEL_INPUTS)
    model = fit(others, inputs, boosting)
    margin = vector_to_array(F.col(MARGIN))[0].alias(LOG_ODDS)
    return model.transform(judged).select("seller_id", "as_of", "world", "group_id", "bad", margin)


def judged_alone(rows: DataFrame, world: str) -> tuple[Evaluation, Evaluation, Interval]:
    """A world's own model and scorecard on its later cohorts, and the paired difference of their AUC."""
    own = rows.filter(F.col("world") == world).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        with fitted(own, MODEL_INPUTS, Plan(ALGORITHMS["gbt"], TRAINED_ON, 3, 1), KEPT) as fit_of_world:
            judged = fit_of_world.judged

            def counted(log_odds: str) -> Counts:
                return count(judged.select("group_id", "bad", F.col(log_odds).alias(LOG_ODDS)))

            model, baseline = counted(LOG_ODDS), counted(BASELINE_LOG_ODDS)
            return evaluate(model), evaluate(baseline), difference_of_auc(model, baseline)
    finally:
        own.unpersist()


def over_worlds(values: Sequence[float]) -> Interval:
    """Mean of one figure a world, with its 95 % interval."""
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Interval(mean(values), mean(values) - half, mean(values) + half)


def report(
    out: Path, rows: int, told: dict[str, tuple[Evaluation, Evaluation, Interval]], top: dict[str, float]
) -> str:
    """The table of worlds and the means over them, as Markdown; the same as JSON in the folder."""
    way = {world: (model.auc.value - 0.5) / (top[world] - 0.5) for world, (model, _, _) in told.items()}
    lines = [
        f"`python -m bench.ceiling {' '.join(sys.argv[1:])}`",
        "",
        f"{len(told)} worlds, {rows:,} rows with a known outcome; {described('pyspark')}."
        " Simulated: no estimate of any lender's rates.",
        "",
        "| world | rows | bads | AUC | scorecard | difference | ceiling | of the way | observed / expected | slope |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for world, (model, baseline, difference) in told.items():
        lines.append(
            f"| {world} | {model.rows:,} | {model.bads:,} | {model.auc} | {baseline.auc.value:.3f} | {difference} |"
            f" {top[world]:.3f} | {way[world]:.0%} | {model.observed_to_expected} | {model.calibration_slope} |"
        )
    models = [model for model, _, _ in told.values()]
    holds = {
        "observed / expected": sum(m.observed_to_expected.low <= 1 <= m.observed_to_expected.high for m in models),
        "slope": sum(m.calibration_slope.low <= 1 <= m.calibration_slope.high for m in models),
    }
    means = {
        "AUC": over_worlds([m.auc.value for m in models]),
        "feature ceiling": over_worlds(list(top.values())),
        "share of the way from 0.5 to the ceiling": over_worlds(list(way.values())),
        "AUC less the scorecard's": over_worlds([d.value for _, _, d in told.values()]),
        "observed / expected": over_worlds([m.observed_to_expected.value for m in models]),
        "calibration slope": over_worlds([m.calibration_slope.value for m in models]),
    }
    lines += ["", "| mean over worlds | 95 % |", "|---|---|", *(f"| {n} | {i} |" for n, i in means.items()), ""]
    lines += [f"{n}: the interval of {many} of {len(models)} worlds has 1 in it." for n, many in holds.items()]
    (out / "ceiling.md").write_text("\n".join(lines) + "\n")
    body = {"rows": rows, "means": {n: vars(i) for n, i in means.items()}, "ceilings": top, "holds": holds}
    (out / "ceiling.json").write_text(json.dumps(body, indent=2))
    return "\n".join(lines)


@click.command()
@click.option("--world", "name", default="demo", show_default=True)
@click.option("--worlds", default=8, show_default=True, help="Seeds: other sellers, other common shocks.")
@click.option("--first-world", default=0, show_default=True, help="Number of the first: 8 for eight others.")
@click.option("--sellers", default=8000, show_default=True, help="Of each world.")
@click.option(
    "--break-day", type=int, help="Day of the regime break, counted from the first; the demo's is 912, in March 2023."
)
@click.option("--break-spread", type=int, help="Days by which it begins earlier or later, drawn for each world.")
@click.option("--trees", default=CEILING.trees, show_default=True, help="Of the ceiling, of depth 4.")
@click.option(
    "--many-worlds",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an earlier run with other worlds, which every ceiling sees too; may be told several times.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder; the world and the lake lie there.")
def main(
    name: str,
    worlds: int,
    first_world: int,
    sellers: int,
    break_day: int | None,
    break_spread: int | None,
    trees: int,
    many_worlds: tuple[Path, ...],
    out: Path,
) -> None:
    """Print one table, and write it into the folder."""
    simulated = load_world(name, sellers, worlds=worlds, first_world=first_world)
    asked = {"break_day": break_day, "break_day_spread": break_spread}
    moved = {name: days for name, days in asked.items() if days is not None}
    simulated = simulated.model_copy(update={"demand": simulated.demand.model_copy(update=moved)})
    rows = training_rows(out, simulated).persist(StorageLevel.DISK_ONLY)
    names = sorted(row["world"] for row in rows.select("world").distinct().collect())
    many = pooled(rows, names, catalogue_of(out), many_worlds)
    told = {}
    for world in names:
        began = time.monotonic()
        told[world] = judged_alone(rows, world)
        click.echo(f"{world}: {told[world][0].auc}, {time.monotonic() - began:,.0f} s")
    top = ceilings(many, names, replace(CEILING, trees=trees))
    click.echo(report(out, rows.count(), told, top))


if __name__ == "__main__":
    main()
