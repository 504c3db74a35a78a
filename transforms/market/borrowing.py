"""Loans of a batch of sellers, week by week: who draws, what falls due, who pays, who does not and why.

A seller has at most two loans at a time. Money is fen, time is days counted from the world's first day.
"""

from dataclasses import dataclass

import numpy as np

from conf.world import DAYS_A_WEEK, World
from transforms.market.chance import Chance, Flags, Floats, Longs
from transforms.market.traits import Traits

SLOTS = 2
INSTALMENTS = 3
NEVER = 10**9
SECONDS_A_DAY = 86_400

KINDS = ("applied", "declined", "approved", "drawn", "due", "repaid", "written_off", "defaulted")
APPLIED, DECLINED, APPROVED, DRAWN, DUE, REPAID, WRITTEN_OFF, DEFAULTED = range(len(KINDS))
"""`defaulted` is for the truth alone: the week in which a loan became 90 days past due or was written off."""

CAUSES = ("fraud", "strategic", "closed", "hidden debt", "hidden loss", "falling sales", "thin cash")
_FRAUD, _STRATEGIC, _CLOSED, _HIDDEN_DEBT, _HIDDEN_LOSS, _FALLING_SALES, _THIN_CASH = range(len(CAUSES))

LOAN_FIELDS = (
    "seller",
    "kind",
    "serial",
    "day",
    "second",
    "amount",
    "interest",
    "due_day",
    "daily_rate",
    "term_days",
    "probability",
    "cause",
)


@dataclass(frozen=True)
class Condition:
    """How the sellers stand in a week, as the loans must know. One entry a seller."""

    is_open: Flags
    need: Floats
    """0: the cash that the shop tries to hold; 1: none of it."""
    monthly_sales: Longs
    risk: Floats
    """Log-odds from what the platform sees."""
    demand: Floats
    debt_service_rate: Floats
    weeks_since_loss: Longs


class Loans:
    """The open loans of a batch, and the events that they gave."""

    def __init__(self, world: World, traits: Traits, chance: Chance) -> None:
        self._world, self._traits, self._chance = world, traits, chance
        number = len(traits)
        by_slot = (number, SLOTS)
        self.serial: Longs = np.zeros(by_slot, dtype=np.int64)
        """Of the loan in each slot; of an empty slot, of its last."""
        self.outstanding: Longs = np.zeros(by_slot, dtype=np.int64)
        self._drawn_day = np.zeros(by_slot, dtype=np.int64)
        self._paid_until = np.zeros(by_slot, dtype=np.int64)
        self._rate = np.zeros(by_slot)
        self._unwilling = np.zeros(by_slot, dtype=np.int64)
        self._is_bad = np.zeros(by_slot, dtype=bool)
        self._write_off_days = np.zeros(by_slot, dtype=np.int64)
        self._due_day = np.full((*by_slot, INSTALMENTS), NEVER, dtype=np.int64)
        self._due = np.zeros((*by_slot, INSTALMENTS), dtype=np.int64)
        self._next_serial = np.zeros(number, dtype=np.int64)
        self._next_ask_week = np.zeros(number, dtype=np.int64)
        self.is_barred: Flags = np.zeros(number, dtype=bool)
        self._new_bads: Flags = np.zeros(number, dtype=bool)
        self._events: list[dict[str, Longs | Floats]] = []

    @property
    def owed(self) -> Longs:
        """Principal outstanding, fen a seller."""
        return self.outstanding.sum(axis=1)

    def oldest_due_day(self) -> Longs:
        """Day on which the oldest unpaid instalment of each slot fell or falls due."""
        return np.where(self._due > 0, self._due_day, NEVER).min(axis=2)

    def falling_due(self, until_day: int) -> Longs:
        """Principal unpaid that is due before a day, fen a seller."""
        return np.where(self._due_day < until_day, self._due, 0).sum(axis=(1, 2))

    def take_new_bads(self) -> Flags:
        """Sellers with a loan that went bad since this was last asked."""
        bads, self._new_bads = self._new_bads, np.zeros_like(self._new_bads)
        return bads

    def _tell(self, kind: int, seller: Longs, **values: Longs | Floats | int | float) -> None:
        if len(seller):
            self._events.append(
                {
                    "kind": np.full(len(seller), kind),
                    "seller": seller,
                    **{name: np.broadcast_to(np.asarray(value), len(seller)) for name, value in values.items()},
                }
            )

    def take_events(self) -> dict[str, Longs | Floats]:
        """The week's events, by seller and in order of time; a field that an event lacks is -1."""
        events, self._events = self._events, []
        columns = {
            name: np.concatenate([np.asarray(e.get(name, np.full(len(e["seller"]), -1))) for e in events])
            if events
            else np.zeros(0, dtype=np.int64)
            for name in LOAN_FIELDS
        }
        order = np.lexsort((columns["second"], columns["day"], columns["seller"]))
        return {name: values[order] for name, values in columns.items()}

    def approval(self, day: int, now: Condition) -> tuple[Flags, Floats]:
        """Whom the era's rule approves, and the chance of approval of the others."""
        lending = self._world.lending
        if day < lending.better_rule_day:
            by_rule = now.monthly_sales >= lending.least_monthly_sales_yuan * 100
            return by_rule, np.full(len(by_rule), lending.random_approval)
        above = np.clip((now.risk - lending.cut_off) / lending.random_reach, 0.0, 1.0)
        fall = np.log(lending.random_at_worst / lending.random_at_cut_off)
        # as it is written in the file, six digits: what is recorded is what was drawn against
        return now.risk <= lending.cut_off, np.round(lending.random_at_cut_off * np.exp(fall * above), 6)

    def draw(self, week: int, now: Condition) -> Longs:
        """Let sellers apply and draw; return what each was paid out, fen."""
        lending, chance, traits = self._world.lending, self._chance, self._traits
        paid_out = np.zeros(len(traits), dtype=np.int64)
        first = week * DAYS_A_WEEK
        if first < lending.first_day or not self._world.lends:
            return paid_out
        is_past_due = (self.oldest_due_day() < first).any(axis=1)
        has_slot = (self.outstanding == 0).any(axis=1)
        is_of_age = traits.opened_day + 90 <= first
        could_ask = now.is_open & traits.is_willing & is_of_age & has_slot & ~is_past_due & ~self.is_barred
        # a fifth of the sellers who are past due or barred ask all the same, and are declined
        asks_in_vain = now.is_open & traits.is_willing & is_of_age & (is_past_due | self.is_barred)
        odds = lending.draw_level + traits.propensity + lending.draw_need * now.need
        wants = (chance.uniform("ask", week) < 1.0 / (1.0 + np.exp(-odds))) & (week >= self._next_ask_week)
        in_vain = wants & asks_in_vain & (chance.uniform("ask in vain", week) < 0.2)
        asks = wants & could_ask
        by_rule, random = self.approval(first, now)
        by_chance = ~by_rule & (chance.uniform("random approval", week) < random)
        share = np.where(by_rule, lending.limit_share, lending.random_limit_share)
        limit = np.minimum(now.monthly_sales * share, lending.largest_yuan * 100) - self.owed
        # the needier ask for more of their limit; whole hundreds of yuan
        wanted = limit * np.clip(chance.between("part of limit", (0.35, 0.85), week) + 0.25 * now.need, 0.2, 1.0)
        amount = (wanted // 10_000).astype(np.int64) * 10_000
        passes = asks & (by_rule | by_chance) & (amount >= lending.smallest_yuan * 100)
        day = first + np.floor(chance.uniform("draw day", week) * DAYS_A_WEEK).astype(np.int64)
        second = np.floor(chance.between("draw hour", (1.0, 13.0), week) * 3600).astype(np.int64)
        asked_amount = np.maximum(amount, int(lending.smallest_yuan * 100))
        refused = np.flatnonzero((asks & ~passes) | in_vain)
        self._tell(
            APPLIED,
            refused,
            serial=self._next_serial[refused],
            day=day[refused],
            second=second[refused],
            amount=asked_amount[refused],
        )
        self._tell(
            DECLINED,
            refused,
            serial=self._next_serial[refused],
            day=day[refused],
            second=second[refused] + 60,
            amount=asked_amount[refused],
        )
        self._next_serial[refused] += 1
        self._next_ask_week[refused] = week + 8

        who = np.flatnonzero(passes)
        if not len(who):
            return paid_out
        slot = np.argmax(self.outstanding[who] == 0, axis=1)
        amount, day, second, serial = amount[who], day[who], second[who], self._next_serial[who]
        term_draw = chance.uniform("term", week, who)
        term = np.where(term_draw < 0.35, 30, np.where(term_draw < 0.65, 60, 90)).astype(np.int64)
        parts = np.where(chance.uniform("instalments", week, who) < 0.5, 1, term // 30)
        rate = np.round(chance.between("rate", lending.daily_rate, week, who), 6)
        probability = np.where(by_rule[who], 1.0, random[who])
        told = {"serial": serial, "day": day, "amount": amount}
        self._tell(APPLIED, who, second=second, **told)
        self._tell(APPROVED, who, second=second + 60, daily_rate=rate, term_days=term, probability=probability, **told)
        self._tell(DRAWN, who, second=second + 600, daily_rate=rate, term_days=term, **told)
        each = amount // parts // 100 * 100
        for part in range(INSTALMENTS):
            there = part < parts
            is_last = part == parts - 1
            due = np.where(is_last, amount - each * (parts - 1), each) * there
            # instalments of several fall every 30 days, a single one at the end of the term
            due_day = np.where(there, day + np.where(parts == 1, term, 30 * (part + 1)), NEVER)
            self._due[who, slot, part], self._due_day[who, slot, part] = due, due_day
            self._tell(
                DUE,
                who[there],
                serial=serial[there],
                day=day[there],
                second=second[there] + 601 + part,
                amount=due[there],
                due_day=due_day[there],
            )
        fate = chance.uniform("fate", week, who)
        unwilling = np.where(fate < lending.fraud, 1, np.where(fate < lending.fraud + lending.strategic, 2, 0))
        self._unwilling[who, slot] = unwilling
        self.outstanding[who, slot], self.serial[who, slot] = amount, serial
        self._drawn_day[who, slot], self._paid_until[who, slot] = day, day
        self._rate[who, slot], self._is_bad[who, slot] = rate, False
        self._write_off_days[who, slot] = np.rint(chance.between("write off", lending.write_off_days, week, who))
        self._next_serial[who] += 1
        self._next_ask_week[who] = week + 3
        paid_out[who] = amount
        return paid_out

    def collect(self, week: int, cash: Longs, is_ample: Flags, now: Condition) -> tuple[Longs, Longs]:
        """Take what falls due from the sellers' cash, and write off what is hopeless.

        Return principal and interest paid and what was tried in vain, both fen a seller.
        """
        paid, failed = np.zeros_like(cash), np.zeros_like(cash)
        first = week * DAYS_A_WEEK
        for slot in range(SLOTS):
            is_live = self.outstanding[:, slot] > 0
            if not is_live.any():
                continue
            oldest = self.oldest_due_day()[:, slot]
            # one attempt a seller and week; a loan drawn this week has nothing due yet
            is_due = is_live & (oldest < first + DAYS_A_WEEK)
            past_due = np.maximum(first - oldest, 0)
            due = np.where(self._due_day[:, slot] < first + DAYS_A_WEEK, self._due[:, slot], 0).sum(axis=1)
            pay_day = np.where(
                past_due > 0, first + np.floor(self._chance.uniform(f"pay day {slot}", week) * DAYS_A_WEEK), oldest
            )
            pay_day = np.maximum(pay_day.astype(np.int64), first)
            interest = np.rint(
                self.outstanding[:, slot] * self._rate[:, slot] * np.maximum(pay_day - self._paid_until[:, slot], 0)
            ).astype(np.int64)
            # who is long past due gives up: half a year's arrears are seldom paid even when money comes in
            resolve = np.select([past_due < 30, past_due < 60, past_due < 90], [1.0, 0.45, 0.30], 0.02)
            is_willing = (self._unwilling[:, slot] == 0) & (self._chance.uniform(f"resolve {slot}", week) < resolve)
            is_late = (past_due >= 30) & (past_due < 90) & (self._unwilling[:, slot] == 0)
            is_rescued = is_late & (self._chance.uniform(f"rescue {slot}", week) < self._world.money.rescue_a_week)
            has_cash = cash - paid >= due + interest
            pays = is_due & ((is_willing & has_cash) | is_rescued)
            # a part is better than nothing: a quarter of the short pay what they have, if it is a tenth of what is due
            left = np.maximum(cash - paid - interest, 0) // 100 * 100
            gives_part = (
                is_due & ~pays & is_willing & (left * 10 >= due) & (self._chance.uniform(f"part {slot}", week) < 0.25)
            )
            is_early = (
                is_live & ~is_due & is_ample & (self._unwilling[:, slot] == 0) & (self._drawn_day[:, slot] < first)
            )
            is_early &= cash - paid >= 2 * self.outstanding[:, slot]
            is_early &= self._chance.uniform(f"early {slot}", week) < self._world.lending.early_repayment_a_week
            early_day = first + np.floor(self._chance.uniform(f"pay day {slot}", week) * DAYS_A_WEEK).astype(np.int64)
            day = np.where(is_early, early_day, pay_day)
            principal = np.where(
                pays, due, np.where(is_early, self.outstanding[:, slot], np.where(gives_part, np.minimum(left, due), 0))
            )
            moves = principal > 0
            interest = np.where(
                moves,
                np.rint(
                    self.outstanding[:, slot] * self._rate[:, slot] * np.maximum(day - self._paid_until[:, slot], 0)
                ).astype(np.int64),
                0,
            )
            self._settle(slot, principal)
            self._paid_until[:, slot] = np.where(moves, day, self._paid_until[:, slot])
            who = np.flatnonzero(moves)
            second = np.floor(self._chance.between(f"pay hour {slot}", (9.0, 15.0), week, who) * 3600).astype(np.int64)
            self._tell(
                REPAID,
                who,
                serial=self.serial[who, slot],
                day=day[who],
                second=second,
                amount=principal[who],
                interest=interest[who],
            )
            paid += principal + interest
            # a debit is tried on the due day, then every second week for two months
            tries = is_due & ~pays & ((past_due == 0) | ((past_due < 60) & (week % 2 == 0)))
            failed += np.where(tries, due - principal, 0)
            self._judge(week, slot, now)
        return paid, failed

    def _settle(self, slot: int, principal: Longs) -> None:
        """Count a payment against the instalments in order of their due days."""
        self.outstanding[:, slot] -= principal
        left = principal.copy()
        for part in range(INSTALMENTS):
            taken = np.minimum(left, self._due[:, slot, part])
            self._due[:, slot, part] -= taken
            left -= taken

    def _judge(self, week: int, slot: int, now: Condition) -> None:
        last = week * DAYS_A_WEEK + DAYS_A_WEEK - 1
        is_live = self.outstanding[:, slot] > 0
        past_due = last - self.oldest_due_day()[:, slot]
        is_new = is_live & (past_due >= 90) & ~self._is_bad[:, slot]
        who = np.flatnonzero(is_new)
        cause = np.select(
            [
                self._unwilling[:, slot] == 1,
                self._unwilling[:, slot] == 2,
                ~now.is_open,
                now.weeks_since_loss < 26,
                now.demand < -0.35,
                now.debt_service_rate > 0.02,
            ],
            [_FRAUD, _STRATEGIC, _CLOSED, _HIDDEN_LOSS, _FALLING_SALES, _HIDDEN_DEBT],
            _THIN_CASH,
        )
        self._tell(
            DEFAULTED,
            who,
            serial=self.serial[who, slot],
            day=last,
            second=0,
            amount=self.outstanding[who, slot],
            cause=cause[who],
        )
        self._is_bad[:, slot] |= is_new
        self.is_barred |= is_new
        self._new_bads |= is_new
        is_hopeless = is_live & (past_due >= self._write_off_days[:, slot])
        who = np.flatnonzero(is_hopeless)
        day = self.oldest_due_day()[who, slot] + self._write_off_days[who, slot]
        day = np.maximum(day, week * DAYS_A_WEEK)
        self._tell(
            WRITTEN_OFF,
            who,
            serial=self.serial[who, slot],
            day=day,
            second=SECONDS_A_DAY * 17 // 24 - 32_400,
            amount=self.outstanding[who, slot],
        )
        self.outstanding[who, slot] = 0
        self._due[who, slot] = 0
