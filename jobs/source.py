"""Mapping files: which there are, how one fits a ledger's files, and a skeleton of a new one."""

import codecs
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from secrets import token_bytes

import click
import pyarrow.parquet
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.events import EVENTS, Field
from conf.names import MASKED
from conf.skeleton import SeenColumn, SeenFiles, cut, masked, not_in_values, skeleton
from conf.source import TO_BE_FILLED_IN, Feed, FieldMapping, Source, load_source, source_names
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.deliveries import (
    UNNAMED,
    Delivery,
    Listing,
    RefusedFile,
    columns_of,
    delta_table,
    format_of,
    list_input,
    sample_deliveries,
)
from jobs.lakehouse.intake import key_pads
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.reading import Group, broken_files_named, nested_columns, raw_records, readable
from transforms.intake.expressions import origin_of
from transforms.intake.fields import ARRIVAL, mapped_value, read_field
from transforms.intake.mapping import Calendar, Records, map_records, told_arrival, unclaimed, with_reasons
from transforms.intake.pseudonyms import is_among, personal_columns

_EXAMPLES = 3
_LISTED = 20
_HEAD_BYTES = 1 << 18
_HEAD_ROWS = 1000


# ---- check ----------------------------------------------------------------------------------------------------------


def check(lake: Lake, source: Source, root: str, records: int, today: date) -> tuple[Report, list[str]]:
    """Try a mapping on the first `records` records of the first two files of each feed and of its last.

    Nothing is written. Returns the report, and what makes the mapping unfit: a feed of which no record is good.
    Raises UserError with everything where a feed has no files, or columns are not in them.
    """
    deliveries, files, unread = sample_deliveries(source, root)
    without = [feed for feed in source.feeds if not files[feed.name]]
    refused = [(delivery, file) for delivery in deliveries for file in delivery.refused]
    problems = [
        f"{source.place(feed.name, 'files') or source.name}: feed {feed.name}: no file is called"
        f" {' or '.join(feed.patterns)}"
        for feed in without
    ]
    try:
        groups = readable(lake, source, deliveries, refused)
    except UserError as error:
        raise UserError([*problems, *error.problems]) from None
    read = {feed.name for group in groups for feed in group.feeds}
    problems += [
        f"feed {feed.name}: {file.name}: {file.reason.removeprefix('file: ')}"
        for feed in source.feeds
        if feed.name not in read
        for _, file in refused
    ]
    if problems:
        raise UserError(list(dict.fromkeys(problems)))

    calendar = Calendar(
        zone=lake.settings.calendar.time_zone,
        first_day=lake.settings.calendar.first_day,
        first_open_day=lake.settings.calendar.first_day,
        told_arrival_day=None,
        today=today,
    )
    found = {feed.name: _Found(feed, source.arrival_of(feed).mapping) for feed in source.feeds}
    untaken: Counter[str] = Counter()
    # nothing is kept: a key that nobody has to know again
    secret = key_pads(lake.spark, token_bytes(32))
    with broken_files_named(root):
        for group in groups:
            sample = raw_records(lake, source, group, deliveries, root).limit(records).persist()
            for feed in group.feeds:
                found[feed.name].look_at(sample, source, group, calendar, secret)
            left_over = unclaimed(sample, group.feeds, (), sample)
            # at most as many rows as were asked for: a sample, looked at here
            for row in left_over.select("reasons").collect() if left_over is not None else ():
                untaken.update(row["reasons"])
            sample.unpersist()
    return _report(source, list(found.values()), files, unread, refused, untaken)


class _Found:
    """What a sample shows of one feed."""

    def __init__(self, feed: Feed, arrival: FieldMapping | None) -> None:
        self.feed = feed
        self.mappings = feed.fields | ({ARRIVAL.name: arrival} if arrival else {})
        self.taken = 0
        self.good = 0
        self.filled: Counter[str] = Counter()
        self.examples: dict[str, dict[str, None]] = {name: {} for name in self.mappings}
        self.reasons: Counter[str] = Counter()
        self.unmapped: dict[str, Counter[str]] = {}
        self.groups = 0
        self.lacking: Counter[str] = Counter()
        self.hidden: dict[str, None] = {}

    def look_at(self, sample: DataFrame, source: Source, group: Group, calendar: Calendar, secret: DataFrame) -> None:
        """Add the sample of one group of files, mapped as `ingest` would map it under a key of its own."""
        feed = self.feed
        hidden = personal_columns(group.feeds, sample.columns, nested_columns(group, sample))
        rows = sample if feed.filter is None else sample.filter(F.expr(feed.filter))
        fields = {field.name: field for field in EVENTS[feed.event]}
        ours = {name: _ours(fields[name], m, rows, source.time_zone) for name, m in feed.fields.items()}
        if ARRIVAL.name in self.mappings:
            ours[ARRIVAL.name] = told_arrival(rows, source, feed, calendar)
        texts = rows.select(
            *(origin_of(mapping).cast("string").alias(name) for name, mapping in self.mappings.items()),
            *(ours[name].cast("string").alias(f"ours_{name}") for name in self.mappings),
        )
        # at most as many rows as were asked for: a sample, looked at here
        for row in texts.collect():
            self.taken += 1
            for name, mapping in self.mappings.items():
                text, our = row[name], row[f"ours_{name}"]
                if text is None or not text.strip():
                    continue
                self.filled[name] += 1
                if len(self.examples[name]) < _EXAMPLES:
                    example = self._shown(name, text)
                    is_changed = mapping.constant is None and our is not None and our != text
                    self.examples[name][f"{example} → {our}" if is_changed else example] = None
                if mapping.values is not None and our is None:
                    self.unmapped.setdefault(name, Counter())[self._shown(name, text)] += 1
        mapped = map_records(Records(sample, source, feed, calendar, hidden, secret, group.feeds))
        for row in with_reasons(mapped).select("reasons").collect():
            self.good += not row["reasons"]
            self.reasons.update(row["reasons"])
        read = [column for f in group.feeds for m in f.fields.values() for column in m.columns]
        self.hidden |= {c: None for c in hidden if is_among(c, feed.personal) or not is_among(c, read)}
        self.groups += 1
        seen = {name.lower() for name in _columns(sample, group)}
        self.lacking.update(
            name for name, m in self.mappings.items() if any(column.lower() not in seen for column in m.columns)
        )

    def _shown(self, name: str, text: str) -> str:
        personal = {c for field in MASKED if field in self.feed.fields for c in self.feed.fields[field].columns}
        return masked(text) if name in MASKED or personal & set(self.mappings[name].columns) else cut(text)

    def rows(self) -> list[tuple[str, ...]]:
        """One row a field, in the order of the event's fields."""
        rows: list[tuple[str, ...]] = []
        for field in (*EVENTS[self.feed.event], ARRIVAL):
            mapping = self.mappings.get(field.name)
            if mapping is None:
                continue
            lacking = self.lacking[field.name]
            there = "" if not lacking else " (not found)" if lacking == self.groups else " (not in all files)"
            share = f"{self.filled[field.name] / self.taken:.1%}" if self.taken else "-"
            if mapping.constant is not None:
                share = ""
            rows.append(
                (self.feed.name, field.name, _told(mapping) + there, share, ", ".join(self.examples[field.name]))
            )
        return rows


def _ours(field: Field, mapping: FieldMapping, rows: DataFrame, zone: str) -> Column:
    """Our value of a field, null where it has a problem or is no other than theirs."""
    origin = origin_of(mapping)
    if mapping.values is not None:
        return mapped_value(mapping, origin.cast("string"))
    if field.type not in ("money", "timestamp", "date"):
        return F.lit(None)
    read = read_field(field, mapping, origin, rows.select(origin).schema[0].dataType, zone)
    return F.when(read.problem.isNull(), read.value)


def _columns(sample: DataFrame, group: Group) -> Iterable[str]:
    if group.format == "json":
        return (name for file in group.files for name in columns_of(file))
    optional = {name for feed in group.feeds for m in feed.fields.values() if m.optional for name in m.columns}
    return (f.name for f in sample.schema if f.name not in optional or f.dataType.typeName() != "void")


def _told(mapping: FieldMapping) -> str:
    """Where a field comes from, in a few words."""
    if mapping.constant is not None:
        return f"always {mapping.constant}"
    told = mapping.column if mapping.column is not None else cut(str(mapping.expression), 40)
    more = [str(mapping.unit)] if mapping.unit else []
    more += ["decimal comma"] if mapping.decimal == "comma" else []
    more += list(mapping.format or ())
    return told + (f" in {', '.join(more)}" if more else "")


def _report(
    source: Source,
    found: Sequence[_Found],
    files: dict[str, int],
    unread: Sequence[str],
    refused: Sequence[tuple[Delivery, RefusedFile]],
    untaken: Counter[str],
) -> tuple[Report, list[str]]:
    lines: list[str] = []
    unfit: list[str] = []
    for feed in found:
        name = feed.feed.name
        lines.append(f"{name}: files {files[name]}; sampled {feed.taken} records, {feed.good} of them good")
        lines += [f"  {count:6} {reason}" for reason, count in feed.reasons.most_common()]
        for field, values in feed.unmapped.items():
            lines.append(f"  {not_in_values(field, values.most_common(_LISTED), len(values))}")
        if feed.hidden:
            lines.append(f"  pseudonyms where a record is refused: {', '.join(feed.hidden)}")
        lost = [name for name in feed.feed.personal if not is_among(name, list(feed.hidden))]
        lines += [f"  personal: {', '.join(lost)}: in none of these files"] if lost else []
        free = [f.name for f in EVENTS[feed.feed.event] if f.name not in feed.feed.fields]
        lines += [f"  not mapped: {', '.join(free)}"] if free else []
        if feed.taken and not feed.good:
            unfit.append(f"feed {name}: none of {feed.taken} sampled records is good: see its reasons")
        if not feed.taken:
            lines.append("  no record: is its filter right?" if feed.feed.filter else "  no record")
    if untaken:
        lines.append(f"taken by no feed: {untaken.total()} of the sampled records")
        lines += [f"  {count:6} {reason}" for reason, count in untaken.most_common()]
    lines += [f"refused: {file.name}: {file.reason.removeprefix('file: ')}" for _, file in refused]
    if unread:
        more = f" and {len(unread) - 5} more" if len(unread) > 5 else ""
        lines.append(f"read by no feed: {', '.join(unread[:5])}{more} (list what is no ledger under `ignore`)")
    lines.append("Nothing was written.")
    table = (("feed", "field", "from", "filled", "examples"), [row for feed in found for row in feed.rows()])
    return Report(f"source check {source.name}", {}, table, lines), unfit


# ---- new ------------------------------------------------------------------------------------------------------------


def new(root: str, name: str) -> str:
    """A mapping file's skeleton for the files under `root`."""
    listing = list_input(root, "whole")
    places = sorted(place for found in listing.places.values() for place in found)
    is_days = bool(places) and all("/" in place and re.search("[0-9]", place.split("/")[0]) for _, place in places)
    deliveries = "folders" if is_days else "whole"
    by_pattern: dict[str, tuple[str, str]] = {}
    for path, place in places:
        inside = place.split("/", 1)[1] if deliveries == "folders" else place
        if path in listing.tables or format_of(inside) is not None:
            by_pattern.setdefault(_pattern(inside), (path, inside))
    if not by_pattern:
        raise UserError(f"--input {root}: holds no file that is read")
    seen = [_seen(listing, path, place, pattern) for pattern, (path, place) in sorted(by_pattern.items())]
    return skeleton(name, deliveries, seen)


def _pattern(place: str) -> str:
    """A file's place with a star for each number: of orders-2024-01.csv orders-*.csv."""
    path = PurePosixPath(place)
    if path.name.startswith("part-"):
        # Spark calls its files by a number, a random id and a codec
        return str(path.with_name(f"part-*{path.suffix}"))
    stem, dot, ending = path.name.partition(".")
    return str(path.with_name(re.sub(r"[0-9]+(?:[-_T][0-9]+)*", "*", stem) + dot + ending))


def _seen(listing: Listing, path: str, place: str, pattern: str) -> SeenFiles:
    if path in listing.tables:
        table = delta_table(listing.system, path, place)
        if isinstance(table, RefusedFile):
            raise UserError(f"{path}: {table.reason.removeprefix('file: ')}")
        fields = json.loads(table.columns.split("\x1f")[2])["fields"]
        return SeenFiles(pattern, tuple(SeenColumn(field["name"], str(field["type"])) for field in fields))
    kind = format_of(place)
    try:
        if kind == "parquet":
            with listing.system.open_input_file(path) as file:
                batches = pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_HEAD_ROWS)
                first = next(batches, None)
                if first is None:
                    return SeenFiles(pattern, ())
                columns = zip(first.schema, first.columns, strict=True)
                return SeenFiles(
                    pattern,
                    tuple(SeenColumn(f.name, str(f.type), _texts(values.to_pylist())) for f, values in columns),
                )
        with listing.system.open_input_stream(path, compression="detect") as stream:
            head = stream.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {str(error).splitlines()[0][:200]}") from None
    return _seen_csv(head, pattern) if kind == "csv" else _seen_json(head, pattern)


def _seen_csv(head: bytes, pattern: str) -> SeenFiles:
    encoding = encoding_of(head)
    keys = [] if encoding == "utf-8" else [("encoding", encoding)]
    # a sign that the head ends in the middle of is no sign
    text = head.decode({"utf-8": "utf-8-sig"}.get(encoding, encoding), errors="ignore")
    lines = text.splitlines()[: _HEAD_ROWS + 1]
    if len(head) == _HEAD_BYTES and len(lines) > 1:
        lines = lines[:-1]
    header = lines[0] if lines else ""
    delimiter = max((",", ";", "\t", "|"), key=header.count)
    if delimiter != ",":
        keys.insert(0, ("delimiter", delimiter))
    names, *rows = csv.reader(lines, delimiter=delimiter) if lines else [[]]
    names = [name if name.strip() else f"{UNNAMED}{number}" for number, name in enumerate(names, 1)]
    width = len(names)
    whole = [row for row in rows if len(row) == width]
    columns = (SeenColumn(name, "text", _texts(row[number] for row in whole)) for number, name in enumerate(names))
    return SeenFiles(pattern, tuple(columns), tuple(keys))


def encoding_of(head: bytes) -> str:
    """The encoding that the first bytes of a text are most likely in, of those that a mapping may name.

    Chinese is told from Western text by its bytes: signs of GB 2312 are two bytes above A0, those of Big5 begin with A4
    to C6 (its common signs) and mostly end above 7F. A text with few bytes that are no UTF-8 is UTF-8 with faults.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
    except UnicodeDecodeError:
        told = Counter(sign == "\ufffd" for sign in head.decode("utf-8", errors="replace") if sign > "\x7f")
        if told[False] > 10 * told[True]:
            return "utf-8"
        # an accented letter stands among plain ones, Chinese signs beside each other
        longest = max(map(len, re.findall(rb"[\x81-\xfe]+", head)), default=0)
        pairs = [] if longest < 4 else re.findall(rb"[\x81-\xfe][\x00-\xff]", head)
        if _share(pairs, lambda first, second: first > 0xA0 and second > 0xA0) > 0.9:
            return "gb18030"
        is_big5 = _share(pairs, lambda first, second: 0xA4 <= first <= 0xC6 and second >= 0x40) > 0.9
        if is_big5 and _share(pairs, lambda _, second: second > 0x7F) > 0.3:
            return "big5"
        # five bytes stand for nothing in it; Latin-1 has a sign for every one
        return "latin-1" if re.search(rb"[\x81\x8d\x8f\x90\x9d]", head) else "windows-1252"
    return "utf-8"


def _share(pairs: Sequence[bytes], holds: Callable[[int, int], bool]) -> float:
    return sum(holds(*pair) for pair in pairs) / max(len(pairs), 1)


def _seen_json(head: bytes, pattern: str) -> SeenFiles:
    values: dict[str, list[object]] = {}
    for line in head.decode("utf-8-sig", errors="replace").splitlines()[:_HEAD_ROWS]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        for key, value in record.items() if isinstance(record, dict) else ():
            values.setdefault(key, []).append(json.dumps(value) if isinstance(value, dict | list) else value)
    kinds = {
        key: " or ".join(sorted({type(v).__name__ for v in found if v is not None})) for key, found in values.items()
    }
    return SeenFiles(pattern, tuple(SeenColumn(key, kinds[key], _texts(found)) for key, found in values.items()))


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    texts = (str(value) for value in values if value is not None and str(value).strip())
    return tuple(dict.fromkeys(texts))[:200]


# ---- commands -------------------------------------------------------------------------------------------------------


@step("check", "seller-credit source check my_shop_system.yml --input /data/exports")
@click.argument("source", metavar="NAME_OR_FILE")
@click.option("--input", "root", required=True, metavar="PATH", help="Folder with the deliveries.")
@click.option("--records", default=1000, type=click.IntRange(1, 100_000), help="How many records of each kind of file.")
def check_command(invocation: Invocation, source: str, root: str, records: int) -> Report:
    """Try a mapping on a sample: where each field comes from, how often it is filled, examples, and what is wrong.

    Ids of persons are shown by their first two signs. Exit code 2 where the mapping does not fit the files.
    """
    today = invocation.today()
    mapping = load_source(source)
    report, unfit = check(invocation.lake(), mapping, root, records, today)
    if unfit:
        print(report.as_json()) if invocation.as_json else report.show()
        raise UserError(unfit)
    return report


@step("new", "seller-credit source new --input /data/exports --name my_shop_system")
@click.option("--input", "root", required=True, metavar="PATH", help="Folder with files of the ledger.")
@click.option("--name", default="my_ledger", metavar="NAME", help="What the ledger is to be called.")
@click.option("--out", metavar="FILE", help="The mapping file to write [default: NAME.yml].")
def new_command(invocation: Invocation, root: str, name: str, out: str | None) -> Report:
    """Write a commented mapping file from the files' columns: guesses are filled in, the rest says TODO."""
    if not re.fullmatch("[a-z0-9_]+", name):
        raise UserError(f"--name {name}: small letters, digits and _ only")
    path = Path(out or f"{name}.yml")
    if path.exists():
        raise UserError(f"{path}: is there already: give another --out")
    text = new(root, name)
    path.write_text(text, encoding="utf-8")
    left = sum(TO_BE_FILLED_IN in line and not line.startswith("#") for line in text.splitlines())
    after = f"Fill in what says {TO_BE_FILLED_IN}, then: seller-credit source check {path} --input {root}"
    return Report("source new", {"written": str(path), "lines to fill in": left}, lines=[after])


@step("list", "seller-credit source list")
def list_command(invocation: Invocation) -> Report:
    """List the mappings that come with the package."""
    rows = [(name, load_source(name).description) for name in source_names()]
    return Report("source list", table=(("name", "description"), list(rows)))


@click.group("source", help="Mapping files: list them, try one on a ledger, or start a new one.")
def command() -> None:
    """Gather what can be done with mapping files."""


for subcommand in (check_command, new_command, list_command):
    command.add_command(subcommand)


if __name__ == "__main__":
    sys.exit(run_command(command))
