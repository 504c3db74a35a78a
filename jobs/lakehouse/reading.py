"""Reading delivered files: which can be read together, which do not fit the mapping, and their records as they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlparse

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.source import Feed, Source
from jobs.lakehouse.deliveries import (
    DeliveredFile,
    Delivery,
    RefusedFile,
    feeds_of,
    groups_by_schema,
    header_of,
)
from jobs.lakehouse.lake import Lake
from transforms.intake.mapping import MALFORMED, mapping_problems


@dataclass(frozen=True)
class Group:
    """Files that are read with one schema, and the feeds that read them."""

    format: str
    files: tuple[DeliveredFile, ...]
    feeds: tuple[Feed, ...]


def readable(
    lake: Lake, source: Source, deliveries: Sequence[Delivery], refused: list[tuple[Delivery, RefusedFile]]
) -> list[Group]:
    """Group the files by schema, and check the mapping against each before anything is read.

    Where no file of a feed fits the mapping, the mapping is wrong: UserError with everything. Where some do, the
    others are refused by name.
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
        misfits: list[tuple[list[DeliveredFile], list[str]]] = []
        for (kind, _), members in groups_by_schema(files).items():
            empty = _empty(lake, kind, members[0])
            wrong = [problem for feed in feeds for problem in mapping_problems(empty, source, feed)]
            if wrong:
                misfits.append((members, wrong))
            else:
                fitting.append(Group(kind, tuple(members), feeds))
        if not fitting:
            problems += [f"{members[0].path}: {problem}" for members, wrong in misfits for problem in wrong]
        groups += fitting
        for members, wrong in misfits:
            refused += [(owner[f.path], RefusedFile(f.name, "file: " + "; ".join(wrong))) for f in members]
    if problems:
        raise UserError([f"source {source.name}: {problem}" for problem in problems])
    return groups


def _empty(lake: Lake, kind: str, file: DeliveredFile) -> DataFrame:
    if kind == "csv":
        return lake.spark.createDataFrame([], ", ".join(f"`{name}` string" for name in header_of(file)))
    return lake.spark.createDataFrame([], lake.spark.read.parquet(file.path).schema)


def raw_records(lake: Lake, source: Source, group: Group, deliveries: Sequence[Delivery], root: str) -> DataFrame:
    """The records of a group of files as they came, each with the place where it stands."""
    paths = [file.path for file in group.files]
    reader = lake.spark.read
    if group.format == "csv":
        columns = ", ".join(f"`{name}` string" for name in (*header_of(group.files[0]), MALFORMED))
        rows = (
            reader.schema(columns)
            # enforceSchema would take columns by their place and not by their name
            .options(header=True, enforceSchema=False, multiLine=True, escape='"', columnNameOfCorruptRecord=MALFORMED)
            .csv(paths)
        )
        position = F.lit(None).cast("bigint")
    else:
        rows = reader.schema(reader.parquet(paths[0]).schema).parquet(*paths)
        position = F.col("_metadata.row_index")
    placed = rows.select("*", F.col("_metadata.file_path").alias("uri"), position.alias("position"))
    owner = {file.path: (delivery, file) for delivery in deliveries for file in delivery.files}
    # Spark names a file by its URI: one look-up a file here, not a regular expression a row there
    places = [
        (form, delivery.delivery_id, delivery.order, file.name)
        for uri in rows.inputFiles()
        for delivery, file in [owner[_path_of(uri, root)]]
        # Spark writes a local file's URI with one slash in _metadata and with three in inputFiles
        for form in {uri, uri.replace("file:///", "file:/", 1)}
    ]
    names = lake.spark.createDataFrame(places, "uri string, delivery_id string, delivery_order int, file string")
    found = placed.join(F.broadcast(names), "uri", "left")
    lost = F.raise_error(F.concat(F.lit("no delivery is known for the file "), "uri"))
    return found.withColumn("delivery_id", F.coalesce("delivery_id", lost)).drop("uri")


def _path_of(uri: str, root: str) -> str:
    """The path by which pyarrow knows a file, of the URI by which Spark does."""
    parts = urlparse(uri)
    return unquote(parts.path) if "://" not in root else parts.netloc + unquote(parts.path)
