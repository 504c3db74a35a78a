"""How far score and features have shifted from one sample to another: the population stability index."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.stats import chi2

from ml.binning import counted, cuts_of

BINS = 10
ALARM = 0.10


@dataclass(frozen=True)
class Shift:
    """One feature (or the score's log-odds) in one sample, against the training rows."""

    feature: str
    sample: str
    psi: float
    alarm_above: float
    """max(0.10, critical value of PSI for these sample sizes): small samples differ by chance alone."""
    unknown_before: float
    unknown_now: float

    @property
    def is_alarm(self) -> bool:
        return self.psi > self.alarm_above


def shifts(rows: DataFrame, features: Sequence[str], base: str) -> list[Shift]:
    """PSI of each feature between the sample `base` and every other; `rows` has seller_id, as_of, sample, features.

    Ten bins of equal size in the base, and one of what is unknown. Largest first.
    """
    of_base = rows.filter(F.col("sample") == base)
    cuts = cuts_of(of_base, features, BINS, of_base.count())
    found = []
    for feature, tables in counted(rows, cuts, F.col("sample")).items():
        before = tables.get(base, np.zeros(len(cuts[feature]) + 2))
        for sample, now in tables.items():
            if sample != base:
                found.append(
                    Shift(
                        feature,
                        str(sample),
                        psi(before, now),
                        alarm_above(before, now),
                        float(before[-1] / before.sum()),
                        float(now[-1] / now.sum()),
                    )
                )
    return sorted(found, key=lambda shift: (-shift.psi, shift.feature, shift.sample))


def psi(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """Sum over bins of (p - q) ln(p / q), an empty bin counted as half a row."""
    p, q = ((counts + 0.5 * (counts == 0)) / max(counts.sum(), 0.5) for counts in (before, now))
    used = (before > 0) | (now > 0)
    return float(((p - q) * np.log(p / q))[used].sum())


def alarm_above(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """PSI that two samples of one population exceed in one of twenty cases, at least 0.10 [Yurdakul 2018]."""
    bins = int(((before > 0) | (now > 0)).sum())
    if bins < 2:
        return ALARM
    return max(ALARM, float(chi2.ppf(0.95, bins - 1)) * (1 / before.sum() + 1 / now.sum()))
