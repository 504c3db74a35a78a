"""Tables on a lake: what is published, reading it, and writing more of it safely.

Write, audit, publish: a step takes the lake's lock, rolls its tables back to their published versions, writes,
and appends one row to ops.runs, which publishes. Readers go by that row, so a half-done step is invisible.
"""

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.errors import StepFailure, UserError
from conf.settings import Settings
from jobs.lakehouse.commits import Commits
from jobs.lakehouse.cost import cost_since, newest_stage
from jobs.lakehouse.lock import lake_lock
from transforms.tables.ops import RUNS
from transforms.tables.silver import SELLER_ITEM_DAY
from transforms.tables.table import Table, literal_or_null

_TAKING_IN = ("ingest", "release")

EVERY_ROW = "every row"
"""The slice of a write that replaced a whole table."""

REMEDY = "Put a copy of the table in its place, or make a new lake of the deliveries"
_COMPACTED = "compacted: "

_RUN_ID = re.compile(r"[a-z-]+-\d{6,}-[0-9a-f]{6}")


@dataclass(frozen=True)
class Published:
    """One published run, as ops.runs holds it."""

    run_id: str
    sequence: int
    step: str
    slice: str
    identity: str
    started_at: datetime
    seconds: float
    peak_memory_bytes: int | None
    outputs: tuple[dict[str, Any], ...]
    facts: Mapping[str, str]
    figures: Mapping[str, float]
    cost: Mapping[str, float] | None
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def as_of(self) -> date:
        """The as-of day of a slice that has one."""
        return date.fromisoformat(self.slice.removeprefix("as_of="))


@dataclass
class Lake:
    """The tables under one root."""

    spark: SparkSession
    settings: Settings
    _runs: list[Published] | None = None

    @property
    def root(self) -> str:
        return self.settings.lake.root.rstrip("/")

    def path(self, table: Table) -> str:
        """Where a table lies: `root/layer/name`."""
        root = self.root if "://" in self.root else str(Path(self.root).resolve())
        return f"{root}/{table.name.replace('.', '/')}"

    def runs(self) -> list[Published]:
        """Every published run, oldest first. A row a step and day: thousands, never millions."""
        if self._runs is None:
            path = self.path(RUNS)
            if not DeltaTable.isDeltaTable(self.spark, path):
                return []
            names = tuple(Published.__dataclass_fields__)
            told = self.spark.read.format("delta").load(path)
            kinds = {column.name: column.type for column in RUNS}
            chosen = (literal_or_null(name, kinds[name], told.columns) for name in names)
            # put in order here: Spark would run two more jobs for it
            rows = sorted(told.select(*chosen).collect(), key=lambda row: int(row["sequence"]))
            self._runs = [
                Published(
                    **{
                        **row.asDict(recursive=True),
                        "outputs": tuple(row["outputs"][i].asDict() for i in range(len(row["outputs"]))),
                        "started_at": row["started_at"].astimezone(UTC),  # told in the machine's zone
                    }
                )
                for row in rows
            ]
        return self._runs

    def run_of(self, run_id: str | None) -> Published | None:
        """The published run of an id; None where there is none."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    def last_run(self, step: str, slice_: str | None = None) -> Published | None:
        """The newest published run of a step, or of one slice of it."""
        matching = (run for run in reversed(self.runs()) if run.step == step and slice_ in (None, run.slice))
        return next(matching, None)

    def newest_run(self, step: str, before: date | None = None, **facts: str) -> Published | None:
        """The last published run of a step's newest as-of day, or newest before a day, of its runs with these facts.

        An older day that is worked out again is published after the newest one, and is no newer for it.
        """
        matching = (run for run in self.runs() if run.step == step and facts.items() <= run.facts.items())
        in_time = (run for run in matching if before is None or run.as_of < before)
        return max(in_time, key=lambda run: (run.as_of, run.sequence), default=None)

    def require_run(self, step: str, slice_: str | None, hint: str) -> Published:
        """The newest run of a slice, or without one of the newest as-of day; UserError that says what to do first."""
        run = self.last_run(step, slice_) if slice_ else self.newest_run(step)
        if run is None:
            raise UserError(f"{self.root}: nothing published by `{step}`{f' for {slice_}' if slice_ else ''}. {hint}")
        return run

    def closed_through(self) -> date | None:
        """The newest closed arrival day, or None before `aggregate` closed one."""
        last = self.last_run("aggregate")
        return date.fromisoformat(last.facts["closed_through"]) if last else None

    def require_closed(self, as_of: date) -> None:
        """Raise UserError unless every arrival day before `as_of` is closed."""
        closed = self.closed_through()
        if closed is None or closed < as_of - timedelta(days=1):
            raise UserError(
                f"as of {as_of} needs every arrival day before it closed; closed through: {closed or 'none'}."
                f" Run `seller-credit aggregate --through {as_of - timedelta(days=1)}` once all of it has arrived."
            )
        if self.published_version(SELLER_ITEM_DAY) is None:
            raise UserError(
                f"this lake was made before {SELLER_ITEM_DAY.name}. Run `seller-credit aggregate`, which makes it of"
                " all that is closed."
            )

    def news_before(self, as_of: date) -> list[str]:
        """Runs of `aggregate` that closed days before `as_of`: they, and no others, decide what was known then."""
        closing = (run for run in self.runs() if run.step == "aggregate")
        return [run.run_id for run in closing if not run.facts["closed_from"] or run.facts["closed_from"] < str(as_of)]

    def news_digest(self, as_of: date) -> str:
        """What was known before a day, in one word: equal digests are equal news."""
        return _digest({"news": self.news_before(as_of)})

    def kinds_told(self) -> dict[str, date | None]:
        """The kinds of record, and the fields, that what was taken in so far can bring, as `order_event.paid`.

        Each with the day on which its first load arrived; None where each record of that told its own.
        """
        told: dict[str, date | None] = {}
        for run in self.runs():
            arrived = date.fromisoformat(run.facts["told_on"]) if run.facts.get("told_on") else None
            for kind in filter(None, run.facts.get("kinds_told", "").split(",")):
                before = told.get(kind, arrived)
                told[kind] = min(before, arrived) if before and arrived else None
        return told

    def kinds_told_before(self, as_of: date) -> list[str]:
        """Those of them that were told of before a day began."""
        return sorted(kind for kind, day in self.kinds_told().items() if day is None or day < as_of)

    def is_simulated(self) -> bool:
        """Whether any source taken in so far is a simulated one."""
        return any(run.facts["simulated"] == "True" for run in self.runs() if run.step in _TAKING_IN)

    def published_version(self, table: Table) -> int | None:
        """The version of a table that readers see; None before anything was published."""
        for run in reversed(self.runs()):
            for output in reversed(run.outputs):
                if output["table"] == table.name:
                    return int(output["version"])
        return None

    def read(self, table: Table) -> DataFrame:
        """The table as published; without rows before anything was."""
        published = self.published_version(table)
        if published is None:
            return self.spark.createDataFrame([], schema_of(table))
        rows = self.read_version(table, published)
        lacking = [column for column in table if column.name not in rows.columns]
        if any(column.required for column in lacking):
            raise UserError(
                f"{table.name} was made before these columns were: {', '.join(column.name for column in lacking)}."
                " Run `seller-credit aggregate`, which adds them to all that is closed."
            )
        # what a slice of then did not tell is unknown
        return rows.withColumns({column.name: F.lit(None).cast(column.type) for column in lacking}) if lacking else rows

    def lacking_columns(self, table: Table) -> list[str]:
        """Columns of the contract that the table, as published, was made without."""
        published = self.published_version(table)
        have = table.names if published is None else self.read_version(table, published).columns
        return [name for name in table.names if name not in have]

    def require_as_published(self, *tables: Table) -> None:
        """Raise StepFailure, naming everything, where a table is not what the steps have published."""
        problems = []
        for table in tables:
            published = self.published_version(table)
            if published is None:
                continue
            if not DeltaTable.isDeltaTable(self.spark, self.path(table)):
                problems.append(f"{table.name}: was published, and is not at {self.path(table)}")
                continue
            newest = self._commits(table).newest().version
            if newest < published:
                problems.append(_damaged(table, published, newest))
                continue
            problems += self._strange_commits(table, published)
            wrote = self._rows_published(table)
            if wrote is None:
                continue
            where, want = wrote
            have = self.read_version(table, published).filter(where).count()
            if have != want:
                of_what = "" if where == "true" else f" where {where}"
                problems.append(
                    f"{table.name}: version {published} has {have} rows{of_what}, and the steps that made it wrote"
                    f" {want}: it was edited by hand. {REMEDY}"
                )
        if problems:
            raise StepFailure("; ".join(problems))

    def _newest_of_runs(self) -> int | None:
        """Version of the table of runs; None before there is any."""
        is_there = DeltaTable.isDeltaTable(self.spark, self.path(RUNS))
        return self._commits(RUNS).newest().version if is_there else None

    def _commits(self, table: Table) -> Commits:
        return Commits(self.spark, self.path(table))

    def _strange_commits(self, table: Table, published: int) -> list[str]:
        """Commits after the published version that no step made and no RESTORE took back."""
        strange = []
        for commit in self._commits(table).after(published):
            if commit.operation == "RESTORE" and str(commit.parameters.get("version")) == str(published):
                break
            if commit.operation != "RESTORE" and not _RUN_ID.fullmatch(commit.metadata or ""):
                strange.append(commit)
        return [
            f"{table.name}: version {commit.version} ({commit.operation}, {commit.at:%Y-%m-%d %H:%M} UTC)"
            " was written by no step: the table was edited by hand. Nobody reads that, and no step writes on it. Take"
            f" it back: RESTORE TABLE delta.`{self.path(table)}` TO VERSION AS OF {published}"
            for commit in strange
        ]

    def _rows_published(self, table: Table) -> tuple[str, int] | None:
        """Rows of a table that its runs wrote: which, as an SQL condition, and how many.

        All of a table that only grows; the newest slice of one whose slices are replaced; None of one that does both.
        """
        grown, slice_, rows = 0, "", 0
        for run in self.runs():
            for output in run.outputs:
                if output["table"] != table.name or output["slice"].startswith(_COMPACTED):
                    continue
                if output["slice"] == EVERY_ROW:
                    grown = output["rows"]
                elif output["slice"] == run.slice:
                    grown += output["rows"]
                else:
                    slice_, rows = output["slice"], output["rows"]
        if slice_:
            return None if grown else (slice_, rows)
        return "true", grown

    def read_version(self, table: Table, number: int) -> DataFrame:
        return self.spark.read.format("delta").option("versionAsOf", number).load(self.path(table))

    @contextmanager
    def run(self, step: str, slice_: str, identity: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator["Run"]:
        """Open a run under the lake's lock. `identity` names everything that decides what the step makes."""
        with lake_lock(self.root, step, self.settings.lake.wait_seconds):
            self._runs = None
            with jobs_named(self.spark, f"{step} {slice_}"):
                yield Run(self, step, slice_, _digest({"step": step, "slice": slice_, **identity}), dict(arguments))

    def ensure(self, table: Table) -> None:
        """Create the table from its contract, or raise StepFailure when what is there differs from it.

        Columns that the contract has gained are added; of the rows of before they are null. So are, of the rows to
        come, those of features that it no longer has.
        """
        path = self.path(table)
        if not DeltaTable.isDeltaTable(self.spark, path):
            self.spark.sql(_create_statement(table, path))
            return
        fields = self.spark.read.format("delta").load(path).schema
        retired = {f.name for f in fields if table.keeps_retired and f.nullable and f.name not in table.names}
        have = {f.name: f.dataType.simpleString() for f in fields if f.name not in retired}
        gained = [c for c in table if c.name not in have]
        if gained:
            columns = ", ".join(f"`{c.name}` {c.type} COMMENT {_quoted(c.meaning)}" for c in gained)
            self.spark.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({columns})")
            have |= {c.name: c.type for c in gained}
        want = {column.name: column.type for column in table}
        wrong = [
            f"{name}: want {kind}, have {have.get(name, 'none')}"
            for name, kind in want.items()
            if have.get(name) != kind
        ]
        wrong += [f"{name}: not in the contract" for name in have if name not in want]
        if wrong:
            raise StepFailure(
                f"{table.name} at {path} was made by another version of Seller Credit: {'; '.join(wrong)}"
            )


@dataclass
class Run:
    """One run of one step: reads published versions, writes tables, publishes last."""

    lake: Lake
    step: str
    slice: str
    identity: str
    arguments: dict[str, Any]
    run_id: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    _inputs: dict[str, int] = field(default_factory=dict)
    _outputs: list[dict[str, Any]] = field(default_factory=list)
    _ready: set[str] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)
    _started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.sequence = (self.lake.runs()[-1].sequence if self.lake.runs() else 0) + 1
        self.run_id = f"{self.step}-{self.sequence:06d}-{secrets.token_hex(3)}"
        self._newest_stage = newest_stage(self.lake.spark)
        self._newest_of_runs = self.lake._newest_of_runs()

    @property
    def already_published(self) -> Published | None:
        """The newest run of this step and slice, if it was made from the same inputs."""
        last = self.lake.last_run(self.step, self.slice)
        return last if last is not None and last.identity == self.identity else None

    def read(self, table: Table) -> DataFrame:
        """The table as published, noted as an input."""
        published = self.lake.published_version(table)
        if published is not None:
            self._inputs[table.name] = published
        return self.lake.read(table)

    def append(self, table: Table, rows: DataFrame) -> None:
        """Add rows to a table that was rolled back to what is published."""
        self._write(table, rows, None)

    def replace(self, table: Table, rows: DataFrame, where: str) -> None:
        """Replace the slice of a table that an SQL condition names; all rows must lie within it."""
        self._write(table, rows, where)

    def rewrite(self, table: Table, rows: DataFrame) -> None:
        """Replace every row of a table, for example where all of them get a new column."""
        self._write(table, rows, EVERY_ROW)

    def _write(self, table: Table, rows: DataFrame, where: str | None) -> None:
        conformed = table.conform(rows)
        self._roll_back(table)
        failpoint(f"{self.step}:before:{table.name}")
        writer = conformed.write.format("delta").option("userMetadata", self.run_id)
        writer = writer.mode("append" if where is None else "overwrite")
        if where not in (None, EVERY_ROW):
            writer = writer.option("replaceWhere", where)
        with (
            jobs_named(self.lake.spark, f"{self.step} {self.slice}: {table.name}"),
            session_settings(self.lake.spark, table.file_options),
        ):
            writer.save(self.lake.path(table))
        self._note(table, where or self.slice)
        failpoint(f"{self.step}:after:{table.name}")

    def compact(self, table: Table, where: str, order: str) -> None:
        """Put the files of some partitions together, in the order of a column; no row changes."""
        with (
            self._signed(),
            jobs_named(self.lake.spark, f"{self.step}: files of {table.name} put together"),
            session_settings(self.lake.spark, table.file_options),
        ):
            DeltaTable.forPath(self.lake.spark, self.lake.path(table)).optimize().where(where).executeZOrderBy(order)
        self._note(table, f"{_COMPACTED}{where}")

    def _signed(self) -> AbstractContextManager[None]:
        """Commits that are no writes bear the run's id too, as a write does by an option."""
        return session_settings(self.lake.spark, {"spark.databricks.delta.commitInfo.userMetadata": self.run_id})

    def _note(self, table: Table, slice_: str) -> None:
        newest = self.lake._commits(table).newest()
        # Delta makes no commit of an append without rows: the newest is then another run's
        metrics = newest.metrics if newest.metadata == self.run_id else {}
        self._outputs.append(
            {
                "table": table.name,
                "slice": slice_,
                "version": newest.version,
                "rows": int(metrics.get("numOutputRows", 0)),
                "bytes": int(metrics.get("numOutputBytes", metrics.get("numAddedBytes", 0))),
                "files": int(metrics.get("numFiles", metrics.get("numAddedFiles", 0))),
            }
        )

    def _roll_back(self, table: Table) -> None:
        """Take off whatever a dead run left beyond the published version."""
        if table.name in self._ready:
            return
        if not DeltaTable.isDeltaTable(self.lake.spark, self.lake.path(table)):
            self.lake.ensure(table)
        newest = self.lake._commits(table).newest().version
        published = self.lake.published_version(table)
        # version 0 is the empty table as its contract creates it
        target = 0 if published is None else published
        if newest < target:
            raise StepFailure(_damaged(table, target, newest))
        if newest > target:
            strange = self.lake._strange_commits(table, target)
            if strange:
                raise StepFailure("; ".join(strange))
            with self._signed():
                DeltaTable.forPath(self.lake.spark, self.lake.path(table)).restoreToVersion(target)
        with self._signed():
            self.lake.ensure(table)
        self._ready.add(table.name)

    def written(self, table: Table) -> DataFrame:
        """The table as this run has written it so far, before anyone else sees it."""
        newest = max(output["version"] for output in self._outputs if output["table"] == table.name)
        return self.lake.read_version(table, newest)

    def rows_written(self, table: Table) -> int:
        """Rows that this run has written to a table, by Delta's own count."""
        return sum(output["rows"] for output in self._outputs if output["table"] == table.name)

    def publish(self) -> None:
        """Make everything that this run wrote visible, at once.

        Raises StepFailure where another run was published meanwhile: where no lock is, it may have taken this one's
        rows off as those of a dead one.
        """
        lake = self.lake
        if lake._newest_of_runs() != self._newest_of_runs:
            raise StepFailure(
                f"{self.step}: another step published while this one ran, and nothing of this one counts. One step at a"
                " time writes a lake: run it again"
            )
        lake.ensure(RUNS)
        row = (
            self.run_id,
            self.sequence,
            self.step,
            self.slice,
            self.identity,
            {name: str(value) for name, value in self.arguments.items() if value is not None},
            [(name, number) for name, number in sorted(self._inputs.items())],
            [tuple(output.values()) for output in self._outputs],
            {name: float(value) for name, value in self.figures.items()},
            self.facts,
            self._started_at,
            time.monotonic() - self._began,
            _peak_memory_bytes(lake.spark),
            code_version(),
            lake.settings.digest(),
            cost_since(lake.spark, self._newest_stage),
        )
        rows = lake.spark.createDataFrame([row], schema_of(RUNS)).coalesce(1)
        failpoint(f"{self.step}:before:publish")
        rows.write.format("delta").mode("append").save(lake.path(RUNS))
        lake._runs = None
        failpoint(f"{self.step}:after:publish")


@contextmanager
def session_settings(spark: SparkSession, settings: Mapping[str, str]) -> Iterator[None]:
    """Let the session have some settings for the time of a block, that it does not have otherwise."""
    for key, value in settings.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key in settings:
            spark.conf.unset(key)


@contextmanager
def jobs_named(spark: SparkSession, what: str) -> Iterator[None]:
    """Let Spark's own pages say of the jobs of a block what they are for, in place of a line of the driver."""
    key, context = "spark.job.description", spark.sparkContext
    before = context.getLocalProperty(key)
    context.setLocalProperty(key, what)
    try:
        yield
    finally:
        # none is a value too: it takes the property off
        context.setLocalProperty(key, cast(str, before))


def _damaged(table: Table, published: int, newest: int) -> str:
    return (
        f"{table.name}: version {published} was published, but its newest is {newest}: it was damaged, or an older copy"
        f" is in its place. {REMEDY}"
    )


def by_arrival_month(rows: DataFrame, *order: str) -> DataFrame:
    """Rows as a table of monthly partitions wants them: few files a month, each in order, a large month over tasks."""
    # a partitioning by range would work its last stage twice, once for a sample
    return rows.hint("rebalance", F.col("arrival_month")).sortWithinPartitions("arrival_month", *order)


def schema_of(table: Table) -> T.StructType:
    """The table's columns as a Spark schema."""
    ddl = ", ".join(f"`{c.name}` {c.declared}" for c in table)
    return cast(T.StructType, T.StructType.fromDDL(ddl))


def _create_statement(table: Table, path: str) -> str:
    columns = ", ".join(f"`{c.name}` {c.declared} COMMENT {_quoted(c.meaning)}" for c in table)
    partitions = f" PARTITIONED BY ({', '.join(table.partitioned_by)})" if table.partitioned_by else ""
    properties = {f"delta.constraints.{name}": condition for name, condition in table.checks.items()}
    properties["delta.dataSkippingNumIndexedCols"] = str(table.leading)
    listed = ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in properties.items())
    return (
        f"CREATE TABLE delta.`{path}` ({columns}) USING DELTA{partitions} COMMENT {_quoted('one row is ' + table.row)}"
        f" TBLPROPERTIES ({listed})"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def code_version() -> str:
    """The git commit of the checkout, with `+` where it was changed; the package's version outside one."""
    here = Path(__file__).resolve().parents[2]
    if (here / ".git").exists():
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        if commit:
            return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    try:
        return version("seller-credit")
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ("git", "-C", str(folder), *words), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _peak_memory_bytes(spark: SparkSession) -> int | None:
    """Largest resident memory so far of the driver's two processes, Python and JVM; None where Linux does not tell."""
    jvm = cast(Any, spark.sparkContext._jvm).java.lang.ProcessHandle.current().pid()
    peaks = [re.search(r"^VmHWM:\s+(\d+) kB$", status, re.M) for status in map(_process_status, (os.getpid(), jvm))]
    return sum(int(peak[1]) * 1024 for peak in peaks if peak) if all(peaks) else None


def _process_status(process: int) -> str:
    path = Path(f"/proc/{process}/status")
    return path.read_text() if path.exists() else ""


def failpoint(name: str) -> None:
    """Die here, as by SIGKILL, when SC_FAILPOINT names this point: for tests of what a kill leaves."""
    if os.environ.get("SC_FAILPOINT") == name:
        os.kill(os.getpid(), signal.SIGKILL)


def in_clause(column: str, values: Sequence[str]) -> str:
    """An SQL condition that a column is one of some values."""
    return f"{column} in ({', '.join(_quoted(value) for value in values)})"
