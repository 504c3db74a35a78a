"""From a source's records to our events, each with everything that is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import EVENTS, SQL_TYPES, Field
from conf.source import Feed, FieldMapping, Source
from transforms.intake.fields import Read, read_field, unreadable
from transforms.intake.pseudonyms import mentions, speaks_of, with_pseudonyms
from transforms.tables.bronze import EVENT_TABLES

PLACE = ("delivery_id", "delivery_order", "file", "position")
"""Columns that say where a raw record stands; every other column of a raw frame is the source's own."""

MALFORMED = "_malformed"
"""Column in which Spark's CSV reader keeps a row that does not fit the header."""


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
    columns = {name.lower() for name in empty.columns}
    for field_name, mapping in feed.fields.items():
        if mapping.column is not None and mapping.column.lower() not in columns:
            problems.append(f"{field_name}: column {mapping.column} is not in the file")
            continue
        field = _field(feed, field_name)
        kind, error = _type_of(empty, _origin(mapping))
        problem = error if kind is None else unreadable(field, mapping, kind)
        if problem is not None:
            problems.append(problem if kind is not None else f"{field_name}: {problem}")
    if feed.filter is not None:
        kind, error = _type_of(empty, F.expr(feed.filter))
        if error or not isinstance(kind, T.BooleanType):
            problems.append(f"filter: {error or 'is no condition'}")
    arrival = feed.arrival or source.arrival
    if arrival.column is not None and arrival.column.lower() not in columns:
        problems.append(f"arrival: column {arrival.column} is not in the file")
    return [f"feed {feed.name}: {problem}" for problem in problems]


def _field(feed: Feed, name: str) -> Field:
    return next(field for field in EVENTS[feed.event] if field.name == name)


def _origin(mapping: FieldMapping) -> Column:
    if mapping.column is not None:
        return F.col(f"`{mapping.column}`")
    if mapping.expression is not None:
        return F.expr(mapping.expression)
    return F.lit(mapping.constant)


def _type_of(empty: DataFrame, column: Column) -> tuple[T.DataType | None, str | None]:
    try:
        return empty.select(column).schema[0].dataType, None
    except AnalysisException as error:
        return None, " ".join((error.getMessage() or str(error)).split("SQLSTATE")[0].split())


def map_records(
    raw: DataFrame, source: Source, feed: Feed, calendar: Calendar, personal: Sequence[str], pads: DataFrame
) -> DataFrame:
    """Read a feed's records, with the ids in the `personal` columns replaced by pseudonyms.

    One row a record that the feed's filter takes: the columns of the event's table, its PLACE, `feed`, `is_sound`
    (nothing is wrong with it), and what `with_reasons` makes reasons and the record as it came of. Ids are made of
    pseudonyms, whatever else a feed reads from a personal column is read before.
    """
    if feed.filter is not None:
        raw = raw.filter(F.expr(feed.filter))
    table = EVENT_TABLES[feed.event]
    fields = EVENTS[feed.event]
    own = [name for name in raw.columns if name not in (*PLACE, MALFORMED)]
    origins = {name: _origin(mapping) for name, mapping in feed.fields.items()}
    in_clear = {name: f"_clear_{name}" for name in read_in_clear(feed, personal) if name != "filter"}
    raw = raw.withColumns({clear: origins[name] for name, clear in in_clear.items()})
    raw = with_pseudonyms(raw, personal, pads)
    origins |= {name: F.col(clear) for name, clear in in_clear.items()}
    types = dict(zip(origins, raw.select(*origins.values()).schema, strict=True))
    reads = {
        field.name: read_field(
            field, feed.fields[field.name], origins[field.name], types[field.name].dataType, source.time_zone
        )
        if field.name in feed.fields
        else Read(F.lit(None).cast(SQL_TYPES[field.type]), F.lit(None).cast("string"))
        for field in fields
    }
    malformed = F.col(MALFORMED) if MALFORMED in raw.columns else F.lit(None).cast("string")
    read = raw.select(
        *PLACE,
        F.lit(feed.name).alias("feed"),
        *(reads[field.name].value.cast(SQL_TYPES[field.type]).alias(f"value_{field.name}") for field in fields),
        *(reads[field.name].problem.alias(f"problem_{field.name}") for field in fields),
        _told_arrival(source, feed, calendar).alias("told_arrival_day"),
        malformed.alias(_LINE),
        F.struct(*(F.col(f"`{name}`") for name in own)).alias(_RAW),
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
        F.when(F.col(_LINE).isNotNull(), F.lit("record: columns do not fit the header")),
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
    told = dated.withColumns(
        {
            **sign,
            "arrival_month": F.date_format("arrival_day", "yyyy-MM"),
            "content_hash": F.xxhash64(*content),
            **{f"{_PROBLEM}{number}": problem for number, problem in enumerate([*problems, *checks])},
        }
    )
    wrong = [name for name in told.columns if name.startswith(_PROBLEM)]
    return told.select(
        *table.names,
        *(name for name in PLACE if name not in table.names),
        "feed",
        F.coalesce(*wrong).isNull().alias("is_sound"),
        *wrong,
        _pseudonyms(personal),
        _LINE,
        _RAW,
    )


_PROBLEM, _LINE, _RAW = "_problem_", "_line", "_raw"
JSON_OPTIONS = {
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
"""Stamps to the microsecond: what a mended mapping reads from the record must be what it would read from the file."""


def with_reasons(mapped: DataFrame) -> DataFrame:
    """Add `reasons`, every one, empty where nothing is wrong, and `record` with its `columns` to mapped records.

    Apart from `map_records`, since it costs as much as all of that: only records that need it should get here.
    """
    wrong = [name for name in mapped.columns if name.startswith(_PROBLEM)]
    record, columns = _as_it_came(mapped, F.col(_RAW), F.col(_LINE))
    return mapped.withColumns({"reasons": F.array_compact(F.array(*wrong)), "record": record, "columns": columns}).drop(
        *wrong, _LINE, _RAW
    )


def _pseudonyms(personal: Sequence[str]) -> Column:
    return F.array(*map(F.lit, personal)).cast("array<string>").alias("pseudonyms")


def _as_it_came(rows: DataFrame, own: Column, line: Column) -> tuple[Column, Column]:
    """The source's columns as JSON and their types; of a line that does not fit its header no more than its length,
    since nobody can say where in it an id of a buyer stands.
    """
    schema = rows.select(own.alias(_RAW)).schema[0].dataType
    types = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in cast(T.StructType, schema))
    hidden = F.concat(F.lit("a line of "), F.length(line), F.lit(" characters that does not fit the header"))
    return (
        F.when(line.isNotNull(), hidden).otherwise(F.to_json(own, JSON_OPTIONS)),
        F.when(line.isNull(), F.lit(types)),
    )


def read_in_clear(feed: Feed, personal: Sequence[str]) -> list[str]:
    """What a feed reads from a personal column besides ids: names of fields, and `filter`."""
    names = [
        name
        for name, mapping in feed.fields.items()
        if _field(feed, name).type != "id" and any(mentions(mapping, column) for column in personal)
    ]
    if any(speaks_of(feed.filter or "", column) for column in personal):
        names.append("filter")
    return names


def _told_arrival(source: Source, feed: Feed, calendar: Calendar) -> Column:
    if calendar.told_arrival_day is not None:
        return F.lit(calendar.told_arrival_day)
    rule = feed.arrival or source.arrival
    if rule.column is None:
        return F.lit(None).cast("date")
    return F.col(f"`{rule.column}`").cast("string").try_cast("date")


def unclaimed(raw: DataFrame, feeds: Sequence[Feed], personal: Sequence[str], pads: DataFrame) -> DataFrame | None:
    """Records that no feed of their file takes, as rows of bronze.quarantine; None where all are taken."""
    if any(feed.filter is None for feed in feeds):
        return None
    taken = F.lit(False)
    for feed in feeds:
        taken = taken | F.coalesce(F.expr(feed.filter or "true"), F.lit(False))
    left = with_pseudonyms(raw.filter(~taken), personal, pads)
    own = F.struct(*(F.col(f"`{name}`") for name in raw.columns if name not in (*PLACE, MALFORMED)))
    line = F.col(MALFORMED) if MALFORMED in raw.columns else F.lit(None).cast("string")
    record, columns = _as_it_came(left, own, line)
    return left.select(
        "delivery_id",
        "delivery_order",
        F.lit("(none)").alias("feed"),
        "file",
        "position",
        F.array(F.lit("record: no feed takes it")).alias("reasons"),
        record.alias("record"),
        columns.alias("columns"),
        _pseudonyms(personal),
        F.lit(None).cast("date").alias("arrival_day"),
    )
