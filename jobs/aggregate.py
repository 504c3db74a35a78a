"""New bronze -> silver, an arrival day at a time: day tiles, buyers, payees, balances, loan book, groups."""

import sys
from datetime import date, timedelta

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, by_arrival_month
from transforms.features.states.balances import LOOK_BACK_DAYS
from transforms.groups.groups import seller_groups
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.silver import (
    LOAN_BOOK,
    SELLER_BALANCE,
    SELLER_BUYER_DAY,
    SELLER_DAY,
    SELLER_GROUP,
    SELLER_PAYEE_DAY,
)
from transforms.tiles.buyers import buyer_changes, pair_days
from transforms.tiles.days import active_day_changes, seller_days
from transforms.tiles.loans import loan_states
from transforms.tiles.payments import day_balances, payee_days


def aggregate(lake: Lake, through: date | None) -> Report:
    """Close the arrival days up to `through` (the newest in bronze where it is None) and add what they brought.

    What arrives later for a closed day gets the first open day: a closed slice never changes.
    """
    with lake.run("aggregate", "arrival days", {}, {"through": through}) as run:
        closed = lake.closed_through()
        orders, payments, loans = (run.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS))
        last = through or _newest(orders, payments, loans)
        if last is None or (closed is not None and last <= closed):
            return Report("aggregate", {"closed through": closed}, lines=["nothing new to close"])

        def news(events: DataFrame) -> DataFrame:
            return _arrived(events, closed, last)

        new_orders, new_loans = news(orders), news(loans)
        pairs = pair_days(new_orders)
        before = run.read(SELLER_BUYER_DAY)
        if closed is not None:
            # a day's pairs are few beside history, which is only looked up for them
            touched = pairs.select("seller_id", "buyer_id").distinct()
            earlier_pairs = before.join(touched, ["seller_id", "buyer_id"], "left_semi")
            days = pairs.select("seller_id", "event_day").distinct()
            earlier_days = before.join(F.broadcast(days), ["seller_id", "event_day"], "left_semi")
        else:
            earlier_pairs = earlier_days = before
        changes = buyer_changes(pairs, earlier_pairs)
        active = active_day_changes(pairs, earlier_days)
        tiles = seller_days(
            new_orders, news(payments), new_loans, changes.unionByName(active, allowMissingColumns=True).na.fill(0)
        )
        run.append(SELLER_DAY, by_arrival_month(tiles, "event_day", "seller_id"))
        run.append(SELLER_BUYER_DAY, by_arrival_month(pairs, "event_day", "seller_id"))
        known_loans = loans.filter(F.col("arrival_day") <= F.lit(last))
        touched_loans = known_loans.join(new_loans.select("loan_id").distinct(), "loan_id", "left_semi")
        run.append(LOAN_BOOK, _arrived(loan_states(touched_loans), closed, last).coalesce(1))
        run.append(SELLER_PAYEE_DAY, by_arrival_month(payee_days(news(payments)), "event_day", "seller_id"))
        balances = day_balances(_of_days_in_the_news(payments, closed, last))
        run.append(SELLER_BALANCE, by_arrival_month(_arrived(balances, closed, last), "event_day", "seller_id"))
        as_of = last + timedelta(days=1)
        groups = seller_groups(run.read(SELLERS), as_of).withColumn("as_of", F.lit(as_of))
        run.replace(SELLER_GROUP, groups, f"as_of = '{as_of}'")
        run.facts = {"closed_through": str(last), "closed_from": str(closed + timedelta(days=1)) if closed else ""}
        run.figures = {"tiles": run.rows_written(SELLER_DAY), "buyer days": run.rows_written(SELLER_BUYER_DAY)}
        run.publish()
    return Report("aggregate", {"closed through": last, **{name: int(value) for name, value in run.figures.items()}})


def _newest(*events: DataFrame) -> date | None:
    days = [rows.agg(F.max("arrival_day")).collect()[0][0] for rows in events]
    return max((day for day in days if day is not None), default=None)


def _of_days_in_the_news(payments: DataFrame, closed: date | None, last: date) -> DataFrame:
    """News of payments, with what was known before of the same sellers and event days, as far as a feature looks back.

    Of an event day that was not over at the last closing all is news.
    """
    known = payments.filter(F.col("arrival_day") <= F.lit(last))
    if closed is None:
        return known
    oldest = closed - timedelta(days=LOOK_BACK_DAYS)
    news = _arrived(payments, closed, last).filter(F.col("event_day") >= F.lit(oldest))
    days = news.filter(F.col("event_day") <= F.lit(closed)).select("seller_id", "event_day").distinct()
    # nothing arrives before its event day
    reach = (F.col("arrival_month") >= F.lit(f"{oldest:%Y-%m}")) & (F.col("event_day") >= F.lit(oldest))
    before = known.filter(reach & (F.col("arrival_day") <= F.lit(closed)))
    return news.unionByName(before.join(F.broadcast(days), ["seller_id", "event_day"], "left_semi"))


def _arrived(rows: DataFrame, closed: date | None, last: date) -> DataFrame:
    arrived = rows.filter(F.col("arrival_day") <= F.lit(last))
    if closed is None:
        return arrived
    arrived = arrived.filter(F.col("arrival_day") > F.lit(closed))
    if "arrival_month" in rows.columns:
        arrived = arrived.filter(F.col("arrival_month") >= F.lit(f"{closed:%Y-%m}"))
    return arrived


@step("aggregate", "seller-credit aggregate --through 2024-08-31")
@click.option("--through", type=DAY, help="Last arrival day to close [default: the newest that ingest brought].")
def command(invocation: Invocation, through: date | None) -> Report:
    """Close arrival days: sum what each brought into day tiles, buyers, payees, balances, loan book and groups.

    Only news is read. A closed day stays as it was; what comes later counts from the first open day on.
    """
    return aggregate(invocation.lake(), through)


if __name__ == "__main__":
    sys.exit(run_command(command))
