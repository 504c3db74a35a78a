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
  - name: loans
    files: loans.parquet
    event: loan_event
    fields:
      event_id: id
      seller_id: seller
      happened_at: at
      voids: voids
      loan_id: loan
      kind:
        column: kind
        values: {drawn: drawn, due: due, repaid: repaid, rescheduled: rescheduled, written_off: written_off}
      amount_fen: {column: fen, unit: fen}
      due_on: due
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
        ("loan", pa.string()),
        ("due", pa.date32()),
        ("delivered_on", pa.date32()),
    ]
)

Row = dict[str, Any]


def random_ledger(seed: int, sellers: int, orders: int, days: int) -> dict[str, list[Row]]:
    """Orders, payments and loans with late, repeated, corrected and out-of-order deliveries: rows by feed."""
    chance = random.Random(seed)
    feeds: dict[str, list[Row]] = {"orders": [], "payments": [], "loans": _random_loans(seed, sellers, days)}
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
        feed += _told_again(chance, row, 0.1, 0.1)
    for feed in feeds.values():
        chance.shuffle(feed)
    return feeds


def _random_loans(seed: int, sellers: int, days: int) -> list[Row]:
    """Loans of a third of the sellers, numbered anew for each of them: paid early, late, in part or never, some by
    another plan, some written off.
    """
    chance = random.Random(f"{seed}/loans")
    rows: list[Row] = []
    for place in range(sellers):
        for loan in range(chance.choice([0, 0, 0, 0, 1, 2])):
            drawn = FIRST_DAY + timedelta(days=chance.randrange(max(days - 30, 1)))
            fen, instalments = chance.choice([90_000, 600_000]), chance.choice([1, 3])
            part = fen // instalments
            story: list[tuple[str, int, int, int | None]] = [("drawn", 0, fen, None)]
            story += [("due", 0, part, 30 * (number + 1)) for number in range(instalments)]
            style = chance.choice(["on time", "late", "late", "in part", "never", "early"])
            if style == "early":
                story.append(("repaid", chance.randrange(1, 30), fen, None))
            elif style != "never":
                for number in range(instalments):
                    delay = chance.randrange(1, 100) if style == "late" else 0
                    paid = part - 1_000 if style == "in part" and number == instalments - 1 else part
                    story.append(("repaid", 30 * (number + 1) + delay, paid, None))
            if chance.random() < 0.15:
                after = chance.randrange(5, 120)
                story.append(("rescheduled", after, fen // 2, after + chance.choice([10, 60])))
            if chance.random() < 0.1:
                story.append(("written_off", chance.randrange(60, 200), fen // 3, None))
            for number, (kind, after, amount, due) in enumerate(story):
                day = drawn + timedelta(days=after)
                if day >= FIRST_DAY + timedelta(days=days):
                    continue
                late = chance.choice([0, 0, 0, 0, 1, 20, 95])
                row: Row = {
                    "id": f"l{place}-{loan}-{number}",
                    "seller": f"s{place}",
                    "at": datetime(day.year, day.month, day.day, chance.randrange(24), tzinfo=UTC),
                    "voids": None,
                    "kind": kind,
                    "fen": amount,
                    "loan": str(loan),
                    "due": None if due is None else drawn + timedelta(days=due),
                    "delivered_on": _delivery(day + timedelta(days=1 + late)),
                }
                rows += [row, *_told_again(chance, row, 0.05, 0.05)]
    return rows


def _told_again(chance: random.Random, row: Row, repeated: float, voided: float) -> list[Row]:
    """The row once more, or its correction, or both, or neither."""
    more: list[Row] = []
    if chance.random() < repeated:
        again_on = _delivery(row["delivered_on"] + timedelta(days=chance.choice([0, 1, 40])))
        more.append({**row, "delivered_on": again_on})
    if chance.random() < voided:
        voided_on = _delivery(row["delivered_on"] + timedelta(days=chance.choice([0, 2, 60])))
        # what a correction tells besides what it voids is not to be believed
        more.append({**row, "id": f"c{row['id']}", "voids": row["id"], "fen": 7, "delivered_on": voided_on})
    return more


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

_LOANS = """
    create table owed as
    with days as (
        select unnest(generate_series(a.first, b.last, interval 1 day))::date as x
        from (select min(day) as first from loans) a, (select max(d) as last from as_of_days) b
    ),
    seen as (select x, l.* from loans l join days on day < x and known < x),
    -- what stands of each loan on every day, as known before it began
    stands as (
        select x, seller, loan, min(day) filter (kind = 'drawn') as drawn_on,
               max(day) filter (kind = 'repaid') as repaid_on, max(day) filter (kind = 'rescheduled') as planned_on
        from (select x, seller, loan, kind, day from seen where kind in ('drawn', 'repaid', 'rescheduled')
              group by all having sum(sign) > 0)
        group by all
    ),
    dated as (
        select e.*, t.drawn_on, t.repaid_on, t.planned_on is null or e.day >= t.planned_on as is_of_plan
        from seen e left join stands t using (x, seller, loan)
    ),
    sums as (
        select x, seller, loan, drawn_on, repaid_on,
               sum(case when kind = 'drawn' then sign * fen else 0 end) as drawn,
               sum(case when kind = 'repaid' then sign * fen else 0 end) as repaid,
               sum(case when kind = 'written_off' then sign * fen else 0 end) as lost,
               sum(case when kind = 'repaid' and is_of_plan then sign * fen else 0 end) as paid
        from dated group by all
    ),
    instalments as (
        select x, seller, loan, due, sum(sign * fen) as fen from dated
        where kind in ('due', 'rescheduled') and is_of_plan and due is not null group by all having sum(sign * fen) > 0
    ),
    -- payments pay what fell due first: of an instalment is paid what is left after all before it
    unpaid as (
        select x, seller, loan, due, fen - least(fen, greatest(paid - coalesce(
                   (select sum(b.fen) from instalments b
                    where (b.x, b.seller, b.loan) = (i.x, i.seller, i.loan) and b.due < i.due), 0), 0)) as left_fen
        from instalments i join sums using (x, seller, loan)
    ),
    plans as (
        select x, seller, loan, max(due) as last_due, min(due) filter (left_fen > 0) as oldest,
               arg_min(left_fen, due) filter (left_fen > 0) as oldest_fen
        from unpaid group by all
    ),
    daily as (
        select x, seller, loan, drawn_on, drawn, lost, last_due, drawn - repaid - lost as outstanding, oldest_fen,
               case when drawn > 0 and drawn - repaid - lost <= 0 and lost <= 0 then repaid_on end as settled_on,
               case when drawn - repaid - lost > 0 then greatest(coalesce(x - oldest, 0), 0) else 0 end as past_due
        from sums left join plans using (x, seller, loan)
    ),
    histories as (
        select d, seller, loan, max(past_due) as worst, max(past_due) filter (x > d - 365) as worst_365,
               max(x) filter (past_due > 0) as arrears_on
        from daily, as_of_days where x <= d group by all
    )
    select d, seller, sum(greatest(outstanding, 0)) as outstanding, count(*) filter (outstanding > 0) as open_loans,
           max(past_due) as past_due, sum(oldest_fen) filter (past_due > 0) as past_due_fen,
           max(worst_365) as worst_365, count(settled_on) as settled, count(settled_on) filter (worst <= 3) as on_time,
           count(settled_on) filter (settled_on < last_due) as early, sum(settled_on - drawn_on) as settled_days,
           max(drawn) filter (settled_on - drawn_on >= 30) as largest_repaid,
           d - coalesce(max(arrears_on), min(drawn_on)) as clean_days, d - max(drawn_on) as draw_days
    from histories join daily using (seller, loan) where x = d group by d, seller
"""
"""Loans of each seller as of each of the days, by looking at every day before it."""


def known_features(
    folder: Path, as_of_days: Iterable[date], loaded_through: date, told: date
) -> dict[tuple[str, date], Row]:
    """Some features straight from the raw files: deliveries after `loaded_through` became known on `told`."""
    duck = duckdb.connect()
    duck.execute("create table as_of_days as select unnest($1::date[]) as d", [list(as_of_days)])
    for feed in ("orders", "payments", "loans"):
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
                       any_value(loan) as loan, any_value(due) as due, any_value(voids) as voids, min(known) as known
                from raw group by id
            )
            select *, 1 as sign from once where voids is null
            union all
            select o.* replace (c.known as known), -1
            from once c join once o on o.id = c.voids
            """,
            [loaded_through, told, f"{folder}/*/{feed}.parquet"],
        )
    duck.execute(_LOANS)
    found: dict[tuple[str, date], Row] = {}
    window = " ".join(
        f"""
        , sum(case when kind = 'paid' and day >= d - {n} then sign * fen else 0 end) as paid_fen_{n}
        , sum(case when kind = 'paid' and day >= d - {n} then sign else 0 end) as paid_orders_{n}
        , sum(case when kind = 'refunded' and day >= d - {n} then sign else 0 end) as refunded_orders_{n}
        , sum(case when day < d - {n} then 0 when kind = 'paid' then sign * fen else -sign * fen end) as net_fen_{n}
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
        lent as (select d, l.* from loans l, as_of_days where day < d and known < d),
        draws as (
            select seller, d, sum(case when kind = 'drawn' and day >= d - 365 then sign else 0 end) as drawn_365,
                   sum(case when kind = 'drawn' then sign * fen else 0 end) as drawn_fen,
                   sum(case when kind = 'repaid' then sign * fen else 0 end) as repaid_fen,
                   sum(case when kind = 'written_off' then sign else 0 end) as written_off,
                   sum(case when kind = 'rescheduled' then sign else 0 end) as reschedulings
            from lent group by all
        ),
        firsts as (select seller, d, min(day) as first_day from
                   (select seller, d, day from seen union all select seller, d, day from money
                    union all select seller, d, day from lent) group by all)
        select f.seller, f.d, d_diff.history, s.* exclude (seller, d), b.* exclude (seller, d), a.active_90,
               c.* exclude (seller, d), u.cash_blocks, i.* exclude (seller, d), k.* exclude (seller, d),
               w.* exclude (seller, d), o.* exclude (seller, d)
        from firsts f
        join lateral (select date_diff('day', f.first_day, f.d) as history) d_diff on true
        left join sums s using (seller, d) left join buyers b using (seller, d)
        left join active a using (seller, d) left join cash c using (seller, d)
        left join items i using (seller, d) left join categories k using (seller, d)
        left join usual u using (seller, d) left join draws w using (seller, d) left join owed o using (seller, d)
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
            "drawn_loans_count_365d": number("drawn_365"),
            "repaid_rate_ever": share("repaid_fen", "drawn_fen"),
            "written_off_loans": number("written_off"),
            "reschedulings_count_ever": number("reschedulings"),
            "outstanding_principal": number("outstanding"),
            "open_loans": number("open_loans"),
            "debt_rate": share("outstanding", "net_fen_90") if number("net_fen_90") > 0 else None,
            "days_past_due": number("past_due"),
            "past_due_amount": number("past_due_fen"),
            "largest_days_past_due_365d": number("worst_365"),
            "settled_loans": number("settled"),
            "on_time_loan_rate": share("on_time", "settled"),
            "early_repayment_rate": share("early", "settled"),
            "mean_days_drawn": share("settled_days", "settled"),
            "largest_principal_repaid": number("largest_repaid"),
            "days_without_arrears": row["clean_days"],
            "days_since_draw": row["draw_days"],
            "negative_cash_block_share": sum(fen < 0 for fen in cash) / len(cash) if len(cash) >= 3 else None,
        }
    return found
