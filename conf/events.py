"""The events that any ledger is mapped to: their fields, units and allowed values.

Optional fields may be absent for good; features that need them are then null, and say so.
"""

from dataclasses import dataclass
from typing import Literal

FieldType = Literal["id", "text", "money", "timestamp", "date", "integer", "number", "boolean"]

SQL_TYPES: dict[FieldType, str] = {
    "id": "string",
    "text": "string",
    "money": "bigint",
    "timestamp": "timestamp",
    "date": "date",
    "integer": "int",
    "number": "double",
    "boolean": "boolean",
}


@dataclass(frozen=True)
class Field:
    """One field of an event."""

    name: str
    type: FieldType
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()
    smallest: int = 0
    largest: int | None = None
    """Of a number that is neither smaller than the one nor larger than the other: where None, any number is."""


def _required(name: str, type_: FieldType, meaning: str, allowed: tuple[str, ...] = ()) -> Field:
    return Field(name, type_, meaning, required=True, allowed=allowed)


SELLER_VERSION = (
    _required("seller_id", "id", "as the source names the seller"),
    _required("changed_on", "date", "business day from which this version holds"),
    Field("registered_on", "date", "business day on which the shop opened"),
    Field("world", "text", "name of the simulated world; absent in a real ledger"),
    Field("region", "text", "for fairness audits alone, never a model input"),
    Field("category", "text", "what the shop mostly sells"),
    Field("owner_type", "text", "for fairness audits alone, never a model input"),
    Field("owner_id", "id", "who owns the shop"),
    Field("payout_account_id", "id", "account to which sales are paid out"),
    Field("device_id", "id", "device from which the shop is run"),
    Field("verified", "boolean", "whether the owner's identity was verified"),
    Field("penalty_points", "integer", "points for breaking the platform's rules"),
    Field("closed_on", "date", "business day on which the shop closed; null while open"),
)

_EVENT = (
    _required("event_id", "id", "the source's id of this event"),
    _required("seller_id", "id", "as the source names the seller"),
    _required("happened_at", "timestamp", "when it happened, UTC"),
    Field("voids", "id", "a correction: id of the event that never was"),
)

ORDER_EVENT = (
    *_EVENT,
    _required("order_id", "id", "the source's id of the order"),
    _required("buyer_id", "id", "who bought"),
    _required(
        "kind",
        "text",
        "what happened to the order",
        allowed=(
            "paid",
            "shipped",
            "delivered",
            "confirmed",
            "cancelled",
            "refunded",
            "rated",
            "disputed",
            "dispute_lost",
        ),
    ),
    _required("amount_fen", "money", "amount of the order or, of a refund, what was paid back; fen"),
    Field("item_id", "id", "what was bought"),
    Field("category", "text", "category of the item"),
    Field("list_price_fen", "money", "price before discount; fen"),
    Field("quantity", "integer", "pieces"),
    # eleven years; rounded hours are summed as 64 bits
    Field("hours_since_paid", "number", "hours from payment to this event", largest=100_000),
    Field("has_logistics", "boolean", "whether the shipment left a trace at a carrier"),
    Field("rating", "integer", "stars, 1 to 5", smallest=1, largest=5),
    Field("reason", "text", "why it was refunded or disputed; `quality` counts as one for quality"),
)

PAYMENT_EVENT = (
    *_EVENT,
    _required("counterparty_id", "id", "who paid or was paid"),
    _required("direction", "text", "in: to the seller; out: from the seller", allowed=("in", "out")),
    _required(
        "kind",
        "text",
        "what the movement was for",
        allowed=(
            "sale",
            "refund",
            "supplier",
            "advertising",
            "withdrawal",
            "wages",
            "tax",
            "fee",
            "loan_draw",
            "loan_repayment",
            "other_lender",
            "transfer",
            "other",
        ),
    ),
    _required("amount_fen", "money", "amount moved; fen"),
    Field("balance_fen", "money", "balance of the account afterwards; fen"),
    Field("failed", "boolean", "true when the movement was tried and did not take place"),
)

LOAN_EVENT = (
    *_EVENT,
    _required("loan_id", "id", "the source's id of the loan"),
    _required(
        "kind",
        "text",
        "what happened to the loan; due: one instalment of principal, falling due on due_on",
        allowed=("applied", "declined", "approved", "drawn", "due", "repaid", "rescheduled", "written_off", "outcome"),
    ),
    _required("amount_fen", "money", "principal drawn, due, repaid or written off; fen"),
    Field("due_on", "date", "business day on which the instalment falls due"),
    Field("daily_rate", "number", "interest a day, as a share of principal"),
    Field("term_days", "integer", "days from draw to the last instalment"),
    Field("decision_id", "id", "our decision that the loan rests on"),
    Field("approval_probability", "number", "probability with which it was approved, 0 to 1"),
    Field("bad", "boolean", "of an outcome: whether the loan went bad"),
)

EVENTS: dict[str, tuple[Field, ...]] = {
    "seller_version": SELLER_VERSION,
    "order_event": ORDER_EVENT,
    "payment_event": PAYMENT_EVENT,
    "loan_event": LOAN_EVENT,
}

PERSONAL = ("buyer_id", "counterparty_id")
"""Fields that name a person or a firm that is no seller of ours: kept as pseudonyms."""
