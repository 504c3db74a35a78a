"""Records looked at, records taken to be sound, and records mapped whole: three readings that must be one."""

import hashlib
import hmac
from datetime import date
from itertools import product
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.source import Source
from tests.conftest import KEY
from transforms.intake.mapping import (
    LOOKED_AT,
    Calendar,
    Records,
    event_id_of,
    look_at,
    map_records,
    map_sound,
    mapping_problems,
    with_reasons,
)
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


IN_FULL = {"with a filter", "a column that is not there"}


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.full if name in IN_FULL else ()) for name in FEEDS])
def records(spark: SparkSession, request: pytest.FixtureRequest) -> Records:
    changes = dict(FEEDS[request.param])
    taken = changes.pop("filter", None)
    return records_of(spark, source_of({**PLAIN, **changes}, taken), ROWS)


def source_of(fields: dict[str, Any], taken: str | None = None, event: str = "order_event") -> Source:
    feed = {"name": f"{event.removesuffix('_event')}s", "files": "*.csv", "event": event, "filter": taken}
    return Source.model_validate(
        {
            "name": "odd",
            "description": "odd",
            "time_zone": "UTC",
            "deliveries": "folders",
            "arrival": {"assume": "event_day + 0"},
            "feeds": [{**feed, "fields": fields}],
        }
    )


def records_of(spark: SparkSession, source: Source, rows: list[tuple[Any, ...]]) -> Records:
    raw = spark.createDataFrame(rows, COLUMNS).withColumns(
        {
            "delivery_id": F.lit("odd/1"),
            "delivery_order": F.lit(0),
            "file": F.lit("odd.csv"),
            "position": F.monotonically_increasing_id(),
        }
    )
    secret = spark.createDataFrame([pads(KEY.encode())], PADS_SCHEMA)
    personal = personal_columns(source.feeds, raw.columns)
    return Records(raw, source, source.feeds[0], CALENDAR, personal, secret, source.feeds)


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


NESTED: dict[str, Any] = {
    **PLAIN,
    "seller_id": {"expression": "get_json_object(kind, '$.shop.id')"},
    "order_id": {"expression": "get_json_object(kind, '$.id')"},
    "buyer_id": {"expression": "get_json_object(kind, '$.buyer')"},
    "kind": {"constant": "paid"},
}


def nested(spark: SparkSession, **changes: Any) -> Records:
    source = source_of({**NESTED, **changes})
    order = '{"id":"o1","buyer":"Quitmeyer","shop":{"id":"s1"}}'
    rows = [("a1", "x", "x", "", amount, STAMPS[1], order) for amount in ("12.50", "12,50")]
    return records_of(spark, source, rows)


def test_an_id_beside_the_buyers_is_read_and_the_buyers_is_a_pseudonym(spark: SparkSession) -> None:
    records = nested(spark)
    assert mapping_problems(records.raw.limit(0), records.source, records.feed) == []
    whole = map_records(records).localCheckpoint()
    buyer = hmac.new(KEY.encode(), b"Quitmeyer", hashlib.sha256).hexdigest()[:32]
    told = ("is_sound", "seller_id", "order_id", "buyer_id")
    assert sorted(map(tuple, whole.select(*told).collect())) == [
        (False, "s1", "o1", buyer),
        (True, "s1", "o1", buyer),
    ]
    assert "Quitmeyer" not in str(rows_of(with_reasons(whole)))
    assert rows_of(look_at(records)) == rows_of(whole.select(*LOOKED_AT))
    sound = whole.filter("is_sound").select(*ORDER_EVENTS.names)
    unchecked = map_sound(records).join(whole.filter("is_sound").select("position"), "position", "left_semi")
    assert rows_of(unchecked.select(*sound.columns)) == rows_of(sound)


def test_an_instalment_that_falls_due_on_no_day_is_refused(spark: SparkSession) -> None:
    fields: dict[str, Any] = {
        name: PLAIN[name] for name in ("event_id", "seller_id", "voids", "happened_at", "amount_fen")
    }
    kinds = {"column": "kind", "values": {"due": "due", "paid": "repaid"}}
    fields |= {"loan_id": "buyer", "kind": kinds, "due_on": {"column": "due", "optional": True}}
    source = source_of(fields, event="loan_event")
    rows = [("a1", "s1", "l1", "", "1", STAMPS[1], kind) for kind in ("due", "paid")]
    rows.append(("a2", "s1", None, "a1", None, None, None))
    found = rows_of(with_reasons(map_records(records_of(spark, source, rows))).select("kind", "reasons"))
    assert found == sorted(map(str, [(None, []), ("due", ["due_on: missing"]), ("repaid", [])]))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (
            "get_json_object(kind, '$.buyer')",
            "order_id: is read as buyer_id is, which is kept as a pseudonym: map what is its own",
        ),
        *(
            (
                text,
                "order_id: takes apart kind, of which buyer_id is made and a pseudonym is kept:"
                " only another path into it can be read",
            )
            for text in (
                "concat(get_json_object(kind, '$.buyer'), '/', id)",
                "get_json_object(kind, '$')",
                "substring(kind, 1, 9)",
            )
        ),
        # as a whole it is a pseudonym, which tells orders apart as well
        ("concat(kind, '/', id)", None),
    ],
)
def test_an_id_that_looks_where_the_buyers_is_is_refused(
    spark: SparkSession, expression: str, problem: str | None
) -> None:
    records = nested(spark, order_id={"expression": expression})
    told = [f"feed orders: {problem}"] if problem else []
    assert mapping_problems(records.raw.limit(0), records.source, records.feed) == told
    # whatever is told, nothing of it comes through
    assert "Quitmeyer" not in str(rows_of(with_reasons(map_records(records))))
