"""A small world in which files and records are wrong in every way there is."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.world import load_world
from jobs.simulate import simulate


@pytest.fixture(scope="session")
def faulty(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 100 records 5 are faulty; of 100 files 45, so that a small world has every kind."""
    folder = tmp_path_factory.mktemp("faulty") / "world"
    world = load_world("faulty", sellers=40, days=112)
    files = world.faults.model_copy(update={"drifted_files": 0.3, "truncated_files": 0.15})
    simulate(spark, world.model_copy(update={"faults": files}), str(folder))
    return folder
