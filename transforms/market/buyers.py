"""Who buys: one crowd for all shops of a world, and the names under which shops buy from themselves."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.world import World
from transforms.market.files import numbered

BUYERS_A_SHOP = 45
"""Buyers of the whole marketplace for each shop in it."""
FAKE_BUYERS = 9
"""A shop that buys from itself does so under so many names; shops of a ring share theirs. No other shop sees them."""


def _first(world: World) -> Column:
    """What comes before the numbers of the buyers of the shop's world."""
    index = F.call_function("div", F.col("number") - 1, F.lit(world.sellers))
    return index * (world.sellers * (BUYERS_A_SHOP + FAKE_BUYERS) + FAKE_BUYERS + 1)


def buyer_id(world: World, regular: Column) -> Column:
    """The buyer whom a hash picks out of the world's crowd."""
    return numbered("B", _first(world) + F.pmod(regular, F.lit(world.sellers * BUYERS_A_SHOP)), 8)


def fake_buyer(world: World, turn: Column) -> Column:
    """The buyer of the shop's ring (or its own) whose turn it is."""
    ring = F.col("ring") - F.call_function("div", F.col("number") - 1, F.lit(world.sellers)) * world.sellers
    fake = world.sellers * BUYERS_A_SHOP + ring * FAKE_BUYERS + F.pmod(turn, F.lit(FAKE_BUYERS))
    return numbered("B", _first(world) + fake, 8)
