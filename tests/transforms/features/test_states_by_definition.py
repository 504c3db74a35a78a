"""States of random ledgers, with late, corrected and out-of-order news, against their definitions in plain Python."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from math import floor
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from transforms.features.states.balances import BALANCE_DAYS, LOOK_BACK_DAYS, balance_states_at
from transforms.features.states.days import day_states_at
from transforms.features.states.items import CATEGORY_STATES, ITEM_STATES, category_states_at, item_states_at
from transforms.features.states.pairs import pair_states_at
from transforms.tiles.buyers import pair_days
from transforms.tiles.items import item_days
from transforms.tiles.payments import day_balances, payee_days
from transforms.windows.asked import Chosen

FIRST = date(2024, 1, 1)
AS_OF = [FIRST + timedelta(days=days) for days in (1, 95, 200, 201, 260)]
SELLERS = [f"s{number}" for number in range(6)]
ASKED = SELLERS[1:]
"""What the first one does tells of the others too: where their buyers buy, what their goods cost elsewhere."""
ORDERS = (
    "event_id string, voids string, sign int, seller_id string, buyer_id string, event_day date, arrival_day date,"
    " kind string, amount_fen bigint, item_id string, category string, quantity int"
)
PAYMENTS = (
    "event_id string, voids string, sign int, seller_id string, counterparty_id string, event_day date,"
    " arrival_day date, kind string, amount_fen bigint, direction string, failed boolean, balance_fen bigint,"
    " happened_at timestamp"
)
Row = dict[str, Any]


def with_corrections(chance: random.Random, rows: list[Row]) -> list[Row]:
    """One in eight is taken back by a correction of its own, on the day of its arrival or later."""
    voided = [row for row in rows if chance.random() < 0.125]
    return rows + [
        row
        | {
            "event_id": f"c{row['event_id']}",
            "voids": row["event_id"],
            "sign": -1,
            "arrival_day": row["arrival_day"] + timedelta(days=chance.choice([0, 1, 30])),
        }
        for row in voided
    ]


def ledger(seed: int) -> tuple[list[Row], list[Row]]:
    chance = random.Random(seed)
    orders, payments = [], []
    for number in range(900):
        day = FIRST + timedelta(days=chance.randrange(260))
        shared = {
            "voids": None,
            "sign": 1,
            "seller_id": chance.choice(SELLERS),
            "event_day": day,
            "arrival_day": day + timedelta(days=chance.choice([0, 0, 0, 1, 40])),
            "amount_fen": chance.choice([1, 300, 10**12]),
        }
        whom = f"b{int(chance.paretovariate(0.7)) % 40}"
        if number % 3:
            goods = {
                "item_id": chance.choice([None, *(f"i{item}" for item in range(40))]),
                "category": chance.choice([None, "hats", "shoes"]),
                "quantity": chance.choice([None, -1, 0, 1, 7]),
            }
            orders.append({"event_id": f"o{number}", "buyer_id": whom, "kind": "paid", **goods, **shared})
        else:
            hour = datetime(day.year, day.month, day.day, chance.randrange(3), tzinfo=UTC)
            payments.append(
                {
                    "event_id": f"p{number}",
                    "counterparty_id": whom,
                    "kind": chance.choice(["supplier", "transfer", "tax"]),
                    "direction": chance.choice(["in", "out", "out"]),
                    "failed": chance.choice([None, False, True]),
                    "balance_fen": chance.choice([None, -5, 0, 700, 10**12]),
                    "happened_at": hour,
                    **shared,
                }
            )
    return with_corrections(chance, orders), with_corrections(chance, payments)


def standing(rows: list[Row], as_of: date) -> list[Row]:
    """Events known before a day and not known to be void."""
    known = [row for row in rows if row["arrival_day"] < as_of and row["event_day"] < as_of]
    void = {row["voids"] for row in known}
    return [row for row in known if row["sign"] == 1 and row["event_id"] not in void]


def defined(orders: list[Row], payments: list[Row], seller: str, as_of: date) -> Row:
    """The states of one seller, from what they mean."""

    def age(row: Row) -> int:
        return (as_of - row["event_day"]).days

    bought = [row for row in standing(orders, as_of) if age(row) <= 90]
    paid: dict[str, int] = defaultdict(int)
    shops: dict[str, set[str]] = defaultdict(set)
    for row in bought:
        shops[row["buyer_id"]].add(row["seller_id"])
    own = [row for row in bought if row["seller_id"] == seller]
    for row in own:
        paid[row["buyer_id"]] += row["amount_fen"]
    money = [row for row in standing(payments, as_of) if row["seller_id"] == seller]
    paid_out = [
        row
        for row in money
        if row["direction"] == "out" and not row["failed"] and row["kind"] in ("supplier", "transfer")
    ]
    circular = sum(
        row["amount_fen"]
        for row in own
        if any(
            out["counterparty_id"] == row["buyer_id"] and abs((out["event_day"] - row["event_day"]).days) <= 7
            for out in paid_out
        )
    )
    by_item = _amounts(own, "item_id")
    by_category = _amounts(own, "category")
    everywhere = _amounts(bought, "category")
    usual = {
        category: floor(_pieces(own, category) * (everywhere[category] / _pieces(bought, category)) + 0.5)
        for category in by_category
    }
    before = {row["buyer_id"] for row in own if 31 <= age(row) <= 60}
    largest = sorted(paid.values(), reverse=True)
    sold = {age(row) for row in standing(orders, as_of) if row["seller_id"] == seller and age(row) <= 180}
    gaps = [
        longest - shortest - 1
        for longest, shortest in zip([181, *sorted(sold, reverse=True)], [*sorted(sold, reverse=True), 0], strict=True)
    ]
    at_end = {
        age(row): row["balance_fen"]
        for row in sorted(money, key=lambda row: (row["happened_at"], row["event_id"]))
        if row["balance_fen"] is not None and age(row) <= LOOK_BACK_DAYS
    }
    held = []
    for day in range(BALANCE_DAYS, 0, -1):
        last = [at_end[then] for then in sorted(at_end) if then >= day]
        held += last[:1]
    return {
        "buyer_fen": sum(paid.values()),
        "buyer_square_fen": sum(fen * fen for fen in paid.values()),
        "largest_buyer_fen": sum(largest[:1]),
        "top_buyers_fen": sum(largest[:10]),
        "buyers_counted": len(paid),
        "buyers_here_alone": sum(len(shops[buyer]) == 1 for buyer in paid),
        "buyers_before_30d": len(before),
        "buyers_returned_30d": len(before & {row["buyer_id"] for row in own if age(row) <= 30}),
        "circular_fen": circular,
        "items_sold": len(by_item),
        "item_fen": sum(by_item.values()),
        "item_square_fen": sum(fen * fen for fen in by_item.values()),
        "categories_sold": len(by_category),
        "category_fen": sum(by_category.values()),
        "category_usual_fen": sum(usual.values()),
        "sales_gap_days": max(gaps),
        "quiet_days": min(sold, default=None),
        "balance_day_fen": sum(held) if held else None,
        "balance_days": len(held) or None,
        "lowest_balance_fen": min(held, default=None),
        "highest_balance_fen": max(held, default=None),
    }


def _amounts(rows: list[Row], of: str) -> dict[str, int]:
    amounts: dict[str, int] = defaultdict(int)
    for row in rows:
        if row[of] is not None:
            amounts[row[of]] += row["amount_fen"]
    return amounts


def _pieces(rows: list[Row], category: str) -> int:
    return sum(max(row["quantity"] or 1, 1) for row in rows if row["category"] == category)


NONE = {
    **{state.name: 0 for state in (*ITEM_STATES, *CATEGORY_STATES)},
    **dict.fromkeys(("buyer_fen", "buyer_square_fen", "largest_buyer_fen", "top_buyers_fen", "buyers_counted"), 0),
    **dict.fromkeys(("buyers_here_alone", "buyers_before_30d", "buyers_returned_30d", "circular_fen"), 0),
    "sales_gap_days": 180,
}
"""Of a seller without a row."""


def test_states_are_what_they_mean(spark: SparkSession) -> None:
    orders, payments = ledger(11)
    order_rows = spark.createDataFrame(_tuples(orders, ORDERS), ORDERS)
    payment_rows = spark.createDataFrame(_tuples(payments, PAYMENTS), PAYMENTS)
    labels = spark.createDataFrame([(seller, day) for seller in ASKED for day in AS_OF], "seller_id string, as_of date")
    tiles = order_rows.selectExpr(
        "seller_id",
        "event_day",
        "arrival_day",
        "cast(sign as bigint) as paid_orders",
        "sign * amount_fen as paid_fen",
        "sign * amount_fen as net_sales_fen",
        "0L as drawn_fen",
        "0L as withdrawn_fen",
    )
    states: list[DataFrame] = [
        pair_states_at(pair_days(order_rows), payee_days(payment_rows), Chosen(labels)),
        item_states_at(item_days(order_rows), Chosen(labels)),
        category_states_at(item_days(order_rows), Chosen(labels)),
        day_states_at(tiles, Chosen(labels)),
        balance_states_at(day_balances(payment_rows), Chosen(labels)),
    ]
    joined = labels
    for state in states:
        joined = joined.join(state, ["seller_id", "as_of"], "left")
    found = {(row["seller_id"], row["as_of"]): row.asDict() for row in joined.collect()}
    for (seller, day), row in found.items():
        wanted = defined(orders, payments, seller, day)
        have = {name: NONE.get(name) if row[name] is None else row[name] for name in wanted}
        assert have == wanted, (seller, day)
    assert any(row["circular_fen"] for row in found.values())
    assert any(row["buyers_returned_30d"] for row in found.values())


def _tuples(rows: list[Row], schema: str) -> list[tuple[Any, ...]]:
    names = [column.split()[0] for column in schema.split(", ")]
    return [tuple(row[name] for name in names) for row in rows]
