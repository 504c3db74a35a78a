"""Raw files -> bronze events and quarantine, each record once."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import reduce

import click
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import StepFailure, UserError
from conf.source import Source, load_source
from jobs.lakehouse.command import DAY, Invocation, Report, run_command, step
from jobs.lakehouse.deliveries import (
    Delivery,
    RefusedFile,
    content_of,
    feeds_of,
    find_deliveries,
    is_damaged_parquet,
    looked_at,
    require_unchanged,
)
from jobs.lakehouse.intake import (
    SMALL_BYTES,
    STATUSES,
    Batch,
    Load,
    Outcome,
    calendar_of,
    facts_of,
    key_pads,
    loads,
    outcome_of,
)
from jobs.lakehouse.lake import Lake, Run, in_clause, schema_of
from jobs.lakehouse.reading import DamagedFile, broken_files_named, nested_columns, raw_records, readable
from jobs.lakehouse.secret import pseudonym_key
from transforms.intake.identity import ACCEPTED, KNOWN_OTHERWISE, QUARANTINED
from transforms.intake.mapping import Calendar, unclaimed
from transforms.intake.pseudonyms import personal_columns
from transforms.tables.bronze import DELIVERIES, EVENT_TABLES, QUARANTINE

MOST_REFUSED_TOLD = 40
"""Refused files that a report tells by name."""


def ingest(
    lake: Lake,
    source: Source,
    root: str,
    arrival_day: date | None,
    today: date,
    first: str | None = None,
    through: str | None = None,
    again: bool = False,
    as_of: date | None = None,
) -> Report:
    """Take in every delivery under `root`, named from `first` to `through`, that the lake does not have yet; with
    `as_of` only what the work of the day before looks at (`looked_at`): what happened on that day itself arrives on it.

    With `again` also those that it has, by the mapping as it is now, once a mapping: what went in is a duplicate then
    (UserError where that mapping reads most of it otherwise), and what was refused, whole files too, is judged anew and
    no longer counts as refused by the first time. The arrival day of what they bring is `arrival_day`, else `today`;
    only while no day is closed yet does the source's own arrival rule count instead. A file that turns out to be
    damaged in the middle is refused by name, and the run begins anew without it.
    """
    damaged: set[str] = set()
    while True:
        try:
            return _ingest(lake, source, root, arrival_day, today, first, through, again, as_of, damaged)
        except DamagedFile as error:
            # a read that failed for another reason, or of another file, may well succeed tomorrow
            if error.path in damaged or not is_damaged_parquet(root, error.path):
                raise
            damaged.add(error.path)
            # what the run that failed has kept
            lake.spark.catalog.clearCache()


def _ingest(
    lake: Lake,
    source: Source,
    root: str,
    arrival_day: date | None,
    today: date,
    first: str | None,
    through: str | None,
    again: bool,
    as_of: date | None,
    damaged: Collection[str],
) -> Report:
    arguments = {"source": source.name, "input": root, "arrival_day": arrival_day, "first": first, "through": through}
    arguments |= {"again": "yes" if again else None, "as_of": as_of}
    with lake.run("ingest", source.name, {}, arguments) as run:
        key = pseudonym_key(lake) if source.names_persons() else None
        # a row a delivery: bookkeeping, not data
        before = run.read(DELIVERIES).select("delivery_id", "mapping", "accepted", "duplicate").collect()
        known = {row["delivery_id"]: row["mapping"] for row in before}
        has_fitted = any(row["mapping"] == source.digest() and row["accepted"] + row["duplicate"] for row in before)
        lines: list[str] = []

        def choose(names: Sequence[str]) -> Sequence[str]:
            if as_of is None:
                return names
            chosen, told = looked_at(names, as_of, _first_open(lake, as_of), _names(known, source))
            lines.extend(told)
            return chosen

        found = find_deliveries(source, root, first, through, choose)
        deliveries = [_without(delivery, damaged) for delivery in found]
        new, earlier = _to_be_taken(deliveries, known, source.digest() if again else None)
        if not new:
            values = {"source": source.name, "deliveries": 0, "known already": len(deliveries)}
            return Report("ingest", values, lines=lines)
        calendar = calendar_of(lake, arrival_day, today, is_the_day_after=as_of is not None)
        with broken_files_named(root):
            counts, held, refused = _take_in(run, source, new, root, calendar, key or b"", again, has_fitted)
        _mark_judged_anew(run, earlier)
        require_unchanged(root, new)
        run.figures = {"deliveries": len(new), **counts}
        has_taken = counts["accepted"] + counts["duplicate"] > 0
        run.facts = facts_of(source, key, calendar, has_taken) | ({"again": "True"} if again else {})
        run.publish()
    lines += [f"held whole: {delivery}: {why}" for delivery, why in held.items()]
    lines += _told(refused)
    return Report("ingest", {"source": source.name, "deliveries": len(new), **counts}, lines=lines)


def _told(refused: Iterable[tuple[Delivery, RefusedFile]]) -> list[str]:
    names = sorted((delivery.name, file.name, file.reason.removeprefix("file: ")) for delivery, file in refused)
    lines = [f"refused: {delivery}/{file}: {why}" for delivery, file, why in names[:MOST_REFUSED_TOLD]]
    more = len(names) - len(lines)
    return [*lines, f"refused: {more:,} more files: see `seller-credit quarantine`"] if more else lines


def _first_open(lake: Lake, as_of: date) -> date | None:
    """The first day whose news is not closed, the day before `as_of` at the latest; None where no day is closed."""
    closed = lake.closed_through()
    day = timedelta(days=1)
    return min(as_of - day, closed + day) if closed else None


def _names(known: Iterable[str], source: Source) -> set[str]:
    """The names of a source's deliveries, of the ids of all."""
    ours = (known_id.removeprefix(f"{source.name}/") for known_id in known if known_id.startswith(f"{source.name}/"))
    # what a release took in has a run for its digest, and no folder
    return {name for name, _, digest in (told.rpartition("@") for told in ours) if not digest.startswith("release-")}


def _to_be_taken(
    deliveries: Sequence[Delivery], known: Mapping[str, str | None], mapping: str | None
) -> tuple[list[Delivery], dict[str, str]]:
    """The deliveries that the lake does not have; and, where a digest of a `mapping` is given, those that it has by
    others alone. Then also under which new id each id of theirs is judged anew.
    """
    new: list[Delivery] = []
    earlier: dict[str, str] = {}
    by_content: dict[str, list[str]] = {}
    for name in known:
        by_content.setdefault(content_of(name), []).append(name)
    for delivery in deliveries:
        times = by_content.get(delivery.delivery_id, [])
        if not times:
            new.append(delivery)
        elif mapping is not None and mapping not in {known[name] for name in times}:
            new.append(replace(delivery, mapping=mapping))
            earlier |= dict.fromkeys(times, new[-1].delivery_id)
    return new, earlier


def _without(delivery: Delivery, damaged: Collection[str]) -> Delivery:
    """The delivery with its damaged files among those that are refused."""
    why = "file: is damaged, which was found out in the middle of reading"
    lost = tuple(RefusedFile(file.name, why) for file in delivery.files if file.path in damaged)
    whole = tuple(file for file in delivery.files if file.path not in damaged)
    return replace(delivery, files=whole, refused=(*delivery.refused, *lost))


def _take_in(
    run: Run,
    source: Source,
    deliveries: Sequence[Delivery],
    root: str,
    calendar: Calendar,
    key: bytes,
    again: bool,
    has_fitted: bool,
) -> tuple[dict[str, int], dict[str, str], list[tuple[Delivery, RefusedFile]]]:
    """Write what the deliveries bring; return the counts, why deliveries were held, and which files were refused."""
    refused = [(delivery, file) for delivery in deliveries for file in delivery.refused]
    batches = []
    for group in readable(run.lake, source, deliveries, refused, has_fitted):
        raw = raw_records(run.lake, source, group, deliveries, root)
        is_small = sum(file.stamp[0] for file in group.files) <= SMALL_BYTES
        personal = personal_columns(group.feeds, raw.columns, nested_columns(group, raw))
        batches.append(Batch(raw, group.feeds, personal, is_small))
    secret = key_pads(run.lake.spark, key)
    events = loads(source, batches, calendar, secret)
    rests = [unclaimed(batch.raw, batch.feeds, batch.personal, secret) for batch in batches]
    left_over = [rest.persist(StorageLevel.DISK_ONLY) for rest in rests if rest is not None]
    for load in events:
        load.part_roads(run, calendar, everywhere=again)
    unclaimed_records, malformed = _count(left_over)
    _check_against_footers(source, deliveries, refused, events)
    bad = sum((load.bad for load in events), malformed)
    taken = sum((load.records for load in events), Counter(malformed))
    records_in = sum((load.records for load in events), Counter(unclaimed_records))
    # what filters leave out on purpose says nothing of whether the mapping is right
    held = _held(run, taken, bad)

    outcome: Outcome = Counter()
    quarantine = []
    for load in events:
        judged = load.judge(run, held)
        found = outcome_of(judged)
        if not has_fitted:
            _require_read_as_before(run, source, load, judged, found)
        for delivery, records in load.records.items():
            straight = records - sum(load.second_road[delivery, is_sound] for is_sound in (True, False))
            found[(delivery, QUARANTINED) if delivery in held else (delivery, ACCEPTED)] += straight
            if delivery in held:
                found[delivery, QUARANTINED] += records - straight
        run.append(load.table, load.accepted(held, calendar))
        _check_against_table(run, load, found)
        outcome += found
        quarantine.append(judged.filter(F.col("status") == QUARANTINED))
        if held:
            quarantine.append(load.all_of(held))
    for delivery, records in unclaimed_records.items():
        outcome[delivery, QUARANTINED] += records
    _append_quarantine(run, [*quarantine, *left_over], refused, held, calendar)
    totals = _append_deliveries(run, source, deliveries, refused, records_in, outcome, held)
    for load in events:
        load.release()
    for rest in left_over:
        rest.unpersist()
    return totals, held, refused


def _count(left_over: Iterable[DataFrame]) -> tuple[Counter[str], Counter[str]]:
    """The records that no feed takes, by delivery, and those among them that cannot be taken apart."""
    counted: Counter[str] = Counter()
    malformed: Counter[str] = Counter()
    counts = (F.count(F.lit(1)).alias("records"), F.count_if(F.col("columns").isNull()).alias("malformed"))
    for records in left_over:
        # a row a delivery: bookkeeping, not data
        for row in records.groupBy("delivery_id").agg(*counts).collect():
            counted[row["delivery_id"]] += row["records"]
            malformed[row["delivery_id"]] += row["malformed"]
    return counted, malformed


def _held(run: Run, taken: Counter[str], bad: Counter[str]) -> dict[str, str]:
    """Deliveries in which so much is wrong that more likely the mapping is: nothing of them goes in."""
    rule = run.lake.settings.intake
    return {
        delivery: f"{bad[delivery]:,} of its {records:,} records are bad, more than {rule.hold_above_share:.0%}"
        for delivery, records in taken.items()
        if records >= rule.hold_from_records and bad[delivery] > rule.hold_above_share * records
    }


def _require_read_as_before(run: Run, source: Source, load: Load, judged: DataFrame, found: Outcome) -> None:
    """Raise UserError where a mapping that is new to the lake reads so many known records in another way that not they
    are wrong, but it is: day by day all of them would go into quarantine.
    """
    rule, records = run.lake.settings.intake, load.records.total()
    fewest = rule.hold_above_share * records
    refused = sum(many for (_, status), many in found.items() if status == QUARANTINED)
    if records < rule.hold_from_records or refused <= fewest:
        return  # almost always: only where so many were refused is their reason looked at
    otherwise = judged.filter(F.array_contains("reasons", KNOWN_OTHERWISE)).count()
    if otherwise > fewest:
        raise UserError(
            f"source {source.name}: this mapping reads {otherwise:,} of {records:,} records for {load.table.name}"
            " otherwise than they were taken in by an earlier one, and a known record does not change: nothing was"
            " taken in. Read them as before, deliver only new records, or make a new lake by this mapping"
        )


def _check_against_footers(
    source: Source,
    deliveries: Sequence[Delivery],
    refused: Sequence[tuple[Delivery, RefusedFile]],
    events: Sequence[Load],
) -> None:
    """Hold the records read for every event against the rows that the Parquet files' footers promise, where no filter
    takes some of them away.
    """
    lost = {(delivery.delivery_id, file.name) for delivery, file in refused}
    for load in events:
        feeds = [feed for feed in source.feeds if EVENT_TABLES[feed.event] is load.table]
        if any(feed.filter is not None for feed in feeds):
            continue
        for delivery in deliveries:
            files = [
                file
                for file in delivery.files
                for feed in feeds_of(source, file.name)
                if feed in feeds and (delivery.delivery_id, file.name) not in lost
            ]
            promised = sum(file.rows or 0 for file in files)
            if all(file.rows is not None for file in files) and promised != load.records[delivery.delivery_id]:
                raise StepFailure(
                    f"{delivery.delivery_id}: {load.table.name}: the files hold {promised} records,"
                    f" and {load.records[delivery.delivery_id]} were read"
                )


def _check_against_table(run: Run, load: Load, found: Outcome) -> None:
    """Hold the records counted as accepted against the rows that Delta wrote: the first are counted before the roads
    part, the second at the end of both.
    """
    accepted = sum(records for (_, status), records in found.items() if status == ACCEPTED)
    if accepted != run.rows_written(load.table):
        raise StepFailure(
            f"{load.table.name}: {accepted} records were accepted, and {run.rows_written(load.table)} were written"
        )


def _append_quarantine(
    run: Run,
    refused_records: Sequence[DataFrame],
    refused: Sequence[tuple[Delivery, RefusedFile]],
    held: Mapping[str, str],
    calendar: Calendar,
) -> None:
    whole_files = run.lake.spark.createDataFrame(
        [
            (d.delivery_id, "(file)", f.name, None, [f.reason], f"the whole file {f.name}", None, None, arrival, None)
            for arrival in [calendar.told_arrival_day]
            for d, f in refused
        ],
        schema_of(QUARANTINE),
    )
    why = F.when(
        F.col("delivery_id").isin(list(held)), F.array(F.lit("delivery_held: too many of its records are bad"))
    )
    names = [name for name in QUARANTINE.names if name not in ("reasons", "released_by")]
    rows = [
        records.select(
            *names,
            F.concat(F.coalesce(why, F.array().cast("array<string>")), "reasons").alias("reasons"),
            F.lit(None).cast("string").alias("released_by"),
        )
        for records in refused_records
    ]
    run.append(QUARANTINE, reduce(DataFrame.unionByName, rows, whole_files).coalesce(1))


def _mark_judged_anew(run: Run, earlier: Mapping[str, str]) -> None:
    """Write in quarantine that what deliveries refused the time before, by id, was judged anew under another id."""
    if not earlier:
        return
    anew = run.lake.spark.createDataFrame(list(earlier.items()), "delivery_id string, anew string")
    refused = run.written(QUARANTINE).filter(F.col("released_by").isNull())
    touched = refused.join(F.broadcast(anew), "delivery_id", "left_semi").select("delivery_id").distinct()
    ids = sorted(row["delivery_id"] for row in touched.collect())
    if not ids:
        return
    where = in_clause("delivery_id", ids)
    rows = run.written(QUARANTINE).filter(where).join(F.broadcast(anew), "delivery_id", "left")
    marked = rows.withColumn("released_by", F.coalesce("released_by", "anew"))
    run.replace(QUARANTINE, marked.select(*QUARANTINE.names).hint("rebalance"), where)


def _append_deliveries(
    run: Run,
    source: Source,
    deliveries: Sequence[Delivery],
    refused: Sequence[tuple[Delivery, RefusedFile]],
    records_in: Counter[str],
    outcome: Outcome,
    held: Mapping[str, str],
) -> dict[str, int]:
    files_refused = Counter(delivery.delivery_id for delivery, _ in refused)
    rows = []
    for delivery in deliveries:
        name = delivery.delivery_id
        # a file that cannot be read counts as one record: nobody knows how many are in it
        outcome[name, QUARANTINED] += files_refused[name]
        rows.append(
            (
                name,
                source.name,
                delivery.name,
                delivery.digest,
                len(delivery.files) + len(delivery.refused),
                records_in[name] + files_refused[name],
                *(outcome[name, status] for status in STATUSES),
                held.get(name),
                source.digest(),
            )
        )
    run.append(DELIVERIES, run.lake.spark.createDataFrame(rows, schema_of(DELIVERIES)).coalesce(1))
    totals = {status: sum(n for (_, s), n in outcome.items() if s == status) for status in STATUSES}
    return {"records in": sum(records_in.values()) + files_refused.total(), **totals}


@step("ingest", "seller-credit ingest --source marketplace --input demo/world/deliveries --through 2024-08-31")
@click.option(
    "--source", required=True, metavar="NAME_OR_FILE", help="Mapping that comes with the package, or a .yml file."
)
@click.option("--input", "root", required=True, metavar="PATH", help="Folder with the deliveries.")
@click.option(
    "--arrival-day",
    type=DAY,
    help="Day on which we came to know all of it; leave it out for a first load of history [default: today].",
)
@click.option("--from", "first", metavar="NAME", help="Only deliveries of this name or later.")
@click.option("--through", metavar="NAME", help="Only deliveries of this name or earlier.")
@click.option("--again", is_flag=True, help="Also those taken in before, by a mapping that was mended since.")
def command(
    invocation: Invocation,
    source: str,
    root: str,
    arrival_day: date | None,
    first: str | None,
    through: str | None,
    again: bool,
) -> Report:
    """Take a ledger's files in: every record is accepted, a duplicate, or quarantined with its reasons.

    A delivery that was taken in before is nothing; a record again is a duplicate. With --again what a mapping refused
    is judged by the mended one, whole files too: `release` does so without the files, record by record. Before the
    first day is closed, and without --arrival-day, the mapping's own arrival rule says when each record became known;
    else all of it arrives on that day, by default today.
    """
    mapping = load_source(source)
    today = invocation.today_of_arrival(arrival_day)
    return ingest(invocation.lake(), mapping, root, arrival_day, today, first, through, again)


if __name__ == "__main__":
    sys.exit(run_command(command))
