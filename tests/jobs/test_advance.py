"""Features carried on from day to day: catching up, repeating, growing, refusing; and what `verify` says of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.outcome import load_definition
from jobs import features as features_job
from jobs.aggregate import aggregate
from jobs.features import features, renewed
from jobs.lakehouse import window_sums
from jobs.lakehouse.explain import explain
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.window_sums import HeldSums, newest_sums
from jobs.training_set import training_set_as_given, training_set_by_cohorts
from jobs.verify import verify
from tests.conftest import PROJECT, lake_at
from tests.jobs.test_kill_and_repeat import environment
from tests.oracle.histories import DAYS, FIRST_DAY, random_histories
from tests.oracle.test_histories import fill_bronze
from transforms.features import catalogue
from transforms.features.evaluate import wanted_sums
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.tables.ops import RUNS
from transforms.tables.silver import SELLER_BUYER_DAY, SELLER_DAY, SELLER_ITEM_DAY
from transforms.tables.table import Table

pytestmark = pytest.mark.full  # Spark plans a day of 132 features for half a minute

CLOSED = FIRST_DAY + timedelta(days=DAYS)
AS_OF = FIRST_DAY + timedelta(days=400)


def after(days: int) -> date:
    return AS_OF + timedelta(days=days)


@pytest.fixture(scope="module")
def closed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a lake of forty sellers, closed in two steps."""
    folder = tmp_path_factory.mktemp("closed")
    lake = lake_at(spark, folder)
    fill_bronze(lake, random_histories(5, 40))
    aggregate(lake, AS_OF)
    aggregate(lake, CLOSED)
    return folder


@pytest.fixture
def lake(spark: SparkSession, closed: Path, tmp_path: Path) -> Lake:
    """A copy of it."""
    shutil.copytree(closed / "lake", tmp_path / "lake")
    return lake_at(spark, tmp_path)


def slice_of(lake: Lake, table: Table, day: date) -> list[tuple[object, ...]]:
    run = lake.last_run("features", f"as_of={day}")
    assert run is not None
    rows = lake.read(table).filter(F.col("run_id") == run.run_id).drop("run_id").collect()
    return sorted((tuple(row) for row in rows), key=repr)


def test_days_left_out_are_made_up_for_and_days_one_by_one_are_the_same(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    assert features(lake, AS_OF).values["carried on from"] is None
    shutil.copytree(lake.root, tmp_path / "other" / "lake")
    other = lake_at(spark, tmp_path / "other")
    for days in (1, 2, 3):
        assert features(lake, after(days)).values["carried on from"] == str(after(days - 1))
    assert features(other, after(3)).values["carried on from"] == str(AS_OF)
    for table in (WINDOW_SUMS, SELLER_FEATURES):
        assert slice_of(lake, table, after(3)) == slice_of(other, table, after(3)) != []

    proof = verify(other, after(3), None)
    assert proof.failure == "" and proof.values["ways"] == "sweep, advance, rebuild, published"
    assert proof.values["cells that differ"] == 0 and proof.values["sellers"] > 30
    sample = verify(other, after(3), 7)
    assert sample.failure == "" and sample.values["sellers"] == 7

    # again, and for a day before: nothing changes, and what is there does not mislead
    before = [run.run_id for run in lake.runs()]
    assert "published already by" in features(lake, after(3)).values
    assert [run.run_id for run in lake.runs()] == before
    assert features(lake, after(-5)).values["carried on from"] is None


def test_a_new_sum_is_swept_and_the_others_are_carried_on(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    features(lake, AS_OF)
    full = newest_sums(lake, AS_OF)
    assert full is not None
    new = {("paid_fen", 90), ("last_buyers", 365)}
    older = HeldSums(full.as_of, full.run_id, full.sums - new)
    monkeypatch.setattr(features_job, "newest_sums", lambda *_: older)
    swept: list[Sequence[tuple[str, int]]] = []
    real = window_sums.sweep
    monkeypatch.setattr(window_sums, "sweep", lambda tiles, of, sums: swept.append(sums) or real(tiles, of, sums))
    features(lake, after(1))
    assert [set(sums) for sums in swept] == [new]
    monkeypatch.undo()
    held = newest_sums(lake, after(1))
    assert held is not None and held.as_of == after(1) and held.sums == set(wanted_sums())
    assert verify(lake, after(1), None).failure == ""


def test_a_feature_added_as_the_documentation_says_comes_to_the_days_of_before_by_one_command(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    for days in (0, 1):
        features(lake, after(days))
    before = [slice_of(lake, SELLER_FEATURES, after(days)) for days in (0, 1)]
    code = tmp_path / "code"
    for package in ("conf", "jobs", "ml", "transforms"):
        shutil.copytree(PROJECT / package, code / package)
    of_service = (PROJECT / "docs" / "features.md").read_text().split("--- a/transforms/features/service.py\n")[1]
    entry = [line.removeprefix("+") for line in of_service.split("\n---")[0].splitlines()]
    service = code / "transforms" / "features" / "service.py"
    entries = service.read_text()
    assert len(entry) > 5 and entries.endswith("\n]\n")
    service.write_text(entries.removesuffix("]\n") + "\n".join([*entry, "]\n"]))
    # of a kind of record that these histories have, and a window whose sum the state does not hold yet
    text = service.read_text().rsplit('"confirmation_rate"', 1)
    text[1] = text[1].replace("confirmed_orders", "refunded_orders").replace("(90,)", "(30,)")
    service.write_text('"confirmation_rate"'.join(text))

    def by_new_code(*words: str) -> dict[str, object]:
        command, told = [sys.executable, "-m", "jobs.cli", *words, "--json"], environment(tmp_path)
        done = subprocess.run(
            command, cwd=tmp_path, env=told | {"PYTHONPATH": str(code)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout))

    told = by_new_code("features", "--renew")
    assert told["renewed"] == 2 and told["lines"] == [str(AS_OF), str(after(1))]
    grown = Lake(spark, lake.settings)
    rates = {}
    for days in (0, 1):
        run = grown.last_run("features", f"as_of={after(days)}")
        assert run is not None
        of_day = grown.read(SELLER_FEATURES).filter(F.col("run_id") == run.run_id)
        rates[days] = [row[0] for row in of_day.select("confirmation_rate_30d").collect()]
        others = of_day.drop("run_id", "confirmation_rate_30d").collect()
        assert sorted(map(tuple, others), key=repr) == before[days]
    assert any(rates[0]) and any(rates[1])
    # what was published first is there still, without it
    old = grown.read(SELLER_FEATURES).groupBy("run_id").agg(F.count("confirmation_rate_30d").alias("known")).collect()
    assert len(old) == 4 and sum(row["known"] == 0 for row in old) == 2
    assert by_new_code("verify", "--as-of", str(after(1)))["cells that differ"] == 0
    assert by_new_code("features", "--renew")["renewed"] == 0


def test_days_of_other_values_are_renewed_with_and_without_a_state_and_no_day_twice(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_sums, "KEPT_DAYS", 1)
    for days in (0, 1, 2):
        features(lake, after(days))
    before = [slice_of(lake, SELLER_FEATURES, after(days)) for days in (0, 1, 2)]
    assert renewed(lake).values == {"days published": 3, "renewed": 0}
    # an entry that is only told otherwise makes no day anew
    monkeypatch.setattr(catalogue, "digest", lambda: "another word for it")
    assert renewed(lake).values["renewed"] == 0
    monkeypatch.setattr(catalogue, "digest_of_values", lambda: "something else")
    # as one that was stopped after its last day leaves it
    assert renewed(lake, after(2)).lines == [str(after(2))]
    assert renewed(lake).lines == [str(after(0)), str(after(1))]
    runs = [lake.last_run("features", f"as_of={after(days)}") for days in (0, 1, 2)]
    assert [run.facts["mode"] for run in runs if run] == ["sweep", "advance", "advance"]
    assert [slice_of(lake, SELLER_FEATURES, after(days)) for days in (0, 1, 2)] == before
    assert renewed(lake).values["renewed"] == 0


def test_columns_newer_than_the_lake_are_added_by_aggregate(lake: Lake) -> None:
    gone = [(SELLER_DAY, ["refunded_fen", "last_buyers"]), (SELLER_BUYER_DAY, ["pair_hash", "pair_check"])]
    before = [rows_of(lake, table) for table, _ in gone]
    with lake.run("aggregate", "as an older version made it", {}, {}) as run:
        for table, names in gone:
            rows = lake.read(table).drop(*names)
            writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", True)
            writer.partitionBy(*table.partitioned_by).option("userMetadata", run.run_id).save(lake.path(table))
            run._note(table, "every row")
        run.facts = {"closed_through": str(CLOSED), "closed_from": str(CLOSED + timedelta(days=1))}
        run.publish()
    with pytest.raises(UserError, match=r"refunded_fen, last_buyers.*seller-credit aggregate"):
        features(lake, AS_OF)
    done = aggregate(lake, CLOSED)
    assert done.values["measures added"] == "refunded_fen, last_buyers"
    assert done.values["pairs' columns added"] == "pair_hash, pair_check"
    assert [rows_of(lake, table) for table, _ in gone] == before
    features(lake, AS_OF)


def test_a_silver_table_newer_than_the_lake_is_made_by_aggregate(lake: Lake) -> None:
    before = rows_of(lake, SELLER_ITEM_DAY)
    assert len(before) > 40
    runs = lake.spark.read.format("delta").load(lake.path(RUNS))
    told = F.map_filter("facts", lambda name, _: name != "kinds_told")
    kinds = F.create_map(F.lit("kinds_told"), F.lit("order_event.paid"))
    older = runs.withColumns(
        {
            "outputs": F.filter("outputs", lambda out: out["table"] != SELLER_ITEM_DAY.name),
            "facts": F.when(F.col("step") == "ingest", F.map_concat(told, kinds)).otherwise(F.col("facts")),
        }
    )
    older.localCheckpoint().write.format("delta").mode("overwrite").save(lake.path(RUNS))
    shutil.rmtree(lake.path(SELLER_ITEM_DAY))
    lake = Lake(lake.spark, lake.settings)
    with pytest.raises(UserError, match=r"made before silver.seller_item_day. Run `seller-credit aggregate`"):
        features(lake, AS_OF)
    with pytest.raises(UserError, match=r"made before silver.seller_item_day"):
        training_set_as_given(lake)
    assert aggregate(lake, CLOSED).values["items added"] == "of the closed days"
    assert rows_of(lake, SELLER_ITEM_DAY) == before
    assert {"order_event.item_id", "order_event.category"} < set(lake.kinds_told())
    features(lake, AS_OF)
    sold = lake.read(SELLER_FEATURES).agg(F.sum("active_items_90d"), F.sum("categories_90d")).collect()[0]
    assert sold[0] > 0 and sold[1] > 0


def rows_of(lake: Lake, table: Table) -> list[tuple[object, ...]]:
    return sorted(map(tuple, lake.read(table).select(*table.names).collect()), key=repr)


def test_states_of_long_ago_are_dropped_and_not_looked_for(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_sums, "KEPT_DAYS", 1)
    for days in (0, 1, 2):
        features(lake, after(days))
    held = {row["as_of"] for row in lake.read(WINDOW_SUMS).select("as_of").distinct().collect()}
    assert held == {after(1), after(2)}
    assert newest_sums(lake, after(0)) is None and newest_sums(lake, after(1)) is not None


def test_what_cannot_be_is_refused_before_work_begins(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    runs = [run.run_id for run in lake.runs()]
    with pytest.raises(UserError, match="nothing was known of any seller: the first news arrived on"):
        features(lake, FIRST_DAY - timedelta(days=1000))
    with pytest.raises(UserError, match=r"needs every arrival day before it closed; closed through: 2023-04-06"):
        features(lake, CLOSED + timedelta(days=2))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="closed through: none"):
        features(lake_at(spark, tmp_path / "empty"), AS_OF)
    with pytest.raises(UserError, match="nothing has been taken in yet: .* Run `seller-credit ingest` first"):
        aggregate(lake_at(spark, tmp_path / "empty"), CLOSED)
    assert lake_at(spark, tmp_path / "empty").runs() == []
    path = lake.path(SELLER_DAY)
    spark.sql(f"delete from delta.`{path}` where event_day >= '{AS_OF - timedelta(days=30)}'")
    cohort, definition = date(2022, 12, 1), load_definition("standard")
    for step in (
        lambda: features(lake, AS_OF),
        lambda: aggregate(lake, CLOSED),
        lambda: verify(lake, AS_OF, None),
        lambda: explain(lake, "history_days", "nobody", AS_OF),
        lambda: training_set_by_cohorts(lake, cohort, cohort, definition),
        lambda: training_set_as_given(lake),
    ):
        with pytest.raises(
            StepFailure, match=r"silver.seller_day: version \d+ \(DELETE.*edited by hand.*RESTORE TABLE"
        ):
            step()
    assert [run.run_id for run in lake.runs()] == runs
    published = lake.published_version(SELLER_DAY)
    spark.sql(f"restore table delta.`{path}` to version as of {published}")
    features(lake, AS_OF)


def test_a_table_that_is_gone_was_put_back_or_lost_rows_is_named_before_work_begins(lake: Lake) -> None:
    published = lake.published_version(SELLER_DAY)
    assert published is not None
    tiles = Path(lake.path(SELLER_DAY))
    newest = tiles / "_delta_log" / f"{published:020}.json"
    entries = newest.read_text()
    # one file fewer than the step has written
    lost = next(line for line in entries.splitlines(keepends=True) if line.startswith('{"add"'))
    newest.write_text(entries.replace(lost, ""))
    with pytest.raises(StepFailure, match=rf"{newest.name}: cannot be read \(.*Checksum.*\): it was edited by hand"):
        features(lake, AS_OF)
    (newest.parent / f".{newest.name}.crc").unlink()
    with pytest.raises(StepFailure, match=rf"seller_day: version {published} has \d+ rows, .* wrote \d+: .* by hand"):
        features(lake, AS_OF)

    # an older copy in its place, at a path that Delta has not looked at yet
    there = Path(lake.root).parent / "moved"
    shutil.copytree(lake.root, there / "lake")
    moved = lake_at(lake.spark, there)
    (Path(moved.path(SELLER_DAY)) / "_delta_log" / newest.name).unlink()
    with pytest.raises(StepFailure, match=rf"seller_day: version {published} was published, but its newest is"):
        features(moved, AS_OF)

    shutil.rmtree(tiles)
    with pytest.raises(StepFailure, match="seller_day: was published, and is not at"):
        features(lake, AS_OF)


def test_of_a_table_whose_slices_are_replaced_the_newest_is_counted(lake: Lake) -> None:
    features(lake, AS_OF)
    published = lake.published_version(WINDOW_SUMS)
    # at a path that Delta has not looked at yet
    there = Path(lake.root).parent / "moved"
    shutil.copytree(lake.root, there / "lake")
    moved = lake_at(lake.spark, there)
    entries = Path(moved.path(WINDOW_SUMS)) / "_delta_log" / f"{published:020}.json"
    written = entries.read_text()
    lost = next(line for line in written.splitlines(keepends=True) if line.startswith('{"add"'))
    entries.write_text(written.replace(lost, ""))
    (entries.parent / f".{entries.name}.crc").unlink()
    with pytest.raises(StepFailure, match=r"window_sums: version \d+ has \d+ rows where .*as_of = .* by hand"):
        features(moved, AS_OF + timedelta(days=1))


def test_a_column_that_someone_added_is_named_before_work_begins(lake: Lake) -> None:
    lake.spark.sql(f"alter table delta.`{lake.path(SELLER_DAY)}` add columns (remark string)")
    with pytest.raises(StepFailure, match=r"silver.seller_day: version \d+ \(ADD COLUMNS.*edited by hand"):
        features(lake, AS_OF)


def test_the_tiles_lie_as_a_refresh_reads_them(lake: Lake) -> None:
    tiles = lake.read(SELLER_DAY)
    assert tiles.filter("is_back_dated <> (arrival_day > event_day) or event_month <> left(event_day, 7)").count() == 0
    files = (
        tiles.select("event_day", "is_back_dated", F.input_file_name().alias("file"))
        .distinct()
        .groupBy("event_day", "is_back_dated")
        .agg(F.count(F.lit(1)).alias("files"))
    )
    # a history of sixteen months in two steps: a day's rows of a step are in one file
    assert max(row["files"] for row in files.collect()) <= 2
