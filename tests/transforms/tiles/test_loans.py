"""The loan book of random loans against their state looked up anew on every day that brought news of them."""

from dataclasses import astuple, replace
from datetime import date, timedelta

from pyspark.sql import SparkSession

from tests.transforms.outcomes.ledger_of_loans import Event, state
from tests.transforms.outcomes.test_against_a_daily_ledger import SCHEMA, random_loans
from transforms.features.states.loans import loan_states_at
from transforms.tiles.loans import loan_states
from transforms.windows.asked import EverySeller

ONE = timedelta(days=1)


def test_each_state_is_what_stood_when_the_news_of_a_day_was_in(spark: SparkSession) -> None:
    loans = random_loans(seed=21, sellers=60)
    events = [event for told in loans.values() for event in told]
    # instalments that fall due on no day, of which none may hide the others
    undated = [replace(event, due_on=None) for event in events if event.kind == "due"]
    assert undated
    rows = [astuple(event) for event in (*events, *undated)]
    book = {
        (row["loan_id"], row["arrival_day"]): row
        for row in loan_states(spark.createDataFrame(rows, SCHEMA).coalesce(1)).collect()
    }
    wanted = {(loan, event.arrival_day) for loan, events in loans.items() for event in events}
    assert book.keys() == wanted
    seen = set()
    for (loan, arrival_day), row in book.items():
        known = [event for event in loans[loan] if event.arrival_day <= arrival_day]
        # as of a day when every instalment has fallen due: what the book holds is not what is late, but what is unpaid
        then = state(known, date.max)
        repaid_on = last_day_of("repaid", known)
        is_settled = drawn(known) > 0 and then.outstanding <= 0 and then.written_off <= 0
        got = (row["drawn_on"], row["outstanding_fen"], row["written_off_fen"], row["last_due_on"])
        assert got == (then.drawn_on, then.outstanding, then.written_off, then.last_due), (loan, arrival_day)
        assert row["oldest_unpaid_due_on"] == then.oldest, (loan, arrival_day)
        assert (row["oldest_unpaid_fen"] > 0) == (then.oldest is not None)
        assert row["oldest_unpaid_fen"] <= then.past_due
        assert row["settled_on"] == (repaid_on if is_settled else None), (loan, arrival_day)
        seen |= {
            ("rescheduled", then.rescheduled is not None and then.oldest is None and then.outstanding > 0),
            ("written off in part", then.written_off > 0 and then.outstanding <= 0 and repaid_on is not None),
            ("draw taken back", any(event.kind == "drawn" and event.sign < 0 for event in known)),
            ("settled", is_settled),
        }
    assert {name for name, met in seen if met} == {name for name, _ in seen}


def test_what_a_seller_owes_and_how_late_it_was_is_what_a_walk_through_every_day_finds(spark: SparkSession) -> None:
    loans = random_loans(seed=22, sellers=40)
    events = [event for told in loans.values() for event in told]
    # instalments that fall due on no day, of which none may hide the others
    undated = [replace(event, due_on=None) for event in events if event.kind == "due"]
    assert undated
    rows = [astuple(event) for event in (*events, *undated)]
    book = loan_states(spark.createDataFrame(rows, SCHEMA).coalesce(1)).localCheckpoint()
    sellers: dict[str, list[list[Event]]] = {}
    for events in loans.values():
        sellers.setdefault(events[0].seller_id, []).append(events)
    for day in (date(2023, 6, 1), date(2023, 11, 7), date(2024, 3, 1)):
        found = {row["seller_id"]: row for row in loan_states_at(book, EverySeller(day)).collect()}
        for seller, theirs in sellers.items():
            if not any(event.arrival_day < day for events in theirs for event in events):
                assert seller not in found
                continue
            year = [day - ONE * number for number in range(365)]
            owed = [state(events, day).outstanding for events in theirs]
            late = [max(days_late(events, then) for events in theirs) for then in year]
            row = found[seller]
            assert row["outstanding_fen"] == sum(max(fen, 0) for fen in owed), (seller, day)
            assert row["open_loans"] == sum(fen > 0 for fen in owed), (seller, day)
            assert (row["days_past_due"], row["largest_days_past_due_365d"]) == (late[0], max(late)), (seller, day)
            assert row["was_bad"] == (max(late) >= 30 or any(state(e, day).written_off > 0 for e in theirs))


def days_late(events: list[Event], day: date) -> int:
    """Days past due of a loan as of a day, by the plan in force then."""
    then = state(events, day)
    return (day - then.oldest).days if then.oldest and then.outstanding > 0 else 0


def drawn(events: list[Event]) -> int:
    return sum(event.sign * event.amount_fen for event in events if event.kind == "drawn")


def last_day_of(kind: str, events: list[Event]) -> date | None:
    """The newest day of events of a kind that more tell of than take back."""
    days = {event.event_day for event in events if event.kind == kind}
    return max(
        (day for day in days if sum(e.sign for e in events if (e.kind, e.event_day) == (kind, day)) > 0), default=None
    )
