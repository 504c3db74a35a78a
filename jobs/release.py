"""Refused records back in, where a mended mapping accepts them."""

import sys
from collections.abc import Sequence
from datetime import date
from functools import reduce

import click
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.source import Feed, Source, load_source
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.deliveries import feeds_of
from jobs.lakehouse.intake import STATUSES, Batch, calendar_of, facts_of, key_pads, loads, outcome_of
from jobs.lakehouse.lake import Lake, Run, in_clause, schema_of
from jobs.lakehouse.secret import pseudonym_key
from transforms.intake.identity import QUARANTINED
from transforms.intake.mapping import JSON_OPTIONS, PLACE, Calendar, mapping_problems, read_in_clear
from transforms.intake.pseudonyms import personal_columns
from transforms.tables.bronze import DELIVERIES, QUARANTINE

_NO_FEED = "(none)"
_KEY = ("delivery_id", "feed", "file", "position", "record")
_JUDGED = ("feed", "reasons", "arrival_day")
"""What a feed says of a record that it refuses."""


def release(lake: Lake, source: Source, arrival_day: date | None, today: date) -> Report:
    """Take in what is in quarantine from this source and the mapping, as it is now, accepts.

    Each record goes through the feed that refused it; one that no feed took through every feed of its file. It
    arrives on `arrival_day`, else `today`, or on the first open day after; only while no day is closed yet does the
    source's own arrival rule count instead, as in `ingest`. What is still refused stays as it is; where one feed of
    several takes a record and another refuses it, what is refused stays by itself, under that feed.
    """
    with lake.run("release", source.name, {}, {"source": source.name, "arrival_day": arrival_day}) as run:
        key = pseudonym_key(lake) if source.names_persons() else None
        calendar = calendar_of(lake, arrival_day, today)
        ours = F.startswith("delivery_id", F.lit(f"{source.name}/")) & F.col("released_by").isNull()
        waiting = run.read(QUARANTINE).filter(ours & F.col("columns").isNotNull())
        waiting = waiting.withColumn("row_id", F.xxhash64(*_KEY)).persist(StorageLevel.DISK_ONLY)
        release_id = f"{source.name}/release@{run.run_id}"
        batches = _batches(lake, source, waiting, release_id)
        counts = _take_in(run, source, batches, waiting, release_id, calendar, key or b"")
        waiting.unpersist()
        lines = _of_files_alone(run.read(QUARANTINE).filter(ours & F.col("columns").isNull()))
        if not counts["records in"]:
            values = {"source": source.name, "released": 0, "still refused": counts["still refused"]}
            return Report("release", values, lines=lines)
        run.figures = {name: float(value) for name, value in counts.items()}
        run.facts = facts_of(source, key, calendar, True)
        run.publish()
    return Report("release", {"source": source.name, "release": release_id, **counts}, lines=lines)


def _of_files_alone(refused: DataFrame) -> list[str]:
    """Of what was refused without being taken apart only the files themselves have the records."""
    many = refused.count()
    told = "files and lines that could not be taken apart are refused too. Once the mapping reads them:"
    return [f"{many:,} {told} seller-credit ingest --again"] if many else []


def _batches(lake: Lake, source: Source, waiting: DataFrame, release_id: str) -> list[Batch]:
    """The waiting records as they were read from their files, by feed and columns.

    Raises UserError, with everything, where the mapping does not fit them.
    """
    kinds = ("feed", "file", "columns", "pseudonyms")
    batches: list[Batch] = []
    problems: list[str] = []
    # a row a feed, file name and schema: bookkeeping, not data
    by_schema: dict[tuple[tuple[str, ...], str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for row in waiting.select(*kinds).distinct().collect():
        feeds = tuple(f.name for f in feeds_of(source, row["file"]) if row["feed"] in (f.name, _NO_FEED))
        if feeds:
            schema = (feeds, row["columns"], tuple(row["pseudonyms"]))
            by_schema.setdefault(schema, []).append((row["feed"], row["file"]))
    for (names, columns, pseudonyms), members in sorted(by_schema.items()):
        feeds_here = tuple(feed for feed in source.feeds if feed.name in names)
        empty = lake.spark.createDataFrame([], columns)
        wrong = [problem for feed in feeds_here for problem in mapping_problems(empty, source, feed)]
        wrong += _unreadable(feeds_here, pseudonyms)
        problems += [f"source {source.name}: {members[0][1]}: {problem}" for problem in wrong]
        is_member = F.struct("feed", "file").isin([F.struct(F.lit(feed), F.lit(file)) for feed, file in members])
        is_same = (F.col("columns") == columns) & is_member
        raw = waiting.filter(is_same).select(
            F.lit(release_id).alias("delivery_id"),
            F.lit(0).alias("delivery_order"),
            F.concat_ws("/", "delivery_id", "file").alias("file"),
            F.col("row_id").alias("position"),
            F.from_json("record", columns, JSON_OPTIONS).alias("own"),
        )
        personal = personal_columns(feeds_here, empty.columns)
        # what is a pseudonym already would be a stranger if it were made one again
        batches.append(
            Batch(raw.select(*PLACE, "own.*"), feeds_here, tuple(c for c in personal if c not in pseudonyms))
        )
    if problems:
        raise UserError(problems)
    return batches


def _unreadable(feeds: Sequence[Feed], pseudonyms: Sequence[str]) -> list[str]:
    return [
        f"feed {feed.name}: {name} is read from a column that the quarantine holds as pseudonyms"
        f" ({', '.join(pseudonyms)}): take the files in by `seller-credit ingest --again`"
        for feed in feeds
        for name in read_in_clear(feed, pseudonyms)
    ]


def _take_in(
    run: Run,
    source: Source,
    batches: Sequence[Batch],
    waiting: DataFrame,
    release_id: str,
    calendar: Calendar,
    key: bytes,
) -> dict[str, int]:
    events = loads(source, batches, calendar, key_pads(run.lake.spark, key))
    taken: list[DataFrame] = []
    refused: list[DataFrame] = []
    found = dict.fromkeys(STATUSES, 0)
    for load in events:
        load.part_roads(run, calendar)
        judged = load.judge(run, ())
        for (_, status), records in outcome_of(judged).items():
            found[status] += records
        rows = [judged.filter(F.col("status") != QUARANTINED)]
        if load.straight_records:
            found["accepted"] += load.straight_records
            rows.append(load.straight())
        taken += [part.select(F.col("position").alias("row_id")) for part in rows]
        refused.append(judged.filter(F.col("status") == QUARANTINED))
    released = found["accepted"] + found["duplicate"]
    if released:
        for load in events:
            run.append(load.table, load.accepted((), calendar))
        digest = source.digest()
        counts = (released, found["accepted"], found["duplicate"], 0)
        row = (release_id, source.name, "release", digest, 0, *counts, None, digest)
        run.append(DELIVERIES, run.lake.spark.createDataFrame([row], schema_of(DELIVERIES)).coalesce(1))
        parts = [rows.select(F.col("position").alias("row_id"), *_JUDGED) for rows in refused]
        ids, still_refused = (reduce(DataFrame.unionByName, rows) for rows in (taken, parts))
        _mark(run, waiting, ids.distinct(), still_refused, release_id)
    for load in events:
        load.release()
    return {
        "records in": released,
        "accepted": found["accepted"],
        "duplicate": found["duplicate"],
        "still refused": found[QUARANTINED],
    }


def _mark(run: Run, waiting: DataFrame, taken: DataFrame, refused: DataFrame, release_id: str) -> None:
    """Write in quarantine which release took each record in, and what of it a feed refused that another took."""
    of_taken = waiting.join(taken, "row_id", "left_semi").persist(StorageLevel.DISK_ONLY)
    as_it_came = of_taken.filter(F.col("feed") == _NO_FEED).dropDuplicates(["row_id"]).drop(*_JUDGED)
    # one row a feed that refused it, as if it had been refused the first time: the next release goes on from there
    parts = as_it_came.join(refused, "row_id").select(*QUARANTINE.names).persist(StorageLevel.DISK_ONLY)
    # the deliveries whose slices change: a row a delivery
    deliveries = [row["delivery_id"] for row in of_taken.select("delivery_id").distinct().collect()]
    where = in_clause("delivery_id", sorted(deliveries))
    now = run.read(QUARANTINE).filter(where).withColumn("row_id", F.xxhash64(*_KEY))
    marks = taken.select("row_id", F.lit(release_id).alias("release_id"))
    marked = now.join(marks, "row_id", "left").withColumn("released_by", F.coalesce("released_by", "release_id"))
    run.replace(QUARANTINE, marked.select(*QUARANTINE.names).unionByName(parts).coalesce(1), where)
    _count_in(run, parts)
    for rows in (of_taken, parts):
        rows.unpersist()


def _count_in(run: Run, parts: DataFrame) -> None:
    """Count what feeds refused among what its deliveries brought, where a record counts once for each feed."""
    many = parts.groupBy("delivery_id").agg(F.count(F.lit(1)).alias("many"))
    deliveries = [row["delivery_id"] for row in many.select("delivery_id").collect()]
    if not deliveries:
        return
    where = in_clause("delivery_id", sorted(deliveries))
    counted = run.read(DELIVERIES).filter(where).join(F.broadcast(many), "delivery_id", "left")
    counted = counted.withColumns({name: F.col(name) + F.col("many") for name in ("records_in", "quarantined")})
    run.replace(DELIVERIES, counted.select(*DELIVERIES.names).coalesce(1), where)


@step("release", "seller-credit release --source my_mended_mapping.yml")
@click.option("--source", required=True, metavar="NAME_OR_FILE", help="The mended mapping, under its old name.")
@click.option("--arrival-day", type=DAY, help="Day on which the records arrive [default: today].")
def command(invocation: Invocation, source: str, arrival_day: date | None) -> Report:
    """Take refused records in that the mapping now accepts, each once; the others stay in quarantine.

    They arrive today: what was decided in the meantime was decided without them. Before the first day is closed, and
    without --arrival-day, the mapping's own arrival rule says when each became known.
    """
    mapping = load_source(source)
    today = invocation.today_of_arrival(arrival_day)
    return release(invocation.lake(), mapping, arrival_day, today)


if __name__ == "__main__":
    sys.exit(run_command(command))
