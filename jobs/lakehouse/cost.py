"""What a run costs, by Spark's own account: rows and bytes read, bytes shuffled, processor time."""

import json
from collections.abc import Iterator
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

_NANOSECONDS = 1e9


def newest_stage(spark: SparkSession) -> int:
    """The newest stage that the session has begun; -1 before the first."""
    return max((stage["stageId"] for stage in stages(spark)), default=-1)


def cost_since(spark: SparkSession, stage: int) -> dict[str, float]:
    """Sums over the stages after one, and FORGOTTEN: Spark remembers the last thousand, and the sums are of those.

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
    return sums | {"processor_seconds": sums["processor_seconds"] / _NANOSECONDS, FORGOTTEN: float(forgotten)}


def stages(spark: SparkSession) -> Iterator[dict[str, Any]]:
    """The stages that Spark remembers, as its REST interface tells them."""
    # as JSON by one call: to ask a thousand stages one by one takes seconds
    jvm = cast(Any, spark.sparkContext._jvm)
    store = cast(Any, spark.sparkContext._jsc).sc().statusStore()
    rest = (getattr(store, f"stageList$default${place}")() for place in (4, 5))
    mapper = jvm.com.fasterxml.jackson.databind.ObjectMapper()
    mapper.registerModule(getattr(getattr(jvm.com.fasterxml.jackson.module.scala, "DefaultScalaModule$"), "MODULE$"))
    yield from json.loads(mapper.writeValueAsString(store.stageList(None, False, False, *rest)))
