"""A seller's record to write pages of: an offer, which tests change piece by piece."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from conf.policy import load_policy
from jobs.pages.record import CreditRecord, Figure, LimitTerm, MonthOfSales, Offer, PastScore, Reason, Score
from transforms.lending.scale import JUST_QUALIFY


@dataclass(frozen=True)
class Feature:
    name: str
    family: str
    meaning: str
    unit: str
    risk: str | None
    unknown_when: str


CATALOGUE = (
    Feature(
        "average_order_value_90d", "scale and trend", "what a paid order was worth", "fen an order", None, "no order"
    ),
    Feature("clean_net_sales_sum_365d", "scale and trend", "a year's clean sales", "fen", "falls", "no sales told"),
    Feature("refund_rate_90d", "refunds", "refunds over paid orders, last 90 days", "share", "rises", "no order"),
    Feature(
        "repeat_buyer_rate_180d", "buyers", "share of buyers with two or more orders", "share", "falls", "no buyer"
    ),
    Feature("shop_age_days", "shop", "days since the shop opened", "days", "falls", "opening day unknown"),
    Feature("rating_average_90d", "fulfilment and service", "mean rating", "stars", "falls", "no rating in the window"),
    Feature("verified", "shop", "whether the owner's identity was verified", "1 or 0", "falls", "not told"),
)
VALUES = (12850.0, 123_456_700, 0.0834, 0.412, 1204, None, 1)
POINTS = (-7.4, 31.6, -12.3, 9.2, 4.4, -0.5, 1.5)

BASE = 702.5
TOTAL = BASE + sum(POINTS)


def offered() -> CreditRecord:
    figures = tuple(Figure(*parts) for parts in zip(CATALOGUE, VALUES, POINTS, strict=True))
    return CreditRecord(
        seller_id="shop-0042",
        as_of=date(2025, 3, 1),
        outcome="offer",
        refused_by=None,
        score=Score(0.0096, TOTAL, TOTAL, BASE, JUST_QUALIFY, 4, 4, None, figures),
        reasons=(Reason("score", "refunds", "refund_rate_90d", -12.3),),
        unknown=(),
        terms=(
            LimitTerm("share_of_sales", 11_111_103),
            LimitTerm("smallest_blocks", 9_000_050),
            LimitTerm("affordable", 7_654_321),
            LimitTerm("track_record", 5_000_000),
            LimitTerm("thin_file", None),
            LimitTerm("ceiling", 100_000_000),
        ),
        offer=Offer(5_000_000, 3_800_000, "track_record", 0.000517, 0.188705, 0.207685, 90, date(2025, 3, 31)),
        break_even_daily_rate=0.000476,
        facts={
            "history_days": 800,
            "largest_principal_repaid": 0,
            "outstanding_principal": 1_200_000,
            "days_past_due": 0,
        },
        months=tuple(MonthOfSales(date(2024, month, 1), 9_000_000 + 731_000 * month) for month in range(1, 13)),
        history=(
            PastScore(date(2025, 1, 1), 718.2, 5, "3"),
            PastScore(date(2025, 2, 1), 722.8, 5, "3"),
            PastScore(date(2025, 3, 1), TOTAL, 4, "4"),
        ),
        policy=load_policy("standard"),
        lineage={"decision": "0f" * 16, "decisions run": "run-7", "scores run": "run-6", "model": "seller-credit 4"},
        is_simulated=False,
        contact="credit@example.com",
        horizon_days=90,
    )


@pytest.fixture
def record() -> Callable[..., CreditRecord]:
    """The record of an offer with the given fields changed."""

    def changed(**changes: Any) -> CreditRecord:
        return replace(offered(), **changes)

    return changed


@pytest.fixture
def refused() -> Callable[..., CreditRecord]:
    """The record of a refusal: by what, for which reasons, further fields changed."""

    def changed(outcome: str, refused_by: str, *codes: str, **changes: Any) -> CreditRecord:
        fields = {
            "outcome": outcome,
            "refused_by": refused_by,
            "offer": None,
            "reasons": tuple(Reason(code, None, None, None) for code in codes),
        }
        return replace(offered(), **{**fields, **changes})

    return changed


@pytest.fixture
def clipped_record() -> CreditRecord:
    """A record whose points add up to 987.6, above the end of the scale at 950."""
    whole = offered()
    assert whole.score is not None
    figures = (replace(whole.score.figures[0], points=987.6 - TOTAL - 7.4), *whole.score.figures[1:])
    score = replace(
        whole.score, pd=0.0001, figures=figures, before_clipping=987.6, shown=950.0, grade=1, grade_by_model=1
    )
    return replace(whole, score=score)
