"""From a source's records to our events, each with everything that is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import EVENTS, SQL_TYPES, Field
from conf.expressions import read_expression
from conf.source import Feed, Source
from transforms.intake.expressions import absent, expression_problems, format_problems, type_of
from transforms.intake.expressions import origin_of as _origin
from transforms.intake.fields import Read, read_field, unreadable
from transforms.tables.bronze import EVENT_TABLES

PLACE = ("delivery_id", "delivery_order", "file", "position")
"""Columns that say where a raw record stands; every other column of a raw frame is the source's own."""

MALFORMED = "_malformed"
"""Column of a text format's raw frame: the text of a record that cannot be taken apart, null for all others.

Its metadata say what is wrong with such a record, under `reason`.
"""


@dataclass(frozen=True)
class Calendar:
    """What intake must know of time. Days are business days."""

    zone: str
    first_day: date
    first_open_day: date
    """No news can arrive before it: the days before are closed."""
    told_arrival_day: date | None
    """The day on which this load arrives; None trusts the source (the first load of history)."""
    today: date
    """The day of the load: nothing happens or arrives after it."""


def mapping_problems(empty: DataFrame, source: Source, feed: Feed) -> list[str]:
    """Everything that is wrong with a feed for files of this schema; `empty` is a frame without rows."""
    problems = []
    empty = with_optional_columns(empty, feed)
    columns = {name.lower() for name in empty.columns}
    for field_name, mapping in feed.fields.items():
        missing = [name for name in mapping.columns if name.lower() not in columns]
        if missing:
            problems += [f"{field_name}: {absent(name, empty.columns)}" for name in missing]
            continue
        field = _field(feed, field_name)
        kind, error = type_of(empty, _origin(mapping))
        problem = error if kind is None else unreadable(field, mapping, kind)
        if problem is not None:
            problems.append(problem if kind is not None else f"{field_name}: {problem}")
        elif mapping.read is not None:
            problems += [f"{field_name}: {wrong}" for wrong in expression_problems(empty, mapping.read)]
        problems += [f"{field_name}: {wrong}" for wrong in format_problems(empty, mapping.format or ())]
    if feed.filter is not None:
        missing = [name for name in feed.filter_columns if name.lower() not in columns]
        kind, error = (None, None) if missing else type_of(empty, F.expr(feed.filter))
        if missing:
            problems += [f"filter: {absent(name, empty.columns)}" for name in missing]
        elif error or not isinstance(kind, T.BooleanType):
            problems.append(f"filter: {error or 'is no condition'}")
        else:
            problems += [f"filter: {wrong}" for wrong in expression_problems(empty, read_expression(feed.filter))]
    arrival = feed.arrival or source.arrival
    if arrival.column is not None and arrival.column.lower() not in columns:
        problems.append(f"arrival: {absent(arrival.column, empty.columns)}")
    return [f"feed {feed.name}: {problem}" for problem in problems]


def with_optional_columns(records: DataFrame, *feeds: Feed) -> DataFrame:
    """Records with a null for each column that a feed may do without and these do not have."""
    have = {name.lower() for name in records.columns}
    wanted = (name for feed in feeds for m in feed.fields.values() if m.optional for name in m.columns)
    absent_ones = [name for name in dict.fromkeys(wanted) if name.lower() not in have]
    return records.withColumns({name: F.lit(None) for name in absent_ones}) if absent_ones else records


def why_malformed(raw: DataFrame) -> Column:
    """The reason why a raw record cannot be taken apart, null where it can."""
    if MALFORMED not in raw.columns:
        return F.lit(None).cast("string")
    reason = raw.schema[MALFORMED].metadata.get("reason", "record: columns do not fit the header")
    # a decoder puts U+FFFD where the bytes are none of the encoding's; no ledger writes it
    return F.when(F.col(MALFORMED).contains("\ufffd"), F.lit("record: bytes that are not in the encoding")).when(
        F.col(MALFORMED).isNotNull(), F.lit(reason)
    )


def _field(feed: Feed, name: str) -> Field:
    return next(field for field in EVENTS[feed.event] if field.name == name)


def map_records(raw: DataFrame, source: Source, feed: Feed, calendar: Calendar) -> DataFrame:
    """Read a feed's records.

    One row a record that the feed's filter takes: the columns of the event's table, its PLACE, `feed`, `reasons`
    (every one, empty where nothing is wrong) and `record`, the record as it came, as JSON.
    """
    if feed.filter is not None:
        raw = raw.filter(F.expr(feed.filter))
    table = EVENT_TABLES[feed.event]
    fields = EVENTS[feed.event]
    reads = {
        field.name: read_field(
            field,
            feed.fields[field.name],
            _origin(feed.fields[field.name]),
            raw.select(_origin(feed.fields[field.name])).schema[0].dataType,
            source.time_zone,
        )
        if field.name in feed.fields
        else Read(F.lit(None).cast(SQL_TYPES[field.type]), F.lit(None).cast("string"))
        for field in fields
    }
    read = raw.select(
        *PLACE,
        F.lit(feed.name).alias("feed"),
        record_as_it_came(raw).alias("record"),
        *(reads[field.name].value.cast(SQL_TYPES[field.type]).alias(f"value_{field.name}") for field in fields),
        *(reads[field.name].problem.alias(f"problem_{field.name}") for field in fields),
        _told_arrival(source, feed, calendar).alias("told_arrival_day"),
        why_malformed(raw).alias("malformed"),
    ).withColumns(
        {field.name: F.when(F.col(f"problem_{field.name}").isNull(), F.col(f"value_{field.name}")) for field in fields}
    )
    is_version = feed.event == "seller_version"
    event_day = F.col("changed_on") if is_version else F.to_date(F.from_utc_timestamp("happened_at", calendar.zone))
    # A correction says only what it voids: its values come from the event that never was.
    is_correction = F.lit(False) if is_version else F.col("voids").isNotNull()
    needed = ("event_id", "seller_id", "voids")
    problems = [
        F.col(f"problem_{field.name}")
        if is_version or field.name in needed
        else F.when(~is_correction, F.col(f"problem_{field.name}"))
        for field in fields
    ]
    arrival = F.greatest(
        F.coalesce("told_arrival_day", F.date_add(event_day, (feed.arrival or source.arrival).days_after_event)),
        F.lit(calendar.first_open_day),
    )
    latest = F.greatest(F.lit(calendar.today), F.lit(calendar.first_open_day))
    day_name = "changed_on" if is_version else "happened_at"
    checks = [
        F.col("malformed"),
        F.when(F.col("arrival_day").isNull(), F.lit("arrival: missing or no date")),
        F.when(
            ~is_correction & (F.col("event_day") < F.lit(calendar.first_day)),
            F.lit(f"{day_name}: before {calendar.first_day}"),
        ),
        F.when(
            ~is_correction & (F.col("event_day") > F.col("arrival_day")),
            F.lit(f"{day_name}: after the day it arrived"),
        ),
        # the first load trusts the source on when it knew, but not to have known what has yet to come
        F.when(~is_correction & (F.col("event_day") > latest), F.lit(f"{day_name}: in the future")).when(
            F.col("arrival_day") > latest, F.lit("arrival: in the future")
        ),
    ]
    content = [field.name for field in fields]
    dated = read.withColumns({"event_day": event_day, "arrival_day": arrival})
    sign = {} if is_version else {"sign": F.when(is_correction, F.lit(-1)).otherwise(F.lit(1))}
    return dated.withColumns(
        {
            **sign,
            "arrival_month": F.date_format("arrival_day", "yyyy-MM"),
            "content_hash": F.xxhash64(*content),
            "reasons": F.filter(F.array(*problems, *checks), lambda reason: reason.isNotNull()),
        }
    ).select(*table.names, *(name for name in PLACE if name not in table.names), "feed", "reasons", "record")


def record_as_it_came(raw: DataFrame) -> Column:
    """The source's columns of a raw record as JSON; a CSV line that does not fit the header, as its text."""
    own = (F.col(f"`{name}`") for name in raw.columns if name not in (*PLACE, MALFORMED))
    as_json = F.to_json(F.struct(*own))
    return F.coalesce(MALFORMED, as_json) if MALFORMED in raw.columns else as_json


def _told_arrival(source: Source, feed: Feed, calendar: Calendar) -> Column:
    if calendar.told_arrival_day is not None:
        return F.lit(calendar.told_arrival_day)
    rule = feed.arrival or source.arrival
    if rule.column is None:
        return F.lit(None).cast("date")
    return F.col(f"`{rule.column}`").cast("string").try_cast("date")


def unclaimed(raw: DataFrame, feeds: Sequence[Feed]) -> DataFrame | None:
    """Records that no feed of their file takes, as rows of bronze.quarantine; None where all are taken."""
    if any(feed.filter is None for feed in feeds):
        return None
    taken = F.lit(False)
    for feed in feeds:
        taken = taken | F.coalesce(F.expr(feed.filter or "true"), F.lit(False))
    return raw.filter(~taken).select(
        "delivery_id",
        F.lit("(none)").alias("feed"),
        "file",
        "position",
        F.array(F.coalesce(why_malformed(raw), F.lit("record: no feed takes it"))).alias("reasons"),
        record_as_it_came(raw).alias("record"),
        F.lit(None).cast("date").alias("arrival_day"),
    )
