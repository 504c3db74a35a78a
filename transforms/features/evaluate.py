"""Window sums and states -> features, by the formulas of the catalogue."""

from collections.abc import Collection, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.features.catalogue import CATALOGUE
from transforms.features.feature import Feature, column_of
from transforms.features.states import LOAN_STATES, PROFILE_STATES
from transforms.tables.measures import MEASURES

BLOCK_DAYS = 30
BLOCKS = 12
BLOCK_MEASURES = {"sales_blocks": "net_sales_fen", "free_cash_blocks": "free_cash_fen"}
"""Arrays of the complete 30-day blocks before the as-of day, newest first: differences of window sums."""

_TELLS_OF_LOANS = "loan_event.drawn"


def wanted_sums(features: Sequence[Feature] = CATALOGUE) -> list[tuple[str, int]]:
    """The (measure, days) that the engine must give for these features, in a fixed order."""
    wanted = set().union(*(feature.window_sums for feature in features))
    for blocks, measure in BLOCK_MEASURES.items():
        if any(blocks in feature.formula for feature in features):
            wanted |= {(measure, BLOCK_DAYS * number) for number in range(1, BLOCKS + 1)}
    return sorted(wanted)


def evaluate(sums: DataFrame, loans: DataFrame, profiles: DataFrame, kinds_told: Collection[str]) -> DataFrame:
    """Evaluate every feature: one row a (seller_id, as_of) of `sums`.

    `sums` come from the sweep or the rebuild, `loans` and `profiles` from `transforms/features/states.py`.
    `kinds_told` are the kinds of record that the lake's sources can bring: a measure that needs others is unknown,
    and so is every feature made of it.
    """
    joined = sums.join(loans, ["seller_id", "as_of"], "left").join(profiles, ["seller_id", "as_of"], "left")
    history = F.coalesce(F.date_diff("as_of", "first_day"), F.lit(0))
    states = joined.select(
        "seller_id",
        "as_of",
        history.cast("int").alias("history_days"),
        F.least(F.floor(history / BLOCK_DAYS), F.lit(BLOCKS)).cast("int").alias("complete_blocks"),
        *(_told(measure, days, kinds_told) for measure, days in wanted_sums()),
        *(_loan_state(name, kind, kinds_told) for name, kind in LOAN_STATES.items()),
        *(F.coalesce(name, F.lit(0)).alias(name) if name == "closed" else F.col(name) for name in PROFILE_STATES),
    )
    with_blocks = states.withColumns({name: _blocks(measure) for name, measure in BLOCK_MEASURES.items()})
    return with_blocks.select("seller_id", "as_of", *(F.expr(f.formula).cast(f.type).alias(f.name) for f in CATALOGUE))


def _told(measure: str, days: int, kinds_told: Collection[str]) -> Column:
    name = column_of(measure, days)
    if set(MEASURES[measure].needs) <= set(kinds_told):
        return F.col(name)
    return F.lit(None).cast("bigint").alias(name)


def _loan_state(name: str, kind: str, kinds_told: Collection[str]) -> Column:
    if _TELLS_OF_LOANS in kinds_told:
        return F.coalesce(name, F.lit(0).cast(kind)).alias(name)
    return F.lit(None).cast(kind).alias(name)


def _blocks(measure: str) -> Column:
    """Sums of the complete blocks, newest first; null where the measure is unknown."""
    newest = [F.col(column_of(measure, BLOCK_DAYS))]
    older = [
        F.col(column_of(measure, BLOCK_DAYS * number)) - F.col(column_of(measure, BLOCK_DAYS * (number - 1)))
        for number in range(2, BLOCKS + 1)
    ]
    every = F.array(*newest, *older)
    return F.when(newest[0].isNotNull(), F.slice(every, F.lit(1), F.col("complete_blocks")))
