"""Day tiles -> gold.seller_features: what was known of every seller before one day began."""

import sys
from datetime import date

import click
from pyspark.sql import functions as F

from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake
from transforms.features import catalogue
from transforms.features.known import Bronze, Silver, features_by_rebuild, features_by_sweep, known_sellers
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import SELLER_FEATURES
from transforms.tables.silver import LOAN_BOOK, SELLER_BUYER_DAY, SELLER_DAY


def features(lake: Lake, as_of: date, mode: str = "sweep") -> Report:
    """Publish the features of every seller known before `as_of`; needs the day before it closed."""
    lake.require_closed(as_of)
    identity = {"catalogue": catalogue.digest(), "news": lake.news_before(as_of), "kinds_told": lake.kinds_told()}
    with lake.run("features", f"as_of={as_of}", identity, {"as_of": as_of, "mode": mode}) as run:
        published = run.already_published
        if published is not None:
            return Report("features", {"as of": as_of, "published already by": published.run_id})
        silver = Silver(*(run.read(table) for table in (SELLER_DAY, SELLER_BUYER_DAY, LOAN_BOOK, SELLERS)))
        days = lake.spark.createDataFrame([(as_of,)], "as_of date")
        labels = known_sellers(silver.sellers, silver.tiles, days)
        if mode == "rebuild":
            bronze = Bronze(*(run.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS, SELLERS)))
            rows = features_by_rebuild(bronze, labels, lake.kinds_told())
        else:
            rows = features_by_sweep(silver, labels, lake.kinds_told())
        slice_ = f"as_of = '{as_of}' and run_id = '{run.run_id}'"
        run.replace(SELLER_FEATURES, rows.withColumn("run_id", F.lit(run.run_id)), slice_)
        run.figures = {"sellers": run.rows_written(SELLER_FEATURES), "features": len(catalogue.CATALOGUE)}
        run.facts = {"mode": mode, "catalogue": catalogue.digest()}
        run.publish()
    return Report("features", {"as of": as_of, **{name: int(value) for name, value in run.figures.items()}})


@step("features", "seller-credit features --as-of 2024-09-01")
@click.option("--as-of", type=DAY, required=True, help="Only what was known before this day counts.")
@click.option(
    "--mode",
    type=click.Choice(["sweep", "rebuild"]),
    default="sweep",
    help="sweep: from day tiles; rebuild: from raw events, slow and obvious, to check.",
)
def command(invocation: Invocation, as_of: date, mode: str) -> Report:
    """Publish every seller's features as of a day."""
    return features(invocation.lake(), as_of, mode)


if __name__ == "__main__":
    sys.exit(run_command(command))
