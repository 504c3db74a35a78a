"""The window sums that the lake holds: of which day there are any, and those of another day made from them."""

import json
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from jobs.lakehouse.lake import Lake
from transforms.features.feature import column_of, window_sums_in
from transforms.features.known import Silver, first_known, known_sellers
from transforms.tables import measures
from transforms.windows.advance import advance
from transforms.windows.asked import EverySeller
from transforms.windows.sweep import sweep
from transforms.windows.wide import WindowSums

KEPT_DAYS = 40
"""Each day's are as large as the list of sellers: those of more than so many days before the newest are dropped."""


@dataclass(frozen=True)
class HeldSums:
    """A published slice of gold.window_sums, and the sums that it holds."""

    as_of: date
    run_id: str
    sums: frozenset[tuple[str, int]]

    @property
    def where(self) -> str:
        """The slice as an SQL condition."""
        return f"as_of = '{self.as_of}' and run_id = '{self.run_id}'"

    @property
    def where_with_outdated(self) -> str:
        """The slice, and all that is no longer kept once it is there."""
        return f"({self.where}) or as_of < '{self.as_of - timedelta(days=KEPT_DAYS)}'"

    @property
    def facts(self) -> dict[str, str]:
        """How a run tells of it."""
        return {
            "window_sums": self.run_id,
            "sums": " ".join(sorted(column_of(*sum_) for sum_ in self.sums)),
            "measures": json.dumps(measures.digests()),
        }


def newest_sums(lake: Lake, last: date) -> HeldSums | None:
    """The published sums of the newest day up to `last` that were made of the lake's tiles as they are."""
    runs = [run for run in lake.runs() if run.step == "features" and "window_sums" in run.facts]
    kept_from = max((run.as_of for run in runs), default=last) - timedelta(days=KEPT_DAYS)
    runs = [run for run in runs if kept_from <= run.as_of <= last]
    # of two of one day the later run's, which holds what newer features want
    for run in sorted(runs, key=lambda run: (run.as_of, run.sequence), reverse=True):
        if run.facts["news"] == lake.news_digest(run.as_of):
            # sums of a measure that is another one by now are not held
            then, now = json.loads(run.facts.get("measures", "{}")), measures.digests()
            sums = window_sums_in(run.facts["sums"])
            held = frozenset(sum_ for sum_ in sums if then.get(sum_[0], now[sum_[0]]) == now[sum_[0]])
            return HeldSums(run.as_of, run.facts["window_sums"], held)
    return None


def require_history(silver: Silver, as_of: date) -> None:
    """Raise UserError where nothing was known before a day."""
    first = first_known(silver.sellers, silver.tiles).agg(F.min("known")).collect()[0][0]
    if first is None or first >= as_of:
        raise UserError(
            f"as of {as_of} nothing was known of any seller: "
            + (f"the first news arrived on {first}" if first else "the lake has no events and no profiles")
        )


def rows_of(held: HeldSums, sums: DataFrame) -> DataFrame:
    """The rows of one slice of gold.window_sums."""
    return sums.filter(held.where).drop("as_of", "run_id")


def sums_at(
    as_of: date, held: HeldSums | None, sums: DataFrame, tiles: DataFrame, sellers: DataFrame, wanted: WindowSums
) -> DataFrame:
    """The sums as of a day: carried on from those held, and swept where they lack one or there are none."""

    def swept(some: WindowSums) -> DataFrame:
        return sweep(tiles, known_sellers(sellers, tiles, EverySeller(as_of)), some).drop("as_of")

    kept = [sum_ for sum_ in wanted if held is not None and sum_ in held.sums]
    if held is None or not kept:
        return swept(wanted)
    carried = rows_of(held, sums).select("seller_id", "first_day", *(column_of(*sum_) for sum_ in kept))
    if held.as_of < as_of:
        profiled = sellers.filter(F.greatest("changed_on", "arrival_day") < F.lit(as_of))
        carried = advance(carried, tiles, profiled, held.as_of, as_of, kept).drop("as_of")
    missing = [sum_ for sum_ in wanted if sum_ not in kept]
    # both have a row for every seller known then
    return carried.join(swept(missing).drop("first_day"), "seller_id") if missing else carried
