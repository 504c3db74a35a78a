"""The leak audit of a training set: its features know nothing of the future, its outcomes nothing of the past."""

import json
import sys
from collections.abc import Mapping
from datetime import date

import click
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure
from conf.outcome import definition_from_json
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake, Published, Run
from jobs.lakehouse.training_sets import training_set_of
from ml.single_features import MOST_AUC, single_feature_aucs
from transforms.features import catalogue
from transforms.features.catalogue import CATALOGUE, MODEL_INPUTS
from transforms.features.known import Bronze, features_by_rebuild
from transforms.groups.groups import seller_groups
from transforms.outcomes.cohorts import (
    BEHAVIOURAL,
    GIVEN,
    behavioural_outcomes,
    cohort_outcomes,
    given_outcomes,
    loan_outcomes,
)
from transforms.outcomes.leaks import moved_features, other_outcomes, poisoned, split_groups
from transforms.outcomes.past_due import loan_segments, with_arrears
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import OUTCOMES, TRAINING_SET
from transforms.windows.asked import EverySeller

CLEAN, LEAK = "clean", "leak"


def audit(lake: Lake, training_set: str, days: int) -> Report:
    """Audit a training set and publish what was found; raises StepFailure, once that is kept, where it leaks.

    Features of `days` of its as-of days are rebuilt from a ledger with a poisoned future; the rest is of all rows.
    """
    made_by = training_set_of(lake, training_set)
    identity = {"training_set": made_by.run_id, "days": days, "catalogue": catalogue.digest()}
    with lake.run("audit", made_by.run_id, identity, {"set": training_set, "days": days}) as run:
        published = run.already_published
        if published is not None:
            checks = [(row["check"], row["verdict"], row["found"]) for row in json.loads(published.facts["checks"])]
        else:
            rows = run.read(TRAINING_SET).filter(F.col("training_set") == made_by.run_id).persist()
            try:
                rows_by_day = _days_with_most_rows(rows, days)
                checks = [
                    _future(run, rows, rows_by_day),
                    _single(rows),
                    *_outcomes(run, rows, made_by),
                    _groups(run, rows, made_by),
                ]
            finally:
                rows.unpersist()
            run.figures = {
                "checks": len(checks),
                "leaks": sum(verdict == LEAK for _, verdict, _ in checks),
                "rows": made_by.figures["rows"],
                "days": len(rows_by_day),
            }
            told = [{"check": check, "verdict": verdict, "found": found} for check, verdict, found in checks]
            run.facts = {
                "training_set": made_by.run_id,
                "catalogue": catalogue.digest(),
                "checks": json.dumps(told),
            }
            run.publish()
    leaks = [f"{check}: {found}" for check, verdict, found in checks if verdict == LEAK]
    if leaks:
        raise StepFailure([f"audit: training set {made_by.run_id} leaks", *leaks])
    return Report(
        "audit",
        {"training set": made_by.run_id, **({"published already by": published.run_id} if published else {})},
        (("check", "verdict", "found"), list(checks)),
    )


def _days_with_most_rows(rows: DataFrame, days: int) -> dict[date, int]:
    """As-of days, and the rows of each."""
    by_day = rows.groupBy("as_of").count().orderBy(F.desc("count"), F.desc("as_of")).limit(days)
    return {row["as_of"]: row["count"] for row in by_day.collect()}


def _future(run: Run, rows: DataFrame, rows_by_day: Mapping[date, int]) -> tuple[str, str, str]:
    """Whether any feature moves when what came on the as-of day or later is poisoned."""
    bronze = Bronze(*(run.read(table) for table in (ORDER_EVENTS, PAYMENT_EVENTS, LOAN_EVENTS, SELLERS)))
    features = [feature.name for feature in CATALOGUE]
    moved: dict[str, int] = {}
    for day in sorted(rows_by_day):
        of_day = rows.filter(F.col("as_of") == F.lit(day))
        labels = of_day.select("seller_id", "as_of")
        rebuilt = features_by_rebuild(poisoned(bronze, day), labels, EverySeller(day), run.lake.kinds_told())
        found = moved_features(of_day, rebuilt, features).collect()[0].asDict()
        moved = {name: moved.get(name, 0) + many for name, many in found.items()}
    told = [f"{name} in {many} rows" for name, many in moved.items() if many]
    looked_at = f"{sum(rows_by_day.values()):,} rows of {len(rows_by_day)} as-of days, {len(features)} features"
    return "future events", LEAK if told else CLEAN, f"moved: {', '.join(told)}" if told else looked_at


def _single(rows: DataFrame) -> tuple[str, str, str]:
    """Whether one feature alone tells the outcome better than anything honest can."""
    aucs = single_feature_aucs(rows.filter(~F.col("indeterminate")), MODEL_INPUTS)
    told = [f"{name} {value:.3f}" for name, value in aucs if value > MOST_AUC]
    if told:
        return "single features", LEAK, f"AUC above {MOST_AUC}: {', '.join(told)}"
    highest = f"highest AUC {aucs[0][1]:.3f}, {aucs[0][0]}" if aucs else "bads or goods are too few to tell"
    return "single features", CLEAN, highest


def _outcomes(run: Run, rows: DataFrame, made_by: Published) -> list[tuple[str, str, str]]:
    """Whether outcomes were known by the as-of day, are not those that the loans give, or are left out."""
    found = other_outcomes(rows, _outcomes_again(run, rows, made_by)).collect()[0]
    inside = f"{found['inside']:,} rows whose outcome was known by their as-of day"
    other = (
        f"{found['other']:,} rows whose outcome, or the day on which it was known, is not what the loans give;"
        f" {found['missing']:,} known outcomes without a row"
    )
    return [
        ("outcomes in the history", LEAK if found["inside"] else CLEAN, inside),
        ("outcomes by the loans", LEAK if found["other"] or found["missing"] else CLEAN, other),
    ]


def _outcomes_again(run: Run, rows: DataFrame, made_by: Published) -> DataFrame:
    sample = made_by.facts["sample"]
    known_by = date.fromisoformat(made_by.facts["known_by"])
    if sample == GIVEN:
        return given_outcomes(run.read(LOAN_EVENTS), known_by)
    definition = definition_from_json(made_by.facts["definition_as_json"])
    arrears = with_arrears(loan_segments(run.read(LOAN_EVENTS), known_by), definition)
    # who was asked about, also where no row came of it
    asked = run.read(OUTCOMES).filter(F.col("run_id") == made_by.run_id)
    labels = rows.select("seller_id", "as_of").union(asked.select("seller_id", "as_of")).distinct()
    if sample == BEHAVIOURAL:
        return behavioural_outcomes(arrears, labels, definition, known_by)
    return cohort_outcomes(loan_outcomes(arrears, definition, known_by), labels, definition, known_by)


def _groups(run: Run, rows: DataFrame, made_by: Published) -> tuple[str, str, str]:
    """Whether a split by group would keep every connected group on one side."""
    groups = seller_groups(run.read(SELLERS), date.fromisoformat(made_by.facts["known_by"]))
    found = split_groups(rows, groups).collect()[0]
    told = f"{found['sellers']:,} sellers in several groups, {found['groups']:,} connected groups in several parts"
    return "connected groups", LEAK if found["sellers"] or found["groups"] else CLEAN, told


@step("audit", "seller-credit audit newest")
@click.argument("training_set", metavar="SET|newest")
@click.option("--days", type=click.IntRange(1, 1000), default=1, help="As-of days to rebuild, those with most rows.")
def command(invocation: Invocation, training_set: str, days: int) -> Report:
    """Look for leaks in a training set: a feature that knows the future, an outcome that was known already.

    Every amount of what happened or arrived on an as-of day or later is multiplied by 1000 and comes twice, and the
    features are built anew from that: none may move. A set that leaks cannot make a champion, whatever a smaller audit
    of it says.
    """
    return audit(invocation.lake(), training_set, days)


if __name__ == "__main__":
    sys.exit(run_command(command))
