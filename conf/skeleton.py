"""A commented mapping file out of what some files hold: what can be guessed is filled in, the rest says TODO."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from conf.events import EVENTS
from conf.events import Field as EventField
from conf.names import CLOSE, closeness, is_personal
from conf.source import TO_BE_FILLED_IN

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
    lines.append(f"    event: {event}  # or {', '.join(other for other in EVENTS if other != event)}")
    persons = [_scalar(c.name) for c in seen.columns if is_personal(c.name) and c not in guesses.values()]
    if persons:
        lines.append(f"    personal: [{', '.join(persons)}]  # kept as pseudonyms where a record is refused")
    lines.append("    fields:")
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
    pairs = [(closeness(field.name, column.name), field.name, column) for field in fields for column in columns]
    found: dict[str, SeenColumn] = {}
    for nearness, field_name, column in sorted(pairs, key=lambda pair: -pair[0]):
        if nearness >= CLOSE and field_name not in found and column not in found.values():
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
