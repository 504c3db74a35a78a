"""What a shop is born with: size, margin, habits, debts. All by hashing, so that any worker can find them anew."""

from dataclasses import dataclass, fields

import numpy as np

from conf.world import FAMILY, World
from transforms.market.chance import Chance, Flags, Floats, Longs
from transforms.market.seasons import CATEGORY_SHARE

REGIONS = ("east", "south", "north", "southwest", "central", "northeast")
REGION_SHARE = np.array([0.38, 0.27, 0.14, 0.09, 0.08, 0.04])
REGISTERED_BEFORE_DAYS = 1_825
"""A shop that was open at the start registered at most so many days before."""


@dataclass(frozen=True)
class Traits:
    """Arrays, one entry a seller. Yuan and weeks where not said otherwise."""

    number: Longs
    category: Longs
    region: Longs
    registered_day: Longs
    opened_day: Longs
    sales: Floats
    visible: Floats
    order_value: Floats
    persistence: Floats
    spread: Floats
    trend: Floats
    weekend: Floats
    """Sales of its Saturday and Sunday over those of its category."""
    rests: Floats
    """Share of days on which it rests."""
    quality: Floats
    margin: Floats
    fixed: Floats
    living: Floats
    buffer_weeks: Floats
    debt_service: Floats
    is_debt_visible: Flags
    prudence: Floats
    is_willing: Flags
    propensity: Floats
    lift: Floats
    closing_hazard: Floats
    brushed_share: Floats
    ring: Longs
    """Number of the first shop of its ring; its own where it is in none."""
    owner: Longs
    """Number of the first shop of its owner."""

    def __len__(self) -> int:
        return len(self.number)

    def slice(self, part: slice) -> "Traits":
        return Traits(**{field.name: getattr(self, field.name)[part] for field in fields(self)})


def _one_of(uniform: Floats, shares: Floats) -> Longs:
    return np.minimum(np.searchsorted(np.cumsum(shares), uniform), len(shares) - 1).astype(np.int64)


def members(world: World, families: Longs) -> Longs:
    """Numbers of the shops of these families: those of world k follow k times `sellers`."""
    a_world = -(-world.sellers // FAMILY)
    index, family = np.divmod(families.astype(np.int64), a_world)
    local = family[:, None] * FAMILY + np.arange(1, FAMILY + 1)
    return (index[:, None] * world.sellers + local)[local <= world.sellers]


def place_in_world(world: World, numbers: Longs) -> tuple[Longs, Longs]:
    """The world of each seller, and its place there, both counted from 0."""
    index, local = np.divmod(numbers - 1, world.sellers)
    return index, local


def _owners(chance: Chance, world: World, numbers: Longs) -> Longs:
    """A shop belongs to the owner of the shop before it, or to one of its own; the first of a family always has."""
    _, local = place_in_world(world, numbers)
    is_sibling = (local % FAMILY > 0) & (chance.uniform("sibling") < world.shops.siblings)
    owner = numbers.copy()
    # a chain is no longer than a family, and each shop's link is known from its own number alone
    for step in range(1, FAMILY):
        before = numbers - step
        is_linked = is_sibling & (owner == before + 1)
        if not is_linked.any():
            break
        owner = np.where(is_linked, before, owner)
        earlier = np.where(local - step > 0, before, numbers)
        is_sibling = is_linked & ((local - step) % FAMILY > 0)
        is_sibling &= Chance(world.seed, earlier).uniform("sibling") < world.shops.siblings
    return owner


def _brushing(chance: Chance, world: World, numbers: Longs, monthly_sales: Floats) -> tuple[Flags, Longs]:
    """Who buys from itself, and the first shop of its ring. A ring is in a block of six shops, most of which are in."""
    shops = world.shops
    _, local = place_in_world(world, numbers)
    first = numbers - local % RING
    edge = world.lending.least_monthly_sales_yuan
    at_edge = (monthly_sales > 0.6 * edge) & (monthly_sales < edge)
    alone = shops.brushing_shops * (1.0 - shops.ringed) * np.where(at_edge, shops.brushed_at_edge, 1.0)
    has_ring = Chance(world.seed, first).uniform("ring") < shops.brushing_shops * shops.ringed / _RING_PART
    in_ring = has_ring & (chance.uniform("in ring") < _RING_PART)
    brushes = in_ring | (chance.uniform("brushing") < alone)
    return brushes, np.where(has_ring & brushes, first, numbers)


RING, _RING_PART = 6, 0.7


def traits_of(world: World, numbers: Longs) -> Traits:
    """The traits of the sellers of these numbers."""
    chance = Chance(world.seed, numbers)
    shops, money, lending = world.shops, world.money, world.lending
    relative = np.minimum(np.exp(shops.size_spread * chance.normal("size")), shops.largest_times_median)
    sales = shops.median_weekly_sales_yuan * relative
    visible = chance.between("visible", shops.visible_share)
    quality = chance.normal("quality")
    was_open = chance.uniform("open at start") < shops.open_at_start
    opens = np.floor(chance.uniform("opening day") * world.days).astype(np.int64)
    opened = np.where(was_open, 0, opens)
    registered = np.where(
        was_open, -np.floor(chance.uniform("registered") * REGISTERED_BEFORE_DAYS).astype(np.int64), opens
    )
    orders = shops.orders_a_week * relative**shops.order_growth_with_size * np.exp(0.3 * chance.normal("orders"))
    margin = chance.between("margin", money.margin)
    profit = sales * visible * margin
    fixed_share = chance.between("fixed", money.fixed_share)
    fixed = profit * fixed_share
    profit = profit - fixed
    is_indebted = chance.uniform("indebted") < money.indebted_shops
    low, high = world.demand.resting_days
    is_brushing, ring = _brushing(chance, world, numbers, sales * visible * 4.33)
    return Traits(
        number=numbers,
        category=_one_of(chance.uniform("category"), CATEGORY_SHARE),
        region=_one_of(chance.uniform("region"), REGION_SHARE),
        registered_day=registered,
        opened_day=opened,
        sales=sales,
        visible=visible,
        order_value=np.maximum(sales * visible / orders, 20.0),
        persistence=chance.between("persistence", world.demand.persistence),
        spread=chance.between("spread", world.demand.spread),
        trend=world.demand.trend_spread * chance.normal("trend") + 0.03 * quality,
        weekend=np.exp(world.demand.weekend_spread * chance.normal("weekend")),
        rests=low * (high / low) ** chance.uniform("rests") if low > 0 else chance.between("rests", (low, high)),
        quality=quality,
        margin=margin,
        fixed=fixed,
        living=profit * chance.between("living", money.withdrawn_share),
        buffer_weeks=chance.between("buffer", money.buffer_weeks),
        debt_service=np.where(is_indebted, profit * chance.between("debt", money.debt_service_share), 0.0),
        is_debt_visible=chance.uniform("debt visible") < money.debt_visible,
        prudence=chance.uniform("prudence"),
        is_willing=chance.uniform("willing") < lending.willing_shops,
        propensity=0.6 * chance.normal("propensity"),
        lift=chance.between("lift", lending.sales_lift),
        closing_hazard=chance.between("closing", shops.closing_a_year) / 52.0,
        brushed_share=np.where(is_brushing, chance.between("brushed", shops.brushed_orders), 0.0),
        ring=ring,
        owner=_owners(chance, world, numbers),
    )
