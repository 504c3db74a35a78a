"""What a run costs, by Spark's own account: rows and bytes read, bytes shuffled, processor time, memory of a task."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pyspark.sql import SparkSession

COSTS = {
    "rows_read": "inputRecords",
    "bytes_read": "inputBytes",
    "bytes_shuffled": "shuffleWriteBytes",
    "bytes_spilled": "diskBytesSpilled",
    "tasks": "numCompleteTasks",
    "processor_seconds": "executorCpuTime",
}
"""Each figure of a run, and Spark's name of it. Python workers' time is not in the processor seconds."""

FORGOTTEN = "stages_forgotten"
"""How many of a run's stages Spark did not remember at its end; above 0 the other figures are at least so much."""

LARGEST_TASK = "largest_task_bytes"
"""Execution memory of a run's largest task: the peaks of its sorts and hash tables. Python workers are not in it."""

_NANOSECONDS = 1e9


def newest_stage(spark: SparkSession) -> int:
    """The newest stage that the session has begun; -1 before the first."""
    return max((stage["stageId"] for stage in stages(spark)), default=-1)


def cost_since(spark: SparkSession, stage: int) -> dict[str, float]:
    """Sums over the stages after one, LARGEST_TASK, and FORGOTTEN: all of the last thousand, which Spark remembers.

    Rows and bytes read again from what a step has cached count each time. What Parquet reads by vectored calls is not
    counted (0.02 MB of a scan of 2 MB): bytes read are told only where
    `spark.hadoop.parquet.hadoop.vectored.io.enabled` is false.
    """
    known = list(stages(spark))
    ours = [told for told in known if told["stageId"] > stage]
    forgotten = max(min((told["stageId"] for told in known), default=0) - stage - 1, 0)
    sums = {name: float(sum(told[key] for told in ours)) for name, key in COSTS.items()}
    hadoop = cast(Any, spark)._jsparkSession.sessionState().newHadoopConf()
    if hadoop.getBoolean("parquet.hadoop.vectored.io.enabled", True):
        del sums["bytes_read"]
    sums["processor_seconds"] /= _NANOSECONDS
    return sums | {LARGEST_TASK: _largest_task(spark, ours), FORGOTTEN: float(forgotten)}


def _largest_task(spark: SparkSession, ours: Sequence[dict[str, Any]]) -> float:
    store, largest = _store(spark), 0.0
    highest = cast(Any, spark.sparkContext._gateway).new_array(cast(Any, spark.sparkContext._jvm).double, 1)
    highest[0] = 1.0
    # no task is larger than its stage's sum: few stages have to be asked
    for stage in sorted(ours, key=lambda told: told["peakExecutionMemory"], reverse=True):
        if stage["peakExecutionMemory"] <= largest:
            break
        tasks = store.taskSummary(stage["stageId"], stage["attemptId"], highest)
        if tasks.isDefined():
            largest = max(largest, float(tasks.get().peakExecutionMemory().apply(0)))
    return largest


def stages(spark: SparkSession) -> Iterator[dict[str, Any]]:
    """The stages that Spark remembers, as its REST interface tells them."""
    # as JSON by one call: to ask a thousand stages one by one takes seconds
    jvm = cast(Any, spark.sparkContext._jvm)
    store = _store(spark)
    rest = (getattr(store, f"stageList$default${place}")() for place in (4, 5))
    mapper = jvm.com.fasterxml.jackson.databind.ObjectMapper()
    mapper.registerModule(getattr(getattr(jvm.com.fasterxml.jackson.module.scala, "DefaultScalaModule$"), "MODULE$"))
    yield from json.loads(mapper.writeValueAsString(store.stageList(None, False, False, *rest)))


def _store(spark: SparkSession) -> Any:
    return cast(Any, spark.sparkContext._jsc).sc().statusStore()
