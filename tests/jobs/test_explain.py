"""The tiny ledger in a lake: closed in two parts it gives what was worked out by hand, and says what it is made of."""

import json
from datetime import timedelta

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.source import load_source
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.lakehouse.explain import explain
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.window_sums import newest_sums
from jobs.verify import _labels
from tests.conftest import lake_at
from tests.transforms.features import tiny
from tests.transforms.features.test_by_hand import EXPECTED, same
from transforms.features.known import SILVER, Silver, known_sellers
from transforms.tables import measures
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.gold import SELLER_FEATURES
from transforms.tables.measures import digests
from transforms.tables.silver import SELLER_DAY, SELLER_GROUP
from transforms.windows.asked import EverySeller

pytestmark = pytest.mark.full  # two minutes: two closings; the same ledger is worked out without a lake in test_by_hand
DAY_BEFORE = tiny.AS_OF - timedelta(days=1)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Arrivals up to 39 days before the as-of day, closed at once; then the rest, among it late and voiding ones."""
    lake = lake_at(spark, tmp_path_factory.mktemp("tiny"))
    events = tiny.bronze(spark)
    with lake.run("ingest", "a delivery", {}, {}) as run:
        for table, rows in (
            (ORDER_EVENTS, events.orders),
            (PAYMENT_EVENTS, events.payments),
            (LOAN_EVENTS, events.loans),
            (SELLERS, events.sellers),
        ):
            run.append(table, rows)
        run.facts = {"kinds_told": ",".join(load_source("marketplace").kinds_told()), "simulated": "False"}
        run.publish()
    aggregate(lake, tiny.AS_OF - timedelta(days=39))
    aggregate(lake, DAY_BEFORE)
    features(lake, tiny.AS_OF)
    return lake


def test_closed_in_two_parts_it_gives_what_was_worked_out_by_hand(lake: Lake) -> None:
    rows = {row["seller_id"]: row.asDict() for row in lake.read(SELLER_FEATURES).collect()}
    assert rows.keys() == {"busy", "sister", "gone", "new"}
    wrong = {
        (seller, name): (rows[seller][name], wanted)
        for name, values in EXPECTED.items()
        for seller, wanted in zip(("busy", "sister", "new"), values, strict=True)
        if not same(rows[seller][name], wanted)
    }
    assert not wrong
    groups = {tuple(row) for row in lake.read(SELLER_GROUP).filter(f"as_of = '{tiny.AS_OF}'").collect()}
    assert groups == {
        *((seller, tiny.AS_OF, "busy", 3) for seller in ("busy", "sister", "gone")),
        ("new", tiny.AS_OF, "new", 1),
    }


def test_an_application_before_there_is_a_profile_makes_nobody_known(lake: Lake) -> None:
    # as of this day `new` has applied for a loan, and has no profile yet
    day = tiny.AS_OF - timedelta(days=50)
    with lake.run("verify", f"as_of={day}", {}, {}) as run:
        labels = {row["seller_id"] for row in _labels(run, day, None).select("seller_id").collect()}
    silver = Silver(*map(lake.read, SILVER))
    assert labels == {
        row["seller_id"] for row in known_sellers(silver.sellers, silver.tiles, EverySeller(day)).collect()
    }
    assert "new" not in labels and len(labels) == 3


def test_a_day_is_worked_out_anew_when_asked_to_and_only_then(lake: Lake) -> None:
    assert "published already by" in features(lake, tiny.AS_OF).values
    before = lake.last_run("features")
    again = features(lake, tiny.AS_OF, again=True)
    after = lake.last_run("features")
    assert before is not None and after is not None and after.run_id != before.run_id
    assert again.values["carried on from"] is None and after.facts["window_sums"] == after.run_id
    slices = lake.read(SELLER_FEATURES).filter(F.col("as_of") == F.lit(tiny.AS_OF))
    told = [
        slices.filter(F.col("run_id") == run.run_id).drop("run_id").orderBy("seller_id").collect()
        for run in (before, after)
    ]
    assert told[0] == told[1]


def test_tiles_are_made_anew_where_a_measure_sums_something_else(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    tiles = lake.read(SELLER_DAY).orderBy("seller_id", "event_day", "arrival_day").collect()
    assert aggregate(lake, DAY_BEFORE).lines == ["nothing new to close"]
    held = newest_sums(lake, tiny.AS_OF)
    with monkeypatch.context() as moved:
        moved.setattr(measures, "digests", lambda: {**digests(), "paid_fen": "of another release"})
        assert "tiles made anew" in aggregate(lake, DAY_BEFORE).values
        now = newest_sums(lake, tiny.AS_OF)
    assert held is not None and now is not None
    assert {measure for measure, _ in held.sums - now.sums} == {"paid_fen"}
    assert lake.read(SELLER_DAY).orderBy("seller_id", "event_day", "arrival_day").collect() == tiles


MADE_OF = {
    # a feature of busy: inputs by name, and some of the records behind it
    "discount_depth_90d": (
        {"= paid_of_listed_fen_90d": 400, "= listed_fen_90d": 500},
        [("listed_fen_90d", "e023 paid", "400"), ("paid_of_listed_fen_90d", "e024 paid", "100")],
    ),
    "circular_flow_share_90d": (
        {"= circular_fen": 900, "= buyer_fen": 4100},
        [("payees", "b1", "50 fen paid out"), ("buyers", "b6", "1 orders, 1000 fen")],
    ),
    "price_against_category_90d": (
        {"= category_fen": 3700, "= category_usual_fen": 2719},
        [("items", "hats i1", "2 orders, 4 pieces, 2000 fen"), ("items", "hats", "1 orders, 1 pieces, 100 fen")],
    ),
    "days_below_week_outflow_90d": (
        {"= outflow_fen_90d": 6350},
        [("balances", "balance", "3350 fen at the day's end")],
    ),
    "days_past_due": (
        {"= days_past_due": 2},
        [
            (
                "loan book",
                "L3",
                "drawn_fen 5000, outstanding_fen 3500, oldest_unpaid_due_on 2025-02-27, oldest_unpaid_fen 500",
            )
        ],
    ),
    "bad_neighbours": ({"= others_bad": 1, "= linkable": 1}, [("group", "gone", "one of 3 in busy")]),
    "repeat_buyer_rate_180d": ({"= last_buyers_180d": 6}, [("last_buyers_180d", "b2", "1 orders")]),
    "drawdown_180d": (
        {"= sales_blocks": "1700, 2000, 0, 700, 0, 0, 0, 0, 300, 0, 600, -50"},
        [("net_sales_fen_360d", "e003 refunded", "-50")],
    ),
}


@pytest.mark.parametrize("name", MADE_OF)
def test_what_a_feature_is_made_of(lake: Lake, name: str) -> None:
    inputs, records = MADE_OF[name]
    told = explain(lake, name, "busy", tiny.AS_OF)
    assert same(told.values["value"], EXPECTED[name][0]) and told.values["published"] == told.values["value"]
    assert told.values.items() >= inputs.items()
    rows = {(row["made of"], row["record"], row["what it says"]) for row in json.loads(told.as_json())["rows"]}
    assert rows >= set(records)


def test_the_words_of_a_wrong_question(lake: Lake) -> None:
    with pytest.raises(UserError, match=r"no such feature. Near to it: gmv_sum_90d"):
        explain(lake, "gmv_sum_91d", "busy", tiny.AS_OF)
    with pytest.raises(UserError, match="nothing was known of a seller of this id before 2025-03-01"):
        explain(lake, "gmv_sum_90d", "nobody", tiny.AS_OF)
    with pytest.raises(UserError, match="needs every arrival day before it closed"):
        explain(lake, "gmv_sum_90d", "busy", tiny.AS_OF + timedelta(days=1))


def test_only_so_many_records_are_shown(lake: Lake) -> None:
    told = explain(lake, "gmv_sum_365d", "busy", tiny.AS_OF, most=2)
    assert told.table is not None
    assert [row[1] for row in told.table[1]] == ["e038 paid", "e034 paid", "and older ones"]
