"""The proof: features by sweep, by advance and by rebuild are the same, for every seller or a sample."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

import click
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.explain import OF_PROFILES, versions_known
from jobs.lakehouse.lake import Lake, Run
from jobs.lakehouse.window_sums import newest_sums, require_history, rows_of
from transforms.features import catalogue
from transforms.features.catalogue import BY_NAME, CATALOGUE, made_of
from transforms.features.evaluate import KindsTold, wanted_states, wanted_sums
from transforms.features.feature import EVER, column_of
from transforms.features.known import (
    SILVER,
    Bronze,
    Silver,
    features_by_rebuild,
    features_by_sweep,
    features_of_sums,
    known_sellers,
)
from transforms.features.states.state import MadeOf
from transforms.tables.bronze import EVENT_TABLES, LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.tables.measures import MEASURES
from transforms.tables.silver import LOAN_BOOK, SELLER_BUYER_DAY, SELLER_ITEM_DAY
from transforms.tiles.days import AT_THE_DOOR
from transforms.windows.advance import advance
from transforms.windows.asked import EverySeller
from transforms.windows.compare import held_together
from transforms.windows.rebuild import rebuild
from transforms.windows.sweep import sweep

DAYS_CARRIED = 30
"""Where the lake has no sums of an earlier day, they are swept as of so many days before and carried on."""

OF_OTHERS_TOO = (SELLER_BUYER_DAY, SELLER_ITEM_DAY, LOAN_BOOK, SELLERS)

SHOWN_SELLERS, SHOWN_FEATURES, SHOWN_EVENTS, SHOWN_VERSIONS = 3, 3, 12, 3

_EVENTS = {"order_event": "orders", "payment_event": "payments", "loan_event": "loans", "seller_buyer_day": "orders"}

_OF_STATES: Mapping[MadeOf, tuple[str, ...]] = {
    "pair": ("orders", "payments"),
    "item": ("orders",),
    "day series": ("orders", "payments", "loans"),
    "loan": ("loans",),
}
"""Feeds of the events that states are made of."""


@dataclass(frozen=True)
class Evidence:
    """What the ways are made of, of the sellers that are compared."""

    as_of: date
    silver: Silver
    bronze: Bronze
    labels: DataFrame
    held: DataFrame
    """The sums that advance carries on."""
    carried_from: date
    kinds_told: KindsTold

    @property
    def sums(self) -> DataFrame:
        """The window sums by advance."""
        return advance(self.held, self.silver.tiles, self.labels, self.carried_from, self.as_of, wanted_sums())

    def ways(self) -> dict[str, DataFrame]:
        """The features by each way."""
        silver, labels, asked, told = self.silver, self.labels, EverySeller(self.as_of), self.kinds_told
        return {
            "sweep": features_by_sweep(silver, labels, asked, told, self.as_of),
            "advance": features_of_sums(self.sums, silver.since(self.as_of), asked, told),
            "rebuild": features_by_rebuild(self.bronze, labels, asked, told),
        }


def verify(lake: Lake, as_of: date, sellers: int | None) -> Report:
    """Compare every feature of `sellers` sellers, chosen by a hash of their ids, or of all where it is None."""
    lake.require_closed(as_of)
    lake.require_as_published(*SILVER, *EVENT_TABLES.values(), SELLER_FEATURES, WINDOW_SUMS)
    with lake.run("verify", f"as_of={as_of}", {}, {"as_of": as_of, "sellers": sellers}) as run:
        every = _labels(run, as_of).persist()  # all ways start from them
        in_lake = every.count()
        if not in_lake:
            # events tell of nobody: whoever is in a table all the same is a fault to be shown
            require_history(Silver(*map(run.read, SILVER)), as_of)
        # None where the sample is everyone, so that no row of anybody else is passed over
        largest, labels, known = None, every, in_lake
        if sellers is not None and sellers < in_lake:
            labels = every.orderBy(F.xxhash64("seller_id"), "seller_id").limit(sellers).persist()
            known, largest = sellers, labels.agg(F.max(F.xxhash64("seller_id"))).collect()[0][0]
        evidence, how = _evidence(run, as_of, labels, largest)
        ways = evidence.ways()
        published = _published(run, as_of, largest)
        if published is not None:
            ways["published"] = published
        compared = held_together(ways, {feature.name: feature.type for feature in CATALOGUE}).persist()
        size = F.size("differences")
        found = compared.agg(
            F.count(F.lit(1)), F.count_distinct("seller_id"), F.sum((size > 0).cast("bigint")), F.sum(size)
        ).collect()[0]
        faults = [] if found[0] == found[1] == known else _miscounted(ways, known)
        worst = compared.filter(size > 0).orderBy("seller_id").limit(SHOWN_SELLERS).collect()
        lines = _lines(evidence, list(ways), worst)
        compared.unpersist()
        labels.unpersist()
        every.unpersist()
        figures = {
            "sellers": found[1],
            "of sellers known": in_lake,
            "features": len(CATALOGUE),
            "cells compared": found[0] * len(CATALOGUE),
            "sellers that differ": found[2] or 0,
            "cells that differ": found[3] or 0,
        }
        run.figures = {name: float(value) for name, value in figures.items()}
        run.facts = {"ways": ", ".join(ways), "carried_from": str(evidence.carried_from)}
        run.publish()
    if found[3]:
        faults.append(f"the ways differ in {found[3]} of {figures['cells compared']} cells")
    failure = f"as of {as_of} {'; '.join(faults)}" if faults else ""
    values = {"as of": as_of, "ways": ", ".join(ways), "advance": how, **figures, "features are made of": _made_of()}
    return Report("verify", values, lines=lines, failure=failure)


def _made_of() -> str:
    """Of how many features each kind of input is compared: not all of it is worked out in as many ways."""
    kinds = [made_of(feature) for feature in CATALOGUE]
    of_profiles = sum(set(kind) <= {"profile", "graph"} for kind in kinds)
    of_sums = sum(set(kind) <= {"additive"} for kind in kinds)
    return (
        f"window sums alone, which each way works out for itself: {of_sums}; pairs, items, days or loans too, of which"
        f" sweep and advance read the same silver rows and rebuild the events: {len(kinds) - of_sums - of_profiles};"
        f" profiles alone, which all read as they are: {of_profiles}"
    )


def _labels(run: Run, as_of: date) -> DataFrame:
    # of the events themselves: a seller whose tiles are all lost would else be in no way, and missed in none
    lent = run.read(LOAN_EVENTS).filter(~F.col("kind").isin(*AT_THE_DOOR))
    news = (run.read(ORDER_EVENTS), run.read(PAYMENT_EVENTS), lent)
    parts = [events.select("seller_id", "arrival_day") for events in news]
    return known_sellers(run.read(SELLERS), reduce(DataFrame.unionByName, parts), EverySeller(as_of))


def _ours(rows: DataFrame, largest: int | None) -> DataFrame:
    """Rows of the sample: of sellers whose hash is no larger than its last one's; all where that is None."""
    # by their hashes, and no semi-join with the labels: that would pass over sellers who are in none, and Spark 4.2.0
    # reused the exchange of other columns for it, so that all sums were 0
    return rows if largest is None else rows.filter(F.xxhash64("seller_id") <= F.lit(largest))


def _miscounted(ways: Mapping[str, DataFrame], known: int) -> list[str]:
    """The ways that do not have one row of each seller known: rows that are there twice differ in no feature."""
    told = []
    for way, rows in ways.items():
        have = rows.agg(F.count(F.lit(1)), F.count_distinct("seller_id")).collect()[0]
        if tuple(have) != (known, known):
            told.append(f"{way} has {have[0]} rows of {have[1]} sellers where {known} sellers are known")
    return told


def _evidence(run: Run, as_of: date, labels: DataFrame, largest: int | None) -> tuple[Evidence, str]:
    lake = run.lake

    # whole where a seller's features rest on others too: where else its buyers buy, what all take for such
    # goods, who belongs to its group
    silver = Silver(
        *(run.read(table) if table in OF_OTHERS_TOO else _ours(run.read(table), largest) for table in SILVER)
    )
    orders, loans, payments = run.read(ORDER_EVENTS), run.read(LOAN_EVENTS), _ours(run.read(PAYMENT_EVENTS), largest)
    held, wanted = newest_sums(lake, as_of - timedelta(days=1)), wanted_sums()
    if held is not None and held.sums >= set(wanted):
        carried_from = held.as_of
        sums = _ours(rows_of(held, run.read(WINDOW_SUMS)), largest)
        how = f"carried on from the sums published as of {carried_from}"
    else:
        carried_from = as_of - timedelta(days=DAYS_CARRIED)
        of_then = labels.withColumn("as_of", F.lit(carried_from))
        sums = sweep(silver.tiles, of_then, wanted)
        how = f"carried on from {carried_from}, swept for this as no sums are published"
    evidence = Evidence(
        as_of,
        silver,
        Bronze(orders, payments, loans, silver.sellers),
        labels,
        sums,
        carried_from,
        lake.kinds_told(),
    )
    return evidence, how


def _published(run: Run, as_of: date, largest: int | None) -> DataFrame | None:
    """What readers have of this day; None where nothing is published, or by another catalogue."""
    last = run.lake.last_run("features", f"as_of={as_of}")
    names = [feature.name for feature in CATALOGUE]
    if last is None or last.facts["catalogue"] != catalogue.digest():
        return None
    rows = run.read(SELLER_FEATURES).filter(f"as_of = '{as_of}' and run_id = '{last.run_id}'")
    return _ours(rows.select("seller_id", *names), largest)


def _lines(evidence: Evidence, ways: Sequence[str], worst: Sequence[Row]) -> list[str]:
    """The first differences, each with the sums that differ, and the events and profiles that make it."""
    lines: list[str] = []
    for row in worst:
        seller, differences = row["seller_id"], row["differences"]
        lines += ["", f"seller {seller}: {len(differences)} features differ"]
        for difference in differences[:SHOWN_FEATURES]:
            by_way = ", ".join(f"{way} {difference[way]}" for way in ways)
            lines.append(f"  {difference['feature']}: {by_way}")
        features = [BY_NAME[difference["feature"]] for difference in differences]
        sums, kinds = wanted_sums(features), {state.made_of for state in wanted_states(features)}
        lines += _sums_that_differ(evidence, seller, sums)
        feeds = {_EVENTS[MEASURES[measure].event] for measure, _ in sums}
        feeds |= {feed for kind in kinds for feed in _OF_STATES.get(kind, ())}
        if not sums and not kinds:  # of the first day known alone
            feeds = set(_EVENTS.values())
        # only sums tell how far back to look
        days = EVER if kinds else max((length for _, length in sums), default=EVER)
        lines += _events(evidence, seller, sorted(feeds), days) if feeds else []
        lines += _profiles(evidence, seller) if kinds & {"profile", "graph"} else []
    return lines


def _sums_that_differ(evidence: Evidence, seller: str, sums: list[tuple[str, int]]) -> list[str]:
    if not sums:
        return []
    label = evidence.labels.filter(F.col("seller_id") == seller)
    if label.isEmpty():
        return [
            f"  before {evidence.as_of} no profile and no event was known of this seller, who has features all the same"
        ]
    bronze = evidence.bronze
    ways = {
        "sweep": sweep(evidence.silver.tiles, label, sums),
        "advance": evidence.sums.filter(F.col("seller_id") == seller),
        "rebuild": rebuild(bronze.orders, bronze.payments, bronze.loans, label, sums),
    }
    values = {way: rows.collect()[0] for way, rows in ways.items()}
    names = [column_of(*sum_) for sum_ in sums]
    return [
        f"  sum {name}: " + ", ".join(f"{way} {row[name]}" for way, row in values.items())
        for name in names
        if len({row[name] for row in values.values()}) > 1
    ]


def _events(evidence: Evidence, seller: str, feeds: Sequence[str], days: int) -> list[str]:
    """Events within the windows and those that have left them since the sums were carried on, first those that came
    late or take something back: it is them that go wrong.
    """
    first = evidence.carried_from - timedelta(days=min(days, 36_000))
    parts = [
        getattr(evidence.bronze, feed).select(
            F.lit(feed).alias("feed"), "seller_id", "event_id", "kind", "event_day", "arrival_day", "sign", "amount_fen"
        )
        for feed in feeds
    ]
    is_known = (F.col("event_day") < F.lit(evidence.as_of)) & (F.col("arrival_day") < F.lit(evidence.as_of))
    rows = (
        reduce(DataFrame.unionByName, parts)
        .filter((F.col("seller_id") == seller) & is_known & (F.col("event_day") >= F.lit(first)))
        .orderBy(F.desc((F.col("arrival_day") > F.col("event_day")) | (F.col("sign") < 0)), "event_day", "event_id")
        .limit(SHOWN_EVENTS + 1)
        .collect()
    )
    lines = [
        f"  event {row['event_id']} ({row['feed']}): {row['kind']}{' taken back' if row['sign'] < 0 else ''} on"
        f" {row['event_day']}, known on {row['arrival_day']}, {row['amount_fen']} fen"
        for row in rows[:SHOWN_EVENTS]
    ]
    return lines + ["  and more"] * (len(rows) > SHOWN_EVENTS)


def _profiles(evidence: Evidence, seller: str) -> list[str]:
    """The newest versions of the seller's profile that were known."""
    versions = versions_known(evidence.bronze.sellers, seller, evidence.as_of)
    rows = versions.orderBy(F.desc("changed_on"), F.desc("arrival_day")).limit(SHOWN_VERSIONS).collect()
    return [
        f"  profile of {row['changed_on']}, known on {row['arrival_day']}: "
        + ", ".join(f"{name} {row[name]}" for name in OF_PROFILES if row[name] is not None)
        for row in rows
    ]


@step("verify", "seller-credit verify --as-of 2024-09-01 --sellers 1000")
@click.option("--as-of", type=DAY, required=True, help="The day whose features are compared.")
@click.option("--sellers", type=click.IntRange(min=1), help="Compare so many sellers, chosen by a hash [default: all].")
def command(invocation: Invocation, as_of: date, sellers: int | None) -> Report:
    """Prove that three ways give the same features: by sweep, by advance, and from the raw events alone.

    What is published of that day is compared too. Where anything differs, the first differences are shown with the
    events that make them, and the exit code is 1. Of all sellers it takes as long as a plain query over all events.
    """
    invocation.require_come(f"verify: --as-of {as_of}", as_of)
    return verify(invocation.lake(), as_of, sellers)


if __name__ == "__main__":
    sys.exit(run_command(command))
