"""A tiny ledger, small enough to work every feature out by hand. Days are counted back from the as-of day: 1 is
yesterday; what is known on day 0 comes too late."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.lakehouse.lake import schema_of
from transforms.features.known import Bronze, Silver
from transforms.tables.bronze import LOAN_EVENTS, ORDER_EVENTS, PAYMENT_EVENTS, SELLERS
from transforms.tables.table import Table
from transforms.tiles.buyers import buyer_changes, pair_days
from transforms.tiles.days import active_day_changes, seller_days
from transforms.tiles.items import item_days
from transforms.tiles.loans import loan_states
from transforms.tiles.payments import day_balances, payee_days

AS_OF = date(2025, 3, 1)
"""11 November was 110 days before, 18 June 256."""

PROFILES = """
seller  day  known  registered  owner  account  device  verified  points  closed
busy    900  900    1000        P1     A1       D1      yes       2       -
busy    100  100    1000        P1     A2       D1      yes       3       -
busy    50   50     1000        P2     A2       D1      yes       5       -
busy    20   0      1000        P9     A9       D9      no        99      1
sister  60   60     60          P2     A8       D8      no        -       -
gone    950  950    950         -      A1       -       -         -       -
gone    300  300    950         -      A1       -       -         -       300
new     10   10     -           -      -        -       -         -       -
"""

ORDERS = """
seller  day  known  kind          buyer  fen   hours  more
busy    800  800    paid          b1     1000  -      -
busy    500  500    paid          b1     2000  -      -
busy    400  400    paid          b2     4000  -      -
busy    340  340    refunded      b2     50    -      reason=late
busy    330  330    paid          b2     600   -      -
busy    256  256    paid          b3     300   -      -
busy    200  200    shipped       b3     300   24     has_logistics=yes
busy    200  200    disputed      b3     300   -      -
busy    130  130    rated         b3     300   40     rating=5
busy    110  110    paid          b3     500   -      item_id=i9
busy    100  98     paid          b4     400   -      -
busy    100  100    rated         b3     500   -      rating=4
busy    100  100    dispute_lost  b3     300   -      -
busy    95   95     refunded      b4     200   -      reason=unwanted
busy    60   0      paid          b8     9999  -      item_id=i8,category=bags
busy    50   50     paid          b1     1800  -      item_id=i1,category=hats,quantity=3
busy    50   50     paid          b2     200   -      item_id=i1,category=hats
busy    49   49     shipped       b1     1800  10     has_logistics=yes
busy    48   48     shipped       b2     200   20     has_logistics=yes
busy    45   45     paid          b5     100   -      category=hats
busy    44   44     cancelled     b5     100   -      -
busy    30   30     paid          b7     5000  -      id=void,item_id=i7,category=shoes,quantity=5
busy    30   25     paid          b7     5000  -      voids=void,item_id=i7,category=shoes,quantity=5
busy    20   20     paid          b1     300   -      list_price_fen=400,item_id=i2
busy    20   20     paid          b2     100   -      list_price_fen=100
busy    19   19     shipped       b1     300   30     has_logistics=no
busy    18   18     shipped       b2     100   60     has_logistics=yes
busy    15   15     delivered     b1     300   100    -
busy    14   14     delivered     b2     100   200    -
busy    14   14     confirmed     b1     300   20     -
busy    13   13     confirmed     b2     100   -      -
busy    12   12     confirmed     b2     200   160    -
busy    12   12     rated         b1     300   30     rating=5
busy    11   11     rated         b2     100   200    rating=2
busy    10   10     paid          b1     600   -      item_id=i2,category=shoes,quantity=2
busy    9    9      refunded      b1     300   240    reason=quality
busy    9    9      shipped       b1     600   100    -
busy    8    8      disputed      b1     300   -      -
busy    1    1      paid          b6     1000  -      item_id=i3,category=shoes,quantity=1
sister  40   40     paid          b9     500   -      item_id=j1,category=hats,quantity=4
sister  5    5      paid          c1     100   -      item_id=j2,category=shoes
sister  5    5      paid          c2     100   -      -
sister  5    5      paid          c3     100   -      -
sister  5    5      paid          c4     100   -      -
sister  5    5      paid          c5     100   -      -
sister  5    5      paid          c6     100   -      -
sister  5    5      paid          c7     100   -      -
sister  5    5      paid          c8     100   -      -
sister  5    5      paid          c9     100   -      -
sister  5    5      paid          c10    100   -      -
sister  5    5      paid          c11    100   -      -
sister  5    5      paid          b6     300   -      -
"""

PAYMENTS = """
seller  day  known  way  kind            fen   to         balance  more
busy    370  370    in   sale            7     platform   7        -
busy    150  150    in   sale            1000  platform   1000     -
busy    85   85     in   sale            2000  platform   3000     -
busy    80   80     out  supplier        500   factory    2500     -
busy    70   70     out  wages           400   staff      2500     failed=yes
busy    60   60     in   advertising     40    platform   2540     -
busy    60   60     out  advertising     100   platform   2400     -
busy    55   55     in   sale            7000  platform   9400     id=void
busy    55   54     in   sale            7000  platform   9400     voids=void
busy    40   40     in   sale            3000  platform   5400     -
busy    40   40     in   withdrawal      400   owner      5800     -
busy    40   38     out  withdrawal      1400  owner      4000     -
busy    30   30     in   transfer        600   owner      4600     -
busy    25   25     in   other_lender    300   lender     4900     -
busy    25   25     out  other_lender    300   lender     4300     -
busy    20   20     out  wages           400   staff      4300     failed=yes
busy    17   17     out  transfer        50    b1         4250     -
busy    12   12     in   loan_draw       5000  credit     9250     -
busy    11   11     out  withdrawal      4000  owner      5250     -
busy    5    5      out  loan_repayment  2000  credit     3250     -
busy    4    4      in   supplier        100   factory    3350     -
busy    3    0      out  withdrawal      3350  owner      0        -
sister  30   30     in   sale            1000  platform   1000     -
sister  20   20     out  supplier        950   factory    50       -
sister  10   10     in   sale            500   platform   550      -
sister  8    8      out  loan_repayment  200   credit     350      -
sister  6    6      out  other_lender    50    lender     300      -
"""

LOANS = """
seller  day  known  loan  kind         fen   due
busy    700  700    L0    drawn        400   -
busy    700  700    L0    due          400   640
busy    640  640    L0    repaid       400   -
busy    200  200    L1    drawn        1000  -
busy    200  200    L1    due          1000  140
busy    150  150    L1    repaid       1000  -
busy    120  120    L2    drawn        2000  -
busy    120  120    L2    due          1000  110
busy    120  120    L2    due          1000  60
busy    100  100    L2    rescheduled  0     -
busy    100  100    L2    due          1000  90
busy    100  100    L2    due          1000  60
busy    80   80     L2    repaid       1000  -
busy    60   60     L2    repaid       1000  -
busy    12   12     L3    drawn        5000  -
busy    12   12     L3    due          2000  2
busy    12   12     L3    due          3000  -28
busy    5    5      L3    repaid       1500  -
sister  25   25     L4    drawn        600   -
sister  25   25     L4    due          200   10
sister  25   25     L4    due          400   -20
sister  8    8      L4    repaid       200   -
gone    600  600    L5    drawn        700   -
gone    600  600    L5    due          700   570
gone    400  400    L5    written_off  700   -
sister  300  300    L6    applied      100   -
sister  299  299    L6    declined     100   -
new     90   90     L7    applied      100   -
new     89   89     L7    approved     100   -
"""

Row = dict[str, Any]


def rows_of(table: str) -> Iterator[Row]:
    """Each line by its columns; what stands under `more` are columns of their own."""
    header, *lines = [line.split() for line in table.strip().splitlines()]
    for line in lines:
        row = {name: None if value == "-" else value for name, value in zip(header, line, strict=True)}
        more = row.pop("more", None)
        yield {**row, **(dict(part.split("=") for part in more.split(",")) if more else {})}


def ago(days: str | None) -> date | None:
    return None if days is None else AS_OF - timedelta(days=int(days))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "yes"


def _event(number: int, row: Row) -> Row:
    day, known = ago(row["day"]), ago(row["known"])
    assert day is not None and known is not None
    return {
        "event_id": row.get("id") or f"e{number:03}",
        "voids": row.get("voids"),
        "sign": -1 if row.get("voids") else 1,
        "seller_id": row["seller"],
        "event_day": day,
        "arrival_day": known,
        # in the order of their lines
        "happened_at": datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=number),
        "kind": row.get("kind"),
        "amount_fen": _number(row.get("fen")),
    }


def _profile(number: int, row: Row) -> Row:
    return {
        "seller_id": row["seller"],
        "changed_on": ago(row["day"]),
        "arrival_day": ago(row["known"]),
        "registered_on": ago(row["registered"]),
        "owner_id": row["owner"],
        "payout_account_id": row["account"],
        "device_id": row["device"],
        "verified": _flag(row["verified"]),
        "penalty_points": _number(row["points"]),
        "closed_on": ago(row["closed"]),
        "content_hash": number,
    }


def _order(number: int, row: Row) -> Row:
    return {
        **_event(number, row),
        "order_id": f"o{number}",
        "buyer_id": row["buyer"],
        "hours_since_paid": None if row["hours"] is None else float(row["hours"]),
        "has_logistics": _flag(row.get("has_logistics")),
        "item_id": row.get("item_id"),
        "category": row.get("category"),
        "quantity": _number(row.get("quantity")),
        "list_price_fen": _number(row.get("list_price_fen")),
        "rating": _number(row.get("rating")),
        "reason": row.get("reason"),
    }


def _payment(number: int, row: Row) -> Row:
    return {
        **_event(number, row),
        "counterparty_id": row["to"],
        "direction": row["way"],
        "balance_fen": _number(row["balance"]),
        "failed": _flag(row.get("failed")),
    }


def _loan(number: int, row: Row) -> Row:
    return {**_event(number, row), "loan_id": row["loan"], "due_on": ago(row["due"])}


_INTAKE = {"content_hash": 0, "delivery_id": "d"}


def bronze(spark: SparkSession) -> Bronze:
    """The ledger as bronze tables."""

    def frame(table: Table, rows: list[Row]) -> DataFrame:
        filled = [
            tuple({**_INTAKE, "arrival_month": f"{row['arrival_day']:%Y-%m}", **row}.get(name) for name in table.names)
            for row in rows
        ]
        return spark.createDataFrame(filled, schema_of(table))

    tables = ((ORDER_EVENTS, ORDERS, _order), (PAYMENT_EVENTS, PAYMENTS, _payment), (LOAN_EVENTS, LOANS, _loan))
    events = [frame(table, [make(n, row) for n, row in enumerate(rows_of(text))]) for table, text, make in tables]
    profiles = frame(SELLERS, [_profile(n, row) for n, row in enumerate(rows_of(PROFILES))])
    return Bronze(*events, profiles)


def silver(events: Bronze) -> Silver:
    """The same summed, all arrival days at once."""
    pairs = pair_days(events.orders)
    none = pairs.limit(0)
    changes = buyer_changes(pairs, none).unionByName(
        active_day_changes(pairs, none.withColumnRenamed("orders", "paid_orders")), allowMissingColumns=True
    )
    return Silver(
        seller_days(events.orders, events.payments, events.loans, changes.na.fill(0)),
        pairs,
        loan_states(events.loans),
        events.sellers,
        payee_days(events.payments),
        day_balances(events.payments),
        item_days(events.orders),
    )


def labels(spark: SparkSession) -> DataFrame:
    """Whose features are worked out."""
    rows = [(seller, AS_OF) for seller in ("busy", "sister", "new", "gone")]
    return spark.createDataFrame(rows, "seller_id string, as_of date")
