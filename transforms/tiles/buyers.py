"""Who bought when, and the changes that keep distinct, new and repeat buyers exact while they stay additive.

A buyer's newest order day carries 1: summed over a window, these are its distinct buyers. When a newer order comes,
the 1 moves: -1 at the old day, +1 at the new, both with the arrival day of the news, so that a tile of the past is
never changed. First days give new buyers, second newest orders the buyers with two or more.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.arrow import array_of, days_of, numbers_of, whole
from transforms.tables.silver import SELLER_BUYER_DAY

PAIR = ("seller_id", "buyer_id")
BUYER_MEASURES = ("first_buyers", "last_buyers", "second_last_buyers")
_NAMES = ["seller_id", "event_day", "arrival_day", *BUYER_MEASURES]
Longs = NDArray[np.int64]
Marks = tuple[int | None, int | None, int | None]
"""First day, newest day, and day of the second newest order of a pair, where it has such."""
_CHANGES = "seller_id string, event_day date, arrival_day date, " + ", ".join(
    f"{name} bigint" for name in BUYER_MEASURES
)


def pair_days(orders: DataFrame) -> DataFrame:
    """Order events -> the change of each seller's and buyer's paid orders, a row an event day and arrival day.

    A buyer is who paid an order that no correction voided; a cancelled or refunded order still had a buyer.
    """
    return (
        orders.filter(F.col("kind") == "paid")
        .groupBy("seller_id", "buyer_id", "event_day", "arrival_day")
        .agg(F.sum("sign").alias("orders"), F.sum(F.col("sign") * F.col("amount_fen")).alias("paid_fen"))
        .filter((F.col("orders") != 0) | (F.col("paid_fen") != 0))
        .withColumns({"arrival_month": F.date_format("arrival_day", "yyyy-MM"), **pair_hashes()})
        .select(*SELLER_BUYER_DAY.names)
    )


def pair_hashes() -> dict[str, Column]:
    """Two numbers by which a pair of `seller_id` and `buyer_id` is looked up; 96 bits together.

    Of 10^9 pairs in one lake two have both alike with a probability of 6 in 10^12.
    """
    return {"pair_hash": F.xxhash64(*PAIR), "pair_check": F.hash(*PAIR)}


def of_pairs(rows: DataFrame, pairs: DataFrame) -> DataFrame:
    """The rows of silver.seller_buyer_day that belong to some pairs, which come with their hashes, none twice.

    Columns: seller_id, buyer_id, event_day, arrival_day, orders. Of `rows` no id is read: they are four fifths of it.
    """
    wanted = pairs.select(*PAIR, F.col("pair_hash").alias("wanted_hash"), F.col("pair_check").alias("wanted_check"))
    narrow = rows.select("pair_hash", "pair_check", "event_day", "arrival_day", "orders")
    # not a second key of the join: Spark looks one bigint up without making a row of it
    is_checked = F.col("pair_check").bitwiseXOR(F.col("wanted_check")) == 0
    is_same = (F.col("pair_hash") == F.col("wanted_hash")) & is_checked
    return narrow.join(wanted, is_same, "inner").select(*PAIR, "event_day", "arrival_day", "orders")


def buyer_changes(news: DataFrame, before: DataFrame) -> DataFrame:
    """The changes that news brings to the buyer measures, a row a seller, event day and arrival day.

    `news` and `before` are rows of silver.seller_buyer_day; `before` holds every earlier arrival of the pairs in the
    news. Arrivals are folded strictly in order, so that each change is what was known on its day.
    """
    columns = ("seller_id", "buyer_id", "event_day", "arrival_day", "orders")
    every = news.select(*columns, F.lit(True).alias("is_news")).unionByName(
        before.select(*columns, F.lit(False).alias("is_news"))
    )
    by_pair = every.repartition("seller_id", "buyer_id").sortWithinPartitions("seller_id", "buyer_id", "arrival_day")
    return (
        by_pair.mapInArrow(fold, _CHANGES)
        .groupBy("seller_id", "event_day", "arrival_day")
        .agg(*(F.sum(name).alias(name) for name in BUYER_MEASURES))
    )


def fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Pair days (seller_id, buyer_id, event_day, arrival_day, orders, is_news), in the order of their pairs and of
    arrival within a pair, to the changes that the news among them brings: seller_id, event_day, arrival_day and a
    bigint a buyer measure, not yet added up.
    """
    waiting: pa.Table | None = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        rows = (rows if waiting is None else pa.concat_tables([waiting, rows])).combine_chunks()
        if not rows.num_rows:
            continue
        starts = _pair_starts(rows)
        # the last pair may go on in the next batch
        yield from _changes(rows.slice(0, starts[-1]), starts[:-1])
        waiting = rows.slice(starts[-1])
    if waiting is not None:
        yield from _changes(waiting.combine_chunks(), np.zeros(1, dtype=np.int64))


def _pair_starts(rows: pa.Table) -> Longs:
    """Where each pair's rows begin: rows are in the order of their pairs."""
    begins = np.ones(rows.num_rows, dtype=bool)
    differs = [
        numbers_of(pc.not_equal(column.slice(1), column.slice(0, rows.num_rows - 1))) for column in rows.columns[:2]
    ]
    begins[1:] = differs[0] | differs[1]
    return np.flatnonzero(begins)


def _changes(rows: pa.Table, starts: Longs) -> Iterator[pa.RecordBatch]:
    """The changes of whole pairs, whose rows begin at `starts`.

    Nearly every pair only ever buys again on a later day that we come to know later: its changes are those from each of
    its rows to the next, column by column. A pair with a correction, late news or two days of one arrival is folded
    arrival by arrival, which is more than ten times as dear a row.
    """
    if not rows.num_rows:
        return
    day, arrival, orders, is_news = (
        numbers_of(rows.column(name)) for name in ("event_day", "arrival_day", "orders", "is_news")
    )
    pair = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, rows.num_rows)))
    place = np.arange(rows.num_rows) - starts[pair]
    follows = place > 0
    day_before, orders_before = np.roll(day, 1), np.roll(orders, 1)
    is_odd = (orders <= 0) | (follows & ((day <= day_before) | (arrival <= np.roll(arrival, 1))))
    odd_pairs = np.zeros(len(starts), dtype=bool)
    odd_pairs[pair[is_odd]] = True
    is_told = is_news & ~odd_pairs[pair]

    this, last = np.flatnonzero(is_told), np.flatnonzero(is_told & follows)
    # the second newest order before this row was the row two before, unless the one before had two orders
    second = np.flatnonzero(is_told & (place > 1) & (orders_before <= 1))
    of_row = np.concatenate([this, last, second])
    on_day = np.concatenate([day[this], day_before[last], np.roll(day, 2)[second]])
    first_buyers = np.concatenate([place[this] == 0, np.zeros(len(last) + len(second), dtype=bool)])
    last_buyers = np.concatenate([np.ones(len(this)), -np.ones(len(last)), np.zeros(len(second))])
    second_last_buyers = np.concatenate(
        [
            orders[this] > 1,
            (orders[last] <= 1).astype(np.int64) - (orders_before[last] > 1),
            -np.ones(len(second)),
        ]
    )
    measures = (first_buyers, last_buyers, second_last_buyers)
    yield _told(rows, of_row, on_day, arrival[of_row], measures)
    if odd_pairs.any():
        yield folded(rows.filter(array_of(odd_pairs[pair])))


def folded(pair_days: pa.Table) -> pa.RecordBatch:
    """What `fold` gives, arrival by arrival: whatever came late, was taken back, or came with other days."""
    ids = (column.to_pylist() for column in pair_days.columns[:2])
    numbers = (numbers_of(column).tolist() for column in pair_days.columns[2:])
    out: list[tuple[int, ...]] = []
    for _, pair in groupby(zip(range(len(pair_days)), *ids, *numbers, strict=True), key=itemgetter(1, 2)):
        net: dict[int, int] = {}
        held: Marks = (None, None, None)
        for arrival, arrived in groupby(pair, key=itemgetter(4)):
            of_arrival = list(arrived)
            for _, _, _, day, _, orders, _ in of_arrival:
                net[day] = net.get(day, 0) + orders
            marks = _marks(net)
            if any(is_news for *_, is_news in of_arrival):
                for number, (old, now) in enumerate(zip(held, marks, strict=True)):
                    if old != now:
                        for day, change in ((old, -1), (now, 1)):
                            if day is not None:
                                values = [0, 0, 0]
                                values[number] = change
                                out.append((of_arrival[0][0], day, arrival, *values))
            held = marks
    of_row, days, arrivals, *measures = np.array(out, dtype=np.int64).reshape(len(out), 6).T
    return _told(pair_days, of_row, days, arrivals, measures)


def _told(
    rows: pa.Table, of_row: Longs, on_day: np.ndarray, arrival: np.ndarray, measures: Iterable[np.ndarray]
) -> pa.RecordBatch:
    """A batch of changes, each of the seller of the row at `of_row`."""
    columns = [
        whole(rows.column("seller_id").take(array_of(of_row))),
        days_of(on_day),
        days_of(arrival),
        *(array_of(values.astype(np.int64)) for values in measures),
    ]
    return pa.RecordBatch.from_arrays(columns, names=_NAMES)


def _marks(net: dict[int, int]) -> Marks:
    """Of the days with orders left."""
    days = sorted((day for day, orders in net.items() if orders > 0), reverse=True)
    if not days:
        return None, None, None
    second = days[0] if net[days[0]] > 1 else days[1] if len(days) > 1 else None
    return days[-1], days[0], second
