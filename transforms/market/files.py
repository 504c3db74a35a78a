"""What the records of all four feeds share: names of shops, times, amounts as the marketplace's files write them."""

from datetime import UTC, datetime

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.world import World

SECONDS_A_DAY = 86_400
EAST_OF_GREENWICH = 8 * 3_600
"""The marketplace's days are Shanghai's: eight hours ahead of UTC, without summer time in the years simulated."""


def shop_id(number: str) -> Column:
    """S000123."""
    return F.format_string("S%06d", F.col(number))


def day_on(world: World, day: Column) -> Column:
    """The date of a day counted from the world's first."""
    return F.date_add(F.lit(world.first_day), day.cast("int"))


def instant(world: World, seconds: Column) -> Column:
    """The UTC time of seconds counted from the midnight with which the first day began."""
    midnight = datetime(world.first_day.year, world.first_day.month, world.first_day.day, tzinfo=UTC)
    start = int(midnight.timestamp()) - EAST_OF_GREENWICH
    return F.timestamp_seconds(F.lit(start) + F.floor(seconds))


def yuan(fen: Column) -> Column:
    """Fen as a plain decimal of yuan, "12.50"; exact, since it never passes through a double."""
    return (fen.cast("decimal(18,0)") / F.lit(100)).cast("decimal(18,2)").cast("string")


def word_at(words: tuple[str, ...], place: str) -> Column:
    """The word at a place, counted from 0."""
    return F.element_at(F.array(*(F.lit(word) for word in words)), F.col(place) + 1)
