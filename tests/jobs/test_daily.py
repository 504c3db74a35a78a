"""A day takes in whatever is new, however late it came, at the cost of a day."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from conf.policy import load_policy
from conf.source import Source
from jobs import daily as daily_job
from jobs.aggregate import aggregate
from jobs.daily import daily
from jobs.lakehouse.command import Report
from jobs.lakehouse.deliveries import day_in, looked_at
from jobs.lakehouse.lake import Lake
from tests.jobs.test_ingest import order, source, write_orders
from transforms.tables.bronze import ORDER_EVENTS


@pytest.fixture
def without_a_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's intake and its closing are real; for what follows a model would have to be trained."""

    def nothing(*_: Any) -> Report:
        return Report("nothing")

    for name in ("champion", "check", "features", "score", "decide"):
        monkeypatch.setattr(daily_job, name, nothing)


def day_of_work(lake: Lake, as_of: date, folder: Path, mapping: Source) -> Report:
    return daily(lake, as_of, mapping, str(folder), load_policy("standard"))


def arrivals(lake: Lake) -> list[tuple[str, str]]:
    rows = lake.read(ORDER_EVENTS).select("event_id", F.col("arrival_day").cast("string")).collect()
    return sorted((row["event_id"], row["arrival_day"]) for row in rows)


@pytest.mark.usefixtures("without_a_champion")
@pytest.mark.full  # two minutes: three days; which deliveries a day looks at is told below
def test_a_delivery_that_comes_after_its_day_was_closed_is_news_of_the_first_open_day(
    lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    write_orders(folder / "2025-03-10" / "orders.csv", [order("in-time")])
    day_of_work(lake, date(2025, 3, 11), folder, source())
    # three days late, by two kinds of name; a day's own; and one of tomorrow
    write_orders(folder / "2025-03-09" / "orders.csv", [order("late")])
    write_orders(folder / "export_20250308" / "orders.csv", [order("late-too")])
    write_orders(folder / "2025-03-11" / "orders.csv", [order("own")])
    write_orders(folder / "2025-03-12" / "orders.csv", [order("tomorrow")])

    done = day_of_work(lake, date(2025, 3, 12), folder, source())

    assert done.values["ingest: deliveries"] == 3 and done.values["aggregate: closed through"] == date(2025, 3, 11)
    assert done.lines == [
        "ingest: known by name, not looked at again: 2025-03-10; `seller-credit ingest` looks at all",
        "ingest: left to a later day, by name: 2025-03-12",
    ]
    assert arrivals(lake) == [
        ("in-time", "2025-03-10"),
        ("late", "2025-03-11"),
        ("late-too", "2025-03-11"),
        ("own", "2025-03-11"),
    ]
    # the same day once more: nothing is new
    again = day_of_work(lake, date(2025, 3, 12), folder, source())
    assert (again.values["ingest: deliveries"], again.values["ingest: known already"]) == (0, 1)
    assert again.lines[0].startswith("ingest: known by name, not looked at again: 3 deliveries, 2025-03-09 to export_")
    # the newest in bronze, but for a day that is not over
    assert aggregate(lake, None, date(2025, 3, 12)).lines == ["nothing new to close"]
    assert aggregate(lake, None, date(2025, 3, 11)).lines == [
        "closed no further than 2025-03-10: 2025-03-11 is not over, and what arrived on it stays open",
        "nothing new to close",
    ]


@pytest.mark.usefixtures("without_a_champion")
@pytest.mark.full  # half a minute
def test_an_input_that_is_one_delivery_is_taken_in_too(lake: Lake, tmp_path: Path) -> None:
    write_orders(tmp_path / "in" / "orders.csv", [order("one")])
    day_of_work(lake, date(2025, 3, 11), tmp_path / "in", source().model_copy(update={"deliveries": "whole"}))
    assert arrivals(lake) == [("one", "2025-03-10")]


@pytest.mark.usefixtures("without_a_champion")
@pytest.mark.full  # half a minute
def test_what_happened_after_midnight_before_the_export_arrives_on_its_own_day(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    rows = [order("evening"), order("night", at="2025-03-11 00:02:00"), order("never", at="2025-03-12 00:02:00")]
    write_orders(folder / "batch-17" / "orders.csv", rows)
    done = day_of_work(lake, date(2025, 3, 11), folder, source())
    assert (done.values["ingest: accepted"], done.values["ingest: quarantined"]) == (2, 1)
    assert arrivals(lake) == [("evening", "2025-03-10"), ("night", "2025-03-11")]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2024-09-01", date(2024, 9, 1)),
        ("20240901", date(2024, 9, 1)),
        ("export_2024-09-01", date(2024, 9, 1)),
        ("day=2024_09_01.v2", date(2024, 9, 1)),
        ("20240901T0215", date(2024, 9, 1)),
        ("20240901021500", date(2024, 9, 1)),
        ("2024-08-01_2024-08-31", date(2024, 8, 31)),
        ("2024-09", None),
        ("2024-13-01", None),
        ("2024-0901", None),
        ("batch-1202409011", None),
        ("whole", None),
    ],
)
def test_the_day_in_a_name(name: str, day: date | None) -> None:
    assert day_in(name) == day


def test_a_day_looks_at_what_is_unknown_or_still_open_and_tells_the_rest() -> None:
    names = ["(input)", "2024-08-30", "2024-08-31", "2024-09-01", "2024-09-02", "batch-1", "batch-2", "whole"]
    known = {"(input)", "2024-08-31", "2024-09-01", "batch-1", "whole"}
    as_of, open_from = date(2024, 9, 2), date(2024, 9, 1)

    assert looked_at(names, as_of, open_from, known) == (
        ["(input)", "2024-08-30", "2024-09-01", "batch-2", "whole"],
        [
            "known by name, not looked at again: 2 deliveries, 2024-08-31 to batch-1;"
            " `seller-credit ingest` looks at all",
            "left to a later day, by name: 2024-09-02",
        ],
    )
    # no day is closed yet: nothing is over
    assert looked_at(names, as_of, None, known)[0] == [name for name in names if name != "2024-09-02"]
