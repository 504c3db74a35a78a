"""Outcomes of random loans against a reference that walks through every day."""

import random
from collections import Counter
from dataclasses import astuple, replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from pyspark.sql import DataFrame, SparkSession

from conf.outcome import OutcomeDefinition, load_definition
from tests.transforms.outcomes.ledger_of_loans import Day, Event, behavioural, history, loan_outcome
from transforms.outcomes.cohorts import behavioural_outcomes, loan_outcomes, roll_rates
from transforms.outcomes.past_due import loan_segments, with_arrears

SCHEMA = (
    "loan_id string, seller_id string, kind string, event_day date, arrival_day date, amount_fen bigint, due_on date,"
    " sign int"
)
FIRST = date(2023, 1, 1)
KNOWN_BY = date(2024, 6, 1)
DEFINITION = load_definition("standard")
SELLERS = 70


def random_loan(chance: random.Random, number: int, seller: str) -> list[Event]:
    """A draw, a plan, payments too small, early, late or none; rescheduled, written off, corrected, told late."""
    loan = f"{seller}-{number}"
    drawn_on = FIRST + timedelta(days=chance.randrange(300))
    events: list[Event] = []
    # the ledger of some loans comes long after they ended
    told_after = chance.choice([0] * 19 + [300])

    def happened(kind: str, after: int, fen: int, due_on: date | None = None) -> None:
        day = drawn_on + timedelta(days=after)
        late = chance.choice([0, 0, 0, 0, chance.randrange(1, 60)])
        event = Event(loan, seller, kind, day, day + timedelta(days=told_after + late), fen, due_on)
        events.append(event)
        if chance.random() < 0.05:
            taken_back = day + timedelta(days=told_after + late + chance.randrange(40))
            events.append(Event(loan, seller, kind, day, taken_back, fen, due_on, -1))

    instalments, principal = chance.choice([1, 3, 4]), chance.choice([6_000, 600_000, 1_200_000])
    happened("drawn", 0, principal)
    if chance.random() < 0.95:
        for place in range(1, instalments + 1):
            happened("due", 0, principal // instalments, drawn_on + timedelta(days=30 * place))
    style = chance.choice(["on time", "late", "late", "partial", "stops", "early", "never"])
    for place in range(1, instalments + 1):
        if style == "never" or (style == "stops" and place > 1):
            break
        if style == "early":
            happened("repaid", chance.randrange(5, 30), principal)
            break
        delay = {"on time": 0, "late": chance.randrange(120), "partial": chance.randrange(40), "stops": 0}[style]
        fen = principal // instalments
        happened(
            "repaid",
            30 * place + delay,
            fen if style != "partial" else max(fen - chance.choice([50, 5_000, fen // 2]), 1),
        )
    if chance.random() < 0.2:
        after = chance.randrange(20, 150)
        left = principal // 2
        # of some no new due is told at all; of others it is years away
        ahead = chance.choice([60, 60, 700])
        happened(
            "rescheduled", after, left, drawn_on + timedelta(days=after + ahead) if chance.random() < 0.5 else None
        )
        if all(event.due_on is None for event in events if event.kind == "rescheduled") and chance.random() < 0.7:
            happened("due", after, left, drawn_on + timedelta(days=after + 45))
        if chance.random() < 0.5:
            happened("repaid", after + chance.randrange(100), left)
    if chance.random() < 0.1:
        happened("written_off", chance.randrange(60, 250), principal // 2)
    return events


def random_loans(seed: int, sellers: int) -> dict[str, list[Event]]:
    """One to three loans of each seller."""
    chance = random.Random(seed)
    made: dict[str, list[Event]] = {}
    for seller in range(sellers):
        for number in range(chance.choice([1, 2, 3])):
            events = random_loan(chance, number, f"s{seller:02d}")
            made[events[0].loan_id] = events
    return made


@pytest.fixture(scope="module")
def loans() -> dict[str, list[Event]]:
    return random_loans(20, SELLERS)


@pytest.fixture(scope="module")
def segments(spark: SparkSession, loans: dict[str, list[Event]]) -> DataFrame:
    # as a source tells of them that numbers the loans of each seller from 0
    told = [replace(event, loan_id=event.loan_id[-1]) for events in loans.values() for event in events]
    rows = [astuple(event) for event in told]
    return loan_segments(spark.createDataFrame(rows, SCHEMA).coalesce(1), KNOWN_BY).localCheckpoint()


@pytest.fixture(scope="module")
def arrears(segments: DataFrame) -> DataFrame:
    return with_arrears(segments, DEFINITION).localCheckpoint()


Outcome = tuple[date | None, int | None, date | None, str | None, int | None]


def both_ways(
    loans: dict[str, list[Event]], arrears: DataFrame, definition: OutcomeDefinition
) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Outcomes by loan from Spark, and from the walk."""
    histories = {loan: history(known(events), KNOWN_BY, definition) for loan, events in loans.items() if known(events)}
    sellers = {loan: events[0].seller_id for loan, events in loans.items()}
    wanted = {
        loan: found
        for loan in histories
        if (found := loan_outcome(loan, histories, sellers, KNOWN_BY, definition)) is not None
    }
    rows = loan_outcomes(arrears, definition, KNOWN_BY).collect()
    return {f"{row['seller_id']}-{row['loan_id']}": tuple(row)[3:8] for row in rows}, wanted


@pytest.mark.parametrize("name", ["bad_30", "bad_60"])
def test_outcomes_by_the_alternate_definitions(loans: dict[str, list[Event]], segments: DataFrame, name: str) -> None:
    definition = load_definition(name)
    got, wanted = both_ways(loans, with_arrears(segments, definition), definition)
    assert got == wanted
    assert any(why == f"{definition.bad_days} or more days past due" for _, _, _, why, _ in wanted.values())


def test_outcomes_of_loans_are_those_of_a_walk_through_every_day(
    loans: dict[str, list[Event]], arrears: DataFrame
) -> None:
    got, wanted = both_ways(loans, arrears, DEFINITION)
    assert got == wanted
    # the walk met everything that it should tell apart
    reasons = {why for _, _, _, why, _ in wanted.values()}
    assert reasons >= {
        None,
        "written off",
        "rescheduled in distress",
        "90 or more days past due",
        "default on another loan",
    }
    assert any(settled is None for settled, *_ in wanted.values())
    assert any(settled and settled > KNOWN_BY for settled, *_ in wanted.values())
    assert any(worst and 30 <= worst < 90 and why is None for _, worst, _, why, _ in wanted.values())


def test_the_book_leaves_out_who_is_late_in_default_or_on_probation(
    spark: SparkSession, loans: dict[str, list[Event]], arrears: DataFrame
) -> None:
    by_seller: dict[str, list[dict]] = {}
    for events in loans.values():
        if known(events):
            by_seller.setdefault(events[0].seller_id, []).append(history(known(events), KNOWN_BY, DEFINITION))
    days = [date(2023, month, 1) for month in range(2, 13)] + [date(2024, 2, 1)]
    labels = [(seller, day) for seller in by_seller for day in days]
    wanted = {
        (seller, day): found
        for seller, day in labels
        if (found := behavioural(by_seller[seller], day, KNOWN_BY, DEFINITION)) is not None
    }
    asked = spark.createDataFrame(labels, "seller_id string, as_of date")
    rows = behavioural_outcomes(arrears, asked, DEFINITION, KNOWN_BY).collect()
    names = ("outcome", "worst_days_past_due", "exposure_at_default_fen")
    got = {(row["seller_id"], row["as_of"]): tuple(row[name] for name in names) for row in rows}
    assert got == wanted
    assert {outcome for outcome, *_ in wanted.values()} == {"good", "bad", "indeterminate", "unknown"}


def test_roll_rates_count_every_loan_once_a_month(
    spark: SparkSession, loans: dict[str, list[Event]], arrears: DataFrame
) -> None:
    days = [date(2023, month, 1) for month in range(3, 13)]
    rows = roll_rates(arrears, spark.createDataFrame([(day,) for day in days], "as_of date")).collect()
    moves = {(row["before"], row["after"]): row["loans"] for row in rows}
    wanted: Counter[tuple[str, str]] = Counter()
    for events in loans.values():
        walked = history(known(events), KNOWN_BY, DEFINITION) if known(events) else {}
        for before, after in pairwise(days):
            if before in walked and bucket(walked[before]) not in ("repaid", "written off"):
                wanted[bucket(walked[before]), bucket(walked[after])] += 1
    assert moves == wanted
    assert {before for before, _ in moves} == {"0", "1-29", "30-59", "60-89", "90+"}
    # nothing that is a month late is a month later only some days late, unless it was caught up
    assert ("0", "60-89") not in moves and all(before not in ("repaid", "written off") for before, _ in moves)


def bucket(day: Day) -> str:
    """Where a loan stands."""
    if day.state.written_off > 0:
        return "written off"
    if day.state.outstanding <= 0:
        return "repaid"
    late = day.days_past_due
    return "0" if late == 0 else "1-29" if late < 30 else "30-59" if late < 60 else "60-89" if late < 90 else "90+"


def known(events: list[Event]) -> list[Event]:
    return [event for event in events if event.arrival_day < KNOWN_BY]
