"""Sellers' weeks: demand, cash, stock, debts and loans, one step a week, all sellers of a batch at once.

Nothing here is written from the ledger's features backwards: a loan goes bad because the cash of its week is short
(or its owner will not pay), and the cash is short for causes that the ledger sees in part.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from conf.world import DAYS_A_WEEK, FAMILY, World
from transforms.market import seasons
from transforms.market.borrowing import CAUSES, KINDS, NEVER, Condition, Loans
from transforms.market.chance import Chance, Floats, Longs
from transforms.market.traits import Traits, members, place_in_world, traits_of

ROWS_AT_ONCE = 2_500_000
"""Seller-weeks and orders that a worker holds: about 280 MB, 2,000 sellers of the demo."""

MONEY = (
    "sale",
    "refund",
    "fee",
    "advertising",
    "loan_draw",
    "supplier",
    "wages",
    "other_lender",
    "borrowed",
    "transfer_in",
    "transfer_out",
    "loan_repayment",
    "withdrawal",
)
"""Flows of the seller's account, fen a week, all of them positive."""
INFLOWS = ("sale", "loan_draw", "borrowed", "transfer_in")
FAILED = ("failed_supplier", "failed_wages", "failed_other_lender", "failed_repayment")
"""Debits that were tried and did not take place, fen a week."""
LATENT = ("demand", "need", "distress", "refund_rate", "stock", "hidden_cash", "debt")
"""States that no ledger shows: log demand, need, smoothed need, share refunded; the last three in yuan."""

_ORDER = pa.struct([("day", pa.int32()), ("amount_fen", pa.int64()), ("brushed", pa.bool_())])
_LOAN_EVENT = pa.struct(
    [
        ("kind", pa.string()),
        ("serial", pa.int32()),
        ("day", pa.int32()),
        ("second", pa.int32()),
        ("amount_fen", pa.int64()),
        ("interest_fen", pa.int64()),
        ("due_day", pa.int32()),
        ("daily_rate", pa.float64()),
        ("term_days", pa.int32()),
        ("approval_probability", pa.float64()),
        ("cause", pa.string()),
    ]
)
_ARROW = pa.schema(
    [
        ("number", pa.int64()),
        ("week", pa.int32()),
        ("category", pa.int32()),
        ("region", pa.int32()),
        ("registered_day", pa.int32()),
        ("opened_day", pa.int32()),
        ("closed_day", pa.int32()),
        ("is_open", pa.bool_()),
        ("penalty_points", pa.int32()),
        ("payout_account", pa.int32()),
        ("profile_changed", pa.bool_()),
        ("quality", pa.float64()),
        ("account_day", pa.int32()),
        ("ring", pa.int64()),
        ("owner", pa.int64()),
        *((name, pa.float64()) for name in LATENT),
        ("cash_before", pa.int64()),
        *((name, pa.int64()) for name in MONEY),
        ("cash_after", pa.int64()),
        *((name, pa.int64()) for name in FAILED),
        ("orders", pa.list_(_ORDER)),
        ("loan_events", pa.list_(_LOAN_EVENT)),
    ]
)
WEEKS_SCHEMA = (
    "number bigint, week int, category int, region int, registered_day int, "
    "opened_day int, closed_day int, is_open boolean, penalty_points int, payout_account int, "
    "profile_changed boolean, quality double, account_day int, ring bigint, owner bigint, "
    + ", ".join(f"{name} double" for name in LATENT)
    + ", cash_before bigint, "
    + ", ".join(f"{name} bigint" for name in MONEY)
    + ", cash_after bigint, "
    + ", ".join(f"{name} bigint" for name in FAILED)
    + ", orders array<struct<day: int, amount_fen: bigint, brushed: boolean>>"
    ", loan_events array<struct<kind: string, serial: int, day: int, second: int, amount_fen: bigint,"
    " interest_fen: bigint, due_day: int, daily_rate: double, term_days: int, approval_probability: double,"
    " cause: string>>"
)


def seller_weeks(families: DataFrame, world: World) -> DataFrame:
    """Simulate the sellers of `families` (column id, of `World.families`): one row a seller and week in which the shop
    is open or a loan event happens. `closed_day` is that of the whole history, null where the shop never closes.
    """
    return families.select("id").mapInArrow(_simulation(world), WEEKS_SCHEMA)


def _simulation(world: World) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    rows_a_family = FAMILY * world.weeks * (5.0 + world.shops.orders_a_week)
    at_once = max(1, int(ROWS_AT_ONCE / rows_a_family))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            families = batch.column(0).to_numpy(zero_copy_only=False).astype(np.int64)
            for start in range(0, len(families), at_once):
                numbers = members(world, families[start : start + at_once])
                # small batches: what Spark reads next need not hold 400,000 rows with their orders at once
                yield from simulate_sellers(world, numbers).to_batches(max_chunksize=20_000)

    return run


def _fen(yuan: Floats) -> Longs:
    return np.rint(yuan * 100.0).astype(np.int64)


def simulate_sellers(world: World, numbers: Longs) -> pa.Table:
    """The weeks of some sellers (whole families), in order of week and of `numbers`."""
    traits = traits_of(world, numbers)
    weeks = Weeks(world, traits)
    rows = [weeks.run(week) for week in range(world.weeks)]
    return _table(rows, traits, weeks.closed_day)


class Weeks:
    """The state of some sellers, which goes from a week to the next."""

    def __init__(self, world: World, traits: Traits) -> None:
        self.world, self.traits = world, traits
        self.chance = Chance(world.seed, traits.number)
        self.loans = Loans(world, traits, self.chance)
        self.factors = seasons.day_factors(world)
        index, _ = place_in_world(world, traits.number)
        worlds, self.index = np.unique(index, return_inverse=True)
        self.squeeze = np.stack([seasons.margin_squeeze(world, int(each)) for each in worlds])
        self.common = np.stack([seasons.common_demand(world, int(each)) for each in worlds])
        number = len(traits)
        demand = world.demand
        self.state = traits.spread * self.chance.normal("demand at start")
        self.rests_until = np.zeros(number, dtype=np.int64)
        self.day_state = self.chance.normal("day at start")
        self.decline = np.zeros(number)
        self.decline_until = np.zeros(number, dtype=np.int64)
        self.decline_slope = np.zeros(number)
        self.decline_hazard = demand.declines_a_year / 52.0 * np.exp(-0.35 * traits.quality)
        self.lift = np.zeros(number)
        # what the shop turns over on the platform in an ordinary week, yuan
        self.usual = traits.sales * traits.visible
        self.cost = 1.0 - traits.margin - _FEE - _ADVERTISING - seasons.REFUND_RATE[traits.category]
        self.smoothed = self.usual.copy()
        self.stock = 3.0 * self.cost * self.usual
        self.cash = _fen(self.usual * traits.buffer_weeks * self.chance.between("cash at start", (0.5, 1.6)))
        self.hidden_cash = traits.living * self.chance.between("hidden at start", (0.0, 12.0))
        # an old debt runs for four years, so that who owes from the start still owes at the end of the demo
        self.debt = traits.debt_service * 208.0
        self.service = traits.debt_service.copy()
        self.unpaid_wages = np.zeros(number)
        self.unbilled_fee = np.zeros(number, dtype=np.int64)
        self.unbilled_advertising = np.zeros(number, dtype=np.int64)
        self.distress = np.zeros(number)
        self.pending = np.zeros(number)
        self.weeks_since_loss = np.full(number, NEVER, dtype=np.int64)
        self.weeks_in_need = np.zeros(number, dtype=np.int64)
        self.closed_day = np.full(number, NEVER, dtype=np.int64)
        self.points = np.zeros(number, dtype=np.int64)
        self.account = np.zeros(number, dtype=np.int64)
        self.account_day = traits.registered_day.copy()
        _, self.family_owner = np.unique(traits.owner, return_inverse=True)
        self.shaken_until = np.zeros(number, dtype=np.int64)
        # what the platform sees of risk: failed debits of about ten weeks, and sales against those of the last year
        self.failures = np.zeros(number)
        self.yearly = self.usual.copy()

    def branched(self, seed: int) -> "Weeks":
        """The same sellers in the same state, whose weeks from here on come by the chances of another seed."""
        other = copy.deepcopy(self)
        other.chance.reseed(seed)
        return other

    def run(self, week: int) -> dict[str, Any]:
        """Live one week of every seller; return its columns, with orders and loan events beside."""
        traits, chance, first = self.traits, self.chance, week * DAYS_A_WEEK
        is_open = (traits.opened_day < first + DAYS_A_WEEK) & (self.closed_day >= first + DAYS_A_WEEK)
        profile_changed = is_open & (traits.opened_day >= first)
        closes = is_open & (chance.uniform("closing", week) < self._closing_chance(week))
        closes &= traits.opened_day < first
        self._shake(week, closes)
        closing_day = first + np.floor(chance.uniform("closing day", week) * DAYS_A_WEEK).astype(np.int64)
        self.closed_day = np.where(closes, closing_day, self.closed_day)
        days = first + np.arange(DAYS_A_WEEK)
        is_selling = (days[None, :] >= traits.opened_day[:, None]) & (days[None, :] < self.closed_day[:, None])
        weights = self.factors[traits.category, first : first + DAYS_A_WEEK] * is_selling
        season = weights.sum(axis=1) / DAYS_A_WEEK
        weights = weights * self._days(week)
        ahead = self._season(traits.category, week + 2)

        demand = self._demand(week)
        goods = np.clip(0.35 + 0.65 * self.stock / np.maximum(1.6 * self.cost * self.smoothed * season, 1.0), 0.0, 1.0)
        sold = self.usual * np.exp(demand) * weights.mean(axis=1) * goods * is_open
        orders = self._orders(week, sold, weights, is_open)
        sale_yuan = orders["sold"] / 100.0
        # settled money, without what the shop buys from itself: that comes in and goes round
        brushed = orders["brushed"]
        refund_rate = np.clip(
            seasons.REFUND_RATE[traits.category] * np.exp(-0.25 * traits.quality + 0.9 * self.distress), 0.0, 0.5
        )
        self.smoothed = np.where(is_open, 0.85 * self.smoothed + 0.15 * sold / np.maximum(season, 0.2), self.smoothed)
        # fees and advertising are billed every fourth week, as far as there is money; the rest goes on the next bill
        self.unbilled_fee += _fen(sale_yuan * _FEE)
        self.unbilled_advertising += _fen(sale_yuan * _ADVERTISING * (1.0 - 0.5 * self.distress))
        is_billed = (week + traits.number) % 4 == 3
        before = self.cash.copy()
        flow: dict[str, Longs] = {
            "sale": orders["sold"] + brushed,
            "refund": _fen(sale_yuan * refund_rate),
            "transfer_out": brushed,
        }
        cash = before + flow["sale"] - flow["refund"] - flow["transfer_out"]
        flow["fee"] = np.where(is_billed, np.clip(self.unbilled_fee, 0, np.maximum(cash, 0)), 0)
        cash = cash - flow["fee"]
        flow["advertising"] = np.where(is_billed, np.clip(self.unbilled_advertising, 0, np.maximum(cash, 0)), 0)
        cash = cash - flow["advertising"]
        self.unbilled_fee -= flow["fee"]
        self.unbilled_advertising -= flow["advertising"]

        # what the shop would like to have: its buffer, what falls due within five weeks, the stock of the season ahead
        stock_gap = np.maximum(2.6 * self.cost * self.smoothed * ahead - self.stock, 0.0)
        ordinary = self.smoothed * traits.buffer_weeks
        wish = ordinary + self.loans.falling_due(first + 35) / 100.0 + 0.5 * stock_gap
        need = np.clip(1.0 - cash / 100.0 / np.maximum(wish, 1.0), -0.5, 1.3)
        self.distress = np.clip(0.9 * self.distress + 0.1 * np.clip(need, 0.0, 1.2), 0.0, 1.0)
        self.weeks_since_loss = np.minimum(self.weeks_since_loss + 1, NEVER)
        now = Condition(
            is_open=is_open & ~closes,
            need=need,
            # what a shop buys from itself counts for the platform's rule as any order does
            monthly_sales=_fen(self.smoothed / (1.0 - traits.brushed_share) * 4.33),
            risk=self._visible_risk(week, cash),
            demand=demand,
            debt_service_rate=self.service / np.maximum(self.smoothed, 1.0),
            weeks_since_loss=self.weeks_since_loss,
        )
        flow["loan_draw"] = self.loans.draw(week, now)
        cash = cash + flow["loan_draw"]
        constrained = np.clip(need, 0.0, 1.0)
        self.lift = 0.95 * self.lift + traits.lift * constrained * np.minimum(
            flow["loan_draw"] / 100.0 / np.maximum(1.5 * self.smoothed, 1.0), 1.0
        )

        # the prudent keep back what falls due within three weeks before they buy goods
        kept = (0.4 + 0.6 * traits.prudence) * self.loans.falling_due(first + 3 * DAYS_A_WEEK)
        # goods are ordered ahead: a shop stocks up in three weeks and runs its stock down in ten
        gap = 2.6 * self.cost * self.smoothed * ahead - self.stock
        wanted = self.cost * sale_yuan + np.where(gap > 0, 0.35 * np.minimum(gap, 2.0 * self.usual), 0.10 * gap)
        # what goods cost over their ordinary price
        dear = np.maximum(1.0 + self.squeeze[self.index, week] / self.cost, 0.5)
        wanted = np.where(now.is_open, np.maximum(wanted, 0.0) * dear, 0.0)
        flow["supplier"] = np.minimum(_fen(wanted), np.maximum(cash - kept.astype(np.int64), 0))
        cash = cash - flow["supplier"]
        missing = _fen(wanted) - flow["supplier"]
        fails = (missing * 4 > _fen(wanted)) & (chance.uniform("supplier debit", week) < 0.35)
        flow["failed_supplier"] = np.where(fails, missing, 0)
        self.stock = np.maximum(self.stock + flow["supplier"] / 100.0 / dear - self.cost * sale_yuan, 0.0)
        # unsold goods lose a hundredth a week
        self.stock *= 0.99

        cash = self._monthly_bills(week, now, cash, flow)
        cash = self._owner(week, now, cash, ordinary, flow)
        is_ample = cash > _fen(ordinary)
        flow["loan_repayment"], flow["failed_repayment"] = self.loans.collect(week, np.maximum(cash, 0), is_ample, now)
        # a rescuer's money comes in first, so that the account never pays what it does not hold
        rescued = np.maximum(flow["loan_repayment"] - np.maximum(cash, 0), 0)
        flow["transfer_in"] = flow["transfer_in"] + rescued
        cash = cash + rescued - flow["loan_repayment"]
        flow["withdrawal"], cash = self._withdraw(week, now, cash, ordinary)
        self.cash = cash
        tried = sum((flow[name] > 0 for name in FAILED), np.zeros(len(traits), dtype=np.int64))
        self.failures = 0.9 * self.failures + tried
        self.yearly = 0.98 * self.yearly + 0.02 * self.smoothed
        self._shake(week, self.loans.take_new_bads())
        self.weeks_in_need = np.where(need > 0.8, self.weeks_in_need + 1, 0)

        profile_changed = profile_changed | self._profile(week, is_open) | closes
        events = self.loans.take_events()
        told = np.zeros(len(traits), dtype=bool)
        told[events["seller"].astype(np.int64)] = True
        latent = (demand, need, self.distress, refund_rate, self.stock, self.hidden_cash, self.debt)
        return {
            "shown": is_open | told,
            "events": events,
            "orders": orders,
            "columns": {
                "week": np.full(len(traits), week),
                "is_open": is_open,
                "penalty_points": self.points.copy(),
                "payout_account": self.account.copy(),
                "profile_changed": profile_changed,
                "account_day": self.account_day.copy(),
                "ring": traits.ring,
                "owner": traits.owner,
                **{name: value.copy() for name, value in zip(LATENT, latent, strict=True)},
                "cash_before": before,
                **flow,
                "cash_after": cash,
            },
        }

    def _days(self, week: int) -> Floats:
        """What a shop's own days make of its week: an array (sellers, 7), 1 in the mean, 0 where it rests."""
        chance, demand, first = self.chance, self.world.demand, week * DAYS_A_WEEK
        rho, spread = demand.day_persistence, demand.day_spread
        begins = chance.uniform("resting spell", week) < demand.resting_spells_a_year / 52.0
        length = np.rint(chance.between("spell weeks", demand.resting_spell_weeks, week)).astype(np.int64)
        self.rests_until = np.where(begins & (self.rests_until <= week), week + length, self.rests_until)
        rests_all_week = self.rests_until > week
        days = np.ones((len(self.traits), DAYS_A_WEEK))
        for number, day in enumerate(range(first, first + DAYS_A_WEEK)):
            self.day_state = rho * self.day_state + np.sqrt(1.0 - rho**2) * chance.normal("day", day)
            rests = rests_all_week | (chance.uniform("resting day", day) < self.traits.rests)
            days[:, number] = np.exp(spread * self.day_state - spread**2 / 2.0) * ~rests
            if (self.world.first_day.weekday() + day) % DAYS_A_WEEK >= 5:
                days[:, number] *= self.traits.weekend
        return days

    def _season(self, category: Longs, week: int) -> Floats:
        last = min(week, self.world.weeks - 1) * DAYS_A_WEEK
        return self.factors[:, last : last + DAYS_A_WEEK].mean(axis=1)[category]

    def _closing_chance(self, week: int) -> Floats:
        # who has been without cash for a quarter gives up at 3 % a week; a hopeless shop at 5 %
        is_worn_out = self.weeks_in_need > 13
        is_deserted = self.decline < -1.2
        is_shaken = self.shaken_until > week
        hazard = self.traits.closing_hazard + 0.02 * is_worn_out + 0.04 * is_deserted
        return hazard + self.world.shops.contagion_a_week * is_shaken

    def _shake(self, week: int, fails: Any) -> None:
        """Half a year of fear for the other shops of an owner one of whose shops closes or goes bad."""
        if fails.any():
            falls = np.bincount(self.family_owner, weights=fails)[self.family_owner]
            self.shaken_until = np.where((falls - fails) > 0, week + 26, self.shaken_until)

    def _visible_risk(self, week: int, cash: Longs) -> Floats:
        """Log-odds from what the platform sees: failed debits, a falling trade, an empty account, a young shop."""
        turnover = np.maximum(self.smoothed, 1.0)
        falling = np.clip(np.log(np.maximum(self.yearly, 1.0) / turnover), 0.0, 2.0)
        weeks_of_cash = np.clip(cash / 100.0 / turnover, 0.0, 3.0)
        years = np.clip((week * DAYS_A_WEEK - self.traits.registered_day) / 365.0, 0.0, 3.0)
        return 0.6 * self.failures + 1.5 * falling - 0.7 * weeks_of_cash - 0.2 * years

    def _demand(self, week: int) -> Floats:
        traits, chance, demand = self.traits, self.chance, self.world.demand
        rho = traits.persistence
        self.state = rho * self.state + traits.spread * np.sqrt(1.0 - rho**2) * chance.normal("demand", week)
        begins = (self.decline_until <= week) & (chance.uniform("decline", week) < self.decline_hazard)
        length = np.rint(chance.between("decline weeks", demand.decline_weeks, week)).astype(np.int64)
        self.decline_until = np.where(begins, week + length, self.decline_until)
        slope = chance.between("decline slope", demand.decline_a_week, week)
        self.decline_slope = np.where(begins, slope, self.decline_slope)
        # customers lost come back slowly: half of them in about a year
        falls = self.decline_until > week
        self.decline = np.where(falls, self.decline - self.decline_slope, self.decline * 0.987)
        grown = np.clip(traits.trend * (week * DAYS_A_WEEK - traits.opened_day) / 365.0, -1.0, 1.0)
        return self.state + self.decline + grown + self.common[self.index, traits.category, week] + self.lift

    def _orders(self, week: int, sold: Floats, weights: Floats, is_open: Any) -> dict[str, Any]:
        """Orders of the week: seller, day, amount, brushed, and the totals a seller, fen.

        What is sold in a week without an order is carried to the next one with an order, so that orders add up to
        sales though one order stands for several.
        """
        traits, chance, first = self.traits, self.chance, week * DAYS_A_WEEK
        self.pending = np.where(is_open, self.pending + sold, 0.0)
        has_days = weights.sum(axis=1) > 0
        count = np.where(has_days, chance.poisson("orders", sold / traits.order_value, week), 0)
        share = np.minimum(traits.brushed_share, 0.9)
        fakes = np.where(
            has_days, chance.poisson("brushed", sold / traits.order_value * share / (1.0 - share), week), 0
        )
        total = np.where(count > 0, _fen(self.pending), 0)
        self.pending = np.where(count > 0, 0.0, self.pending)
        seller = np.repeat(np.arange(len(traits)), count + fakes)
        start = np.cumsum(count + fakes) - (count + fakes)
        serial = np.arange(len(seller)) - start[seller]
        is_fake = serial >= count[seller]
        time = week * 4096 + serial
        cumulated = np.cumsum(weights, axis=1)
        place = chance.uniform("order day", time, seller) * cumulated[seller, -1]
        day = first + (place[:, None] >= cumulated[seller]).sum(axis=1)
        part = np.exp(0.5 * chance.normal("order amount", time, seller))
        whole = np.bincount(seller, weights=part * ~is_fake, minlength=len(traits))
        fair = np.where(is_fake, traits.order_value[seller] * 100.0 * part, 0.0)
        amount = np.where(is_fake, fair, total[seller] * part / np.maximum(whole[seller], 1e-9))
        fen = np.maximum(np.floor(amount).astype(np.int64), 1)
        return {
            "seller": seller,
            "day": day,
            "amount_fen": fen,
            "is_brushed": is_fake,
            "sold": np.bincount(seller, weights=fen * ~is_fake, minlength=len(traits)).astype(np.int64),
            "brushed": np.bincount(seller, weights=fen * is_fake, minlength=len(traits)).astype(np.int64),
        }

    def _monthly_bills(self, week: int, now: Condition, cash: Longs, flow: dict[str, Longs]) -> Longs:
        """Wages and rent, then other lenders, every fourth week of each shop's own month."""
        traits, chance = self.traits, self.chance
        is_month = (week + traits.number) % 4 == 0
        bill = np.where(is_month & now.is_open, 4.0 * traits.fixed + self.unpaid_wages, 0.0)
        pays = cash >= _fen(bill)
        flow["wages"] = np.where(pays, _fen(bill), 0)
        flow["failed_wages"] = np.where(pays, 0, _fen(bill))
        # a third of unpaid wages and rent is forgiven or never claimed
        self.unpaid_wages = np.where(is_month & now.is_open, np.where(pays, 0.0, 0.67 * bill), self.unpaid_wages)
        cash = cash - flow["wages"]
        flow["borrowed"] = np.zeros_like(cash)
        is_short = now.is_open & (now.need > 0.75) & (self.hidden_cash <= 0)
        cap = 0.15 * 52.0 * self.usual
        borrows = is_short & (self.debt < cap) & (chance.uniform("other lender", week) < 0.06)
        loan = np.where(borrows, self.smoothed * chance.between("other amount", (0.3, 1.2), week), 0.0)
        # another lender's money is dear: 1.3 yuan back for one, within half a year
        self.debt += 1.3 * loan
        self.service = np.where(borrows, self.service + 1.3 * loan / 26.0, self.service)
        flow["borrowed"] = np.where(traits.is_debt_visible, _fen(loan), 0)
        self.hidden_cash += np.where(traits.is_debt_visible, 0.0, loan)
        cash = cash + flow["borrowed"]
        is_service = (week + traits.number) % 4 == 2
        instalment = np.where(is_service, np.minimum(4.0 * self.service, self.debt), 0.0)
        seen = traits.is_debt_visible & now.is_open
        owed = _fen(np.where(seen, instalment, 0.0))
        pays = cash >= owed
        flow["other_lender"] = np.where(pays, owed, 0)
        flow["failed_other_lender"] = np.where(pays, 0, owed)
        self.hidden_cash -= np.where(seen, 0.0, instalment)
        self.debt -= np.where(seen & ~pays, 0.0, instalment)
        self.service = np.where(self.debt <= 1.0, 0.0, self.service)
        return cash - flow["other_lender"]

    def _owner(self, week: int, now: Condition, cash: Longs, ordinary: Floats, flow: dict[str, Longs]) -> Longs:
        """The owner's pocket, which no ledger shows: what is earned elsewhere, living, losses, help for the shop."""
        traits, chance = self.traits, self.chance
        elsewhere = traits.sales * (1.0 - traits.visible) * np.exp(now.demand)
        earned = elsewhere * traits.margin * 0.35 * now.is_open
        loses = chance.uniform("loss", week) < self.world.money.losses_a_year / 52.0
        loss = np.where(loses, self.usual * chance.between("loss weeks", self.world.money.loss_weeks, week), 0.0)
        self.weeks_since_loss = np.where(loses, 0, self.weeks_since_loss)
        # debts of the pocket are floored: what is lost beyond eight weeks of living is another's loss
        self.hidden_cash = np.maximum(self.hidden_cash + earned - traits.living - loss, -8.0 * self.usual)
        ample = 26.0 * traits.living
        self.hidden_cash = np.where(
            self.hidden_cash > ample, self.hidden_cash - 0.1 * (self.hidden_cash - ample), self.hidden_cash
        )
        due = self.loans.falling_due(week * DAYS_A_WEEK + DAYS_A_WEEK)
        short = np.maximum(np.maximum(_fen(0.4 * ordinary), due) - cash, 0)
        helps = (self.hidden_cash > 0) & (chance.uniform("help", week) < 0.6)
        flow["transfer_in"] = np.where(helps, np.minimum(short, _fen(np.maximum(self.hidden_cash, 0.0) * 0.5)), 0)
        self.hidden_cash -= flow["transfer_in"] / 100.0
        return cash + flow["transfer_in"]

    def _withdraw(self, week: int, now: Condition, cash: Longs, ordinary: Floats) -> tuple[Longs, Longs]:
        """What the owner takes out every fourth week: a living, half of what is ample, and what the pocket lacks."""
        traits = self.traits
        is_month = (week + traits.number) % 4 == 1
        wanted = 4.0 * traits.living + 0.5 * np.maximum(cash / 100.0 - 1.5 * ordinary - 4.0 * traits.living, 0.0)
        wanted = wanted + np.maximum(-self.hidden_cash, 0.0) * 0.5
        soon = self.loans.falling_due((week + 5) * DAYS_A_WEEK) / 100.0
        floor = 0.25 * ordinary + (0.3 + 0.7 * traits.prudence) * soon
        taken = np.where(is_month, np.clip(wanted, 0.0, np.maximum(cash / 100.0 - floor, 0.0)), 0.0)
        # a shop that closes is emptied; what is owed here is left to the collectors
        taken = np.where(now.is_open, taken, np.maximum(cash / 100.0, 0.0) * 0.5)
        out = _fen(taken)
        self.hidden_cash += out / 100.0
        return out, cash - out

    def _profile(self, week: int, is_open: Any) -> Any:
        traits, chance = self.traits, self.chance
        hazard = 0.003 * np.exp(-0.4 * traits.quality + 0.8 * self.distress + 1.5 * (traits.brushed_share > 0))
        is_punished = is_open & (chance.uniform("penalty", week) < hazard)
        given = np.where(chance.uniform("points", week) < 0.6, 2, np.where(chance.uniform("points", week) < 0.9, 6, 12))
        # points lapse at the year's end
        lapses = is_open & (self.points > 0) & (week % 52 == 17)
        points = np.where(lapses, 0, self.points) + np.where(is_punished, given, 0)
        moves = is_open & (chance.uniform("account", week) < 0.0012 * np.exp(1.2 * self.distress))
        changed = (points != self.points) | moves
        self.points = points
        self.account = self.account + moves
        self.account_day = np.where(moves, week * DAYS_A_WEEK, self.account_day)
        return changed


_FEE = 0.03
_ADVERTISING = 0.04


def _table(rows: list[dict[str, Any]], traits: Traits, closed_day: Longs) -> pa.Table:
    shown = [np.flatnonzero(row["shown"]) for row in rows]
    who = np.concatenate(shown)
    columns: dict[str, Any] = {
        name: np.concatenate([row["columns"][name][sellers] for row, sellers in zip(rows, shown, strict=True)])
        for name in rows[0]["columns"]
    }
    closed = closed_day[who]
    columns |= {
        "number": traits.number[who],
        "category": traits.category[who],
        "region": traits.region[who],
        "registered_day": traits.registered_day[who],
        "opened_day": traits.opened_day[who],
        "closed_day": pa.array(closed, pa.int32(), mask=closed >= NEVER) if len(who) else [],
        "quality": traits.quality[who],
    }
    orders = _gathered(rows, "orders", ("seller", "day", "amount_fen", "is_brushed"))
    events = _gathered(rows, "events", tuple(rows[0]["events"]))
    sizes = [_sizes(row["orders"]["seller"], sellers, len(traits)) for row, sellers in zip(rows, shown, strict=True)]
    columns["orders"] = _list(
        sizes,
        pa.StructArray.from_arrays(
            [
                pa.array(orders["day"], pa.int32()),
                pa.array(orders["amount_fen"], pa.int64()),
                pa.array(orders["is_brushed"]),
            ],
            fields=list(_ORDER),
        ),
    )
    sizes = [_sizes(row["events"]["seller"], sellers, len(traits)) for row, sellers in zip(rows, shown, strict=True)]
    columns["loan_events"] = _list(sizes, _loan_events(events))
    return pa.table(
        {
            field.name: pa.array(columns[field.name], field.type)
            if isinstance(columns[field.name], np.ndarray)
            else columns[field.name]
            for field in _ARROW
        },
        schema=_ARROW,
    )


def _gathered(rows: list[dict[str, Any]], part: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: np.concatenate([row[part][name] for row in rows]) for name in names}


def _sizes(seller: Longs, shown: Longs, number: int) -> Longs:
    return np.bincount(seller.astype(np.int64), minlength=number)[shown]


def _list(sizes: list[Longs], values: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _loan_events(events: dict[str, Any]) -> pa.StructArray:
    def known(name: str, kind: pa.DataType) -> pa.Array:
        values = events[name]
        return pa.array(values, kind, mask=values < 0, safe=False)

    def word(name: str, words: tuple[str, ...]) -> pa.Array:
        values = events[name].astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(values, pa.int32(), mask=values < 0), list(words)).cast(
            pa.string()
        )

    return pa.StructArray.from_arrays(
        [
            word("kind", KINDS),
            known("serial", pa.int32()),
            known("day", pa.int32()),
            known("second", pa.int32()),
            known("amount", pa.int64()),
            known("interest", pa.int64()),
            known("due_day", pa.int32()),
            known("daily_rate", pa.float64()),
            known("term_days", pa.int32()),
            known("probability", pa.float64()),
            word("cause", CAUSES),
        ],
        fields=list(_LOAN_EVENT),
    )
