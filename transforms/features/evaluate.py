"""Window sums and states -> features, by the formulas of the catalogue."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import reduce
from itertools import pairwise

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from transforms.features.catalogue import CATALOGUE, STATES, SUM_STATES, formulas
from transforms.features.feature import Feature, column_of, told_before, window_sums_in
from transforms.features.formulas import names_in
from transforms.features.states.state import State
from transforms.tables.measures import MEASURES

BLOCK_DAYS = 30
BLOCKS = 12
BLOCK_MEASURES = {"sales_blocks": "net_sales_fen", "free_cash_blocks": "free_cash_fen"}
"""Arrays of the complete 30-day blocks before the as-of day, newest first: differences of window sums. A block of sales
is complete where an order is known from before it, one of cash where a payment is."""

_BLOCK_ENDS = range(BLOCK_DAYS, BLOCK_DAYS * BLOCKS + 1, BLOCK_DAYS)

KindsTold = Mapping[str, date | None]
"""The kinds of record that the lake's sources can bring, each with the day on which its first load arrived; None where
each record of that told its own. Up to that day what needs them is unknown, whatever event days they brought."""

_KEY = ["seller_id", "as_of"]


def wanted_sums(features: Sequence[Feature] = CATALOGUE) -> list[tuple[str, int]]:
    """The (measure, days) that the engine must give for these features, in a fixed order."""
    texts = [formulas()[feature.name] for feature in features]
    wanted = set().union(*map(window_sums_in, texts))
    for blocks, measure in BLOCK_MEASURES.items():
        if any(blocks in names_in(formula) for formula in texts):
            for days in _BLOCK_ENDS:
                wanted |= {(measure, days)} | window_sums_in(told_before(measure, days))
    return sorted(wanted)


def wanted_states(features: Sequence[Feature] = CATALOGUE) -> list[State]:
    """The states that formulas of these features name, in the order of STATES; what sums make is not among them."""
    named = set().union(*(names_in(formulas()[feature.name]) for feature in features))
    return [state for state in STATES.values() if state.name in named and state not in SUM_STATES]


def inputs(
    sums: DataFrame,
    states: Sequence[DataFrame],
    kinds_told: KindsTold,
    features: Sequence[Feature] = CATALOGUE,
) -> DataFrame:
    """What formulas of the features name: one row a (seller_id, as_of) of `sums`.

    `sums` come from any way of the engine; `states` have every wanted state, at most a row a (seller_id, as_of).
    A measure or state that needs a kind of record of which no source had told by then is unknown, and so is every
    feature made of it.
    """
    joined = reduce(lambda left, right: left.join(right, _KEY, "left"), states, sums)
    history = F.coalesce(F.date_diff("as_of", "first_day"), F.lit(0))
    told = joined.select(
        *_KEY,
        history.cast("int").alias("history_days"),
        F.least(F.floor(history / BLOCK_DAYS), F.lit(BLOCKS)).cast("int").alias("complete_blocks"),
        *(_told(measure, days, kinds_told) for measure, days in wanted_sums(features)),
        *(_state(state, kinds_told) for state in wanted_states(features)),
    )
    blocks = {
        name: _blocks(measure)
        for name, measure in BLOCK_MEASURES.items()
        if column_of(measure, BLOCK_DAYS * BLOCKS) in told.columns
    }
    return told.withColumns(blocks) if blocks else told


def evaluate(rows: DataFrame, features: Sequence[Feature] = CATALOGUE) -> DataFrame:
    """Evaluate the features of rows that `inputs` gave."""
    return rows.select(*_KEY, *(value_of(feature).alias(feature.name) for feature in features))


def value_of(feature: Feature) -> Column:
    """A feature's value in a row that `inputs` gave."""
    return F.expr(formulas()[feature.name]).cast(feature.type)


def _told(measure: str, days: int, kinds_told: KindsTold) -> Column:
    name = column_of(measure, days)
    return _if_told(F.col(name), "bigint", MEASURES[measure].needs, kinds_told).alias(name)


def _state(state: State, kinds_told: KindsTold) -> Column:
    value = F.col(state.name)
    if state.none is not None:
        value = F.coalesce(value, F.expr(state.none).cast(state.type))
    return _if_told(value.cast(state.type), state.type, state.needs, kinds_told).alias(state.name)


def _if_told(value: Column, kind: str, needs: Collection[str], kinds_told: KindsTold) -> Column:
    if not set(needs) <= kinds_told.keys():
        return F.lit(None).cast(kind)
    days = [day for need in needs if (day := kinds_told[need]) is not None]
    return F.when(F.col("as_of") > F.lit(max(days)), value) if days else value


def _blocks(measure: str) -> Column:
    """Sums of the complete blocks, newest first; null where the measure is unknown."""
    sums = [F.col(column_of(measure, days)) for days in _BLOCK_ENDS]
    every = F.array(sums[0], *(longer - shorter for shorter, longer in pairwise(sums)))
    complete = reduce(Column.__add__, (F.expr(told_before(measure, days)).cast("int") for days in _BLOCK_ENDS))
    return F.when(sums[0].isNotNull(), F.slice(every, F.lit(1), complete))
