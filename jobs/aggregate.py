"""New bronze -> silver, an arrival day at a time: day tiles, buyers, items, payees, balances, loan book, groups."""

import json
import re
import sys
from collections import Counter
from datetime import date, timedelta

import click
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.source import TOLD_BY_FIELD
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Run, by_arrival_month, in_clause
from transforms.features.states.balances import LOOK_BACK_DAYS
from transforms.groups.groups import seller_groups
from transforms.tables import measures
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.silver import (
    LOAN_BOOK,
    SELLER_BALANCE,
    SELLER_BUYER_DAY,
    SELLER_DAY,
    SELLER_GROUP,
    SELLER_ITEM_DAY,
    SELLER_PAYEE_DAY,
    SILVER_TABLES,
)
from transforms.tiles.buyers import PAIR, buyer_changes, of_pairs, pair_days, pair_hashes
from transforms.tiles.days import KEY, active_day_changes, in_event_order, seller_days
from transforms.tiles.items import item_days
from transforms.tiles.loans import loan_states
from transforms.tiles.payments import day_balances, payee_days

MOST_BROADCAST_PAIRS = 2_000_000
"""Pairs of the news that are sent to every task to look their past up; more are shuffled with it."""

MOST_FILES_A_MONTH = 32
"""Files of a month's back-dated tiles: each day of work adds one to each month that its news is about."""


def aggregate(lake: Lake, through: date | None, today: date | None = None) -> Report:
    """Close the arrival days up to `through` and add what they brought.

    Where `through` is None it is the newest in bronze before `today`, whose news is not all there yet. What arrives
    later for a closed day gets the first open day: a closed slice never changes.
    """
    lake.require_as_published(*SILVER_TABLES, SELLERS, ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS)
    added = _add_pair_hashes(lake) | _add_measures(lake) | _add_items(lake)
    with lake.run("aggregate", "arrival days", {}, {"through": through}) as run:
        closed = lake.closed_through()
        orders, payments, loans = (run.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS))
        last, lines = through or _newest(orders, payments, loans), []
        if through is None and last is not None and today is not None and last >= today:
            last = today - timedelta(days=1)
            lines = [f"closed no further than {last}: {today} is not over, and what arrived on it stays open"]
        if closed is None and through is not None:
            _require_news(lake, through, orders, payments, loans, run.read(SELLERS))
        if last is None or (closed is not None and last <= closed):
            return Report("aggregate", {"closed through": closed, **added}, lines=[*lines, "nothing new to close"])

        def news(events: DataFrame) -> DataFrame:
            return _arrived(events, closed, last)

        new_orders, new_loans = news(orders), news(loans)
        run.append(SELLER_BUYER_DAY, by_arrival_month(pair_days(new_orders), "event_day", "seller_id"))
        # from the table, where they are a few columns, and not once more from all of bronze
        pairs = _arrived(run.written(SELLER_BUYER_DAY), closed, last)
        if closed is not None and run.rows_written(SELLER_BUYER_DAY) <= MOST_BROADCAST_PAIRS:
            # four looks at a day's rows, each of which would be planned and listed anew
            pairs = pairs.localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)
        changes = buyer_changes(pairs, _earlier_pairs(run, pairs, closed))
        active = active_day_changes(pairs, _earlier_days(run, pairs, closed))
        tiles = seller_days(new_orders, news(payments), new_loans, _of_buyers(changes, active))
        run.append(SELLER_DAY, in_event_order(tiles))
        _compact(run)
        known_loans = loans.filter(F.col("arrival_day") <= F.lit(last))
        touched_loans = known_loans.join(new_loans.select("loan_id").distinct(), "loan_id", "left_semi")
        run.append(LOAN_BOOK, _arrived(loan_states(touched_loans), closed, last).hint("rebalance"))
        run.append(SELLER_ITEM_DAY, by_arrival_month(item_days(new_orders), "event_day", "seller_id"))
        run.append(SELLER_PAYEE_DAY, by_arrival_month(payee_days(news(payments)), "event_day", "seller_id"))
        few = run.rows_written(SELLER_DAY) <= MOST_BROADCAST_PAIRS
        balances = day_balances(_of_days_in_the_news(payments, closed, last, few))
        run.append(SELLER_BALANCE, by_arrival_month(_arrived(balances, closed, last), "event_day", "seller_id"))
        as_of = last + timedelta(days=1)
        groups = seller_groups(run.read(SELLERS), as_of).withColumn("as_of", F.lit(as_of))
        run.replace(SELLER_GROUP, groups, f"as_of = '{as_of}'")
        run.facts = {"closed_through": str(last), "closed_from": str(closed + timedelta(days=1)) if closed else ""}
        run.facts["measures"] = json.dumps(measures.digests())
        run.figures = {"tiles": run.rows_written(SELLER_DAY), "buyer days": run.rows_written(SELLER_BUYER_DAY)}
        run.publish()
    figures = {name: int(value) for name, value in run.figures.items()}
    return Report("aggregate", {"closed through": last, **added, **figures}, lines=lines)


def _require_news(lake: Lake, through: date, *tables: DataFrame) -> None:
    """Raise UserError where nothing had arrived by the first day to be closed: it would close an empty history."""
    days = [rows.agg(F.min("arrival_day")).collect()[0][0] for rows in tables]
    first = min((day for day in days if day is not None), default=None)
    if first is None:
        raise UserError(
            f"{lake.root}: nothing has been taken in yet: to close its days now would make all of history news of"
            " the first day after. Run `seller-credit ingest` first"
        )
    if through < first:
        raise UserError(
            f"aggregate: --through {through} is before {first}, when the first news arrived: to close no history would"
            " make all that is yet to be taken in news of the day on which it is. Close a day that has some"
        )


def _add_pair_hashes(lake: Lake) -> dict[str, str]:
    """Add the numbers that pairs are looked up by to the pairs of a lake that was made without them."""
    if not lake.lacking_columns(SELLER_BUYER_DAY):
        return {}
    with lake.run("aggregate", "pairs' columns", {}, {}) as run:
        # only now: another run may have done it, and closed more, while this one waited
        closed, names = lake.closed_through(), lake.lacking_columns(SELLER_BUYER_DAY)
        if not names or closed is None:
            return {}
        rows = lake.read_version(SELLER_BUYER_DAY, lake.published_version(SELLER_BUYER_DAY) or 0)
        run.rewrite(SELLER_BUYER_DAY, by_arrival_month(rows.withColumns(pair_hashes()), "event_day", "seller_id"))
        run.facts = _closing_nothing(closed)
        run.publish()
    return {"pairs' columns added": ", ".join(names)}


def _add_measures(lake: Lake) -> dict[str, str]:
    """Add measures that are newer than the tiles to all that is closed; what the tiles hold stays as it is. Where
    measures sum something else by now, all tiles are made anew.
    """
    if not lake.lacking_columns(SELLER_DAY) and not _is_of_other_measures(lake):
        return {}
    with lake.run("aggregate", "measures", {}, {}) as run:
        closed, names, others = lake.closed_through(), lake.lacking_columns(SELLER_DAY), _is_of_other_measures(lake)
        if closed is None or not (names or others):
            return {}
        orders, payments, loans = (
            run.read(table).filter(F.col("arrival_day") <= F.lit(closed))
            for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS)
        )
        pairs = run.read(SELLER_BUYER_DAY)
        tiles = lake.read_version(SELLER_DAY, lake.published_version(SELLER_DAY) or 0)
        buyers = _of_buyers(buyer_changes(pairs, pairs.limit(0)), active_day_changes(pairs, tiles.limit(0)))
        rows = seller_days(orders, payments, loans, buyers)
        if not others:
            rows = tiles.join(rows.select(*KEY, *names), list(KEY), "left").na.fill(0, names)
        run.rewrite(SELLER_DAY, in_event_order(rows))
        run.facts = _closing_nothing(closed) | {"measures": json.dumps(measures.digests())}
        run.figures = {"tiles": run.rows_written(SELLER_DAY)}
        run.publish()
    return (
        {"tiles made anew": "by measures that sum something else now"}
        if others
        else {"measures added": ", ".join(names)}
    )


def _is_of_other_measures(lake: Lake) -> bool:
    """Whether a measure summed something else when the tiles were made; not known of tiles that do not tell."""
    told = [run.facts["measures"] for run in lake.runs() if run.step == "aggregate" and "measures" in run.facts]
    then, now = json.loads(told[-1]) if told else {}, measures.digests()
    return any(now.get(name, word) != word for name, word in then.items())


def _add_items(lake: Lake) -> dict[str, str]:
    """Add what was sold of each item to a lake whose days were closed without it."""
    if lake.closed_through() is None or lake.published_version(SELLER_ITEM_DAY) is not None:
        return {}
    with lake.run("aggregate", "items", {}, {}) as run:
        closed = lake.closed_through()
        if closed is None or lake.published_version(SELLER_ITEM_DAY) is not None:
            return {}
        orders = run.read(ORDER_EVENTS).filter(F.col("arrival_day") <= F.lit(closed))
        run.rewrite(SELLER_ITEM_DAY, by_arrival_month(item_days(orders), "event_day", "seller_id"))
        # the deliveries of then did not say that they tell of them
        told = sorted(TOLD_BY_FIELD)
        held = run.written(SELLER_ITEM_DAY).agg(*(F.count(name).alias(name) for name in told)).collect()[0]
        kinds = {"kinds_told": ",".join(f"order_event.{name}" for name in told if held[name])}
        run.facts = _closing_nothing(closed) | kinds
        run.publish()
    return {"items added": "of the closed days"}


def _closing_nothing(closed: date) -> dict[str, str]:
    """Facts of a run after which the same days are closed as before."""
    return {"closed_through": str(closed), "closed_from": str(closed + timedelta(days=1))}


def _of_buyers(changes: DataFrame, active: DataFrame) -> DataFrame:
    return changes.unionByName(active, allowMissingColumns=True).na.fill(0)


def _earlier_pairs(run: Run, pairs: DataFrame, closed: date | None) -> DataFrame:
    """What the lake knew of the news' buyers before: every row of the pairs that the news touches."""
    before = run.read(SELLER_BUYER_DAY)
    if closed is None:
        return before
    return of_pairs(before, _sent(run, pairs, *PAIR, "pair_hash", "pair_check"))


def _earlier_days(run: Run, pairs: DataFrame, closed: date | None) -> DataFrame:
    """The earlier tiles of the sellers and event days in the news."""
    before = run.read(SELLER_DAY)
    if closed is None:
        return before
    # by their days first: they are few, and files are skipped by them
    days = [row["event_day"] for row in pairs.select("event_day").distinct().collect()]
    of_days = before.filter(F.col("event_month").isin(sorted({f"{day:%Y-%m}" for day in days})))
    of_days = of_days.filter(F.col("event_day").isin(days))
    return of_days.join(_sent(run, pairs, "seller_id", "event_day"), ["seller_id", "event_day"], "left_semi")


def _sent(run: Run, pairs: DataFrame, *key: str) -> DataFrame:
    """The keys of the news: a day's are sent to every task, so that what they are looked up in stays where it is."""
    keys = pairs.select(*key).distinct()
    return F.broadcast(keys) if run.rows_written(SELLER_BUYER_DAY) <= MOST_BROADCAST_PAIRS else keys


def _compact(run: Run) -> None:
    """Put the small files of back-dated tiles together, month by month, once a month of events has many."""
    files = Counter(
        re.findall(r"is_back_dated=true/event_month=([\d-]+)/", "\n".join(run.written(SELLER_DAY).inputFiles()))
    )
    months = sorted(month for month, number in files.items() if number > MOST_FILES_A_MONTH)
    if months:
        run.compact(SELLER_DAY, f"is_back_dated and {in_clause('event_month', months)}", "event_day")


def _newest(*events: DataFrame) -> date | None:
    days = [rows.agg(F.max("arrival_day")).collect()[0][0] for rows in events]
    return max((day for day in days if day is not None), default=None)


def _of_days_in_the_news(payments: DataFrame, closed: date | None, last: date, few: bool) -> DataFrame:
    """News of payments, with what was known before of the same sellers and event days, as far as a feature looks back.

    Of an event day that was not over at the last closing all is news. The sellers and days of a `few` are sent to every
    task.
    """
    known = payments.filter(F.col("arrival_day") <= F.lit(last))
    if closed is None:
        return known
    oldest = closed - timedelta(days=LOOK_BACK_DAYS)
    news = _arrived(payments, closed, last).filter(F.col("event_day") >= F.lit(oldest))
    days = news.filter(F.col("event_day") <= F.lit(closed)).select("seller_id", "event_day").distinct()
    # a feed that is connected later may bring all of its history as one day's news
    days = F.broadcast(days) if few else days
    # nothing arrives before its event day
    reach = (F.col("arrival_month") >= F.lit(f"{oldest:%Y-%m}")) & (F.col("event_day") >= F.lit(oldest))
    before = known.filter(reach & (F.col("arrival_day") <= F.lit(closed)))
    return news.unionByName(before.join(days, ["seller_id", "event_day"], "left_semi"))


def _arrived(rows: DataFrame, closed: date | None, last: date) -> DataFrame:
    arrived = rows.filter(F.col("arrival_day") <= F.lit(last))
    if closed is None:
        return arrived
    arrived = arrived.filter(F.col("arrival_day") > F.lit(closed))
    if "arrival_month" in rows.columns:
        arrived = arrived.filter(F.col("arrival_month") >= F.lit(f"{closed:%Y-%m}"))
    return arrived


@step("aggregate", "seller-credit aggregate --through 2024-08-31")
@click.option(
    "--through",
    type=DAY,
    help="Last arrival day to close [default: the newest that ingest brought, yesterday at the latest].",
)
def command(invocation: Invocation, through: date | None) -> Report:
    """Close arrival days: sum what each brought into day tiles, buyers, items, payees, balances, loan book and groups.

    Only news is read. A closed day stays as it was; what comes later counts from the first open day on. So only days
    that are over are closed: yesterday's is the last.
    """
    today = invocation.today()
    if through is not None and through >= today:
        raise UserError(
            f"aggregate: --through {through} is not over, as today is {today}: a closed day stays closed, and what is"
            f" yet to arrive on it could not be added; close {today - timedelta(days=1)} at the latest"
        )
    return aggregate(invocation.lake(), through, today)


if __name__ == "__main__":
    sys.exit(run_command(command))
