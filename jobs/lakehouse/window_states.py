"""The window sums that the lake holds: which day's state there is, and the state of another day made from it."""

import json
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame

from jobs.lakehouse.lake import Lake
from transforms.features.feature import column_of, window_sums_in
from transforms.features.known import known_sellers
from transforms.tables import measures
from transforms.windows.advance import advance, merged, only, state_of
from transforms.windows.asked import EverySeller
from transforms.windows.sweep import sweep
from transforms.windows.wide import WindowSums

KEPT_DAYS = 40
"""States are as large as the list of sellers: older ones than so many days before the newest are dropped."""


@dataclass(frozen=True)
class HeldState:
    """A published slice of gold.window_state, and the sums that it holds."""

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
            "state": self.run_id,
            "sums": " ".join(sorted(column_of(*sum_) for sum_ in self.sums)),
            "measures": json.dumps(measures.digests()),
        }


def newest_state(lake: Lake, last: date) -> HeldState | None:
    """The published state of the newest day up to `last` that was made of the lake's tiles as they are."""
    states = [run for run in lake.runs() if run.step == "features" and "state" in run.facts]
    kept_from = max((run.as_of for run in states), default=last) - timedelta(days=KEPT_DAYS)
    states = [run for run in states if kept_from <= run.as_of <= last]
    # of two of one day the later run's, which holds what newer features want
    for run in sorted(states, key=lambda run: (run.as_of, run.sequence), reverse=True):
        if run.facts["news"] == lake.news_digest(run.as_of):
            # sums of a measure that is another one by now are not held
            then, now = json.loads(run.facts.get("measures", "{}")), measures.digests()
            sums = window_sums_in(run.facts["sums"])
            held = frozenset(sum_ for sum_ in sums if then.get(sum_[0], now[sum_[0]]) == now[sum_[0]])
            return HeldState(run.as_of, run.facts["state"], held)
    return None


def rows_of(held: HeldState, states: DataFrame) -> DataFrame:
    """The rows of one slice of gold.window_state."""
    return states.filter(held.where).drop("as_of", "run_id")


def state_at(
    as_of: date, held: HeldState | None, states: DataFrame, tiles: DataFrame, sellers: DataFrame, wanted: WindowSums
) -> DataFrame:
    """The state as of a day: carried on from the one held, and swept where that lacks a sum or there is none."""
    kept = [sum_ for sum_ in wanted if held is not None and sum_ in held.sums]
    missing = [sum_ for sum_ in wanted if sum_ not in kept]
    parts: list[DataFrame] = []
    if held is not None:
        rows = rows_of(held, states)
        if held.sums != set(wanted):
            # a sum that is no longer wanted is not carried on, and one that the state was not told to hold is swept
            rows = only(rows, kept)
        parts.append(advance(rows, tiles, held.as_of, as_of, kept) if held.as_of < as_of else merged([rows], kept))
    if missing or held is None:
        labels = known_sellers(sellers, tiles, EverySeller(as_of))
        parts.append(state_of(sweep(tiles, labels, missing), missing))
    return parts[0] if len(parts) == 1 else merged(parts, wanted)
