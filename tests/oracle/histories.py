"""Random histories of sellers as bronze events, each seller's a story of its own, and DuckDB's word on the sums."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from transforms.features.feature import EVER

FIRST_DAY = date(2022, 1, 1)
DAYS = 460
"""Event days of a history; the last news arrives later."""

WINDOWS = (1, 7, 30, 90, 365, EVER)
MEASURES = (
    "paid_orders",
    "paid_fen",
    "net_sales_fen",
    "refunded_orders",
    "inflow_fen",
    "free_cash_fen",
    "active_days",
    "last_buyers",
    "first_buyers",
    "second_last_buyers",
)
WANTED = sorted((measure, days) for measure in MEASURES for days in WINDOWS)

Row = dict[str, Any]


def random_histories(seed: int, sellers: int) -> dict[str, list[Row]]:
    """Events of `sellers` sellers: late and out of order, several a day, corrections on the day and long after it.

    Every one-hundredth part of the sellers is quiet; some have a handful of buyers, some one; some are late by rule.
    """
    feeds: dict[str, list[Row]] = {"orders": [], "payments": []}
    for number in range(sellers):
        chance = random.Random(f"{seed}/{number}")
        seller = f"s{number:05d}"
        buyers = chance.choice([1, 2, 3, 8])
        delays = chance.choice([[0], [0, 0, 0, 1, 3], [0, 0, 20, 29, 30, 31, 95], [0, 6, 7, 8, 89, 90, 91, 364, 370]])
        # bursts of a few days, so that days and windows meet
        centres = [chance.randrange(DAYS) for _ in range(chance.choice([1, 2, 4]))]
        for event in range(chance.randrange(0 if number % 10 == 0 else 1, 22)):
            offset = min(max(chance.choice(centres) + chance.choice([-7, -1, 0, 0, 0, 1, 2, 30, 31]), 0), DAYS - 1)
            day = FIRST_DAY + timedelta(days=offset)
            is_order = chance.random() < 0.8
            row: Row = {
                "event_id": f"{seller}-{event}",
                "seller_id": seller,
                "buyer_id": f"b{chance.randrange(buyers)}",
                "kind": chance.choice(["paid"] * 7 + ["cancelled", "refunded"]) if is_order else "sale",
                "direction": chance.choice(["in", "in", "out"]),
                "amount_fen": chance.choice([1, 250, 99_999, 1_000_000]),
                "event_day": day,
                "arrival_day": day + timedelta(days=chance.choice(delays)),
                "item_id": f"{seller}-i{event % 3}" if is_order else None,
                "category": ("hats", "shoes", None)[event % 3],
                "sign": 1,
            }
            feed = feeds["orders" if is_order else "payments"]
            feed.append(row)
            if is_order and chance.random() < 0.25:
                # twice on one day, and perhaps of this buyer never again
                again = {**row, "event_id": f"{seller}-{event}-2", "kind": "paid"}
                feed.append({**again, "arrival_day": row["arrival_day"] + timedelta(days=chance.choice([0, 0, 2]))})
            if chance.random() < 0.3:
                taken_back = row["arrival_day"] + timedelta(days=chance.choice([0, 1, 2, 29, 60, 89, 364, 366]))
                feed.append({**row, "event_id": f"{seller}-{event}-void", "sign": -1, "arrival_day": taken_back})
    return feeds


def as_table(rows: Sequence[Row]) -> pa.Table:
    """Events as one Arrow table."""
    texts = ("event_id", "seller_id", "buyer_id", "kind", "direction", "item_id", "category", "loan_id")
    types = [(name, pa.string()) for name in texts]
    types += [
        ("amount_fen", pa.int64()),
        ("balance_fen", pa.int64()),
        ("due_on", pa.date32()),
        ("event_day", pa.date32()),
        ("arrival_day", pa.date32()),
        ("sign", pa.int32()),
    ]
    return pa.Table.from_pylist(list(rows), pa.schema(types))


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


def window_sums(feeds: Mapping[str, Sequence[Row]], as_of_days: Iterable[date]) -> duckdb.DuckDBPyRelation:
    """Every sum of WANTED from its definition: seller_id, as_of, first_day, and a column a sum."""
    duck = duckdb.connect()
    for feed, rows in feeds.items():
        duck.register("arrived", as_table(rows))
        duck.execute(f"create table {feed} as select * from arrived")
    duck.execute("create table as_of_days as select unnest($1::date[]) as d", [list(as_of_days)])
    sums: list[str] = []
    per_buyer: list[str] = []
    buyers: list[str] = []
    active: list[str] = []
    money: list[str] = []
    for days in WINDOWS:
        name = "ever" if days == EVER else f"{days}d"
        inside = "true" if days == EVER else f"event_day >= d - {days}"
        sums += [
            f"sum(case when kind = 'paid' and {inside} then sign else 0 end) as paid_orders_{name}",
            f"sum(case when kind = 'paid' and {inside} then sign * amount_fen else 0 end) as paid_fen_{name}",
            f"sum(case when not ({inside}) then 0 when kind = 'paid' then sign * amount_fen"
            f" else -sign * amount_fen end) as net_sales_fen_{name}",
            f"sum(case when kind = 'refunded' and {inside} then sign else 0 end) as refunded_orders_{name}",
        ]
        money += [
            f"sum(case when direction = 'in' and {inside} then sign * amount_fen else 0 end) as inflow_fen_{name}",
            f"sum(case when not ({inside}) then 0 when direction = 'in' then sign * amount_fen"
            f" else -sign * amount_fen end) as free_cash_fen_{name}",
        ]
        per_buyer.append(f"sum(case when {inside} then n else 0 end) as n_{name}")
        is_new = "true" if days == EVER else f"first_day >= d - {days}"
        buyers += [
            f"count(*) filter (n_{name} > 0) as last_buyers_{name}",
            f"count(*) filter (n_{name} > 1) as second_last_buyers_{name}",
            f"count(*) filter ({is_new}) as first_buyers_{name}",
        ]
        active.append(f"count(distinct event_day) filter ({inside}) as active_days_{name}")
    names = [f"{measure}_{'ever' if days == EVER else f'{days}d'}" for measure, days in WANTED]
    columns = ", ".join(f"coalesce({name}, 0)::bigint as {name}" for name in names)
    return duck.sql(
        f"""
        with seen as (select d, o.* from orders o, as_of_days where event_day < d and arrival_day < d),
        cash as (select d, p.* from payments p, as_of_days where event_day < d and arrival_day < d),
        sums as (select seller_id, d, {", ".join(sums)} from seen group by all),
        money as (select seller_id, d, {", ".join(money)} from cash group by all),
        pairs as (select seller_id, d, buyer_id, event_day, sum(sign) as n from seen where kind = 'paid'
                  group by all having sum(sign) > 0),
        per_buyer as (select seller_id, d, buyer_id, min(event_day) as first_day, {", ".join(per_buyer)}
                      from pairs group by all),
        buyers as (select seller_id, d, {", ".join(buyers)} from per_buyer group by all),
        active as (select seller_id, d, {", ".join(active)} from pairs group by all),
        firsts as (select seller_id, d, min(event_day) as first_day
                   from (select seller_id, d, event_day from seen union all select seller_id, d, event_day from cash)
                   group by all)
        select seller_id, d as as_of, first_day, {columns}
        from firsts left join sums using (seller_id, d) left join money using (seller_id, d)
        left join buyers using (seller_id, d) left join active using (seller_id, d)
        """
    )
