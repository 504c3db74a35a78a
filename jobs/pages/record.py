"""The seller's credit record: what it holds, and how it is written for a person or a machine.

A ``CreditRecord`` is plain data that the job ``record`` has already read. It is written for the **seller**: what the
score is, how it came about in points that add up, what is offered at what cost or why not, and how to object.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Protocol

from conf.policy import Policy
from transforms.lending.decide import NOT_ENOUGH_HISTORY, OFFER, OUTCOMES
from transforms.lending.limit import TERMS
from transforms.lending.scale import HIGHEST, LOWEST

ADDS_UP_WITHIN = 0.01
"""Points by which a score may miss the sum of its parts; 64 doubles near 700 err by less than 1e-10."""


class Described(Protocol):
    """What a page needs of a catalogue's feature."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def risk(self) -> str | None: ...
    @property
    def unknown_when(self) -> str: ...


@dataclass(frozen=True)
class Figure:
    """One figure of the seller that the score is made of. ``value`` is in the feature's unit; None is unknown."""

    feature: Described
    value: float | int | None
    points: float


@dataclass(frozen=True)
class Score:
    """A score and its parts. ``base_points`` and the points of all figures add up to ``before_clipping``."""

    pd: float
    shown: float
    before_clipping: float
    base_points: float
    reference: str | None
    """Whose score ``base_points`` is, as gold.scores has it; None where its version did not tell."""
    grade: int
    grade_by_model: int
    previous_grade: int | None
    figures: tuple[Figure, ...]

    @property
    def is_clipped(self) -> bool:
        return not LOWEST <= self.before_clipping <= HIGHEST


@dataclass(frozen=True)
class Reason:
    """Why, as the decision row keeps it: ``code`` is ``score`` or the rule that decided."""

    code: str
    family: str | None
    feature: str | None
    points: float | None


@dataclass(frozen=True)
class LimitTerm:
    """One term of the limit, fen; None where it does not apply or is unknown."""

    name: str
    fen: int | None


@dataclass(frozen=True)
class Offer:
    """What is offered. Money in fen, rates as fractions of one."""

    limit_fen: int
    drawable_fen: int
    bound_by: str
    daily_rate: float
    yearly_rate_simple: float
    yearly_rate_compounded: float
    term_days: int
    expires_on: date


@dataclass(frozen=True)
class MonthOfSales:
    """What buyers paid in one month, fen; None where it is unknown. ``month`` is its first day."""

    month: date
    fen: int | None


@dataclass(frozen=True)
class PastScore:
    """A score as it was published."""

    as_of: date
    score: float
    grade: int
    model_version: str


@dataclass(frozen=True)
class CreditRecord:
    """Everything that the page says, read and frozen.

    ``facts`` are the figures that the policy's rules rest on, by column name (``history_days``, ``days_past_due``, …).
    ``lineage`` names the runs and versions that the record was made of, in the order in which they are shown.
    Raises ValueError that lists everything that does not fit together.
    """

    seller_id: str
    as_of: date
    outcome: str
    refused_by: str | None
    score: Score | None
    reasons: tuple[Reason, ...]
    unknown: tuple[str, ...]
    """Applicable rules whose figure is not known, also where another rule refused before them."""
    terms: tuple[LimitTerm, ...]
    offer: Offer | None
    break_even_daily_rate: float | None
    facts: Mapping[str, float | int | bool | None]
    months: tuple[MonthOfSales, ...]
    history: tuple[PastScore, ...]
    policy: Policy
    lineage: Mapping[str, str]
    is_simulated: bool
    contact: str
    horizon_days: int | None
    """Days of draws that the probability is about; None where it is of outcomes that a source gave."""

    def __post_init__(self) -> None:
        problems = []
        if self.outcome not in OUTCOMES:
            problems.append(f"outcome: {self.outcome!r} is none of {', '.join(OUTCOMES)}")
        if (self.outcome == OFFER) != (self.offer is not None):
            problems.append("offer: there is one exactly when the outcome is an offer")
        if self.outcome == NOT_ENOUGH_HISTORY and self.score is not None:
            problems.append("score: without enough history there is none to show")
        if self.outcome == OFFER and self.score is None:
            problems.append("score: is missing")
        if self.outcome != OFFER and not self.reasons:
            problems.append("reasons: a refusal has at least one")
        if self.score is not None:
            total = self.score.base_points + sum(figure.points for figure in self.score.figures)
            if not abs(total - self.score.before_clipping) <= ADDS_UP_WITHIN:
                problems.append(f"score: base and points make {total}, before clipping is {self.score.before_clipping}")
            clipped = min(HIGHEST, max(LOWEST, self.score.before_clipping))
            if not abs(clipped - self.score.shown) <= ADDS_UP_WITHIN:
                problems.append(f"score: shown is {self.score.shown}, the clipped sum is {clipped}")
        if problems:
            raise ValueError(f"credit record of {self.seller_id!r}: {'; '.join(problems)}")


def credit_record(
    decision: Mapping[str, Any],
    score: Mapping[str, Any] | None,
    features: Mapping[str, Any],
    catalogue: Iterable[Described],
    policy: Policy,
    months: Sequence[MonthOfSales],
    history: Sequence[PastScore],
    lineage: Mapping[str, str],
    is_simulated: bool,
    contact: str,
    horizon_days: int | None,
) -> CreditRecord:
    """Put a record together from table rows read as mappings.

    ``decision`` is a row with ``transforms.lending.decide.DECISION_COLUMNS``; ``score`` the gold.scores row that it
    rests on (``score_before_clipping``, ``base_points``, ``reference``, ``points``), or None; ``features`` the
    gold.seller_features row with ``complete_blocks``. Without enough history the score is left out, and whatever it
    could be worked out from: a number would be read as if it meant something.
    """
    by_name = {feature.name: feature for feature in catalogue}
    shown = None
    if score is not None and decision["outcome"] != NOT_ENOUGH_HISTORY and decision["grade"] is not None:
        unknown = sorted(set(score["points"]) - set(by_name))
        if unknown:
            raise ValueError(f"points: not in the catalogue: {', '.join(unknown)}")
        shown = Score(
            pd=decision["pd"],
            shown=decision["score"],
            before_clipping=score["score_before_clipping"],
            base_points=score["base_points"],
            reference=score["reference"],
            grade=decision["grade"],
            grade_by_model=decision["grade_by_model"],
            previous_grade=decision["previous_grade"],
            figures=tuple(
                Figure(by_name[name], _known(features.get(name)), points)
                for name, points in sorted(score["points"].items())
            ),
        )
    offer = None
    if decision["outcome"] == OFFER:
        offer = Offer(**{name: decision[name] for name in Offer.__dataclass_fields__})
    return CreditRecord(
        seller_id=decision["seller_id"],
        as_of=decision["as_of"],
        outcome=decision["outcome"],
        refused_by=decision["refused_by"],
        score=shown,
        reasons=tuple(
            Reason(**{name: reason[name] for name in Reason.__dataclass_fields__}) for reason in decision["reasons"]
        ),
        unknown=tuple(decision["unknown"]),
        # over a year's sales, the share of them by grade tells the grade
        terms=tuple(
            LimitTerm(term.name, None if shown is None and term.name == "share_of_sales" else decision[term.column])
            for term in TERMS
        ),
        offer=offer,
        break_even_daily_rate=None if shown is None else decision["break_even_daily_rate"],
        facts={name: _known(value) for name, value in features.items() if isinstance(value, bool | int | float)},
        months=tuple(months),
        history=tuple(history),
        policy=policy,
        lineage=dict(lineage),
        is_simulated=is_simulated,
        contact=contact,
        horizon_days=horizon_days,
    )


def to_json(record: CreditRecord) -> str:
    """The record for a machine: money in fen, rates as fractions of one, days as ISO dates, keys sorted."""
    score = record.score
    content = {
        "seller_id": record.seller_id,
        "as_of": record.as_of,
        "is_simulated": record.is_simulated,
        "outcome": record.outcome,
        "refused_by": record.refused_by,
        "score": None
        if score is None
        else {
            "pd": score.pd,
            "shown": score.shown,
            "before_clipping": score.before_clipping,
            "base_points": score.base_points,
            "reference": score.reference,
            "lowest": LOWEST,
            "highest": HIGHEST,
            "grade": score.grade,
            "grade_by_model": score.grade_by_model,
            "previous_grade": score.previous_grade,
            "grade_edges_pd": list(record.policy.grades.edges),
            "figures": [
                {
                    "feature": figure.feature.name,
                    "family": figure.feature.family,
                    "meaning": figure.feature.meaning,
                    "unit": figure.feature.unit,
                    "value": figure.value,
                    "points": figure.points,
                }
                for figure in score.figures
            ],
        },
        "reasons": [asdict(reason) for reason in record.reasons],
        "unknown": list(record.unknown),
        "limit_terms_fen": {term.name: term.fen for term in record.terms},
        "offer": None if record.offer is None else asdict(record.offer),
        "break_even_daily_rate": record.break_even_daily_rate,
        "months": [asdict(month) for month in record.months],
        "history": [asdict(past) for past in record.history],
        "policy": {
            "name": record.policy.name,
            "version": record.policy.version,
            "digest": record.policy.digest(),
            "not_applicable": dict(record.policy.not_applicable),
        },
        "lineage": dict(record.lineage),
    }
    return json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False, default=_iso)


def _known(value: Any) -> Any:
    # a NaN says no more than a null, and JSON has none
    return None if isinstance(value, float) and math.isnan(value) else value


def _iso(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")
