"""Day tiles -> gold.seller_features: what was known of every seller before one day began."""

import sys
from datetime import date

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.explain import explain
from jobs.lakehouse.lake import Lake, Published, Run
from jobs.lakehouse.window_sums import HeldSums, newest_sums, require_history, rows_of, sums_at
from transforms.features import catalogue
from transforms.features.evaluate import wanted_sums
from transforms.features.known import (
    SILVER,
    Bronze,
    Silver,
    features_by_rebuild,
    features_by_sweep,
    features_of_sums,
    known_sellers,
)
from transforms.tables.bronze import EVENT_TABLES, LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.windows.asked import EverySeller


def features(lake: Lake, as_of: date, mode: str = "advance", again: bool = False) -> Report:
    """Publish the features of every seller known before `as_of`; needs the day before it closed.

    By `advance` their window sums are carried on from the newest day before, over as many days as there are between;
    where there are none they are swept, as are those that the day's lack. A day that is published stays as it is,
    unless it is to be worked out `again`: then no sums that are held are relied upon.
    """
    lake.require_closed(as_of)
    lake.require_as_published(
        *SILVER, SELLER_FEATURES, WINDOW_SUMS, *(EVENT_TABLES.values() if mode == "rebuild" else ())
    )
    identity = {
        "catalogue": catalogue.digest(),
        "news": lake.news_before(as_of),
        "kinds_told": lake.kinds_told_before(as_of),
    }
    with lake.run("features", f"as_of={as_of}", identity, {"as_of": as_of, "mode": mode}) as run:
        published = run.already_published
        if published is not None and not again:
            lines = ["--again works it out anew"]
            return Report("features", {"as of": as_of, "published already by": published.run_id}, lines=lines)
        silver = Silver(*map(run.read, SILVER))
        run.facts = {
            "mode": mode,
            "catalogue": catalogue.digest(),
            "values": catalogue.digest_of_values(),
            "news": lake.news_digest(as_of),
        }
        rows = _advanced(run, silver, as_of, again) if mode == "advance" else _from_scratch(run, silver, as_of, mode)
        slice_ = f"as_of = '{as_of}' and run_id = '{run.run_id}'"
        run.replace(SELLER_FEATURES, rows.withColumn("run_id", F.lit(run.run_id)), slice_)
        run.figures |= {"sellers": run.rows_written(SELLER_FEATURES), "features": len(catalogue.CATALOGUE)}
        run.publish()
    told = {"carried on from": run.facts["carried_from"] or None} if mode == "advance" else {}
    return Report("features", {"as of": as_of, **told, **{name: int(value) for name, value in run.figures.items()}})


def renewed(lake: Lake, since: date | None = None) -> Report:
    """Publish anew, oldest first, every day from `since` on whose newest features were made of something else.

    Where the lake still holds sums of a day, only those that they lack are swept. What was published first stays.
    """
    days = sorted({run.as_of for run in lake.runs() if run.step == "features"})
    newest = (lake.last_run("features", f"as_of={day}") for day in days if since is None or day >= since)
    outdated = [run.as_of for run in newest if run is not None and not _is_of_these_values(run)]
    for number, day in enumerate(outdated, 1):
        print(f"features: {day}, {number} of {len(outdated)}", file=sys.stderr)
        features(lake, day, "sweep" if newest_sums(lake, day) is None else "advance")
    return Report("features", {"days published": len(days), "renewed": len(outdated)}, lines=list(map(str, outdated)))


def _is_of_these_values(run: Published) -> bool:
    # runs of before tell no more than the whole catalogue
    return run.facts.get("values") == catalogue.digest_of_values() or run.facts["catalogue"] == catalogue.digest()


def _advanced(run: Run, silver: Silver, as_of: date, again: bool) -> DataFrame:
    lake, wanted = run.lake, wanted_sums()
    held = None if again else newest_sums(lake, as_of)
    if held is None:
        require_history(silver, as_of)
    sums = run.read(WINDOW_SUMS)
    run.facts |= {"carried_from": str(held.as_of) if held else ""}
    if held is None or held.as_of < as_of or not held.sums >= set(wanted):
        rows = sums_at(as_of, held, sums, silver.tiles, silver.sellers, wanted)
        held = HeldSums(as_of, run.run_id, frozenset(wanted))
        of_slice = {"as_of": F.lit(as_of), "run_id": F.lit(run.run_id)}
        run.replace(WINDOW_SUMS, rows.withColumns(of_slice), held.where_with_outdated)
        sums = run.written(WINDOW_SUMS)
    run.facts |= held.facts
    asked = EverySeller(as_of)
    return features_of_sums(asked.of_days(rows_of(held, sums)), silver.since(as_of), asked, lake.kinds_told())


def _from_scratch(run: Run, silver: Silver, as_of: date, mode: str) -> DataFrame:
    require_history(silver, as_of)
    asked = EverySeller(as_of)
    labels = known_sellers(silver.sellers, silver.tiles, asked)
    if mode == "sweep":
        return features_by_sweep(silver, labels, asked, run.lake.kinds_told(), as_of)
    orders, payments, loans = (run.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS))
    return features_by_rebuild(Bronze(orders, payments, loans, silver.sellers), labels, asked, run.lake.kinds_told())


@step("features", "seller-credit features --as-of 2024-09-01")
@click.option("--as-of", type=DAY, help="Only what was known before this day counts.")
@click.option(
    "--mode",
    type=click.Choice(["advance", "sweep", "rebuild"]),
    help="advance (as without this): carry on from the last day's sums; sweep: from all day tiles; rebuild: from raw"
    " events, to check.",
)
@click.option("--again", is_flag=True, help="Also where the day is published: work it out anew, from all day tiles.")
@click.option("--renew", is_flag=True, help="Every published day whose features were made of something else.")
@click.option("--since", type=DAY, help="With --renew: of the days from this one on.")
@click.option("--explain", "feature", metavar="NAME", help="Publish nothing: show one seller's feature, and why.")
@click.option("--seller", metavar="ID", help="Whose feature to explain.")
def command(
    invocation: Invocation,
    as_of: date | None,
    mode: str | None,
    again: bool,
    renew: bool,
    since: date | None,
    feature: str | None,
    seller: str | None,
) -> Report:
    """Publish every seller's features as of a day.

    Window sums cost what the day brought, what leaves its windows, and a row a seller, however long the history; other
    features read a year of days at most, the loan book and the profiles. Days left out are made up for; features that
    are new to the catalogue are added to what is held of the others. --renew publishes the days of before once more, by
    the catalogue and of the sources as they are now, beside what was published first; stopped half-way, it goes on
    where it was. With --explain nothing is published.
    """
    if renew:
        if as_of or again or mode or feature or seller:
            raise UserError("features: --renew finds its days and their way by itself: it takes --since, and no other")
        return renewed(invocation.lake(), since)
    if as_of is None or since is not None:
        raise UserError("features: say --as-of DAY, or --renew (--since DAY) for days that are published already")
    invocation.require_come(f"features: --as-of {as_of}", as_of)
    if (feature is None) != (seller is None):
        raise UserError("features: --explain NAME and --seller ID go together")
    if feature is not None and seller is not None:
        return explain(invocation.lake(), feature, seller, as_of)
    return features(invocation.lake(), as_of, mode or "advance", again)


if __name__ == "__main__":
    sys.exit(run_command(command))
