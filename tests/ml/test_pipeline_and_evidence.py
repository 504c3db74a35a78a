"""The model's stages, splits, evidence and registry, on a small sample and a real MLflow store."""

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.optimize import brentq

from conf.errors import UserError
from ml import findings as module_of_findings
from ml import pipeline
from ml.agreement import TRAINING_COHORT, Approved, agreements
from ml.algorithms import fit
from ml.card.card import Card, plots_of, to_html, to_markdown
from ml.cross_validate import calibrated_by_others, fit_both, judged_by_both, out_of_fold
from ml.directions import directions
from ml.evaluate import BLOCKS, Counts, auc, count, difference_of_auc, evaluate, ks
from ml.findings import (
    Champion,
    Findings,
    Miss,
    Sample,
    _beside,
    _points,
    _reasons,
    _reference,
    _reweighted,
    _sample,
    _single_scores,
)
from ml.fitting import Fitted, Plan, fitted, problems_of
from ml.gates import gates
from ml.pipeline import (
    MARGIN,
    ROWS_A_PARTITION,
    Boosting,
    Inputs,
    UnfitError,
    features_used,
    fit_calibration,
    usable_inputs,
    whole_model,
)
from ml.reasons import Reference
from ml.registry import (
    DESCRIPTION_LENGTH,
    THIS_MODEL,
    Delta,
    Evidence,
    check,
    described,
    load,
    register,
    resolve,
    set_challenger,
    set_champion,
)
from ml.scorecard import FittedScorecard, Scorecard
from ml.scoring import Scorer, scorer
from ml.split import fold_of
from ml.xgboosting import XGBoosting
from transforms.lending.scale import AVERAGE, JUST_QUALIFY, score_of_log_odds

BOOSTING = Boosting(trees=5, depth=2, step_size=0.2, least_rows_a_leaf=5, largest_share_of_features="0.4")
FEATURES = ("sales", "refunds", "empty", "constant", "sometimes", "one_group")


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> Iterator[DataFrame]:
    chance = random.Random(3)
    made = []
    for number in range(600):
        sales, refunds = chance.gauss(0, 1), chance.random()
        bad = int(chance.random() < 1 / (1 + math.exp(2 + 1.5 * sales - 2 * refunds)))
        sometimes = 1.0 if chance.random() < 0.5 else [None, math.nan][number % 2]
        made.append(
            (
                f"s{number % 300}",
                date(2024, 1 + number // 300, 1),
                f"g{number % 150}",
                bad,
                number % 50 == 0,
                sales,
                refunds,
                None,
                4.0,
                sometimes,
                float(number) if number % 150 == 1 else None,
            )
        )
    schema = (
        "seller_id string, as_of date, group_id string, bad int, indeterminate boolean,"
        " sales double, refunds double, empty double, constant double, sometimes double, one_group double"
    )
    kept = spark.createDataFrame(made, schema).coalesce(1).persist()
    yield kept
    kept.unpersist()


@pytest.fixture(scope="module")
def inputs(rows: DataFrame) -> Inputs:
    return usable_inputs(rows, FEATURES)


@pytest.fixture(scope="module")
def small(rows: DataFrame, inputs: Inputs) -> Fitted:
    """A boosted model that has judged nothing yet."""
    trees, scorecard = fit_both(rows, inputs, BOOSTING)
    model = whole_model(trees, fit_calibration(judged_by_both(rows, trees, scorecard, inputs)))
    return Fitted(model, inputs, FittedScorecard(scorecard, ()), (0.0, 1.0), rows, rows, rows, rows)


def test_features_that_tell_nothing_are_left_out_and_unknown_ones_get_a_flag(inputs: Inputs) -> None:
    assert inputs == Inputs(("sales", "refunds", "sometimes", "one_group"), ("sometimes", "one_group"), 600)


def test_the_probability_is_the_calibrated_margin_and_unknown_is_unknown(rows: DataFrame, inputs: Inputs) -> None:
    trees, scorecard = fit_both(rows, inputs, BOOSTING)
    judged = judged_by_both(rows, trees, scorecard, inputs)
    calibration = fit_calibration(judged)
    model = whole_model(trees, calibration)
    intercept, slope = calibration.intercept, calibration.coefficients[0]
    scored = model.transform(rows).select("margin", "prediction", "log_odds", "sometimes").collect()
    for row in scored[:50]:
        log_odds = intercept + slope * row["margin"][0]
        assert row["log_odds"] == pytest.approx(log_odds, abs=1e-12)
        assert row["prediction"] == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=1e-12)
    base = rows.limit(1)
    same = base.withColumn("sometimes", F.lit(None).cast("double")).unionByName(
        base.withColumn("sometimes", F.lit(math.nan))
    )
    predictions = [row[0] for row in model.transform(same).select("prediction").collect()]
    assert predictions[0] == predictions[1]
    again, _ = fit_both(rows.repartition(3), inputs, BOOSTING)
    first = [row["margin"] for row in trees.transform(rows).select("margin").collect()]
    assert [row["margin"] for row in again.transform(rows).select("margin").collect()] == first


@pytest.mark.full  # the other algorithm
def test_xgboost_takes_rows_of_several_partitions_and_grows_the_same_trees(rows: DataFrame, inputs: Inputs) -> None:
    few = XGBoosting(trees=5)
    # of so many rows the vectors come in three partitions
    models = [fit(rows, told, few) for told in (inputs, replace(inputs, rows=2 * ROWS_A_PARTITION + 1))]
    margins = [[row[MARGIN] for row in model.transform(rows).select(MARGIN).collect()] for model in models]
    assert margins[0] == margins[1] and len(set(margins[0])) > 10


@pytest.mark.full  # the other algorithm
def test_xgboost_moves_the_score_only_the_way_that_the_catalogue_expects(rows: DataFrame) -> None:
    # risk is expected to rise with refunds and to fall with growth: here it does the reverse
    turned = rows.select(
        "*", (1 - F.col("refunds")).alias("refund_rate_90d"), (-F.col("sales")).alias("gmv_growth_90d")
    )
    inputs = usable_inputs(turned, ("refund_rate_90d", "gmv_growth_90d"))
    told = turned.limit(40)

    def moves(algorithm: XGBoosting | Boosting, name: str) -> list[float]:
        model, margin = fit(turned, inputs, algorithm), vector_to_array(F.col(MARGIN))[0].alias("margin")
        ends = turned.agg(F.min(name), F.max(name)).collect()[0]
        low, high = (
            [row["margin"] for row in model.transform(told.withColumn(name, F.lit(end))).select(margin).collect()]
            for end in ends
        )
        return [up - down for down, up in zip(low, high, strict=True)]

    for name, sign in (("refund_rate_90d", 1), ("gmv_growth_90d", -1)):
        assert min(sign * move for move in moves(BOOSTING, name)) < -0.1, name
        assert min(sign * move for move in moves(XGBoosting(trees=5), name)) >= -1e-6, name


def test_rows_in_many_partitions_give_the_same_model_to_the_last_bit(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "ROWS_A_PARTITION", 1_000)
    drawn = [f"pmod(xxhash64(id, '{name}'), 9973) / 9973" for name in ("first", "second", "third", "outcome")]
    first, second, third, outcome = drawn
    many = spark.range(0, 4_000, 1, 8).selectExpr(
        "concat('s', id) as seller_id",
        "date'2024-01-01' as as_of",
        "false as indeterminate",
        f"int({outcome} < 0.1 + 0.2 * {first} * {second}) as bad",
        f"{first} as sales",
        f"if({third} < 0.3, null, {second}) as refunds",
        f"{third} as sometimes",
    )
    inputs = usable_inputs(many, ("sales", "refunds", "sometimes"))

    def everything() -> list[str]:
        """What the trees, the scorecard and the calibration were fitted to, every digit of it."""
        trees, scorecard = fit_both(many, inputs, replace(BOOSTING, trees=2))
        calibration = fit_calibration(judged_by_both(many, trees, scorecard, inputs))
        _, imputer, _, forest, _ = trees.stages
        logistic = scorecard.stages[-2]
        found = [imputer.surrogateDF.collect(), forest.toDebugString.partition("\n")[2]]
        found += [logistic.coefficients, logistic.intercept, calibration.coefficients, calibration.intercept]
        return [repr(value) for value in found]

    assert everything() == everything()


def test_what_no_tree_splits_on_is_not_swept_and_moves_nothing(small: Fitted, rows: DataFrame, inputs: Inputs) -> None:
    used = features_used(small.model, inputs)
    assert used is not None and {"sales", "refunds"} <= used < set(inputs.features)
    expected = {"sales": "falls", "refunds": "rises", "sometimes": None, "one_group": "rises"}
    every, those = (directions(rows, rows.limit(40), small.model, expected, of) for of in (None, used))
    assert those == every and {move.feature for move in every if move.points} <= used
    assert features_used(small.scorecard.model, inputs) is None


def test_one_class_alone_is_refused(rows: DataFrame, inputs: Inputs) -> None:
    with pytest.raises(UnfitError, match="all good"):
        fit_both(rows.filter("bad = 0"), inputs, BOOSTING)


def test_a_group_is_in_one_fold_and_every_row_is_judged_once_by_others(rows: DataFrame, inputs: Inputs) -> None:
    folds = rows.groupBy("group_id").agg(F.countDistinct(fold_of(3, 1)).alias("n")).agg(F.max("n")).collect()[0][0]
    assert folds == 1
    judged = out_of_fold(rows, inputs, BOOSTING, folds=2)
    assert judged.count() == rows.count() == judged.select("seller_id", "as_of").distinct().count()
    # of a row's own fold the trees knew nothing: in training they look better than they are
    trees, scorecard = fit_both(rows, inputs, BOOSTING)
    seen = judged_by_both(rows, trees, scorecard, inputs)
    in_training, outside = (count(_with_log_odds(sample)) for sample in (seen, judged))
    assert evaluate(in_training).auc.value > evaluate(outside).auc.value


def test_a_later_row_of_an_unseen_group_is_judged_by_models_that_knew_nothing_of_it(
    rows: DataFrame, inputs: Inputs
) -> None:
    is_later, fold = F.col("as_of") > F.lit(date(2024, 1, 1)), fold_of(2, 1, 0)

    def margins(flipped: Column) -> dict[tuple[str, int], float]:
        told = rows.withColumn("bad", F.when(flipped, 1 - F.col("bad")).otherwise(F.col("bad")))
        judged = out_of_fold(told.filter(~is_later), inputs, Scorecard(), folds=2, later=told.filter(is_later))
        later = judged.filter("is_later").collect()
        assert len(later) == 300
        return {(row["seller_id"], row["fold"]): row["margin"][0] for row in later}

    told = margins(F.lit(False))
    assert margins(is_later) == told
    # had the training rows of one fold gone the other way, its later rows would be judged the same, and no others
    other = margins(~is_later & (fold == 0))
    assert {place[1] for place in told if told[place] == other[place]} == {0}
    assert {place[1] for place in told if told[place] != other[place]} == {1}


def test_a_row_is_judged_by_a_calibration_that_its_fold_took_no_part_in(spark: SparkSession) -> None:
    chance = random.Random(2)
    made = [
        (n, repeat, (n + repeat) % 2, chance.gauss(0, 1), int(chance.random() < 0.3))
        for n in range(120)
        for repeat in (0, 1)
    ]

    def log_odds(rows: list[tuple[int, int, int, float, int]]) -> dict[tuple[int, int, int], float]:
        outside = spark.createDataFrame(rows, "number int, repeat int, fold int, value double, bad int").coalesce(1)
        vectors = outside.withColumns(
            {"margin": array_to_vector(F.array("value")), "baseline_log_odds": F.col("value")}
        )
        judged = calibrated_by_others(vectors, folds=2, repeats=2).collect()
        return {(row["number"], row["repeat"], row["fold"]): row["log_odds"] for row in judged}

    told = log_odds(made)
    assert len(told) == 240
    # had all of one fold gone the other way, its own rows would be judged the same, and no other row of that repeat
    other = log_odds([(*row[:4], 1 - row[4] if row[1:3] == (1, 1) else row[4]) for row in made])
    assert {place[1:] for place in told if told[place] == other[place]} == {(0, 0), (0, 1), (1, 1)}
    assert {place[1:] for place in told if told[place] != other[place]} == {(1, 0)}


def test_cross_validated_rows_count_once_and_their_calibration_is_not_true_by_construction(
    rows: DataFrame, inputs: Inputs
) -> None:
    keep = ("seller_id", "as_of", "group_id", "bad", "indeterminate")
    with fitted(rows, inputs.features, Plan(Scorecard(), None, 2, 2), keep) as fit:
        assert fit.judged.select("seller_id", "as_of").distinct().count() == fit.judged.count() == rows.count()
        assert fit.unseen_groups.count() == 2 * rows.count()
        found = evaluate(count(fit.judged))
        # as a baseline the same scorecard is judged in the same way
        apart = fit.judged.agg(F.max(F.abs(F.col("log_odds") - F.col("baseline_log_odds")))).collect()[0][0]
        assert apart < 1e-9
        training = evaluate(count(fit.in_training))
    assert (found.rows, found.bads, found.bad_groups) == (training.rows, training.bads, training.bad_groups)
    assert abs(found.calibration_slope.value - 1) > 0.01 and abs(found.observed_to_expected.value - 1) > 0.001


def test_the_points_of_a_scorecard_are_those_of_its_score(spark: SparkSession, rows: DataFrame, inputs: Inputs) -> None:
    keep = ("seller_id", "as_of", "group_id", "bad", "indeterminate")
    plan = Plan(Scorecard(), None, 2, 1)
    with fitted(rows, inputs.features, plan, keep) as fit:
        points_of = _points(fit, plan)
        points = {(row[0], row[1]): row[-1] for row in points_of}
        as_baseline = _points(fit, replace(plan, algorithm=BOOSTING))
        kept = next(kept for kept in fit.scorecard.characteristics if kept.cuts)
        # two rows on both sides of a cut, the same in all else
        values = dict.fromkeys(inputs.features, 0.0)
        cut = kept.cuts[0]
        sides = spark.createDataFrame([values | {kept.feature: cut}, values | {kept.feature: cut + 1e-6}])
        scored = fit.model.transform(sides).select(kept.feature, score_of_log_odds(F.col("log_odds")).alias("score"))
        low, high = (row["score"] for row in scored.orderBy(kept.feature).collect())
        nothing = spark.createDataFrame(
            [dict.fromkeys(inputs.features)], ", ".join(f"{n} double" for n in inputs.features)
        )
        of_unknown = fit.model.transform(nothing).select(score_of_log_odds(F.col("log_odds"))).collect()[0][0]
    by_table = [points[kept.feature, label] for label in kept.labels()[:2]]
    assert abs(high - low) > 5 and by_table[1] - by_table[0] == pytest.approx(high - low, abs=1e-9)
    # beside trees it is calibrated on the same rows, and gives the same
    assert [row[:2] for row in as_baseline] == [row[:2] for row in points_of]
    assert [row[-1] for row in as_baseline] == pytest.approx([row[-1] for row in points_of], abs=1e-6)
    unknown = sum(points[kept.feature, "unknown"] for kept in fit.scorecard.characteristics)
    assert points["base", "every seller"] + unknown == pytest.approx(of_unknown, abs=1e-9)


def test_the_intercept_is_found_from_probabilities_that_are_far_off() -> None:
    good, bad = np.zeros((BLOCKS, 4)), np.zeros((BLOCKS, 4))
    good[:], bad[:] = [30, 20, 30, 25], [6, 1, 7, 27]
    log_odds = np.array([-7.26, -5.72, 2.24, 3.78])
    found = evaluate(Counts(log_odds, good, bad, 41)).calibration_intercept.value
    # the one shift under which as many bads are expected as were seen: a plain Newton step runs away from it
    expected = (good + bad) / (1 + np.exp(-(found + log_odds)))
    assert expected.sum() == pytest.approx(bad.sum(), rel=1e-9)


def test_the_reference_is_of_sellers_who_just_qualify_or_says_that_it_is_of_all(
    rows: DataFrame, inputs: Inputs
) -> None:
    trees, scorecard = fit_both(rows, inputs, BOOSTING)
    model = whole_model(trees, fit_calibration(judged_by_both(rows, trees, scorecard, inputs)))
    scored = model.transform(rows).withColumn("score", score_of_log_odds(F.col("log_odds")))
    # of 600 on there are many; of 500 on ten, then none up to 595; of 627 on thirteen in all
    some = scored.filter("score not between 510 and 585").select(*rows.columns, "score").persist()
    told = {}
    for cut_off in (600, 500, 627):
        reference = _reference(some.drop("score"), model, cut_off)
        told[cut_off] = (reference.kind, reference.chosen, reference.sellers)
        # whose mean the points start from
        low, high = {600: (600, 630), 500: (500, 599.5), 627: (0, 1000)}[cut_off]
        of_them = some.filter(F.col("score").between(low, high)).agg(F.avg("score")).collect()[0][0]
        assert scorer(model, reference).base_points == pytest.approx(of_them, abs=1e-6)
    assert told == {
        600: (JUST_QUALIFY, "training rows with a score of 600 to 630", 150),
        500: (JUST_QUALIFY, "training rows with a score of 500 to 599", 39),
        627: (AVERAGE, "all sellers of the training rows", some.count()),
    }
    some.unpersist()


@pytest.mark.parametrize("added", [0.0, 1e-3, math.nan])
def test_points_that_do_not_add_up_fail_the_gate_with_their_figure(
    small: Fitted, monkeypatch: pytest.MonkeyPatch, added: float
) -> None:
    def moved(model: PipelineModel, reference: Reference) -> Scorer:
        told = scorer(model, reference)
        return replace(told, base_points=told.base_points + added)

    monkeypatch.setattr(module_of_findings, "scorer", moved)
    _, _, checks = _reasons(small, Plan(BOOSTING, None, 2, 1), 600)
    gate = next(gate for gate in gates(checks) if gate.gate == "contributions")
    assert gate.verdict == ("fail" if added else "pass")
    told = {0.0: pytest.approx(0, abs=1e-9), 1e-3: pytest.approx(1e-3, rel=1e-3)}.get(added, math.inf)
    assert checks == {"points_off_most": told, "points_rows": 600} and "in 600 rows" in gate.evidence


def test_a_probability_that_is_no_number_fails_the_gate(small: Fitted) -> None:
    assert _single_scores(small) == {"single_score_off_most": 0, "single_score_rows": 3}
    nobody = SQLTransformer(statement="select *, double('NaN') as prediction from __THIS__")
    found = _single_scores(replace(small, model=PipelineModel([nobody])))
    assert found == {"single_score_off_most": math.inf, "single_score_rows": 3}
    assert [gate.verdict for gate in gates(found) if gate.gate == "single-score"] == ["fail"]


def test_the_champion_is_compared_on_cohorts_that_it_did_not_train_on(spark: SparkSession) -> None:
    chance = random.Random(7)
    made = []
    for number in range(400):
        cohort = date(2024, 1 + number % 4, 1)
        # of the cohorts that it trained on the champion knows everything
        bad, risk = int(chance.random() < 0.3), chance.gauss(0, 1)
        known = 10.0 * bad if cohort < date(2024, 3, 1) else -risk
        made.append((f"s{number}", cohort, f"g{number}", bad, risk + bad, 0.0, known))
    schema = (
        "seller_id string, as_of date, group_id string, bad int, log_odds double, baseline_log_odds double,"
        " known double"
    )
    rows = spark.createDataFrame(made, schema).coalesce(1)
    model = PipelineModel([SQLTransformer(statement="select seller_id, as_of, known as log_odds from __THIS__")])
    judged = _beside(Champion(model, date(2024, 3, 1)), rows.drop("known"), rows)
    found = _sample("out of time", "later cohorts", judged)
    later = rows.filter("as_of >= '2024-03-01'")
    alone = [count(later.select("group_id", "bad", F.col(name).alias("log_odds"))) for name in ("log_odds", "known")]
    assert (found.model.rows, alone[1].rows) == (400, 200)
    assert found.champion == evaluate(alone[1]) and found.champion.auc.value < 0.6
    assert found.less_champion == difference_of_auc(*alone)
    assert found.beside_champion == evaluate(alone[0])
    assert _sample("later cohorts", "the same", judged.filter("as_of >= '2024-03-01'")).beside_champion is None


def test_bads_that_are_all_in_one_fold_of_any_repeat_are_told(spark: SparkSession) -> None:
    names = spark.range(40).select(F.concat(F.lit("g"), F.col("id")).alias("group_id"))
    placed = names.withColumns({"first": fold_of(2, 1, 0), "second": fold_of(2, 1, 1)}).collect()
    # two groups that the second repeat puts together, and the first does not
    apart = next(
        (one["group_id"], other["group_id"])
        for one in placed
        for other in placed
        if one["first"] != other["first"] and one["second"] == other["second"]
    )
    table = names.withColumns(
        {
            "bad": F.col("group_id").isin(*apart).cast("int"),
            "as_of": F.lit(date(2024, 1, 1)),
            "indeterminate": F.lit(False),
            "sales": F.rand(1),
        }
    )
    assert problems_of(table, ("sales",), Plan(BOOSTING, None, 2, 1)) == []
    told = problems_of(table, ("sales",), Plan(BOOSTING, None, 2, 2))
    assert len(told) == 1 and "are in one fold" in told[0]


def _with_log_odds(judged: DataFrame) -> DataFrame:
    return fit_calibration(judged).transform(judged).select("group_id", "bad", "log_odds")


def test_figures_are_those_of_brute_force(spark: SparkSession) -> None:
    chance = random.Random(9)
    made = [(f"g{n % 40}", int(chance.random() < 0.3), round(chance.gauss(-1, 1), 1)) for n in range(300)]
    counts = count(spark.createDataFrame(made, "group_id string, bad int, log_odds double"))
    goods = [value for _, bad, value in made if not bad]
    bads = [value for _, bad, value in made if bad]
    pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for b in bads for g in goods]
    whole = counts.good.sum(axis=0), counts.bad.sum(axis=0), counts.log_odds
    assert auc(*whole) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    cuts = sorted(set(goods + bads))
    distance = max(abs(np.mean([g <= c for g in goods]) - np.mean([b <= c for b in bads])) for c in cuts)
    assert ks(*whole) == pytest.approx(distance, abs=1e-12)
    assert counts.bad_groups == len({group for group, bad, _ in made if bad})
    evaluation = evaluate(counts)
    expected = sum(1 / (1 + math.exp(-value)) for _, _, value in made)
    assert evaluation.observed_to_expected.value == pytest.approx(len(bads) / expected, rel=1e-9)
    assert evaluation.auc.low < evaluation.auc.value < evaluation.auc.high
    assert evaluation.gini.value == pytest.approx(2 * evaluation.auc.value - 1)
    odds, went = np.array([value for *_, value in made]), np.array([bad for _, bad, _ in made])

    def pd(intercept: float, slope: float) -> np.ndarray:
        return 1 / (1 + np.exp(-intercept - slope * odds))

    assert evaluation.brier == pytest.approx(np.mean((pd(0, 1) - went) ** 2), rel=1e-9)
    assert evaluation.log_loss == pytest.approx(-np.mean(np.log(np.where(went == 1, pd(0, 1), 1 - pd(0, 1)))), rel=1e-9)
    # where the likelihood of the recalibrated probabilities is largest both of its derivatives are 0
    slope = evaluation.calibration_slope.value
    intercept = brentq(lambda start: np.sum(went - pd(start, slope)), -9, 9, xtol=1e-14)
    assert np.sum((went - pd(intercept, slope)) * odds) == pytest.approx(0, abs=1e-6)


def test_intervals_resample_groups_and_not_rows(spark: SparkSession) -> None:
    chance = random.Random(4)
    groups = [(f"g{n}", int(chance.random() < 0.4), round(chance.gauss(0, 1), 2)) for n in range(60)]
    once = spark.createDataFrame(groups, "group_id string, bad int, log_odds double")
    often = spark.createDataFrame(groups * 30, "group_id string, bad int, log_odds double")
    alone, repeated = evaluate(count(once)).auc, evaluate(count(often)).auc
    # thirty copies of a group tell no more than one
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.02)


def test_a_row_of_weight_two_counts_as_two_rows(spark: SparkSession) -> None:
    chance = random.Random(3)
    made = [
        (f"g{n}", int(chance.random() < 0.3), round(chance.gauss(-1, 1), 2), 0.5 if n % 3 == 0 else None)
        for n in range(400)
    ]
    schema = "group_id string, bad int, log_odds double, approval_probability double"
    judged = spark.createDataFrame(made, schema)
    twice = spark.createDataFrame([row for row in made for _ in range(2 if row[3] else 1)], schema)
    found = _reweighted(judged)
    assert found is not None and found.at_random == 134
    assert found.model == replace(evaluate(count(twice)), bad_groups=found.model.bad_groups)
    assert found.effective_rows == pytest.approx((266 + 2 * 134) ** 2 / (266 + 4 * 134))
    assert _reweighted(judged.drop("approval_probability")) is None
    assert _reweighted(judged.withColumn("approval_probability", F.lit(1.0))) is None


def test_gates_without_enough_bads_neither_pass_nor_fail() -> None:
    figures = {
        "evaluated_bad_groups": 250.0,
        "evaluated_bads": 260.0,
        "train_auc": 0.8,
        "evaluated_auc": 0.7,
        "calibration_slope_low": 0.9,
        "calibration_slope_high": 1.1,
    }
    verdicts = {gate.gate: gate.verdict for gate in gates(figures)}
    assert verdicts["auc-fall"] == "fail" and verdicts["calibration-slope"] == "pass"
    assert verdicts["observed-to-expected"] == verdicts["leak-audit"] == "insufficient evidence"
    few = {gate.gate: gate.verdict for gate in gates({**figures, "evaluated_bad_groups": 20.0})}
    assert few["auc-fall"] == few["calibration-slope"] == "insufficient evidence"


def test_a_registered_version_has_its_evidence_and_loads_the_same(
    spark: SparkSession, rows: DataFrame, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trees, scorecard = fit_both(rows, inputs, BOOSTING)
    judged = judged_by_both(rows, trees, scorecard, inputs)
    model = whole_model(trees, fit_calibration(judged))
    table = str(tmp_path / "table")
    rows.write.format("delta").save(table)
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    evidence = Evidence(
        parameters={"trees": 5},
        metrics={"auc": 0.7},
        tags={"simulated": "True"},
        description=f"A small model.\n\nLoad {THIS_MODEL}\n\n| a |\n|---|",
        artifacts={"card.html": f"<p>load {THIS_MODEL}</p>"},
        documents={"features.json": {"features": list(inputs.features)}, "reference.json": {"x": 1}},
        tables=[Delta("gold.training_set", table, 0, "all")],
        features=inputs.features,
        example={"sales": 1.0},
    )
    version, run_id = register(uri, "tests", "small", model, evidence)
    client = MlflowClient(uri, uri)
    run = client.get_run(run_id)
    assert run.data.metrics["auc"] == 0.7
    assert run.inputs.dataset_inputs[0].dataset.name == "gold.training_set"
    told = client.get_model_version("small", str(version))
    assert (
        told.description.startswith(f"A small model.\n\nLoad models:/small/{version}\n") and run_id in told.description
    )
    card = mlflow.artifacts.load_text(f"runs:/{run_id}/card.html")
    assert card == f"<p>load runs:/{run_id}/model</p>"
    assert {file.path for file in client.list_artifacts(run_id)} >= {"card.html", "model", "reference.json"}
    assert (tmp_path / "store" / "mlflow-artifacts").is_dir()

    loaded = load(uri, "small", version)
    assert (loaded.features, loaded.reference, loaded.run_id) == (inputs.features, {"x": 1}, run_id)
    before = [row[0] for row in model.transform(rows).select("prediction").collect()]
    assert [row[0] for row in loaded.pipeline.transform(rows).select("prediction").collect()] == before

    # nobody's challenger before its figures are published
    with pytest.raises(UserError, match="seller-credit train"):
        resolve(uri, "small", "challenger")
    set_challenger(uri, "small", version)
    assert resolve(uri, "small", "challenger") == version
    with pytest.raises(UserError, match="seller-credit train"):
        resolve(uri, "small", "champion")
    set_champion(uri, "small", version, {"signed_off": "by a test"})
    assert resolve(uri, "small", "champion") == version
    with pytest.raises(UserError):
        resolve(uri, "small", "99")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "update_model_version", stopped)
    with pytest.raises(KeyboardInterrupt):
        register(uri, "tests", "small", model, evidence)
    assert [int(found.version) for found in client.search_model_versions("name = 'small'")] == [version]
    assert resolve(uri, "small", "challenger") == version
    check(uri, "tests")
    client.delete_experiment(run.info.experiment_id)
    with pytest.raises(UserError, match="experiment tests was deleted. Bring it back"):
        check(uri, "tests")
    check(uri)


def test_a_description_is_cut_between_paragraphs_at_what_a_registry_holds() -> None:
    short = described("First.\n\nSecond.", "End.")
    assert short == "First.\n\nSecond.\n\nEnd.\n"
    paragraphs = [f"{number} " + "x" * 998 for number in range(9)]
    cut = described("\n\n".join([*paragraphs[:4], "What follows:", *paragraphs[4:]]), "End.")
    assert len(cut) <= DESCRIPTION_LENGTH
    kept = cut.split("\n\n")
    assert kept[:4] == paragraphs[:4] and kept[4].startswith("The rest is in the card") and kept[5:] == ["End.\n"]


def test_the_card_escapes_and_marks_what_is_simulated(spark: SparkSession) -> None:
    made = [(f"g{n}", n % 3 == 0, n / 50 - 1.0) for n in range(100)]
    counts = count(
        spark.createDataFrame(made, "group_id string, bad boolean, log_odds double").withColumn(
            "bad", F.col("bad").cast("int")
        )
    )
    sample = Sample("out of time", "later cohorts", counts, evaluate(counts), None)
    found = Findings(
        samples=(sample, sample),
        fold_aucs=(),
        repeat_aucs=(),
        agreements=tuple(agreements({("region", "<i>north</i>"): counts, ("cohort", "2024-01-01"): counts}, 0.0)),
        approved=(Approved("region", "<u>south</u>", date(2024, 5, 1), 1234, 0.25),),
        shifts=(),
        directions=(),
        unswept=("written_off_loans",),
        reweighted=None,
        misses=(Miss("0f3a", date(2024, 1, 1), "bad", 0.01),),
        reference=None,
        importance=(),
        points=(),
        checks={},
        example={},
    )
    card = Card(
        name="<script>alert(1)</script>",
        algorithm="gbt",
        summary="A plain sentence.",
        too_few_bads="Too few bads.",
        is_simulated=True,
        trained={"code": "<b>"},
        findings=found,
        funnel=[("all", 100)],
        roll_rates=[("days past due", "loans", "then 0"), ("<30", 1234, "45.2%")],
        since_champion=["the first"],
        spread=None,
        tuning=None,
        top_features=[("refund_rate_90d", "refunds & more", 3.2)],
        dropped=["x"],
        gates=gates({}),
        limits=("only <so> far",),
    )
    page = to_html(card, plots_of(card))
    assert "<u>south" not in page and "1,234" in page and "25 %" in page
    assert "Of all sellers as of 2024-05-01" in page
    assert "Of all sellers" not in to_html(replace(card, findings=replace(found, approved=())), {})
    assert "<i>north" not in page and page.index("Too few bads.") < page.index("<h2>")
    assert "Not swept, since they are the same wherever they are known: written_off_loans." in page
    assert "<script" not in page and "&lt;script&gt;" in page and "only &lt;so&gt; far" in page
    assert (
        "&lt;30" in page and "1,234" in page and "From which arrears" not in to_html(replace(card, roll_rates=()), {})
    )
    # 34 of 100 bad by 30 and 60 % expected in two cohorts that trained
    mild, grim = (
        replace(value, attribute=TRAINING_COHORT, mean_pd=pd) for value in found.agreements[:1] for pd in (0.3, 0.6)
    )
    told = to_html(replace(card, findings=replace(found, agreements=(mild, grim))), {})
    assert (
        "Of the 2 cohorts that trained, observed / expected was from 0.57 to 1.13" in told
        and "cohort that trained" in told
    )
    assert "that trained" not in page and "60.00 %" in told
    sure = tuple(replace(value, p=0.0004, p_after_holm=0.0012) for value in found.agreements)
    told = to_html(replace(card, findings=replace(found, agreements=sure)), {})
    assert '<td class="number">&lt; 0.001</td>' in told and '<td class="number off">0.001</td>' in told
    assert "Simulated data" in page and "Simulated data" not in to_html(replace(card, is_simulated=False), {})
    assert to_markdown(card).splitlines()[0] == "A plain sentence."
