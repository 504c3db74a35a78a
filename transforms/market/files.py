"""What the records of all four feeds share: names of shops, times, amounts as the marketplace's files write them."""

from datetime import UTC, datetime

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.world import World

SECONDS_A_DAY = 86_400
EAST_OF_GREENWICH = 8 * 3_600
"""The marketplace's days are Shanghai's: eight hours ahead of UTC, without summer time in the years simulated."""


def numbered(prefix: str, number: Column, width: int = 6) -> Column:
    """S000123; a number of more digits than `width` has them all.

    By concat: format_string, which parses its pattern anew, costs ten times that a row.
    """
    text = number.cast("string")
    return F.concat(F.lit(prefix), F.when(F.length(text) < width, F.lpad(text, width, "0")).otherwise(text))


def shop_id(number: str) -> Column:
    """S000123."""
    return numbered("S", F.col(number))


def day_on(world: World, day: Column) -> Column:
    """The date of a day counted from the world's first."""
    return F.date_add(F.lit(world.first_day), day.cast("int"))


def instant(world: World, seconds: Column) -> Column:
    """The UTC time of seconds counted from the midnight with which the first day began."""
    midnight = datetime(world.first_day.year, world.first_day.month, world.first_day.day, tzinfo=UTC)
    start = int(midnight.timestamp()) - EAST_OF_GREENWICH
    return F.timestamp_seconds(F.lit(start) + F.floor(seconds))


def yuan(fen: Column) -> Column:
    """Fen as a plain decimal of yuan, "12.50"; exact, since it never passes through a double (nor a slow decimal)."""
    absolute = F.abs(fen)
    whole = F.call_function("div", absolute, F.lit(100)).cast("string")
    cents = F.lpad((absolute % 100).cast("string"), 2, "0")
    return F.concat(F.when(fen < 0, "-").otherwise(""), whole, F.lit("."), cents)


def word_at(words: tuple[str, ...], place: str) -> Column:
    """The word at a place, counted from 0."""
    return F.element_at(F.array(*(F.lit(word) for word in words)), F.col(place) + 1)
