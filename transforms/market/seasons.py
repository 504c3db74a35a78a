"""What all shops share: the calendar of sales, the common factor, shocks of a category, the regime break."""

from datetime import timedelta

import numpy as np

from conf.world import DAYS_A_WEEK, World
from transforms.market.chance import Chance, Floats

# share of shops, swing over the year, month of the crest, what 11.11 and 6.18 add, share of sales refunded
CATEGORIES: dict[str, tuple[float, float, float, float, float, float]] = {
    "clothing": (0.24, 0.15, 11.0, 1.6, 0.7, 0.085),
    "beauty": (0.13, 0.08, 11.0, 1.9, 0.9, 0.035),
    "electronics": (0.12, 0.06, 11.0, 1.2, 1.0, 0.045),
    "home": (0.15, 0.08, 10.0, 1.0, 0.6, 0.040),
    "food": (0.14, 0.12, 1.0, 0.6, 0.3, 0.015),
    "toys": (0.08, 0.12, 6.0, 0.9, 0.5, 0.035),
    "sport": (0.08, 0.15, 6.0, 0.9, 0.7, 0.050),
    "books": (0.06, 0.10, 9.0, 0.7, 0.5, 0.015),
}
CATEGORY_NAMES = tuple(CATEGORIES)
_TABLE = np.array(list(CATEGORIES.values()))
CATEGORY_SHARE, REFUND_RATE = _TABLE[:, 0], _TABLE[:, 5]


def day_factors(world: World) -> Floats:
    """Sales of a category on each day over its ordinary day: an array (categories, 7 * weeks)."""
    dates = [world.first_day + timedelta(days=number) for number in range(world.weeks * DAYS_A_WEEK)]
    month = np.array([day.month + (day.day - 1) / 31.0 for day in dates])
    swing, crest, singles, mid_year = (_TABLE[:, number][:, None] for number in (1, 2, 3, 4))
    factors = np.exp(swing * np.cos(2.0 * np.pi * (month[None, :] - crest) / 12.0))
    for number, day in enumerate(dates):
        # presales begin ten days before 11.11 and on the first of June; the day itself is three times its run-up
        if day.month == 11 and day.day <= 11:
            factors[:, number] *= 1.0 + singles[:, 0] * (3.0 if day.day == 11 else 0.6)
        if day.month == 6 and day.day <= 18:
            factors[:, number] *= 1.0 + mid_year[:, 0] * (2.0 if day.day == 18 else 0.4)
        # carriers rest around the lunar new year
        if (day.month, day.day) >= (1, 28) and (day.month, day.day) <= (2, 12):
            factors[:, number] *= 0.65
        factors[:, number] *= world.demand.weekdays[day.weekday()]
    return factors


def _persistent(chance: Chance, purpose: str, weeks: int, rows: int) -> Floats:
    """Slow standard-normal paths, one a row: half of a shock is left after 23 weeks."""
    persistence = 0.97
    path = np.zeros((rows, weeks))
    level = chance.normal(purpose, -1 % 2**31)
    for week in range(weeks):
        path[:, week] = level
        level = persistence * level + np.sqrt(1 - persistence**2) * chance.normal(purpose, week)
    return path


def common_demand(world: World, index: int) -> Floats:
    """Log demand that shops of a category share in the world of this number, by week: an array (categories, weeks)."""
    kinds = np.arange(len(CATEGORIES), dtype=np.int64)
    category = _persistent(
        Chance(world.seed, _last_number(index) - 1 - kinds), "category", world.weeks, len(CATEGORIES)
    )
    demand = world.demand
    return (
        demand.common_spread * _common_factor(world, index)
        + demand.category_spread * category
        - demand.break_demand * in_break(world, index)[None, :]
    )


def margin_squeeze(world: World, index: int) -> Floats:
    """What goods cost more in each week, as a share of sales: when the common factor is low, and in the break."""
    demand = world.demand
    return demand.break_margin * in_break(world, index) - demand.common_margin * _common_factor(world, index)[0]


def _last_number(index: int) -> int:
    """Sellers have the numbers above 0, the worlds' own chance those below."""
    return -1 - index * (len(CATEGORIES) + 1)


def _common_factor(world: World, index: int) -> Floats:
    return _persistent(Chance(world.seed, np.array([_last_number(index)])), "common", world.weeks, 1)


def in_break(world: World, index: int) -> Floats:
    """1 in the weeks of the regime break of the world of this number, else 0."""
    demand, day = world.demand, np.arange(world.weeks) * DAYS_A_WEEK
    chance = Chance(world.seed, np.array([_last_number(index)]))
    first = demand.break_day + demand.break_day_spread * chance.between("break", (-1.0, 1.0))[0]
    return ((day >= first) & (day < first + demand.break_days)).astype(np.float64)
