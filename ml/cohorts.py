"""What the sellers of a month share, a boom or a slump, is no seller's own: models are to tell who, and not when."""

from collections.abc import Mapping
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

FIT_WEIGHT = "fit_weight"

COMMON_BADS = 5.0
"""Each cohort's odds are drawn to those of all rows by so many bads: of few bads they may be chance. By a factor
correlation of 5 % log-odds of one month and another differ by about 0.5 [Vasicek 2002], and 1 / 0.5^2 is 4."""


def cohort_weights(rows: DataFrame) -> Mapping[date, float]:
    """What a good of each cohort (`as_of`) weighs so that its odds of `bad` are those of all rows; a bad weighs 1.

    As goods are matched to bads by date in a case-control study. Without it a feature that only grows older with the
    calendar (age of the shop, loans so far) learns that loans of the last cohorts fell due in a slump, and expects the
    slump of whoever comes later: see `bench/README.md`.
    """
    # a row a cohort: bookkeeping, not data
    counted = rows.groupBy("as_of").agg(
        F.count_if(F.col("bad") == 1).alias("bad"), F.count_if(F.col("bad") == 0).alias("good")
    )
    cohorts = sorted((row["as_of"], row["bad"], row["good"]) for row in counted.collect())
    bads, goods = sum(bad for _, bad, _ in cohorts), sum(good for _, _, good in cohorts)
    if not bads or not goods:
        return {}
    return {day: (bad + COMMON_BADS) / (good * bads / goods + COMMON_BADS) for day, bad, good in cohorts}


def fit_weight(weights: Mapping[date, float]) -> Column:
    """The weight of a row with `as_of` and `bad` in a fit."""
    known = [part for day, weight in weights.items() for part in (F.lit(day), F.lit(weight))]
    of_good = F.create_map(*known)[F.col("as_of")] if known else F.lit(1.0)
    return F.when(F.col("bad") == 0, of_good).otherwise(F.lit(1.0)).alias(FIT_WEIGHT)
