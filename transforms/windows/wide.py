"""Window sums as every way gives them: one row a seller and as-of day, a column a sum."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from transforms.features.feature import column_of

ROWS_A_BATCH = 10_000

WindowSums = Sequence[tuple[str, int]]
"""(measure, days) of each wanted sum, in the order of its column."""

OfSellers = Callable[[pa.Table], Iterator[pa.RecordBatch]]
"""All rows of some sellers -> their wide rows, as `wide_batches` makes them."""


def by_sellers(rows: DataFrame, of_sellers: OfSellers, wanted: WindowSums) -> DataFrame:
    """Bring all rows of a seller (seller_id) together, and work out wide rows partition by partition.

    Columns: seller_id, as_of, first_day and a bigint a wanted sum. A partition is held in memory.
    """
    schema = ", ".join(
        ["seller_id string", "as_of date", "first_day date", *(f"{column_of(m, days)} bigint" for m, days in wanted)]
    )

    def of_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        gathered = [batch for batch in batches if batch.num_rows]
        if gathered:
            yield from of_sellers(pa.Table.from_batches(gathered))

    return rows.repartition("seller_id").mapInArrow(of_partition, schema)


def wide_batches(
    sellers: pa.Array, as_of: np.ndarray, first: np.ndarray, has_first: np.ndarray, sums: Sequence[np.ndarray]
) -> Iterator[pa.RecordBatch]:
    """Rows in batches: ids, days since 1970 (first days where there is one), and the wanted sums in their order."""
    dates = [
        pa.array(as_of.astype(np.int32), pa.int32()).cast(pa.date32()),
        pa.array(first.astype(np.int32), pa.int32(), mask=~has_first).cast(pa.date32()),
    ]
    # Spark takes columns by their place
    columns = [sellers, *dates, *map(pa.array, sums)]
    table = pa.Table.from_arrays(columns, names=[str(place) for place in range(len(columns))])
    yield from table.to_batches(ROWS_A_BATCH)
