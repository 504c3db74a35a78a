"""Reading delivered files: which can be read together, which do not fit the mapping, and their records as they came."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlparse

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.errors import StepFailure, UserError
from conf.events import EVENTS
from conf.source import Csv, Feed, Source
from jobs.lakehouse.deliveries import (
    UNNAMED,
    DeliveredFile,
    Delivery,
    RefusedFile,
    columns_of,
    feeds_of,
    groups_by_schema,
)
from jobs.lakehouse.lake import Lake
from transforms.intake.expressions import quoted
from transforms.intake.mapping import MALFORMED, PLACE, mapping_problems, with_optional_columns

_MOST_COLUMNS = 200_000
"""Values in a CSV record: beyond it Spark's reader stops the job. Its own limit, 20,480, one broken line can pass."""

_CHARSETS = {"latin-1": "ISO-8859-1", "utf-8": "UTF-8", "utf-16": "UTF-16"}
"""Spark's names of the encodings that it reads without being told to take all of Java's."""

_KEPT_NAMES = frozenset({*PLACE, "uri", MALFORMED})
"""Columns that intake adds: a source's own of these names are called source_file, source_position, ..."""


_NESTED = (T.StructType, T.ArrayType, T.MapType, T.VariantType)


@dataclass(frozen=True)
class Group:
    """Files that are read with one schema, and the feeds that read them."""

    format: str
    files: tuple[DeliveredFile, ...]
    feeds: tuple[Feed, ...]


def readable(
    lake: Lake,
    source: Source,
    deliveries: Sequence[Delivery],
    refused: list[tuple[Delivery, RefusedFile]],
    has_fitted: bool = False,
) -> list[Group]:
    """Group the files by schema, and check the mapping against each before anything is read.

    Where no file of a feed fits the mapping, and it `has_fitted` none before, the mapping is wrong: UserError with
    everything. Else the files are, and are refused by name.
    """
    owner = {file.path: delivery for delivery in deliveries for file in delivery.files}
    by_feeds: dict[tuple[str, ...], list[DeliveredFile]] = {}
    for delivery in deliveries:
        for file in delivery.files:
            by_feeds.setdefault(tuple(feed.name for feed in feeds_of(source, file.name)), []).append(file)
    groups: list[Group] = []
    problems: list[str] = []
    for names, files in by_feeds.items():
        feeds = tuple(feed for feed in source.feeds if feed.name in names)
        fitting: list[Group] = []
        misfits: list[tuple[Group, list[tuple[Feed, str]]]] = []
        for members in groups_by_schema(files):
            group = Group(members[0].format, tuple(members), feeds)
            empty = _empty(lake, group)
            wrong = [(feed, problem) for feed in feeds for problem in mapping_problems(empty, source, feed)]
            if wrong and group.format == "csv" and len(empty.columns) == 1:
                header = f"the header is one column, {empty.columns[0][:60]!r}"
                wrong = [(feeds[0], f"feed {feeds[0].name}: csv: {header}: is the delimiter right?")]
            if wrong:
                misfits.append((group, wrong))
            else:
                fitting.append(group)
        if not fitting and not has_fitted:
            problems += [
                f"{_told_at(source, feed, problem)}: {group.files[0].path}: {problem}"
                for group, wrong in misfits
                for feed, problem in wrong
            ]
        groups += fitting
        for group, wrong in misfits:
            reason = "file: " + "; ".join(problem for _, problem in wrong)
            refused += [(owner[file.path], RefusedFile(file.name, reason)) for file in group.files]
    if problems:
        raise UserError(problems)
    return groups


def _told_at(source: Source, feed: Feed, problem: str) -> str:
    """Where the mapping says what is wrong, of a problem as `feed orders: amount_fen: ...`."""
    field = problem.split(": ", 2)[1]
    return source.place(feed.name, field) or f"source {source.name}"


def _empty(lake: Lake, group: Group) -> DataFrame:
    if group.format in ("csv", "json"):
        columns = ", ".join(f"{quoted(_own(name))} string" for name in _text_columns(group))
        return lake.spark.createDataFrame([], columns)
    return lake.spark.createDataFrame([], _renamed(_columnar(lake, group)).schema)


def _own(name: str) -> str:
    """What a source's column is called in a raw frame."""
    return f"source_{name}" if name.lower() in _KEPT_NAMES else name


def _renamed(rows: DataFrame, *more: Column) -> DataFrame:
    return rows.select(*(F.col(quoted(name)).alias(_own(name)) for name in rows.columns), *more)


def _text_columns(group: Group) -> list[str]:
    """The columns of text files, all read as text: what is no number is the mapping's to refuse.

    JSON lines have no header. Taking the keys of all lines would read the files twice; so they are the keys of a sample
    from every MiB, and those that the mapping names, without which a key that is rarely there would be lost. A column
    that a required field takes must be in the sample, so that a misspelt name is told before anything is read.
    """
    seen = list(dict.fromkeys(name for file in group.files for name in columns_of(file)))
    if group.format != "json":
        return seen
    named: list[str] = []
    for feed in group.feeds:
        required = {field.name for field in EVENTS[feed.event] if field.required}
        for name, mapping in feed.fields.items():
            if mapping.expression is not None or name not in required or not seen:
                named += mapping.columns
        named += feed.filter_columns
    # Spark tells columns apart without regard to case: of keys that differ in it alone the first is read
    by_name: dict[str, str] = {}
    for name in [*seen, *named]:
        by_name.setdefault(name.lower(), name)
    return list(by_name.values())


def nested_columns(group: Group, raw: DataFrame) -> list[str]:
    """Columns of raw records with more inside of them than a value: nobody knows whom it tells of."""
    seen = {_own(name) for file in group.files for name in file.nested}
    return [f.name for f in raw.schema if f.name in seen or isinstance(f.dataType, _NESTED)]


def _columnar(lake: Lake, group: Group) -> DataFrame:
    file = group.files[0]
    if group.format == "delta":
        return lake.spark.read.format("delta").option("versionAsOf", file.version).load(file.path)
    # a flipped byte is told where the pages have checksums, whatever the session's settings say
    reader = lake.spark.read.options(ignoreCorruptFiles=False, ignoreMissingFiles=False)
    reader = reader.option("parquet.page.verify-checksum.enabled", True)
    paths = _paths(group)
    return reader.schema(reader.parquet(paths[0]).schema).parquet(*paths)


def _paths(group: Group) -> list[str]:
    """The files' paths for Spark, which takes them for patterns: orders[1].csv would read orders1.csv."""
    return [re.sub(r"[\[\]{}*?\\]", r"\\\g<0>", file.path) for file in group.files]


def raw_records(lake: Lake, source: Source, group: Group, deliveries: Sequence[Delivery], root: str) -> DataFrame:
    """The records of a group of files as they came, each with the place where it stands."""
    owner = {file.path: (delivery, file) for delivery in deliveries for file in delivery.files}
    uri, nowhere = F.col("_metadata.file_path").alias("uri"), F.lit(None).cast("bigint").alias("position")
    if group.format == "delta":
        ((delivery, file),) = (owner[file.path] for file in group.files)
        place = {
            "delivery_id": F.lit(delivery.delivery_id),
            "delivery_order": F.lit(delivery.order),
            "file": F.lit(file.name),
        }
        table = _renamed(_columnar(lake, group), nowhere).withColumns(place)
        return with_optional_columns(table, *group.feeds)
    if group.format == "csv":
        rows = _csv_rows(lake, group)
        own = (F.col(quoted(name)).alias(_own(name)) for name in _text_columns(group))
        placed = rows.select(*own, MALFORMED, uri, nowhere)
    elif group.format == "json":
        rows = lake.spark.read.text(_paths(group))
        placed = _json_rows(rows, _text_columns(group), uri, nowhere)
    else:
        rows = _columnar(lake, group)
        placed = _renamed(rows, uri, F.col("_metadata.row_index").alias("position"))
    # Spark names a file by its URI: one look-up a file here, not a regular expression a row there
    places = [
        (form, delivery.delivery_id, delivery.order, file.name)
        for uri_of_file in rows.inputFiles()
        for delivery, file in [owner[_path_of(uri_of_file, root)]]
        # Spark writes a local file's URI with one slash in _metadata and with three in inputFiles
        for form in {uri_of_file, uri_of_file.replace("file:///", "file:/", 1)}
    ]
    names = lake.spark.createDataFrame(places, "uri string, delivery_id string, delivery_order int, file string")
    found = placed.join(F.broadcast(names), "uri", "left")
    lost = F.raise_error(F.concat(F.lit("no delivery is known for the file "), "uri"))
    return with_optional_columns(
        found.withColumn("delivery_id", F.coalesce("delivery_id", lost)).drop("uri"), *group.feeds
    )


def _csv_rows(lake: Lake, group: Group) -> DataFrame:
    form = group.files[0].csv or Csv()
    if form.encoding not in _CHARSETS:
        # Spark 4 reads seven encodings of its own accord; this takes all that Java knows
        lake.spark.conf.set("spark.sql.legacy.javaCharsets", "true")
    names = _text_columns(group)
    options: dict[str, str | bool | int] = {
        "sep": form.delimiter,
        "quote": form.quote,
        "escape": form.escape if form.quote else "",
        "encoding": _CHARSETS.get(form.encoding, form.encoding),
        "header": form.header is None,
        # true takes columns by their place and not by their name: where a header has names for all, they are compared
        "enforceSchema": form.header is not None or any(name.startswith(UNNAMED) for name in names),
        "multiLine": not form.one_line,
        "columnNameOfCorruptRecord": MALFORMED,
        # a record is looked at whole, whichever of its columns are asked for
        "columnPruning": False,
        "maxColumns": _MOST_COLUMNS,
    }
    schema = ", ".join(f"{quoted(name)} string" for name in (*names, MALFORMED))
    rows = lake.spark.read.schema(schema).options(**options).csv(_paths(group))
    # of the others Java may know fewer signs than Python, which looked; and none of them writes U+FFFD
    if not group.files[0].damaged and form.encoding in ("utf-8", "latin-1"):
        return rows
    text = F.concat_ws(form.delimiter, *(quoted(name) for name in names))
    return rows.withColumn(MALFORMED, F.coalesce(MALFORMED, F.when(text.contains("\ufffd"), text)))


def _json_rows(lines: DataFrame, names: Sequence[str], *more: Column) -> DataFrame:
    """Lines of JSON as columns of text: of an object or array its JSON, of a number its plain decimals.

    Not by Spark's JSON reader: it takes the first of two objects on a line and the last of two equal keys, and says
    nothing of the rest. A variant has neither; the brackets make of what follows an object a second element.
    """
    line = F.ltrim(F.col("value"), F.lit("\ufeff"))
    parsed = F.try_parse_json(F.concat(F.lit("["), line, F.lit("]")))
    is_one_object = (
        F.is_valid_utf8(line)
        & F.ltrim(line).startswith("{")
        & F.col("parsed").isNotNull()
        & F.try_variant_get("parsed", "$[1]", "variant").isNull()
    )
    malformed = F.when(~F.coalesce(is_one_object, F.lit(False)), F.make_valid_utf8(line))
    told = lines.filter(F.trim("value") != "").select("*", parsed.alias("parsed"), *more)
    values = (
        F.when(F.col(MALFORMED).isNull(), F.try_variant_get("parsed", f'$[0]["{name}"]', "string")).alias(_own(name))
        for name in names
    )
    flagged = told.withColumn(MALFORMED, malformed)
    reason = {"reason": "record: is not one JSON object"}
    return flagged.select(*values, F.col(MALFORMED).alias(MALFORMED, metadata=reason), "uri", "position")


class DamagedFile(StepFailure):
    """A file that Spark could not read to its end; `path` is the one that pyarrow knows it by."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: could not be read to its end: it is damaged, or cannot be reached. A delivered file has to be"
            " delivered again; then run this again"
        )


@contextmanager
def broken_files_named(root: str) -> Iterator[None]:
    """Say which file under `root` it was, where Spark fails on one in the middle of a run: DamagedFile instead of a
    stack trace.
    """
    try:
        yield
    except Exception as error:
        found = re.search(r"FAILED_READ_FILE\.(\w+)\] .*?reading file (.+?)\.\s", str(error), re.DOTALL)
        if found is None:
            raise
        raise DamagedFile(_path_of(found[2], root)) from None


def _path_of(uri: str, root: str) -> str:
    """The path by which pyarrow knows a file, of the URI by which Spark does."""
    parts = urlparse(uri)
    return unquote(parts.path) if "://" not in root else parts.netloc + unquote(parts.path)
