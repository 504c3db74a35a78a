"""How well each feature ranks the outcome alone: one that does too well knows it."""

from collections.abc import Sequence

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.binning import counted, cuts_of
from ml.evaluate import auc
from ml.pipeline import LABEL

MOST_AUC = 0.9
LEAST_ROWS = 5
"""Bads, and goods, with a value known: below it any ranking may be chance."""
_BINS = 50


def single_feature_aucs(rows: DataFrame, features: Sequence[str]) -> list[tuple[str, float]]:
    """AUC of each feature over decided rows, in whichever direction is better, and of being unknown; highest first."""
    cuts = cuts_of(rows, features, _BINS, rows.count())
    found = []
    for name, tables in counted(rows, cuts, F.col(LABEL).cast("int")).items():
        none = np.zeros(len(cuts[name]) + 2)
        good, bad = tables.get(0, none), tables.get(1, none)
        if min(good.sum(), bad.sum()) < LEAST_ROWS:
            continue
        is_unknown = [np.array([many[:-1].sum(), many[-1]]) for many in (good, bad)]
        unknown = auc(is_unknown[0], is_unknown[1], np.arange(2.0))
        aucs = [unknown]
        if min(good[:-1].sum(), bad[:-1].sum()) >= LEAST_ROWS:
            aucs.append(auc(good[:-1], bad[:-1], np.arange(len(good) - 1.0)))
        found.append((name, max(max(value, 1 - value) for value in aucs)))
    return sorted(found, key=lambda item: (-item[1], item[0]))
