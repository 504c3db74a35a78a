"""One seller's credit record: a page for the seller, from gold.decisions, gold.scores and gold.seller_features."""

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.policy import Policy
from jobs.lakehouse.champion import draw_days_of
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.decided import decision_of, model_of, of_slice, require_policy_of
from jobs.lakehouse.lake import Lake, Published
from jobs.pages.html import to_html
from jobs.pages.record import CreditRecord, MonthOfSales, PastScore, credit_record, to_json
from jobs.pages.text import to_text
from transforms.features.catalogue import CATALOGUE
from transforms.lending.decide import NOT_ENOUGH_HISTORY, OUTCOMES
from transforms.tables.gold import DECISIONS, SCORES, SELLER_FEATURES
from transforms.tables.measures import MEASURES
from transforms.tables.silver import SELLER_DAY

MONTHS_SHOWN = 24
SCORES_SHOWN = 24
DECIDE_FIRST = "Run `seller-credit decide --as-of DAY` first."
WRITERS = {"text": to_text, "html": to_html, "json": to_json}


def record(lake: Lake, seller: str, as_of: date | None) -> CreditRecord:
    """Read one seller's record: as of the newest day decided, or of one day, told by the policy that decided.

    A few rows by key. Raises UserError where there is no such decision.
    """
    decided_by = lake.require_run("decide", f"as_of={as_of}" if as_of else None, DECIDE_FIRST)
    decision = _row(lake.read(DECISIONS), seller, decided_by.as_of, decided_by.run_id)
    if decision is None:
        raise UserError(f"{seller}: no seller of this id was decided on as of {decided_by.as_of}")
    return record_of(lake, decided_by, decision)


def record_of(lake: Lake, decided_by: Published, decision: Mapping[str, Any]) -> CreditRecord:
    """The record that goes with one decision, also one that another has followed."""
    policy = require_policy_of(decided_by)
    seller, day = decision["seller_id"], decided_by.as_of
    score = _row(lake.read(SCORES), seller, day, decision["scores_run_id"])
    features = _row(lake.read(SELLER_FEATURES), seller, day, decision["features_run_id"])
    return credit_record(
        decision,
        score,
        features or {},
        CATALOGUE,
        policy,
        _months(lake, seller, day),
        _history(lake, seller, decided_by),
        {
            "decision": decision["decision_id"],
            "decided by": decision["run_id"],
            "scored by": decision["scores_run_id"],
            "features by": decision["features_run_id"],
            "model": f"{decision['model_name']} {decision['model_version']}",
        },
        lake.is_simulated(),
        lake.settings.record.contact,
        _horizon_days(lake, decided_by, policy),
    )


def _horizon_days(lake: Lake, decided_by: Published, policy: Policy) -> int | None:
    """Days of draws that the probability is about; None where it is of outcomes that a source gave."""
    told = draw_days_of(lake, model_of(lake, decided_by))
    if told is None:
        return policy.price.horizon_days
    return int(told) if told else None


def first_with(lake: Lake, outcome: str, as_of: date | None) -> str:
    """The first seller, by id, who has this outcome on the newest day decided, or on one day; UserError without any."""
    decided_by = lake.require_run("decide", f"as_of={as_of}" if as_of else None, DECIDE_FIRST)
    of_run = lake.read(DECISIONS).filter(
        (F.col("as_of") == F.lit(decided_by.as_of)) & (F.col("run_id") == decided_by.run_id)
    )
    found = of_run.filter(F.col("outcome") == outcome).agg(F.min("seller_id")).collect()[0][0]
    if found is None:
        raise UserError(f"no decision as of {decided_by.as_of} has the outcome {outcome}")
    return str(found)


def _row(table: DataFrame, seller: str, day: date, run_id: str) -> dict[str, Any] | None:
    found = of_slice(table, seller, day, run_id).limit(1).collect()
    return found[0].asDict(recursive=True) if found else None


def _months(lake: Lake, seller: str, day: date) -> list[MonthOfSales]:
    """Net sales of the last whole calendar months as known then; none where no source tells of sales."""
    if not set(MEASURES["net_sales_fen"].needs) <= set(lake.kinds_told_before(day)):
        return []
    last = day.replace(day=1)
    first = date(last.year - MONTHS_SHOWN // 12, last.month, 1)
    known = (F.col("arrival_day") < F.lit(day)) & (F.col("event_day") < F.lit(last))
    rows = (
        lake.read(SELLER_DAY)
        .filter((F.col("seller_id") == seller) & known)
        .groupBy(F.trunc("event_day", "month").alias("month"))
        .agg(F.sum("net_sales_fen").alias("fen"))
        .orderBy("month")
        .collect()
    )
    # a month between the first sale and today without a tile is one in which nothing was sold
    sold = {row["month"]: int(row["fen"]) for row in rows}
    if not sold:
        return []
    begin = max(first, min(sold))
    count = (last.year - begin.year) * 12 + last.month - begin.month
    months = [date(begin.year + (begin.month - 1 + n) // 12, (begin.month - 1 + n) % 12 + 1, 1) for n in range(count)]
    return [MonthOfSales(month, sold.get(month, 0)) for month in months]


def _history(lake: Lake, seller: str, shown: Published) -> list[PastScore]:
    """The scores that the seller was shown up to a decision: none of a day on which there was not enough history for
    one.
    """
    decided = [run for run in lake.runs() if run.step == "decide" and run.as_of < shown.as_of]
    decided = [*_newest_by_day(decided), shown][-SCORES_SHOWN:]
    is_of_runs = F.col("as_of").isin([run.as_of for run in decided]) & F.col("run_id").isin(
        [run.run_id for run in decided]
    )
    rows = (
        lake.read(DECISIONS)
        .filter(is_of_runs & (F.col("seller_id") == seller) & F.col("grade").isNotNull())
        .filter(F.col("outcome") != NOT_ENOUGH_HISTORY)
        .select("as_of", "score", "grade", "model_version")
        .orderBy("as_of")
        .collect()
    )
    return [PastScore(row["as_of"], row["score"], row["grade"], str(row["model_version"])) for row in rows]


def _newest_by_day(runs: Sequence[Published]) -> list[Published]:
    by_day = {run.as_of: run for run in runs}
    return [by_day[day] for day in sorted(by_day)]


@step("record", "seller-credit record S000123 --format html --out demo/records/S000123.html")
@click.argument("seller", required=False)
@click.option("--first-with", "outcome", type=click.Choice(OUTCOMES), help="No seller of your own: the first with it.")
@click.option("--decision", metavar="ID", help="The record of one decision, also of one that another has followed.")
@click.option("--as-of", type=DAY, help="Decision of this day [default: the newest; of a decision's id: any].")
@click.option("--format", "form", type=click.Choice(sorted(WRITERS)), default="text", help="What is written.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file, not to the console.")
def command(
    invocation: Invocation,
    seller: str | None,
    outcome: str | None,
    decision: str | None,
    as_of: date | None,
    form: str,
    out: Path | None,
) -> Report:
    """Write one seller's credit record: score, what helped and hurt, the offer and its cost, or why there is none."""
    if sum(told is not None for told in (seller, outcome, decision)) != 1:
        raise UserError("record: want one of a seller's id, --first-with OUTCOME and --decision ID")
    lake = invocation.lake()
    if decision is not None:
        found = record_of(lake, *decision_of(lake, decision, as_of))
    else:
        found = record(lake, seller or first_with(lake, str(outcome), as_of), as_of)
    page = WRITERS[form](found)
    if out is None:
        return Report("record", lines=[page])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page if page.endswith("\n") else page + "\n", "utf-8")
    return Report("record", {"seller": found.seller_id, "written to": str(out)})


if __name__ == "__main__":
    sys.exit(run_command(command))
