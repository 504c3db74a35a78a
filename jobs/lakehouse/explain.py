"""One seller's value of one feature, and what it was made of: sums and states, and the records behind them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from conf.errors import UserError
from jobs.lakehouse.command import Report
from jobs.lakehouse.lake import Lake
from transforms.features.catalogue import BY_NAME, STATES, formulas, made_of
from transforms.features.evaluate import BLOCK_DAYS, BLOCK_MEASURES, BLOCKS, value_of, wanted_sums
from transforms.features.feature import EVER, Feature, column_of, window_sums_in
from transforms.features.formulas import names_in
from transforms.features.known import SILVER, Silver, inputs_of_sums, known_sellers
from transforms.features.states.balances import LOOK_BACK_DAYS
from transforms.features.states.days import DAY_MEASURES, DRAW_DAYS
from transforms.features.states.items import ITEM_DAYS
from transforms.features.states.pairs import CIRCLE_DAYS, PAIR_DAYS
from transforms.groups.groups import LINKING, seller_groups
from transforms.tables.bronze import EVENT_TABLES
from transforms.tables.gold import SELLER_FEATURES
from transforms.tables.measures import MEASURES
from transforms.windows.asked import Chosen, EverySeller
from transforms.windows.sweep import sweep

OF_PROFILES = ("registered_on", *LINKING, "verified", "penalty_points", "closed_on")
"""What features are made of in a version of a seller's profile."""

RECORD = ("made of", "record", "event day", "known", "what it says")


@dataclass(frozen=True)
class _Subject:
    """Whose feature, as of when."""

    lake: Lake
    silver: Silver
    seller: str
    as_of: date
    most: int

    def known(self, rows: DataFrame, days: int = EVER) -> DataFrame:
        """The seller's rows of a window, as far as they were known."""
        day = F.lit(self.as_of)
        in_window = (F.col("event_day") < day) & (F.col("event_day") >= F.date_sub(day, days))
        return rows.filter((F.col("seller_id") == self.seller) & in_window & (F.col("arrival_day") < day))


def explain(lake: Lake, name: str, seller: str, as_of: date, most: int = 20) -> Report:
    """Work one feature out anew for one seller, with its inputs and at most so many records behind each of them.

    Raises UserError where there is no such feature, no such seller known then, or a day before is not closed.
    """
    if name not in BY_NAME:
        near = get_close_matches(name, list(BY_NAME), 3, 0.5)
        known = f" Near to it: {', '.join(near)}." if near else ""
        raise UserError(f"--explain {name}: there is no such feature.{known} docs/features.md lists them all.")
    lake.require_closed(as_of)
    lake.require_as_published(*SILVER, *EVENT_TABLES.values(), SELLER_FEATURES)
    feature = BY_NAME[name]
    silver = Silver(*map(lake.read, SILVER))
    sellers = known_sellers(silver.sellers, silver.tiles, EverySeller(as_of))
    if not sellers.filter(F.col("seller_id") == seller).collect():
        raise UserError(f"--seller {seller}: nothing was known of a seller of this id before {as_of}")
    about = _Subject(lake, silver, seller, as_of, most)
    row, value = _worked_out(about, feature)
    named = _inputs(feature)
    return Report(
        "features",
        {
            "feature": name,
            "seller": seller,
            "as of": as_of,
            "value": value,
            "published": _published(about, name),
            "unit": feature.unit,
            "meaning": feature.meaning,
            "unknown when": feature.unknown_when,
            "made of": ", ".join(made_of(feature)),
            "formula": feature.formula,
            **{f"= {part}": _plain(row[part]) for part in named},
        },
        (RECORD, list(_records(about, feature))),
    )


def _worked_out(about: _Subject, feature: Feature) -> tuple[Row, Any]:
    """The feature's inputs, and its value."""
    label = about.lake.spark.createDataFrame([(about.seller, about.as_of)], "seller_id string, as_of date")
    own = about.silver.tiles.filter(F.col("seller_id") == about.seller)
    near = about.silver.since(about.as_of)
    silver = replace(
        near,
        tiles=own,
        balances=near.balances.filter(F.col("seller_id") == about.seller),
        payees=near.payees.filter(F.col("seller_id") == about.seller),
    )
    sums = sweep(own, label, wanted_sums([feature]))
    made = inputs_of_sums(sums, silver, Chosen(F.broadcast(label)), about.lake.kinds_told(), [feature])
    row = made.select("*", value_of(feature).alias("value of the feature")).collect()[0]
    return row, row["value of the feature"]


def _published(about: _Subject, name: str) -> Any:
    """What the newest published run says; in words where there is none."""
    run = about.lake.last_run("features", f"as_of={about.as_of}")
    if run is None:
        return "not published for this day"
    rows = about.lake.read(SELLER_FEATURES).filter(
        (F.col("as_of") == F.lit(about.as_of)) & (F.col("run_id") == run.run_id) & (F.col("seller_id") == about.seller)
    )
    found = rows.select(name).collect()
    return found[0][0] if found else "not in the published features"


def _inputs(feature: Feature) -> list[str]:
    """Names of the window sums and states that the formula, with all features put in, is made of."""
    return sorted(names_in(formulas()[feature.name]))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(f"{part[0]} for {part[1]} days" if isinstance(part, Row) else str(part) for part in value)
    return value


def _records(about: _Subject, feature: Feature) -> Iterator[tuple[Any, ...]]:
    """What lies behind the inputs, newest first: events of sums, rows of silver tables of states."""
    formula = formulas()[feature.name]
    widest: dict[str, int] = {}
    sums = set(window_sums_in(formula))
    sums |= {(BLOCK_MEASURES[name], BLOCK_DAYS * BLOCKS) for name in names_in(formula) if name in BLOCK_MEASURES}
    for measure, days in sums:
        widest[measure] = max(days, widest.get(measure, 0))
    for measure, days in sorted(widest.items()):
        if MEASURES[measure].event == "seller_buyer_day":
            yield from _pairs(about, column_of(measure, days), days)
        else:
            yield from _events(about, measure, days)
    kinds = {STATES[name].made_of for name in names_in(formula) if name in STATES}
    behind: Mapping[str, Any] = {
        "pair": _bought,
        "item": _sold,
        "day series": _series,
        "loan": _loans,
        "profile": _versions,
    }
    for kind, records in behind.items():
        if kind in kinds:
            yield from records(about)
    if "graph" in kinds:
        yield from _group(about)


def _events(about: _Subject, measure: str, days: int) -> Iterator[tuple[Any, ...]]:
    adds = F.expr(MEASURES[measure].sql)
    events = about.known(about.lake.read(EVENT_TABLES[MEASURES[measure].event]), days)
    counted = events.withColumn("adds", adds).filter(F.col("adds") != 0)
    yield from _newest(about, counted, column_of(measure, days), F.concat_ws(" ", "event_id", "kind"), F.col("adds"))


def _pairs(about: _Subject, of: str, days: int) -> Iterator[tuple[Any, ...]]:
    says = F.concat(F.col("orders"), F.lit(" orders"))
    yield from _newest(about, about.known(about.silver.pairs, days), of, F.col("buyer_id"), says)


def _bought(about: _Subject) -> Iterator[tuple[Any, ...]]:
    says = F.concat(F.col("orders"), F.lit(" orders, "), F.col("paid_fen"), F.lit(" fen"))
    yield from _newest(about, about.known(about.silver.pairs, PAIR_DAYS), "buyers", F.col("buyer_id"), says)
    paid = F.concat(F.col("paid_out_fen"), F.lit(" fen paid out"))
    yield from _newest(
        about, about.known(about.silver.payees, PAIR_DAYS + CIRCLE_DAYS), "payees", F.col("payee_id"), paid
    )


def _sold(about: _Subject) -> Iterator[tuple[Any, ...]]:
    item = F.concat_ws(" ", "category", "item_id")
    says = F.concat("orders", F.lit(" orders, "), "pieces", F.lit(" pieces, "), "paid_fen", F.lit(" fen"))
    yield from _newest(about, about.known(about.silver.items, ITEM_DAYS), "items", item, says)


def _series(about: _Subject) -> Iterator[tuple[Any, ...]]:
    # no series looks further back than that of draws
    tiles = about.known(about.silver.tiles, DRAW_DAYS).filter(F.greatest(*map(F.abs, DAY_MEASURES)) > 0)
    parts = (F.when(F.col(name) != 0, F.concat(F.lit(f"{name} "), F.col(name))) for name in DAY_MEASURES)
    said = F.concat_ws(", ", *parts)
    yield from _newest(about, tiles, "days", F.lit("tile"), said)
    balance = F.concat(F.col("balance_fen"), F.lit(" fen at the day's end"))
    yield from _newest(about, about.known(about.silver.balances, LOOK_BACK_DAYS), "balances", F.lit("balance"), balance)


def _loans(about: _Subject) -> Iterator[tuple[Any, ...]]:
    names = ("drawn_fen", "outstanding_fen", "oldest_unpaid_due_on", "oldest_unpaid_fen", "settled_on")
    states = about.silver.book.filter(
        (F.col("seller_id") == about.seller) & (F.col("arrival_day") < F.lit(about.as_of))
    ).withColumn("event_day", F.col("drawn_on"))
    said = F.concat_ws(", ", *(F.concat(F.lit(f"{name} "), F.col(name)) for name in names))
    yield from _newest(about, states, "loan book", F.col("loan_id"), said)


def versions_known(sellers: DataFrame, seller: str, as_of: date) -> DataFrame:
    """The versions of one seller's profile that were known before a day."""
    is_known = (F.col("changed_on") < F.lit(as_of)) & (F.col("arrival_day") < F.lit(as_of))
    return sellers.filter((F.col("seller_id") == seller) & is_known)


def _versions(about: _Subject) -> Iterator[tuple[Any, ...]]:
    versions = versions_known(about.silver.sellers, about.seller, about.as_of)
    said = F.concat_ws(", ", *(F.concat(F.lit(f"{name} "), F.col(name).cast("string")) for name in OF_PROFILES))
    rows = versions.withColumn("event_day", F.col("changed_on"))
    yield from _newest(about, rows, "profile", F.lit("version"), said)


def _group(about: _Subject) -> Iterator[tuple[Any, ...]]:
    groups = seller_groups(about.silver.sellers, about.as_of)
    own = groups.filter(F.col("seller_id") == about.seller).select("group_id")
    members = groups.join(own, "group_id", "left_semi").orderBy("seller_id").limit(about.most).collect()
    for member in members:
        yield ("group", member["seller_id"], None, None, f"one of {member['members']} in {member['group_id']}")


def _newest(about: _Subject, rows: DataFrame, of: str, record: Column, says: Column) -> Iterator[tuple[Any, ...]]:
    shown = rows.select(record.alias("record"), "event_day", "arrival_day", says.cast("string").alias("says"))
    found = shown.orderBy(F.desc("event_day"), F.desc("arrival_day"), "record").limit(about.most + 1).collect()
    for row in found[: about.most]:
        yield of, row["record"], row["event_day"], row["arrival_day"], row["says"]
    if len(found) > about.most:
        yield of, "and older ones", None, None, None
