"""One day's refresh: the state as of a day is the state as of an earlier one, plus what entered, less what left.

A tile of event day e and arrival day a counts in a window of w days for the as-of days max(a, e)+1 to e+w. So from
`since` to `as_of` enter the tiles that arrived in [since, as_of) and whose event day is in the window, and leave those
with an event day in [since-w, as_of-w) that had arrived before `since`: what arrived later never counted, and must not
be taken off.

The state is long, a row a seller and window, so that it is one narrow sum; windows without anything have no row.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial, reduce

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.features.feature import EVER, column_of
from transforms.windows.wide import WindowSums, by_sellers, wide_batches

KEY = ("seller_id", "window_days")

Windows = Mapping[int, tuple[str, ...]]
"""The measures that each window's sums are wanted of."""


def windows_of(wanted: WindowSums) -> Windows:
    """The windows of a state. That of all days is always one of them: its row holds the seller's first day."""
    windows = sorted({EVER, *(days for _, days in wanted)})
    return {days: tuple(sorted(name for name, length in wanted if length == days)) for days in windows}


def advance(state: DataFrame, tiles: DataFrame, since: date, as_of: date, wanted: WindowSums) -> DataFrame:
    """The state as of `as_of` from the one as of `since`, at least one day before, of the same sums.

    `state` has the rows of one slice of gold.window_state, `tiles` are those of silver.seller_day. Of these are read:
    the days that arrived since, and the event days that leave.
    """
    windows = windows_of(wanted)
    held = state.select(*KEY, "first_day", *measures_of(windows))
    news = [*_entering(tiles, since, as_of, windows), *_leaving(tiles, since, as_of, windows)]
    return merged([held, *news], wanted)


def merged(parts: Sequence[DataFrame], wanted: WindowSums) -> DataFrame:
    """Add up states of different sums, or a state and what changed it: one row a seller and window with anything."""
    windows = windows_of(wanted)
    names = measures_of(windows)
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    sums = rows.groupBy(*KEY).agg(F.min("first_day").alias("first_day"), *(F.sum(name).alias(name) for name in names))
    return sums.filter(_is_something(names))


def only(state: DataFrame, wanted: WindowSums) -> DataFrame:
    """A state without the sums that are not wanted."""
    windows = windows_of(wanted)
    return state.filter(_is_one_of(list(windows))).select(*KEY, "first_day", *_of_window(windows))


def measures_of(windows: Windows) -> list[str]:
    """The measures of any of the windows."""
    return sorted(set().union(*windows.values()))


def _entering(tiles: DataFrame, since: date, as_of: date, windows: Windows) -> Iterator[DataFrame]:
    # asked for apart: one condition over a partition and a column of the data would read every file
    on_time = tiles.filter(~F.col("is_back_dated") & _in_months([(since, as_of)]) & _in_days([(since, as_of)]))
    arrived = (F.col("arrival_day") >= F.lit(since)) & (F.col("arrival_day") < F.lit(as_of))
    for rows in (on_time, tiles.filter(F.col("is_back_dated") & arrived)):
        yield _by_window(rows, windows, lambda days: F.date_diff(F.lit(as_of), F.col("event_day")) <= days, sign=1)


def _leaving(tiles: DataFrame, since: date, as_of: date, windows: Windows) -> Iterator[DataFrame]:
    finite = {days: names for days, names in windows.items() if days != EVER and names}
    was_known = F.col("arrival_day") < F.lit(since)
    # windows of the same measures are one scan of these columns alone
    for names in sorted(set(finite.values())):
        alike = {days: names for days, of_window in finite.items() if of_window == names}
        yield _left(tiles.filter(~F.col("is_back_dated") & was_known), since, as_of, alike)
    if finite:
        yield _left(tiles.filter(F.col("is_back_dated") & was_known), since, as_of, finite)


def _left(tiles: DataFrame, since: date, as_of: date, windows: Windows) -> DataFrame:
    ranges = [(since - timedelta(days), as_of - timedelta(days)) for days in sorted(windows)]
    age_now, age_then = (F.date_diff(F.lit(day), F.col("event_day")) for day in (as_of, since))
    rows = tiles.filter(_in_months(ranges) & _in_days(ranges))
    return _by_window(rows, windows, lambda days: (age_now > days) & (age_then <= days), sign=-1)


def _by_window(rows: DataFrame, windows: Windows, counts: Callable[[Column], Column], sign: int) -> DataFrame:
    """Each tile once for every window that it enters or leaves, with the measures of that window."""
    lengths = F.array(*(F.lit(days) for days in windows))
    names = measures_of(windows)
    first = F.when(F.lit(sign > 0) & (F.col("window_days") == EVER), F.col("event_day"))
    return (
        rows.select("seller_id", "event_day", F.explode(F.filter(lengths, counts)).alias("window_days"), *names)
        # no filter of what is all 0: pushed below these columns it takes the optimizer longer than the sum
        .select(*KEY, first.cast("date").alias("first_day"), *_of_window(windows, sign))
    )


def _of_window(windows: Windows, sign: int = 1) -> list[Column]:
    """Each measure in the rows of the windows that want it, null in the others."""
    columns = []
    for name in measures_of(windows):
        wanting = [days for days, names in windows.items() if name in names]
        value = F.col(name) if sign > 0 else -F.col(name)
        columns.append((value if len(wanting) == len(windows) else F.when(_is_one_of(wanting), value)).alias(name))
    return columns


def _is_one_of(windows: Sequence[int]) -> Column:
    return F.col("window_days").isin(list(windows))


def _is_something(names: Sequence[str]) -> Column:
    # not a chain of `or`, whose planning grows with the square of its length
    lowest, highest = F.least(F.lit(0), *names), F.greatest(F.lit(0), *names)
    return F.col("first_day").isNotNull() | (lowest != 0) | (highest != 0)


Range = tuple[date, date]
"""Days from the first on to before the second."""


def _in_days(ranges: Iterable[Range]) -> Column:
    """Whether the event day is in one of the ranges: as ranges, since by a list no file would be skipped."""
    joined: list[Range] = []
    for first, end in sorted(ranges):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((first, end))
    day = F.col("event_day")
    return reduce(Column.__or__, ((day >= F.lit(first)) & (day < F.lit(end)) for first, end in joined))


def _in_months(ranges: Iterable[Range]) -> Column:
    months: set[str] = set()
    for first, end in ranges:
        month = first.replace(day=1)
        while month < end:
            months.add(f"{month:%Y-%m}")
            month = (month + timedelta(days=31)).replace(day=1)
    return F.col("event_month").isin(sorted(months))


def state_of(sums: DataFrame, wanted: WindowSums) -> DataFrame:
    """Sums as the sweep gives them -> rows of a state."""
    windows = windows_of(wanted)
    names = measures_of(windows)
    none = F.lit(None)
    rows = (
        F.struct(
            F.lit(days).alias("window_days"),
            (F.col("first_day") if days == EVER else none.cast("date")).alias("first_day"),
            *((F.col(column_of(m, days)) if m in windows[days] else none.cast("bigint")).alias(m) for m in names),
        )
        for days in windows
    )
    return sums.select("seller_id", F.inline(F.array(*rows))).filter(_is_something(names))


def sums_of(state: DataFrame, profiled: DataFrame, as_of: date, wanted: WindowSums) -> DataFrame:
    """A state as of a day -> what `sweep` gives for every seller known then: a row a seller, a column a sum.

    Known are the sellers of the state, who have had an event, and those of `profiled` (seller_id; some may be there
    several times): without an event their sums are 0.
    """
    names = measures_of(windows_of(wanted))
    both = state.select(*KEY, "first_day", *names).unionByName(
        profiled.select(
            "seller_id",
            F.lit(0).alias("window_days"),
            F.lit(None).cast("date").alias("first_day"),
            *(F.lit(None).cast("bigint").alias(name) for name in names),
        )
    )
    day = (as_of - date(1970, 1, 1)).days
    return by_sellers(both, partial(_widened, as_of=day, wanted=tuple(wanted)), wanted)


def _widened(rows: pa.Table, as_of: int, wanted: WindowSums) -> Iterator[pa.RecordBatch]:
    encoded = rows.column("seller_id").combine_chunks().dictionary_encode()
    sellers, seller = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    window = rows.column("window_days").to_numpy()
    of_window = {days: np.flatnonzero(window == days) for days in {EVER, *(days for _, days in wanted)}}
    no_day = np.iinfo(np.int32).min
    first = np.full(len(sellers), no_day, dtype=np.int32)
    first_days = rows.column("first_day").cast(pa.int32()).fill_null(int(no_day)).to_numpy()
    first[seller[of_window[EVER]]] = first_days[of_window[EVER]]
    values = {name: rows.column(name).fill_null(0).to_numpy() for name, _ in wanted}
    sums: list[np.ndarray] = []
    for name, days in wanted:
        of_sellers = np.zeros(len(sellers), dtype=np.int64)
        of_sellers[seller[of_window[days]]] = values[name][of_window[days]]
        sums.append(of_sellers)
    yield from wide_batches(sellers, np.full(len(sellers), as_of), first, first != no_day, sums)
