"""Which way each feature moves the score, beside the way that the catalogue expects."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.binning import number_of
from ml.pipeline import LOG_ODDS
from transforms.lending.scale import POINTS_PER_LOG_ODDS

LEAST_POINTS = 5.0
"""Below it a move of the score is none that a reason would show."""


@dataclass(frozen=True)
class Direction:
    """What a feature's move from its 10 % to its 90 % point does to the score of the rows, all else as it is."""

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


def directions(rows: DataFrame, model: PipelineModel, expected: Mapping[str, str | None]) -> list[Direction]:
    """Sweep every feature named in `expected` over some hundred rows; largest move first."""
    names = list(expected)
    ends = rows.agg(*(F.percentile(number_of(name), [0.1, 0.9]).alias(name) for name in names)).collect()[0]
    swept = [name for name in names if ends[name] and ends[name][0] < ends[name][1]]
    if not swept:
        return []
    steps = [(place, end, ends[name][end]) for place, name in enumerate(swept) for end in (0, 1)]
    step = F.explode(
        F.array(
            *(
                F.struct(F.lit(place).alias("place"), F.lit(end).alias("end"), F.lit(float(value)).alias("value"))
                for place, end, value in steps
            )
        )
    )
    moved = rows.select(*(F.col(f"`{name}`").cast("double").alias(name) for name in names), step.alias("step")).select(
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
    found = [
        Direction(
            name,
            expected[name],
            float(ends[name][0]),
            float(ends[name][1]),
            -POINTS_PER_LOG_ODDS * (means[place, 1] - means[place, 0]) + 0.0,
        )
        for place, name in enumerate(swept)
    ]
    return sorted(found, key=lambda direction: (-abs(direction.points), direction.feature))
