"""Window sums as every way gives them: one row a seller and as-of day, a column a sum."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from transforms.arrow import array_of, days_of, numbers_of, whole
from transforms.features.feature import column_of

ROWS_A_BATCH = 10_000

BYTES_AT_ONCE = 64 << 20
"""What a task holds of whole sellers' rows, and of sums if each row had its own, however large its partition.

With some 10^5 rows look-ups stay near the processor: of 8 x 10^5 the sweep takes half as much again a row.
"""

SLICES = 64
"""Parts that a partition's sellers are put in the order of: a task holds at most one more than it needs."""

WindowSums = Sequence[tuple[str, int]]
"""(measure, days) of each wanted sum, in the order of its column."""

SLICE = "slice"

_ZERO = array_of(np.zeros(1, dtype=np.int64))[0]

OfSellers = Callable[[pa.Table], Iterator[pa.RecordBatch]]
"""All rows of some sellers -> their wide rows, as `wide_batches` makes them."""


def by_sellers(rows: DataFrame, of_sellers: OfSellers, wanted: WindowSums) -> DataFrame:
    """Bring all rows of a seller (seller_id) together, and work out wide rows, some whole sellers at once.

    Columns: seller_id, as_of, first_day and a bigint a wanted sum. What is held in memory are rows of BYTES_AT_ONCE and
    a slice of a partition's sellers, or all rows of one seller where they are more.
    """
    schema = ", ".join(
        ["seller_id string", "as_of date", "first_day date", *(f"{column_of(m, days)} bigint" for m, days in wanted)]
    )

    def of_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for some in whole_slices(batches, BYTES_AT_ONCE, 8 * len(wanted)):
            yield from of_sellers(some)

    # another hash than that which chose the partition: by that one they would all be in one slice
    sliced = rows.withColumn(SLICE, F.pmod(F.xxhash64("seller_id"), F.lit(SLICES)).cast("int"))
    return sliced.repartition("seller_id").sortWithinPartitions(SLICE).mapInArrow(of_partition, schema)


def whole_slices(batches: Iterable[pa.RecordBatch], bytes_at_once: int, more_a_row: int) -> Iterator[pa.Table]:
    """Batches in the order of their slice, put together to tables of at least so many bytes that share no slice.

    A row has `more_a_row` bytes beside its own, for what it is to become.
    """
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        rest = batch
        if size >= bytes_at_once:
            last = held[-1].column(SLICE)[-1].as_py()
            end = int(np.searchsorted(numbers_of(batch.column(SLICE)), last, side="right"))
            if end < batch.num_rows:
                yield pa.Table.from_batches([*held, batch.slice(0, end)])
                held, size, rest = [], 0, batch.slice(end)
        held.append(rest)
        size += rest.nbytes + rest.num_rows * more_a_row
    if held:
        yield pa.Table.from_batches(held)


def values_of(arrays: pa.ChunkedArray, width: int) -> np.ndarray:
    """The values of arrays of so many, a row each, without those that are null. A null value is 0."""
    values = whole(arrays).flatten()
    known = values.fill_null(_ZERO) if values.null_count else values
    return numbers_of(known).reshape(len(arrays) - arrays.null_count, width)


def wide_batches(
    sellers: pa.Array, as_of: np.ndarray, first: np.ndarray, has_first: np.ndarray, sums: Sequence[np.ndarray]
) -> Iterator[pa.RecordBatch]:
    """Rows in batches: ids, days since 1970 (first days where there is one), and the wanted sums in their order."""
    # Spark takes columns by their place
    columns = [sellers, days_of(as_of), days_of(first, has_first), *map(array_of, sums)]
    table = pa.Table.from_arrays(columns, names=[str(place) for place in range(len(columns))])
    yield from table.to_batches(ROWS_A_BATCH)
