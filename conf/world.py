"""A simulated marketplace as data: how its sellers live, borrow and fail, and what is wrong with its files.

Money is whole yuan in the file and fen in the code; shares, rates and probabilities are fractions of one. Ranges are
judgement, not estimates: a world shows what follows from them, never what a real market is like.
"""

import hashlib
import json
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from conf.errors import UserError
from conf.files import Strict, parse_yaml, read_yaml, validate

DAYS_A_WEEK = 7
FAMILY = 20
"""Shops that follow one another and may have owners in common; always simulated together."""


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Range = Annotated[tuple[float, float], BeforeValidator(_as_tuple)]


class Part(Strict):
    """A part of a world: no number written as text, no NaN."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, value in self:
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"{name}: the lower end {value[0]} is above the upper end {value[1]}")
        return self


class Shops(Part):
    """Size, orders and life of the shops."""

    median_weekly_sales_yuan: Positive = Field(
        description="sales of the median shop a week, on the platform and off it"
    )
    size_spread: Positive = Field(description="standard deviation of log sales over shops")
    largest_times_median: Positive = Field(description="no shop is larger than so many medians")
    orders_a_week: Positive = Field(description="orders that the median shop shows a week: one stands for several")
    order_growth_with_size: Share = Field(
        description="exponent: orders rise with size to this power, their value fills the rest"
    )
    open_at_start: Share = Field(description="share of shops that are open when the ledger begins")
    visible_share: Range = Field(description="share of a shop's sales that the platform sees")
    closing_a_year: Range = Field(description="hazard of closing for other reasons than distress, a year")
    brushing_shops: Share = Field(description="share of shops that buy from themselves")
    brushed_orders: Range = Field(description="of those shops: share of orders that are bought by themselves")
    brushed_at_edge: Positive = Field(
        description="how many times likelier it is just below the sales from which the early rule approves"
    )
    ringed: Share = Field(description="share of them that do so in rings, for one another, with the same buyers")
    siblings: Share = Field(description="share of shops that belong to the owner of the shop before them")
    contagion_a_week: Share = Field(
        description="hazard of closing, a week, for half a year after a shop of the same owner closed or went bad"
    )


class Demand(Part):
    """What moves sales from week to week."""

    persistence: Range = Field(description="of log demand from a week to the next")
    spread: Range = Field(description="standard deviation of log demand of a shop")
    weekdays: Annotated[tuple[Positive, ...], BeforeValidator(_as_tuple), Field(min_length=7, max_length=7)] = Field(
        description="sales of a Monday to a Sunday over the mean day"
    )
    weekend_spread: float = Field(ge=0, description="standard deviation over shops of log sales of Saturday and Sunday")
    day_spread: float = Field(ge=0, description="standard deviation of log sales of a day around its week")
    day_persistence: Share = Field(description="of that from a day to the next")
    resting_days: Range = Field(description="share of days on which a shop rests; evenly in logs over shops")
    resting_spells_a_year: float = Field(ge=0, description="hazard that a shop rests for weeks, a year")
    resting_spell_weeks: Range
    trend_spread: Positive = Field(description="standard deviation over shops of yearly growth, in logs")
    common_spread: float = Field(ge=0, description="standard deviation of the factor common to all shops, in logs")
    common_margin: float = Field(
        ge=0, description="margin that all shops lose when that factor is low by one, of sales"
    )
    category_spread: float = Field(ge=0, description="the same for each category")
    declines_a_year: float = Field(ge=0, description="hazard that a shop begins to lose its customers, a year")
    decline_a_week: Range = Field(description="log sales lost a week while it lasts")
    decline_weeks: Range
    break_day: int = Field(ge=0, description="day of the regime break, counted from the first day")
    break_day_spread: int = Field(ge=0, description="days by which it begins earlier or later, evenly over worlds")
    break_days: int = Field(ge=0, description="days that it lasts")
    break_demand: float = Field(description="log sales lost in it")
    break_margin: float = Field(description="margin lost in it, as a share of sales")


class Money(Part):
    """Costs, owners and debts."""

    margin: Range = Field(description="left of a yuan of sales after goods, fees, advertising and ordinary refunds")
    fixed_share: Range = Field(description="wages and rent, as a share of normal margin")
    withdrawn_share: Range = Field(description="what the owner lives on, as a share of normal profit")
    buffer_weeks: Range = Field(description="cash that a shop tries to hold, in weeks of sales")
    indebted_shops: Share = Field(description="share of shops that owe other lenders from the start")
    debt_service_share: Range = Field(description="of those shops: weekly service over normal profit")
    debt_visible: Share = Field(description="share of indebted shops whose service is paid from the account we see")
    losses_a_year: float = Field(ge=0, description="hazard of a loss that no ledger shows, a year")
    loss_weeks: Range = Field(description="such a loss, in weeks of sales")
    rescue_a_week: Share = Field(description="chance a week that family pays for a shop 30 to 89 days past due")


class Lending(Part):
    """Two eras: a crude rule of size with some random approvals; then a rule of visible risk, and random approvals
    whose recorded probability falls with risk.
    """

    first_day: int = Field(ge=0, description="day on which lending begins, counted from the first day")
    better_rule_day: int = Field(ge=0, description="day from which a rule of risk takes the place of that of size")
    cut_off: float = Field(description="visible risk, in log-odds, up to which the better rule approves")
    random_at_cut_off: Positive = Field(le=1, description="chance of approval just above the cut-off")
    random_at_worst: Positive = Field(
        le=1, description="chance of approval of the worst; between, it falls evenly in logs"
    )
    random_reach: Positive = Field(description="log-odds above the cut-off at which the worst begin")
    least_monthly_sales_yuan: Positive = Field(description="monthly platform sales from which the rule approves")
    random_approval: Share = Field(description="chance of approval below that")
    limit_share: Positive = Field(description="limit as a share of monthly platform sales")
    random_limit_share: Positive = Field(description="the same for those approved at random")
    largest_yuan: Positive
    smallest_yuan: Positive
    willing_shops: Share = Field(description="share of shops that ever borrow here")
    draw_level: float = Field(description="log-odds of a draw a week, of a willing shop with its usual cash")
    draw_need: float = Field(description="what full need adds to the log-odds")
    daily_rate: Range
    sales_lift: Range = Field(description="log sales that a loan adds to a cash-short shop at first")
    strategic: Share = Field(description="share of draws by owners who could pay and will not")
    fraud: Share = Field(description="share of draws that were never meant to be repaid")
    early_repayment_a_week: Share = Field(description="chance a week that a shop with ample cash repays early")
    write_off_days: Range = Field(description="days past due at which a loan is written off")


class Faults(Part):
    """What is wrong with the delivered files, as shares of the records."""

    late: Share = Field(description="delivered 1 to 14 days after the event")
    duplicated: Share = Field(description="delivered a second time, the same day or up to 5 days later")
    broken: Share = Field(description="cannot be read: no plain amount, unknown kind, no shop, a time to come")
    corrected: Share = Field(description="taken back later by a correction, half of them with an amended record")
    conflicting: Share = Field(description="delivered again under the same id with another amount")
    clock: Share = Field(description="said to have happened one to three days after the delivery that tells of it")
    drifted_files: Share = Field(
        description="of files of orders and payments: a column renamed, one more, or one of another type"
    )
    truncated_files: Share = Field(description="of files of orders and payments: cut off in the middle")

    @model_validator(mode="after")
    def _one_fault_a_record(self) -> Self:
        if self.duplicated + self.broken + self.corrected + self.conflicting + self.clock > 1:
            raise ValueError("duplicated + broken + corrected + conflicting + clock: more than all records")
        if self.drifted_files + self.truncated_files > 1:
            raise ValueError("drifted_files + truncated_files: more than all files")
        return self


class World(Part):
    """Everything that one simulated marketplace follows from."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    sellers: int = Field(ge=1, le=99_999_999, description="shops of one world")
    worlds: int = Field(default=1, ge=1, le=100_000, description="worlds in one run, each with its own common shocks")
    first_world: int = Field(default=0, ge=0, le=100_000, description="number of the run's first world")
    lends: bool = Field(default=True, description="false: the same world without a loan, the counterfactual")
    first_day: Annotated[date, BeforeValidator(lambda v: date.fromisoformat(v) if isinstance(v, str) else v)]
    days: int = Field(ge=7, le=7_300)
    seed: int = Field(ge=0, lt=2**63)
    shops: Shops
    demand: Demand
    money: Money
    lending: Lending
    faults: Faults

    @property
    def families(self) -> range:
        """Numbers of the families (shops that may have one owner) of the worlds of this run."""
        a_world = -(-self.sellers // FAMILY)
        return range(self.first_world * a_world, (self.first_world + self.worlds) * a_world)

    @property
    def weeks(self) -> int:
        """Simulated weeks; the last may reach past the last day, and what falls there is not delivered."""
        return -(-self.days // DAYS_A_WEEK)

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=self.days - 1)

    def digest(self) -> str:
        """Sha-256 of what the world says, comments and order of keys apart."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def world_names() -> list[str]:
    """Names of the worlds that come with the package."""
    return sorted(entry.name[:-4] for entry in (files("conf") / "worlds").iterdir() if entry.name.endswith(".yml"))


def load_world(
    name_or_file: str, sellers: int | None = None, days: int | None = None, seed: int | None = None, **others: Any
) -> World:
    """Read a world by name (``demo``) or from a YAML file (``./mine.yml``); what is given here wins over the file's.

    Raises UserError that lists every wrong or missing key, each with the place where it stands.
    """
    if name_or_file.endswith((".yml", ".yaml")):
        name = name_or_file
        data, places = read_yaml(Path(name))
    elif name_or_file in world_names():
        name = f"conf/worlds/{name_or_file}.yml"
        data, places = parse_yaml((files("conf") / "worlds" / f"{name_or_file}.yml").read_text("utf-8"), name)
    else:
        raise UserError(
            f"world {name_or_file}: there is none; known: {', '.join(world_names())}, or a path to a .yml file"
        )
    for key, value in {"sellers": sellers, "days": days, "seed": seed, **others}.items():
        if value is not None:
            data[key] = value
            places[(key,)] = f"--{key.replace('_', '-')}"
    return validate(World, data, places, name)
