"""What the world's faults planted = what intake found, by kind, in every delivery."""

import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from conf.source import load_source
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from tests.conftest import lake_at
from transforms.tables.bronze import DELIVERIES, LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE

FEEDS = {"orders": ORDER_EVENTS, "payments": PAYMENT_EVENTS, "loans": LOAN_EVENTS}
REFUSED_FILES = {"truncated file", "renamed column"}
BROKEN = {
    "amount_fen: no plain amount",
    "amount_fen: missing",
    "kind: value not in the mapping",
    "seller_id: missing",
    "happened_at: after the day it arrived",
}
pytestmark = pytest.mark.full  # a minute: the faulty world is taken in

Place = tuple[str, str]
"""(delivered on, feed)"""


class Planted:
    """What stands in the files that can be read, by the world's truth and no line of intake."""

    def __init__(self, world: Path) -> None:
        rows = pq.read_table(world / "truth" / "faults").to_pylist()
        self.files = {row["file"]: row["fault"] for row in rows if row["file"] is not None}
        self.records: Counter[Place] = Counter()
        self.sound: dict[tuple[str, str], list[str]] = defaultdict(list)
        """Days on which an id was delivered with the content that counts, by (feed, id)."""
        sound, wrong = self.sound, defaultdict(set)
        for row in rows:
            if row["file"] is None:
                wrong[row["feed"], row["event_id"], str(row["delivered_on"])].add(row["fault"])
        self.wrong = wrong
        """What is wrong with a record, by (feed, id, delivered on)."""
        self.broken = {
            (feed, event_id) for (feed, event_id, _), faults in wrong.items() if faults & {"broken", "clock"}
        }
        """(feed, id) of what was broken at first: a loan's record is delivered again, sound."""
        self.drifted: dict[str, set[tuple[str, str]]] = defaultdict(set)
        """(feed, id) of what stands in files that have drifted and can be read, by how."""
        copies: Counter[tuple[str, str, str]] = Counter()
        for file in sorted((world / "deliveries").rglob("*.parquet")):
            day, feed = file.parts[-3:-1]
            fault = self.files.get(str(file.relative_to(world / "deliveries")))
            if fault in REFUSED_FILES:
                continue
            names = pq.read_schema(file).names
            table = pq.read_table(file, columns=["event_id"] if "event_id" in names else None)
            self.records[day, feed] += len(table)
            if feed in FEEDS:
                for event_id in table["event_id"].to_pylist():
                    copies[feed, event_id, day] += 1
                    if fault:
                        self.drifted[fault].add((feed, event_id))
        self.found: dict[str, Counter[Place]] = defaultdict(Counter)
        """Records by what intake should say of them."""
        for (feed, event_id, day), number in sorted(copies.items(), key=lambda item: item[0][2]):
            faults = wrong[feed, event_id, day] - {"late"}
            told = (feed, event_id)
            place = (day, feed)
            unsound = faults & {"broken", "clock", "conflict", "correction"}
            # a duplicate of the same day stands beside its original, and one conflict, correction or the like is one
            good = number - len(unsound)
            for fault in unsound & {"broken", "clock"}:
                self.found[fault][place] += 1
            if "amendment" in faults:
                self.found["amendment"][place] += 1
            if "correction" in unsound:
                is_known = sound[feed, event_id.removesuffix(".void")]
                self.found["correction" if is_known else "unknown original"][place] += 1
            if "conflict" in unsound:
                self.found["conflict" if sound[told] or good else "only a conflict"][place] += 1
            self.found["duplicate"][place] += good - (0 if sound[told] else min(good, 1))
            if good:
                sound[told].append(day)


@pytest.fixture(scope="module")
def planted(faulty: Path) -> Planted:
    return Planted(faulty)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    taken_in = lake_at(spark, tmp_path_factory.mktemp("lake"))
    with pytest.MonkeyPatch.context() as patch:
        # as large deliveries go in; the other tests of intake have small ones
        patch.setattr("jobs.ingest.SMALL_BYTES", 0)
        ingest(taken_in, load_source("marketplace"), str(faulty / "deliveries"), None, date(2024, 1, 1))
    return taken_in


def day_of(delivery_id: str) -> str:
    return delivery_id.removeprefix("marketplace/").split("@")[0]


def test_every_planted_record_is_found_under_its_reason_and_no_other(lake: Lake, planted: Planted) -> None:
    found: dict[str, Counter[Place]] = defaultdict(Counter)
    for row in lake.read(QUARANTINE).filter("feed <> '(file)'").collect():
        (reason,) = row["reasons"]
        record: dict[str, Any] = json.loads(row["record"])
        place = (day_of(row["delivery_id"]), row["feed"])
        if reason == "event_id: known already with other content":
            found["conflict"][place] += 1
        elif reason.startswith("voids: "):
            found["unknown original"][place] += 1
        else:
            assert reason in BROKEN
            soon = str(date.fromisoformat(place[0]) + timedelta(days=20))
            is_clock = reason == "happened_at: after the day it arrived" and record["at"] < soon
            found["clock" if is_clock else "broken"][place] += 1
    for kind in ("broken", "clock", "conflict", "unknown original"):
        assert found[kind] == +planted.found[kind], kind
        assert planted.found[kind].total() > 0, kind


def test_every_file_that_cannot_be_read_is_refused_by_name(lake: Lake, planted: Planted) -> None:
    refused = lake.read(QUARANTINE).filter("feed = '(file)'").collect()
    assert {f"{day_of(row['delivery_id'])}/{row['file']}" for row in refused} == {
        file for file, fault in planted.files.items() if fault in REFUSED_FILES
    }


def test_corrections_and_what_is_told_twice_are_counted(lake: Lake, planted: Planted) -> None:
    for feed, table in FEEDS.items():
        corrections = lake.read(table).filter("sign = -1").count()
        assert corrections == sum(n for (_, of), n in planted.found["correction"].items() if of == feed)
    duplicates = {day_of(row["delivery_id"]): row["duplicate"] for row in lake.read(DELIVERIES).collect()}
    wanted: Counter[str] = Counter()
    for (day, _), number in planted.found["duplicate"].items():
        wanted[day] += number
    assert +Counter(duplicates) == +wanted
    assert wanted.total() > 0


def test_late_and_amended_records_are_news_of_the_day_that_brought_them(lake: Lake, planted: Planted) -> None:
    amended: Counter[Place] = Counter()
    late: dict[str, set[Place]] = {"found": set(), "planted": set()}
    for feed, table in FEEDS.items():
        for row in lake.read(table).filter("sign = 1").collect():
            told = (feed, row["event_id"])
            if not planted.sound[told]:
                # its sound copy was lost with its file
                assert (feed, str(row["arrival_day"])) in {(of, day) for day, of in planted.found["only a conflict"]}
                continue
            assert str(row["arrival_day"]) == planted.sound[told][0], told
            faults = planted.wrong[feed, row["event_id"], planted.sound[told][0]]
            if row["event_id"].endswith(".amended"):
                assert "amendment" in faults
                amended[str(row["arrival_day"]), feed] += 1
            # what was broken at first comes later than it happened without being late
            elif faults <= {"late"} and told not in planted.broken:
                if row["arrival_day"] > row["event_day"]:
                    late["found"].add(told)
                if "late" in faults:
                    late["planted"].add(told)
    assert amended == +planted.found["amendment"]
    assert late["found"] == late["planted"]
    assert amended.total() > 0 and len(late["found"]) > 20


def test_of_files_that_have_drifted_and_can_be_read_every_sound_record_is_taken_in(
    lake: Lake, planted: Planted
) -> None:
    assert sorted(planted.drifted) == ["extra column", "retyped column"]
    for feed in ("orders", "payments"):
        known = {row["event_id"] for row in lake.read(FEEDS[feed]).select("event_id").distinct().collect()}
        for drift, told in planted.drifted.items():
            sound = {event_id for of, event_id in told if of == feed and planted.sound[of, event_id]}
            assert sound <= known, (drift, feed)


def test_in_is_accepted_and_duplicate_and_quarantined(lake: Lake, planted: Planted) -> None:
    refused_files = Counter(file.split("/")[0] for file, fault in planted.files.items() if fault in REFUSED_FILES)
    records: Counter[str] = Counter()
    for (day, _), number in planted.records.items():
        records[day] += number
    deliveries = lake.read(DELIVERIES).collect()
    assert len(deliveries) == 112
    for row in deliveries:
        day = day_of(row["delivery_id"])
        assert row["records_in"] == records[day] + refused_files[day]
        assert row["records_in"] == row["accepted"] + row["duplicate"] + row["quarantined"]
    in_bronze = sum(lake.read(table).count() for table in FEEDS.values())
    sellers = sum(n for (_, feed), n in planted.records.items() if feed == "sellers")
    assert in_bronze + sellers == sum(row["accepted"] for row in deliveries)
