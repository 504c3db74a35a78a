"""Labels of any number are joined as suits it: nothing tells Spark to send them to every task."""

import re
from collections.abc import Callable, Iterator

import pytest
from pyspark.sql import DataFrame, SparkSession

from conf.outcome import load_definition
from tests.transforms.features import tiny
from transforms.features.known import features_by_rebuild, features_by_sweep
from transforms.outcomes.cohorts import behavioural_outcomes
from transforms.windows.asked import Chosen

THRESHOLD = "spark.sql.autoBroadcastJoinThreshold"


@pytest.fixture
def nothing_is_small(spark: SparkSession) -> Iterator[SparkSession]:
    """A session that broadcasts by hints alone."""
    before = spark.conf.get(THRESHOLD)
    spark.conf.set(THRESHOLD, "-1")
    yield spark
    spark.conf.set(THRESHOLD, before)


def by_sweep(spark: SparkSession) -> DataFrame:
    labels = tiny.labels(spark)
    return features_by_sweep(tiny.silver(tiny.bronze(spark)), labels, Chosen(labels), {})


def by_rebuild(spark: SparkSession) -> DataFrame:
    labels = tiny.labels(spark)
    return features_by_rebuild(tiny.bronze(spark), labels, Chosen(labels), {})


def by_behaviour(spark: SparkSession) -> DataFrame:
    arrears = spark.createDataFrame(
        [],
        "seller_id string, loan_id string, from_day date, until_day date, last_days int, is_arrears boolean,"
        " oldest_due_on date, outstanding_fen bigint, exposure_fen bigint, written_off_fen bigint, bad_from date,"
        " bad_why string",
    )
    return behavioural_outcomes(arrears, tiny.labels(spark), load_definition("standard"), tiny.AS_OF)


@pytest.mark.parametrize("way", [by_sweep, by_rebuild, by_behaviour])
def test_labels_are_not_sent_to_every_task(
    nothing_is_small: SparkSession, way: Callable[[SparkSession], DataFrame]
) -> None:
    plan = way(nothing_is_small)._jdf.queryExecution().sparkPlan().toString()  # ty: ignore
    joins = re.findall(r"(\w+Join) \[(.*?)\]", plan)
    assert any("seller_id" in keys for _, keys in joins)
    assert [keys for join, keys in joins if join == "BroadcastHashJoin" and "seller_id" in keys] == []
