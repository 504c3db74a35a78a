"""One more day: ingest, aggregate, features, score, decide."""

import sys
from datetime import date, timedelta

import click

from conf.errors import UserError
from conf.policy import Policy, load_policy
from conf.source import Source, load_source
from jobs.aggregate import aggregate
from jobs.decide import decide
from jobs.features import features
from jobs.ingest import ingest
from jobs.lakehouse.champion import champion
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake
from jobs.score import score
from ml.registry import check


def daily(lake: Lake, as_of: date, source: Source, root: str, policy: Policy) -> Report:
    """Take in every new delivery of the days before `as_of`, close them, and decide every seller as of `as_of`.

    A delivery that comes after its day was closed is news of the first open day. What was not looked at is told.
    Each step publishes for itself and knows what it has done before: after a failure, or out of caution, the whole
    day is run again. Raises UserError, before anything is taken in, where no model was promoted or the registry is not
    to be reached.
    """
    # what the fourth step needs: to be told of after hours of the first three would be late
    champion(lake)
    check(lake.settings.mlflow.tracking_uri)
    day = as_of - timedelta(days=1)
    steps = (
        ingest(lake, source, root, day, as_of, as_of=as_of),
        aggregate(lake, day),
        features(lake, as_of),
        score(lake, as_of),
        decide(lake, as_of, policy),
    )
    values = {
        f"{done.title}: {label}": value for done in steps for label, value in done.values.items() if label != "as of"
    }
    lines = [f"{done.title}: {line}" for done in steps for line in done.lines]
    return Report("daily", {"as of": as_of, **values}, lines=lines)


@step("daily", "seller-credit daily --as-of 2024-09-02 --source marketplace --input demo/world/deliveries")
@click.option("--as-of", type=DAY, required=True, help="Features, scores and offers are made as of this day.")
@click.option(
    "--source", required=True, metavar="NAME_OR_FILE", help="Mapping that comes with the package, or a .yml file."
)
@click.option(
    "--input", "root", required=True, metavar="PATH", help="Folder with the deliveries; new ones are taken in."
)
@click.option(
    "--policy", default="standard", metavar="NAME_OR_FILE", help="Policy that comes with the package, or a .yml file."
)
def command(invocation: Invocation, as_of: date, source: str, root: str, policy: str) -> Report:
    """Do one day's work: take in what is new of the days before, close them, then features, scores and offers.

    The as-of day is today at the latest. A delivery whose name tells a day from the as-of day on (2024-09-02, 20240902,
    export_2024-09-02) waits for that day's work. One that comes late, after its day was closed, arrives on the first
    open day.
    """
    today = invocation.today()
    if as_of > today:
        raise UserError(
            f"daily: --as-of {as_of} has not come, as today is {today}: the day before it would be closed before it is"
            f" over, and a closed day stays closed; say {today} at the latest"
        )
    mapping, rules = load_source(source), load_policy(policy)
    return daily(invocation.lake(), as_of, mapping, root, rules)


if __name__ == "__main__":
    sys.exit(run_command(command))
