"""What a training tells of the set that it was made from."""

from datetime import UTC, datetime

import pytest

from conf.outcome import load_definition
from conf.policy import load_policy
from jobs.lakehouse.lake import Published
from jobs.train import _facts
from ml.fitting import Plan
from ml.pipeline import Boosting

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
