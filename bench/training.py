"""Seconds and AUC of the algorithms on the same made-up rows x the full catalogue.

    python -m bench.training --rows 100000

Each on its own: Spark's boosted trees as `train` fits them, XGBoost on Spark, the scorecard, and XGBoost on one node
without Spark. A fifth of the rows is held out for the AUC. The rows are drawn, no ledger: a few features carry the
outcome, one in ten values is unknown.

The second table (`--ways-of-trees`) has Spark's trees alone, with what one may turn to make them faster: node ids kept
from level to level, checkpoints, fewer bins, other partitions. Preparation of the rows is not in its seconds.

With `--whole` all that `train` fits for a version by Spark's trees: for the folds of the calibration, for all rows, and
the scorecards beside them.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

import click
import numpy as np
import xgboost
from pyspark import StorageLevel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.machine import described
from conf.settings import load_settings
from jobs.lakehouse.session import spark_session
from jobs.train import CALIBRATION_FOLDS
from ml.algorithms import ALGORITHMS, fit, settings_of
from ml.cross_validate import KEPT
from ml.evaluate import Floats, auc, count, evaluate
from ml.fitting import Plan, fitted
from ml.pipeline import LOG_ODDS, MARGIN, Boosting, Inputs, classifier, fit_preparation, prepared, usable_inputs
from transforms.features.catalogue import BY_NAME, MODEL_INPUTS

CARRIERS = 12
"""Features that the outcome rests on."""
FIRST_DAY, TRAINED_ON = date(2024, 1, 1), date(2024, 2, 1)
"""As-of day of the rows that train, and of those that are held out."""


def made_up(spark_rows: DataFrame) -> DataFrame:
    """Rows with every model input, one in ten unknown, and an outcome of which some 3 % are bad."""
    numbers = [F.randn(seed).alias(name) for seed, name in enumerate(MODEL_INPUTS)]
    drawn = spark_rows.select("id", *numbers)
    risk = F.lit(-4.2)
    for place, name in enumerate(MODEL_INPUTS[:CARRIERS]):
        # the way that the catalogue expects, or monotone models would be asked for what they must not learn
        falls = BY_NAME[name].risk == "falls"
        risk = risk + F.col(name) * (0.5 - 0.03 * place) * (-1 if falls else 1)
    # one of them counts double where another is high, which a sum of points cannot follow
    first, second = MODEL_INPUTS[:2]
    more = F.col(second) * (-1 if BY_NAME[second].risk == "falls" else 1)
    risk = risk + F.when(F.col(first) > 0, more).otherwise(0)
    is_unknown = F.pmod(F.xxhash64("id", F.lit("unknown")), F.lit(10))
    seller, is_held_out = F.format_string("s%09d", "id"), F.pmod(F.xxhash64("id"), F.lit(5)) == 0
    as_of = F.when(is_held_out, F.lit(TRAINED_ON)).otherwise(F.lit(FIRST_DAY))
    return drawn.select(
        seller.alias("seller_id"),
        seller.alias("group_id"),
        as_of.alias("as_of"),
        F.date_add(as_of, 1).alias("known_on"),
        (F.rand(999) < 1 / (1 + F.exp(-risk))).cast("int").alias("bad"),
        F.lit(False).alias("indeterminate"),
        is_held_out.alias("is_held_out"),
        *(
            F.when(is_unknown != place % 10, F.col(name)).alias(name) if place >= CARRIERS else F.col(name)
            for place, name in enumerate(MODEL_INPUTS)
        ),
    )


def on_spark(rows: DataFrame, held: DataFrame, inputs: Inputs, name: str) -> Iterator[float]:
    """Seconds of the fit, then the AUC on what was held out."""
    began = time.monotonic()
    model = fit(rows, inputs, ALGORITHMS[name])
    yield time.monotonic() - began
    margin = vector_to_array(F.col(MARGIN))[0].alias("margin")
    found = model.transform(held).select("bad", margin).toPandas()
    yield ranked(found["margin"].to_numpy(), found["bad"].to_numpy())


def on_one_node(rows: DataFrame, held: DataFrame, inputs: Inputs, like: str) -> Iterator[float]:
    """The same of XGBoost alone, once the rows are in memory; with as many trees, as deep, as an algorithm of ours."""
    table, later = (part.select("bad", *inputs.features).toPandas() for part in (rows, held))
    settings, size = settings_of(ALGORITHMS["xgboost"]), settings_of(ALGORITHMS[like])
    began = time.monotonic()
    model = xgboost.XGBClassifier(
        n_estimators=size["trees"],
        max_depth=size["depth"],
        # Spark's margin is half of the log-odds
        learning_rate=size["step_size"] * (2 if like == "gbt" else 1),
        subsample=settings["subsampling"],
        colsample_bytree=settings["share_of_features"],
        min_child_weight=settings["least_weight_a_leaf"],
        tree_method="hist",
        random_state=settings["seed"],
    ).fit(table[list(inputs.features)].to_numpy(float), table["bad"])
    yield time.monotonic() - began
    margin = model.predict(later[list(inputs.features)].to_numpy(float), output_margin=True)
    yield ranked(margin, later["bad"].to_numpy())


def ways_of_trees(rows: DataFrame, held: DataFrame, inputs: Inputs) -> Iterator[tuple[str, float, float]]:
    """Of each way to grow the same trees its name, seconds, and AUC on what was held out, once all of it is warm."""
    usual = Boosting()
    context = rows.sparkSession.sparkContext
    cores = context.defaultParallelism
    ways: dict[str, tuple[Boosting, int | None, dict[str, object]]] = {
        "as `train` grows them": (usual, None, {}),
        "one partition a core": (usual, cores, {}),
        "eight partitions a core": (usual, 8 * cores, {}),
        "node ids cached": (usual, None, {"cacheNodeIds": True}),
        "a checkpoint every 5 trees": (usual, None, {"checkpointInterval": 5}),
        "a checkpoint every 5 trees, node ids cached": (usual, None, {"checkpointInterval": 5, "cacheNodeIds": True}),
        "1,024 MB for the sums of a level": (usual, None, {"maxMemoryInMB": 1024}),
        "32 bins": (replace(usual, bins=32), None, {}),
        "every feature at every node": (replace(usual, largest_share_of_features="all"), None, {}),
        "steps of 0.5": (replace(usual, step_size=0.5), None, {}),
        "50 trees": (replace(usual, trees=50), None, {}),
    }
    preparation = fit_preparation(rows, inputs)
    margin = vector_to_array(F.col("raw"))[1].alias("margin")
    with tempfile.TemporaryDirectory() as folder:
        context.setCheckpointDir(folder)
        for turn in range(2):
            for name, (boosting, partitions, extra) in ways.items():
                trees = classifier(boosting, inputs.rows)
                wanted = {"checkpointInterval": -1, **extra}
                with prepared(rows, preparation, inputs, partitions) as vectors:
                    began = time.monotonic()
                    model = trees.fit(vectors, {trees.getParam(param): value for param, value in wanted.items()})
                    seconds = time.monotonic() - began
                if turn:
                    found = model.transform(preparation.transform(held)).select("bad", margin).toPandas()
                    yield name, seconds, ranked(found["margin"].to_numpy(), found["bad"].to_numpy())


def whole(rows: DataFrame) -> Iterator[float]:
    """Seconds of all that `train` fits for a version, then the AUC on what was held out."""
    began = time.monotonic()
    plan = Plan(ALGORITHMS["gbt"], TRAINED_ON, CALIBRATION_FOLDS, 1)
    with fitted(rows, MODEL_INPUTS, plan, KEPT) as fit:
        found = evaluate(count(fit.judged.select("group_id", "bad", LOG_ODDS)))
        yield time.monotonic() - began
        yield found.auc.value


def ranked(margin: Floats, bad: Floats) -> float:
    """AUC of margins to the fourth decimal."""
    levels, level = np.unique(np.round(margin, 4), return_inverse=True)
    counts = [np.bincount(level, weights=bad == outcome, minlength=len(levels)).astype(float) for outcome in (0, 1)]
    return auc(counts[0], counts[1], levels)


@click.command()
@click.option("--rows", "many", default=100_000)
@click.option("--memory", default="4g", show_default=True, help="Heap of the one JVM: driver and tasks.")
@click.option("--ways-of-trees", "has_ways", is_flag=True, help="Ways to grow Spark's trees, in place of algorithms.")
@click.option("--whole", "is_whole", is_flag=True, help="All that `train` fits for a version, in place of algorithms.")
def main(many: int, memory: str, has_ways: bool, is_whole: bool) -> None:
    """Print one table."""
    spark = spark_session(load_settings("local", os.environ, [f"spark.driver_memory={memory}"]))
    table = made_up(spark.range(0, many, 1, -(-many // 25_000))).persist(StorageLevel.DISK_ONLY)
    held, rows = table.filter("is_held_out"), table.filter("not is_held_out")
    bads = rows.filter("bad = 1").count()
    inputs = usable_inputs(rows, MODEL_INPUTS)
    print(f"{described('pyspark', 'xgboost-cpu')}, a JVM of {memory}; {inputs.rows:,} rows ({bads:,} bad)")
    print(f"x {len(inputs.features)} features, {held.count():,} rows held out\n")
    print("| algorithm | seconds | AUC |\n|---|---|---|")
    if has_ways:
        for name, seconds, found in ways_of_trees(rows, held, inputs):
            print(f"| {name} | {seconds:,.1f} | {found:.4f} |", flush=True)
        return
    ways: dict[str, Callable[[], Iterator[float]]] = {
        "Spark GBT": lambda: on_spark(rows, held, inputs, "gbt"),
        "xgboost.spark": lambda: on_spark(rows, held, inputs, "xgboost"),
        "scorecard": lambda: on_spark(rows, held, inputs, "scorecard"),
        "xgboost, one node": lambda: on_one_node(rows, held, inputs, "xgboost"),
        "xgboost, one node, with the trees of Spark GBT": lambda: on_one_node(rows, held, inputs, "gbt"),
    }
    if is_whole:
        ways = {"all that `train` fits": lambda: whole(table)}
    for name, run in ways.items():
        seconds, found = run()
        print(f"| {name} | {seconds:,.1f} | {found:.4f} |", flush=True)


if __name__ == "__main__":
    main()
