import json
from dataclasses import replace
from datetime import date

import pytest

from conf.policy import load_policy
from jobs.pages.record import MonthOfSales, PastScore, Reason, credit_record, to_json
from transforms.lending.limit import TERMS


def test_points_that_do_not_add_up_are_refused(record):
    score = record().score
    with pytest.raises(ValueError, match="base and points make .* before clipping is"):
        record(score=replace(score, base_points=score.base_points + 0.02))
    record(score=replace(score, base_points=score.base_points + 0.005))


def test_a_shown_score_that_is_not_the_clipped_sum_is_refused(record, clipped_record):
    with pytest.raises(ValueError, match=r"shown is 949.0, the clipped sum is 950"):
        replace(clipped_record, score=replace(clipped_record.score, shown=949.0))


def test_everything_that_does_not_fit_is_named_at_once(record):
    with pytest.raises(ValueError, match="^credit record of 'shop-0042': ") as raised:
        record(outcome="not_enough_history", reasons=())
    for part in (
        "offer: there is one exactly when",
        "score: without enough history",
        "reasons: a refusal has at least one",
    ):
        assert part in str(raised.value)
    with pytest.raises(ValueError, match="'perhaps' is none of offer, decline"):
        record(outcome="perhaps")


@pytest.fixture
def rows(record):
    """The table rows that the record of the offer would be read from."""
    whole = record()
    offer, score = whole.offer, whole.score
    decision = {
        "seller_id": whole.seller_id,
        "as_of": whole.as_of,
        "outcome": "offer",
        "refused_by": None,
        "pd": score.pd,
        "score": score.shown,
        "grade": score.grade,
        "grade_by_model": score.grade_by_model,
        "previous_grade": None,
        "break_even_daily_rate": whole.break_even_daily_rate,
        "reasons": [{"code": "score", "family": "refunds", "feature": "refund_rate_90d", "points": -12.3}],
        "unknown": [],
        **{name: getattr(offer, name) for name in offer.__dataclass_fields__},
        **{term.column: {given.name: given.fen for given in whole.terms}[term.name] for term in TERMS},
    }
    scored = {
        "score_before_clipping": score.before_clipping,
        "base_points": score.base_points,
        "reference": score.reference,
        "points": {figure.feature.name: figure.points for figure in score.figures},
    }
    features = {figure.feature.name: figure.value for figure in score.figures} | dict(whole.facts)
    return {
        "decision": decision,
        "score": scored,
        "features": features,
        "catalogue": [figure.feature for figure in score.figures],
        "policy": load_policy("standard"),
        "months": whole.months,
        "history": whole.history,
        "lineage": whole.lineage,
        "is_simulated": False,
        "contact": whole.contact,
        "horizon_days": whole.horizon_days,
    }


def test_a_record_is_put_together_from_rows(record, rows):
    made, whole = credit_record(**rows), record()
    assert (made.offer, made.reasons, made.terms) == (whole.offer, whole.reasons, whole.terms)
    by_name = {figure.feature.name: figure for figure in whole.score.figures}
    assert {figure.feature.name: figure for figure in made.score.figures} == by_name
    assert made.facts["history_days"] == 800 and made.break_even_daily_rate == 0.000476


def test_a_score_of_before_does_not_tell_whom_it_compares_with(rows):
    made = credit_record(**{**rows, "score": rows["score"] | {"reference": None}})
    assert made.score.reference is None and json.loads(to_json(made))["score"]["reference"] is None


def test_without_enough_history_the_score_is_left_out_everywhere(rows):
    decision = rows["decision"] | {
        "outcome": "not_enough_history",
        "refused_by": "history",
        "reasons": [{"code": "history", "family": None, "feature": "history_days", "points": None}],
    }
    made = credit_record(**{**rows, "decision": decision})
    assert made.score is None and made.offer is None
    content = json.loads(to_json(made))
    assert content["score"] is None
    # the probability could be worked out from the one, the grade from the other
    assert content["break_even_daily_rate"] is None and content["limit_terms_fen"]["share_of_sales"] is None
    assert content["limit_terms_fen"]["smallest_blocks"] == 9_000_050


def test_points_of_an_unknown_feature_are_refused_by_name(rows):
    rows["score"]["points"]["shoe_size"] = 1.0
    with pytest.raises(ValueError, match="not in the catalogue: shoe_size"):
        credit_record(**rows)


def test_a_figure_that_is_nan_is_unknown(rows):
    rows["features"]["refund_rate_90d"] = float("nan")
    made = credit_record(**rows)
    values = {figure.feature.name: figure.value for figure in made.score.figures}
    assert values["refund_rate_90d"] is None
    assert "NaN" not in to_json(made)


def test_json_says_the_same_to_a_machine(record):
    content = json.loads(to_json(record()))
    assert content["offer"]["limit_fen"] == 5_000_000
    assert content["offer"]["expires_on"] == "2025-03-31"
    points = [figure["points"] for figure in content["score"]["figures"]]
    assert content["score"]["base_points"] + sum(points) == pytest.approx(content["score"]["before_clipping"])
    assert content["months"][0] == {"month": "2024-01-01", "fen": 9_731_000}
    assert content["policy"]["not_applicable"].keys() == load_policy("standard").not_applicable.keys()
    assert to_json(record()) == to_json(record())


def test_json_keeps_ids_as_data(record):
    odd = '<script>alert("1")</script>\n\u202e商店'
    assert json.loads(to_json(record(seller_id=odd)))["seller_id"] == odd


def test_a_refusal_keeps_its_reason_and_months_may_be_unknown(refused):
    made = refused("decline", "past_due", "past_due", months=(MonthOfSales(date(2025, 1, 1), None),), history=())
    content = json.loads(to_json(made))
    assert content["reasons"] == [{"code": "past_due", "family": None, "feature": None, "points": None}]
    assert (content["offer"], content["months"][0]["fen"], content["history"]) == (None, None, [])


def test_reasons_and_scores_are_plain_values():
    assert Reason("score", "refunds", None, None) == Reason("score", "refunds", None, None)
    assert PastScore(date(2025, 1, 1), 700.0, 5, "1") != PastScore(date(2025, 1, 1), 700.0, 4, "1")
