"""The whole chain on a small harsh world: every table, a kill while scoring, the notebook, the pages in a browser."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from selenium.webdriver.support.ui import WebDriverWait

from conf.errors import StepFailure, UserError
from conf.outcome import load_definition
from conf.policy import load_policy
from conf.settings import load_settings
from conf.source import load_source
from conf.world import load_world
from jobs import replay as replaying
from jobs.aggregate import aggregate
from jobs.audit import audit
from jobs.daily import daily
from jobs.decide import decide
from jobs.features import features
from jobs.ingest import ingest
from jobs.lakehouse.champion import gates_of, training_of
from jobs.lakehouse.decided import decision_of
from jobs.lakehouse.lake import Lake
from jobs.pages.html import to_html
from jobs.promote import promote
from jobs.record import first_with, record, record_of
from jobs.replay import replay
from jobs.score import score
from jobs.simulate import simulate
from jobs.status import status
from jobs.train import funnel, train
from jobs.training_set import training_set_by_cohorts
from ml.fitting import Plan
from ml.gates import PASS
from ml.pipeline import Boosting
from ml.registry import load
from tests.browser import chromium, fits, mlflow_server
from tests.conftest import PROJECT, SMALL, lake_at
from tests.oracle.test_features_against_duckdb import rebuilt, rows_of
from transforms.tables.bronze import DELIVERIES, LOAN_EVENTS
from transforms.tables.gold import DECISIONS, OUTCOMES, SCORES, SELLER_FEATURES, SIGNOFFS, TRAINING_SET

pytestmark = pytest.mark.full  # eight minutes, most of them Spark's planning of wide features

FIRST_DAY = date(2020, 9, 1)
DAYS = 560
TODAY = date(2026, 1, 1)
CLOSED = FIRST_DAY + timedelta(days=DAYS - 4)
AS_OF = CLOSED + timedelta(days=1)
TRAINED_ON = date(2021, 9, 1)
PLAN = Plan(Boosting(trees=12, depth=2, least_rows_a_leaf=10), TRAINED_ON, 2, 1)
POLICY = load_policy("standard")
DRAW_DAYS = 60
# by the standard a cohort is followed after 269 days: some to train on and one to test on want two years and more
DEFINITION = load_definition("standard").model_copy(
    update={
        "name": "short",
        "draw_days": DRAW_DAYS,
        "follow_up_days": 30,
        "bad_days": 30,
        "indeterminate_days": 15,
        "distressed_days": 15,
    }
)
FIRST_NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def lake(spark: SparkSession, folder: Path) -> Lake:
    """A lake with a champion, scored and decided as of AS_OF."""
    world = yaml.safe_load((PROJECT / "conf" / "worlds" / "demo.yml").read_text())
    world |= {"sellers": 240, "days": DAYS, "name": "harsh"}
    # a dozen trees on 240 sellers: a year that is hard on all of them would be all that they learn
    world["demand"] |= {"common_margin": 0, "break_margin": 0}
    world["shops"] |= {"orders_a_week": 0.4, "open_at_start": 0.95, "closing_a_year": [0.02, 0.1]}
    world["money"] |= {"losses_a_year": 2, "rescue_a_week": 0.01, "buffer_weeks": [0.05, 3.0]}
    world["lending"] |= {"first_day": 30, "draw_level": -1.0, "willing_shops": 0.95, "strategic": 0.1}
    (folder / "world.yml").write_text(yaml.safe_dump(world))
    simulate(spark, load_world(str(folder / "world.yml")), str(folder / "world"))
    lake = lake_at(spark, folder)
    as_one_delivery(folder / "world" / "deliveries", CLOSED - timedelta(days=30))
    ingest(lake, load_source("marketplace"), str(folder / "world" / "deliveries"), None, TODAY, None, str(CLOSED))
    aggregate(lake, CLOSED)
    training_set_by_cohorts(lake, date(2020, 10, 1), date(2021, 9, 1), DEFINITION)
    # before it is trained: after new features the same would be trained again
    features(lake, AS_OF)
    train(lake, PLAN, "trainer", POLICY)
    promote(lake, "challenger", "officer", overrides_for(lake, 1), FIRST_NOON)
    shutil.copytree(lake.root, folder / "before-scoring" / "lake")
    score(lake, AS_OF)
    decide(lake, AS_OF, POLICY)
    return lake


def as_one_delivery(deliveries: Path, through: date) -> None:
    """Put the history up to a day into one folder, a file a feed, as whoever brings a ledger has it: 1,600 files of a
    day each took a minute to read.
    """
    old = sorted(folder for folder in deliveries.iterdir() if folder.name <= str(through))
    for feed in {place.name for folder in old for place in folder.iterdir()}:
        told = [pq.read_table(file) for folder in old for file in sorted((folder / feed).glob("*.parquet"))]
        shutil.rmtree(old[-1] / feed, ignore_errors=True)
        (old[-1] / feed).mkdir()
        pq.write_table(pa.concat_tables(told, promote_options="permissive"), old[-1] / feed / "part-0.parquet")
    for folder in old[:-1]:
        shutil.rmtree(folder)


def overrides_for(lake: Lake, version: int) -> dict[str, str]:
    """A reason for every gate that a version does not pass."""
    training = training_of(lake, version)
    judged = gates_of(lake, training)
    return {gate.gate: "a test" for gate in judged if gate.verdict != PASS}


def test_counts_add_up_and_what_was_planted_was_found(spark: SparkSession, lake: Lake, folder: Path) -> None:
    told = (
        lake.read(DELIVERIES)
        .agg(*(F.sum(name) for name in ("records_in", "accepted", "duplicate", "quarantined")))
        .collect()[0]
    )
    assert told[0] == told[1] + told[2] + told[3]
    planted = spark.read.parquet(str(folder / "world" / "truth" / "faults"))
    in_time = planted.filter(F.col("delivered_on") <= F.lit(CLOSED)).groupBy("fault").count().collect()
    by_kind = {row["fault"]: row["count"] for row in in_time}
    assert told[2] == by_kind["duplicate"]
    assert told[3] == by_kind["broken"]


def test_sweep_is_rebuild_at_three_days(lake: Lake) -> None:
    for day in (AS_OF, FIRST_DAY + timedelta(days=200), FIRST_DAY + timedelta(days=401)):
        features(lake, day)
        swept = lake.last_run("features", f"as_of={day}")
        assert swept is not None
        by_sweep = rows_of(lake, swept.run_id)
        assert len(by_sweep) > 50
        assert by_sweep == rebuilt(lake, day)


def test_scores_add_up_and_decisions_name_what_they_rest_on(lake: Lake) -> None:
    scores = lake.read(SCORES).filter(F.col("as_of") == F.lit(AS_OF))
    total = F.aggregate(F.map_values("points"), F.col("base_points"), lambda so_far, points: so_far + points)
    off = scores.agg(F.max(F.abs(total - F.col("score_before_clipping"))), F.count(F.lit(1))).collect()[0]
    featured = lake.read(SELLER_FEATURES).filter(F.col("as_of") == F.lit(AS_OF)).count()
    assert off[0] < 1e-6
    assert off[1] == featured == lake.read(DECISIONS).filter(F.col("as_of") == F.lit(AS_OF)).count()
    signed = lake.read(SIGNOFFS).collect()
    told = [(row["kind"], row["approver"], row["trainer"], row["previous_version"]) for row in signed]
    assert told == [("promotion", "officer", "trainer", None)]
    assert {given["gate"]: given["reason"] for given in signed[0]["overrides"]} == overrides_for(lake, 1)


def test_a_decision_made_again_from_what_it_rests_on_is_the_same(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    of_day = lake.read(DECISIONS).filter(F.col("as_of") == F.lit(AS_OF))
    firsts = of_day.groupBy("outcome").agg(F.min("decision_id")).orderBy("outcome").collect()
    assert firsts
    for outcome, decision in firsts:
        told = replay(lake, decision, AS_OF)
        assert (told.values["outcome"], told.values["model"]) == (outcome, "seller-credit 1")
        assert (told.values["columns that differ"], told.failure) == (0, "")
        assert told.values["columns compared"] == len(DECISIONS.names) + len(SCORES.names) - 1
    assert record_of(lake, *decision_of(lake, firsts[0][1], None)).lineage["decision"] == firsts[0][1]
    with pytest.raises(UserError, match=f"{firsts[0][1]}: no decision of this id as of {TODAY} in"):
        replay(lake, firsts[0][1], TODAY)

    decided_by, row = decision_of(lake, firsts[0][1], AS_OF)
    edited = {**row, "pd": row["pd"] + 1e-16, "drawable_fen": row["drawable_fen"] + 1}
    assert edited["pd"] != row["pd"]
    monkeypatch.setattr(replaying, "decision_of", lambda *_: (decided_by, edited))
    told = replay(lake, firsts[0][1], AS_OF)
    assert told.failure == f"{firsts[0][1]} comes out otherwise in decision.pd, decision.drawable_fen"
    assert told.lines[1] == f"decision.drawable_fen: was {row['drawable_fen'] + 1}, is {row['drawable_fen']}"
    another = replace(load(lake.settings.mlflow.tracking_uri, "seller-credit", 1), run_id="f" * 32)
    monkeypatch.setattr(replaying, "load", lambda *_: another)
    with pytest.raises(UserError, match="has another model under that number"):
        replay(lake, firsts[0][1], AS_OF)


def test_no_outcome_of_the_training_rows_was_known_later_than_the_training_day(lake: Lake) -> None:
    run = lake.last_run("train")
    assert run is not None
    rows = lake.read(TRAINING_SET)
    known = rows.filter(F.col("known_on") <= F.lit(TRAINED_ON)).count()
    assert rows.count() > known == run.figures["train_rows"] > 0
    # beside the newest features of all sellers, which were published before
    assert run.figures["impact_of_all_sellers"] == 1 and run.figures["score_psi_newest_snapshot"] > 0


def test_the_funnel_counts_who_asked_was_approved_and_drew(lake: Lake, folder: Path) -> None:
    made_by = lake.last_run("training-set")
    assert made_by is not None
    found = dict(funnel(lake, lake.read, made_by))
    lake.read(LOAN_EVENTS).select("seller_id", "event_day", "kind", "sign").toPandas().to_parquet(
        folder / "loans.parquet"
    )
    lake.read(OUTCOMES).select("seller_id", "as_of", "outcome").toPandas().to_parquet(folder / "outcomes.parquet")
    for kind, name in (("applied", "asked for a loan"), ("approved", "were approved one"), ("drawn", "drew")):
        counted = duckdb.sql(
            f"select count(*) from '{folder}/outcomes.parquet' o where (select coalesce(sum(sign), 0) from"
            f" '{folder}/loans.parquet' l where l.seller_id = o.seller_id and kind = '{kind}'"
            f" and event_day >= as_of and event_day < as_of + interval {DRAW_DAYS} day) > 0"
        ).fetchall()
        assert found[f"{name} in the {DRAW_DAYS} days after"] == counted[0][0] > 0, name
    assert found["all sellers, each month"] > found[f"asked for a loan in the {DRAW_DAYS} days after"]
    decided = lake.read(DECISIONS).filter(F.col("as_of") == F.lit(AS_OF)).collect()
    assert found[f"all sellers, decided on as of {AS_OF}"] == len(decided)
    assert found["offered"] == sum(row["outcome"] == "offer" for row in decided)
    eligible = [row for row in decided if not row["knock_outs"] and row["outcome"] in ("offer", "decline")]
    assert found["eligible: no knock-out, history and figures enough"] == len(eligible) > found["offered"]


def test_the_audit_is_clean_and_finds_each_leak_that_is_planted(spark: SparkSession, lake: Lake, folder: Path) -> None:
    shutil.copytree(lake.root, folder / "planted" / "lake")
    copy = Lake(spark, load_settings("local", environment(lake, folder / "planted" / "lake")))
    told = audit(copy, "newest", 1)
    assert {row[1] for row in told.table[1]} == {"clean"}, told.table
    honest = copy.last_run("training-set")
    assert honest is not None
    is_odd = F.pmod(F.xxhash64("seller_id", "as_of"), F.lit(2)) == 1
    with copy.run("training-set", "planted", {}, {}) as run:
        rows = run.read(TRAINING_SET).filter(F.col("training_set") == honest.run_id)
        # what a feature is two months later, as if the sweep had looked ahead
        later = rows.select("seller_id", F.add_months("as_of", -2).alias("as_of"), F.col("gmv_sum_90d").alias("later"))
        planted = rows.join(later, ["seller_id", "as_of"], "left").withColumns(
            {
                "training_set": F.lit(run.run_id),
                "gmv_sum_90d": F.coalesce("later", F.col("gmv_sum_90d") + 1),
                "refund_rate_90d": F.col("bad") * 1.0,
                "group_id": F.when(is_odd, F.lit("elsewhere")).otherwise(F.col("group_id")),
                "known_on": F.when(is_odd, F.col("as_of")).otherwise(F.date_sub("known_on", 30)),
            }
        )
        planted = planted.drop("later").filter(~F.col("indeterminate"))
        run.replace(TRAINING_SET, planted.coalesce(1), f"training_set = '{run.run_id}'")
        outcomes = run.read(OUTCOMES).filter(F.col("run_id") == honest.run_id).withColumn("run_id", F.lit(run.run_id))
        run.replace(OUTCOMES, outcomes.coalesce(1), f"run_id = '{run.run_id}'")
        run.facts, run.figures = {**honest.facts, "training_set": run.run_id}, dict(honest.figures)
        run.publish()
    with pytest.raises(StepFailure) as found:
        audit(copy, "newest", 1)
    problems = {line.split(":")[0]: line for line in found.value.problems}
    assert set(problems) == {
        "audit",
        "future events",
        "single features",
        "outcomes in the history",
        "outcomes by the loans",
        "connected groups",
    }
    assert "gmv_sum_90d" in problems["future events"] and "refund_rate_90d" in problems["future events"]
    assert "refund_rate_90d 1.000" in problems["single features"]
    assert f" {honest.figures['indeterminate']:.0f} known outcomes without a row" in problems["outcomes by the loans"]
    audited = copy.last_run("audit", run.run_id)
    assert audited is not None and (audited.figures["leaks"], audited.figures["days"]) == (5, 1)


def test_a_promotion_needs_another_person_and_a_reason(lake: Lake) -> None:
    with pytest.raises(UserError, match="another person"):
        promote(lake, "1", "Trainer ", {}, FIRST_NOON)
    with pytest.raises(UserError, match="--override"):
        promote(lake, "1", "someone", {}, FIRST_NOON)


def test_every_step_run_twice_changes_nothing(lake: Lake) -> None:
    before = [run.run_id for run in lake.runs()]
    features(lake, AS_OF)
    score(lake, AS_OF)
    decide(lake, AS_OF, POLICY)
    promote(lake, "1", "officer", overrides_for(lake, 1), FIRST_NOON)
    training_set_by_cohorts(lake, date(2020, 10, 1), date(2021, 9, 1), DEFINITION)
    train(lake, PLAN, "trainer", POLICY)
    assert [run.run_id for run in lake.runs()] == before


def test_scoring_killed_and_run_again_gives_the_same_scores(spark: SparkSession, lake: Lake, folder: Path) -> None:
    again = Lake(spark, load_settings("local", environment(lake, folder / "before-scoring" / "lake")))
    words = [sys.executable, "-m", "jobs.score", "--as-of", str(AS_OF)]
    told = environment(lake, again.root) | {"SC_FAILPOINT": "score:after:gold.scores"}
    assert subprocess.run(words, cwd=folder, env=told, capture_output=True, check=False).returncode == -9
    assert again.read(SCORES).count() == 0
    assert spark.read.format("delta").load(again.path(SCORES)).count() > 50

    score(again, AS_OF)

    undisturbed = lake.read(SCORES).filter(F.col("as_of") == F.lit(AS_OF)).drop("run_id").orderBy("seller_id").collect()
    assert again.read(SCORES).drop("run_id").orderBy("seller_id").collect() == undisturbed


def environment(lake: Lake, root: str | Path) -> dict[str, str]:
    """What a process of its own needs to work on the lake at `root` with the registry of `lake`."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "SELLER_CREDIT_LAKE__ROOT": str(root),
        "SELLER_CREDIT_MLFLOW__TRACKING_URI": lake.settings.mlflow.tracking_uri,
        "SELLER_CREDIT_SCORING__BUCKETS": "4",
        "SELLER_CREDIT_SPARK__CONFIG": json.dumps(SMALL),
    }


def test_daily_does_a_day_and_the_record_tells_a_person(lake: Lake, folder: Path) -> None:
    done = daily(
        lake, AS_OF + timedelta(days=1), load_source("marketplace"), str(folder / "world" / "deliveries"), POLICY
    )
    assert done.values["aggregate: closed through"] == AS_OF
    assert done.values["decide: decisions"] == done.values["score: sellers"]
    of_day = lake.read(DECISIONS).filter(F.col("as_of") == F.lit(AS_OF + timedelta(days=1)))
    outcome, seller = of_day.orderBy("outcome", "seller_id").select("outcome", "seller_id").first()
    assert first_with(lake, outcome, None) == seller
    told = record(lake, seller, None)
    assert told.as_of == AS_OF + timedelta(days=1)
    assert told.is_simulated and told.lineage["model"] == "seller-credit 1"
    with pytest.raises(UserError, match="no seller of this id"):
        record(lake, "nobody", None)
    rows = json.loads(status(lake).as_json())["rows"]
    assert {row["step"] for row in rows} >= {
        "ingest",
        "aggregate",
        "features",
        "training-set",
        "train",
        "score",
        "decide",
    }


def test_the_notebook_runs_as_a_script(lake: Lake, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "notebooks" / "01_first_look.py")],
        cwd=folder,
        env=environment(lake, lake.root),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "published already by" in done.stdout and "YOUR CREDIT RECORD" in done.stdout


def test_the_pages_hold_in_a_browser(lake: Lake, folder: Path) -> None:
    seller = lake.read(DECISIONS).orderBy("outcome", "seller_id").first()["seller_id"]
    page = folder / "record.html"
    page.write_text(to_html(record(lake, seller, None)), "utf-8")
    with mlflow_server(lake.settings.mlflow.tracking_uri, folder) as address, chromium() as browser:
        browser.get(page.as_uri())
        assert seller in browser.find_element("tag name", "body").text
        for width in (390, 1280):
            assert fits(browser, width)
        browser.get(f"{address}/#/models/seller-credit/versions/1")
        told = WebDriverWait(browser, 60).until(lambda b: "out of time" in b.find_element("tag name", "body").text)
        assert told
        browser.save_screenshot(str(folder / "mlflow.png"))
