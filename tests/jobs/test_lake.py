"""What a run says that it wrote is what Delta wrote."""

import pytest

from conf.errors import StepFailure
from conf.settings import load_settings
from jobs.lakehouse.lake import Lake, schema_of
from transforms.tables.bronze import DELIVERIES


def test_a_run_that_appends_nothing_wrote_nothing(lake: Lake) -> None:
    row = ("shop/a@0", "shop", "a", "0", 1, 2, 2, 0, 0, None)
    for rows, wanted in (([row], 1), ([], 0)):
        with lake.run("ingest", "shop", {}, {}) as run:
            run.append(DELIVERIES, lake.spark.createDataFrame(rows, schema_of(DELIVERIES)))
            assert run.rows_written(DELIVERIES) == wanted
            run.publish()
    assert lake.read(DELIVERIES).count() == 1
    peaks = [run.peak_memory_bytes for run in lake.runs()]
    assert peaks[0] is not None and peaks[0] > 100_000_000


def test_a_second_writer_stops_and_is_told_who_writes(lake: Lake) -> None:
    told = [f"lake.root={lake.root}", "lake.wait_seconds=0"]
    impatient = Lake(lake.spark, load_settings("local", {}, told))
    wanted = pytest.raises(StepFailure, match=r"is being written by aggregate \(process \d+\)")
    with lake.run("aggregate", "arrival days", {}, {}), wanted, impatient.run("ingest", "shop", {}, {}):
        pass
    # given back at the end
    with impatient.run("ingest", "shop", {}, {}):
        pass
