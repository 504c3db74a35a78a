"""Whether predicted and observed agree, group by group: by grade, cohort and segment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from scipy.stats import beta

from ml.evaluate import Counts, auc

TRAINING_COHORT = "training cohort"
"""Attribute of the cohorts that a version was fitted on; `cohort` is that of those it was judged on."""


@dataclass(frozen=True)
class Agreement:
    """One value of one attribute: rows, bads, what was expected of them, and how well they are ranked."""

    attribute: str
    value: str
    rows: int
    bads: int
    bad_groups: int
    mean_pd: float
    p: float
    """Of the Jeffreys test, two-sided; takes rows as independent, so that it is rather too strict."""
    p_after_holm: float
    """The same corrected for the number of values of the attribute."""
    auc: float
    """NaN where all rows are good, or all bad."""
    approved: float
    """Share of rows that the cut-off of the policy lets through."""

    @property
    def observed(self) -> float:
        return self.bads / self.rows


@dataclass(frozen=True)
class Approved:
    """One value of one attribute among all sellers, also those whom nobody lent to."""

    attribute: str
    value: str
    as_of: date
    rows: int
    approved: float
    """Share of rows that the cut-off of the policy lets through."""


def agreements(by_value: Mapping[tuple[object, ...], Counts], cut_off: float) -> list[Agreement]:
    """One row a (attribute, value), in their order; `cut_off` is the log-odds of bad up to which an offer is made."""
    found = []
    attributes = sorted({str(key[0]) for key in by_value})
    for attribute in attributes:
        values = sorted(
            ((str(key[1]), counts) for key, counts in by_value.items() if key[0] == attribute),
            key=lambda item: (len(item[0]) if item[0].isdigit() else 0, item[0]),
        )
        tests = [jeffreys(counts.bads, counts.rows, counts.mean_pd) for _, counts in values]
        for (value, counts), p, corrected in zip(values, tests, holm(tests), strict=True):
            ranked = auc(counts.good.sum(axis=0), counts.bad.sum(axis=0), counts.log_odds)
            found.append(
                Agreement(
                    attribute,
                    value,
                    counts.rows,
                    counts.bads,
                    counts.bad_groups,
                    counts.mean_pd,
                    p,
                    corrected,
                    ranked,
                    counts.share_up_to(cut_off),
                )
            )
    return found


def jeffreys(bads: int, rows: int, pd: float) -> float:
    """Two-sided p-value of a PD against the posterior of the bad rate under Jeffreys' prior, Beta(1/2, 1/2).

    [ECB, instructions for reporting the validation results of internal models: there one-sided]
    """
    below = float(beta.cdf(pd, bads + 0.5, rows - bads + 0.5))
    return min(1.0, 2 * min(below, 1 - below))


def holm(tests: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given."""
    order = sorted(range(len(tests)), key=lambda place: tests[place])
    corrected, largest = [0.0] * len(tests), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(tests) - rank) * tests[place]))
        corrected[place] = largest
    return corrected


def approval_rates(found: Sequence[Agreement | Approved], attribute: str, least_rows: int) -> list[float]:
    """Of an attribute's values with enough rows."""
    return [value.approved for value in found if value.attribute == attribute and value.rows >= least_rows]


def impact_ratio(rates: Sequence[float]) -> float | None:
    """Lowest approval rate over the highest; None where there are fewer than two, or nobody is approved."""
    if len(rates) < 2 or max(rates) == 0:
        return None
    return min(rates) / max(rates)
