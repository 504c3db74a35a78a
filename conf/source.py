"""How one ledger's columns become our events: the model of a source file.

Bringing a ledger is writing one such file; no Python. `conf/sources/` holds those that come with the package.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from conf.errors import UserError
from conf.events import EVENTS, PERSONAL
from conf.expressions import Expression, ExpressionError, Mention, read_expression
from conf.files import KeyPath, Strict, parse_yaml, read_yaml, validate

Constant = str | int | float | bool

TO_BE_FILLED_IN = "TODO"
"""What `source new` writes where it cannot guess."""

FEN_IN: dict[str, int] = {"fen": 1, "jiao": 10, "yuan": 100, "thousands": 100_000}
"""What a source may count money in, in fen; `thousands` are thousands of yuan."""

TOLD_BY_FIELD = frozenset(("item_id", "category"))
"""Optional fields of paid orders: what is made of them is unknown, not zero, where no source has them."""

ISO, EPOCH_SECONDS, EPOCH_MILLISECONDS = "iso", "epoch_seconds", "epoch_milliseconds"

_WEEK_LETTERS = re.compile("[YwWuecE]")
_QUOTED = re.compile("'[^']*'")


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone (example: Asia/Shanghai)")
    return value


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _time_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in formats:
        if pattern not in (ISO, EPOCH_SECONDS, EPOCH_MILLISECONDS) and _WEEK_LETTERS.search(_QUOTED.sub("", pattern)):
            raise ValueError(f"{pattern!r}: years are yyyy, days dd; letters of weeks and weekdays cannot be read")
    return formats


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Formats = Annotated[tuple[str, ...], BeforeValidator(_one_or_several), AfterValidator(_time_formats)]


class FieldMapping(Strict):
    """Where one of our fields comes from: exactly one of a column, an SQL expression or a constant."""

    column: str | None = None
    expression: str | None = Field(default=None, description="Spark SQL over the source's columns")
    constant: Constant | None = None
    optional: bool = Field(default=False, description="columns that it names may be missing from a file: null there")
    unit: Literal["fen", "jiao", "yuan", "thousands"] | None = Field(
        default=None, description="of money: what the source counts in"
    )
    decimal: Literal["point", "comma"] = Field(default="point", description="of numbers held as text")
    groups: bool = Field(default=False, description="digits of numbers held as text stand in threes: 1.234,50")
    absolute: bool = Field(default=False, description="of money: the sign is left off, since another field tells it")
    format: Formats | None = Field(
        default=None,
        description="of dates and timestamps: yyyy-MM-dd and the like, iso, epoch_seconds, epoch_milliseconds; the"
        " first of several that fits",
    )
    time_zone: TimeZone | None = Field(default=None, description="of stamps that carry none, where it differs")
    values: dict[str, str] | None = Field(default=None, description="their value: our value; others are refused")
    otherwise: str | None = Field(default=None, description="our value for theirs that `values` does not have")

    @field_validator("values", mode="before")
    @classmethod
    def _quoted_values(cls, values: Any) -> Any:
        # YAML takes yes, no, on, 1 for something else than text
        if isinstance(values, dict):
            bare = [value for pair in values.items() for value in pair if not isinstance(value, str)]
            if bare:
                raise ValueError(f"write {', '.join(map(repr, bare))} in quotes, as the source has it")
        return values

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name in ("column", "expression", "constant") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"want exactly one of column, expression, constant; have {', '.join(given) or 'none'}")
        if TO_BE_FILLED_IN in (self.column, self.expression):
            raise ValueError(f"still says {TO_BE_FILLED_IN}")
        if self.expression is not None:
            _read(self.expression)
        if self.otherwise is not None and self.values is None:
            raise ValueError("otherwise goes with values")
        if self.optional and self.constant is not None:
            raise ValueError("a constant is always there: optional is for columns")
        return self

    @property
    def read(self) -> Expression | None:
        """What runs in place of the expression."""
        return read_expression(self.expression) if self.expression is not None else None

    @property
    def sql(self) -> str | None:
        """What runs to read it; None of a constant."""
        if self.column is not None:
            return "`" + self.column.replace("`", "``") + "`"
        return self.read.value if self.read is not None else None

    @property
    def mentions(self) -> tuple[Mention, ...]:
        """Where it reads the source's columns."""
        if self.column is not None:
            return (Mention(self.column),)
        return self.read.mentions if self.read is not None else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that it reads."""
        return tuple(dict.fromkeys(mention.column for mention in self.mentions))


def _read(text: str) -> Expression:
    try:
        return read_expression(text)
    except ExpressionError as error:
        raise ValueError(f"`{text}`: {error}") from None


class Csv(Strict):
    """How the CSV files of a feed are written."""

    delimiter: str = Field(default=",", min_length=1, max_length=2)
    quote: str = Field(default='"', max_length=1, description="empty: no value is quoted")
    escape: str = Field(default='"', max_length=1, description="before a quote within quotes")
    encoding: Literal["utf-8", "utf-16", "latin-1", "windows-1252", "gbk", "gb18030", "big5"] = "utf-8"
    header: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="columns in the file's order, where it has no header line"
    )
    one_line: bool = Field(default=False, description="a record never goes over a line end, whatever stray quotes say")


class Arrival(Strict):
    """When we came to know, for the first load of history; later loads take the day that `ingest` is told."""

    column: str | None = None
    format: Formats | None = Field(default=None, description="of the column, as a field's")
    time_zone: TimeZone | None = Field(default=None, description="of stamps that carry none, where it differs")
    assume: str | None = Field(default=None, pattern=r"^event_day \+ [0-9]{1,3}$")

    @model_validator(mode="after")
    def _one_rule(self) -> "Arrival":
        if (self.column is None) == (self.assume is None):
            raise ValueError("want exactly one of column, assume (for example `assume: event_day + 0`)")
        if self.column is None and (self.format is not None or self.time_zone is not None):
            raise ValueError("format and time_zone go with column")
        if self.column == TO_BE_FILLED_IN:
            raise ValueError(f"still says {TO_BE_FILLED_IN}")
        return self

    @property
    def mapping(self) -> FieldMapping | None:
        """The column as a field is mapped; None where the day is assumed."""
        if self.column is None:
            return None
        return FieldMapping(column=self.column, format=self.format, time_zone=self.time_zone)

    @property
    def days_after_event(self) -> int:
        return int((self.assume or "event_day + 0").rpartition(" ")[2])


class Feed(Strict):
    """One kind of event out of some of the files. One file may feed several kinds, each with a filter."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    files: str | tuple[str, ...] = Field(description="pattern under the delivery, as orders/*.parquet, or several")
    event: Literal["seller_version", "order_event", "payment_event", "loan_event"]
    csv: Csv | None = Field(default=None, description="where it differs from the source's")
    time_zone: TimeZone | None = Field(default=None, description="where it differs from the source's")
    filter: str | None = Field(default=None, description="SQL condition; a record on which it fails is not taken")
    arrival: Arrival | None = Field(default=None, description="where it differs from the source's")
    personal: tuple[str, ...] = Field(
        default=(),
        description="other columns that tell of persons: pseudonyms stand for them where a record is refused",
    )
    fields: dict[str, FieldMapping]
    tells: tuple[str, ...] = Field(
        default=(),
        description="kinds of record that it tells, where no value map says so; a mapped item or category tells itself",
    )

    @field_validator("fields", mode="before")
    @classmethod
    def _short_form(cls, fields: Any) -> Any:
        # `seller_id: shop_id` is short for `seller_id: {column: shop_id}`
        if isinstance(fields, dict):
            return {name: {"column": value} if isinstance(value, str) else value for name, value in fields.items()}
        return fields

    @field_validator("filter")
    @classmethod
    def _that_cannot_fail(cls, text: str | None) -> str | None:
        # what is kept is what runs: whoever filters by it need not know that it was written anew
        return None if text is None else _read(_read(text).value).value

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of its files."""
        return (self.files,) if isinstance(self.files, str) else self.files

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """The source's columns that the filter reads."""
        return read_expression(self.filter).columns if self.filter is not None else ()

    @model_validator(mode="after")
    def _fields_of_the_event(self) -> Self:
        known = {field.name: field for field in EVENTS[self.event]}
        problems = list(_names_that_do_not_fit(self.event, self.fields))
        for name, mapping in self.fields.items():
            if name not in known:
                continue
            field = known[name]
            if field.type == "money" and mapping.unit is None and not isinstance(mapping.constant, int):
                problems.append(f"fields.{name}: unit is missing ({', '.join(FEN_IN)})")
            if field.type != "money" and mapping.unit is not None:
                problems.append(f"fields.{name}: unit is for money, this is {field.type}")
            if mapping.absolute and field.type != "money":
                problems.append(f"fields.{name}: absolute is for money, this is {field.type}")
            if (mapping.decimal != "point" or mapping.groups) and field.type not in ("money", "number", "integer"):
                problems.append(f"fields.{name}: decimal and groups are for numbers, this is {field.type}")
            problems += [
                f"fields.{name}: {key} is for dates and timestamps, this is {field.type}"
                for key in ("format", "time_zone")
                if getattr(mapping, key) is not None and field.type not in ("date", "timestamp")
            ]
            if name in PERSONAL and mapping.values is not None:
                problems.append(f"fields.{name}: is kept as a pseudonym, which no values can name")
            if mapping.optional and field.required:
                problems.append(f"fields.{name}: is required, so that its columns cannot be optional")
            if field.allowed:
                ours = {*(mapping.values or {}).values(), *([mapping.otherwise] if mapping.otherwise else [])}
                if isinstance(mapping.constant, str):
                    ours.add(mapping.constant)
                strange = sorted(ours - set(field.allowed))
                problems += [f"fields.{name}: {value!r} is none of {', '.join(field.allowed)}" for value in strange]
            problems += _constant_problems(name, field.type, mapping)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def kinds_told(self) -> frozenset[str]:
        """The kinds of record that this feed can bring, as `order_event.paid`, and fields, as `order_event.item_id`."""
        kind = self.fields.get("kind")
        kinds: set[str] = set(self.tells)
        if kind is not None and isinstance(kind.constant, str):
            kinds.add(kind.constant)
        if kind is not None and kind.values is not None:
            kinds |= {*kind.values.values(), *([kind.otherwise] if kind.otherwise else [])}
        if "paid" in kinds:
            kinds |= set(self.fields) & TOLD_BY_FIELD
        return frozenset(f"{self.event}.{name}" for name in kinds)


def _names_that_do_not_fit(event: str, fields: Mapping[str, Any]) -> list[str]:
    known = EVENTS[event]
    names = [field.name for field in known]
    wrong = [f"fields.{name}: is no field of {event}{_near(name, names)}" for name in fields if name not in names]
    return wrong + [f"fields.{f.name}: is missing" for f in known if f.required and f.name not in fields]


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1, 0.6)
    return f" (near to it: {near[0]})" if near else ""


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
    time_zone: TimeZone = Field(description="of timestamps that carry none")
    deliveries: Literal["folders", "whole"] = Field(
        description="folders: each folder of the input is one delivery; whole: the input is one delivery"
    )
    ignore: tuple[str, ...] = Field(default=(), description="patterns of files that no feed reads")
    arrival: Arrival
    csv: Csv = Csv()
    feeds: tuple[Feed, ...]
    _places: Mapping[KeyPath, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, data: Any) -> Any:
        # a feed's zone is its timestamps' and dates', unless they have their own
        if not isinstance(data, dict) or not isinstance(data.get("feeds"), list | tuple):
            return data
        return {**data, "feeds": [_with_zone_of_its_fields(feed) for feed in data["feeds"]]}

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        if not self.feeds:
            raise ValueError("feeds: there is none")
        names = [feed.name for feed in self.feeds]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feeds: {', '.join(twice)} stands twice")
        return self

    def csv_of(self, feed: Feed) -> Csv:
        """How a feed's CSV files are written."""
        return feed.csv or self.csv

    def arrival_of(self, feed: Feed) -> Arrival:
        """When we came to know a feed's records, for the first load of history."""
        return feed.arrival or self.arrival

    def zone_of(self, feed: Feed) -> str:
        """The zone of a feed's stamps that carry none."""
        return feed.time_zone or self.time_zone

    def place(self, feed: str, field: str) -> str | None:
        """Where the mapping says something of a feed's field, as `file:line`; None where it was read from no file."""
        number = next((number for number, known in enumerate(self.feeds) if known.name == feed), -1)
        paths: list[KeyPath] = [("feeds", number, "fields", field), ("feeds", number, field), ("feeds", number)]
        return next((self._places[path] for path in paths if path in self._places), None)

    def kinds_told(self) -> frozenset[str]:
        """The kinds of record that this source can bring."""
        return frozenset().union(*(feed.kinds_told() for feed in self.feeds))

    def names_persons(self) -> bool:
        """Whether it tells of buyers, counterparties or others, who are kept under pseudonyms."""
        return any(feed.personal or set(PERSONAL) & set(feed.fields) for feed in self.feeds)

    def digest(self) -> str:
        """Sha-256 of what the mapping says."""
        return hashlib.sha256(
            json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True).encode()
        ).hexdigest()


def _with_zone_of_its_fields(feed: Any) -> Any:
    if not isinstance(feed, dict) or not isinstance(feed.get("fields"), dict) or "time_zone" not in feed:
        return feed
    timed = {field.name for field in EVENTS.get(str(feed.get("event")), ()) if field.type in ("timestamp", "date")}
    fields = {
        name: {"time_zone": feed["time_zone"], **({"column": given} if isinstance(given, str) else given)}
        if name in timed and isinstance(given, str | dict)
        else given
        for name, given in feed["fields"].items()
    }
    return {**feed, "fields": fields}


def source_names() -> list[str]:
    """Names of the sources that come with the package."""
    return sorted(entry.name[:-4] for entry in (files("conf") / "sources").iterdir() if entry.name.endswith(".yml"))


def load_source(name_or_file: str) -> Source:
    """Read a source by the name of one that comes with the package, or from a file.

    Raises UserError with everything that is wrong in it, each with file and line.
    """
    if name_or_file.endswith((".yml", ".yaml")):
        data, places = read_yaml(Path(name_or_file))
        return _source(data, places, name_or_file)
    if name_or_file not in source_names():
        raise UserError(
            f"--source {name_or_file}: there is none; known: {', '.join(source_names())}, or a path to a .yml file"
        )
    place = f"conf/sources/{name_or_file}.yml"
    data, places = parse_yaml((files("conf") / "sources" / f"{name_or_file}.yml").read_text("utf-8"), place)
    return _source(data, places, place)


def _source(data: dict[str, Any], places: Mapping[KeyPath, str], name: str) -> Source:
    try:
        source = validate(Source, data, dict(places), name)
    except UserError as error:
        # a feed with a wrong key is not looked at as a whole: what it lacks besides is told here
        told = "\n".join(error.problems)
        more = [problem for problem in _lacking(data, places, name) if problem not in told]
        raise UserError([*error.problems, *more]) from None
    source._places = places
    return source


def _lacking(data: Mapping[str, Any], places: Mapping[KeyPath, str], name: str) -> list[str]:
    feeds = data.get("feeds")
    problems = []
    for number, feed in enumerate(feeds if isinstance(feeds, list) else []):
        if isinstance(feed, dict) and feed.get("event") in EVENTS and isinstance(feed.get("fields"), dict):
            for problem in _names_that_do_not_fit(feed["event"], feed["fields"]):
                field = problem.partition(":")[0].removeprefix("fields.")
                here: KeyPath = ("feeds", number, "fields")
                problems.append(f"{places.get((*here, field), places[here])}: feeds.{number}.{problem}")
    return problems
