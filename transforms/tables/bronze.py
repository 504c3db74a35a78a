"""Events as they were taken in, and what was refused."""

from conf.events import EVENTS, SQL_TYPES, Field
from transforms.tables.table import Column, Table


def _columns(fields: tuple[Field, ...], skip: tuple[str, ...] = ()) -> tuple[Column, ...]:
    return tuple(
        Column(field.name, SQL_TYPES[field.type] + (" not null" if field.required else ""), field.meaning)
        for field in fields
        if field.name not in skip
    )


_INTAKE = (
    Column("arrival_day", "date not null", "business day on which we came to know"),
    Column("arrival_month", "string not null", "its month, YYYY-MM: the partition that a day's news is read from"),
    Column("content_hash", "bigint not null", "xxhash64 of what the source said, to tell a repeat from a conflict"),
    Column("delivery_id", "string not null", "delivery that brought it"),
)

_EVENT_INTAKE = (
    Column("sign", "int not null", "1, or -1 of a correction: takes the values of the event that it voids back"),
    Column("event_day", "date not null", "business day on which it happened"),
    *_INTAKE,
)

_EVENT_CHECKS = {
    "known_after_it_happened": "arrival_day >= event_day",
    "a_sign": "sign in (1, -1)",
    "no_negative_amount": "amount_fen >= 0",
}


def _event_table(name: str, row: str, fields: tuple[Field, ...]) -> Table:
    # The two days and the sign come first and have statistics: they say which files a look-up must read. An id's
    # smallest and largest say nothing, since every file has ids of the whole range.
    first = ("event_day", "arrival_day", "sign")
    intake = {column.name: column for column in _EVENT_INTAKE}
    rest = tuple(column for column in (*_columns(fields), *_EVENT_INTAKE) if column.name not in first)
    return Table(
        name,
        row=row,
        key=("event_id",),
        columns=(*(intake[name] for name in first), *rest),
        partitioned_by=("arrival_month",),
        checks=_EVENT_CHECKS,
        leading=len(first),
    )


SELLERS = Table(
    "bronze.sellers",
    row="one version of one seller's profile, with the day we learned it",
    key=("seller_id", "changed_on", "arrival_day"),
    columns=(*_columns(EVENTS["seller_version"]), *_INTAKE),
)
ORDER_EVENTS = _event_table("bronze.order_events", "one thing that happened to one order", EVENTS["order_event"])
PAYMENT_EVENTS = _event_table(
    "bronze.payment_events", "one movement on a seller's payment account", EVENTS["payment_event"]
)
LOAN_EVENTS = _event_table(
    "bronze.loan_events", "one event of one loan, or an outcome given by the source", EVENTS["loan_event"]
)

QUARANTINE = Table(
    "bronze.quarantine",
    row="one refused record as it came, with every reason, its delivery and its place there",
    key=("delivery_id", "feed", "file", "position", "record"),
    columns=(
        Column("delivery_id", "string not null", "delivery that brought it"),
        Column("feed", "string not null", "feed of the source that read it; (file) where the whole file was refused"),
        Column("file", "string not null", "file within the delivery"),
        Column("position", "bigint", "row in the file, from 0; null where the format does not tell"),
        Column("reasons", "array<string> not null", "every reason, as `field: what is wrong`"),
        Column("record", "string not null", "the record as JSON, persons under pseudonyms, or a word on the file"),
        Column("columns", "string", "the record's columns with their types; null of a file or an unreadable line"),
        Column("pseudonyms", "array<string>", "which of them hold pseudonyms; null with them"),
        Column("arrival_day", "date", "business day on which it came; null where that is what was wrong"),
        Column(
            "released_by",
            "string",
            "release that took it in, or delivery by a mended mapping that took its place; null while it is refused",
        ),
    ),
)

DELIVERIES = Table(
    "bronze.deliveries",
    row="one delivery: what it brought and what became of it",
    key=("delivery_id",),
    columns=(
        Column("delivery_id", "string not null", "source/name@first characters of the digest"),
        Column("source", "string not null", "name of the mapping that read it"),
        Column("name", "string not null", "its folder or file"),
        Column("digest", "string not null", "sha-256 of its files' names and contents"),
        Column("files", "int not null", "files read or refused"),
        Column("records_in", "bigint not null", "records, counted before any was judged"),
        Column("accepted", "bigint not null", "records that became events or seller versions"),
        Column("duplicate", "bigint not null", "records that repeat an accepted one in every field"),
        Column("quarantined", "bigint not null", "records refused"),
        Column("held", "string", "why the delivery was held whole, all its records refused; null where it was not"),
        Column("mapping", "string", "sha-256 of the mapping that read it; null before it was kept"),
    ),
    checks={"counts_add_up": "records_in = accepted + duplicate + quarantined"},
)

EVENT_TABLES: dict[str, Table] = {
    "seller_version": SELLERS,
    "order_event": ORDER_EVENTS,
    "payment_event": PAYMENT_EVENTS,
    "loan_event": LOAN_EVENTS,
}
