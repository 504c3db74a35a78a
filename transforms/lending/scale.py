"""The score scale: from a probability of default to points, and from a probability to a grade.

The scale is fixed: 660 points are 30 goods to one bad, and 40 points more double those odds, so that 3 % is 664, 1 % is
729 and 10 % is 591. A recalibrated model changes the probability that a seller gets, never the meaning of a score.

Log-odds here are those of going **bad**, ``ln(PD / (1 - PD))``, as the calibrated model gives them; a higher score is a
lower risk. Every function takes a column and gives a column, except the two ``plain_`` ones, which a page uses for one
number that has already been read.
"""

import math
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

POINTS_TO_DOUBLE = 40
"""Points by which the odds of good to bad double."""

ANCHOR_SCORE = 660
"""The score at the anchor odds."""

ANCHOR_ODDS = 30
"""Goods to one bad at the anchor score."""

LOWEST = 350
"""The lowest score shown; what lies below is clipped."""

HIGHEST = 950
"""The highest score shown; what lies above is clipped."""

POINTS_PER_LOG_ODDS = POINTS_TO_DOUBLE / math.log(2)
"""Points for one unit of log-odds: 57.7. One feature's points are ``-POINTS_PER_LOG_ODDS`` times its share of the
calibrated log-odds of bad."""

JUST_QUALIFY, AVERAGE = "just qualify", "average"
"""Whose score the points of a score start from: sellers just above the cut-off, or all of them."""

SMALLEST_PD = 1e-15
"""A logistic rounds to exactly 0 or 1 beyond 36 in log-odds, and neither has a logarithm; such a probability is read as
this one (or 1 less it), far outside the clipped scale either way."""


def score_of_log_odds(log_odds: Column) -> Column:
    """Score before clipping, in points, of the log-odds of bad; null for null and for NaN."""
    score = F.lit(ANCHOR_SCORE - POINTS_PER_LOG_ODDS * math.log(ANCHOR_ODDS)) - F.lit(POINTS_PER_LOG_ODDS) * log_odds
    return F.when(~F.isnan(log_odds), score)


def plain_score_of_log_odds(log_odds: float) -> float:
    """The same of a plain number."""
    return ANCHOR_SCORE - POINTS_PER_LOG_ODDS * (math.log(ANCHOR_ODDS) + log_odds)


def score_before_clipping(pd: Column) -> Column:
    """Score before clipping, in points, of a probability of default; null where it is null, NaN or outside 0 to 1."""
    inside = F.greatest(F.lit(SMALLEST_PD), F.least(F.lit(1 - SMALLEST_PD), pd))
    return F.when(is_probability(pd), score_of_log_odds(F.ln(inside) - F.ln(1 - inside)))


def clipped(score: Column) -> Column:
    """The score as shown: between 350 and 950; null stays null (``least`` alone would skip it)."""
    return F.when(
        score.isNotNull() & ~F.isnan(score), F.greatest(F.lit(float(LOWEST)), F.least(F.lit(float(HIGHEST)), score))
    )


def score_of(pd: Column) -> Column:
    """The score as shown, in points, 350 to 950, of a probability of default; null where that is no probability."""
    return clipped(score_before_clipping(pd))


def grade_of(pd: Column, edges: Sequence[float]) -> Column:
    """Grade of a probability of default: 1 is the best, ``len(edges) + 1`` the worst.

    ``edges`` are the policy's, rising, as shares (0.01 is 1 %). A grade holds from its lower edge on and ends before
    its upper one, so 1 % exactly is in the grade that begins at 1 %. Null where ``pd`` is null, NaN or outside 0 to 1.
    """
    reached = F.lit(1)
    for edge in edges:
        reached = reached + (pd >= F.lit(float(edge))).cast("int")
    return F.when(is_probability(pd), reached).cast("int")


def is_probability(pd: Column) -> Column:
    """Whether a column holds a probability; false, never null, for null and NaN (which Spark sorts above all)."""
    return F.coalesce((pd >= F.lit(0.0)) & (pd <= F.lit(1.0)), F.lit(False))


def plain_score_before_clipping(pd: float) -> float:
    """``score_before_clipping`` for one number."""
    if not 0 <= pd <= 1:
        raise ValueError(f"pd: want a probability, have {pd}")
    inside = max(SMALLEST_PD, min(1 - SMALLEST_PD, pd))
    return ANCHOR_SCORE - POINTS_PER_LOG_ODDS * (math.log(ANCHOR_ODDS) + math.log(inside) - math.log1p(-inside))


def plain_pd(score: float) -> float:
    """The probability of default that a score (before clipping) means."""
    return 1 / (1 + ANCHOR_ODDS * 2 ** ((score - ANCHOR_SCORE) / POINTS_TO_DOUBLE))
