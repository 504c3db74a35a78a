"""A small random ledger as raw deliveries, and DuckDB's word on what was known of it: no line of ours in between."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = date(2024, 1, 1)

MAPPING = """
name: ledger
description: generated
time_zone: UTC
deliveries: folders
arrival: {column: delivered_on}
feeds:
  - name: orders
    files: orders.parquet
    event: order_event
    fields:
      event_id: id
      seller_id: seller
      happened_at: at
      voids: voids
      order_id: id
      buyer_id: buyer
      kind: {column: kind, values: {paid: paid, cancelled: cancelled, refunded: refunded}}
      amount_fen: {column: fen, unit: fen}
      item_id: item
      category: category
      quantity: pieces
  - name: payments
    files: payments.parquet
    event: payment_event
    fields:
      event_id: id
      seller_id: seller
      happened_at: at
      voids: voids
      counterparty_id: {constant: someone}
      direction: {column: direction, values: {in: in, out: out}}
      kind: {column: kind, values: {sale: sale, supplier: supplier, withdrawal: withdrawal}}
      amount_fen: {column: fen, unit: fen}
"""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("seller", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("voids", pa.string()),
        ("buyer", pa.string()),
        ("direction", pa.string()),
        ("kind", pa.string()),
        ("fen", pa.int64()),
        ("item", pa.string()),
        ("category", pa.string()),
        ("pieces", pa.int32()),
        ("delivered_on", pa.date32()),
    ]
)

Row = dict[str, Any]


def random_ledger(seed: int, sellers: int, orders: int, days: int) -> dict[str, list[Row]]:
    """Orders and payments with late, repeated, corrected and out-of-order deliveries: rows by feed."""
    chance = random.Random(seed)
    feeds: dict[str, list[Row]] = {"orders": [], "payments": []}
    for number in range(orders):
        is_order = number % 3 != 0
        seller = f"s{min(int(chance.expovariate(4 / sellers)), sellers - 1)}"
        day = FIRST_DAY + timedelta(days=chance.randrange(days))
        late = chance.choice([0, 0, 0, 0, 1, 3, 20, 95])
        row: Row = {
            "id": f"{'o' if is_order else 'p'}{number}",
            "seller": seller,
            "at": datetime(day.year, day.month, day.day, chance.randrange(24), chance.randrange(60), tzinfo=UTC),
            "voids": None,
            "buyer": f"b{int(chance.paretovariate(0.6)) % 97}",
            "direction": chance.choice(["in", "out"]),
            "kind": chance.choice(["paid"] * 6 + ["cancelled", "refunded"])
            if is_order
            else chance.choice(["sale", "supplier", "withdrawal"]),
            "fen": chance.choice([1, 250, 99_999, 1_000_000]),
            "item": chance.choice([None, "i1", "i2", "i3"]) if is_order else None,
            "category": chance.choice([None, "hats", "shoes"]) if is_order else None,
            "pieces": chance.choice([None, 0, 1, 7]) if is_order else None,
            # the business day of a UTC stamp is at most one day later
            "delivered_on": _delivery(day + timedelta(days=1 + late)),
        }
        feed = feeds["orders" if is_order else "payments"]
        feed.append(row)
        if is_order and chance.random() < 0.15:
            # twice on one day, and of this buyer perhaps never again
            feed.append({**row, "id": f"o{number}-2", "kind": "paid"})
        if chance.random() < 0.1:
            again_on = _delivery(row["delivered_on"] + timedelta(days=chance.choice([0, 1, 40])))
            feed.append({**row, "delivered_on": again_on})
        if chance.random() < 0.1:
            voided_on = _delivery(row["delivered_on"] + timedelta(days=chance.choice([0, 2, 60])))
            feed.append({**row, "id": f"c{number}", "voids": row["id"], "fen": 7, "delivered_on": voided_on})
    for feed in feeds.values():
        chance.shuffle(feed)
    return feeds


def _delivery(day: date) -> date:
    """The next of the deliveries, which come every tenth day: some fifty folders to read and not five hundred."""
    return day + timedelta(days=-(day - FIRST_DAY).days % 10)


def write_deliveries(folder: Path, feeds: Mapping[str, Sequence[Row]]) -> None:
    """Write one folder a delivery day with a file a feed."""
    days = sorted({row["delivered_on"] for rows in feeds.values() for row in rows})
    for day in days:
        for feed, rows in feeds.items():
            of_day = [row for row in rows if row["delivered_on"] == day]
            (folder / str(day)).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(of_day, SCHEMA), folder / str(day) / f"{feed}.parquet")


WINDOWS = (30, 90, 180, 365)


def known_features(
    folder: Path, as_of_days: Iterable[date], loaded_through: date, told: date
) -> dict[tuple[str, date], Row]:
    """Some features straight from the raw files: deliveries after `loaded_through` became known on `told`."""
    duck = duckdb.connect()
    duck.execute("create table as_of_days as select unnest($1::date[]) as d", [list(as_of_days)])
    for feed in ("orders", "payments"):
        duck.execute(
            f"""
            create table {feed} as
            with raw as (
                select *, case when delivered_on <= $1 then delivered_on else $2 end as known,
                       make_timestamp(epoch_us("at") + 28800000000)::date as day
                from read_parquet($3)
            ), once as (
                select id, any_value(seller) as seller, any_value(day) as day, any_value(buyer) as buyer,
                       any_value(direction) as direction, any_value(kind) as kind, any_value(fen) as fen,
                       any_value(item) as item, any_value(category) as category, any_value(pieces) as pieces,
                       any_value(voids) as voids, min(known) as known
                from raw group by id
            )
            select *, 1 as sign from once where voids is null
            union all
            select o.* replace (c.known as known), -1
            from once c join once o on o.id = c.voids
            """,
            [loaded_through, told, f"{folder}/*/{feed}.parquet"],
        )
    found: dict[tuple[str, date], Row] = {}
    window = " ".join(
        f"""
        , sum(case when kind = 'paid' and day >= d - {n} then sign * fen else 0 end) as paid_fen_{n}
        , sum(case when kind = 'paid' and day >= d - {n} then sign else 0 end) as paid_orders_{n}
        , sum(case when kind = 'refunded' and day >= d - {n} then sign else 0 end) as refunded_orders_{n}
        """
        for n in WINDOWS
    )
    sql = f"""
        with seen as (select d, o.* from orders o, as_of_days where day < d and known < d),
        money as (select d, p.* from payments p, as_of_days where day < d and known < d),
        sums as (
            select seller, d {window},
                   sum(case when kind = 'paid' and day < d - 180 then sign else 0 end) as orders_before
            from seen group by seller, d
        ),
        pairs as (
            select seller, d, buyer, day, sum(sign) as n from seen where kind = 'paid'
            group by all having sum(sign) > 0
        ),
        per_buyer as (
            select seller, d, buyer, min(day) as first_day,
                   sum(case when day >= d - 90 then n else 0 end) as n90,
                   sum(case when day >= d - 180 then n else 0 end) as n180
            from pairs group by all
        ),
        buyers as (
            select seller, d, count(*) filter (n90 > 0) as distinct_90, count(*) filter (n180 > 0) as distinct_180,
                   count(*) filter (n180 > 1) as repeat_180, count(*) filter (first_day >= d - 90) as new_90
            from per_buyer group by all
        ),
        active as (select seller, d, count(distinct day) filter (day >= d - 90) as active_90 from pairs group by all),
        goods as (
            select *, sign * greatest(coalesce(pieces, 1), 1) as moved from seen where kind = 'paid' and day >= d - 90
        ),
        items as (
            select seller, d, count(*) as items_90, sum(fen) as item_fen, sum(fen * fen) as item_square from (
                select seller, d, item, sum(sign * fen) as fen from goods where item is not null
                group by all having sum(sign) > 0
            ) group by all
        ),
        averages as (select d, category, sum(sign * fen)::double / sum(moved) as piece_fen from goods group by all),
        categories as (
            select seller, d, count(*) as categories_90, sum(fen) as category_fen,
                   sum(round(moved * piece_fen)) as usual_fen
            from (
                select seller, d, category, sum(moved) as moved, sum(sign * fen) as fen from goods
                where category is not null group by all having sum(sign) > 0
            ) join averages using (d, category) group by all
        ),
        cash as (
            select seller, d,
                   sum(case when direction = 'in' and day >= d - 90 then sign * fen else 0 end) as inflow_90,
                   sum(case when day < d - 30 then 0 when direction = 'in' then sign * fen else -sign * fen end)
                       as free_30,
                   sum(case when direction = 'in' and day >= d - 180 then sign * fen else 0 end) as inflow_180,
                   sum(case when day < d - 180 then sign else 0 end) as payments_before
            from money group by all
        ),
        blocks as (
            select seller, d, n, sum(case when day < d - 30 * n then sign else 0 end) > 0 as complete,
                   sum(case when day < d - 30 * n or day >= d - 30 * n + 30 then 0
                            when direction = 'in' then sign * fen else -sign * fen end) as fen
            from money, (select unnest(range(1, 13))::integer as n) group by all
        ),
        usual as (
            select seller, d, list_sort(list(fen) filter (complete)) as cash_blocks from blocks group by all
        ),
        firsts as (select seller, d, min(day) as first_day from
                   (select seller, d, day from seen union all select seller, d, day from money) group by all)
        select f.seller, f.d, d_diff.history, s.* exclude (seller, d), b.* exclude (seller, d), a.active_90,
               c.* exclude (seller, d), u.cash_blocks, i.* exclude (seller, d), k.* exclude (seller, d)
        from firsts f
        join lateral (select date_diff('day', f.first_day, f.d) as history) d_diff on true
        left join sums s using (seller, d) left join buyers b using (seller, d)
        left join active a using (seller, d) left join cash c using (seller, d)
        left join items i using (seller, d) left join categories k using (seller, d)
        left join usual u using (seller, d)
    """
    result = duck.execute(sql)
    names = [column[0] for column in result.description]
    for values in result.fetchall():
        row = dict(zip(names, values, strict=True))

        def number(name: str, row: Row = row) -> int:
            return int(row[name] or 0)

        def share(over: str, under: str, number: Any = number) -> float | None:
            return number(over) / number(under) if number(under) else None

        def growth(name: str, before: str, number: Any = number) -> float | None:
            earlier = number(f"{name}_180") - number(f"{name}_90")
            return number(f"{name}_90") / earlier - 1 if number(before) > 0 and earlier else None

        cash = [int(fen) for fen in row["cash_blocks"] or []]
        found[row["seller"], row["d"]] = {
            "history_days": row["history"],
            "gmv_sum_30d": number("paid_fen_30"),
            "gmv_sum_90d": number("paid_fen_90"),
            "gmv_sum_365d": number("paid_fen_365"),
            "average_order_value_90d": share("paid_fen_90", "paid_orders_90"),
            "refund_rate_365d": share("refunded_orders_365", "paid_orders_365"),
            "distinct_buyers_90d": number("distinct_90"),
            "repeat_buyer_rate_180d": share("repeat_180", "distinct_180"),
            "new_buyer_share_90d": share("new_90", "distinct_90"),
            "active_days_90d": number("active_90"),
            "active_items_90d": number("items_90"),
            "item_concentration_90d": number("item_square") / number("item_fen") ** 2 if number("item_fen") else None,
            "categories_90d": number("categories_90"),
            "price_against_category_90d": share("category_fen", "usual_fen"),
            "inflow_sum_90d": number("inflow_90"),
            "free_cash_sum_30d": number("free_30"),
            "gmv_growth_90d": growth("paid_fen", "orders_before"),
            "inflow_growth_90d": growth("inflow", "payments_before"),
            "free_cash_median_block": cash[(len(cash) + 1) // 2 - 1] if len(cash) >= 2 else None,
            "smallest_free_cash_block": cash[0] if len(cash) == 12 else None,
            "negative_cash_block_share": sum(fen < 0 for fen in cash) / len(cash) if len(cash) >= 3 else None,
        }
    return found
