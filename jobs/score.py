"""gold.seller_features -> gold.scores: every seller, in hash buckets, by one model version."""

import sys
from datetime import date

import click
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from jobs.lakehouse.champion import features_lost
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.decided import model_for, scores_by
from jobs.lakehouse.lake import Lake
from ml.registry import Loaded, check, load, resolve
from transforms.tables.gold import SCORES, SELLER_FEATURES

CHAMPION = "champion"


def score(lake: Lake, as_of: date, model: str = CHAMPION) -> Report:
    """Score every seller with features as of a day, by the champion or by one version.

    A day that was decided before a later one was is scored again by the model that decided it: whoever repeats a day's
    work after a promotion gets the answer that was given. Raises StepFailure where another version became champion
    while another step was waited for.
    """
    featured_by = lake.require_run("features", f"as_of={as_of}", f"Run `seller-credit features --as-of {as_of}` first.")
    registry, buckets = lake.settings.mlflow, lake.settings.scoring.buckets
    signed = None
    if model == CHAMPION:
        version, signed = model_for(lake, as_of)
    else:
        check(registry.tracking_uri)
        version = resolve(registry.tracking_uri, registry.model, model)
    identity = {"features": featured_by.run_id, "model": registry.model, "version": version, "buckets": buckets}
    with lake.run("score", f"as_of={as_of}", identity, {"as_of": as_of, "model": model}) as run:
        # the lock may have been waited for, and another version promoted meanwhile
        if model == CHAMPION and model_for(lake, as_of) != (version, signed):
            raise StepFailure("score: another version became champion meanwhile. Run this again.")
        published = run.already_published
        # in a registry that was begun anew another model may have scored under the champion's number
        if published is not None and signed in (None, published.facts["model_run_id"]):
            return Report("score", {"as of": as_of, "published already by": published.run_id})
        check(registry.tracking_uri)
        loaded = load(registry.tracking_uri, registry.model, version)
        _require_signed(loaded, signed)
        _require_match(loaded)
        is_of_run = (F.col("as_of") == F.lit(as_of)) & (F.col("run_id") == featured_by.run_id)
        features = run.read(SELLER_FEATURES).filter(is_of_run).drop("run_id")
        bucket = F.pmod(F.xxhash64("seller_id"), F.lit(buckets)).cast("int")
        # by range of the bucket: hashing it again would put several into one task and leave others without any
        in_buckets = features.withColumn("bucket", bucket).repartitionByRange(buckets, "bucket").drop("bucket")
        scores = scores_by(loaded, in_buckets, featured_by.run_id, run.run_id).withColumn("bucket", bucket)
        run.replace(SCORES, scores, f"as_of = '{as_of}' and run_id = '{run.run_id}'")
        run.figures = {"sellers": run.rows_written(SCORES)}
        run.facts = {
            "features_run_id": featured_by.run_id,
            "model_name": registry.model,
            "model_version": str(version),
            "model_run_id": loaded.run_id,
        }
        run.publish()
    return Report(
        "score", {"as of": as_of, "model": f"{registry.model} {version}", "sellers": run.rows_written(SCORES)}
    )


def _require_signed(loaded: Loaded, signed: str | None) -> None:
    """Raise UserError where the registry has another model under a signed version's number than the one signed off."""
    if signed is not None and loaded.run_id != signed:
        raise UserError(
            f"model version {loaded.version} is not the one that was signed off: the registry made it by run"
            f" {loaded.run_id}, and run {signed} was promoted. Promote a version that the registry has, by"
            " `seller-credit promote VERSION --approver NAME`, or bring the lost registry back."
        )


def _require_match(loaded: Loaded) -> None:
    """Raise UserError where a version wants features that there are no more, or could not say why."""
    version = f"model version {loaded.version}"
    problems = [f"{version} wants feature {lost}" for lost in features_lost(loaded, SELLER_FEATURES)]
    if not loaded.reference:
        problems.append(f"{version} has no exact reasons: no seller could be told why")
    if problems:
        raise UserError(problems)


@step("score", "seller-credit score --as-of 2024-09-01")
@click.option("--as-of", type=DAY, required=True, help="The day whose features are scored.")
@click.option(
    "--model",
    default=CHAMPION,
    metavar="champion|VERSION",
    help="The champion, or one version: before its sign-off its scores are to be looked at, and decide makes no offer.",
)
def command(invocation: Invocation, as_of: date, model: str) -> Report:
    """Score every seller: probability of default, score, and points by feature that add up to it."""
    return score(invocation.lake(), as_of, model)


if __name__ == "__main__":
    sys.exit(run_command(command))
