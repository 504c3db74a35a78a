"""What is not a sum: one entry a state, from which formulas, checks and documentation take it."""

from dataclasses import dataclass
from typing import Literal

MadeOf = Literal["additive", "pair", "item", "day series", "loan", "profile", "graph"]
"""additive: sums of day tiles; pair: what a seller and a buyer have done; item: what a seller sold of an item; day
series: a seller's days in order; loan: the loan book; profile: versions of the seller's profile; graph: the connected
group."""


@dataclass(frozen=True)
class State:
    """One column beside the window sums, a value a (seller_id, as_of), that formulas may name.

    `needs` are kinds of record, as of a measure: without a source that tells them all the state is unknown.
    `none` is, as SQL, its value for a seller without a row where the kinds are told; None where it is unknown then.
    """

    name: str
    made_of: MadeOf
    type: str
    meaning: str
    needs: tuple[str, ...] = ()
    none: str | None = None
