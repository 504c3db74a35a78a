"""From a source's value to one of our fields: the value, and what is wrong with it.

Nothing here throws on a bad value: casts are `try_` or guarded by a pattern, since Spark 4 would end the job.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import Field
from conf.source import EPOCH_MILLISECONDS, EPOCH_SECONDS, FEN_IN, ISO, FieldMapping

LONGEST_ID = 128
LONGEST_TEXT = 1000
LARGEST_FEN = 10**13  # 100 billion yuan: 900,000 such amounts still add up within 64 bits

# control characters, zero-width characters and byte-order marks make two ids that look alike differ
INVISIBLE = "[\\p{Cntrl}\\u00AD\\u200B-\\u200F\\u2028-\\u202F\\u2060-\\u2064\\uFEFF]"
# marks that NFC writes in one sign with their letter: Latin accents, Hangul parts, kana marks
DECOMPOSED = "[\\u0300-\\u036F\\u1100-\\u11FF\\u3099\\u309A]"
# to the very end: `$` would let a line feed there through
PLAIN_ID = f"^[!-~]{{1,{LONGEST_ID}}}\\z"
BLANK_ENDS = "^[\\s\\u00A0\\u3000]|[\\s\\u00A0\\u3000]$"


@dataclass(frozen=True)
class Read:
    """A field's value, which counts only where there is no problem, and the reason why it is wrong, else null."""

    value: Column
    problem: Column


NOT_IN_VALUES = "value not in the mapping"

_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_NUMBERS = (*_WHOLE, T.FloatType, T.DoubleType, T.DecimalType)
READABLE: dict[str, tuple[type[T.DataType], ...]] = {
    "id": (T.StringType, *_WHOLE),
    "text": (T.StringType, *_WHOLE, T.BooleanType),
    "money": (T.StringType, *_NUMBERS),
    "timestamp": (T.StringType, T.TimestampType, T.TimestampNTZType, T.DateType),
    "date": (T.StringType, T.DateType, T.TimestampType, T.TimestampNTZType),
    "integer": (T.StringType, *_NUMBERS),
    "number": (T.StringType, *_NUMBERS),
    "boolean": (T.StringType, T.BooleanType),
}


def unreadable(field: Field, mapping: FieldMapping, kind: T.DataType) -> str | None:
    """Say why a field cannot be read from a source value of this type, or None where it can."""
    kinds = READABLE[field.type]
    if field.type in ("timestamp", "date") and {EPOCH_SECONDS, EPOCH_MILLISECONDS} & set(mapping.format or ()):
        kinds = (*kinds, *_NUMBERS)
    if mapping.values is not None or isinstance(kind, (*kinds, T.NullType)):
        return None
    return f"{field.name}: a {field.type} cannot be read from {kind.simpleString()}"


def read_field(
    field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str, fails: Column | None = None
) -> Read:
    """Read one field from a source value of type `kind`; `zone` is that of stamps that carry none, `fails` says whether
    its expression does.
    """
    read = _read_value(field, mapping, source, kind, mapping.time_zone or zone)
    if fails is None:
        return read
    return Read(read.value, F.coalesce(_reason(field, fails, "cannot be computed"), read.problem))


def _read_value(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if mapping.values is not None:
        text = source.cast("string")
        mapped = mapped_value(mapping, text)
        problem = _reason(field, text.isNotNull() & mapped.isNull(), NOT_IN_VALUES)
        read = _READERS[field.type](field, mapping, mapped, T.StringType(), zone)
        return Read(read.value, F.coalesce(problem, _required(field, text), read.problem))
    if isinstance(kind, T.NullType):
        source, kind = source.cast("string"), T.StringType()
    if isinstance(kind, T.StringType) and field.type != "id":
        source = F.when(F.trim(source) != "", source)
    if isinstance(kind, T.StringType) and field.type in ("money", "number", "integer"):
        source = _with_a_point(source, mapping)
    read = _READERS[field.type](field, mapping, source, kind, zone)
    return Read(read.value, F.coalesce(_required(field, source), read.problem))


def mapped_value(mapping: FieldMapping, text: Column) -> Column:
    """Our value for theirs, by the mapping's `values`; null where it has none."""
    # not a look-up in the map itself: ANSI mode throws on a missing key
    pairs = [(F.lit(theirs), F.lit(ours)) for theirs, ours in (mapping.values or {}).items()]
    mapped = F.try_element_at(F.create_map(*chain.from_iterable(pairs)), text)
    return (
        mapped if mapping.otherwise is None else F.coalesce(mapped, F.when(text.isNotNull(), F.lit(mapping.otherwise)))
    )


def _with_a_point(source: Column, mapping: FieldMapping) -> Column:
    """A number's text with a decimal point and no groups; null stays null, and a text of another shape is `?`."""
    if mapping.decimal == "point" and not mapping.groups:
        return source
    point, group = (",", "[.]") if mapping.decimal == "comma" else ("[.]", ",")
    whole = f"[0-9]{{1,3}}({group}[0-9]{{3}}){{0,6}}|[0-9]+" if mapping.groups else "[0-9]+"
    told = source.rlike(f"^ *[+-]?({whole})({point}[0-9]+)? *$")
    plain = F.trim(F.regexp_replace(F.regexp_replace(source, group, ""), point, "."))
    # 12.50 is no number with a comma: whatever reads the sign of refusal refuses it
    return F.when(told, plain).when(source.isNotNull(), F.lit("?"))


def _reason(field: Field, wrong: Column, words: str) -> Column:
    return F.when(wrong, F.lit(f"{field.name}: {words}"))


def _required(field: Field, value: Column) -> Column:
    return _reason(field, value.isNull(), "missing") if field.required else F.lit(None).cast("string")


def _id(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    text = source.cast("string")
    # nearly every id is plain ASCII: one look passes it, and the five patterns below are for the others
    is_plain = text.rlike(PLAIN_ID)
    problem = F.when(
        ~is_plain,
        F.coalesce(
            _reason(field, text == "", "missing" if field.required else "empty"),
            _reason(field, F.length(text) > LONGEST_ID, f"longer than {LONGEST_ID} characters"),
            _reason(field, text.rlike(BLANK_ENDS), "blank at an end"),
            _reason(field, text.rlike(INVISIBLE), "invisible character"),
            _reason(field, text.rlike(DECOMPOSED), "a mark apart from its letter (not NFC)"),
        ),
    )
    return Read(text, problem)


def _text(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    text = F.trim(source.cast("string"))
    problem = _reason(field, F.length(text) > LONGEST_TEXT, f"longer than {LONGEST_TEXT} characters")
    if field.allowed:
        problem = F.coalesce(problem, _reason(field, ~text.isin(*field.allowed), NOT_IN_VALUES))
    return Read(text, problem)


_SPARE_DIGITS = {1: 15, 10: 14, 100: 13, 100_000: 10}
"""Digits before the point that can still be an amount, by the fen in one unit."""


def _money(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    fen_in_one = FEN_IN[mapping.unit or "fen"]
    if isinstance(kind, T.StringType):
        # 12,50 or 1e3 or NaN would be read as something by a cast: only a plain decimal is an amount
        decimals = len(str(fen_in_one)) - 1
        point = f"([.][0-9]{{1,{decimals}}}0*)?" if decimals else "([.]0+)?"
        plain = f"^[+-]?[0-9]{{1,{_SPARE_DIGITS[fen_in_one]}}}{point}$"
        wrong = _reason(field, ~source.rlike(plain), "no plain amount")
        exact = F.when(source.rlike(plain), source.try_cast("decimal(20,5)"))
        fen = (exact * fen_in_one).try_cast("bigint")
    elif isinstance(kind, (T.FloatType, T.DoubleType)):
        finite = ~F.isnan(source) & (F.abs(source) <= LARGEST_FEN)
        wrong = _reason(field, ~finite, "no plain amount")
        scaled = F.when(finite, source * fen_in_one)
        # a double holds a yuan amount to a hundredth of a fen up to 10^11 yuan: what is left over is a third decimal
        whole = F.round(scaled)
        wrong = F.coalesce(wrong, _reason(field, F.abs(scaled - whole) > 0.01, "smaller than a fen"))
        fen = whole.try_cast("bigint")
    else:
        # a decimal of 38 digits before the point has none of the room that six after it take
        small = F.coalesce(F.abs(source.try_cast("decimal(38,6)")) <= LARGEST_FEN, F.lit(False))
        wrong = _reason(field, source.isNotNull() & ~small, "no plain amount")
        scaled = F.when(small, source.try_cast("decimal(24,6)") * fen_in_one)
        wrong = F.coalesce(wrong, _reason(field, scaled != F.round(scaled), "smaller than a fen"))
        fen = scaled.try_cast("bigint")
    if mapping.absolute:
        fen = F.abs(fen)
    problem = F.coalesce(
        wrong,
        _reason(field, F.abs(fen) > LARGEST_FEN, f"larger than {LARGEST_FEN // 100} yuan"),
        # a balance may be below zero; an amount says its direction by its kind
        F.lit(None).cast("string") if field.name == "balance_fen" else _reason(field, fen < 0, "negative"),
    )
    return Read(fen, problem)


_ISO_TIMESTAMP = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_LAST_SECOND = 253_402_300_799  # of the year 9999
_ZONE_LETTERS = re.compile("[VzOXxZ]")
_QUOTED = re.compile("'[^']*'")


@dataclass(frozen=True)
class _Stamp:
    """A stamp as it was read: an instant, or what the clock of its zone showed."""

    value: Column
    is_instant: bool


def _timestamp(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, (T.TimestampType, T.TimestampNTZType, T.DateType)):
        possible = _possible(source, kind.simpleString())
        no_stamp = _reason(field, source.isNotNull() & possible.isNull(), "no timestamp")
        if isinstance(kind, T.TimestampType):
            return Read(possible, no_stamp)
        shown = possible.cast("timestamp")
        return Read(F.to_utc_timestamp(shown, zone), F.coalesce(no_stamp, _skipped(field, shown, zone)))
    nothing = F.lit(None).cast("string")
    instants = []
    skipped = []
    for pattern in mapping.format or (ISO,):
        for stamp in _stamps(pattern, source, kind):
            instants.append(stamp.value if stamp.is_instant else F.to_utc_timestamp(stamp.value, zone))
            if not stamp.is_instant:
                skipped.append(_skipped(field, stamp.value, zone))
    instant = F.coalesce(*instants)
    return Read(
        instant, F.coalesce(_reason(field, source.isNotNull() & instant.isNull(), "no timestamp"), *skipped, nothing)
    )


def _possible(value: Column, kind: str) -> Column:
    """A day or stamp of the years 1 to 9999, null else: Parquet can hold the last microsecond of 64 bits, which a
    writer takes for infinity, and which overflows once a zone shifts it.
    """
    first, last = (F.lit(text).cast(kind) for text in ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"))
    return F.when(value.between(first, last), value)


def _stamps(pattern: str, source: Column, kind: T.DataType) -> list[_Stamp]:
    """What a text or number says by one format."""
    return [replace(s, value=_possible(s.value, "timestamp")) for s in _any_stamps(pattern, source, kind)]


def _any_stamps(pattern: str, source: Column, kind: T.DataType) -> list[_Stamp]:
    if pattern in (EPOCH_SECONDS, EPOCH_MILLISECONDS):
        return [_Stamp(_since_1970(source, kind, 1 if pattern == EPOCH_SECONDS else 1000), True)]
    if not isinstance(kind, T.StringType):
        return []
    if pattern != ISO:
        # the session's zone is UTC: a stamp without a zone is read as if it were UTC's
        has_zone = _ZONE_LETTERS.search(_QUOTED.sub("", pattern)) is not None
        return [_Stamp(F.try_to_timestamp(source, F.lit(pattern)), has_zone)]
    stamp = F.when(source.rlike(_ISO_TIMESTAMP), source.try_cast("timestamp"))
    tells_zone = source.rlike("(Z|[0-9][+-][0-9]{2}:?[0-9]{2})$") & source.contains(":")
    return [_Stamp(F.when(tells_zone, stamp), True), _Stamp(F.when(~tells_zone, stamp), False)]


def _since_1970(source: Column, kind: T.DataType, parts: int) -> Column:
    """The instant of a number of seconds (parts 1) or milliseconds (parts 1000) since 1970; null where it is none."""
    if isinstance(kind, T.StringType):
        source = F.when(source.rlike("^-?[0-9]{1,15}([.][0-9]{1,6})?$"), source)
    number = source.try_cast("decimal(24,6)")
    micros = F.when(F.abs(number) <= _LAST_SECOND * parts, number * (1_000_000 // parts)).try_cast("bigint")
    return F.timestamp_micros(micros)


def _skipped(field: Field, shown: Column, zone: str) -> Column:
    """The reason where clocks never showed this: the hour that summer time leaves out; one shown twice is the first."""
    if not _changes_its_clocks(zone):
        return F.lit(None).cast("string")
    again = F.from_utc_timestamp(F.to_utc_timestamp(shown, zone), zone)
    return _reason(field, again != shown, f"no such time in {zone}")


@lru_cache(maxsize=64)
def _changes_its_clocks(zone: str) -> bool:
    """Whether a zone had or will have more than one distance from UTC between 2000 and 2040."""
    days = (datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=number) for number in range(0, 40 * 366, 14))
    return len({day.astimezone(ZoneInfo(zone)).utcoffset() for day in days}) > 1


def _date(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, (T.TimestampType, T.TimestampNTZType, T.DateType)):
        possible = _possible(source, kind.simpleString())
        day = F.to_date(F.from_utc_timestamp(possible, zone) if isinstance(kind, T.TimestampType) else possible)
        return Read(day, _reason(field, source.isNotNull() & day.isNull(), "no date"))
    days = []
    for pattern in mapping.format or (ISO,):
        if pattern == ISO:
            days.append(_iso_day(source))
            continue
        days += [
            F.to_date(F.from_utc_timestamp(stamp.value, zone) if stamp.is_instant else stamp.value)
            for stamp in _stamps(pattern, source, kind)
        ]
    day = F.coalesce(*days)
    return Read(day, _reason(field, source.isNotNull() & day.isNull(), "no date"))


ARRIVAL = Field("arrival", "date", "business day on which we came to know")
"""What the first load's arrival column is read as."""

_HOUR_LETTERS = re.compile("[HhKkm]")


def read_arrival(mapping: FieldMapping, source: Column, kind: T.DataType, zone: str, business_zone: str) -> Column:
    """The business day on which a record arrived, of a date or a stamp; null where it tells none.

    Unlike a date of the source's, a stamp is an instant: half past midnight here may be yesterday there.
    """
    if isinstance(kind, T.DateType):
        return _possible(source, "date")
    zone = mapping.time_zone or zone

    def day_of(instant: Column) -> Column:
        return F.to_date(F.from_utc_timestamp(instant, business_zone))

    if isinstance(kind, (T.TimestampType, T.TimestampNTZType)):
        return day_of(_timestamp(ARRIVAL, mapping, source, kind, zone).value)
    days = []
    for pattern in mapping.format or (ISO,):
        if pattern == ISO:
            # a day alone is a day, in whatever zone
            days.append(_iso_day(source))
        has_no_hour = pattern not in (ISO, EPOCH_SECONDS, EPOCH_MILLISECONDS) and not _HOUR_LETTERS.search(
            _QUOTED.sub("", pattern)
        )
        for stamp in _stamps(pattern, source, kind):
            if has_no_hour and not stamp.is_instant:
                days.append(F.to_date(stamp.value))
            else:
                days.append(day_of(stamp.value if stamp.is_instant else F.to_utc_timestamp(stamp.value, zone)))
    return F.coalesce(*days, F.lit(None).cast("date"))


def _iso_day(source: Column) -> Column:
    text = source.cast("string")
    return F.when(text.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), text).try_cast("date")


def _integer(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, T.StringType):
        value = F.when(source.rlike("^-?[0-9]{1,9}$"), source.try_cast("int"))
    else:
        value = F.when(source.cast("double") == F.floor(source.cast("double")), source.try_cast("int"))
    return Read(value, _within(field, value, _reason(field, source.isNotNull() & value.isNull(), "no whole number")))


def _number(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    cast = source.try_cast("double")
    value = F.when(~F.isnan(cast) & (F.abs(cast) < float("inf")), cast)
    return Read(value, _within(field, value, _reason(field, source.isNotNull() & value.isNull(), "no number")))


def _within(field: Field, value: Column, problem: Column) -> Column:
    """A problem, or that the value is outside of what the field allows."""
    if field.largest is None:
        return problem
    too_small = "negative" if field.smallest == 0 else f"smaller than {field.smallest}"
    return F.coalesce(
        problem,
        _reason(field, value < field.smallest, too_small),
        _reason(field, value > field.largest, f"larger than {field.largest}"),
    )


def _boolean(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, T.BooleanType):
        return Read(source, F.lit(None).cast("string"))
    lower = F.lower(source)
    value = F.when(lower == "true", F.lit(True)).when(lower == "false", F.lit(False))
    return Read(value, _reason(field, source.isNotNull() & value.isNull(), "neither true nor false"))


_READERS: dict[str, Callable[[Field, FieldMapping, Column, T.DataType, str], Read]] = {
    "id": _id,
    "text": _text,
    "money": _money,
    "timestamp": _timestamp,
    "date": _date,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}
