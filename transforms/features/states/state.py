"""What is not a sum: one entry a state, from which formulas, checks and documentation take it."""

from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column
from pyspark.sql import functions as F

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


def sum_of_squares(fen: str) -> Column:
    """The squares of amounts in fen, summed exactly: they pass what a bigint holds."""
    exact = F.col(fen).cast("decimal(19,0)")
    return F.sum((exact * exact).cast("decimal(38,0)")).cast("decimal(38,0)")
