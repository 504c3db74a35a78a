"""How one ledger's columns become our events: the model of a source file.

Bringing a ledger is writing one such file; no Python. `conf/sources/` holds those that come with the package.
"""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from conf.errors import UserError
from conf.events import EVENTS
from conf.files import Strict, parse_yaml, read_yaml, validate

Constant = str | int | float | bool


class FieldMapping(Strict):
    """Where one of our fields comes from: exactly one of a column, an SQL expression or a constant."""

    column: str | None = None
    expression: str | None = Field(default=None, description="Spark SQL over the source's columns")
    constant: Constant | None = None
    unit: Literal["fen", "yuan"] | None = Field(default=None, description="of money: what the source counts in")
    format: str | None = Field(default=None, description="of a date or timestamp held as text, as yyyy-MM-dd")
    values: dict[str, str] | None = Field(default=None, description="their value: our value; others are refused")

    @model_validator(mode="after")
    def _one_origin(self) -> "FieldMapping":
        given = [name for name in ("column", "expression", "constant") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"want exactly one of column, expression, constant; have {', '.join(given) or 'none'}")
        return self


class Arrival(Strict):
    """When we came to know, for the first load of history; later loads take the day that `ingest` is told."""

    column: str | None = None
    assume: str | None = Field(default=None, pattern=r"^event_day \+ [0-9]{1,3}$")

    @model_validator(mode="after")
    def _one_rule(self) -> "Arrival":
        if (self.column is None) == (self.assume is None):
            raise ValueError("want exactly one of column, assume (for example `assume: event_day + 0`)")
        return self

    @property
    def days_after_event(self) -> int:
        return int((self.assume or "event_day + 0").rpartition(" ")[2])


class Feed(Strict):
    """One kind of event out of some of the files. One file may feed several kinds, each with a filter."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    files: str = Field(description="pattern under the delivery, for example orders/*.parquet")
    event: Literal["seller_version", "order_event", "payment_event", "loan_event"]
    filter: str | None = Field(default=None, description="SQL condition on the source's columns")
    arrival: Arrival | None = Field(default=None, description="where it differs from the source's")
    fields: dict[str, FieldMapping]
    tells: tuple[str, ...] = Field(default=(), description="kinds of record that it tells, where no value map says so")

    @field_validator("fields", mode="before")
    @classmethod
    def _short_form(cls, fields: Any) -> Any:
        # `seller_id: shop_id` is short for `seller_id: {column: shop_id}`
        if isinstance(fields, dict):
            return {name: {"column": value} if isinstance(value, str) else value for name, value in fields.items()}
        return fields

    @model_validator(mode="after")
    def _fields_of_the_event(self) -> "Feed":
        known = {field.name: field for field in EVENTS[self.event]}
        problems = [f"fields.{name}: is no field of {self.event}" for name in self.fields if name not in known]
        problems += [f"fields.{f.name}: is missing" for f in known.values() if f.required and f.name not in self.fields]
        for name, mapping in self.fields.items():
            if name not in known:
                continue
            field = known[name]
            if field.type == "money" and mapping.unit is None and not isinstance(mapping.constant, int):
                problems.append(f"fields.{name}: unit is missing (fen or yuan)")
            if field.type != "money" and mapping.unit is not None:
                problems.append(f"fields.{name}: unit is for money, this is {field.type}")
            if mapping.format is not None and field.type not in ("date", "timestamp"):
                problems.append(f"fields.{name}: format is for dates and timestamps, this is {field.type}")
            if field.allowed:
                ours = set((mapping.values or {}).values())
                if isinstance(mapping.constant, str):
                    ours.add(mapping.constant)
                for value in sorted(ours - set(field.allowed)):
                    problems.append(f"fields.{name}: {value!r} is none of {', '.join(field.allowed)}")
            problems += _constant_problems(name, field.type, mapping)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def kinds_told(self) -> frozenset[str]:
        """The kinds of record that this feed can bring, as `order_event.paid`."""
        kind = self.fields.get("kind")
        kinds: set[str] = set(self.tells)
        if kind is not None and isinstance(kind.constant, str):
            kinds.add(kind.constant)
        if kind is not None and kind.values is not None:
            kinds |= set(kind.values.values())
        return frozenset(f"{self.event}.{name}" for name in kinds)


def _constant_problems(name: str, kind: str, mapping: FieldMapping) -> list[str]:
    value = mapping.constant
    if value is None:
        return []
    wanted: dict[str, tuple[type, ...]] = {
        "id": (str, int),
        "text": (str,),
        "money": (int, float),
        "timestamp": (str,),
        "date": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    right = isinstance(value, wanted[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return [] if right else [f"fields.{name}: constant {value!r} is no {kind}"]


class Source(Strict):
    """One ledger."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    description: str
    simulated: bool = Field(default=False, description="marks every figure made from it as simulated")
    time_zone: str = Field(description="of timestamps that carry none")
    deliveries: Literal["folders", "whole"] = Field(
        description="folders: each folder of the input is one delivery; whole: the input is one delivery"
    )
    ignore: tuple[str, ...] = Field(default=(), description="patterns of files that no feed reads")
    arrival: Arrival
    feeds: tuple[Feed, ...] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no IANA time zone (example: Asia/Shanghai)")
        return value

    @model_validator(mode="after")
    def _names_once(self) -> "Source":
        names = [feed.name for feed in self.feeds]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feeds: {', '.join(twice)} stands twice")
        return self

    def kinds_told(self) -> frozenset[str]:
        """The kinds of record that this source can bring."""
        return frozenset().union(*(feed.kinds_told() for feed in self.feeds))

    def names_persons(self) -> bool:
        """Whether it tells of buyers or counterparties, who are kept under pseudonyms."""
        return any({"buyer_id", "counterparty_id"} & set(feed.fields) for feed in self.feeds)

    def digest(self) -> str:
        """Sha-256 of what the mapping says."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def source_names() -> list[str]:
    """Names of the sources that come with the package."""
    return sorted(entry.name[:-4] for entry in (files("conf") / "sources").iterdir() if entry.name.endswith(".yml"))


def load_source(name_or_file: str) -> Source:
    """Read a source by the name of one that comes with the package, or from a file.

    Raises UserError with everything that is wrong in it, each with file and line.
    """
    if name_or_file.endswith((".yml", ".yaml")):
        data, places = read_yaml(Path(name_or_file))
        return validate(Source, data, places, name_or_file)
    if name_or_file not in source_names():
        raise UserError(
            f"--source {name_or_file}: there is none; known: {', '.join(source_names())}, or a path to a .yml file"
        )
    place = f"conf/sources/{name_or_file}.yml"
    data, places = parse_yaml((files("conf") / "sources" / f"{name_or_file}.yml").read_text("utf-8"), place)
    return validate(Source, data, places, place)


def column_names(feed: Feed) -> Mapping[str, str]:
    """The source's columns that a feed names outright, by our field."""
    return {name: mapping.column for name, mapping in feed.fields.items() if mapping.column is not None}
