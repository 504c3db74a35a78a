"""Tests of predicted against observed, shift, impact and directions, beside figures made by hand."""

import math
import random
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import SparkSession

from ml.agreement import Agreement, Approved, approval_rates, holm, impact_ratio, jeffreys
from ml.directions import Direction, directions
from ml.evaluate import BLOCKS, Counts, difference_of_auc, evaluate
from ml.findings import Findings, Sample, figures_of
from ml.gates import gates
from ml.stability import ALARM, alarm_above, psi, shifts
from transforms.lending.scale import POINTS_PER_LOG_ODDS


def test_jeffreys_is_the_tail_of_the_posterior_by_plain_integration() -> None:
    bads, rows, pd = 7, 150, 0.025
    grid = (np.arange(200_000) + 0.5) / 200_000
    density = grid ** (bads - 0.5) * (1 - grid) ** (rows - bads - 0.5)
    below = density[grid < pd].sum() / density.sum()
    assert jeffreys(bads, rows, pd) == pytest.approx(2 * min(below, 1 - below), abs=1e-4)
    assert jeffreys(4, 150, 0.027) > 0.5 and jeffreys(30, 150, 0.027) < 1e-6


def test_holm_never_shrinks_a_p_and_keeps_the_order() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_psi_by_hand_and_its_alarm_for_small_samples() -> None:
    before, now = np.array([50.0, 50, 0]), np.array([80.0, 20, 0])
    assert psi(before, before) == 0
    assert psi(before, now) == pytest.approx(0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5))
    assert alarm_above(before * 1000, now * 1000) == ALARM
    assert alarm_above(before / 10, now / 10) == pytest.approx(3.841 * 0.2, abs=1e-3)


def test_shift_is_found_in_the_feature_that_shifted_and_in_what_became_unknown(spark: SparkSession) -> None:
    chance = random.Random(6)
    rows = []
    for number in range(1200):
        sample = "training" if number % 2 else "newest"
        moved = chance.gauss(0 if sample == "training" else 1, 1)
        gone = None if sample == "newest" and chance.random() < 0.5 else chance.random()
        rows.append((f"s{number}", date(2024, 1, 1), sample, moved, chance.random(), gone))
    schema = "seller_id string, as_of date, sample string, moved double, same double, gone double"
    table = spark.createDataFrame(rows, schema).coalesce(1)
    found = {shift.feature: shift for shift in shifts(table, ("moved", "same", "gone"), "training")}
    assert found["moved"].is_alarm and found["gone"].is_alarm and not found["same"].is_alarm
    assert found["gone"].unknown_before == 0 and found["gone"].unknown_now == pytest.approx(0.5, abs=0.06)


def test_two_models_on_the_same_rows_are_compared_group_by_group() -> None:
    chance = np.random.default_rng(3)
    good, bad = np.zeros((BLOCKS, 20)), np.zeros((BLOCKS, 20))
    for block in range(BLOCKS):
        good[block] += chance.multinomial(20, np.full(20, 0.05))
        bad[block] += chance.multinomial(3, np.arange(20) / 190)
    ours = Counts(np.arange(20.0), good, bad, 200)
    same = difference_of_auc(ours, ours)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    theirs = Counts(np.arange(20.0), good[:, ::-1], bad[:, ::-1], 200)
    worse = difference_of_auc(theirs, ours)
    assert worse.high < 0 and worse.low < worse.value < worse.high


def agreement(value: str, rows: int, approved: float) -> Agreement:
    return Agreement("region", value, rows, 1, 1, 0.01, 1.0, 1.0, math.nan, approved)


def test_impact_is_of_groups_that_are_large_enough() -> None:
    found = [agreement("a", 500, 0.8), agreement("b", 400, 0.5), agreement("c", 20, 0.1)]
    assert approval_rates(found, "region", 100) == [0.8, 0.5] and approval_rates(found, "owner_type", 100) == []
    assert impact_ratio([0.8, 0.5]) == pytest.approx(0.625)
    assert impact_ratio([0.8]) is None and impact_ratio([]) is None and impact_ratio([0.0, 0.0]) is None


@pytest.mark.parametrize(
    ("by_region", "by_owner_type", "verdict", "told"),
    [
        ((0.8, 0.72), (0.6, 0.6), "pass", "by region 0.90, by owner type 1.00; wants 0.8"),
        ((0.8, 0.72), (0.6,), "pass", "wants 0.8; by owner type not measured: fewer than two groups of 100 and more"),
        ((0.8, 0.3), (0.6,), "fail", "wants 0.8; by owner type not measured: fewer than two groups of 100 and more"),
        ((0.8, 0.72), (0.0, 0.0), "insufficient evidence", "; by owner type not measured: nobody is approved in any"),
        ((0.0, 0.0), (0.0,), "insufficient evidence", "by region not measured: nobody is approved in any group of 100"),
        ((), (0.5,), "insufficient evidence", "by region not measured: fewer than two groups of 100 and more; by"),
    ],
)
def test_an_attribute_whose_impact_cannot_be_measured_is_named_with_why(
    by_region: tuple[float, ...], by_owner_type: tuple[float, ...], verdict: str, told: str
) -> None:
    day = date(2024, 1, 1)
    approved = tuple(
        Approved(attribute, str(place), day, 100, rate)
        for attribute, rates in (("region", by_region), ("owner_type", by_owner_type))
        for place, rate in enumerate(rates)
    )
    gate = next(gate for gate in gates(figures_of(found_of(approved), None)) if gate.gate == "adverse-impact")
    assert gate.verdict == verdict and told in gate.evidence, gate.evidence
    assert ("of all sellers" in gate.evidence) == ("wants" in gate.evidence)


def test_one_region_or_none_that_is_known_says_nothing_of_regions() -> None:
    for values, many in ((("unknown",), None), (("a", "unknown"), None), (("a", "b", "unknown"), 2)):
        found = replace(found_of(()), agreements=tuple(agreement(value, 500, 0.5) for value in values))
        assert figures_of(found, None).get("region_tests") == many, values


def found_of(approved: tuple[Approved, ...]) -> Findings:
    """Findings of a version of which nothing but this is known."""
    nothing = Counts(np.zeros(1), np.ones((BLOCKS, 1)), np.ones((BLOCKS, 1)), 0)
    sample = Sample("", "", nothing, evaluate(nothing), None)
    return Findings(
        samples=(sample, sample),
        fold_aucs=(),
        repeat_aucs=(),
        agreements=(),
        approved=approved,
        shifts=(),
        directions=(),
        unswept=(),
        reweighted=None,
        misses=(),
        reference=None,
        importance=(),
        points=(),
        checks={},
        example={},
    )


@pytest.mark.parametrize(
    ("expected", "points", "is_reversed"),
    [("rises", -9.0, False), ("rises", 9.0, True), ("falls", -9.0, True), ("falls", -4.0, False), (None, 50.0, False)],
)
def test_a_reversed_direction_is_one_that_a_reason_would_show(
    expected: str | None, points: float, is_reversed: bool
) -> None:
    assert Direction("x", expected, 0, 1, points).is_reversed == is_reversed


def test_a_feature_that_few_sellers_have_is_swept_too(spark: SparkSession) -> None:
    # 0 but for ten of 400; 1 but for ten; known of ten alone; the same wherever it is known
    made = []
    for n in range(400):
        is_rare = n % 40 == 0
        late, seldom = (1 + n // 200, 1.0 + n // 100) if is_rare else (0, None)
        made.append((n / 400, late, int(not is_rare), seldom, 4.0 if n % 2 else None))
    rows = spark.createDataFrame(made, "usual double, late int, verified int, seldom double, same double").coalesce(1)
    log_odds = "usual - 0.5 * late - verified + 0.25 * coalesce(seldom, 0) as log_odds"
    model = PipelineModel([SQLTransformer(statement=f"select *, {log_odds} from __THIS__")])
    expected = {"usual": "rises", "late": "rises", "verified": "falls", "seldom": "rises", "same": "rises"}
    found = {move.feature: move for move in directions(rows, rows.filter("usual < 0.09"), model, expected)}
    assert {name: (move.low, move.high) for name, move in found.items() if name != "usual"} == {
        "late": (0, 1),
        "verified": (0, 1),
        "seldom": (1, 4),
    }
    assert found["late"].points == pytest.approx(0.5 * POINTS_PER_LOG_ODDS) and found["late"].is_reversed
    assert not found["verified"].is_reversed and not found["seldom"].is_reversed
    judged = gates(MANY | {"directions_swept": 4, "directions_reversed": 1, "directions_unswept": 1})
    evidence = next(gate.evidence for gate in judged if gate.gate == "directions")
    assert evidence.startswith("1 of 4 features") and "; 1 more are the same wherever they are known" in evidence


def slope(value: float) -> dict[str, float]:
    return {"calibration_slope": value, "calibration_slope_low": value - 0.1, "calibration_slope_high": value + 0.1}


MANY = {"evaluated_bad_groups": 250.0, "evaluated_bads": 600.0}


@pytest.mark.parametrize(
    ("gate", "figures", "champion", "verdict"),
    [
        ("calibration-slope", slope(1.2), None, "pass"),
        ("calibration-slope", slope(1.4), None, "fail"),
        ("observed-to-expected", {"observed_to_expected_low": 1.1, "observed_to_expected_high": 1.3}, None, "fail"),
        ("grades", {"grade_tests": 8, "grade_tests_failed": 1}, None, "fail"),
        ("adverse-impact", {"adverse_impact_region": 0.79}, None, "fail"),
        ("adverse-impact", {"adverse_impact_region": 0.81, "impact_of_all_sellers": 1.0}, None, "pass"),
        ("adverse-impact", {}, None, "insufficient evidence"),
        ("contributions", {"points_off_most": 1e-3, "points_rows": 9}, None, "fail"),
        ("single-score", {"single_score_off_most": 1e-16, "single_score_rows": 3}, None, "fail"),
        ("contributions", {"points_off_most": math.inf, "points_rows": 9}, None, "fail"),
        ("single-score", {"single_score_off_most": math.inf, "single_score_rows": 3}, None, "fail"),
        ("directions", {"directions_swept": 40, "directions_reversed": 1}, None, "fail"),
        ("directions", {"directions_swept": 1, "directions_reversed": 0}, None, "pass"),
        ("directions", {"directions_swept": 0, "directions_reversed": 0}, None, "insufficient evidence"),
        ("auc-against-champion", {}, None, "pass"),
        ("auc-against-champion", {"champion_version": 1.0}, 2, "insufficient evidence"),
    ],
)
def test_gates_fail_at_their_bounds(gate: str, figures: dict[str, float], champion: int | None, verdict: str) -> None:
    found = {judged.gate: judged for judged in gates(MANY | figures, (), champion)}
    assert found[gate].verdict == verdict, found[gate].evidence


@pytest.mark.parametrize(
    ("gate", "figures"),
    [
        ("auc-fall", {"train_auc": 0.9, "evaluated_auc": 0.6}),
        ("calibration-slope", slope(1.4)),
        ("calibration-intercept", {"calibration_intercept_low": 0.2, "calibration_intercept_high": 0.4}),
        ("observed-to-expected", {"observed_to_expected_low": 1.1, "observed_to_expected_high": 1.3}),
        ("grades", {"grade_tests": 8, "grade_tests_failed": 1}),
        ("directions", {"directions_swept": 40, "directions_reversed": 1}),
        ("calibration-by-region", {"region_tests": 4, "region_tests_failed": 1}),
    ],
)
def test_with_too_few_bads_no_gate_that_rests_on_them_passes_or_fails(gate: str, figures: dict[str, float]) -> None:
    for bad_groups, verdict in ((200.0, "fail"), (199.0, "insufficient evidence")):
        judged = gates({"evaluated_bad_groups": bad_groups, "evaluated_bads": 600.0} | figures)
        (found,) = [one for one in judged if one.gate == gate]
        assert found.verdict == verdict, found.evidence


@pytest.mark.parametrize(("low", "verdict"), [(-0.009, "pass"), (-0.011, "fail")])
def test_a_challenger_may_not_be_worse_than_the_champion(low: float, verdict: str) -> None:
    figures = {"champion_auc_difference": 0.0, "champion_auc_difference_low": low, "champion_auc_difference_high": 0.02}
    found = gates(MANY | figures | {"champion_version": 1.0}, [{"checks": 5, "leaks": 1, "rows": 9}], 1)
    verdicts = {judged.gate: judged.verdict for judged in found}
    assert verdicts["auc-against-champion"] == verdict and verdicts["leak-audit"] == "fail"
    few = gates(MANY | figures | {"champion_version": 1.0, "champion_bad_groups": 199.0}, (), 1)[0]
    assert few.verdict == "insufficient evidence" and "199 bad groups of 200 wanted" in few.evidence
