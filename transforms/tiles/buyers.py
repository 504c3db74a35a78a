"""Who bought when, and the changes that keep distinct, new and repeat buyers exact while they stay additive.

A buyer's newest order day carries 1: summed over a window, these are its distinct buyers. When a newer order comes,
the 1 moves: -1 at the old day, +1 at the new, both with the arrival day of the news, so that a tile of the past is
never changed. First days give new buyers, second newest orders the buyers with two or more.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.tables.silver import SELLER_BUYER_DAY

PAIR = ("seller_id", "buyer_id")
BUYER_MEASURES = ("first_buyers", "last_buyers", "second_last_buyers")
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
        by_pair.mapInArrow(_fold, _CHANGES)
        .groupBy("seller_id", "event_day", "arrival_day")
        .agg(*(F.sum(name).alias(name) for name in BUYER_MEASURES))
    )


def _fold(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rows = (
        row
        for batch in batches
        for row in zip(*(batch.column(number).to_pylist() for number in range(batch.num_columns)), strict=True)
    )
    out: list[tuple[object, ...]] = []
    for (seller, _), pair in groupby(rows, key=itemgetter(0, 1)):
        net: dict[object, int] = {}
        held: tuple[object, object, object] = (None, None, None)
        for arrival, arrived in groupby(pair, key=itemgetter(3)):
            is_news = False
            for _, _, day, _, orders, new in arrived:
                net[day] = net.get(day, 0) + orders
                is_news = is_news or new
            marks = _marks(net)
            if is_news:
                for number, (old, now) in enumerate(zip(held, marks, strict=True)):
                    if old != now:
                        for day, change in ((old, -1), (now, 1)):
                            if day is not None:
                                values = [0, 0, 0]
                                values[number] = change
                                out.append((seller, day, arrival, *values))
            held = marks
        if len(out) >= 50_000:
            yield _batch(out)
            out = []
    yield _batch(out)


def _marks(net: dict[object, int]) -> tuple[object, object, object]:
    """First day, newest day, and day of the second newest order, of the days with orders left."""
    days = sorted((day for day, orders in net.items() if orders > 0), reverse=True)  # type: ignore[type-var]
    if not days:
        return None, None, None
    second = days[0] if net[days[0]] > 1 else days[1] if len(days) > 1 else None
    return days[-1], days[0], second


def _batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * 6
    types = (pa.string(), pa.date32(), pa.date32(), pa.int64(), pa.int64(), pa.int64())
    names = ("seller_id", "event_day", "arrival_day", *BUYER_MEASURES)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
