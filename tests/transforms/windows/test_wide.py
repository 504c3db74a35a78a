"""How a task takes the rows of a partition: some whole sellers at once."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.windows.wide import SLICE, whole_slices


@given(
    st.lists(st.integers(0, 5), max_size=60).map(sorted),
    st.lists(st.integers(0, 7), min_size=1, max_size=30),
    st.integers(1, 240),
    st.integers(0, 12),
)
def test_no_slice_is_in_two_tables_and_none_is_much_larger_than_asked(
    slices: list[int], sizes: list[int], bytes_at_once: int, more_a_row: int
) -> None:
    batches, start = [], 0
    for size in [*sizes, len(slices)]:
        end = min(start + size, len(slices))
        batches.append(
            pa.record_batch({SLICE: pa.array(slices[start:end], pa.int32()), "row": list(range(start, end))})
        )
        start = end
    tables = list(whole_slices(batches, bytes_at_once, more_a_row))
    assert [row for table in tables for row in table.column("row").to_pylist()] == list(range(len(slices)))
    of_tables = [set(table.column(SLICE).to_pylist()) for table in tables]
    assert sum(map(len, of_tables)) == len(set(slices))
    bytes_a_row = 12 + more_a_row
    largest = max((slices.count(number) for number in slices), default=0) + max(b.num_rows for b in batches)
    assert all(table.num_rows * bytes_a_row < bytes_at_once + largest * bytes_a_row for table in tables)
    assert all(table.num_rows * bytes_a_row >= bytes_at_once for table in tables[:-1])
