"""One Spark session for all tests, small; a lake of its own for each test that wants one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pyspark.sql import SparkSession

from conf.settings import load_settings
from jobs.lakehouse.lake import Lake

PROJECT = Path(__file__).resolve().parents[1]

# a busy machine is no fault: by itself hypothesis fails an example that takes 200 ms
settings.register_profile("however slow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("however slow")

SMALL = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    # every broadcast table takes a page: at the default they fill the heap, and the collector runs all the time
    "spark.buffer.pageSize": "1m",
    # to plan a query anew after each of its stages takes an eighth of the time; the demo and the commands do so
    "spark.sql.adaptive.enabled": "false",
    # plans of a hundred features are large, and Spark keeps the last thousand of them for its pages
    "spark.sql.ui.retainedExecutions": "20",
    "spark.sql.ui.explainMode": "simple",
    # as in conf/local.yml: else every path of a few hundred deliveries is listed by a task of its own
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
}
"""For a handful of rows: to compile a query, or a method well, takes longer than to run it.

The first compiler alone has a cache of 48 MB, and stops for good when it is full.
"""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two cores, few partitions, session zone UTC, a scratch warehouse, and Delta as `make setup` placed it."""
    # a worker's main module has no file, which PySpark takes for a run of its doctests: it would exit
    vars(sys.modules["__main__"]).setdefault("__file__", sys.argv[0])
    os.environ.setdefault("SPARK_CONF_DIR", str(PROJECT / ".spark" / "conf"))
    java_home = PROJECT / ".spark" / "java_home"
    if java_home.is_file():
        os.environ["JAVA_HOME"] = java_home.read_text().strip()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.driver.memory", "2g")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.enabled", "false")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .config(map=SMALL)
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    """An empty lake of its own, with a registry beside it."""
    return lake_at(spark, tmp_path)


KEY = "0123456789abcdef0123456789abcdef"
"""Of the pseudonyms in every lake of the tests."""


def lake_at(spark: SparkSession, folder: Path) -> Lake:
    """A lake and a registry in a folder, with the settings of the local profile."""
    (folder / "pseudonyms.key").write_text(KEY)
    told = [
        f"pseudonyms.key_file={folder / 'pseudonyms.key'}",
        f"lake.root={folder / 'lake'}",
        f"mlflow.tracking_uri=sqlite:///{folder / 'mlflow.db'}",
        "scoring.buckets=4",
    ]
    return Lake(spark, load_settings("local", {}, told))
