"""Who may make which version the champion, what is kept of it, what the alias says then, and who may decide."""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pyspark.sql import SparkSession

from conf.errors import StepFailure, UserError
from conf.policy import load_policy
from jobs import promote as promotion
from jobs import score as scoring
from jobs.decide import _basis, _grades_mean_the_same, decide
from jobs.lakehouse.champion import PROMOTION, ROLLBACK, champion, champions, gates_now, signed_run
from jobs.lakehouse.decided import model_for, policy_of
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.lock import lake_lock
from jobs.promote import promote, roll_back
from jobs.review import review
from jobs.score import _require_signed, score
from jobs.train import _champion
from ml.registry import CHAMPION, Loaded, alias, resolve, run_of
from tests.conftest import lake_at
from tests.jobs.test_kill_and_repeat import environment
from transforms.tables.gold import SIGNOFFS

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
DAY = date(2024, 1, 1)
POLICY = load_policy("standard")
GOOD = {
    "evaluated_bad_groups": 300.0,
    "evaluated_bads": 400.0,
    "train_auc": 0.80,
    "evaluated_auc": 0.78,
    "points_off_most": 1e-9,
    "points_rows": 1000.0,
    "single_score_off_most": 0.0,
    "single_score_rows": 3.0,
    "directions_swept": 40.0,
    "directions_reversed": 0.0,
    "grade_tests": 10.0,
    "grade_tests_failed": 0.0,
    "region_tests": 5.0,
    "region_tests_failed": 0.0,
    "adverse_impact_region": 0.9,
    "observed_to_expected_low": 0.9,
    "observed_to_expected_high": 1.1,
    "calibration_intercept_low": -0.1,
    "calibration_intercept_high": 0.1,
    "calibration_slope_low": 0.9,
    "calibration_slope_high": 1.1,
}


@pytest.fixture(scope="module")
def shared(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with an audited set and three versions: 1 and 2 pass, 3 falls too far and is too few in bads to tell."""
    lake = lake_at(spark, tmp_path_factory.mktemp("promote"))
    for number, figures in enumerate((GOOD, GOOD, GOOD | {"train_auc": 0.9, "adverse_impact_region": 0.5}), 1):
        trained(lake, number, figures)
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    return lake


def publish(lake: Lake, step: str, slice_: str, figures: Mapping[str, float], facts: Mapping[str, str]) -> None:
    with lake.run(step, slice_, {"facts": dict(facts)}, {}) as run:
        run.figures, run.facts = dict(figures), dict(facts)
        run.publish()


def trained(
    lake: Lake, number: int, figures: Mapping[str, float], made_by: str | None = None, draw_days: str = "90"
) -> None:
    """A registered version, and the run that says what was found of it."""
    settings = lake.settings.mlflow
    made_by = made_by or f"{number:032x}"
    registered(lake, number, made_by)
    facts = {
        "model_name": settings.model,
        "model_version": str(number),
        "mlflow_run": made_by,
        "algorithm": "gbt",
        "trainer": "Wang Fang",
        "training_set": "set-1",
        "request": f"version {number} by {made_by}",
        "draw_days": draw_days,
    }
    publish(lake, "train", settings.model, figures, facts)


def registered(lake: Lake, number: int, made_by: str) -> None:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    if number == 1:
        client.create_registered_model(settings.model)
    client.create_model_version(settings.model, source=f"file://{lake.root}/none", run_id=made_by)


def lose_registry(lake: Lake) -> None:
    settings = lake.settings.mlflow
    MlflowClient(settings.tracking_uri, settings.tracking_uri).delete_registered_model(settings.model)


def compared(figures: Mapping[str, float], with_version: int) -> dict[str, float]:
    """Figures of a version that was judged beside a champion, and is no worse."""
    return dict(figures) | {
        "champion_version": with_version,
        "champion_auc_difference": 0.01,
        "champion_auc_difference_low": -0.005,
        "champion_auc_difference_high": 0.02,
    }


def registered_alias(lake: Lake) -> int | None:
    return alias(lake.settings.mlflow.tracking_uri, lake.settings.mlflow.model, CHAMPION)


def test_promotions_overrides_and_roll_backs_in_their_order(shared: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = shared
    with pytest.raises(UserError, match="another person"):
        promote(lake, "1", " wang fang", {}, NOON)
    with pytest.raises(UserError, match="auc-fall: the gate passes"):
        promote(lake, "1", "Li Wei", {"auc-fall": "why not"}, NOON)
    with pytest.raises(UserError, match="there is no such gate; known: auc-against-champion"):
        promote(lake, "1", "Li Wei", {"looks": "fine"}, NOON)
    with pytest.raises(UserError, match="no model version was promoted"):
        champion(lake)
    promote(lake, "1", "Li Wei", {}, NOON)
    assert (champion(lake), registered_alias(lake)) == (1, 1)
    runs = len(lake.runs())
    promote(lake, "1", "Li Wei", {}, NOON)
    assert len(lake.runs()) == runs

    # version 3 was compared with no champion, fell too far, and approves one region half as often
    with pytest.raises(UserError) as refused:
        promote(lake, "3", "Li Wei", {"auc-fall": "seasonal"}, NOON)
    assert [line.split(":")[0] for line in refused.value.problems[1:]] == ["auc-against-champion", "adverse-impact"]
    assert "train again to compare" in str(refused.value)
    assert champion(lake) == 1
    reasons = {"auc-fall": "seasonal", "adverse-impact": "one shop", "auc-against-champion": "by hand"}
    told = review(lake, "3")
    assert [line for line in told.lines if "--override" in line] == [
        f"  --override '{gate}=WHY'" for gate in ("auc-against-champion", "auc-fall", "adverse-impact")
    ]
    promote(lake, "3", "Li Wei", reasons, NOON)
    assert (champion(lake), registered_alias(lake)) == (3, 3)
    kept = lake.read(SIGNOFFS).filter("model_version = 3").collect()[0]
    assert {given["gate"]: given["reason"] for given in kept["overrides"]} == reasons
    assert (kept["previous_version"], kept["approver"], kept["trainer"]) == (1, "Li Wei", "Wang Fang")
    settings = lake.settings.mlflow
    tags = MlflowClient(settings.tracking_uri, settings.tracking_uri).get_model_version(settings.model, "3").tags
    assert tags["override.auc-fall"] == "seasonal" and "Li Wei" in tags["signed_off"]

    with pytest.raises(UserError, match="--reason WHY"):
        roll_back(lake, "Li Wei", "", NOON)
    # killed after the sign-off, before the alias followed
    with monkeypatch.context() as killed:
        killed.setattr(promotion, "set_champion", _die)
        with pytest.raises(KeyboardInterrupt):
            roll_back(lake, "Li Wei", "losses in the north", NOON)
    assert (champion(lake), registered_alias(lake)) == (1, 3)
    assert any("gold.signoffs says 1" in line for line in review(lake, "1").lines)
    # run again it is completed, not done twice
    done = roll_back(Lake(lake.spark, lake.settings), "Li Wei", "losses in the north", NOON)
    assert "rolled back already by" in done.values
    assert (champion(lake), registered_alias(lake)) == (1, 1)
    # and once more, by one who did not see how it ended
    done = roll_back(Lake(lake.spark, lake.settings), "Li Wei", "losses in the north", NOON)
    assert "rolled back already by" in done.values and done.lines == ["To go further back, say why: another --reason."]
    with pytest.raises(UserError, match="no champion before 1"):
        roll_back(Lake(lake.spark, lake.settings), "Li Wei", "again", NOON)
    # the alias lags for another cause, and the roll-back is another one: not taken for the last
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    client.set_registered_model_alias(settings.model, CHAMPION, "3")
    with pytest.raises(UserError, match="no champion before 1"):
        roll_back(Lake(lake.spark, lake.settings), "Li Wei", "losses in the south", NOON)
    assert registered_alias(lake) == 1
    back = lake.read(SIGNOFFS).filter("kind = 'rollback'").collect()
    assert [(row["model_version"], row["previous_version"], row["reason"]) for row in back] == [
        (1, 3, "losses in the north")
    ]


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(shared: Lake) -> None:
    trained(shared, 4, compared(GOOD, 1))
    trained(shared, 5, compared(GOOD, 1))
    here, there = Lake(shared.spark, shared.settings), Lake(shared.spark, shared.settings)
    # both have looked before either has the lake's lock
    assert champions(here) == champions(there)
    promote(here, "4", "Li Wei", {}, NOON)
    with pytest.raises(StepFailure, match="another sign-off came first, the champion is now version 4 by Li Wei"):
        promote(there, "5", "Zhao Min", {}, NOON)
    assert (champion(here), registered_alias(here)) == (4, 4)


@pytest.mark.full  # two processes of Spark
def test_of_two_processes_that_both_wait_to_promote_one_wins(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    trained(lake, 1, GOOD)
    trained(lake, 2, GOOD)
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    told = environment(tmp_path) | {"SELLER_CREDIT_MLFLOW__TRACKING_URI": lake.settings.mlflow.tracking_uri}
    approvers = {1: "Li Wei", 2: "Zhao Min"}
    logs = {version: tmp_path / f"{version}.log" for version in approvers}
    with lake_lock(lake.root, "a step that both wait for", 0):
        waiting = {}
        for version, approver in approvers.items():
            command = [sys.executable, "-m", "jobs.cli", "promote", str(version), "--approver", approver]
            with logs[version].open("w") as log:
                waiting[version] = subprocess.Popen(command, cwd=tmp_path, env=told, stdout=log, stderr=log)
        deadline = time.monotonic() + 180
        while not all("waiting for a step that both wait for" in log.read_text() for log in logs.values()):
            assert time.monotonic() < deadline, [log.read_text() for log in logs.values()]
            time.sleep(0.2)
    codes = {version: process.wait(timeout=180) for version, process in waiting.items()}
    winner, loser = (next(version for version, code in codes.items() if code == wanted) for wanted in (0, 1))
    another = f"another sign-off came first, the champion is now version {winner} by {approvers[winner]}"
    assert another in " ".join(logs[loser].read_text().split())
    assert (champions(Lake(spark, lake.settings)), registered_alias(lake)) == ([winner], winner)


def test_a_version_without_exact_reasons_stays_a_challenger(shared: Lake) -> None:
    trained(shared, 6, {name: value for name, value in GOOD.items() if not name.startswith("points_")})
    with pytest.raises(UserError, match="no seller could be told why"):
        promote(Lake(shared.spark, shared.settings), "6", "Li Wei", {"contributions": "who cares"}, NOON)


@pytest.mark.full  # a lake and a registry of its own
def test_a_champion_that_was_deleted_is_told_and_can_be_replaced(spark: SparkSession, tmp_path: Path) -> None:
    lake = with_a_champion_and_a_challenger(spark, tmp_path)
    settings = lake.settings.mlflow
    MlflowClient(settings.tracking_uri, settings.tracking_uri).delete_model_version(settings.model, "1")
    with pytest.raises(UserError, match=r"version=1\) not found.*promote another version"):
        resolve(settings.tracking_uri, settings.model, "1")
    # the alias went with the version
    with pytest.raises(UserError, match=r"champion.*not found.*promote another version"):
        resolve(settings.tracking_uri, settings.model, "champion")
    publish(lake, "features", f"as_of={DAY}", {}, {"catalogue": "any"})
    with pytest.raises(UserError, match=r"version=1\) not found.*promote another version or .*--rollback"):
        score(Lake(spark, lake.settings), DAY)
    assert Lake(spark, lake.settings).last_run("score") is None
    promote(lake, "2", "Li Wei", {}, NOON)
    assert registered_alias(lake) == 2
    with pytest.raises(UserError, match="not found"):
        roll_back(Lake(spark, lake.settings), "Li Wei", "back", NOON)
    assert champion(Lake(spark, lake.settings)) == 2


@pytest.mark.full  # a lake and a registry of its own
def test_a_model_that_nobody_signed_does_not_score_under_the_champions_number(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = lake_at(spark, tmp_path)
    trained(lake, 1, GOOD)
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    promote(lake, "1", "Li Wei", {}, NOON)
    settings = lake.settings.mlflow
    assert signed_run(lake) == run_of(settings.tracking_uri, settings.model, 1) == f"{1:032x}"
    # the registry is lost and begun anew: another model has number 1
    lose_registry(lake)
    registered(lake, 1, f"{9:032x}")
    fresh = Lake(spark, lake.settings)
    loaded = Loaded(None, settings.model, 1, f"{9:032x}", (), {"any": 1})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="version 1 is not the one that was signed off"):
        _require_signed(loaded, signed_run(fresh))
    assert _champion(fresh) == (None, ["The champion, version 1, is no longer in the registry: it was not judged."])
    # whoever signs next does not lend the old sign-off to the stranger
    promotion._let_the_alias_follow(fresh)
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    assert client.get_model_version(settings.model, "1").tags == {}


def with_a_champion_and_a_challenger(spark: SparkSession, place: Path) -> Lake:
    """A lake whose version 1 was promoted, and whose version 2 passes its gates beside it."""
    lake = lake_at(spark, place)
    trained(lake, 1, GOOD)
    trained(lake, 2, compared(GOOD, 1))
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    promote(lake, "1", "Li Wei", {}, NOON)
    return lake


def scored(lake: Lake, number: int, made_by: str, as_of: date = DAY, features: str = "features-1") -> None:
    """The scores of a day, of no seller, by the model that a run made."""
    facts = {"model_name": lake.settings.mlflow.model, "model_version": str(number), "model_run_id": made_by}
    publish(lake, "score", f"as_of={as_of}", {}, facts | {"features_run_id": features})


@pytest.mark.full  # a lake and a registry of its own
def test_no_offer_is_made_by_a_version_that_nobody_signed(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    trained(lake, 1, GOOD)
    trained(lake, 2, compared(GOOD, 1), draw_days="60")
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    promote(lake, "1", "Li Wei", {}, NOON)
    scored(lake, 2, f"{2:032x}")
    with pytest.raises(UserError) as refused:
        decide(lake, DAY, POLICY)
    told = str(refused.value)
    assert "by seller-credit version 2 (MLflow run 00000000000000000000000000000002), which was not signed off" in told
    assert "seller-credit promote 2 --approver NAME" in told and "seller-credit score --as-of 2024-01-01`)" in told
    assert lake.last_run("decide") is None

    promote(lake, "2", "Li Wei", {}, NOON)
    decided = decide(lake, DAY, POLICY)
    assert decided.values["decisions"] == 0
    assert decided.lines == [
        "policy standard prices 90 days, and the model's probability is of draws in 60 days: see price.horizon_days"
    ]
    # the champion of before, which did not decide this day
    scored(lake, 1, f"{1:032x}")
    with pytest.raises(UserError, match="version 1 .* or has a successor: no offer is made by it"):
        decide(lake, DAY, POLICY)
    # another model with the champion's number, in a registry that was begun anew
    scored(lake, 2, f"{9:032x}")
    with pytest.raises(UserError, match="version 2 .MLflow run 00000000000000000000000000000009., which was not sig"):
        decide(lake, DAY, POLICY)

    roll_back(lake, "Li Wei", "it ranks worse", NOON)
    the_day_after = DAY + timedelta(days=1)
    scored(lake, 2, f"{2:032x}", the_day_after)
    with pytest.raises(UserError, match="version 2 .* was rolled back or has a successor: no offer is made by it"):
        decide(lake, the_day_after, POLICY)
    # a day that it decided, again
    scored(lake, 2, f"{2:032x}", DAY, "features-2")
    assert decide(lake, DAY, POLICY).values["decisions"] == 0


@pytest.mark.full  # a lake and a registry of its own
def test_a_day_worked_again_after_a_promotion_gets_the_answer_that_was_given(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = with_a_champion_and_a_challenger(spark, tmp_path)
    the_day_after = DAY + timedelta(days=1)
    for day in (DAY, the_day_after):
        scored(lake, 1, f"{1:032x}", day)
        decide(lake, day, POLICY)
    assert model_for(lake, DAY) == model_for(lake, the_day_after) == (1, f"{1:032x}")
    promote(lake, "2", "Li Wei", {}, NOON)
    assert model_for(lake, DAY) == (1, f"{1:032x}")
    # the newest day decided, and one that was never decided, are the champion's
    assert model_for(lake, the_day_after) == model_for(lake, DAY - timedelta(days=1)) == (2, f"{2:032x}")

    # while the score waits for the lock
    publish(lake, "features", f"as_of={the_day_after}", {}, {})
    opened = Lake.run

    def after_a_roll_back(self: Lake, step: str, *rest: Any) -> Any:
        if step == "score":
            roll_back(Lake(spark, lake.settings), "Li Wei", "it ranks worse", NOON)
        return opened(self, step, *rest)

    monkeypatch.setattr(Lake, "run", after_a_roll_back)
    with pytest.raises(StepFailure, match="another version became champion meanwhile. Run this again."):
        score(lake, the_day_after)


@pytest.mark.full  # a lake and a registry of its own
def test_a_day_rests_on_what_stands_when_it_is_decided(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = with_a_champion_and_a_challenger(spark, tmp_path)
    promote(lake, "2", "Li Wei", {}, NOON)
    scored(lake, 2, f"{2:032x}")
    opened = Lake.run

    def after_a_roll_back(self: Lake, step: str, *rest: Any) -> Any:
        if step == "decide":
            roll_back(Lake(spark, lake.settings), "Li Wei", "it ranks worse", NOON)
        return opened(self, step, *rest)

    # while the decision waits for the lock
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Lake, "run", after_a_roll_back)
        with pytest.raises(UserError, match="version 2 .* was rolled back"):
            decide(lake, DAY, POLICY)
    assert lake.last_run("decide") is None

    the_day_after = DAY + timedelta(days=1)
    scored(lake, 1, f"{1:032x}")
    decide(lake, DAY, POLICY)
    decided, scored_by = lake.last_run("decide"), lake.last_run("score")
    assert decided is not None and scored_by is not None and policy_of(decided) == POLICY
    scored(lake, 1, f"{1:032x}", the_day_after)
    assert _basis(lake, the_day_after, POLICY).previous == decided
    # other prices leave grades what they are; other edges do not, nor does another model under the same number
    dearer = POLICY.model_copy(update={"version": 2, "summary": "dearer"})
    fewer = POLICY.grades.model_copy(update={"edges": POLICY.grades.edges[:-1]})
    assert _basis(lake, the_day_after, dearer).previous == decided
    assert _basis(lake, the_day_after, dearer.model_copy(update={"grades": fewer})).previous is None
    stranger = replace(scored_by, facts={**scored_by.facts, "model_run_id": f"{9:032x}"})
    assert not _grades_mean_the_same(lake, decided, stranger, POLICY)
    with pytest.raises(UserError, match="policy standard 1 is not the one of that name and version that decided as of"):
        decide(lake, the_day_after, POLICY.model_copy(update={"summary": "edited"}))


@pytest.mark.full  # a registry lost and begun anew
def test_scores_by_a_stranger_under_the_champions_number_are_not_taken_for_the_champions(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(spark, tmp_path)
    settings = lake.settings
    trained(lake, 1, GOOD)
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    promote(lake, "1", "Li Wei", {}, NOON)
    publish(lake, "features", f"as_of={DAY}", {}, {})
    features = lake.last_run("features")
    assert features is not None
    identity = {"features": features.run_id, "model": settings.mlflow.model, "version": 1, "buckets": 4}
    with lake.run("score", f"as_of={DAY}", identity, {}) as run:
        run.facts = {"model_run_id": f"{9:032x}"}
        run.publish()
    stranger = Loaded(None, settings.mlflow.model, 1, f"{9:032x}", (), {"any": 1})  # type: ignore[arg-type]
    monkeypatch.setattr(scoring, "load", lambda *_: stranger)
    assert "published already by" in score(lake, DAY, "1").values
    with pytest.raises(UserError, match="version 1 is not the one that was signed off"):
        score(lake, DAY)


def leak_audit(lake: Lake, training_set: str) -> tuple[str, str]:
    found = {gate.gate: gate for gate in gates_now(lake, GOOD, training_set, None)}["leak-audit"]
    return found.verdict, found.evidence


@pytest.mark.full  # a lake and a registry of its own
def test_a_leak_that_one_audit_found_is_not_cleared_by_another(lake: Lake) -> None:
    publish(lake, "training-set", "cohorts", {}, {"catalogue": "as of the set"})
    made_by = lake.last_run("training-set")
    assert made_by is not None
    of_set = made_by.run_id

    def audited(leaks: int, days: int, catalogue: str) -> None:
        figures = {"checks": 5, "leaks": leaks, "rows": 1000, "days": days}
        publish(lake, "audit", of_set, figures, {"catalogue": catalogue, "asked": f"{days} days"})

    assert leak_audit(lake, of_set)[0] == "insufficient evidence"
    # one that was made later may say of a feature what it was not then: it is evidence only where there is no other
    audited(1, 2, "another")
    assert leak_audit(lake, of_set)[0] == "fail"
    audited(0, 1, "as of the set")
    clean = "0 of 5 checks found a leak, in 1,000 rows, as-of days rebuilt: 1"
    assert leak_audit(lake, of_set) == ("pass", clean)
    audited(1, 28, "as of the set")
    leaking = ("fail", "1 of 5 checks found a leak, in 1,000 rows, as-of days rebuilt: 28")
    assert leak_audit(lake, of_set) == leaking
    audited(0, 1, "as of the set")
    audited(0, 40, "another")
    assert leak_audit(lake, of_set) == leaking


@pytest.mark.full  # a lake and a registry of its own
def test_a_roll_back_goes_to_the_model_that_was_signed_not_to_its_number(spark: SparkSession, tmp_path: Path) -> None:
    lake = lake_at(spark, tmp_path)
    first, second = f"{1:032x}", f"{2:032x}"
    trained(lake, 1, GOOD)
    trained(lake, 2, compared(GOOD, 1))
    publish(lake, "audit", "set-1", {"checks": 5, "leaks": 0, "rows": 1000}, {})
    promote(lake, "1", "Li Wei", {}, NOON)
    promote(lake, "2", "Li Wei", {}, NOON)
    # the registry is lost and begun anew: a model that nobody approved has number 1
    lose_registry(lake)
    trained(lake, 1, GOOD | {"adverse_impact_region": 0.5}, f"{9:032x}")
    with pytest.raises(UserError) as refused:
        roll_back(lake, "Li Wei", "losses in the north", NOON)
    told = str(refused.value)
    assert "version 1 is not the one that was signed off" in told
    assert f"run {9:032x}, and run {first} was promoted" in told
    assert "or bring the lost registry back" in told
    assert (champions(lake), signed_run(lake), registered_alias(lake)) == ([1, 2], second, None)

    # the lost one is back: what is signed is judged by its own training, not by the stranger's
    lose_registry(lake)
    registered(lake, 1, first)
    registered(lake, 2, second)
    assert not [line for line in review(lake, "1").lines if "adverse-impact" in line]
    roll_back(lake, "Li Wei", "losses in the north", NOON)
    assert (champions(lake), signed_run(lake), registered_alias(lake)) == ([1], first, 1)
    signed = lake.read(SIGNOFFS).filter("kind = 'rollback'").collect()[0]
    verdicts = {gate["gate"]: gate["verdict"] for gate in signed["gates"]}
    assert verdicts["adverse-impact"] == "pass"


@pytest.mark.full  # a lake and a registry of its own
def test_another_model_under_the_champions_number_is_another_champion(lake: Lake) -> None:
    facts = {"kind": PROMOTION, "model_version": "1"}
    publish(lake, "promote", CHAMPION, {}, facts | {"mlflow_run": "first"})
    publish(lake, "promote", CHAMPION, {}, facts | {"mlflow_run": "second"})
    assert (champions(lake), signed_run(lake)) == ([1, 1], "second")
    publish(lake, "promote", CHAMPION, {}, facts | {"mlflow_run": "first", "kind": ROLLBACK})
    assert (champions(lake), signed_run(lake)) == ([1], "first")
