"""Buyers and counterparties under keyed pseudonyms, from the door on.

A pseudonym is the first 32 hexadecimal digits (128 bits) of HMAC-SHA-256 (RFC 2104) of the id under the lake's secret
key: the same id is the same pseudonym in every ledger of the lake, and nobody without the key can test a guess. The
key reaches the executors as the rows of a table, so that no plan, log or error holds it.
"""

import hashlib
import hmac
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.events import PERSONAL
from conf.names import is_personal
from conf.source import Feed, FieldMapping
from transforms.intake.expressions import quoted
from transforms.intake.fields import BLANK_ENDS, DECOMPOSED, INVISIBLE, LONGEST_ID, PLAIN_ID

_BLOCK_BYTES = 64
_DIGITS = 32
_INNER, _OUTER = "_inner_pad", "_outer_pad"
PADS_SCHEMA = f"{_INNER} binary, {_OUTER} binary"


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The key as HMAC's two blocks: the one row of a table of PADS_SCHEMA."""
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def fingerprint(key: bytes) -> str:
    """What a lake remembers of its key: enough to know it again, of no use for finding it."""
    return hmac.new(key, b"fingerprint of a Seller Credit lake", hashlib.sha256).hexdigest()[:16]


def personal_columns(feeds: Sequence[Feed], columns: Sequence[str], nested: Sequence[str] = ()) -> tuple[str, ...]:
    """Columns of a file that tell of persons: from which any of its feeds takes a buyer or a counterparty; that a feed
    calls personal; and those that no feed reads whose name sounds so, or which are `nested`: what is in them may.
    """
    persons = [feed.fields[name] for feed in feeds for name in PERSONAL if name in feed.fields]
    named = [column for person in persons for column in person.columns]
    named += [column for feed in feeds for column in feed.personal]
    read = [column for feed in feeds for mapping in feed.fields.values() for column in mapping.columns]
    read += [column for feed in feeds for column in feed.filter_columns]
    return tuple(
        name
        for name in columns
        if is_among(name, named) or ((is_personal(name) or name in nested) and not is_among(name, read))
    )


def is_beside(origin: FieldMapping, feeds: Sequence[Feed]) -> bool:
    """Whether a field reads nothing of what the ids of persons are made of in these feeds: other columns, or another
    path into the same one.
    """
    persons = [feed.fields[name] for feed in feeds for name in PERSONAL if name in feed.fields]
    return all(own.is_apart_from(theirs) for own in origin.mentions for person in persons for theirs in person.mentions)


def mentions(origin: FieldMapping, column: str) -> bool:
    """Whether a field is made of a column."""
    return is_among(column, origin.columns)


def is_among(column: str, names: Sequence[str]) -> bool:
    """Whether a column is one of some, without regard to case, as Spark tells columns apart."""
    return column.lower() in {name.lower() for name in names}


def with_pseudonyms(raw: DataFrame, columns: Sequence[str], pads: DataFrame) -> DataFrame:
    """Replace the columns by pseudonyms of their values as text; `pads` is the one row made by `pads`.

    What is wrong with an id stays wrong with its pseudonym (empty, too long, blanks, invisible characters), so that the
    checks that follow find it and nobody reads the id.
    """
    if not columns:
        return raw
    keyed = raw.crossJoin(F.broadcast(pads))
    return keyed.withColumns({name: _pseudonym(F.col(quoted(name)).cast("string")) for name in columns}).drop(
        _INNER, _OUTER
    )


def _pseudonym(text: Column) -> Column:
    inner = F.unhex(F.sha2(F.concat(F.col(_INNER), F.encode(text, "UTF-8")), 256))
    digits = F.substring(F.sha2(F.concat(F.col(_OUTER), inner), 256), 1, _DIGITS)
    is_plain = text.rlike(PLAIN_ID)
    return (
        F.when(is_plain, digits)
        .when(text == "", text)
        .when(F.length(text) > LONGEST_ID, F.rpad(digits, LONGEST_ID + 1, "0"))
        .when(text.rlike(BLANK_ENDS), F.concat(F.lit(" "), digits))
        .when(text.rlike(INVISIBLE), F.concat(digits, F.lit("\u200b")))
        .when(text.rlike(DECOMPOSED), F.concat(digits, F.lit("\u0301")))
        .otherwise(digits)
    )
