"""Outcomes of loans the slow way: every event looked at again on every day, in plain Python."""

from dataclasses import dataclass
from datetime import date, timedelta

from conf.outcome import OutcomeDefinition

ONE = timedelta(days=1)


@dataclass(frozen=True)
class Event:
    """One event of a loan; a correction has sign -1 and the values of what it takes back."""

    loan_id: str
    seller_id: str
    kind: str
    event_day: date
    arrival_day: date
    amount_fen: int
    due_on: date | None = None
    sign: int = 1


@dataclass(frozen=True)
class State:
    """One loan as known on one as-of day."""

    drawn_on: date | None
    outstanding: int
    past_due: int
    oldest: date | None
    last_due: date | None
    written_off: int
    rescheduled: date | None


def state(events: list[Event], day: date) -> State:
    """What is known of a loan before a day begins."""
    standing: dict[tuple[str, date, date | None], list[int]] = {}
    for event in events:
        if event.arrival_day < day:
            totals = standing.setdefault((event.kind, event.event_day, event.due_on), [0, 0])
            totals[0] += event.sign * event.amount_fen
            totals[1] += event.sign

    def total(kind: str, since: date = date.min) -> int:
        return sum(fen for (of, on, _), (fen, _) in standing.items() if of == kind and on >= since)

    draws = [on for (kind, on, _), (_, many) in standing.items() if kind == "drawn" and many > 0]
    plans = [on for (kind, on, _), (_, many) in standing.items() if kind == "rescheduled" and many > 0]
    since = max(plans, default=date.min)
    owed: dict[date, int] = {}
    for (kind, on, due_on), (fen, _) in standing.items():
        if kind in ("due", "rescheduled") and due_on is not None and on >= since:
            owed[due_on] = owed.get(due_on, 0) + fen
    owed = {due_on: fen for due_on, fen in owed.items() if fen > 0}
    left, past_due, oldest = total("repaid", since), 0, None
    for due_on in sorted(owed):
        paid = min(left, owed[due_on])
        left -= paid
        if paid < owed[due_on] and due_on < day:
            past_due += owed[due_on] - paid
            oldest = oldest or due_on
    return State(
        min(draws, default=None),
        total("drawn") - total("repaid") - total("written_off"),
        past_due,
        oldest,
        max(owed, default=None),
        total("written_off"),
        max(plans, default=None),
    )


@dataclass(frozen=True)
class Day:
    """What one as-of day says of a loan."""

    state: State
    days_past_due: int
    """0 where nothing material is past due."""
    bad: str | None


def history(events: list[Event], known_by: date, definition: OutcomeDefinition) -> dict[date, Day]:
    """Every as-of day of a loan from the first on which anything is known."""
    days: dict[date, Day] = {}
    day = min(event.arrival_day for event in events) + ONE
    before: Day | None = None
    while day <= known_by:
        now = state(events, day)
        is_material = now.past_due >= max(definition.material_fen, now.outstanding * definition.material_share)
        late = (day - now.oldest).days if now.oldest and now.outstanding > 0 and is_material else 0
        bad = None
        if now.written_off > 0:
            bad = "written off"
        elif now.rescheduled and (before is None or before.state.rescheduled != now.rescheduled):
            then = before.days_past_due + 1 if before and before.days_past_due else 0
            if then >= definition.distressed_days:
                bad = "rescheduled in distress"
        if bad is None and late >= definition.bad_days:
            bad = f"{definition.bad_days} or more days past due"
        before = days[day] = Day(now, late, bad)
        day += ONE
    return days


def loan_outcome(
    loan: str, histories: dict[str, dict[date, Day]], sellers: dict[str, str], known_by: date, of: OutcomeDefinition
) -> tuple[date | None, int | None, date | None, str | None, int | None] | None:
    """settled_on, worst days past due, bad_on, why, exposure at default (fen); None for a loan without a draw."""
    days = histories[loan]
    newest = days[max(days)].state
    if newest.drawn_on is None:
        return None
    last_due = newest.last_due
    if newest.rescheduled and last_due is None:
        last_due = next((days[day].state.last_due for day in sorted(days)[::-1] if days[day].state.last_due), None)
    if last_due is None or min(days) > last_due + timedelta(days=of.follow_up_days):
        return None, None, None, None, None
    followed_on = last_due + timedelta(days=of.follow_up_days)
    followed = {day: found for day, found in days.items() if day <= followed_on}
    worst = max((found.days_past_due for found in followed.values()), default=0)
    own = [(day, found.bad) for day, found in followed.items() if found.bad]
    others = []
    for other, theirs in histories.items():
        if other != loan and sellers[other] == sellers[loan]:
            first = min((day for day, found in theirs.items() if found.bad), default=None)
            if first in followed and followed[first].state.outstanding >= of.material_fen:
                others.append((first, "default on another loan"))
    first_bad = min([*own, *others], key=lambda found: (found[0], found[1] == "default on another loan"), default=None)
    if first_bad is None and followed_on > known_by:
        return followed_on, None, None, None, None
    if first_bad is None:
        return followed_on, worst, None, None, None
    on, why = first_bad
    # of what was written off, what was outstanding until then
    then = days.get(on - ONE, days[on]) if why == "written off" else days[on]
    return on, worst, on, why, then.state.outstanding


def behavioural(
    loans: list[dict[date, Day]], as_of: date, known_by: date, of: OutcomeDefinition
) -> tuple[str, int | None, int | None] | None:
    """Outcome, worst days past due and exposure at default (fen) of a seller with these loans; None for one who is not
    in the book.
    """
    today = [days[as_of] for days in loans if as_of in days]
    if not any(day.state.outstanding > 0 for day in today):
        return None
    if max(day.days_past_due for day in today) >= of.indeterminate_days or _in_default(loans, as_of, of):
        return None
    if as_of + timedelta(days=of.performance_days) > known_by:
        return "unknown", None, None
    later = [as_of + timedelta(days=number) for number in range(1, of.performance_days + 1)]
    found = [days[day] for days in loans for day in later if day in days]
    worst = max((day.days_past_due for day in found), default=0)
    on = min((day for days in loans for day in later if day in days and days[day].bad), default=None)
    if on is None:
        return ("indeterminate" if worst >= of.indeterminate_days else "good"), worst, None
    exposure = 0
    for days in loans:
        now = days.get(on)
        if now is not None and now.bad:
            # of what was written off, what was outstanding until then
            then = days.get(on - ONE, now) if now.bad == "written off" else now
            exposure += then.state.outstanding
        elif now is not None and now.state.outstanding >= of.material_fen:
            exposure += now.state.outstanding
    return "bad", worst, exposure


def _in_default(loans: list[dict[date, Day]], as_of: date, of: OutcomeDefinition) -> bool:
    """Walk every day up to this one: in default from the first bad day until 90 days without arrears."""
    in_default, clean = False, 0
    day = min(min(days) for days in loans)
    while day <= as_of:
        now = [days[day] for days in loans if day in days]
        if any(found.bad for found in now):
            in_default, clean = True, 0
        elif any(found.days_past_due for found in now):
            clean = 0
        else:
            clean += 1
            if clean > of.cure_days:
                in_default = False
        day += ONE
    return in_default
