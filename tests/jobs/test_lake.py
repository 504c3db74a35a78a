"""What a run says that it wrote is what Delta wrote."""

import re
import time
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlparse

import pyarrow.parquet as pq
import pytest
from delta.tables import DeltaTable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure
from conf.settings import load_settings
from jobs.lakehouse import lake as lake_module
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.commits import Commits
from jobs.lakehouse.cost import FORGOTTEN, LARGEST_TASK, cost_since, newest_stage, stages
from jobs.lakehouse.lake import Lake, schema_of
from jobs.status import cost
from transforms.tables.bronze import DELIVERIES
from transforms.tables.gold import SELLER_FEATURES, WINDOW_SUMS
from transforms.tables.table import Table

AS_OF = date(2024, 3, 5)


def test_a_run_that_appends_nothing_wrote_nothing(lake: Lake) -> None:
    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
    for rows, wanted in (([row], 1), ([], 0)):
        with lake.run("ingest", "shop", {}, {}) as run:
            run.append(DELIVERIES, lake.spark.createDataFrame(rows, schema_of(DELIVERIES)))
            assert run.rows_written(DELIVERIES) == wanted
            run.publish()
    assert lake.read(DELIVERIES).count() == 1
    peaks = [run.peak_memory_bytes for run in lake.runs()]
    assert peaks[0] is not None and peaks[0] > 100_000_000


@pytest.mark.parametrize(
    ("damage", "told", "writes"),
    [
        ("gone", "is gone", True),
        ("cut short", r"cannot be read \(\w+\)", False),
        pytest.param("gone", "is gone", False, marks=pytest.mark.full),
        pytest.param("cut short", r"cannot be read \(\w+\)", True, marks=pytest.mark.full),
    ],
)
def test_a_file_that_is_gone_or_damaged_is_named_in_a_sentence(
    damage: str, told: str, writes: bool, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
    with lake.run("ingest", "shop", {}, {}) as run:
        run.append(DELIVERIES, lake.spark.createDataFrame([row], schema_of(DELIVERIES)))
        run.publish()
    # one is of a part without rows
    file = max(Path(lake.path(DELIVERIES)).rglob("part-*.parquet"), key=lambda path: path.stat().st_size)
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
        (file.parent / f".{file.name}.crc").unlink()

    @step("look", "seller-credit look")
    def look(invocation: Invocation) -> Report:
        """Look."""
        with lake.run("ingest", "shop again", {}, {}) as run:
            rows = run.read(DELIVERIES)
            run.append(DELIVERIES, rows) if writes else rows.collect()
            run.publish()
        return Report("look")

    assert run_command(look, []) == 1
    problem = capsys.readouterr().err
    assert re.search(rf"error: file:{file} {told}: .* Put a copy of the table in its place", problem)
    assert "Traceback" not in problem
    assert [run.slice for run in lake.runs()] == ["shop"]


def encodings(lake: Lake, table: Table, column: str) -> set[str]:
    file = max(Path(lake.path(table)).rglob("part-*.parquet"), key=lambda path: path.stat().st_size)
    of_group = pq.ParquetFile(file).metadata.row_group(0)
    (found,) = (of_group.column(i) for i in range(of_group.num_columns) if of_group.column(i).path_in_schema == column)
    return set(found.encodings)


def unknown_of(lake: Lake, table: Table, sellers: int) -> DataFrame:
    """Rows of a gold table as of AS_OF, a seller each, of whom nothing is known."""
    told = {"seller_id": F.format_string("S%d", "id"), "as_of": F.lit(AS_OF), "run_id": F.lit("features-1")}
    return lake.spark.range(sellers).select(*(told.get(c.name, F.lit(None).cast(c.type)).alias(c.name) for c in table))


def test_numbers_are_kept_as_differences_in_tables_of_numbers_alone(lake: Lake) -> None:
    sums = unknown_of(lake, WINDOW_SUMS, 3)
    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
    with lake.run("features", "as_of=2024-03-05", {}, {}) as run:
        run.append(WINDOW_SUMS, sums)
        run.append(DELIVERIES, lake.spark.createDataFrame([row], schema_of(DELIVERIES)))
        run.publish()
    assert "DELTA_BINARY_PACKED" in encodings(lake, WINDOW_SUMS, "active_days_90d")
    assert "DELTA_BINARY_PACKED" not in encodings(lake, DELIVERIES, "records_in")


def test_what_sources_tell_is_told_from_their_first_load_on(lake: Lake) -> None:
    for number, (kinds, day) in enumerate([("a,b", ""), ("b,c", "2024-03-05"), ("c,d", "2024-03-02")]):
        with lake.run("ingest", f"shop {number}", {}, {}) as run:
            run.facts = {"kinds_told": kinds, "told_on": day}
            run.publish()
    assert lake.kinds_told() == {"a": None, "b": None, "c": date(2024, 3, 2), "d": date(2024, 3, 2)}
    assert lake.kinds_told_before(date(2024, 3, 2)) == ["a", "b"]
    assert lake.kinds_told_before(date(2024, 3, 3)) == ["a", "b", "c", "d"]


@pytest.mark.full  # half a minute
def test_commits_are_those_that_delta_tells(lake: Lake) -> None:
    # more than three: from there on the log has a checkpoint to begin at
    every = "spark.databricks.delta.properties.defaults.checkpointInterval"
    lake.spark.conf.set(every, "3")
    for number in range(4):
        with lake.run("ingest", f"shop {number}", {}, {}) as run:
            row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
            run.append(DELIVERIES, lake.spark.createDataFrame([row], schema_of(DELIVERIES)))
            run.publish()
    lake.spark.conf.unset(every)
    path = lake.path(DELIVERIES)
    assert (Path(path) / "_delta_log" / "_last_checkpoint").exists()
    DeltaTable.forPath(lake.spark, path).restoreToVersion(2)
    told = [
        (row["version"], row["operation"], row["userMetadata"], row["operationMetrics"])
        for row in DeltaTable.forPath(lake.spark, path).history().collect()
    ]
    commits = Commits(lake.spark, path)
    found = [(c.version, c.operation, c.metadata, c.metrics) for c in commits.after(-1)]
    assert found == told and [number for number, *_ in told] == list(range(5, -1, -1))
    assert commits.newest() == commits.at(5) and commits.newest().parameters["version"] in (2, "2")
    # another writer's, which tells nothing of itself
    log = Path(path) / "_delta_log"
    (log / f"{6:020d}.json").write_text('{"txn": {"appId": "other", "version": 1}}\n')
    assert (commits.newest().version, commits.newest().operation, commits.newest().metadata) == (6, "not told", None)
    with pytest.raises(StepFailure, match=r"version 6 \(not told, 20"):
        lake.require_as_published(DELIVERIES)


def test_without_a_lock_a_run_does_not_publish_over_another(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "lake_lock", lambda *_: nullcontext())
    other = Lake(lake.spark, lake.settings)
    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
    rows = lake.spark.createDataFrame([row], schema_of(DELIVERIES))
    with lake.run("ingest", "one", {}, {}) as run:
        run.append(DELIVERIES, rows)
        with other.run("ingest", "two", {}, {}) as second:
            second.append(DELIVERIES, rows)
            second.publish()
        with pytest.raises(StepFailure, match="another step published while this one ran"):
            run.publish()
    assert [run.slice for run in Lake(lake.spark, lake.settings).runs()] == ["two"]
    assert other.read(DELIVERIES).count() == 1


def test_when_a_run_began_is_told_in_utc_wherever_the_machine_stands(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = datetime.now(UTC)
    with lake.run("ingest", "shop", {}, {}) as run:
        run.publish()
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        began = Lake(lake.spark, lake.settings).runs()[0].started_at
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert before <= began <= datetime.now(UTC)


def test_a_second_writer_stops_and_is_told_who_writes(lake: Lake) -> None:
    told = [f"lake.root={lake.root}", "lake.wait_seconds=0"]
    impatient = Lake(lake.spark, load_settings("local", {}, told))
    wanted = pytest.raises(StepFailure, match=r"is being written by aggregate \(process \d+\)")
    with lake.run("aggregate", "arrival days", {}, {}), wanted, impatient.run("ingest", "shop", {}, {}):
        pass
    # given back at the end
    with impatient.run("ingest", "shop", {}, {}):
        pass


def test_what_a_run_cost_is_what_the_files_say(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # bytes that Parquet reads by vectored calls are not counted: the local profile turns them off
    lake.spark.conf.set("parquet.hadoop.vectored.io.enabled", "false")
    rows = lake.spark.range(50_000, numPartitions=3).select(F.sha2(F.col("id").cast("string"), 256).alias("text"))
    rows.write.parquet(str(tmp_path / "files"))
    on_disk = sum(path.stat().st_size for path in (tmp_path / "files").glob("*.parquet"))
    assert on_disk > 2_000_000
    with lake.run("ingest", "shop", {}, {}) as run:
        read = lake.spark.read.parquet(str(tmp_path / "files")).repartition(2)
        assert read.agg(F.max("text")).collect()
        run.publish()
    told = lake.runs()[-1].cost
    assert told is not None
    assert told["rows_read"] == 50_000
    assert 0.95 * on_disk < told["bytes_read"] < 1.1 * on_disk
    assert told["bytes_shuffled"] > 0 and told["processor_seconds"] > 0 and told["tasks"] >= 3

    # sorted in one task, which holds all of it at once
    before = newest_stage(lake.spark)
    read.coalesce(1).sortWithinPartitions("text").write.format("noop").mode("overwrite").save()
    assert on_disk < cost_since(lake.spark, before)[LARGEST_TASK] < 20 * on_disk
    assert told[LARGEST_TASK] < on_disk

    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None, None)
    with lake.run("ingest", "shop", {}, {}) as run:
        run.append(DELIVERIES, lake.spark.createDataFrame([row], schema_of(DELIVERIES)))
        run.publish()
    (output,) = lake.runs()[-1].outputs
    files = list(Path(lake.path(DELIVERIES)).glob("*.parquet"))
    assert (output["rows"], output["files"]) == (1, len(files))
    assert output["bytes"] == sum(path.stat().st_size for path in files)
    # what the first run read is not told again
    assert lake.runs()[-1].cost["rows_read"] < 1_000

    assert told[FORGOTTEN] == 0
    # of a run of more stages than Spark remembers it is said that it cost at least so much
    oldest = newest_stage(lake.spark)
    with monkeypatch.context() as forgetful:
        kept = [stage for stage in stages(lake.spark) if stage["stageId"] >= oldest]
        forgetful.setattr("jobs.lakehouse.cost.stages", lambda _: iter(kept))
        assert cost_since(lake.spark, oldest - 6)[FORGOTTEN] == 5
        assert cost_since(lake.spark, oldest - 1)[FORGOTTEN] == 0

    report = cost(lake, tmp_path / "cost.png")
    assert [line[0] for line in report.table[1]] == ["ingest", "ingest"]
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full  # half a minute: a table of a hundred columns is written three times
def test_what_a_run_replaced_or_put_together_is_what_the_files_say(lake: Lake) -> None:
    slice_ = f"as_of = '{AS_OF}' and run_id = 'features-1'"

    def files() -> tuple[int, int]:
        there = [Path(urlparse(file).path) for file in lake.read(SELLER_FEATURES).inputFiles()]
        return len(there), sum(path.stat().st_size for path in there)

    for sellers, parts in ((5, 2), (700, 3)):
        with lake.run("features", f"{sellers} sellers", {}, {}) as run:
            run.replace(SELLER_FEATURES, unknown_of(lake, SELLER_FEATURES, sellers).repartition(parts), slice_)
            run.publish()
        (output,) = lake.runs()[-1].outputs
        # of the slice as it is now, and not of what it replaced
        assert (output["rows"], output["files"], output["bytes"]) == (sellers, *files())
        assert output["slice"] == slice_
    assert files()[0] > 1
    with lake.run("aggregate", "put together", {}, {}) as run:
        run.compact(SELLER_FEATURES, f"as_of = '{AS_OF}'", "seller_id")
        run.publish()
    (output,) = lake.runs()[-1].outputs
    assert (output["files"], output["bytes"]) == files() and output["files"] == 1
