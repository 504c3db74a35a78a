"""Sums and states made of events, each as known from one arrival day on."""

from transforms.tables.measures import MEASURES
from transforms.tables.table import Column, Table

SELLER_DAY = Table(
    "silver.seller_day",
    row="the sum of one arrival day's news about one seller and event day",
    key=("seller_id", "event_day", "arrival_day"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("event_day", "date not null", "business day on which it happened"),
        Column("arrival_day", "date not null", "business day on which we first saw it"),
        Column("is_back_dated", "boolean not null", "arrived after its event day: late, corrected or moved"),
        Column("event_month", "string not null", "month of the event day, YYYY-MM"),
        *(Column(measure.name, "bigint not null", measure.meaning) for measure in MEASURES.values()),
    ),
    # A day's refresh reads the event days that leave its windows. In a partition rows stand in the order of their event
    # day, so that these are a file, or a stretch of one; back-dated tiles, which come in small files, lie apart.
    partitioned_by=("is_back_dated", "event_month"),
    checks={
        "known_after_it_happened": "arrival_day >= event_day",
        "back_dated_when_late": "is_back_dated = (arrival_day > event_day)",
    },
    is_of_numbers=True,
)

SELLER_BUYER_DAY = Table(
    "silver.seller_buyer_day",
    row="the change that one arrival day brought to the paid orders of one seller and buyer on one event day",
    key=("seller_id", "buyer_id", "event_day", "arrival_day"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("buyer_id", "string not null", "who bought"),
        Column("event_day", "date not null", "business day on which they were paid"),
        Column("arrival_day", "date not null", "business day on which we first saw it"),
        Column("arrival_month", "string not null", "its month, YYYY-MM"),
        Column("orders", "bigint not null", "orders paid, less those that a correction took back"),
        Column("paid_fen", "bigint not null", "their amount, fen"),
        # To look a day's pairs up among all of history is to read every row: 12 bytes of it by these, 36 by the ids.
        Column("pair_hash", "bigint not null", "xxhash64 of seller_id and buyer_id"),
        Column("pair_check", "int not null", "Murmur3 of the same: two pairs of one pair_hash differ in it"),
    ),
    partitioned_by=("arrival_month",),
)

SELLER_ITEM_DAY = Table(
    "silver.seller_item_day",
    row="the change that one arrival day brought to one seller's sales of one item on one event day",
    key=("seller_id", "item_id", "category", "event_day", "arrival_day"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("item_id", "string", "what was bought; null where the order tells its category alone"),
        Column("category", "string", "the item's category, as the order tells it; null where it does not"),
        Column("event_day", "date not null", "business day on which the orders were paid"),
        Column("arrival_day", "date not null", "business day on which we first saw it"),
        Column("arrival_month", "string not null", "its month, YYYY-MM"),
        Column("orders", "bigint not null", "orders paid, less those that a correction took back"),
        Column("pieces", "bigint not null", "pieces of them; an order that tells none is one"),
        Column("paid_fen", "bigint not null", "their amount, fen"),
    ),
    partitioned_by=("arrival_month",),
)

SELLER_PAYEE_DAY = Table(
    "silver.seller_payee_day",
    row="the change that one arrival day brought to what one seller paid one counterparty on one event day",
    key=("seller_id", "payee_id", "event_day", "arrival_day"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("payee_id", "string not null", "who was paid: a supplier, a worker, anyone by transfer"),
        Column("event_day", "date not null", "business day on which it was paid"),
        Column("arrival_day", "date not null", "business day on which we first saw it"),
        Column("arrival_month", "string not null", "its month, YYYY-MM"),
        Column("paid_out_fen", "bigint not null", "amount paid, less what a correction took back, fen"),
    ),
    partitioned_by=("arrival_month",),
)

SELLER_BALANCE = Table(
    "silver.seller_balance",
    row="the balance of one seller's account at the end of one event day, as known from one arrival day on",
    key=("seller_id", "event_day", "arrival_day"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("event_day", "date not null", "business day with a movement that tells a balance"),
        Column("arrival_day", "date not null", "business day on which we came to know this balance"),
        Column("arrival_month", "string not null", "its month, YYYY-MM"),
        Column("balance_fen", "bigint", "after the day's last movement, fen; null where a correction left none"),
    ),
    partitioned_by=("arrival_month",),
)

LOAN_BOOK = Table(
    "silver.loan_book",
    row="one loan's state as known from one arrival day on, until its next row",
    key=("seller_id", "loan_id", "arrival_day"),
    columns=(
        Column("loan_id", "string not null", "the source's id of the seller's loan"),
        Column("seller_id", "string not null", "who drew it"),
        Column("arrival_day", "date not null", "business day on which we came to know this state"),
        Column("drawn_on", "date", "business day of the first draw that stands; null where none does"),
        Column("drawn_fen", "bigint not null", "principal drawn so far, fen"),
        Column("repaid_fen", "bigint not null", "principal repaid so far, fen"),
        Column("written_off_fen", "bigint not null", "principal written off so far, fen"),
        Column("outstanding_fen", "bigint not null", "drawn less repaid less written off, fen"),
        Column("last_due_on", "date", "due day of the plan's last instalment; null where none is known"),
        Column("oldest_unpaid_due_on", "date", "due day of the oldest instalment not fully repaid; null where none"),
        Column("oldest_unpaid_fen", "bigint not null", "what is unpaid of that instalment, fen"),
        Column("settled_on", "date", "business day of the newest repayment, once all is repaid and none written off"),
    ),
)

SELLER_GROUP = Table(
    "silver.seller_group",
    row="the connected group of one seller, as known before one day",
    key=("as_of", "seller_id"),
    columns=(
        Column("seller_id", "string not null", "as the source names the seller"),
        Column("as_of", "date not null", "links known before this day began count"),
        Column("group_id", "string not null", "smallest seller_id of the group; its own where nothing links it"),
        Column("members", "bigint not null", "sellers in the group"),
    ),
    partitioned_by=("as_of",),
    checks={"counts_itself": "members >= 1"},
    leading=1,
)

SILVER_TABLES = (
    SELLER_DAY,
    SELLER_BUYER_DAY,
    SELLER_ITEM_DAY,
    SELLER_PAYEE_DAY,
    SELLER_BALANCE,
    LOAN_BOOK,
    SELLER_GROUP,
)
"""What `aggregate` makes."""
