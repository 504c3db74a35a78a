"""Sellers to decide: one good seller, changed piece by piece."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from conf.policy import Policy, load_policy
from transforms.lending.decide import FIGURE_TYPES, SCORED_COLUMNS, decide

FAMILIES = {
    "sales": "scale",
    "growth": "scale",
    "refunds": "refunds",
    "rating": "service",
    "late": "service",
    "age": "shop",
    "buyers": "buyers",
    "days": "volatility",
}

GOOD = {
    "seller_id": "s1",
    "as_of": date(2025, 3, 1),
    "pd": 0.008,
    "score": 740.0,
    "points": {"sales": 12.0, "refunds": -3.0},
    "model_version": 1,
    "previous_grade": None,
    "previous_model_version": None,
    "earlier_grade_by_model": None,
    "earlier_model_version": None,
    "earlier_as_of": None,
    "history_days": 500,
    "complete_blocks": 12,
    "closed": False,
    "days_past_due": 0,
    "written_off_loans": 0,
    "clean_net_sales_sum_365d": 100_000_000,
    "second_smallest_sales_block": 4_000_000,
    "free_cash_median_block": 5_000_000,
    "largest_principal_repaid": 0,
    "outstanding_principal": 0,
}
SCHEMA = ", ".join(f"{name} {types[0]}" for name, types in {**SCORED_COLUMNS, **FIGURE_TYPES}.items())

Seller = Callable[..., dict[str, Any]]
Sellers = Callable[..., DataFrame]
Decided = Callable[..., list[Row]]


@pytest.fixture(scope="session")
def seller() -> Seller:
    """A row of a seller who gets an offer, with the given columns changed."""

    def changed(**changes: Any) -> dict[str, Any]:
        unknown = set(changes) - set(GOOD)
        assert not unknown, unknown
        return {**GOOD, **changes}

    return changed


@pytest.fixture(scope="session")
def sellers(spark: SparkSession) -> Sellers:
    """Rows of sellers as a frame of one partition."""

    def frame(*rows: dict[str, Any]) -> DataFrame:
        return spark.createDataFrame(list(rows), SCHEMA).coalesce(1)

    return frame


@pytest.fixture(scope="session")
def standard() -> Policy:
    return load_policy("standard")


@pytest.fixture(scope="session")
def decided(sellers: Sellers, standard: Policy) -> Decided:
    """Decisions of the rows given, in their order."""

    def rows(*given: dict[str, Any], policy: Policy = standard, run_id: str = "run-1") -> list[Row]:
        return decide(sellers(*given), policy, FAMILIES, run_id).collect()

    return rows
