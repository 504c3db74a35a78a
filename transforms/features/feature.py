"""What a feature is: one entry, from which its column, its documentation and its place in a reason come."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from transforms.tables.measures import MEASURES

Risk = Literal["rises", "falls"] | None

EVER = 36_500
"""Days of the window `ever`: a hundred years, longer than any ledger."""

HELD_WINDOWS = (7, *range(30, 361, 30), 365, 455, 730, EVER)
"""Days of the windows that a measure may be summed over: those of features, whole 30-day blocks up to twelve, and what
the same quarter of the year before (455) and the year before (730) are differences of."""

_WINDOW_SUM = re.compile(r"\b([a-z_]+)_(\d+d|ever)\b")


@dataclass(frozen=True)
class Feature:
    """One column of gold.seller_features.

    `formula` is SQL over window sums (`paid_fen_90d` is the measure `paid_fen` over the 90 days before the as-of
    day, `repaid_fen_ever` over all of them), over the states of `transforms/features/states/` and over other features,
    each by its name.
    `risk` is how risk is expected to move when the feature rises. Null is unknown, 0 is none.
    """

    name: str
    family: str
    formula: str
    unit: str
    meaning: str
    unknown_when: str
    risk: Risk = None
    type: Literal["bigint", "int", "double"] = "double"
    model_input: bool = True

    @cached_property
    def window_sums(self) -> frozenset[tuple[str, int]]:
        """The (measure, days) that the formula names."""
        return window_sums_in(self.formula)


def window_sums_in(formula: str) -> frozenset[tuple[str, int]]:
    """The (measure, days) of every window sum that a formula names."""
    found = _WINDOW_SUM.findall(formula)
    return frozenset((name, window_days(window)) for name, window in found if name in MEASURES)


def window_days(window: str) -> int:
    return EVER if window == "ever" else int(window.removesuffix("d"))


def window_name(days: int) -> str:
    """How a window is written in names: `90d`, `ever`."""
    return "ever" if days == EVER else f"{days}d"


def column_of(measure: str, days: int) -> str:
    """Name of the column that holds a measure's sum over a window."""
    return f"{measure}_{window_name(days)}"


_COUNTED = {"order_event": "paid_orders", "payment_event": "payments"}
"""The measure that counts the records of an event: where it has none from before a period, the source may have been
connected since, and what the period lacks is unknown."""

_EVENT_WORDS = {"order_event": "orders", "payment_event": "payments", "loan_event": "loans"}


def untold(measure: str) -> str:
    """When a measure is unknown, in a reader's words."""
    return f"no source tells of {_EVENT_WORDS[MEASURES[measure].needs[0].split('.')[0]]}"


def sums(
    name: str, measure: str, windows: Iterable[int], *, family: str, unit: str, meaning: str, risk: Risk
) -> list[Feature]:
    """A feature a window: the measure's sum itself."""
    return [
        Feature(
            f"{name}_{window_name(days)}",
            family,
            column_of(measure, days),
            unit,
            f"{meaning}, {window_words(days)}",
            untold(measure),
            risk,
            "bigint",
        )
        for days in windows
    ]


def told_before(measure: str, days: int) -> str:
    """Whether an order (of money: a payment) is known from before a window: then nothing of it is missing."""
    counted = _COUNTED[MEASURES[measure].event]
    return f"{column_of(counted, EVER)} > {column_of(counted, days)}"


def untold_before(measure: str, days: int) -> str:
    """When it is not, in a reader's words."""
    return f"no {_EVENT_WORDS[MEASURES[measure].event].removesuffix('s')} known from before the last {days} days"


def growth(measure: str, days: int) -> str:
    """The formula of a sum's growth against the window before; null without a full window before."""
    now, both = column_of(measure, days), column_of(measure, 2 * days)
    whole = told_before(measure, 2 * days)
    return f"case when {whole} then try_divide(cast({now} as double), {both} - {now}) - 1 end"


def ratio(over: str, under: str) -> str:
    """The formula of one over the other; null where that is 0 or less: over a loss more would look like less."""
    return f"try_divide(cast({over} as double), greatest({under}, 0))"


def change(over: str, under: str, days: int) -> str:
    """The formula of a ratio's change against the window before; null where either window has none of it."""
    now = f"try_divide(cast({column_of(over, days)} as double), {column_of(under, days)})"
    before = (
        f"try_divide(cast({column_of(over, 2 * days)} - {column_of(over, days)} as double),"
        f" {column_of(under, 2 * days)} - {column_of(under, days)})"
    )
    return f"{now} - {before}"


def ratios(
    name: str,
    over: str,
    under: str,
    windows: Iterable[int],
    *,
    family: str,
    unit: str,
    meaning: str,
    unknown_when: str,
    risk: Risk,
) -> list[Feature]:
    """A feature a window: one measure's sum over another's; null where that is 0 or less."""
    return [
        Feature(
            f"{name}_{window_name(days)}",
            family,
            ratio(column_of(over, days), column_of(under, days)),
            unit,
            f"{meaning}, {window_words(days)}",
            unknown_when,
            risk,
        )
        for days in windows
    ]


def window_words(days: int) -> str:
    return "ever" if days == EVER else f"last {days} days"
