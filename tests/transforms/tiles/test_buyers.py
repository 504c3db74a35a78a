"""A buyer's first, newest and second newest order move as news arrives; a tile of the past never changes."""

from datetime import date

import pytest
from pyspark.sql import SparkSession

from transforms.tiles.buyers import PAIR, buyer_changes, of_pairs, pair_hashes

PAIRS = "seller_id string, buyer_id string, event_day date, arrival_day date, orders bigint"
Change = tuple[int, int, int, int, int]
"""Day of March of the event and of its arrival; changes of first, newest and second newest."""

CASES: dict[str, tuple[list[tuple[int, int, int]], list[Change]]] = {
    "one order": ([(1, 1, 1)], [(1, 1, 1, 1, 0)]),
    "two orders on one day": ([(1, 1, 2)], [(1, 1, 1, 1, 1)]),
    "a newer one": ([(1, 1, 1), (5, 5, 1)], [(1, 1, 1, 1, 0), (1, 5, 0, -1, 1), (5, 5, 0, 1, 0)]),
    "two newer ones on one day": ([(1, 1, 1), (5, 5, 2)], [(1, 1, 1, 1, 0), (1, 5, 0, -1, 0), (5, 5, 0, 1, 1)]),
    "an older one comes late": ([(5, 5, 1), (1, 9, 1)], [(1, 9, 1, 0, 1), (5, 5, 1, 1, 0), (5, 9, -1, 0, 0)]),
    "one between comes late": (
        [(1, 1, 1), (9, 9, 1), (5, 12, 1)],
        [(1, 1, 1, 1, 0), (1, 9, 0, -1, 1), (1, 12, 0, 0, -1), (5, 12, 0, 0, 1), (9, 9, 0, 1, 0)],
    ),
    "the only one never was": ([(1, 1, 1), (1, 4, -1)], [(1, 1, 1, 1, 0), (1, 4, -1, -1, 0)]),
    "one of two on a day never was": ([(1, 1, 2), (1, 4, -1)], [(1, 1, 1, 1, 1), (1, 4, 0, 0, -1)]),
}


@pytest.mark.parametrize("is_known_before", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_what_moves(spark: SparkSession, name: str, is_known_before: bool) -> None:
    pairs, wanted = CASES[name]
    rows = [("s1", "b1", date(2025, 3, day), date(2025, 3, arrival), orders) for day, arrival, orders in pairs]
    # folded at once, or the last arrival after the others were folded: the same
    split = len(rows) - 1 if is_known_before else 0
    other = ("s1", "b2", date(2025, 3, 2), date(2025, 3, 2), 1)
    news = spark.createDataFrame(rows[split:], PAIRS).withColumns(pair_hashes())
    known = spark.createDataFrame([*rows[:split], other], PAIRS).withColumns(pair_hashes())
    before = of_pairs(known, news.select(*PAIR, *pair_hashes()).distinct())
    changes = buyer_changes(news, before)
    found = sorted(
        (
            row["event_day"].day,
            row["arrival_day"].day,
            row["first_buyers"],
            row["last_buyers"],
            row["second_last_buyers"],
        )
        for row in changes.collect()
    )
    newest = max(arrival for _, arrival, _ in pairs)
    assert found == [change for change in wanted if not is_known_before or change[1] == newest]


def test_two_pairs_of_one_hash_are_told_apart(spark: SparkSession) -> None:
    day = date(2025, 3, 1)
    rows = [("s1", "b1", day, day, 1, 7, -(2**31)), ("s1", "b2", day, day, 2, 7, 2**31 - 1)]
    known = spark.createDataFrame(rows, f"{PAIRS}, pair_hash bigint, pair_check int")
    found = of_pairs(known, known.filter("buyer_id = 'b2'").select(*PAIR, "pair_hash", "pair_check"))
    assert [row["orders"] for row in found.collect()] == [2]
