"""Raw files -> bronze events and quarantine, each record once."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import reduce

import click
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure
from conf.source import Source, load_source
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.deliveries import Delivery, RefusedFile, feeds_of, find_deliveries
from jobs.lakehouse.lake import Lake, Run, by_arrival_month, schema_of
from jobs.lakehouse.reading import raw_records, readable
from transforms.intake.identity import (
    ACCEPTED,
    DUPLICATE,
    QUARANTINED,
    is_correction,
    judge_events,
    judge_versions,
    resolve_corrections,
)
from transforms.intake.mapping import Calendar, map_records, unclaimed
from transforms.tables.bronze import DELIVERIES, EVENT_TABLES, QUARANTINE, SELLERS
from transforms.tables.table import Table

CORRECTION_SPAN_DAYS = 180
"""How long before a load's oldest event the original of a correction, or an id used before, is looked for."""


def ingest(
    lake: Lake,
    source: Source,
    root: str,
    arrival_day: date | None,
    today: date,
    first: str | None = None,
    through: str | None = None,
) -> Report:
    """Take in every delivery under `root`, named from `first` to `through`, that the lake does not have yet.

    The arrival day of what they bring is `arrival_day`, else `today`; only while no day is closed yet does the
    source's own arrival rule count instead.
    """
    arguments = {"source": source.name, "input": root, "arrival_day": arrival_day, "first": first, "through": through}
    with lake.run("ingest", source.name, {}, arguments) as run:
        deliveries = find_deliveries(source, root, first, through)
        known = {row["delivery_id"] for row in run.read(DELIVERIES).select("delivery_id").collect()}
        new = [delivery for delivery in deliveries if delivery.delivery_id not in known]
        if not new:
            return Report("ingest", {"source": source.name, "deliveries": 0, "known already": len(deliveries)})
        closed = lake.closed_through()
        calendar = Calendar(
            zone=lake.settings.calendar.time_zone,
            first_day=lake.settings.calendar.first_day,
            first_open_day=closed + timedelta(days=1) if closed else lake.settings.calendar.first_day,
            told_arrival_day=arrival_day or (today if closed else None),
            today=max(today, arrival_day or today),
        )
        counts = _take_in(run, source, new, root, calendar)
        run.figures = {"deliveries": len(new), **counts}
        run.facts = {
            "kinds_told": ",".join(sorted(source.kinds_told())),
            "simulated": str(source.simulated),
            "source_digest": source.digest(),
        }
        run.publish()
    return Report("ingest", {"source": source.name, "deliveries": len(new), **counts})


def _take_in(run: Run, source: Source, deliveries: Sequence[Delivery], root: str, calendar: Calendar) -> dict[str, int]:
    refused = [(delivery, file) for delivery in deliveries for file in delivery.refused]
    frames: dict[str, list[DataFrame]] = {}
    judged: list[DataFrame] = []
    kept: list[DataFrame] = []
    for group in readable(run.lake, source, deliveries, refused):
        raw = raw_records(run.lake, source, group, deliveries, root)
        for feed in group.feeds:
            frames.setdefault(feed.event, []).append(map_records(raw, source, feed, calendar))
        left_over = unclaimed(raw, group.feeds)
        if left_over is not None:
            judged.append(left_over.withColumn("status", F.lit(QUARANTINED)).persist(StorageLevel.DISK_ONLY))
    for event, mapped in frames.items():
        table = EVENT_TABLES[event]
        records = reduce(DataFrame.unionByName, mapped)
        known = _known(run, table, records)
        if table is SELLERS:
            parts = [judge_versions(records, known).persist(StorageLevel.DISK_ONLY)]
        else:
            # read again for corrections, counts, accepted and refused: on disk, since a load may be larger than memory
            events = judge_events(records, known).persist(StorageLevel.DISK_ONLY)
            kept.append(events)
            parts = [
                events.filter(~is_correction()),
                resolve_corrections(events, known, table).persist(StorageLevel.DISK_ONLY),
            ]
        judged += parts
        accepted = reduce(DataFrame.unionByName, parts).filter(F.col("status") == ACCEPTED).select(*table.names)
        laid_out = by_arrival_month(accepted, "event_day", "event_id") if table.partitioned_by else accepted.coalesce(1)
        run.append(table, laid_out)
    outcome = _count(judged)
    _check_against_footers(source, deliveries, refused, outcome)
    _append_quarantine(run, judged, refused, calendar)
    totals = _append_deliveries(run, source, deliveries, refused, outcome)
    for records in (*judged, *kept):
        records.unpersist()
    return totals


def _known(run: Run, table: Table, records: DataFrame) -> DataFrame:
    """The published rows that these records may repeat, contradict or void."""
    published = run.read(table)
    if run.lake.published_version(table) is None:
        return published
    day = "changed_on" if table is SELLERS else "event_day"
    # one row: the oldest day that this load speaks of bounds what must be looked at
    oldest = records.filter(F.size("reasons") == 0).agg(F.min(day)).collect()[0][0]
    since = (oldest or run.lake.settings.calendar.first_day) - timedelta(days=CORRECTION_SPAN_DAYS)
    return published.filter((F.col(day) >= F.lit(since)) & (F.col("arrival_month") >= F.lit(f"{since:%Y-%m}")))


Outcome = Counter[tuple[str, str, str]]
"""Records by delivery, feed and status."""


def _count(judged: Iterable[DataFrame]) -> Outcome:
    outcome: Outcome = Counter()
    for records in judged:
        # a row a delivery, feed and status: bookkeeping, not data
        for row in records.groupBy("delivery_id", "feed", "status").count().collect():
            outcome[row["delivery_id"], row["feed"], row["status"]] += row["count"]
    return outcome


def _check_against_footers(
    source: Source, deliveries: Sequence[Delivery], refused: Sequence[tuple[Delivery, RefusedFile]], outcome: Outcome
) -> None:
    """Hold the judged records of every unfiltered Parquet feed against the rows that the files' footers promise."""
    lost = {(delivery.delivery_id, file.name) for delivery, file in refused}
    for delivery in deliveries:
        for feed in source.feeds:
            files = [
                f
                for f in delivery.files
                if feed in feeds_of(source, f.name) and (delivery.delivery_id, f.name) not in lost
            ]
            if feed.filter is not None or any(file.rows is None for file in files):
                continue
            promised = sum(file.rows or 0 for file in files)
            judged = sum(
                outcome[delivery.delivery_id, feed.name, status] for status in (ACCEPTED, DUPLICATE, QUARANTINED)
            )
            if promised != judged:
                raise StepFailure(
                    f"{delivery.delivery_id}: feed {feed.name}: the files hold {promised} records,"
                    f" and {judged} were judged"
                )


def _append_quarantine(
    run: Run, judged: Sequence[DataFrame], refused: Sequence[tuple[Delivery, RefusedFile]], calendar: Calendar
) -> None:
    whole_files = run.lake.spark.createDataFrame(
        [
            (d.delivery_id, "(file)", f.name, None, [f.reason], f"the whole file {f.name}", calendar.told_arrival_day)
            for d, f in refused
        ],
        schema_of(QUARANTINE),
    )
    rows = [r.filter(F.col("status") == QUARANTINED).select(*QUARANTINE.names) for r in judged]
    run.append(QUARANTINE, reduce(DataFrame.unionByName, [whole_files, *rows]).coalesce(1))


def _append_deliveries(
    run: Run,
    source: Source,
    deliveries: Sequence[Delivery],
    refused: Sequence[tuple[Delivery, RefusedFile]],
    outcome: Outcome,
) -> dict[str, int]:
    by_delivery: Counter[tuple[str, str]] = Counter()
    for (delivery_id, _, status), records in outcome.items():
        by_delivery[delivery_id, status] += records
    for delivery, _ in refused:
        by_delivery[delivery.delivery_id, QUARANTINED] += 1
    rows = []
    for delivery in deliveries:
        statuses = [by_delivery[delivery.delivery_id, status] for status in (ACCEPTED, DUPLICATE, QUARANTINED)]
        rows.append(
            (
                delivery.delivery_id,
                source.name,
                delivery.name,
                delivery.digest,
                len(delivery.files) + len(delivery.refused),
                sum(statuses),
                *statuses,
            )
        )
    run.append(DELIVERIES, run.lake.spark.createDataFrame(rows, schema_of(DELIVERIES)).coalesce(1))
    accepted, duplicate, quarantined = (
        sum(n for (_, s), n in by_delivery.items() if s == status) for status in (ACCEPTED, DUPLICATE, QUARANTINED)
    )
    return {
        "records in": accepted + duplicate + quarantined,
        "accepted": accepted,
        "duplicate": duplicate,
        "quarantined": quarantined,
    }


@step("ingest", "seller-credit ingest --source marketplace --input demo/world/deliveries --through 2024-08-31")
@click.option(
    "--source", required=True, metavar="NAME_OR_FILE", help="Mapping that comes with the package, or a .yml file."
)
@click.option("--input", "root", required=True, metavar="PATH", help="Folder with the deliveries.")
@click.option("--arrival-day", type=DAY, help="Day on which we came to know all of it [default: today].")
@click.option("--from", "first", metavar="NAME", help="Only deliveries of this name or later.")
@click.option("--through", metavar="NAME", help="Only deliveries of this name or earlier.")
def command(
    invocation: Invocation, source: str, root: str, arrival_day: date | None, first: str | None, through: str | None
) -> Report:
    """Take a ledger's files in: every record is accepted, a duplicate, or quarantined with its reasons.

    A delivery that was taken in before is nothing; a record again is a duplicate. Before the first day is closed the
    mapping's own arrival rule says when each record became known; afterwards it is the arrival day given here.
    """
    mapping = load_source(source)
    today = datetime.now(invocation.settings.calendar.zone).date()
    return ingest(invocation.lake(), mapping, root, arrival_day, today, first, through)


if __name__ == "__main__":
    sys.exit(run_command(command))
