"""A credit policy as data: who is refused, how much, at what price, for how long (the model of policies/*.yml).

Money is whole yuan in the file, since a person sets it, and fen in the code; shares and rates are fractions of one
(0.06 is 6 %). A policy is never edited in place once a decision has used it: write the next version instead. Every
decision keeps the policy's name, version and digest.
"""

import hashlib
import json
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from conf.errors import UserError
from conf.files import Strict, parse_yaml, read_yaml, validate

FEN_A_YUAN = 100

Rule = Literal[
    "shop_closed",
    "past_due",
    "written_off",
    "share_of_sales",
    "smallest_blocks",
    "affordable",
    "track_record",
    "own_outstanding",
    "group_commitments",
    "pot_budget",
    "random_approval",
    "order_loan",
    "early_warning",
    "brushing_check",
]
"""What a policy may declare not applicable. All else (history, grade, price, ceiling) always applies."""

NOT_BUILT: tuple[Rule, ...] = (
    "group_commitments",
    "pot_budget",
    "random_approval",
    "order_loan",
    "early_warning",
    "brushing_check",
)
"""Rules that this version cannot apply yet. A policy must say so by name: silence would read as if they held."""


def _exact(value: Any) -> Any:
    """A YAML number as the decimal that was written: 0.12, not 0.11999999999999999556."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Decimal(str(value)) if is_number else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=1, decimal_places=6)]
Times = Annotated[Decimal, BeforeValidator(_exact), Field(gt=0, le=100, decimal_places=6)]
Rate = Annotated[float, Field(ge=0, le=1)]
Yuan = Annotated[int, Field(ge=0, le=10**12)]


class Part(Strict):
    """A part of a policy: no number written as text, no NaN."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class History(Part):
    """How much history a seller must have before a score means something."""

    least_days: int = Field(ge=0, description="days of history below which nothing is offered")
    least_blocks: int = Field(ge=1, le=12, description="complete 30-day blocks below which nothing is offered")
    full_blocks: int = Field(ge=1, le=12, description="complete 30-day blocks from which a file is not thin")
    thin_file_yuan: Yuan = Field(description="cap on the limit of a thin file, yuan")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least_blocks > self.full_blocks:
            raise ValueError(f"least_blocks ({self.least_blocks}) is above full_blocks ({self.full_blocks})")
        return self


class KnockOuts(Part):
    """What declines a seller whatever the score."""

    most_days_past_due: int = Field(ge=0, description="days past due above which nothing is offered")
    most_written_off_loans: int = Field(ge=0, description="written-off loans above which nothing is offered")


class Grades(Part):
    """Grades by probability of default, and when a better one takes effect."""

    edges: Annotated[tuple[Rate, ...], BeforeValidator(_as_tuple)] = Field(
        min_length=1, description="rising edges between the grades, as probabilities"
    )
    days_between_agreeing_snapshots: int = Field(ge=1, description="days between two snapshots that agree on better")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        inside = (0.0, *self.edges, 1.0)
        if any(low >= high for low, high in pairwise(inside)):
            raise ValueError("edges: must rise, each above 0 and below 1")
        return self


class Limit(Part):
    """How much: the smallest of the terms, floored to whole steps."""

    share_of_sales_by_grade: Annotated[tuple[Share, ...], BeforeValidator(_as_tuple)] = Field(
        description="share of clean net sales of 365 days, best grade first"
    )
    times_second_smallest_block: Times = Field(description="times the second-smallest complete 30-day block of sales")
    share_of_free_cash: Share = Field(description="share of stressed free cash that an instalment may take")
    free_cash_stress: Share = Field(description="what is left of the median block's free cash under stress")
    first_cap_yuan: Yuan = Field(description="cap before any loan has been repaid, yuan")
    times_largest_repaid: Times = Field(description="times the largest principal repaid that raises the first cap")
    ceiling_yuan: Yuan = Field(description="most that anyone gets, yuan")
    step_yuan: int = Field(ge=1, description="limits are whole multiples of this, yuan")

    @model_validator(mode="after")
    def _falling(self) -> Self:
        shares = self.share_of_sales_by_grade
        if any(better < worse for better, worse in pairwise(shares)):
            raise ValueError("share_of_sales_by_grade: a worse grade must not get a larger share")
        return self


class Price(Part):
    """At what daily rate: break-even, plus a margin, within a floor and a cap."""

    horizon_days: int = Field(ge=1, le=365, description="days that the probability of default is about")
    days_drawn_in_a_year: int = Field(ge=1, le=365, description="days in a year on which a yuan of limit is drawn")
    credit_conversion: Rate = Field(description="share of the undrawn limit that is drawn by the time of default")
    cost_of_funds: Rate = Field(description="yearly cost of a yuan lent")
    operating_cost: Rate = Field(description="yearly cost of running a yuan of limit")
    loss_given_default: Rate = Field(description="share of the exposure at default that is lost")
    margin: Rate = Field(description="daily rate above break-even")
    lowest_daily_rate: Rate = Field(description="no offer is cheaper")
    highest_daily_rate: Rate = Field(description="no offer is dearer; a break-even above it is no offer")
    decimals: int = Field(ge=4, le=9, description="decimals of a quoted daily rate; it is rounded up")
    legal_yearly_rate: Annotated[float, Field(gt=0, le=10)] = Field(description="highest lawful yearly rate")
    legal_yearly_rate_is: Literal["simple", "compounded"] = Field(description="how that rate is reckoned from a day's")

    @property
    def drawn(self) -> float:
        """Share of the limit that is drawn on an average day (``u`` in credit.md's formula)."""
        return self.days_drawn_in_a_year / 365

    @property
    def exposure(self) -> float:
        """Exposure at default of a yuan of limit."""
        return self.drawn + self.credit_conversion * (1 - self.drawn)

    @property
    def days_drawn(self) -> float:
        """Days in the horizon on which a yuan of limit is drawn."""
        return self.horizon_days * self.drawn

    @property
    def fixed_cost(self) -> float:
        """What a yuan of limit costs over the horizon before any loss: funds while drawn, running it always."""
        return self.cost_of_funds * self.days_drawn / 365 + self.operating_cost * self.horizon_days / 365

    def yearly(self, daily_rate: float) -> float:
        """Yearly rate as the law reckons it."""
        return daily_rate * 365 if self.legal_yearly_rate_is == "simple" else (1 + daily_rate) ** 365 - 1

    @model_validator(mode="after")
    def _possible(self) -> Self:
        problems = []
        if self.lowest_daily_rate > self.highest_daily_rate:
            problems.append(
                f"lowest_daily_rate ({self.lowest_daily_rate}) is above highest_daily_rate ({self.highest_daily_rate})"
            )
        for name in ("lowest_daily_rate", "highest_daily_rate"):
            rate = getattr(self, name)
            if rate != round(rate, self.decimals):
                problems.append(f"{name}: {rate} has more than {self.decimals} decimals")
        yearly = self.yearly(self.highest_daily_rate)
        if yearly > self.legal_yearly_rate:
            problems.append(
                f"highest_daily_rate: {self.highest_daily_rate} a day is {yearly:.1%} a year "
                f"{self.legal_yearly_rate_is}, above legal_yearly_rate ({self.legal_yearly_rate:.1%})"
            )
        if self.fixed_cost / self.days_drawn > self.highest_daily_rate:
            problems.append(
                f"highest_daily_rate: {self.highest_daily_rate} does not cover the costs of a seller who never "
                f"defaults ({self.fixed_cost / self.days_drawn:.6f} a day)"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Offer(Part):
    """For how long."""

    term_days: int = Field(ge=1, le=365, description="days until a draw must be repaid in full")
    instalment_days: int = Field(ge=1, le=365, description="days between equal instalments of principal")
    valid_days: int = Field(ge=1, le=365, description="days for which the offer can be taken up")

    @property
    def instalments(self) -> int:
        return self.term_days // self.instalment_days

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.term_days % self.instalment_days:
            raise ValueError(f"term_days ({self.term_days}) is no multiple of instalment_days ({self.instalment_days})")
        return self


class Reasons(Part):
    """How many reasons a seller is given."""

    most: int = Field(ge=1, description="families shown at most")
    least_points: Annotated[float, Field(ge=0)] = Field(description="points below which a family is no reason")


class Policy(Part):
    """A credit policy: everything that turns a score into an offer or a refusal."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    version: int = Field(ge=1)
    summary: str = Field(min_length=1, description="what the policy is for, in a sentence")
    not_applicable: dict[Rule, Annotated[str, Field(min_length=1)]] = Field(
        description="rules that are left out, each with the reason why"
    )
    history: History
    knock_outs: KnockOuts
    grades: Grades
    limit: Limit
    price: Price
    offer: Offer
    reasons: Reasons

    @model_validator(mode="after")
    def _whole(self) -> Self:
        problems = [
            f"not_applicable: {rule} is not built yet, so the policy must list it with a reason"
            for rule in NOT_BUILT
            if rule not in self.not_applicable
        ]
        if not self.applies("share_of_sales") and not self.applies("smallest_blocks"):
            problems.append("not_applicable: a limit must rest on sales: share_of_sales or smallest_blocks must apply")
        grades = len(self.grades.edges) + 1
        if len(self.limit.share_of_sales_by_grade) != grades:
            problems.append(
                f"limit.share_of_sales_by_grade: want {grades} shares, one a grade, "
                f"have {len(self.limit.share_of_sales_by_grade)}"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def applies(self, rule: Rule) -> bool:
        """Whether a rule holds under this policy."""
        if rule not in get_args(Rule):
            raise KeyError(rule)
        return rule not in self.not_applicable

    def to_json(self) -> str:
        """All that it says, as `from_json` reads it: shares as numbers, of at most six decimals."""
        return json.dumps(self.model_dump(), default=float)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """A policy that was kept as JSON; what has become a rule since is as its default says."""
        return cls.model_validate_json(text)

    def digest(self) -> str:
        """Sha-256 of what the policy says, comments, order of keys and the noughts that end a number apart: the same of
        one that was kept as JSON.
        """
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True, default=float).encode()).hexdigest()


def policy_names() -> list[str]:
    """Names of the policies that come with the package."""
    return sorted(entry.name[:-4] for entry in (files("conf") / "policies").iterdir() if entry.name.endswith(".yml"))


def load_policy(name_or_path: str) -> Policy:
    """Read a policy by name (``standard``) or from a YAML file (``./mine.yml``).

    Raises UserError that lists every wrong or missing key, each with the place where it stands.
    """
    if name_or_path.endswith((".yml", ".yaml")):
        data, places = read_yaml(Path(name_or_path))
        return validate(Policy, data, places, name_or_path)
    if name_or_path not in policy_names():
        known = ", ".join(policy_names())
        raise UserError(f"policy {name_or_path}: there is none; known: {known}, or a path to a .yml file")
    place = f"conf/policies/{name_or_path}.yml"
    data, places = parse_yaml((files("conf") / "policies" / f"{name_or_path}.yml").read_text("utf-8"), place)
    return validate(Policy, data, places, place)
