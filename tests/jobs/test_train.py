"""What a training tells of the set that it was made from."""

import json
from datetime import UTC, datetime

import pytest

from conf.errors import UserError
from conf.outcome import load_definition
from conf.policy import load_policy
from jobs import train as training
from jobs.lakehouse.command import Report
from jobs.lakehouse.lake import Lake, Published
from jobs.train import _facts, _newest_features, _request, train
from ml.fitting import Plan
from ml.pipeline import Boosting
from tests.jobs.test_promote import publish, trained
from transforms.features import catalogue

PLAN = Plan(Boosting(trees=3, depth=2, least_rows_a_leaf=10), None, 5, 5)
POLICY = load_policy("standard")


def training_set(facts: dict[str, str]) -> Published:
    told = {"catalogue": "c" * 64, **facts}
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


def test_the_same_is_trained_again_after_new_features_and_by_other_code(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = lake.settings.mlflow
    publish(lake, "training-set", "made up", {}, {"sample": "origination"})
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
