"""Window sums from day tiles, for any set of sellers and as-of days, each as known then.

For tiles that arrived on their own day a running total P by event day gives sum_w(d) = P(d-1) - P(d-w-1). A back-dated
tile (arrival a after event e) counts for the as-of days max(a, e)+1 to e+w, so it enters and leaves as two endpoints;
one that arrived later than e+w-1 never counts in the window.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.arrow import array_of, numbers_of
from transforms.windows.wide import WindowSums, by_sellers, values_of, wide_batches

_SPAN = np.int64(1) << 20
"""Days that one seller's part of the search key has room for: 2,870 years."""


def sweep(tiles: DataFrame, labels: DataFrame, wanted: WindowSums) -> DataFrame:
    """Sum the measures of `tiles` (silver.seller_day) over windows before each label's as-of day.

    `labels` has a row a (seller_id, as_of), none twice. One row a label: seller_id, as_of, first_day (the first event
    day known then, null before any event) and a bigint column a wanted sum. All tiles and labels of a seller are
    held in memory together.
    """
    measures = sorted({measure for measure, _ in wanted})
    none = F.lit(None)
    both = tiles.select(
        "seller_id",
        F.unix_date("event_day").alias("day"),
        F.unix_date("arrival_day").alias("arrival_day"),
        F.array(*measures).cast("array<bigint>").alias("values"),
    ).unionByName(
        # as narrow as can be: of a training set most rows are labels
        labels.select(
            "seller_id",
            F.unix_date("as_of").alias("day"),
            none.cast("int").alias("arrival_day"),
            none.cast("array<bigint>").alias("values"),
        )
    )
    return by_sellers(both, partial(_swept, measures=tuple(measures), wanted=tuple(wanted)), wanted)


def _swept(rows: pa.Table, measures: Sequence[str], wanted: WindowSums) -> Iterator[pa.RecordBatch]:
    sellers = rows.column("seller_id").combine_chunks().dictionary_encode()
    key = numbers_of(sellers.indices).astype(np.int64) * _SPAN + numbers_of(rows.column("day"))
    is_label = numbers_of(rows.column("arrival_day").is_null())
    # in the order of seller and day look-ups go through memory from its one end to the other: half of the time
    label_key = np.sort(key[is_label])
    base = label_key // _SPAN * _SPAN

    tile_key, arrival = key[~is_label], numbers_of(rows.column("arrival_day").drop_null()).astype(np.int64)
    start_key = np.maximum(tile_key // _SPAN * _SPAN + arrival, tile_key) + 1
    values = values_of(rows.column("values"), len(measures))
    is_late = start_key != tile_key + 1
    on_time, late = np.flatnonzero(~is_late), np.flatnonzero(is_late)
    on_time = on_time[np.argsort(tile_key[on_time], kind="stable")]
    late = late[np.argsort(start_key[late], kind="stable")]
    on_time_key, late_key, late_start = tile_key[on_time], tile_key[late], start_key[late]
    to_day = np.searchsorted(on_time_key, label_key, side="left")
    totals = [_running(of_measure) for of_measure in values.take(on_time, axis=0).T]
    so_far = [total[to_day] for total in totals]

    sums: dict[tuple[str, int], np.ndarray] = {}
    asked = set(wanted)
    for days in sorted({days for _, days in wanted}):
        from_day = np.searchsorted(on_time_key, np.maximum(label_key - days, base), side="left")
        # a tile that arrived after its window had closed never entered: taking it off again is the classic error
        ever = np.flatnonzero(late_start <= late_key + days)
        ends = np.concatenate((late_start[ever], late_key[ever] + days + 1))
        order = np.argsort(ends, kind="stable")
        # what entered has left before the next seller's days begin, so that every seller starts from 0
        to_end = np.searchsorted(ends[order], label_key, side="right")
        for place, measure in enumerate(measures):
            if (measure, days) in asked:
                sums[measure, days] = so_far[place] - totals[place][from_day]
                if len(ever):
                    changes = values[late[ever], place]
                    sums[measure, days] += _running(np.concatenate((changes, -changes))[order])[to_end]
    first = _first_days(on_time_key, to_day, late_start, late_key, label_key, base)
    names = sellers.dictionary.take(array_of(base // _SPAN))
    yield from wide_batches(names, label_key - base, first, first >= 0, [sums[sum_] for sum_ in wanted])


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(values)))


def _first_days(
    on_time_key: np.ndarray,
    to_day: np.ndarray,
    late_start: np.ndarray,
    late_key: np.ndarray,
    label_key: np.ndarray,
    base: np.ndarray,
) -> np.ndarray:
    """The first event day known at each label, -1 where there is none; late tiles by the day they are known from."""
    none = base + _SPAN
    first = none.copy()
    seller_from = np.searchsorted(on_time_key, base, side="left")
    has_on_time = to_day > seller_from
    first[has_on_time] = on_time_key[seller_from[has_on_time]]
    if len(late_key):
        # later sellers' values are lower by a span, so that a running minimum never looks across sellers
        seller = late_key // _SPAN * _SPAN
        lowest = np.minimum.accumulate(late_key - 2 * seller)
        known_from = np.searchsorted(late_start, base, side="left")
        known_to = np.searchsorted(late_start, label_key, side="right")
        has_late = known_to > known_from
        first[has_late] = np.minimum(first[has_late], lowest[known_to[has_late] - 1] + 2 * base[has_late])
    return np.where(first == none, -1, first - base)
