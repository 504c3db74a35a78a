"""`seller-credit simulate`: the folders that it writes, and what it does with a folder that holds something."""

import hashlib
import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession

from conf.errors import UserError
from conf.source import load_source
from conf.world import load_world
from jobs.lakehouse.deliveries import find_deliveries
from jobs.simulate import command, simulate
from transforms.intake.mapping import mapping_problems


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix == ".parquet" and "deliveries" in file.parts
    }


@pytest.fixture(scope="module")
def small(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "small"
    simulate(spark, load_world("demo", sellers=20, days=35, seed=4), str(folder))
    return folder


def test_there_is_a_folder_a_day_and_what_it_holds_was_delivered_on_it(small: Path) -> None:
    days = sorted(entry.name for entry in (small / "deliveries").iterdir())
    assert days[0] == "2020-09-01"
    assert days[-1] == "2020-10-05"
    assert len(days) == 35
    for file in (small / "deliveries").rglob("*.parquet"):
        assert set(map(str, pq.read_table(file)["delivered_on"].to_pylist())) == {file.parts[-3]}
    assert sorted(entry.name for entry in small.iterdir()) == ["deliveries", "truth", "world.json"]
    assert sorted(entry.name for entry in (small / "truth").iterdir()) == ["defaults", "faults", "sellers", "weeks"]


def test_the_files_fit_the_marketplaces_mapping(spark: SparkSession, small: Path) -> None:
    source = load_source("marketplace")
    deliveries = find_deliveries(source, str(small / "deliveries"), None, None)
    assert len(deliveries) == 35
    assert not any(delivery.refused for delivery in deliveries)
    for feed in source.feeds:
        found = list((small / "deliveries").glob(f"*/{feed.files}"))
        if feed.name == "loans":
            assert found == []  # lending begins later
            continue
        empty = spark.read.parquet(str(found[0])).limit(0)
        assert mapping_problems(empty, source, feed) == []


def test_the_same_world_is_the_same_files_and_another_seed_others(
    spark: SparkSession, small: Path, tmp_path: Path
) -> None:
    partitions = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        simulate(spark, load_world("demo", sellers=20, days=35, seed=4), str(tmp_path / "again"))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", partitions)
    simulate(spark, load_world("demo", sellers=20, days=35, seed=5), str(tmp_path / "other"))
    assert contents(tmp_path / "again") == contents(small)
    assert contents(tmp_path / "other") != contents(small)


def test_a_finished_world_is_left_alone(spark: SparkSession, small: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in small.rglob("*")}
    report = simulate(spark, load_world("demo", sellers=20, days=35, seed=4), str(small))
    assert "already" in report.lines[0]
    assert {file: file.stat().st_mtime_ns for file in small.rglob("*")} == before


def test_another_world_is_never_written_over(spark: SparkSession, small: Path) -> None:
    with pytest.raises(UserError, match="another world"):
        simulate(spark, load_world("demo", sellers=20, days=35, seed=9), str(small))


def test_a_folder_with_something_else_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        simulate(spark, load_world("demo", sellers=5, days=14), str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.full  # a world of its own
def test_an_unfinished_world_is_started_over(spark: SparkSession, small: Path, tmp_path: Path) -> None:
    for name in ("unfinished/weeks", "deliveries/1999-01-01/orders"):
        (tmp_path / name).mkdir(parents=True)
    simulate(spark, load_world("demo", sellers=20, days=35, seed=4), str(tmp_path))
    assert contents(tmp_path) == contents(small)


def test_the_world_file_says_what_it_was_made_from(small: Path) -> None:
    world = load_world("demo", sellers=20, days=35, seed=4)
    body = json.loads((small / "world.json").read_text())
    assert body["digest"] == world.digest()
    assert body["world"]["sellers"] == 20


def planted_files(folder: Path) -> dict[str, str]:
    rows = pq.read_table(folder / "truth" / "faults").to_pylist()
    return {row["file"]: row["fault"] for row in rows if row["file"] is not None}


def test_every_file_that_is_wrong_is_listed_and_no_other(faulty: Path) -> None:
    planted, found = planted_files(faulty), {}
    sound = {feed: set() for feed in ("sellers", "orders", "payments", "loans")}
    for file in sorted((faulty / "deliveries").rglob("*.parquet")):
        name = str(file.relative_to(faulty / "deliveries"))
        try:
            schema = pq.read_schema(file)
        except pa.ArrowInvalid:
            found[name] = "truncated file"
            continue
        if "amount_yuan" in schema.names:
            found[name] = "renamed column"
        elif "channel" in schema.names:
            found[name] = "extra column"
        elif "amount" in schema.names and schema.field("amount").type == pa.float64():
            found[name] = "retyped column"
        else:
            sound[file.parts[-2]].add(tuple(zip(schema.names, map(str, schema.types), strict=True)))
    assert found == planted
    assert set(planted.values()) == {"truncated file", "renamed column", "extra column", "retyped column"}
    assert {feed: len(schemas) for feed, schemas in sound.items()} == dict.fromkeys(sound, 1)


def test_the_listed_records_are_those_in_the_files(faulty: Path) -> None:
    """Of duplicates, conflicts, corrections and amendments, in the files that can be read."""
    broken = planted_files(faulty)
    rows = pq.read_table(faulty / "truth" / "faults").to_pylist()
    readable = [row for row in rows if f"{row['delivered_on']}/{row['feed']}/part-0.parquet" not in broken]
    told = Counter((row["feed"], row["fault"]) for row in readable if row["file"] is None)
    assert {fault for _, fault in told} == {
        "late", "duplicate", "broken", "correction", "amendment", "conflict", "clock",
    }  # fmt: skip
    for feed in ("orders", "payments"):
        files = [
            file
            for file in (faulty / "deliveries").glob(f"*/{feed}/*.parquet")
            if str(file.relative_to(faulty / "deliveries")) not in broken
        ]
        records = [row for file in files for row in pq.read_table(file).to_pylist()]
        assert sum(row["voids"] is not None for row in records) == told[feed, "correction"]
        assert sum(row["event_id"].endswith(".amended") for row in records) == told[feed, "amendment"]
        after = sum(
            row["voids"] is None and (row["at"] + timedelta(hours=8)).date() > row["delivered_on"] for row in records
        )
        late_to_come = sum(
            (row["at"] + timedelta(hours=8)).date() > row["delivered_on"] + timedelta(20) for row in records
        )
        assert after - late_to_come == told[feed, "clock"] > 0


def test_the_worlds_of_a_run_are_in_the_sellers_files(spark: SparkSession, tmp_path: Path) -> None:
    folder = str(tmp_path / "many")
    simulate(spark, load_world("demo", sellers=10, days=14, worlds=3), folder)
    told = spark.read.parquet(f"{folder}/deliveries/*/sellers").select("world").distinct().collect()
    assert {row["world"] for row in told} == {"demo-0", "demo-1", "demo-2"}


def test_the_help_says_what_synthetic_data_cannot_show() -> None:
    words = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "cannot show: real default rates, fairness or profit" in words
