"""Records looked at, records taken to be sound, and records mapped whole: three readings that must be one."""

from datetime import date
from itertools import product
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.source import Source
from tests.conftest import KEY
from transforms.intake.mapping import LOOKED_AT, Calendar, Records, event_id_of, look_at, map_records, map_sound
from transforms.intake.pseudonyms import PADS_SCHEMA, pads, personal_columns
from transforms.tables.bronze import ORDER_EVENTS

CALENDAR = Calendar("Asia/Shanghai", date(2020, 1, 1), date(2020, 1, 1), date(2024, 5, 5), date(2024, 5, 5))
LONG = "x" * 129
IDS = (None, "", "a1", " a1", "a1\n", "a\u200b1", "e\u0301", "é", "a b", LONG, "x" * 70)
AMOUNTS = (None, "12.50", "12,50", "-1", "9" * 14)
STAMPS = (None, "2024-05-04 10:00:00", "2024-06-01 10:00:00", "1999-01-01", "soon")
ROWS = [
    *((id_, "s1", "b1", "", "12.50", STAMPS[1], "paid") for id_ in IDS),
    *((f"v{n}", "s1", "b1", id_, None, None, None) for n, id_ in enumerate(IDS)),
    *((f"b{n}", "s1", id_, "", "12.50", STAMPS[1], "paid") for n, id_ in enumerate(IDS)),
    *((f"s{n}", id_, "b1", "", "12.50", STAMPS[1], "paid") for n, id_ in enumerate(IDS)),
    *((f"t{n}", "s1", "b1", "", *told, "paid") for n, told in enumerate(product(AMOUNTS, STAMPS))),
    *((f"k{n}", "s1", "b1", "", "1", STAMPS[1], kind) for n, kind in enumerate((None, "", "paid", "lent", "test"))),
]
COLUMNS = "id string, shop string, buyer string, voids string, amount string, at string, kind string"
PLAIN: dict[str, Any] = {
    "event_id": "id",
    "seller_id": "shop",
    "voids": {"expression": "nullif(voids, '')"},
    "happened_at": "at",
    "order_id": "id",
    "buyer_id": "buyer",
    "kind": {"column": "kind", "values": {"paid": "paid"}},
    "amount_fen": {"column": "amount", "unit": "yuan"},
}
FEEDS: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "with a filter": {"filter": "coalesce(kind, '') <> 'test'"},
    "a buyer computed": {"buyer_id": {"expression": "lower(trim(buyer))"}},
    "an order of a buyer": {"order_id": {"expression": "concat(buyer, '/', id)"}},
    "an event of a buyer": {"event_id": {"expression": "concat(id, '/', buyer)"}},
    "a column that is not there": {"item_id": {"column": "item", "optional": True}},
}


@pytest.fixture(params=FEEDS)
def records(spark: SparkSession, request: pytest.FixtureRequest) -> Records:
    changes = dict(FEEDS[request.param])
    feed = {"name": "orders", "files": "*.csv", "event": "order_event", "filter": changes.pop("filter", None)}
    source = Source.model_validate(
        {
            "name": "odd",
            "description": "odd",
            "time_zone": "UTC",
            "deliveries": "folders",
            "arrival": {"assume": "event_day + 0"},
            "feeds": [{**feed, "fields": {**PLAIN, **changes}}],
        }
    )
    raw = spark.createDataFrame(ROWS, COLUMNS).withColumns(
        {
            "delivery_id": F.lit("odd/1"),
            "delivery_order": F.lit(0),
            "file": F.lit("odd.csv"),
            "position": F.monotonically_increasing_id(),
        }
    )
    secret = spark.createDataFrame([pads(KEY.encode())], PADS_SCHEMA)
    personal = personal_columns(source.feeds, raw.columns)
    return Records(raw, source, source.feeds[0], CALENDAR, personal, secret)


def rows_of(frame: DataFrame) -> list[str]:
    return sorted(str(tuple(row)) for row in frame.collect())


def test_the_three_readings_are_one(records: Records) -> None:
    whole = map_records(records).localCheckpoint()
    sound = whole.filter("is_sound and voids is null").select(*ORDER_EVENTS.names, "position")
    assert 0 < sound.count() < whole.count() - 20
    assert rows_of(look_at(records)) == rows_of(whole.select(*LOOKED_AT))

    unchecked = map_sound(records)
    taken = unchecked.join(F.broadcast(sound.select("position")), "position", "left_semi")
    assert rows_of(taken.select(*sound.columns)) == rows_of(sound)

    ids = rows_of(whole.select("position", "event_id"))
    assert rows_of(unchecked.select("position", "event_id")) == ids
    if not records.has_ids_made_of_pseudonyms:
        assert rows_of(records.taken.raw.select("position", event_id_of(records))) == ids
