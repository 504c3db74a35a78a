"""Arrow's arrays as numpy's and back, in a worker that never imports pandas."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from transforms.arrow import array_of, days_of, numbers_of


@pytest.mark.parametrize(
    "values", [[], [3, -1, 2**62], [1.5, -0.0], [True, False, True, True, False, True, True, True, True]]
)
def test_there_and_back(values: list[float]) -> None:
    numbers = np.array(values, dtype=None if values else np.int64)
    column = array_of(numbers)
    assert column.to_pylist() == values
    assert numbers_of(column).tolist() == values
    assert numbers_of(pa.chunked_array([column, column])).tolist() == values * 2
    assert numbers_of(column.slice(1)).tolist() == values[1:]
    assert numbers_of(pa.chunked_array([], column.type)).tolist() == []


def test_a_column_of_a_matrix_is_copied_whole() -> None:
    assert array_of(np.arange(6).reshape(3, 2)[:, 1]).to_pylist() == [1, 3, 5]


def test_days_are_dates_and_null_where_unknown() -> None:
    days, is_known = np.arange(10), np.arange(10) % 3 > 0
    assert days_of(days).to_pylist() == [date(1970, 1, 1 + day) for day in range(10)]
    assert days_of(days, is_known).to_pylist() == [date(1970, 1, 1 + day) if day % 3 else None for day in range(10)]
    assert numbers_of(days_of(days)).tolist() == days.tolist()


def test_a_null_is_no_number() -> None:
    with pytest.raises(pa.ArrowTypeError, match="no nulls"):
        numbers_of(pa.array([1, None]))


DAY = date(2025, 3, 1)
STEPS = {
    "buyers": (
        "from transforms.tiles.buyers import fold as step; given = (iter(rows.to_batches()),)",
        pa.table(
            {
                "seller_id": ["s1", "s1", "s1", "s1"],
                "buyer_id": ["b1", "b1", "b2", "b2"],
                "event_day": [DAY, DAY.replace(day=3), DAY, DAY],
                "arrival_day": [DAY, DAY.replace(day=3), DAY, DAY.replace(day=4)],
                # the last takes an order back
                "orders": [1, 1, 1, -1],
                "is_news": [True, True, True, True],
            }
        ),
    ),
    "one order": (
        "from transforms.tiles.buyers import fold as step; given = (iter(rows.to_batches()),)",
        pa.table(
            {
                "seller_id": ["s1"],
                "buyer_id": ["b1"],
                "event_day": [DAY],
                "arrival_day": [DAY],
                "orders": [1],
                "is_news": [True],
            }
        ),
    ),
    "sweep": (
        "from transforms.windows.sweep import _swept as step; given = (rows, ['paid_fen'], [('paid_fen', 7)])",
        pa.table(
            {
                "seller_id": ["s1", "s1", "s1"],
                "day": pa.array([10, 9, 12], pa.int32()),
                "arrival_day": pa.array([10, 11, None], pa.int32()),
                "values": pa.array([[5], [None], None], pa.list_(pa.int64())),
            }
        ),
    ),
    "advance": (
        "from transforms.windows.advance import _added as step, _Part;"
        " given = (rows, 12, [_Part((7,), ('paid_fen',), 1)], [('paid_fen', 7)])",
        pa.table(
            {
                "seller_id": ["s1", "s1", "s2"],
                "part": pa.array([-1, 0, -2], pa.int32()),
                "windows": [0, 1, 0],
                "first_day": pa.array([9, 11, 2**31 - 1], pa.int32()),
                "values": pa.array([[5], [None], None], pa.list_(pa.int64())),
            }
        ),
    ),
    "advance where nothing is held and nothing leaves": (
        "from transforms.windows.advance import _added as step, _Part;"
        " given = (rows, 12, [_Part((7,), ('paid_fen',), 1), _Part((7,), ('paid_fen',), -1)], [('paid_fen', 7)])",
        pa.table(
            {
                "seller_id": ["s1"],
                "part": pa.array([0], pa.int32()),
                "windows": [1],
                "first_day": pa.array([11], pa.int32()),
                "values": pa.array([[5]], pa.list_(pa.int64())),
            }
        ),
    ),
    "groups": (
        "from transforms.groups.groups import _connected; step = lambda rows: [_connected(rows)]; given = (rows,)",
        pa.table({"as_of": [DAY, DAY], "seller_id": ["s1", "s2"], "other_id": ["s2", "s3"]}),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_worker_imports_no_pandas(name: str, tmp_path: Path) -> None:
    imports, rows = STEPS[name]
    with pa.ipc.new_file(tmp_path / "rows", rows.schema) as file:
        file.write_table(rows)
    code = f"""
import sys
import pyarrow as pa
with pa.ipc.open_file({str(tmp_path / "rows")!r}) as file:
    rows = file.read_all()
{imports}
print(sum(len(made) for made in step(*given)), "pandas" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.split()[1:] == ["False"], ended
    assert int(ended.stdout.split()[0]) > 0
