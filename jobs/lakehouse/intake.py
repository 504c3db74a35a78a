"""Records on their way into bronze: which are new, which repeat or contradict what we have, which are refused.

Most records of a delivery have nothing wrong and an id that nobody has seen. Each is checked in a first look, of which
its id stays, as 64 bits, and whether it is sound. Those that are sound and new then take the straight road, from the
files into bronze in one pass, with no shuffle of their own and no second check; the others take the second road, where
every record is judged beside those of the same id.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import UserError
from conf.source import Feed, Source
from jobs.lakehouse.lake import Lake, Run, by_arrival_month
from jobs.lakehouse.secret import FINGERPRINT
from transforms.intake.identity import (
    ACCEPTED,
    DUPLICATE,
    QUARANTINED,
    id_hash,
    is_correction,
    judge_events,
    judge_versions,
    refused,
    resolve_corrections,
    suspects,
)
from transforms.intake.mapping import (
    LOOKED_AT,
    Calendar,
    Records,
    event_id_of,
    look_at,
    map_records,
    map_sound,
    with_reasons,
)
from transforms.intake.pseudonyms import PADS_SCHEMA, fingerprint, pads
from transforms.tables.bronze import EVENT_TABLES, SELLERS
from transforms.tables.table import Table

CORRECTION_SPAN_DAYS = 180
"""How long before a load's oldest event the original of a correction is looked for."""
REUSE_SPAN_DAYS = 30
"""How long before a load's newest event an id is looked for that comes again under another day."""
MOST_BROADCAST = 4_000_000
"""Hashes of ids that fit into every task's memory: about 130 MB."""
MOST_DAYS_LISTED = 400
_ZONE = "time_zone"
"""Fact of a run that took records in: the zone whose days its days are."""
RECORDS_A_FILE = 2_000_000
SMALL_BYTES = 16_000_000
"""Of files as they came: some 300,000 records."""


@dataclass(frozen=True)
class Batch:
    """Raw records of one schema, and the feeds that read them."""

    raw: DataFrame
    feeds: tuple[Feed, ...]
    personal: tuple[str, ...]
    """Columns whose ids are to be replaced by pseudonyms."""
    is_small: bool = False
    """So small that to read its records once and keep them costs less than to plan their reading five times: the tests
    of intake took 153 s instead of 264."""


@dataclass(frozen=True)
class Part:
    """What a batch brings to one event table."""

    records: Records
    kept: DataFrame | None
    """Its mapped records, where they are few enough to be kept."""

    def looks(self) -> DataFrame:
        """Its records as LOOKED_AT."""
        return look_at(self.records) if self.kept is None else self.kept.select(*LOOKED_AT)

    def whole(self) -> DataFrame:
        """Its mapped records."""
        return map_records(self.records) if self.kept is None else self.kept

    def second_road(self, suspects: DataFrame) -> DataFrame:
        """Its mapped records that need a second look."""
        if self.kept is not None or self.records.has_ids_made_of_pseudonyms:
            return _suspected(self.whole(), F.col("event_id"), suspects)
        # before all that is costly
        raw = _suspected(self.records.taken.raw, event_id_of(self.records), suspects)
        return map_records(replace(self.records, raw=raw))

    def straight_road(self, suspects: DataFrame, names: Iterable[str]) -> DataFrame:
        """Columns of its mapped records that need no second look."""
        rows = map_sound(self.records) if self.kept is None else self.kept
        return _marked(rows, F.col("event_id"), suspects).filter(~_needs_a_second_look()).select(*names)


@dataclass
class Load:
    """What a load brings to one event table."""

    table: Table
    parts: list[Part]
    records: Counter[str] = field(default_factory=Counter)
    """By delivery, counted before any was judged."""
    second_road: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Records of the second road, by delivery and soundness."""
    days: set[date] = field(default_factory=set)
    has_corrections: bool = False
    _suspects: DataFrame = field(init=False)
    _known: DataFrame = field(init=False)
    _slow: DataFrame = field(init=False)
    _judged: DataFrame = field(init=False)
    _ids: DataFrame | None = None

    def release(self) -> None:
        """Give the disk back."""
        if self._ids is not None:
            self._ids.unpersist()

    @property
    def bad(self) -> Counter[str]:
        """Records in which something is wrong, by delivery."""
        return Counter({delivery: n for (delivery, is_sound), n in self.second_road.items() if not is_sound})

    @property
    def straight_records(self) -> int:
        """Records of the straight road."""
        return self.records.total() - self.second_road.total()

    def part_roads(self, run: Run, calendar: Calendar, everywhere: bool = False) -> None:
        """Look at every id once, and set the records aside that need a second look; `everywhere` where a mapping that
        was mended may have moved a day by any span.
        """
        if self.table is SELLERS:
            # few beside events, and one version of a seller says little without the others
            self._known = run.read(SELLERS)
            slow = [part.whole() for part in self.parts]
        else:
            look = (id_hash(F.col("event_id")).alias("id_hash"), id_hash(F.col("voids")).alias("voids_hash"))
            ids = _union(p.looks().select("delivery_id", "event_day", "is_sound", *look) for p in self.parts)
            self._ids = ids = ids.persist(StorageLevel.DISK_ONLY)
            self._count(ids, calendar)
            self._known = _kept(_known(run, self, ids, everywhere))
            suspect = _kept(
                suspects(ids, self._known).select(F.col("id_hash").alias(_HASH), F.lit(True).alias(_SUSPECT))
            )
            # one number: Spark would sort and shuffle all records for the sake of a few suspects
            self._suspects = F.broadcast(suspect) if suspect.count() <= MOST_BROADCAST else suspect
            slow = [part.second_road(self._suspects) for part in self.parts]
        self._slow = _kept(_union(map(with_reasons, slow)))
        # a row a delivery and soundness: bookkeeping, not data
        for row in self._slow.groupBy("delivery_id", "is_sound").count().collect():
            self.second_road[row["delivery_id"], row["is_sound"]] += row["count"]
            if self.table is SELLERS:
                self.records[row["delivery_id"]] += row["count"]

    def _count(self, ids: DataFrame, calendar: Calendar) -> None:
        latest = max(calendar.today, calendar.first_open_day)
        # a broken stamp must not send a look-up to 1900, and Python knows no day after the year 9999
        is_possible = F.col("event_day").between(F.lit(calendar.first_day), F.lit(latest))
        by_day = ids.groupBy("delivery_id", F.when(is_possible, F.col("event_day")).alias("event_day")).agg(
            F.count(F.lit(1)).alias("records"), F.count("voids_hash").alias("corrections")
        )
        # a row a delivery and event day: bookkeeping, not data
        for row in by_day.collect():
            self.records[row["delivery_id"]] += row["records"]
            self.has_corrections |= row["corrections"] > 0
            if row["event_day"] is not None:
                self.days.add(row["event_day"])
        if self.has_corrections and not self.days:
            # corrections need no day of their own: what they name is looked for from now back
            self.days.add(latest)

    def judge(self, run: Run, held: Iterable[str]) -> DataFrame:
        """The second road's records with their `status`, those of held deliveries left out."""
        slow = self._slow.filter(~F.col("delivery_id").isin(list(held)))
        sound, bad = slow.filter("is_sound"), refused(slow.filter("not is_sound"))
        if self.table is SELLERS:
            judged = [judge_versions(sound, self._known)]
        elif not self.has_corrections:
            judged = [judge_events(sound, self._known)]
        else:
            events = _kept(judge_events(sound, self._known))
            before, voided = _named_by_corrections(run, self.table, events, min(self.days))
            judged = [events.filter(~is_correction()), resolve_corrections(events, before, voided, self.table)]
        self._judged = _kept(_union([*judged, bad]))
        return self._judged

    def accepted(self, held: Iterable[str], calendar: Calendar) -> DataFrame:
        """The rows for bronze, laid out as it wants them."""
        names = self.table.names
        parts = [self._judged.filter(F.col("status") == ACCEPTED).select(*names)]
        if self.table is SELLERS:
            return parts[0].coalesce(1)
        parts.append(self.straight().filter(~F.col("delivery_id").isin(list(held))).select(*names))
        rows = _union(parts)
        # corrections stand together, a day's in a file of their own: to find one, only they are read
        if calendar.told_arrival_day is None:
            # history: each task has records of many months
            return by_arrival_month(rows, "sign", "event_day", "event_id")
        files = 1 + self.records.total() // RECORDS_A_FILE
        if not self.has_corrections:
            return rows.coalesce(files)
        takes_back = F.col("sign") == -1
        return rows.filter(~takes_back).coalesce(files).unionByName(parts[0].filter(takes_back).coalesce(1))

    def straight(self) -> DataFrame:
        """The records of the straight road: all are new and sound."""
        names = dict.fromkeys((*self.table.names, "position"))
        return _union(part.straight_road(self._suspects, names) for part in self.parts)

    def all_of(self, deliveries: Iterable[str]) -> DataFrame:
        """Every record of some deliveries, with its reasons."""
        ours = F.col("delivery_id").isin(list(deliveries))
        return _union(with_reasons(part.whole().filter(ours)) for part in self.parts)


def calendar_of(lake: Lake, arrival_day: date | None, today: date, is_the_day_after: bool = False) -> Calendar:
    """The calendar of a load: what it brings arrives on the day told, else today, or on the first open day after; only
    while no day is closed yet, and none is told, does the source's own arrival rule count.

    Raises UserError where the business time zone is not the one in which the lake's days were told so far.
    """
    closed, settings = lake.closed_through(), lake.settings.calendar
    before = next((run.facts[_ZONE] for run in reversed(lake.runs()) if _ZONE in run.facts), None)
    if before not in (None, str(settings.time_zone)):
        raise UserError(
            f"{lake.root}: its days are those of {before}, and calendar.time_zone says {settings.time_zone}: the days"
            " of one lake are those of one zone. Set calendar.time_zone as it was"
        )
    told_arrival_day = arrival_day or (today if closed else None)
    return Calendar(
        zone=settings.time_zone,
        first_day=settings.first_day,
        first_open_day=closed + timedelta(days=1) if closed else settings.first_day,
        told_arrival_day=told_arrival_day,
        today=max(today, told_arrival_day or today),
        is_the_day_after=is_the_day_after,
    )


def facts_of(source: Source, key: bytes | None, calendar: Calendar, has_taken: bool) -> dict[str, str]:
    """What later steps go by, of a run that took records of this source in.

    One that has taken none, of a delivery held whole for example, tells of nothing yet.
    """
    told = {"kinds_told": ",".join(sorted(source.kinds_told())), "told_on": str(calendar.arrival_day or "")}
    return {
        **(told if has_taken else {}),
        "simulated": str(source.simulated),
        "source_digest": source.digest(),
        _ZONE: calendar.zone,
        **({FINGERPRINT: fingerprint(key)} if key else {}),
    }


def loads(source: Source, batches: Sequence[Batch], calendar: Calendar, secret: DataFrame) -> list[Load]:
    """Map the batches: what goes to each event table."""
    parts: dict[str, list[Part]] = {}
    for batch in batches:
        for feed in batch.feeds:
            records = Records(batch.raw, source, feed, calendar, batch.personal, secret, batch.feeds)
            kept = _kept(map_records(records)) if batch.is_small else None
            parts.setdefault(feed.event, []).append(Part(records, kept))
    return [Load(EVENT_TABLES[event], of_event) for event, of_event in parts.items()]


def key_pads(spark: SparkSession, key: bytes) -> DataFrame:
    """The key as a table of one row, made of a collection and not of literals, which plans would show.

    A source without ids of persons needs no key, and may still have columns that tell of some: without one they are
    null, since a pseudonym that nothing else has would make one person many.
    """
    row = pads(key) if key else (None, None)
    return spark.createDataFrame(spark.sparkContext.parallelize([row], 1), PADS_SCHEMA)


_HASH, _SUSPECT = ("_id_hash", "_is_suspect")


def _marked(rows: DataFrame, event_id: Column, suspects: DataFrame) -> DataFrame:
    return rows.withColumn(_HASH, id_hash(event_id)).join(suspects, _HASH, "left")


def _suspected(rows: DataFrame, event_id: Column, suspects: DataFrame) -> DataFrame:
    return _marked(rows, event_id, suspects).filter(_needs_a_second_look()).drop(_HASH, _SUSPECT)


def _kept(rows: DataFrame) -> DataFrame:
    """Keep rows on disk that are read several times.

    As a checkpoint, and not by `persist`: Spark plans and prints what it persists anew within all that reads it, and
    here one rests on another: a load of three schemas a feed filled a heap of 1.5 GB with texts of plans. An executor
    that is lost with a part of them stops the step, which can be repeated.
    """
    return rows.localCheckpoint(eager=False, storageLevel=StorageLevel.DISK_ONLY)


def _needs_a_second_look() -> Column:
    return F.col(_HASH).isNull() | F.col(_SUSPECT).isNotNull()


def _union(frames: Iterable[DataFrame]) -> DataFrame:
    return reduce(DataFrame.unionByName, frames)


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _known(run: Run, load: Load, ids: DataFrame, everywhere: bool) -> DataFrame:
    """The published events (event_id, content_hash) that have one of these ids: looked for on the event days that the
    load speaks of, whatever their age, and under other days over a bounded span, so that it does not grow with history;
    or `everywhere`.
    """
    published = run.read(load.table)
    days = sorted(load.days)
    if run.lake.published_version(load.table) is None or not days:
        return published.limit(0).select("event_id", "content_hash")
    since = days[-1] - timedelta(days=REUSE_SPAN_DAYS)
    is_on = F.col("event_day").isin(days) if len(days) <= MOST_DAYS_LISTED else F.col("event_day") >= days[0]
    near = (
        published
        if everywhere
        else published.filter(
            (is_on | (F.col("event_day") >= F.lit(since))) & (F.col("arrival_month") >= _month(min(days[0], since)))
        )
    )
    wanted = ids.filter(F.col("id_hash").isNotNull())
    known = _having(near, wanted, load)
    if load.has_corrections:
        # a correction stands under the day of the event that it took back
        corrections = wanted.filter(F.col("voids_hash").isNotNull())
        known = known.unionByName(_having(_taking_back(published, days[0]), corrections, load)).distinct()
    return known


def _having(published: DataFrame, wanted: DataFrame, load: Load) -> DataFrame:
    hashes = wanted.select("id_hash")
    if load.records.total() <= MOST_BROADCAST:
        hashes = F.broadcast(hashes)
    return published.join(hashes, id_hash(F.col("event_id")) == F.col("id_hash"), "left_semi").select(
        "event_id", "content_hash"
    )


def _since(published: DataFrame, oldest: date) -> DataFrame:
    """The published events among which the originals of corrections are looked for."""
    since = oldest - timedelta(days=CORRECTION_SPAN_DAYS)
    return published.filter((F.col("event_day") >= F.lit(since)) & (F.col("arrival_month") >= _month(since)))


def _taking_back(published: DataFrame, oldest: date) -> DataFrame:
    return _since(published, oldest).filter("sign = -1")


def _named_by_corrections(run: Run, table: Table, events: DataFrame, oldest: date) -> tuple[DataFrame, DataFrame]:
    """The published events that corrections among judged events name, and those among them that were voided before."""
    published = run.read(table)
    wanted = F.broadcast(events.filter(is_correction()).select(F.col("voids").alias("wanted")).distinct())
    voided = _taking_back(published, oldest).join(wanted, F.col("voids") == F.col("wanted"), "left_semi")
    # their days first, by one narrow column: to read every column of half a year costs ten times as much
    near = _since(published, oldest)
    found = near.select("event_id", "event_day").join(wanted, F.col("event_id") == F.col("wanted"), "left_semi")
    days = [row["event_day"] for row in found.select("event_day").distinct().collect()]
    before = near.filter(F.col("event_day").isin(days)).join(wanted, F.col("event_id") == F.col("wanted"), "left_semi")
    return before, voided.select("voids", "event_day")


Outcome = Counter[tuple[str, str]]
"""Records by delivery and status."""


def outcome_of(judged: DataFrame) -> Outcome:
    """Count judged records."""
    # a row a delivery and status: bookkeeping, not data
    rows = judged.groupBy("delivery_id", "status").count().collect()
    return Counter({(row["delivery_id"], row["status"]): row["count"] for row in rows})


STATUSES = (ACCEPTED, DUPLICATE, QUARANTINED)
