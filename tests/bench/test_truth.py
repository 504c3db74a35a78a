"""What a benchmark says of the truth beside a version: the sellers of the world it names, and no probability of 0."""

import math
from datetime import date

import pytest
from pyspark.sql import SparkSession

from bench.true_pd import sellers_of
from bench.truth import TRUE, TRUE_BY_HALF, true_log_odds
from conf.world import load_world

SHOPS = 100


@pytest.mark.full  # half a minute
def test_the_second_world_alone_is_the_second_of_two(spark: SparkSession) -> None:
    as_of = date(2021, 3, 1)

    def rows(**worlds: int) -> list[tuple[object, ...]]:
        found = sellers_of(spark, load_world("demo", SHOPS, **worlds), 3, (as_of,))
        return sorted(tuple(row) for row in found.filter("world = 1").collect())

    alone = rows(first_world=1)
    assert alone == rows(worlds=2)
    for _, day, number, bad, draws_half, bads_half, draws, bads in alone:
        assert day == as_of and SHOPS < number <= 2 * SHOPS
        assert bad in (0, 1) and bads_half <= draws_half <= 1 and bads <= draws <= 3
    assert any(row[6] for row in alone), "nobody would draw again"


def test_a_seller_that_no_future_harms_is_drawn_towards_the_mean(spark: SparkSession) -> None:
    day = date(2023, 9, 1)
    counted = [(3, day, 7, 0, 4, 0, 10, 0), (3, day, 1_234_567, 1, 4, 2, 10, 5)]
    sellers = spark.createDataFrame(
        counted,
        "world long, as_of date, number long, bad long, draws_half long, bads_half long, draws long, bads long",
    )
    rows = {row["seller_id"]: row for row in true_log_odds(sellers).collect()}

    # 5 of 20 draws are bad, 2 of 8 by half: two draws of a quarter each are added
    assert set(rows) == {"S000007", "S1234567"}
    assert rows["S000007"][TRUE] == pytest.approx(math.log(0.5 / 11.5))
    assert rows["S000007"][TRUE_BY_HALF] == pytest.approx(math.log(0.5 / 5.5))
    assert rows["S1234567"][TRUE] == pytest.approx(math.log(5.5 / 6.5))
    assert rows["S1234567"][TRUE_BY_HALF] == pytest.approx(math.log(2.5 / 3.5))
