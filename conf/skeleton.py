"""A commented mapping file out of what some files hold: what can be guessed is filled in, the rest says TODO."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from conf.events import EVENTS, PERSONAL
from conf.events import Field as EventField
from conf.source import TO_BE_FILLED_IN

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
_CLOSE = 0.84
_ISO_STAMP = "[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+(Z|[+-][0-9:]+)?)?"
_LISTED_VALUES = 20


@dataclass(frozen=True)
class SeenColumn:
    """One column of a file: its name and type there, and texts that were seen in it."""

    name: str
    type: str
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeenFiles:
    """Files that look alike: the pattern of their places, and what the first of them holds."""

    pattern: str
    columns: tuple[SeenColumn, ...]
    csv: tuple[tuple[str, str], ...] = ()
    """Keys of `csv` where they are not the usual ones."""


def skeleton(name: str, deliveries: str, files: Sequence[SeenFiles]) -> str:
    """Write a mapping file. It is valid YAML; it loads once every TODO is filled in."""
    lines = [
        "# A mapping of a ledger to events, as `seller-credit source new` guessed it.",
        f"# Fill in every {TO_BE_FILLED_IN}, look at the rest, take off feeds that are no events, then try it:",
        f"#   seller-credit source check {name}.yml --input PATH",
        "# Every key is described in docs/bring-your-own-ledger.md.",
        f"name: {name}",
        f"description: {TO_BE_FILLED_IN}",
        f"time_zone: {TO_BE_FILLED_IN}  # of stamps that carry none, as Asia/Shanghai",
        f"deliveries: {deliveries}  # folders: each folder of the input is one delivery; whole: all of it is one",
        "arrival: {assume: event_day + 0}  # when you came to know, for the first load of history alone",
        "feeds:",
    ]
    taken: set[str] = set()
    for seen in files:
        stem = re.sub(r"[^a-z0-9]+", "_", seen.pattern.split(".")[0].lower()).strip("_") or "feed"
        feed = stem
        while feed in taken:
            feed += "_too"
        taken.add(feed)
        lines += _feed(feed, seen)
    return "\n".join(lines) + "\n"


def _feed(name: str, seen: SeenFiles) -> list[str]:
    event, guesses = max(
        ((event, _guesses(fields, seen.columns)) for event, fields in EVENTS.items()),
        key=lambda found: _fit(EVENTS[found[0]], found[1]),
    )
    lines = ["", f"  # {seen.pattern} has"]
    width = max((len(column.name) for column in seen.columns), default=0)
    for column in seen.columns:
        is_shown = column in guesses.values() or not _tells_apart(column)
        show = masked if is_personal(column.name) or not is_shown else cut
        examples = ", ".join(show(text) for text in column.seen[:3])
        lines.append(f"  #   {cut(column.name, 60):{width}}  {column.type}" + (f"  as {examples}" if examples else ""))
    lines += [f"  - name: {name}", f"    files: {_scalar(seen.pattern)}"]
    if seen.csv:
        lines.append("    csv: {" + ", ".join(f"{key}: {_scalar(value)}" for key, value in seen.csv) + "}")
    lines += [f"    event: {event}  # or {', '.join(other for other in EVENTS if other != event)}", "    fields:"]
    for field in EVENTS[event]:
        guess = guesses.get(field.name)
        if guess is not None or field.required:
            lines.append(f"      {field.name}: {_mapping(field, guess)}  # {field.meaning}")
            if field.allowed:
                lines.append(f"      #   ours: {', '.join(field.allowed)}")
        else:
            lines.append(f"      # {field.name}:  # {field.meaning}")
    return lines


def _fit(fields: Sequence[EventField], guesses: dict[str, SeenColumn]) -> float:
    required = [field.name for field in fields if field.required]
    return sum(name in guesses for name in required) / len(required) + 0.05 * len(guesses)


def _guesses(fields: Sequence[EventField], columns: Sequence[SeenColumn]) -> dict[str, SeenColumn]:
    """Columns by our field, the closest names first, no column twice."""
    pairs = [(_closeness(field.name, column.name), field.name, column) for field in fields for column in columns]
    found: dict[str, SeenColumn] = {}
    for closeness, field_name, column in sorted(pairs, key=lambda pair: -pair[0]):
        if closeness >= _CLOSE and field_name not in found and column not in found.values():
            found[field_name] = column
    # what no name tells the values may: the first column of stamps is when it happened
    stamps = (column for column in columns if column not in found.values() and _is_stamp(column))
    stamp = next(stamps, None)
    if stamp is not None and any(field.name == "happened_at" for field in fields):
        found.setdefault("happened_at", stamp)
    return found


def _is_stamp(column: SeenColumn) -> bool:
    if "timestamp" in column.type:
        return True
    looks = "|".join(look for look, pattern in _LOOKS if "H" in pattern or "milli" in pattern)
    return bool(column.seen) and all(re.fullmatch(f"{looks}|{_ISO_STAMP}", text) for text in column.seen)


def _closeness(field: str, column: str) -> float:
    plain = _plain(column)
    names = [_plain(name) for name in (field, *_CALLED.get(field, "").split())]
    return max(SequenceMatcher(None, plain, name).ratio() for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _mapping(field: EventField, column: SeenColumn | None) -> str:
    origin = _scalar(column.name) if column is not None else TO_BE_FILLED_IN
    keys = [f"column: {origin}"]
    seen = column.seen if column is not None else ()
    if field.type in ("money", "number") and seen and all(re.fullmatch(r"-?[0-9.]*,[0-9]+", text) for text in seen):
        keys.append("decimal: comma")
        keys += ["groups: true"] if any("." in text for text in seen) else []
    if field.type == "money":
        keys.append(f"unit: {TO_BE_FILLED_IN}")
    if field.type in ("timestamp", "date"):
        keys += _format(field, column)
    if field.allowed:
        ours = {value: value for value in field.allowed}
        pairs = (f"{_scalar(text)}: {ours.get(text.lower(), TO_BE_FILLED_IN)}" for text in seen[:_LISTED_VALUES])
        keys.append("values: {" + (", ".join(pairs) or f"{TO_BE_FILLED_IN}: {TO_BE_FILLED_IN}") + "}")
    return origin if len(keys) == 1 else "{" + ", ".join(keys) + "}"


_LOOKS = (
    (r"[0-9]{10}", "epoch_seconds"),
    (r"[0-9]{13}", "epoch_milliseconds"),
    (r"[0-9]{8}", "yyyyMMdd"),
    (r"[0-9]{14}", "yyyyMMddHHmmss"),
    (r"[0-9]{2}\.[0-9]{2}\.[0-9]{4}", "dd.MM.yyyy"),
    (r"[0-9]{2}\.[0-9]{2}\.[0-9]{4} [0-9]{2}:[0-9]{2}", "dd.MM.yyyy HH:mm"),
    (r"[0-9]{2}\.[0-9]{2}\.[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}", "dd.MM.yyyy HH:mm:ss"),
    (r"[0-9]{4}/[0-9]{2}/[0-9]{2}", "yyyy/MM/dd"),
    (r"[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", "yyyy/MM/dd HH:mm:ss"),
)


def _format(field: EventField, column: SeenColumn | None) -> list[str]:
    if column is None or not column.seen or not re.match("string|int|double|text", column.type):
        return []
    for look, pattern in _LOOKS:
        if all(re.fullmatch(look, text) for text in column.seen):
            return [f"format: {pattern}"]
    iso = _ISO_STAMP if field.type == "timestamp" else "[0-9]{4}-[0-9]{2}-[0-9]{2}"
    if all(re.fullmatch(iso, text) for text in column.seen):
        return []
    return [f"format: {TO_BE_FILLED_IN}"]


def _scalar(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", text)
    word = text.lower() in ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    return text if plain and not word else json.dumps(text, ensure_ascii=False)


def is_personal(column: str) -> bool:
    """Whether a column's name sounds like a person's."""
    return _PERSONAL_WORDS.search(column) is not None or any(_closeness(f, column) >= _CLOSE for f in MASKED)


def _tells_apart(column: SeenColumn) -> bool:
    """Whether a column may name persons in a language that we do not know: many texts that are no numbers or stamps."""
    return len(column.seen) > _LISTED_VALUES and any(re.search("[^-+0-9.,:/ TZ]", text) for text in column.seen)


def masked(text: str) -> str:
    """What may be shown of a person's id: enough to see of what kind it is."""
    return cut(text[:2]) + "…"


def not_in_values(field: str, counted: Sequence[tuple[str, int]], many: int) -> str:
    """What stands in a field whose `values` do not have it: the commonest values with their counts, of so many."""
    listed = ", ".join(f"{value} ({count})" for value, count in counted)
    return f"{field}: not in its values: {listed}" + (
        f", and {many - len(counted)} more" if many > len(counted) else ""
    )


def cut(text: str, most: int = 24) -> str:
    """A text short enough for a table, without signs that would break a line or a terminal."""
    flat = "".join(sign if sign.isprintable() else " " for sign in text)
    return flat if len(flat) <= most else flat[: most - 1] + "…"
