"""Which way each feature moves the score, beside the way that the catalogue expects."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ml.binning import number_of
from ml.pipeline import LOG_ODDS
from transforms.lending.scale import POINTS_PER_LOG_ODDS

LEAST_POINTS = 5.0
"""Below it a move of the score is none that a reason would show."""


@dataclass(frozen=True)
class Direction:
    """What a feature's move from its 10 % to its 90 % point does to the score of some rows, all else as it is.

    Where nearly all rows have one value: from it to the median of the others, or the other way round.
    """

    feature: str
    expected: str | None
    """How risk moves when it rises, by the catalogue: rises, falls; None where the catalogue has no opinion."""
    low: float
    high: float
    points: float
    """Mean change of the score; below 0 the risk rises."""

    @property
    def is_reversed(self) -> bool:
        if self.expected is None or abs(self.points) < LEAST_POINTS:
            return False
        return (self.points < 0) != (self.expected == "rises")


def directions(
    rows: DataFrame,
    some: DataFrame,
    model: PipelineModel,
    expected: Mapping[str, str | None],
    used: Container[str] | None = None,
) -> list[Direction]:
    """Sweep every feature named in `expected` over `some` hundred of the rows; largest move first.

    One that is the same in all rows where it is known cannot be swept, and is left out. Where the features that the
    model has `used` are told, the others are not swept: they move nothing.
    """
    names = list(expected)
    ends = _ends(rows, some, names)
    swept = [name for name in names if name in ends and (used is None or name in used)]
    return sorted(
        (
            Direction(name, expected[name], ends[name][0], ends[name][1], points)
            for name, points in (dict.fromkeys(ends, 0.0) | _swept(some, model, names, swept, ends)).items()
        ),
        key=lambda direction: (-abs(direction.points), direction.feature),
    )


def _swept(
    some: DataFrame,
    model: PipelineModel,
    names: Sequence[str],
    swept: Sequence[str],
    ends: Mapping[str, Sequence[float]],
) -> dict[str, float]:
    """Mean change of the score by feature, from one of its ends to the other."""
    if not swept:
        return {}
    steps = [(place, end, ends[name][end]) for place, name in enumerate(swept) for end in (0, 1)]
    step = F.explode(
        F.array(
            *(
                F.struct(F.lit(place).alias("place"), F.lit(end).alias("end"), F.lit(value).alias("value"))
                for place, end, value in steps
            )
        )
    )
    moved = some.select(*(F.col(f"`{name}`").cast("double").alias(name) for name in names), step.alias("step")).select(
        *(name for name in names if name not in swept),
        *(
            F.when(F.col("step.place") == place, F.col("step.value")).otherwise(F.col(f"`{name}`")).alias(name)
            for place, name in enumerate(swept)
        ),
        F.col("step.place").alias("place"),
        F.col("step.end").alias("end"),
    )
    means = {
        (row["place"], row["end"]): row["mean"]
        for row in model.transform(moved).groupBy("place", "end").agg(F.avg(LOG_ODDS).alias("mean")).collect()
    }
    return {name: -POINTS_PER_LOG_ODDS * (means[place, 1] - means[place, 0]) + 0.0 for place, name in enumerate(swept)}


def _ends(rows: DataFrame, some: DataFrame, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """From where to where each feature is swept; none for one that is the same in all rows."""
    known = {name: number_of(name) for name in names}
    ends = _points(some, known, 0.1, 0.9)
    same = [name for name in names if name not in ends or ends[name][0] == ends[name][1]]
    if same:
        ends |= _points(rows, {name: known[name] for name in same}, 0.1, 0.9)
    rare = {name: ends.pop(name)[0] for name in same if name in ends and ends[name][0] == ends[name][1]}
    if rare:
        others = _points(rows, {name: F.nullif(known[name], F.lit(value)) for name, value in rare.items()}, 0.5)
        ends |= {name: (min(rare[name], other), max(rare[name], other)) for name, (other,) in others.items()}
    return ends


def _points(rows: DataFrame, columns: Mapping[str, Column], *shares: float) -> dict[str, tuple[float, ...]]:
    """Values of rows at these shares of each column; none for one that is unknown in all of them.

    None between two values: a tenth of the way from 0 to 1 lies on the same side of a threshold as 0.
    """
    wanted = f"percentile_disc(array({', '.join(map(str, shares))})) within group (order by `{{}}`)"
    numbers = rows.select(*(column.alias(name) for name, column in columns.items()))
    found = numbers.agg(*(F.expr(wanted.format(name)).alias(name) for name in columns)).collect()[0]
    return {name: tuple(found[name]) for name in columns if found[name] is not None}
