"""Numpy's arrays as Arrow's and back, without pandas.

`pa.array`, `pa.scalar`, `to_numpy`, and `combine_chunks` of no chunk import pandas: 1.9 of the 2.8 processor seconds
that a new Python worker took until it had given its first rows (AMD EPYC, pyarrow 25.0.1; by hand).
"""

import numpy as np
import pyarrow as pa


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column in one array; copied only where it has several chunks."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks > 1:
        return column.combine_chunks()
    return column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)


def numbers_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers, flags (as bools) or days (since 1970), to be read only.

    Raises ArrowTypeError where one is null.
    """
    values = whole(column)
    if pa.types.is_boolean(values.type):
        return np.from_dlpack(values.cast(pa.uint8())).view(bool)
    return np.from_dlpack(values.cast(pa.int32()) if pa.types.is_date32(values.type) else values)


def array_of(values: np.ndarray) -> pa.Array:
    """Numbers or flags of one dimension, none of them null; may share the memory of `values`."""
    if values.dtype == bool:
        bits = pa.py_buffer(np.packbits(values, bitorder="little"))
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])
    numbers = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, pa.py_buffer(numbers)])


def days_of(days: np.ndarray, is_known: np.ndarray | None = None) -> pa.Array:
    """Days since 1970 as dates; null where `is_known`, as long as `days`, says that they are not."""
    valid = None if is_known is None else pa.py_buffer(np.packbits(is_known, bitorder="little"))
    return pa.Array.from_buffers(pa.date32(), len(days), [valid, pa.py_buffer(days.astype(np.int32))])
