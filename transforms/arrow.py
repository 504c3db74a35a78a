"""Numpy's arrays as Arrow's and back, without pandas.

`pa.array`, `pa.scalar` and `to_numpy` import pandas to ask whether what they are given is of it: 1.9 of the 2.8
processor seconds that a new Python worker takes until it has given its first rows.
"""

import numpy as np
import pyarrow as pa


def numbers_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers, flags (as bools) or days (since 1970), to be read only.

    Raises ArrowTypeError where one is null.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_boolean(whole.type):
        return np.from_dlpack(whole.cast(pa.uint8())).view(bool)
    return np.from_dlpack(whole.cast(pa.int32()) if pa.types.is_date32(whole.type) else whole)


def array_of(values: np.ndarray) -> pa.Array:
    """Numbers or flags, none of them null."""
    if values.dtype == bool:
        return array_of(values.view(np.uint8)).cast(pa.bool_())
    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [None, pa.py_buffer(whole)])


def days_of(days: np.ndarray, is_known: np.ndarray | None = None) -> pa.Array:
    """Days since 1970 as dates; null where they are not known."""
    valid = None if is_known is None else pa.py_buffer(np.packbits(is_known, bitorder="little"))
    return pa.Array.from_buffers(pa.date32(), len(days), [valid, pa.py_buffer(days.astype(np.int32))])
