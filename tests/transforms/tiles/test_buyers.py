"""A buyer's first, newest and second newest order move as news arrives; a tile of the past never changes."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from transforms.tiles.buyers import PAIR, buyer_changes, fold, folded, of_pairs, pair_hashes

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


def pair_rows(seed: int) -> pa.Table:
    """Pairs of up to eight order days; a third of them with late news, corrections or two days of one arrival."""
    chance = random.Random(seed)
    rows = {}
    for number in range(120):
        is_odd, event = chance.random() < 0.3, chance.randrange(50)
        for _ in range(chance.randrange(1, 9)):
            arrival = event + (chance.randrange(30) if is_odd else 0)
            key = (f"s{number // 9}", f"b{number:03d}", date(2025, 1, 1) + timedelta(event), arrival)
            rows[key] = (chance.choice([-1, 0, 1, 1, 2]) if is_odd else chance.choice([1, 1, 3]), chance.random() < 0.7)
            event += chance.randrange(0 if is_odd else 1, 40)
    ordered = sorted(rows.items(), key=lambda row: (row[0][0], row[0][1], row[0][3]))
    values = [(*key[:3], date(2025, 1, 1) + timedelta(key[3]), *more) for key, more in ordered]
    names = ("seller_id", "buyer_id", "event_day", "arrival_day", "orders", "is_news")
    return pa.table(dict(zip(names, map(list, zip(*values, strict=True)), strict=True)))


def added_up(changes: Iterable[pa.RecordBatch]) -> dict[tuple[str, date, date], list[int]]:
    sums: dict[tuple[str, date, date], Counter[int]] = {}
    for batch in changes:
        for seller, event, arrival, *values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            so_far = sums.setdefault((seller, event, arrival), Counter())
            for place, value in enumerate(values):
                so_far[place] += value
    return {key: [so_far[place] for place in range(3)] for key, so_far in sums.items()}


@pytest.mark.parametrize("seed", range(20))
def test_column_by_column_is_arrival_by_arrival_wherever_batches_end(seed: int) -> None:
    rows = pair_rows(seed)
    wanted = added_up([folded(rows)])
    assert len(wanted) > 100
    for size in (1, 7, 10_000):
        assert added_up(fold(iter(rows.to_batches(size)))) == wanted
