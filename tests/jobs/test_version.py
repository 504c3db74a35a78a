"""A version as its reviewers meet it: trained on a set of made-up rows, loaded without our code, read in a browser."""

import csv
import io
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.types import DataType
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

from conf.errors import UserError
from conf.outcome import load_definition
from conf.policy import load_policy
from conf.settings import Settings
from jobs.lakehouse.champion import features_lost, training_of
from jobs.lakehouse.lake import Lake, schema_of
from jobs.promote import promote
from jobs.review import review
from jobs.score import _require_match
from jobs.train import _champion, train
from ml.algorithms import ALGORITHMS
from ml.fitting import Plan, problems_of
from ml.pipeline import Boosting
from ml.registry import CHALLENGER, DESCRIPTION_LENGTH, UNFINISHED, alias, knows_model, load
from ml.xgboosting import XGBoosting
from tests.browser import chromium, fits, mlflow_server
from tests.conftest import PROJECT, SMALL, lake_at
from transforms.features import catalogue
from transforms.features.catalogue import MODEL_INPUTS
from transforms.tables.bronze import SELLERS
from transforms.tables.gold import OUTCOMES, TRAINING_SET

pytestmark = pytest.mark.full  # five minutes, most of them to fit three models

POLICY = load_policy("standard")
DEFINITION = load_definition("bad_30")
COHORTS = (date(2022, 12, 1), date(2023, 4, 1), date(2023, 7, 1), date(2024, 3, 1))
TRAINED_ON = date(2024, 2, 1)
SHOPS = 160
PLAN = Plan(Boosting(trees=3, depth=2, least_rows_a_leaf=10), TRAINED_ON, 2, 1, tries=1)


def rows_of_a_set(set_id: str) -> list[dict[str, Any]]:
    """Sellers whose risk rises with refunds and falls with sales; a tenth of the sales are unknown."""
    chance = random.Random(8)
    made = []
    for number in range(SHOPS):
        for cohort in COHORTS:
            sales, refunds = chance.gauss(0, 1), chance.random()
            bad = chance.random() < 1 / (1 + math.exp(2.2 + 1.2 * sales - 2 * refunds))
            made.append(
                {
                    "training_set": set_id,
                    "seller_id": f"shop-{number:03d}",
                    "as_of": cohort,
                    "group_id": f"shop-{number - number % 2:03d}",
                    "bad": int(bad),
                    "indeterminate": not bad and chance.random() < 0.05,
                    "known_on": cohort + timedelta(days=200),
                    "gmv_growth_90d": None if chance.random() < 0.1 else sales,
                    "refund_rate_90d": refunds,
                    "rating_average_90d": chance.gauss(4, 0.3),
                    "shop_age_days": number * 10,
                    "history_days": 400,
                    "approval_probability": 0.25 if number % 8 == 0 else None,
                    "complete_blocks": 12 if number % 4 else 6,
                }
            )
    return made


def with_training_set(lake: Lake, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row) -> Lake:
    """Publish a set, its outcomes, and the profiles of its sellers."""
    spark = lake.spark
    with lake.run("training-set", "made up", {}, {}) as run:
        rows = [change(row) for row in rows_of_a_set(run.run_id)]
        moved = [_profile(number, date(2024, 2, 20), "unheard-of") for number in range(6)]
        told = [*(_profile(number) for number in range(SHOPS)), *moved]
        profiles = spark.createDataFrame(told, schema_of(SELLERS))
        run.replace(SELLERS, profiles.coalesce(1), "true")
        schema = schema_of(TRAINING_SET)
        table = spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)
        run.replace(TRAINING_SET, table.coalesce(1), f"training_set = '{run.run_id}'")
        outcome = F.when(F.col("bad") == 1, "bad").when(F.col("indeterminate"), "indeterminate").otherwise("good")
        outcomes = table.select(
            "seller_id",
            "as_of",
            F.lit(run.run_id).alias("run_id"),
            F.lit("origination").alias("sample"),
            outcome.alias("outcome"),
            F.lit("made up").alias("why"),
            F.lit(1).cast("bigint").alias("loans"),
            F.lit(None).cast("int").alias("worst_days_past_due"),
            F.lit(None).cast("date").alias("bad_on"),
            F.lit(None).cast("bigint").alias("exposure_at_default_fen"),
            "approval_probability",
            "known_on",
        )
        run.replace(OUTCOMES, outcomes.coalesce(1), f"run_id = '{run.run_id}'")
        run.facts = {
            "sample": "origination",
            "definition": f"{DEFINITION.name} {DEFINITION.version}",
            "definition_as_json": DEFINITION.model_dump_json(),
            "training_set": run.run_id,
            "catalogue": catalogue.digest(),
            "known_by": "2024-12-01",
        }
        run.publish()
    return lake


def _profile(number: int, day: date = date(2020, 1, 1), category: str = "clothes") -> tuple[Any, ...]:
    told = {
        "seller_id": f"shop-{number:03d}",
        "changed_on": day,
        "arrival_day": day,
        "arrival_month": f"{day:%Y-%m}",
        "region": ["north", "south"][number % 2],
        "owner_type": ["company", "person", None][number % 3],
        "category": category,
        "content_hash": number,
        "delivery_id": "made up",
    }
    return tuple(told.get(name) for name in schema_of(SELLERS).names)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose version 1 is the trees and whose version 2 is the scorecard."""
    made = with_training_set(lake_at(spark, tmp_path_factory.mktemp("version")))
    train(made, PLAN, "Wang Fang", POLICY)
    train(made, replace(PLAN, algorithm=ALGORITHMS["scorecard"]), "Wang Fang", POLICY)
    return made


def test_the_version_has_its_tags_and_the_run_its_evidence(lake: Lake) -> None:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    version = client.get_model_version(settings.model, "1")
    assert {"git_commit", "training_set", "catalogue", "policy", "algorithm", "trainer"} <= set(version.tags)
    asked = f"Probability that a seller who draws in the {DEFINITION.draw_days} days after the as-of day goes bad"
    assert version.description.splitlines()[0].startswith(asked)
    assert "Insufficient evidence" in version.description.splitlines()[2]
    assert len(version.description) <= DESCRIPTION_LENGTH
    assert f'mlflow.spark.load_model("models:/{settings.model}/1")' in version.description
    assert re.search(r"\n\* by region: north \d+% of \d+, south \d+% of \d+\n", version.description)
    assert re.search(r"\n\* by owner type: .*person \d+% of \d+", version.description)
    for trained in ("| policy | standard ", "| tables | gold.training_set version "):
        assert f"\n{trained}" in version.description
    run = client.get_run(version.run_id)
    definition = f"bad_30 {DEFINITION.version} {DEFINITION.digest()[:12]}"
    assert version.tags["outcome_definition"] == run.data.params["outcome_definition"] == definition
    assert f"| outcome definition | {definition} |" in version.description
    wanted = {
        "evaluated_auc_low",
        "evaluated_gini",
        "evaluated_ks",
        "observed_to_expected",
        "brier",
        "log_loss",
        "calibration_slope_high",
        "unseen_groups_auc",
        "unseen_groups_observed_to_expected_high",
        "unseen_groups_calibration_slope_low",
        "scorecard_auc",
        "auc_less_scorecard_low",
        "score_psi_out_of_time",
        "directions_reversed",
        "grade_tests_failed",
        "points_off_most",
        "scorecard_brier",
        "scorecard_calibration_slope",
        "reweighted_auc_low",
        "effective_rows",
    }
    assert wanted <= set(run.data.metrics)
    assert run.data.metrics["single_score_off_most"] == 0
    # of the one cohort out of time 20 sellers weigh four each, 140 weigh one
    assert run.data.metrics["approved_at_random"] == 20
    assert run.data.metrics["effective_rows"] == pytest.approx((140 + 80) ** 2 / (140 + 320))
    assert run.data.params["tries"] == "1" and "Settings: of 2 tried, " in version.description
    names = {file.path for folder in ("tables", "plots") for file in client.list_artifacts(version.run_id, folder)}
    assert names == {
        *(f"tables/{name}.csv" for name in ("agreement", "approved", "directions", "funnel", "importance")),
        *(f"tables/{name}.csv" for name in ("scorecard", "shift", "tuning", "worst_misses")),
        *(f"plots/{name}.png" for name in ("calibration", "cohorts", "gain", "lift", "roc", "scores")),
    }


def artifact_of_version_1(lake: Lake, name: str) -> str:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    version = client.get_model_version(settings.model, "1")
    folder = mlflow.artifacts.download_artifacts(run_id=version.run_id, tracking_uri=settings.tracking_uri)
    return (Path(folder) / name).read_text("utf-8")


def agreement_of_version_1(lake: Lake, attribute: str) -> dict[str, tuple[int, int]]:
    """Rows and bads by the values of an attribute, from the artifacts of the run."""
    table = csv.DictReader(io.StringIO(artifact_of_version_1(lake, "tables/agreement.csv")))
    return {row["value"]: (int(row["rows"]), int(row["bads"])) for row in table if row["attribute"] == attribute}


def test_a_category_that_no_training_row_has_is_judged_like_any_other(lake: Lake) -> None:
    later = [row for row in rows_of_a_set("any") if row["as_of"] == COHORTS[3]]
    assert agreement_of_version_1(lake, "category") == {
        "clothes": (SHOPS - 6, sum(row["bad"] for row in later[6:])),
        "unheard-of": (6, sum(row["bad"] for row in later[:6])),
    }


def test_the_run_tells_the_level_of_each_cohort_that_trained(lake: Lake) -> None:
    told = agreement_of_version_1(lake, "training cohort")
    trained = [row for row in rows_of_a_set("any") if row["known_on"] <= TRAINED_ON]
    assert told == {
        str(cohort): (len(of_it), sum(row["bad"] for row in of_it))
        for cohort in COHORTS[:3]
        for of_it in [[row for row in trained if row["as_of"] == cohort]]
    }
    assert "Of the 3 cohorts that trained, observed / expected was from " in artifact_of_version_1(lake, "card.html")


def test_no_seller_is_named_in_what_the_registry_holds(lake: Lake) -> None:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    run_id = client.get_model_version(settings.model, "1").run_id
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, tracking_uri=settings.tracking_uri))
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 20 and not [file for file in files if b"shop-" in file.read_bytes()]
    misses = list(csv.DictReader(io.StringIO((folder / "tables" / "worst_misses.csv").read_text())))
    assert {miss["went"] for miss in misses} == {"bad", "not bad"}


def test_the_signature_is_written_out_and_the_example_is_of_nobody(lake: Lake) -> None:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    run_id = client.get_model_version(settings.model, "1").run_id
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, tracking_uri=settings.tracking_uri))
    with (folder / "tables" / "directions.csv").open() as file:
        low = {row["feature"]: float(row["low"]) for row in csv.DictReader(file)}
    mlflow.set_tracking_uri(settings.tracking_uri)
    model = mlflow.models.get_model_info(f"models:/{settings.model}/1")
    columns = {column.name: (column.type, column.required) for column in model.signature.inputs.inputs}
    assert set(low) <= set(columns) <= set(MODEL_INPUTS)
    assert set(columns.values()) == {(DataType.double, False)}
    assert model.signature.outputs.input_names() == ["prediction"]
    example = mlflow.models.Model.load(f"models:/{settings.model}/1").load_input_example()
    told = {name: value for name, value in example.iloc[0].items() if name in low}
    assert told == pytest.approx(low) and len(example) == 1


def test_same_rows_for_the_scorecard_as_a_model_and_as_the_baseline(lake: Lake) -> None:
    trees, scorecard = (training_of(lake, number).figures for number in (1, 2))
    assert trees["evaluated_rows"] == scorecard["evaluated_rows"]
    assert scorecard["auc_less_scorecard"] == 0
    assert trees["scorecard_auc"] == pytest.approx(scorecard["evaluated_auc"], abs=1e-9)
    assert "points_rows" in trees and "points_rows" not in scorecard


_ALONE = """
import sys
from pyspark.sql import SparkSession
import mlflow
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config(map={small}).getOrCreate()
mlflow.set_tracking_uri({uri!r})
model = mlflow.spark.load_model("models:/{model}/{version}")
others = ("ml", "conf", "jobs", "transforms", "xgboost", "numba")
assert not [name for name in sys.modules if name.split(".")[0] in others]
model.transform(spark.read.parquet({rows!r})).select("seller_id", "as_of", "prediction").write.parquet({out!r})
"""


@pytest.mark.parametrize("version", [1, 2], ids=["trees", "scorecard"])
def test_loaded_from_the_registry_alone_it_predicts_the_same_to_the_last_bit(
    lake: Lake, tmp_path: Path, version: int
) -> None:
    rows = lake.read(TRAINING_SET)
    rows.write.parquet(str(tmp_path / "rows"))
    settings = lake.settings.mlflow
    script = _ALONE.format(
        small=SMALL,
        uri=settings.tracking_uri,
        model=settings.model,
        version=version,
        rows=str(tmp_path / "rows"),
        out=str(tmp_path / "out"),
    )
    # isolated: neither this folder nor the editable install is on its path
    packages = [place for place in sys.path if place.endswith("site-packages")]
    alone = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + {packages}\n" + script
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", alone], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ours = load(settings.tracking_uri, settings.model, version).pipeline.transform(rows)
    wanted = {(row["seller_id"], row["as_of"]): row["prediction"] for row in ours.collect()}
    found = lake.spark.read.parquet(str(tmp_path / "out")).collect()
    assert {(row["seller_id"], row["as_of"]): row["prediction"] for row in found} == wanted
    assert len(wanted) == SHOPS * len(COHORTS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda row: row | {"bad": 0}, "all 4.. rows with an outcome known by 2024-02-01 are good: no bad outcome"),
        (lambda row: row | {"bad": 1, "indeterminate": False}, "are bad: no good outcome"),
        (lambda row: row | {"known_on": date(2025, 1, 1)}, "there is nothing to train on"),
        (lambda row: row | {"group_id": "one"}, "1 groups of sellers in 2 folds"),
        (lambda row: row | {"as_of": date(2023, 1, row["as_of"].month)}, "no cohort from 2024-02-01 on"),
        (lambda row: row | {"refund_rate_90d": math.inf}, "feature refund_rate_90d: infinite in 640 rows"),
    ],
    ids=["no bad", "no good", "nothing known", "fewer groups than folds", "nothing later", "infinite"],
)
def test_a_set_that_carries_no_model_is_told_in_one_pass(
    spark: SparkSession, change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    schema = schema_of(TRAINING_SET)
    rows = [change(row) for row in rows_of_a_set("set")]
    table = spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)
    problems = problems_of(table.coalesce(1), MODEL_INPUTS, PLAN)
    assert len(problems) == 1 and re.search(told, problems[0])


def test_nothing_is_registered_of_a_set_that_carries_no_model(spark: SparkSession, tmp_path: Path) -> None:
    lake = with_training_set(lake_at(spark, tmp_path), lambda row: row | {"bad": 0})
    with pytest.raises(UserError, match="train: all 4.. rows .* are good: no bad outcome"):
        train(lake, PLAN, "Wang Fang", POLICY)
    assert lake.last_run("train") is None
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    assert client.search_registered_models() == [] and client.get_experiment_by_name(settings.experiment) is None


def trained_apart(folder: Path, failpoint: str = "") -> "subprocess.CompletedProcess[str]":
    """Train on the lake in a folder by the command, in a process of its own; a failpoint kills it as SIGKILL does."""
    told = {
        "lake.root": folder / "lake",
        "mlflow.tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
        "pseudonyms.key_file": folder / "pseudonyms.key",
        "spark.shuffle_partitions": 2,
    }
    command = ["train", "--trained-on", str(TRAINED_ON), "--trainer", "Wang Fang", "--trees", "3"]
    command += [part for name, value in told.items() for part in ("--set", f"{name}={value}")]
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env=os.environ | {"SC_FAILPOINT": failpoint},
    )


def test_a_training_killed_before_it_is_published_leaves_a_version_that_says_so(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = with_training_set(lake_at(spark, tmp_path))
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    assert trained_apart(tmp_path, "train:before:publish").returncode == -9
    assert "train again" in client.get_model_version(settings.model, "1").tags[UNFINISHED]
    assert lake.last_run("train") is None and alias(settings.tracking_uri, settings.model, CHALLENGER) is None
    with pytest.raises(UserError, match="version 1 was not trained on this lake"):
        review(lake, "1")

    done = trained_apart(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert UNFINISHED not in client.get_model_version(settings.model, "2").tags
    assert alias(settings.tracking_uri, settings.model, CHALLENGER) == 2
    assert training_of(lake_at(spark, tmp_path), 2).facts["model_version"] == "2"

    # as one that was killed between the two leaves it, whatever is the challenger by then
    client.set_model_version_tag(settings.model, "2", UNFINISHED, "")
    assert trained_apart(tmp_path).returncode == 0
    assert UNFINISHED not in client.get_model_version(settings.model, "2").tags


def test_another_process_fits_the_same_version_of_the_same_set_to_the_last_bit(
    spark: SparkSession, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    lake = with_training_set(lake_at(spark, one))
    shutil.copytree(one, two)
    models = []
    for folder in (one, two):
        done = trained_apart(folder)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
        models.append(load(f"sqlite:///{folder / 'mlflow.db'}", lake.settings.mlflow.model, 1).pipeline)
    rows = lake.read(TRAINING_SET)
    scored = [
        {(row["seller_id"], row["as_of"]): row["prediction"] for row in model.transform(rows).collect()}
        for model in models
    ]
    assert scored[0] == scored[1] and len(set(scored[0].values())) > 10
    grown = [next(stage for stage in model.stages if hasattr(stage, "toDebugString")) for model in models]
    # but for the random part of its id
    assert grown[0].toDebugString.split("\n", 1)[1] == grown[1].toDebugString.split("\n", 1)[1]


def test_a_cross_validated_challenger_by_xgboost_judges_each_row_once_and_scores_nobody(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = with_training_set(lake_at(spark, tmp_path))
    train(lake, Plan(XGBoosting(trees=5, depth=2), None, 2, 2), "Wang Fang", POLICY)
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    version = client.get_model_version(settings.model, "1")
    assert alias(settings.tracking_uri, settings.model, CHALLENGER) == 1 and UNFINISHED not in version.tags
    rows = rows_of_a_set("any")
    metrics = client.get_run(version.run_id).data.metrics
    # not twice, though there are two repeats of two folds
    assert metrics["evaluated_rows"] == metrics["train_rows"] == len(rows)
    assert metrics["evaluated_bads"] == sum(row["bad"] for row in rows)
    # what one fold's models say of a row that they never saw cannot be what all rows' own trees say of it
    assert metrics["evaluated_auc"] < metrics["train_auc"]
    assert "AUC over 2 repeats: mean " in version.description and "between the 4 folds" in version.description
    told = review(lake, "1").table
    assert told is not None
    by_gate = {gate[0]: gate for gate in told[1]}
    assert "insufficient evidence" in str(by_gate["observed-to-expected"])

    loaded = load(settings.tracking_uri, settings.model, 1)
    model = mlflow.models.get_model_info(f"models:/{settings.model}/1")
    needed = Path(mlflow.artifacts.download_artifacts(f"{model.model_uri}/requirements.txt")).read_text()
    assert re.search(r"^xgboost-cpu==\d", needed, re.MULTILINE)
    found = [row["prediction"] for row in loaded.pipeline.transform(lake.read(TRAINING_SET)).collect()]
    assert len(found) == len(rows) and all(0 < pd < 1 for pd in found) and len(set(found)) > 5
    with pytest.raises(UserError, match="has no exact reasons: no seller could be told why"):
        _require_match(loaded)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "nonsense://x", "sqlite:////proc/none/mlflow.db"])
def test_a_registry_that_cannot_be_used_is_told_before_anything_is_fitted(lake: Lake, uri: str) -> None:
    settings = Settings.model_validate(lake.settings.model_dump() | {"mlflow": _mlflow(lake, uri)})
    began = time.monotonic()
    with pytest.raises(UserError, match="cannot be used: .* Check mlflow.tracking_uri"):
        train(Lake(lake.spark, settings), replace(PLAN, folds=3), "Wang Fang", POLICY)
    with pytest.raises(UserError, match="cannot be used: .* Check mlflow.tracking_uri"):
        review(Lake(lake.spark, settings), "1")
    with pytest.raises(UserError, match="cannot be used: .* Check mlflow.tracking_uri"):
        promote(Lake(lake.spark, settings), "1", "Li Wei", {}, datetime(2024, 12, 1, tzinfo=UTC))
    assert time.monotonic() - began < 90


def test_another_registry_than_that_of_the_lakes_versions_is_told(lake: Lake, tmp_path: Path) -> None:
    elsewhere = f"sqlite:///{tmp_path}/mistyped.db"
    settings = Settings.model_validate(lake.settings.model_dump() | {"mlflow": _mlflow(lake, elsewhere)})
    with pytest.raises(UserError, match=r"mistyped.db has no model .*, and this lake has trained version \d+ of it"):
        train(Lake(lake.spark, settings), PLAN, "Wang Fang", POLICY)
    assert not knows_model(elsewhere, lake.settings.mlflow.model)
    # once it is meant, what comes next is told
    too_early = replace(PLAN, trained_on=date(2020, 1, 1))
    with pytest.raises(UserError, match="no row with an outcome known by 2020-01-01"):
        train(Lake(lake.spark, settings), too_early, "Wang Fang", POLICY, new_registry=True)


def test_a_version_is_held_against_the_champion_or_says_why_not(lake: Lake, tmp_path: Path) -> None:
    shutil.copytree(lake.root, tmp_path / "lake")
    settings = lake.settings.mlflow

    def with_champion(version: int) -> Lake:
        moved = Settings.model_validate(
            lake.settings.model_dump()
            | {"lake": lake.settings.lake.model_dump() | {"root": str(tmp_path / "lake")}, "mlflow": _mlflow(lake)}
        )
        signed = Lake(lake.spark, moved)
        with signed.run("promote", "champion", {"version": version}, {}) as run:
            run.facts = {
                "kind": "promotion",
                "model_name": settings.model,
                "model_version": str(version),
                "approver": "Li Wei",
            }
            run.publish()
        return signed

    held = with_champion(2)
    train(held, PLAN, "Wang Fang", POLICY)
    newest = held.last_run("train")
    assert newest is not None and newest.figures["champion_version"] == 2
    # the scorecard of version 2 is the baseline of this one: fitted on the same rows, calibrated on the same folds
    figures = ("auc", "ks", "gini", "brier", "log_loss", "calibration_intercept", "calibration_slope")
    for name in (*figures, "observed_to_expected"):
        assert newest.figures[f"champion_{name}"] == pytest.approx(newest.figures[f"scorecard_{name}"], abs=1e-9), name
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    told = client.get_model_version(settings.model, newest.facts["model_version"]).description
    assert "* The champion is version 2." in told and "* Algorithm: gbt; the champion's: scorecard." in told
    assert "\n| tables | gold.training_set version " in told and "\n* by owner type: " in told
    assert "* Training set:" not in told and "* Outcome definition:" not in told

    assert _champion(with_champion(99)) == (
        None,
        ["The champion, version 99, is no longer in the registry: it was not judged."],
    )


def test_a_champion_that_wants_what_is_gone_is_told(lake: Lake) -> None:
    settings = lake.settings.mlflow
    loaded = load(settings.tracking_uri, settings.model, 1)
    older = replace(loaded, features=(*loaded.features, "moon_phase"))
    assert features_lost(loaded, TRAINING_SET) == []
    assert features_lost(older, TRAINING_SET) == ["moon_phase, which the catalogue no longer has"]
    name = loaded.features[0]
    moved = replace(loaded, digests={**loaded.digests, name: "of before"})
    assert features_lost(moved, TRAINING_SET) == [f"{name}, which the catalogue makes of something else now"]
    with pytest.raises(UserError, match="version 1 wants feature moon_phase, which the catalogue no longer has"):
        _require_match(older)


def _mlflow(lake: Lake, uri: str | None = None) -> dict[str, Any]:
    return lake.settings.mlflow.model_dump() | ({"tracking_uri": uri} if uri else {})


def test_the_pages_of_a_version_say_what_a_reviewer_looks_for(lake: Lake, tmp_path: Path) -> None:
    settings = lake.settings.mlflow
    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    version = client.get_model_version(settings.model, "1")
    run = client.get_run(version.run_id)
    card = Path(
        mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path="card.html", tracking_uri=settings.tracking_uri
        )
    )
    with chromium() as browser, mlflow_server(settings.tracking_uri, tmp_path) as address:
        body = "return document.body ? document.body.innerText : ''"

        def read(url: str, *wanted: str) -> None:
            browser.get(url)
            WebDriverWait(browser, 90).until(lambda b: all(word in b.execute_script(body) for word in wanted))

        browser.set_window_size(1280, 2400)
        read(
            card.as_uri(),
            "Insufficient evidence",
            "Gates",
            "leak-audit",
            "owner type",
            "north",
            "Worst misses",
            "Settings that were tried",
            "reweighted",
            "approved at random",
            "the scorecard on the same rows",
        )
        for width in (390, 1280):
            assert fits(browser, width)
        # on paper: A4 less its margins is 718 pixels wide
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert fits(browser, 718)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.set_window_size(1280, 2400)
        read(
            f"{address}/#/models/{settings.model}/versions/1",
            "Insufficient evidence",
            "calibration-slope",
            "git_commit",
        )
        page = f"{address}/#/experiments/{run.info.experiment_id}/runs/{version.run_id}"
        read(page, "evaluated_auc", "gold.training_set", "Wang Fang")
        read(f"{page}/artifacts", "card.html", "tables", "plots")
        # as a reviewer opens the card: in a frame of the run's page
        browser.find_element(By.XPATH, "//*[text()='card.html']").click()
        WebDriverWait(browser, 90).until(expected.frame_to_be_available_and_switch_to_it((By.TAG_NAME, "iframe")))
        WebDriverWait(browser, 90).until(lambda b: "Insufficient evidence" in b.execute_script(body))
