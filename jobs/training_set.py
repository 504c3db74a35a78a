"""Outcomes and features as known then -> gold.training_set."""

import json
import sys
from datetime import date
from typing import Any

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.outcome import OutcomeDefinition, load_definition
from jobs.lakehouse.command import MONTH, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Run
from transforms.features import catalogue
from transforms.features.known import SILVER, Silver, features_by_sweep, known_sellers
from transforms.groups.groups import seller_groups
from transforms.outcomes.cohorts import (
    BEHAVIOURAL,
    BUCKETS,
    GIVEN,
    ORIGINATION,
    behavioural_outcomes,
    cohort_outcomes,
    given_outcomes,
    loan_outcomes,
    roll_rates,
    with_approvals,
)
from transforms.outcomes.past_due import loan_segments, with_arrears
from transforms.tables.bronze import LOAN_EVENTS
from transforms.tables.gold import OUTCOMES, TRAINING_SET
from transforms.windows.asked import Chosen


def cohorts_between(first_month: date, last_month: date) -> list[date]:
    """As-of days of the month-end cohorts: the day after each month's last, from one month to another."""
    days, month = [], first_month
    while month <= last_month:
        month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        days.append(month)
    return days


def training_set_by_cohorts(
    lake: Lake, first_month: date, last_month: date, definition: OutcomeDefinition, sample: str = ORIGINATION
) -> Report:
    """Publish outcomes and a training set of every month-end cohort from one month to another."""
    if first_month > last_month:
        raise UserError(f"--from {first_month:%Y-%m} is after --to {last_month:%Y-%m}")
    days = cohorts_between(first_month, last_month)
    lake.require_closed(days[-1])
    lake.require_as_published(*SILVER, LOAN_EVENTS)
    known_by = _day_after_closed(lake)
    name = f"{sample} cohorts {first_month:%Y-%m} to {last_month:%Y-%m}"
    identity = {**_identity(lake), "known_by": known_by, "definition": definition.digest()}
    arguments = {"from": first_month, "to": last_month, "sample": sample, "definition": definition.name}
    with lake.run("training-set", name, identity, arguments) as run:
        if run.already_published is not None:
            return _published_before(run)
        silver = _silver(run)
        as_of_days = lake.spark.createDataFrame([(day,) for day in days], "as_of date")
        labels = known_sellers(silver.sellers, silver.tiles, Chosen(as_of_days))
        arrears = with_arrears(loan_segments(run.read(LOAN_EVENTS), known_by), definition)
        # the loans' stretches are few beside the ledger, and are read by each of the steps below
        arrears = arrears.persist()
        try:
            if sample == BEHAVIOURAL:
                outcomes = behavioural_outcomes(arrears, labels, definition, known_by)
            else:
                loans = with_approvals(loan_outcomes(arrears, definition, known_by), run.read(LOAN_EVENTS), known_by)
                outcomes = cohort_outcomes(loans, labels, definition, known_by)
            _write_outcomes(run, outcomes, sample)
            rolled = roll_rates(arrears, as_of_days).collect()
        finally:
            arrears.unpersist()
        written = run.written(OUTCOMES).filter(F.col("run_id") == run.run_id)
        known = written.filter(F.col("outcome") != "unknown")
        if known.isEmpty():
            raise UserError(_nothing_known(written, days, known_by))
        run.facts = {"sample": sample, "definition": f"{definition.name} {definition.version}"}
        header, rows = _roll_rates({(row["before"], row["after"]): row["loans"] for row in rolled})
        run.facts |= {"definition_as_json": definition.model_dump_json(), "roll_rates": json.dumps([header, *rows])}
        told = _write_set(run, known, silver, known_by, days[0])
        told.values["cohorts without a known outcome"] = len(days) - told.values["cohorts"]
        told.table = (header, rows)
        return told


def _nothing_known(outcomes: DataFrame, days: list[date], known_by: date) -> str:
    """Why no outcome of any cohort is known."""
    by_reason = outcomes.groupBy("why").count().orderBy(F.desc("count"), "why").collect()
    reasons = "; ".join(f"{row['why']}: {row['count']:,}" for row in by_reason) or "no seller is known then"
    return (
        f"training-set: by {known_by} no outcome of the cohorts {days[0]} to {days[-1]} is known. Seller-months by"
        f" reason: {reasons}. Want earlier cohorts, or a ledger with more loans"
    )


def _roll_rates(loans: dict[tuple[str, str], int]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """A table of where loans were a month later, by where they had been."""
    rows: list[tuple[Any, ...]] = []
    for before in BUCKETS[:-2]:
        total = sum(many for (was, _), many in loans.items() if was == before)
        if total:
            rows.append((before, total, *(f"{loans.get((before, after), 0) / total:.1%}" for after in BUCKETS)))
    return ("days past due", "loans", *(f"then {bucket}" for bucket in BUCKETS)), rows


def _write_outcomes(run: Run, outcomes: DataFrame, sample: str) -> None:
    told = outcomes.withColumns({"run_id": F.lit(run.run_id), "sample": F.lit(sample)})
    run.replace(OUTCOMES, told.hint("rebalance"), f"run_id = '{run.run_id}'")


def training_set_as_given(lake: Lake) -> Report:
    """Publish one row for each outcome that a source gave, each seller as of the day on which it was asked."""
    known_by = _day_after_closed(lake)
    lake.require_as_published(*SILVER, LOAN_EVENTS)
    with lake.run("training-set", GIVEN, {**_identity(lake), "known_by": known_by}, {"given": True}) as run:
        if run.already_published is not None:
            return _published_before(run)
        outcomes = given_outcomes(run.read(LOAN_EVENTS), known_by)
        _write_outcomes(run, outcomes, GIVEN)
        run.facts = {"sample": GIVEN, "definition": "given by the source"}
        written = run.written(OUTCOMES).filter(F.col("run_id") == run.run_id)
        return _write_set(run, written, _silver(run), known_by, None)


def _silver(run: Run) -> Silver:
    return Silver(*map(run.read, SILVER))


def _write_set(run: Run, outcomes: DataFrame, silver: Silver, known_by: date, first: date | None) -> Report:
    # as connected today: groups only grow, so that whoever was connected at any cohort's day is on one side of a split
    groups = seller_groups(silver.sellers, known_by).select("seller_id", F.col("group_id").alias("connected"))
    labels = outcomes.select("seller_id", "as_of")
    known = features_by_sweep(silver, labels, Chosen(labels), run.lake.kinds_told(), first)
    # a seller without a profile is a group of its own
    connected = outcomes.join(groups, "seller_id", "left").withColumn("group_id", F.coalesce("connected", "seller_id"))
    rows = connected.select(
        F.lit(run.run_id).alias("training_set"),
        "seller_id",
        "as_of",
        "group_id",
        (F.col("outcome") == "bad").cast("int").alias("bad"),
        (F.col("outcome") == "indeterminate").alias("indeterminate"),
        "known_on",
        "approval_probability",
    ).join(known, ["seller_id", "as_of"])
    run.replace(TRAINING_SET, rows.hint("rebalance"), f"training_set = '{run.run_id}'")
    written = run.written(TRAINING_SET).filter(F.col("training_set") == run.run_id)
    summary = written.agg(
        F.sum("bad").alias("bad"),
        F.sum(F.col("indeterminate").cast("int")).alias("indeterminate"),
        F.countDistinct("seller_id").alias("sellers"),
        F.countDistinct("group_id").alias("groups"),
        F.countDistinct("as_of").alias("cohorts"),
    ).collect()[0]
    run.figures = {
        "rows": run.rows_written(TRAINING_SET),
        **{name: summary[name] or 0 for name in ("sellers", "groups", "cohorts", "bad", "indeterminate")},
    }
    run.facts |= {"training_set": run.run_id, "catalogue": catalogue.digest(), "known_by": str(known_by)}
    run.publish()
    counts: dict[str, Any] = {name: int(value) for name, value in run.figures.items()}
    return Report("training-set", {"training set": run.run_id, **counts})


def _identity(lake: Lake) -> dict[str, Any]:
    columns = [*OUTCOMES.names, *TRAINING_SET.names]
    return {"catalogue": catalogue.digest(), "kinds_told": lake.kinds_told(), "columns": columns}


def _day_after_closed(lake: Lake) -> date:
    closed = lake.closed_through()
    if closed is None:
        raise UserError("no arrival day is closed yet. Run `seller-credit aggregate` first.")
    day = date.fromordinal(closed.toordinal() + 1)
    lake.require_closed(day)
    return day


def _published_before(run: Run) -> Report:
    published = run.already_published
    return Report("training-set", {"published already by": published.run_id if published else None})


@step("training-set", "seller-credit training-set --from 2021-08 --to 2023-11")
@click.option("--from", "first_month", type=MONTH, help="First cohort: the sellers known at this month's end.")
@click.option("--to", "last_month", type=MONTH, help="Last cohort.")
@click.option(
    "--sample",
    type=click.Choice([ORIGINATION, BEHAVIOURAL]),
    default=ORIGINATION,
    help="Loans drawn in the 90 days after, or what is in the book then.",
)
@click.option("--definition", default="standard", metavar="NAME_OR_FILE", help="When a loan is bad.")
@click.option("--given", is_flag=True, help="One row for each outcome that a source gave, as of its own day.")
def command(
    invocation: Invocation,
    first_month: date | None,
    last_month: date | None,
    sample: str,
    definition: str,
    given: bool,
) -> Report:
    """Put labelled sellers together with their features as known then.

    A cohort is the sellers known at a month's end; its outcome is what became of the loans drawn in the 90 days from
    the next day on, each followed until 90 days after its last instalment. Without a draw there is no outcome, nor
    before the cohort's loans are followed: those that ended first are not like the others.
    """
    if given == (first_month is not None or last_month is not None) or (first_month is None) != (last_month is None):
        raise UserError("training-set: want either --given, or both --from and --to (months, as 2023-11)")
    if first_month is None or last_month is None:
        return training_set_as_given(invocation.lake())
    for month, option in ((first_month, "--from"), (last_month, "--to")):
        as_of = cohorts_between(month, month)[0]
        invocation.require_come(f"training-set: {option} {month:%Y-%m}: its as-of day, {as_of},", as_of)
    rules = load_definition(definition)
    return training_set_by_cohorts(invocation.lake(), first_month, last_month, rules, sample)


if __name__ == "__main__":
    sys.exit(run_command(command))
