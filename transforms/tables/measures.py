"""The measures of the day tiles: additive integers, each with the events that it sums.

A measure is unknown, not zero, in a lake none of whose sources tells the kinds of record that it needs.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """An additive integer of one seller and event day.

    `when` chooses the events, `value` is what each adds (times its sign); both are SQL over the event's columns.
    `needs` are kinds of record, as `event.kind`: without a source that tells them all the measure is unknown.
    """

    name: str
    event: str
    when: str
    value: str
    meaning: str
    needs: tuple[str, ...]

    @property
    def sql(self) -> str:
        """What one event adds to the measure."""
        return f"case when {self.when} then cast(sign * ({self.value}) as bigint) else 0 end"


_PAID_LESS_PAID_BACK = "case when direction = 'out' then amount_fen else -amount_fen end"


def _order(name: str, when: str, value: str, meaning: str, *needs: str) -> Measure:
    return Measure(name, "order_event", when, value, meaning, tuple(f"order_event.{kind}" for kind in needs))


def _payment(name: str, when: str, value: str, meaning: str, *needs: str) -> Measure:
    took_place = f"({when}) and not coalesce(failed, false)"
    return Measure(name, "payment_event", took_place, value, meaning, tuple(f"payment_event.{kind}" for kind in needs))


def _loan(name: str, kind: str, value: str, meaning: str) -> Measure:
    return Measure(name, "loan_event", f"kind = '{kind}'", value, meaning, (f"loan_event.{kind}",))


def _buyers(name: str, meaning: str) -> Measure:
    return Measure(name, "seller_buyer_day", "false", "0", meaning, ("order_event.paid",))


SHIPPING_BINS = {"half_day": 12, "day": 24, "three_days": 72}
"""Hours that a shipment may take to be counted in a bin; two days are the timed shipments that are not late."""

_NET = "case when kind = 'paid' then amount_fen else -amount_fen end"

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        _order("paid_orders", "kind = 'paid'", "1", "orders paid", "paid"),
        _order("paid_fen", "kind = 'paid'", "amount_fen", "amount of orders paid, fen", "paid"),
        _order(
            "festival_fen",
            "kind = 'paid' and date_format(event_day, 'MMdd') in ('0618', '1111')",
            "amount_fen",
            "amount of orders paid on 18 June and 11 November, fen",
            "paid",
        ),
        _order(
            "listed_fen",
            "kind = 'paid' and list_price_fen is not null",
            "list_price_fen",
            "list prices of the orders paid of which they are known, fen",
            "paid",
        ),
        _order(
            "paid_of_listed_fen",
            "kind = 'paid' and list_price_fen is not null",
            "amount_fen",
            "amount of the orders paid of which the list price is known, fen",
            "paid",
        ),
        _order("cancelled_orders", "kind = 'cancelled'", "1", "orders cancelled", "cancelled"),
        _order("refunded_orders", "kind = 'refunded'", "1", "refunds", "refunded"),
        _order("refunded_fen", "kind = 'refunded'", "amount_fen", "amount paid back, fen", "refunded"),
        _order(
            "quality_refunds",
            "kind = 'refunded' and reason = 'quality'",
            "1",
            "refunds for quality",
            "refunded",
            "refund_reason",
        ),
        _order(
            "timed_refunds",
            "kind = 'refunded' and hours_since_paid is not null",
            "1",
            "refunds whose hours since payment are known",
            "refunded",
        ),
        _order(
            "refund_hours",
            "kind = 'refunded' and hours_since_paid is not null",
            "round(hours_since_paid)",
            "hours from payment to refund, rounded, summed over timed refunds",
            "refunded",
        ),
        _order(
            "net_sales_fen",
            "kind in ('paid', 'cancelled', 'refunded')",
            _NET,
            "amount paid less cancelled less refunded, fen",
            "paid",
        ),
        _order("shipped_orders", "kind = 'shipped'", "1", "shipments", "shipped"),
        _order(
            "timed_shipments",
            "kind = 'shipped' and hours_since_paid is not null",
            "1",
            "shipments whose hours since payment are known",
            "shipped",
        ),
        _order(
            "shipping_hours",
            "kind = 'shipped' and hours_since_paid is not null",
            "round(hours_since_paid)",
            "hours from payment to shipment, rounded, summed over timed shipments",
            "shipped",
        ),
        *(
            _order(
                f"shipped_within_{words}",
                f"kind = 'shipped' and hours_since_paid <= {hours}",
                "1",
                f"shipments at most {hours} hours after payment",
                "shipped",
            )
            for words, hours in SHIPPING_BINS.items()
        ),
        _order(
            "late_shipments",
            "kind = 'shipped' and hours_since_paid > 48",
            "1",
            "shipments more than 48 hours after payment",
            "shipped",
        ),
        _order(
            "traceable_shipments",
            "kind = 'shipped' and has_logistics is not null",
            "1",
            "shipments of which it is known whether a carrier saw them",
            "shipped",
        ),
        _order(
            "untraced_shipments",
            "kind = 'shipped' and not has_logistics",
            "1",
            "shipments without a trace at a carrier",
            "shipped",
        ),
        _order(
            "timed_deliveries",
            "kind = 'delivered' and hours_since_paid is not null",
            "1",
            "deliveries whose hours since payment are known",
            "delivered",
        ),
        _order(
            "delivery_hours",
            "kind = 'delivered' and hours_since_paid is not null",
            "round(hours_since_paid)",
            "hours from payment to delivery, rounded, summed over timed deliveries",
            "delivered",
        ),
        _order(
            "late_deliveries",
            "kind = 'delivered' and hours_since_paid > 168",
            "1",
            "deliveries more than seven days after payment",
            "delivered",
        ),
        _order("confirmed_orders", "kind = 'confirmed'", "1", "orders confirmed by the buyer", "confirmed"),
        _order(
            "timed_confirmations",
            "kind = 'confirmed' and hours_since_paid is not null",
            "1",
            "confirmations whose hours since payment are known",
            "confirmed",
        ),
        _order(
            "confirmation_hours",
            "kind = 'confirmed' and hours_since_paid is not null",
            "round(hours_since_paid)",
            "hours from payment to confirmation, rounded, summed over timed confirmations",
            "confirmed",
        ),
        _order(
            "fast_confirmations",
            "kind = 'confirmed' and hours_since_paid <= 24",
            "1",
            "orders confirmed within 24 hours of payment",
            "confirmed",
        ),
        _order("ratings", "kind = 'rated' and rating is not null", "1", "orders rated", "rated"),
        _order("rating_stars", "kind = 'rated' and rating is not null", "rating", "stars, summed", "rated"),
        _order("low_ratings", "kind = 'rated' and rating <= 2", "1", "ratings of one or two stars", "rated"),
        _order(
            "timed_ratings",
            "kind = 'rated' and rating is not null and hours_since_paid is not null",
            "1",
            "ratings whose hours since payment are known",
            "rated",
        ),
        _order(
            "fast_praises",
            "kind = 'rated' and rating = 5 and hours_since_paid <= 48",
            "1",
            "ratings of five stars within 48 hours of payment",
            "rated",
        ),
        _order("disputed_orders", "kind = 'disputed'", "1", "disputes opened", "disputed"),
        _order("lost_disputes", "kind = 'dispute_lost'", "1", "disputes lost", "dispute_lost"),
        _payment("payments", "true", "1", "payments in and out", "sale"),
        _payment(
            "inflow_fen",
            "direction = 'in' and kind not in ('loan_draw', 'other_lender')",
            "amount_fen",
            "money in, without loans drawn here or elsewhere, fen",
            "sale",
        ),
        _payment(
            "outside_inflow_fen",
            "direction = 'in' and kind in ('transfer', 'other')",
            "amount_fen",
            "money in that no sale, refund or loan brought, fen",
            "sale",
            "transfer",
        ),
        _payment(
            "outflow_fen",
            "direction = 'out' and kind <> 'loan_repayment'",
            "amount_fen",
            "money out, without loans repaid here, fen",
            "supplier",
            "withdrawal",
        ),
        _payment(
            "supplier_fen",
            "kind = 'supplier'",
            _PAID_LESS_PAID_BACK,
            "paid to suppliers less what they paid back, fen",
            "supplier",
        ),
        _payment(
            "advertising_fen",
            "kind = 'advertising'",
            _PAID_LESS_PAID_BACK,
            "paid for advertising less paid back, fen",
            "advertising",
        ),
        _payment(
            "withdrawn_fen",
            "kind = 'withdrawal'",
            _PAID_LESS_PAID_BACK,
            "withdrawn by the owner less brought back, fen",
            "withdrawal",
        ),
        _payment(
            "other_lender_fen",
            "kind = 'other_lender' and direction = 'out'",
            "amount_fen",
            "paid to other lenders, fen",
            "other_lender",
        ),
        _payment(
            "loan_repayment_fen",
            "kind = 'loan_repayment' and direction = 'out'",
            "amount_fen",
            "principal and interest paid on loans here, fen",
            "loan_repayment",
        ),
        Measure(
            "failed_debits",
            "payment_event",
            "direction = 'out' and failed",
            "1",
            "debits that failed for want of cover",
            ("payment_event.failed_debit",),
        ),
        _payment(
            "free_cash_fen",
            "kind not in ('loan_draw', 'loan_repayment') and not (kind = 'other_lender' and direction = 'in')",
            "case when direction = 'in' then amount_fen else -amount_fen end",
            "money in less money out, without loans drawn here or elsewhere, and without those repaid here, fen",
            "sale",
            "supplier",
            "withdrawal",
        ),
        _loan("drawn_loans", "drawn", "1", "draws"),
        _loan("drawn_fen", "drawn", "amount_fen", "principal drawn, fen"),
        _loan("repaid_fen", "repaid", "amount_fen", "principal repaid, fen"),
        _loan("written_off_loans", "written_off", "1", "loans written off"),
        _loan("reschedulings", "rescheduled", "1", "times that a loan was rescheduled"),
        _buyers("active_days", "1 where a day came to have a paid order, -1 where a correction took its last one away"),
        _buyers("last_buyers", "buyers whose newest order day this is; over a window, its distinct buyers"),
        _buyers("first_buyers", "buyers whose first order day this is; over a window, its new buyers"),
        _buyers(
            "second_last_buyers", "buyers whose second newest order this is; over a window, buyers with two or more"
        ),
    )
}


def digests() -> dict[str, str]:
    """What each measure sums, in one word: tiles of another word are made of other sums."""
    return {
        measure.name: hashlib.sha256(repr((measure.event, measure.sql)).encode()).hexdigest()[:12]
        for measure in MEASURES.values()
    }
