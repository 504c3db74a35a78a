"""What a version gets of what can be had, as evidence of it: beside the true PD, and beside the feature ceiling.

    . .spark/env; export SELLER_CREDIT_LAKE__ROOT=demo/lake SELLER_CREDIT_MLFLOW__TRACKING_URI=sqlite:///demo/mlflow.db
    python -m bench.truth challenger --world demo/world --many-worlds /tmp/ceiling

Of a version that was trained on a simulated lake, on the very rows out of time that it was judged on: its AUC, that of
the sellers' own probability of default (`bench.true_pd`, out of anyone's reach), and that of the same boosting fitted
on every cohort of many other worlds (the feature ceiling; `bench.ceiling` fills such a folder). Metrics and a page go
to the MLflow run of the version. It is a benchmark and no step, since only these may read a world's truth.
"""

import json
import os
import sys
from datetime import date, timedelta
from pathlib import Path

import click
from mlflow import MlflowClient
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.ceiling import CEILING, by_many_worlds, known_rows, lake_of
from bench.machine import described
from bench.true_pd import FOLLOWED_WEEKS, PRIOR_DRAWS, sellers_of
from conf.settings import load_settings
from conf.world import World
from jobs.lakehouse.champion import training_of
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from jobs.lakehouse.training_sets import NEWEST, training_set_of
from ml.evaluate import Evaluation, count, evaluate
from ml.fitting import log_odds_by
from ml.pipeline import LOG_ODDS
from ml.registry import load, resolve
from transforms.market.files import shop_id

VERSION, TRUE, TRUE_BY_HALF, CEILING_ROW = "this version", "true PD", "true PD, half of the futures", "feature ceiling"
METRICS = {TRUE: "true_pd_auc", CEILING_ROW: "feature_ceiling_auc"}


def true_log_odds(sellers: DataFrame) -> DataFrame:
    """seller_id, as_of, and the log-odds of the PD that futures count: of all of them, and of half."""
    found = [F.col("seller_id"), F.col("as_of")]
    totals = sellers.agg(*(F.sum(name).alias(name) for name in ("bads", "draws", "bads_half", "draws_half"))).collect()
    for name, half in ((TRUE, ""), (TRUE_BY_HALF, "_half")):
        # a PD of 0 or 1 is never certain: drawn towards the mean as `bench.true_pd` does
        prior = max(totals[0][f"bads{half}"], 1) / max(totals[0][f"draws{half}"], 1)
        bads = F.col(f"bads{half}") + PRIOR_DRAWS * prior
        goods = F.col(f"draws{half}") - F.col(f"bads{half}") + PRIOR_DRAWS * (1 - prior)
        found.append(F.ln(bads / goods).alias(name))
    return sellers.withColumn("seller_id", shop_id("number")).select(*found)


def told_of(rows: DataFrame, ways: list[str]) -> dict[str, Evaluation]:
    """What each way's log-odds say of the same rows."""
    return {way: evaluate(count(rows.select("group_id", "bad", F.col(way).alias(LOG_ODDS)))) for way in ways}


def page(told: dict[str, Evaluation], left_out: int, lines: list[str]) -> str:
    """The table as Markdown. Margins of the ceiling are not calibrated, and have no level."""
    version = told[VERSION]
    text = [
        *lines,
        "",
        f"{version.rows:,} rows, {version.bads} bad in {version.bad_groups} groups. {left_out} more of those that it"
        " was judged on are left out: by the world's weeks they drew before the as-of day or 90 days after, and have no"
        " true PD. Simulated: no estimate of any lender's rates.",
        "",
        "| on the same rows | AUC | observed / expected | calibration slope |",
        "|---|---|---|---|",
    ]
    for way, found in told.items():
        level = "| |" if way == CEILING_ROW else f"| {found.observed_to_expected} | {found.calibration_slope} |"
        text.append(f"| {way} | {found.auc} {level}")
    text.append("")
    text += [
        f"The version goes {_share(version, found):.0%} of the way from 0.5 to the AUC of the {way}."
        for way, found in told.items()
        if way in METRICS
    ]
    return "\n".join(text) + "\n"


def _share(version: Evaluation, top: Evaluation) -> float:
    return (version.auc.value - 0.5) / (top.auc.value - 0.5)


@click.command()
@click.argument("version", default="challenger")
@click.option("--world", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the world.")
@click.option("--many-worlds", type=click.Path(path_type=Path), help="Folder of `bench.ceiling`; else no ceiling.")
@click.option("--futures", default=150, show_default=True, help="Times that each seller's next weeks are lived.")
@click.option("--profile", default="local", show_default=True)
def main(version: str, folder: Path, many_worlds: Path | None, futures: int, profile: str) -> None:
    """Print one table, and log it to the version's run."""
    settings = load_settings(profile, os.environ, ["spark.driver_memory=6g"])
    lake, registry = Lake(spark_session(settings), settings), settings.mlflow
    number = resolve(registry.tracking_uri, registry.model, version)
    loaded = load(registry.tracking_uri, registry.model, number)
    training = training_of(lake, number, loaded.run_id)
    told_day = training.arguments.get("trained_on")
    if told_day is None:
        raise click.ClickException(f"version {number} was cross-validated: it has no rows out of time")
    world = World.model_validate(json.loads((folder / "world.json").read_text())["world"])
    is_judged = F.col("as_of") >= F.lit(date.fromisoformat(told_day))
    judged = known_rows(lake, training.facts["training_set"]).filter(is_judged).persist(StorageLevel.MEMORY_AND_DISK)
    found = {row["world"] for row in judged.select("world").distinct().collect()}
    wanted = {f"{world.name}-{place}" for place in range(world.first_world, world.first_world + world.worlds)}
    if not found or not found <= wanted:
        raise click.ClickException(
            f"{folder} holds {', '.join(sorted(wanted))}; version {number} was judged on"
            f" {', '.join(sorted(found)) or 'no row'}"
        )
    cohorts = [row["as_of"] for row in judged.select("as_of").distinct().orderBy("as_of").collect()]
    if cohorts[-1] + timedelta(weeks=FOLLOWED_WEEKS) > world.last_day + timedelta(weeks=1):
        raise click.ClickException(f"world {world.name} ends on {world.last_day}: its last cohort is not followed")
    truth = true_log_odds(sellers_of(lake.spark, world, futures, cohorts).persist(StorageLevel.MEMORY_AND_DISK))
    rows = judged.join(truth, ["seller_id", "as_of"], "inner")
    rows = rows.join(log_odds_by(judged, loaded.pipeline, VERSION), ["seller_id", "as_of"], "inner")
    ways = [VERSION, TRUE, TRUE_BY_HALF]
    lines = [
        f"`python -m bench.truth {' '.join(sys.argv[1:])}`",
        "",
        f"Version {number} of {registry.model}; {described('pyspark')}.",
    ]
    if many_worlds is not None:
        pool = lake_of(many_worlds)
        if not training_set_of(pool, NEWEST).facts["catalogue"].startswith(training.facts["catalogue"]):
            raise click.ClickException(f"{many_worlds}: its features are of another catalogue than the version's")
        others = known_rows(pool).filter(~F.col("world").isin(*found)).persist(StorageLevel.DISK_ONLY)
        top = by_many_worlds(others, judged, CEILING).withColumnRenamed(LOG_ODDS, CEILING_ROW)
        rows = rows.join(top.select("seller_id", "as_of", CEILING_ROW), ["seller_id", "as_of"], "inner")
        ways.append(CEILING_ROW)
        lines.append(
            f"The ceiling saw {others.count():,} rows of {others.select('world').distinct().count()} other worlds."
        )
    rows = rows.persist(StorageLevel.MEMORY_AND_DISK)
    told = told_of(rows, ways)
    text = page(told, judged.count() - told[VERSION].rows, lines)
    client = MlflowClient(tracking_uri=registry.tracking_uri)
    for way, name in METRICS.items():
        if way in told:
            client.log_metric(loaded.run_id, name, told[way].auc.value)
            client.log_metric(loaded.run_id, f"share_of_{name}", _share(told[VERSION], told[way]))
    client.log_text(loaded.run_id, text, "simulated/truth.md")
    click.echo(text)


if __name__ == "__main__":
    main()
