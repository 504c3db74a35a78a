"""From a source's value to one of our fields: the value, and what is wrong with it.

Nothing here throws on a bad value: casts are `try_` or guarded by a pattern, since Spark 4 would end the job.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.events import Field
from conf.source import FieldMapping

LONGEST_ID = 128
LONGEST_TEXT = 1000
LARGEST_FEN = 10**13  # 100 billion yuan: 900,000 such amounts still add up within 64 bits

# control characters, zero-width characters and byte-order marks make two ids that look alike differ
INVISIBLE = "[\\p{Cntrl}\\u00AD\\u200B-\\u200F\\u2028-\\u202F\\u2060-\\u2064\\uFEFF]"
BLANK_ENDS = "^[\\s\\u00A0\\u3000]|[\\s\\u00A0\\u3000]$"


@dataclass(frozen=True)
class Read:
    """A field's value, which counts only where there is no problem, and the reason why it is wrong, else null."""

    value: Column
    problem: Column


_WHOLE = (T.ByteType, T.ShortType, T.IntegerType, T.LongType)
_NUMBERS = (*_WHOLE, T.FloatType, T.DoubleType, T.DecimalType)
READABLE: dict[str, tuple[type[T.DataType], ...]] = {
    "id": (T.StringType, *_WHOLE),
    "text": (T.StringType, *_WHOLE, T.BooleanType),
    "money": (T.StringType, *_NUMBERS),
    "timestamp": (T.StringType, T.TimestampType, T.TimestampNTZType, T.DateType),
    "date": (T.StringType, T.DateType),
    "integer": (T.StringType, *_NUMBERS),
    "number": (T.StringType, *_NUMBERS),
    "boolean": (T.StringType, T.BooleanType),
}


def unreadable(field: Field, mapping: FieldMapping, kind: T.DataType) -> str | None:
    """Say why a field cannot be read from a source value of this type, or None where it can."""
    if mapping.values is not None or isinstance(kind, (*READABLE[field.type], T.NullType)):
        return None
    return f"{field.name}: a {field.type} cannot be read from {kind.simpleString()}"


def read_field(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    """Read one field from a source value of type `kind`; `zone` is that of stamps that carry none."""
    if mapping.values is not None:
        # an if-then-else chain and not a map look-up: ANSI mode throws on a missing key
        pairs = [(F.lit(theirs), F.lit(ours)) for theirs, ours in mapping.values.items()]
        known = F.create_map(*chain.from_iterable(pairs))
        text = source.cast("string")
        mapped = F.try_element_at(known, text)
        problem = _reason(field, text.isNotNull() & mapped.isNull(), "value not in the mapping")
        read = _READERS[field.type](field, mapping, mapped, T.StringType(), zone)
        return Read(read.value, F.coalesce(problem, _required(field, text), read.problem))
    if isinstance(kind, T.NullType):
        source, kind = source.cast("string"), T.StringType()
    if isinstance(kind, T.StringType) and field.type != "id":
        source = F.when(F.trim(source) != "", source)
    read = _READERS[field.type](field, mapping, source, kind, zone)
    return Read(read.value, F.coalesce(_required(field, source), read.problem))


def _reason(field: Field, wrong: Column, words: str) -> Column:
    return F.when(wrong, F.lit(f"{field.name}: {words}"))


def _required(field: Field, value: Column) -> Column:
    return _reason(field, value.isNull(), "missing") if field.required else F.lit(None).cast("string")


def _id(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    text = source.cast("string")
    # nearly every id is plain ASCII: one look passes it, and the four patterns below are for the others
    is_plain = text.rlike(f"^[!-~]{{1,{LONGEST_ID}}}$")
    problem = F.when(
        ~is_plain,
        F.coalesce(
            _reason(field, text == "", "missing" if field.required else "empty"),
            _reason(field, F.length(text) > LONGEST_ID, f"longer than {LONGEST_ID} characters"),
            _reason(field, text.rlike(BLANK_ENDS), "blank at an end"),
            _reason(field, text.rlike(INVISIBLE), "invisible character"),
        ),
    )
    return Read(text, problem)


def _text(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    text = F.trim(source.cast("string"))
    problem = _reason(field, F.length(text) > LONGEST_TEXT, f"longer than {LONGEST_TEXT} characters")
    if field.allowed:
        problem = F.coalesce(problem, _reason(field, ~text.isin(*field.allowed), "value not in the mapping"))
    return Read(text, problem)


def _money(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    in_yuan = mapping.unit == "yuan"
    if isinstance(kind, T.StringType):
        # 12,50 or 1e3 or NaN would be read as something by a cast: only a plain decimal is an amount
        plain = "^-?[0-9]{1,13}(\\.[0-9]{1,2})?$" if in_yuan else "^-?[0-9]{1,15}$"
        wrong = _reason(field, ~source.rlike(plain), "no plain amount")
        exact = F.expr("null").cast("decimal(20,2)")
        exact = F.when(source.rlike(plain), source.try_cast("decimal(20,2)"))
        fen = (exact * (100 if in_yuan else 1)).try_cast("bigint")
    elif isinstance(kind, (T.FloatType, T.DoubleType)):
        finite = ~F.isnan(source) & (F.abs(source) <= LARGEST_FEN)
        wrong = _reason(field, ~finite, "no plain amount")
        scaled = F.when(finite, source * (100 if in_yuan else 1))
        # a double holds a yuan amount to a hundredth of a fen up to 10^11 yuan: what is left over is a third decimal
        whole = F.round(scaled)
        wrong = F.coalesce(wrong, _reason(field, F.abs(scaled - whole) > 0.01, "smaller than a fen"))
        fen = whole.cast("bigint")
    else:
        small = F.abs(source.cast("decimal(38,6)")) <= LARGEST_FEN
        wrong = _reason(field, ~F.coalesce(small, F.lit(False)), "no plain amount")
        scaled = F.when(small, source.cast("decimal(24,6)") * (100 if in_yuan else 1))
        wrong = F.coalesce(wrong, _reason(field, scaled != F.round(scaled), "smaller than a fen"))
        fen = scaled.try_cast("bigint")
    problem = F.coalesce(
        wrong,
        _reason(field, F.abs(fen) > LARGEST_FEN, f"larger than {LARGEST_FEN // 100} yuan"),
        # a balance may be below zero; an amount says its direction by its kind
        F.lit(None).cast("string") if field.name == "balance_fen" else _reason(field, fen < 0, "negative"),
    )
    return Read(fen, problem)


_ISO_TIMESTAMP = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)


def _timestamp(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, T.TimestampType):
        return Read(source, F.lit(None).cast("string"))
    if isinstance(kind, T.StringType):
        if mapping.format is not None:
            instant = F.to_utc_timestamp(F.try_to_timestamp(source, F.lit(mapping.format)), zone)
        else:
            stamp = F.when(source.rlike(_ISO_TIMESTAMP), source.try_cast("timestamp"))
            has_zone = source.rlike("(Z|[0-9][+-][0-9]{2}:?[0-9]{2})$") & source.contains(":")
            instant = F.when(has_zone, stamp).otherwise(F.to_utc_timestamp(stamp, zone))
        return Read(instant, _reason(field, source.isNotNull() & instant.isNull(), "no timestamp"))
    return Read(F.to_utc_timestamp(source.cast("timestamp"), zone), F.lit(None).cast("string"))


def _date(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, T.DateType):
        return Read(source, F.lit(None).cast("string"))
    if mapping.format is not None:
        day = F.to_date(F.try_to_timestamp(source, F.lit(mapping.format)))
    else:
        day = F.when(source.rlike("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), source.try_cast("date"))
    return Read(day, _reason(field, source.isNotNull() & day.isNull(), "no date"))


def _integer(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    if isinstance(kind, T.StringType):
        value = F.when(source.rlike("^-?[0-9]{1,9}$"), source.try_cast("int"))
    else:
        value = F.when(source.cast("double") == F.floor(source.cast("double")), source.try_cast("int"))
    return Read(value, _reason(field, source.isNotNull() & value.isNull(), "no whole number"))


def _number(field: Field, mapping: FieldMapping, source: Column, kind: T.DataType, zone: str) -> Read:
    cast = source.try_cast("double")
    value = F.when(~F.isnan(cast) & (F.abs(cast) < float("inf")), cast)
    return Read(value, _reason(field, source.isNotNull() & value.isNull(), "no number"))


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
