"""Under which names ledgers keep what is ours, and which of them are persons'."""

import re
from difflib import SequenceMatcher

from conf.events import PERSONAL

# Names under which ledgers keep what we call so; compared without case and signs between words.
_CALLED = {
    "event_id": "id event transaction_id txn_id entry_id record_id belegnummer",
    "seller_id": "seller shop shop_id store store_id merchant merchant_id vendor vendor_id haendler verkaeufer",
    "happened_at": "at time timestamp ts created created_at booked_at paid_at date datetime datum zeitpunkt",
    "voids": "voids reverses reversal_of cancels_id storno_von",
    "order_id": "order order_no order_number order_nr bestellnummer bestellnr auftrag",
    "buyer_id": "buyer customer customer_id client client_id user_id consumer kunde kundennummer",
    "kind": "kind type what event_type status operation action art vorgang",
    "amount_fen": "amount amount_fen total sum price value gross paid betrag summe preis principal",
    "item_id": "item sku product product_id article artikel",
    "category": "category product_category kategorie",
    "list_price_fen": "list_price catalogue_price original_price",
    "quantity": "quantity qty pieces count menge stueck",
    "hours_since_paid": "hours_since_paid",
    "has_logistics": "logistics has_logistics tracked",
    "rating": "rating stars score bewertung",
    "reason": "reason comment grund",
    "counterparty_id": "counterparty party partner payer payee account_to account_from other_party iban gegenkonto",
    "direction": "direction side in_out credit_debit dc richtung soll_haben",
    "balance_fen": "balance balance_after saldo",
    "failed": "failed rejected bounced",
    "changed_on": "changed_on changed updated_on valid_from version_date",
    "registered_on": "registered_on opened_on opened registered joined created_on",
    "region": "region province state city",
    "owner_type": "owner_type legal_form",
    "owner_id": "owner owner_id",
    "payout_account_id": "payout_account payout_account_id bank_account account",
    "device_id": "device device_id",
    "verified": "verified kyc is_verified",
    "penalty_points": "penalty_points penalties points",
    "closed_on": "closed_on closed",
    "loan_id": "loan loan_id contract contract_id credit_id",
    "due_on": "due_on due due_date maturity",
    "daily_rate": "daily_rate interest_rate rate",
    "term_days": "term_days term",
    "decision_id": "decision decision_id",
    "approval_probability": "approval_probability",
    "bad": "bad defaulted default is_default",
}
MASKED = (*PERSONAL, "owner_id", "payout_account_id", "device_id")
"""Fields that tell of a person: no example of them is shown as it is."""

_PERSONAL_WORDS = re.compile("name|phone|mail|address|iban|card|passport|birth", re.IGNORECASE)
CLOSE = 0.84
"""From here on two names are taken for one."""


def closeness(field: str, column: str) -> float:
    """How near a column's name is to one under which ledgers keep a field, from 0 to 1."""
    plain = _plain(column)
    names = [_plain(name) for name in (field, *_CALLED.get(field, "").split())]
    return max(SequenceMatcher(None, plain, name).ratio() for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def is_personal(column: str) -> bool:
    """Whether a column's name sounds like a person's."""
    return _PERSONAL_WORDS.search(column) is not None or any(closeness(f, column) >= CLOSE for f in MASKED)
