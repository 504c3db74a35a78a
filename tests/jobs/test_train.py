"""What a training tells of the set that it was made from."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from conf.errors import UserError
from conf.outcome import load_definition
from conf.policy import load_policy
from jobs import train as training
from jobs.lakehouse.command import Report
from jobs.lakehouse.lake import Lake, Published
from jobs.train import _facts, _newest_features, _request, _rival, funnel, train
from ml.fitting import Plan
from ml.pipeline import Boosting
from ml.registry import Loaded
from tests.jobs.test_promote import publish, trained
from transforms.features import catalogue
from transforms.tables.bronze import LOAN_EVENTS
from transforms.tables.gold import OUTCOMES
from transforms.tables.table import Table

PLAN = Plan(Boosting(trees=3, depth=2, least_rows_a_leaf=10), None, 5, 5)
POLICY = load_policy("standard")


def training_set(facts: dict[str, str]) -> Published:
    told = {"catalogue": catalogue.digest(), **facts}
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    return Published("set-1", 1, "training-set", "cohorts", "", noon, 1.0, None, (), told, {}, None)


@pytest.mark.parametrize("name", ["standard", "bad_60", "bad_30"])
def test_a_version_tells_by_which_outcome_definition_it_was_trained(name: str) -> None:
    definition = load_definition(name)
    facts = {"definition": f"{name} {definition.version}", "definition_as_json": definition.model_dump_json()}
    told = _facts(PLAN, training_set(facts), POLICY)["definition"]
    assert told == f"{name} {definition.version} {definition.digest()[:12]}"


def test_outcomes_that_a_source_gave_have_no_definition_but_that() -> None:
    given = training_set({"definition": "given by the source"})
    assert _facts(PLAN, given, POLICY)["definition"] == "given by the source"


@pytest.mark.parametrize(
    ("champions_day", "challengers_day", "compared_from", "told"),
    [
        ("2024-03-01", date(2024, 3, 1), date(2024, 3, 1), None),
        ("2024-03-01", date(2024, 6, 1), date(2024, 3, 1), None),
        ("2024-06-01", date(2024, 3, 1), date(2024, 6, 1), "by 2024-06-01: it is compared on cohorts from that day on"),
        ("2024-06-02", date(2024, 3, 1), None, "known by 2024-06-02, and no cohort is from that day on: it was not"),
        (None, date(2024, 3, 1), None, "was cross-validated on all rows of its set, and was not judged"),
        ("2024-03-01", None, None, "was not judged: no cohort of a cross-validated version is later"),
    ],
)
def test_the_champion_is_judged_on_no_row_that_it_trained_on_and_the_card_says_so(
    lake: Lake, champions_day: str | None, challengers_day: date | None, compared_from: date | None, told: str | None
) -> None:
    rows = lake.spark.sql("select explode(array(date'2024-03-01', date'2024-06-01')) as as_of")
    with lake.run("train", "small", {}, {"trained_on": champions_day}) as run:
        run.facts = {"model_name": lake.settings.mlflow.model, "model_version": "3"}
        run.publish()
    champion = Loaded(PipelineModel([]), "small", 3, "run", (), {})
    rival, lines = _rival(lake, champion, rows, replace(PLAN, trained_on=challengers_day), "standard 2")
    assert (rival.trained_on if rival else None) == compared_from
    assert [told in line and line.startswith("The champion, version 3,") for line in lines] == [True] * bool(told)


def test_the_funnel_counts_what_was_known_when_the_set_was_made(lake: Lake) -> None:
    kinds = {"kinds_told": "loan_event.applied", "told_on": "2024-01-01"}
    publish(lake, "ingest", "first", {}, kinds)
    publish(lake, "ingest", "later", {}, {"kinds_told": "loan_event.approved", "told_on": "2024-06-01"})
    definition = load_definition("standard")
    day, outcomes = date(2024, 2, 1), "seller_id string, as_of date, run_id string, outcome string, loans int"
    events = "seller_id string, kind string, event_day date, arrival_day date, sign int"
    made = {
        OUTCOMES.name: ([(seller, day, "set-1", "good", 1) for seller in ("a", "b", "c")], outcomes),
        LOAN_EVENTS.name: (
            [
                ("a", "applied", day, date(2024, 5, 31), 1),
                ("b", "applied", day, date(2024, 6, 1), 1),
                ("c", "approved", day, date(2024, 6, 1), 1),
            ],
            events,
        ),
    }

    def read(table: Table) -> DataFrame:
        return lake.spark.createDataFrame(*made[table.name])

    facts = {"definition_as_json": definition.model_dump_json()}
    asked, approved, drew = (f"{did} in the 90 days after" for did in ("asked for a loan", "were approved one", "drew"))
    then = dict(funnel(lake, read, training_set(facts | {"known_by": "2024-06-01"})))
    # of approvals nothing had been told
    assert (then[asked], then[drew]) == (1, 3) and approved not in then
    now = dict(funnel(lake, read, training_set(facts)))
    assert (now[asked], now[approved]) == (2, 1)


@pytest.mark.full  # half a minute: a real training
def test_the_same_is_trained_again_after_new_features_and_by_other_code(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lake.settings.mlflow
    publish(lake, "training-set", "made up", {}, {"sample": "origination", "catalogue": catalogue.digest()})
    by_this, before = {"catalogue": catalogue.digest()}, {"catalogue": "that of before"}
    publish(lake, "features", "as_of=2024-05-01", {}, by_this)
    trained(lake, 1, {})
    made_by = lake.last_run("training-set")
    assert made_by is not None
    asked = json.dumps(_request(made_by, PLAN, POLICY, "Wang Fang", _newest_features(lake)), sort_keys=True)
    version = {"model_name": settings.model, "model_version": "1", "mlflow_run": f"{1:032x}"}
    publish(lake, "train", settings.model, {}, version | {"request": asked})
    publish(lake, "promote", "champion", {}, version | {"kind": "promotion"})

    def again() -> Report:
        return train(lake, PLAN, "Wang Fang", POLICY)

    # of the set, which is empty, no second version can be made: this is how far it comes
    is_made_anew = pytest.raises(UserError, match="there is nothing to train on")
    assert "published already by" in again().values
    # neither of another catalogue nor of an earlier day: they are not what it is judged by
    publish(lake, "features", "as_of=2024-06-01", {}, before)
    publish(lake, "features", "as_of=2024-04-01", {}, by_this)
    assert "published already by" in again().values
    with monkeypatch.context() as upgraded, is_made_anew:
        upgraded.setattr(training, "code_version", lambda: "another")
        again()
    assert "published already by" in again().values
    publish(lake, "features", "as_of=2024-07-01", {}, by_this)
    with is_made_anew:
        again()
