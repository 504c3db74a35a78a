"""From a source's records to our events, each with everything that is wrong with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import EVENTS, PERSONAL, SQL_TYPES, Field
from conf.expressions import read_expression
from conf.source import Feed, FieldMapping, Source
from transforms.intake.expressions import absent, expression_problems, format_problems, origin_of, quoted, type_of
from transforms.intake.fields import ARRIVAL, Read, read_arrival, read_field, unreadable
from transforms.intake.pseudonyms import is_among, is_beside, mentions, with_pseudonyms
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
    is_the_day_after: bool = False
    """Whether the load is the work of `told_arrival_day`, done on `today`: of what happened today some is there."""

    @property
    def arrival_day(self) -> date | None:
        """The day on which all of this load arrives, the first open one at the least; None where each record tells."""
        return max(self.told_arrival_day, self.first_open_day) if self.told_arrival_day else None


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
        kind, error = type_of(empty, origin_of(mapping))
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
    problems += _problems_of_persons(source, feed)
    problems += _arrival_problems(empty, source.arrival_of(feed).mapping)
    return [f"feed {feed.name}: {problem}" for problem in problems]


def _problems_of_persons(source: Source, feed: Feed) -> list[str]:
    """Ids that would be nobody's, since what they are read from is kept as a pseudonym of a person."""
    beside = [other for other in source.feeds if other.name == feed.name or set(other.patterns) & set(feed.patterns)]
    persons = [(person, other.fields[person]) for other in beside for person in PERSONAL if person in other.fields]
    problems = []
    for name, mapping in feed.fields.items():
        if name in PERSONAL or _field(feed, name).type != "id":
            continue
        for person, theirs in persons:
            shared = [m for m in mapping.mentions if not all(m.is_apart_from(other) for other in theirs.mentions)]
            if shared and str(mapping.sql).lower() == str(theirs.sql).lower():
                problems.append(f"{name}: is read as {person} is, which is kept as a pseudonym: map what is its own")
            elif any(mention.path or mention.is_cut for mention in shared):
                problems.append(
                    f"{name}: takes apart {shared[0].column}, of which {person} is made and a pseudonym is kept:"
                    f" only another path into it can be read"
                )
    return list(dict.fromkeys(problems))


def _arrival_problems(empty: DataFrame, mapping: FieldMapping | None) -> list[str]:
    if mapping is None:
        return []
    absent_ones = [name for name in mapping.columns if not is_among(name, empty.columns)]
    if absent_ones:
        return [f"arrival: {absent(name, empty.columns)}" for name in absent_ones]
    problem = unreadable(ARRIVAL, mapping, empty.select(origin_of(mapping)).schema[0].dataType)
    formats = [f"arrival: {wrong}" for wrong in format_problems(empty, mapping.format or ())]
    return [problem, *formats] if problem else formats


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


@dataclass(frozen=True)
class Records:
    """The raw records of a feed, and what it takes to read them."""

    raw: DataFrame
    source: Source
    feed: Feed
    calendar: Calendar
    personal: tuple[str, ...]
    """Columns whose ids are to be replaced by pseudonyms, those of `pads`."""
    pads: DataFrame
    feeds: tuple[Feed, ...]
    """All that read these files: what one takes as a person's id, another may not show."""

    @property
    def taken(self) -> "Records":
        """Those that the feed's filter takes, with a null for each column that they may do without."""
        raw = self.raw if self.feed.filter is None else self.raw.filter(F.expr(self.feed.filter))
        return replace(self, raw=with_optional_columns(raw, self.feed))

    @property
    def has_ids_made_of_pseudonyms(self) -> bool:
        """Whether an id is made of a personal column otherwise than by being its pseudonym."""
        return any(
            name not in PERSONAL
            and any(mentions(mapping, column) for column in self.personal)
            and _is_made_of_pseudonyms(self.feed, name, self.feeds)
            for name, mapping in self.feed.fields.items()
        )


def map_records(records: Records) -> DataFrame:
    """Read a feed's records, with the ids in the personal columns replaced by pseudonyms.

    One row a record that the feed's filter takes: the columns of the event's table, its PLACE, `feed`, `is_sound`
    (nothing is wrong with it), `arrival_is_assumed`, and what `with_reasons` makes reasons and the record as it came
    of. Ids are made of pseudonyms where they take persons' ids in; whatever else a feed reads from a personal column
    is read before.
    """
    table = EVENT_TABLES[records.feed.event]
    told = _told(records, _with_pseudonyms, is_checked=True)
    return told.select(
        *table.names,
        *(name for name in PLACE if name not in table.names),
        "feed",
        "is_sound",
        "arrival_is_assumed",
        *_problems_in(told),
        _pseudonyms(records.personal),
        _LINE,
        _RAW,
    )


LOOKED_AT = ("delivery_id", "event_day", "event_id", "voids", "is_sound")


def look_at(records: Records) -> DataFrame:
    """Of the rows of `map_records` the columns LOOKED_AT: all checks are made, but for no pseudonym where none is
    needed, since what is wrong with an id is wrong with its pseudonym.
    """
    origins_of = _with_pseudonyms if records.has_ids_made_of_pseudonyms else _in_clear
    return _told(records, origins_of, is_checked=True).select(*LOOKED_AT)


def map_sound(records: Records) -> DataFrame:
    """The columns of the event's table and the PLACE, as `map_records` gives them, of records that are known to be
    sound, without a check. In the rows of others only the event id can be relied on.
    """
    table = EVENT_TABLES[records.feed.event]
    told = _told(records, _with_pseudonyms, is_checked=False)
    return told.select(*dict.fromkeys((*table.names, *PLACE)))


def event_id_of(records: Records) -> Column:
    """The event id of raw records as `map_records` reads it, null where something is wrong with it, as long as no id is
    made of pseudonyms.
    """
    taken = records.taken
    read = _reads(taken, *_in_clear(taken))["event_id"]
    return F.when(read.problem.isNull(), read.value)


Origins = tuple[DataFrame, dict[str, Column], dict[str, Column]]
"""Raw records, and over their columns what each field is read from and whether its expression fails."""


def _in_clear(records: Records) -> Origins:
    fields = records.feed.fields
    origins = {name: origin_of(mapping) for name, mapping in fields.items()}
    failing = {name: F.expr(m.read.fails) for name, m in fields.items() if m.read is not None and m.read.fails}
    return records.raw, origins, failing


def _with_pseudonyms(records: Records) -> Origins:
    raw, origins, failing = _in_clear(records)
    in_clear = {name: f"_clear_{name}" for name in read_in_clear(records.feed, records.personal, records.feeds)}
    in_clear.pop("filter", None)
    clear_failing = {name: f"_fails_{name}" for name in in_clear if name in failing}
    raw = raw.withColumns(
        {clear: origins[name] for name, clear in in_clear.items()}
        | {clear: failing[name] for name, clear in clear_failing.items()}
    )
    hidden = [clear for name, clear in in_clear.items() if name in PERSONAL]
    origins |= {name: F.col(clear) for name, clear in in_clear.items()}
    failing |= {name: F.col(clear) for name, clear in clear_failing.items()}
    return with_pseudonyms(raw, (*records.personal, *hidden), records.pads), origins, failing


def _reads(records: Records, raw: DataFrame, origins: dict[str, Column], failing: dict[str, Column]) -> dict[str, Read]:
    mappings, zone = records.feed.fields, records.source.time_zone
    types = {name: told.dataType for name, told in zip(origins, raw.select(*origins.values()).schema, strict=True)}
    return {
        (name := field.name): read_field(field, mappings[name], origins[name], types[name], zone, failing.get(name))
        if field.name in mappings
        else Read(F.lit(None).cast(SQL_TYPES[field.type]), F.lit(None).cast("string"))
        for field in EVENTS[records.feed.event]
    }


def _told(records: Records, origins_of: Callable[[Records], Origins], is_checked: bool) -> DataFrame:
    """Everything that can be told of each record; where nothing is checked, only the event id is null if wrong."""
    source, feed, calendar = records.source, records.feed, records.calendar
    fields = EVENTS[feed.event]
    own = _own_columns(records.raw)
    taken = records.taken
    # before a column that also tells of persons is a pseudonym
    told_day = told_arrival(taken.raw, source, feed, calendar)
    taken = replace(taken, raw=taken.raw.withColumn(_TOLD_DAY, told_day))
    raw, origins, failing = origins_of(taken)
    reads = _reads(taken, raw, origins, failing)
    if not is_checked:
        none = F.lit(None).cast("string")
        reads = {name: read if name == "event_id" else Read(read.value, none) for name, read in reads.items()}
    malformed = F.col(MALFORMED) if MALFORMED in raw.columns else F.lit(None).cast("string")
    read = raw.select(
        *PLACE,
        F.lit(feed.name).alias("feed"),
        *(reads[field.name].value.cast(SQL_TYPES[field.type]).alias(f"value_{field.name}") for field in fields),
        *(reads[field.name].problem.alias(f"problem_{field.name}") for field in fields),
        F.col(_TOLD_DAY),
        why_malformed(raw).alias(_WHY),
        malformed.alias(_LINE),
        F.struct(*(F.col(quoted(name)) for name in own)).alias(_RAW),
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
    latest = F.greatest(F.lit(calendar.today), F.lit(calendar.first_open_day))
    is_assumed = calendar.told_arrival_day is None and source.arrival_of(feed).column is None
    arrival = F.col(_TOLD_DAY)
    if is_assumed:
        assumed = F.date_add(event_day, source.arrival_of(feed).days_after_event)
        # what is here was known by the day of the load; without a day of its own, as a correction may be, since then
        arrival = F.greatest(event_day, F.least(assumed, latest))
    elif calendar.is_the_day_after:
        # an export made after midnight has the first of the new day's records, which no later one may bring again
        arrival = F.greatest(arrival, F.least(event_day, F.lit(calendar.today)))
    # `greatest` skips a null: what nobody could read would have arrived on the first day of all
    arrival = F.when(arrival.isNotNull(), F.greatest(arrival, F.lit(calendar.first_open_day)))
    day_name = "changed_on" if is_version else "happened_at"
    checks = [
        F.col(_WHY),
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
    if feed.event == "loan_event":
        is_undated = (F.col("kind") == "due") & F.col("due_on").isNull() & F.col("problem_due_on").isNull()
        checks.append(F.when(~is_correction & is_undated, F.lit("due_on: missing")))
    content = [field.name for field in fields]
    dated = read.withColumns({"event_day": event_day, "arrival_day": arrival})
    sign = {} if is_version else {"sign": F.when(is_correction, F.lit(-1)).otherwise(F.lit(1))}
    told = dated.withColumns(
        {
            **sign,
            "arrival_is_assumed": F.lit(is_assumed),
            "arrival_month": F.substring(F.col("arrival_day").cast("string"), 1, 7),
            "content_hash": F.xxhash64(*content),
            **{f"{_PROBLEM}{number}": problem for number, problem in enumerate([*problems, *checks])},
        }
    )
    return told.withColumn("is_sound", F.coalesce(*_problems_in(told)).isNull())


def _problems_in(told: DataFrame) -> list[str]:
    return [name for name in told.columns if name.startswith(_PROBLEM)]


_PROBLEM, _LINE, _WHY, _RAW, _TOLD_DAY = "_problem_", "_line", "_why", "_raw", "_told_arrival_day"
JSON_OPTIONS = {
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
"""Stamps to the microsecond: what a mended mapping reads from the record must be what it would read from the file."""


def with_reasons(mapped: DataFrame) -> DataFrame:
    """Add `reasons`, every one, empty where nothing is wrong, and `record` with its `columns` to mapped records.

    Apart from `map_records`, since it costs as much as all of that: only records that need it should get here.
    """
    wrong = _problems_in(mapped)
    record, columns = _as_it_came(mapped, F.col(_RAW), F.col(_LINE))
    return mapped.withColumns({"reasons": F.array_compact(F.array(*wrong)), "record": record, "columns": columns}).drop(
        *wrong, _LINE, _RAW
    )


def _pseudonyms(personal: Sequence[str]) -> Column:
    return F.array(*map(F.lit, personal)).cast("array<string>").alias("pseudonyms")


def _own_columns(raw: DataFrame) -> list[str]:
    """The source's columns; those that it may do without and does not have are void."""
    return [f.name for f in raw.schema if f.name not in (*PLACE, MALFORMED) and not isinstance(f.dataType, T.NullType)]


def _as_it_came(rows: DataFrame, own: Column, line: Column) -> tuple[Column, Column]:
    """The source's columns as JSON and their types; of a line that cannot be taken apart no more than its length,
    since nobody can say where in it an id of a buyer stands.
    """
    schema = rows.select(own.alias(_RAW)).schema[0].dataType
    types = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in cast(T.StructType, schema))
    hidden = F.concat(F.lit("a line of "), F.length(line), F.lit(" characters that cannot be taken apart"))
    return (
        F.when(line.isNotNull(), hidden).otherwise(F.to_json(own, JSON_OPTIONS)),
        F.when(line.isNull(), F.lit(types)),
    )


def read_in_clear(feed: Feed, personal: Sequence[str], feeds: Sequence[Feed] = ()) -> list[str]:
    """What a feed reads from a personal column as it came: names of fields, and `filter`. Besides what is no id these
    are the personal ids that it computes, of which the pseudonyms are made, and ids that stand in the column beside
    those of persons; `feeds` are all that read the file.
    """
    names = [
        name
        for name, mapping in feed.fields.items()
        if not _is_made_of_pseudonyms(feed, name, feeds or (feed,))
        and any(mentions(mapping, column) for column in personal)
    ]
    if any(is_among(column, feed.filter_columns) for column in personal):
        names.append("filter")
    return names


def _is_made_of_pseudonyms(feed: Feed, name: str, feeds: Sequence[Feed]) -> bool:
    mapping = feed.fields[name]
    if name in PERSONAL:
        return _is_pick(mapping)
    return _field(feed, name).type == "id" and not is_beside(mapping, feeds)


def _is_pick(mapping: FieldMapping) -> bool:
    """Whether a field is one of some columns as it stands: the pick of pseudonyms is the pseudonym of the pick."""
    if mapping.read is None:
        return True
    columns = ", ".join(quoted(name) for name in mapping.read.columns)
    return mapping.read.value in (columns, f"coalesce({columns})")


def told_arrival(raw: DataFrame, source: Source, feed: Feed, calendar: Calendar) -> Column:
    """The day on which raw records arrived as this load or their own column tells it; null where neither does."""
    mapping = source.arrival_of(feed).mapping
    if calendar.told_arrival_day is not None or mapping is None:
        return F.lit(calendar.told_arrival_day).cast("date")
    origin = origin_of(mapping)
    kind = raw.select(origin).schema[0].dataType
    return read_arrival(mapping, origin, kind, source.zone_of(feed), calendar.zone)


def unclaimed(raw: DataFrame, feeds: Sequence[Feed], personal: Sequence[str], pads: DataFrame) -> DataFrame | None:
    """Records that no feed of their file takes, as rows of bronze.quarantine; None where all are taken."""
    if any(feed.filter is None for feed in feeds):
        return None
    taken = F.lit(False)
    for feed in feeds:
        taken = taken | F.coalesce(F.expr(feed.filter or "true"), F.lit(False))
    left = with_pseudonyms(raw.filter(~taken), personal, pads)
    own = F.struct(*(F.col(quoted(name)) for name in _own_columns(raw)))
    line = F.col(MALFORMED) if MALFORMED in raw.columns else F.lit(None).cast("string")
    record, columns = _as_it_came(left, own, line)
    return left.select(
        "delivery_id",
        "delivery_order",
        F.lit("(none)").alias("feed"),
        "file",
        "position",
        F.array(F.coalesce(why_malformed(left), F.lit("record: no feed takes it"))).alias("reasons"),
        record.alias("record"),
        columns.alias("columns"),
        _pseudonyms(personal),
        F.lit(None).cast("date").alias("arrival_day"),
    )
