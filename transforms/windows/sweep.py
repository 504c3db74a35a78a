"""Window sums from day tiles, for any set of sellers and as-of days, each as known then.

For tiles that arrived on their own day a running total P by event day gives sum_w(d) = P(d-1) - P(d-w-1). A back-dated
tile (arrival a after event e) counts for the as-of days max(a, e)+1 to e+w, so it enters and leaves as two endpoints;
one that arrived later than e+w-1 never counts in the window.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.windows.wide import WindowSums, by_sellers, wide_batches

_SPAN = np.int64(1) << 20
"""Days that one seller's part of the search key has room for: 2,870 years."""


def sweep(tiles: DataFrame, labels: DataFrame, wanted: WindowSums) -> DataFrame:
    """Sum the measures of `tiles` (silver.seller_day) over windows before each label's as-of day.

    `labels` has a row a (seller_id, as_of), none twice. One row a label: seller_id, as_of, first_day (the first event
    day known then, null before any event) and a bigint column a wanted sum. All tiles and labels of a seller meet in
    one partition, which is held in memory.
    """
    measures = sorted({measure for measure, _ in wanted})
    both = tiles.select(
        "seller_id",
        F.unix_date("event_day").alias("event_day"),
        F.unix_date("arrival_day").alias("arrival_day"),
        F.lit(False).alias("is_label"),
        *measures,
    ).unionByName(
        labels.select(
            "seller_id",
            F.unix_date("as_of").alias("event_day"),
            F.unix_date("as_of").alias("arrival_day"),
            F.lit(True).alias("is_label"),
            *(F.lit(0).cast("bigint").alias(measure) for measure in measures),
        )
    )
    return by_sellers(both, partial(_swept, wanted=tuple(wanted)), wanted)


def _swept(rows: pa.Table, wanted: WindowSums) -> Iterator[pa.RecordBatch]:
    sellers = rows.column("seller_id").combine_chunks().dictionary_encode()
    seller = sellers.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    event = rows.column("event_day").to_numpy().astype(np.int64)
    arrival = rows.column("arrival_day").to_numpy().astype(np.int64)
    is_label = rows.column("is_label").to_numpy()
    label_rows = np.flatnonzero(is_label)
    on_time = np.flatnonzero(~is_label & (arrival == event))
    late = np.flatnonzero(~is_label & (arrival != event))
    label_seller, label_day = seller[label_rows], event[label_rows]
    base = label_seller * _SPAN

    on_time = on_time[np.argsort(seller[on_time] * _SPAN + event[on_time], kind="stable")]
    on_time_key = seller[on_time] * _SPAN + event[on_time]
    start = np.maximum(arrival[late], event[late]) + 1
    late_by_start = late[np.argsort(seller[late] * _SPAN + start, kind="stable")]
    start_key = np.sort(seller[late] * _SPAN + start)
    known_from, known_to = _bounds(start_key, base, base + label_day + 1)

    sums: dict[tuple[str, int], np.ndarray] = {}
    to_day = np.searchsorted(on_time_key, base + label_day, side="left")
    look_ups: dict[int, _WindowLookUp] = {}
    for measure in sorted({name for name, _ in wanted}):
        values = rows.column(measure).to_numpy().astype(np.int64)
        total = _running(values[on_time])
        for days in sorted(days for name, days in wanted if name == measure):
            if days not in look_ups:
                look_ups[days] = _look_up(days, on_time_key, late, seller, event, start, base, label_day)
            window = look_ups[days]
            entered, left = _running(values[window.by_start]), _running(values[window.by_end])
            sums[measure, days] = (
                (total[to_day] - total[window.from_day])
                + (entered[window.entered_to] - entered[window.entered_from])
                - (left[window.left_to] - left[window.left_from])
            )
    first = _first_days(
        on_time_key, start_key, seller[late_by_start], event[late_by_start], base, to_day, known_from, known_to
    )
    names = sellers.dictionary.take(pa.array(label_seller))
    yield from wide_batches(names, label_day, first, first >= 0, [sums[sum_] for sum_ in wanted])


def _running(values: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(values)))


def _bounds(keys: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.searchsorted(keys, lower, side="left"), np.searchsorted(keys, upper, side="left")


@dataclass(frozen=True)
class _WindowLookUp:
    """Where each label's part of the running totals begins and ends, for one window length."""

    from_day: np.ndarray
    by_start: np.ndarray
    entered_from: np.ndarray
    entered_to: np.ndarray
    by_end: np.ndarray
    left_from: np.ndarray
    left_to: np.ndarray


def _look_up(
    days: int,
    on_time_key: np.ndarray,
    late: np.ndarray,
    seller: np.ndarray,
    event: np.ndarray,
    start: np.ndarray,
    base: np.ndarray,
    label_day: np.ndarray,
) -> _WindowLookUp:
    # a tile that arrived after its window had closed never entered: taking it off again is the classic error
    ever = start <= event[late] + days
    tiles = late[ever]
    start_key = seller[tiles] * _SPAN + start[ever]
    end_key = seller[tiles] * _SPAN + event[tiles] + days + 1
    by_start, by_end = np.argsort(start_key, kind="stable"), np.argsort(end_key, kind="stable")
    until = base + label_day + 1
    return _WindowLookUp(
        np.searchsorted(on_time_key, base + np.maximum(label_day - days, 0), side="left"),
        tiles[by_start],
        *_bounds(start_key[by_start], base, until),
        tiles[by_end],
        *_bounds(end_key[by_end], base, until),
    )


def _first_days(
    on_time_key: np.ndarray,
    start_key: np.ndarray,
    late_seller: np.ndarray,
    late_event: np.ndarray,
    base: np.ndarray,
    to_day: np.ndarray,
    known_from: np.ndarray,
    known_to: np.ndarray,
) -> np.ndarray:
    """The first event day known at each label, -1 where there is none."""
    none = _SPAN
    seller_from = np.searchsorted(on_time_key, base, side="left")
    has_on_time = to_day > seller_from
    first = np.full(len(base), none, dtype=np.int64)
    first[has_on_time] = on_time_key[seller_from[has_on_time]] - base[has_on_time]
    if len(start_key):
        # later sellers' values are lower by a whole span, so that a running minimum never looks across sellers
        lowest = np.minimum.accumulate(late_event - late_seller * _SPAN)
        has_late = known_to > known_from
        late_first = lowest[known_to[has_late] - 1] + base[has_late]
        first[has_late] = np.minimum(first[has_late], late_first)
    return np.where(first == none, -1, first)
