"""Of which day a record is, and which of its days it shows."""

import json
from datetime import date
from typing import Any

import pytest

from conf.errors import UserError
from conf.policy import load_policy
from jobs.lakehouse.lake import Lake, schema_of
from jobs.pages.record import PastScore, to_json
from jobs.record import first_with, record
from jobs.train import funnel
from transforms.tables.gold import DECISIONS

POLICY = load_policy("standard")
OLD, NEW = date(2025, 2, 1), date(2025, 3, 1)


def decision(seller: str, outcome: str, **changes: Any) -> dict[str, Any]:
    """A refused seller's decision: grade 7 at a PD of 4 %."""
    return {
        "seller_id": seller,
        "decision_id": "0f" * 16,
        "outcome": outcome,
        "pd": 0.04,
        "score": 646.2,
        "grade": 7,
        "break_even_daily_rate": 0.00094,
        "knock_outs": [],
        "unknown": [],
        "limit_fen": 0,
        "drawable_fen": 0,
        "reasons": [("shop_closed", None, None, None)],
        "policy_name": POLICY.name,
        "policy_version": POLICY.version,
        "policy_digest": POLICY.digest(),
        "model_name": "seller-credit",
        "model_version": 3,
        "features_run_id": "features-000001-abcdef",
        "scores_run_id": "score-000002-abcdef",
        **changes,
    }


def decided(lake: Lake, day: date, *decisions: dict[str, Any]) -> None:
    """Publish the decisions of a day."""
    schema = schema_of(DECISIONS)
    with lake.run("decide", f"as_of={day}", {}, {}) as run:
        rows = [{"as_of": day, "run_id": run.run_id, **row} for row in decisions]
        table = lake.spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)
        run.append(DECISIONS, table.coalesce(1))
        run.facts = {"policy": "standard 1", "policy_as_json": POLICY.to_json()}
        run.publish()


@pytest.fixture
def decided_again(lake: Lake) -> Lake:
    """Two days of decisions, of which the older one was decided again after the newer one."""
    early, late = decision("shop-1", "not_enough_history"), decision("shop-1", "decline", score=650.4, grade=6)
    decided(lake, OLD, early)
    decided(lake, NEW, late, decision("shop-2", "decline", grade=None, score=None))
    decided(lake, OLD, early)
    return lake


def test_a_record_is_of_the_newest_day_also_after_an_older_one_was_decided_again(decided_again: Lake) -> None:
    lake = decided_again
    assert record(lake, "shop-1", None).as_of == NEW
    assert first_with(lake, "decline", None) == "shop-1"
    with pytest.raises(UserError, match=f"no decision as of {NEW} has the outcome not_enough_history"):
        first_with(lake, "not_enough_history", None)
    assert first_with(lake, "not_enough_history", OLD) == "shop-1"
    last = lake.last_run("decide")
    assert last is not None and last.as_of == OLD
    assert dict(funnel(lake, lake.read, last))[f"all sellers, decided on as of {NEW}"] == 2

    # of two runs of a day the later one counts, and of runs with other facts none
    older = lake.newest_run("decide", policy="standard 1")
    decided(lake, NEW, decision("shop-3", "decline"))
    newest = lake.newest_run("decide", policy="standard 1")
    assert older is not None and newest is not None and newest.sequence > older.sequence
    assert lake.newest_run("decide", policy="standard 2") is None and lake.newest_run("features") is None


def test_days_without_enough_history_show_neither_score_nor_grade(decided_again: Lake) -> None:
    assert record(decided_again, "shop-1", NEW).history == (PastScore(NEW, 650.4, 6, "3"),)
    content = to_json(record(decided_again, "shop-1", OLD))
    told = json.loads(content)
    assert (told["score"], told["history"], told["break_even_daily_rate"]) == (None, [], None)
    assert "646.2" not in content
