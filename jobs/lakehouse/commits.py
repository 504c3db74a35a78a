"""Commits of a Delta table, read from its log: two small files, where `DeltaTable.history` runs a job of Spark.

A day's `aggregate` asked 21 times, a sixth of its time. What is read is part of Delta's protocol: a commit is the file
of its version, versions have no gaps, and `_last_checkpoint` names one that is not newer than the newest.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from conf.errors import StepFailure


@dataclass(frozen=True)
class Commit:
    """One version of a table, and how it came to be."""

    version: int
    operation: str
    parameters: dict[str, Any]
    metadata: str | None
    """What the writer signed it with: a run's id."""
    metrics: dict[str, str]
    at: datetime


class Commits:
    """The log of the table at a path."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._log = f"{path}/_delta_log"
        configuration = spark.sparkContext._jsc.hadoopConfiguration()
        self._files = self._path("").getFileSystem(configuration)

    def newest(self) -> Commit:
        """The newest commit."""
        return self.at(self._newest_version())

    def after(self, version: int) -> list[Commit]:
        """Commits after a version, newest first."""
        return [self.at(number) for number in range(self._newest_version(), version, -1)]

    def at(self, version: int) -> Commit:
        """The commit that made a version."""
        # other writers may leave it out, or tell less in it
        info = self._first(self._commit(version), "commitInfo") or {}
        written = info.get("timestamp") or self._files.getFileStatus(self._commit(version)).getModificationTime()
        return Commit(
            version,
            info.get("operation", "not told"),
            info.get("operationParameters", {}),
            info.get("userMetadata"),
            info.get("operationMetrics", {}),
            datetime.fromtimestamp(written / 1000, UTC),
        )

    def _newest_version(self) -> int:
        checkpoint = self._path("/_last_checkpoint")
        version = int(self._first(checkpoint, "version") or 0) if self._files.exists(checkpoint) else 0
        while self._files.exists(self._commit(version + 1)):
            version += 1
        return version

    def _commit(self, version: int) -> Any:
        return self._path(f"/{version:020d}.json")

    def _path(self, name: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path(self._log + name)

    def _first(self, path: Any, key: str) -> Any:
        """What the first line with a key has under it, or None; the lines after it, a file each, are not read."""
        try:
            return self._first_of(self._files.open(path), key)
        except (Py4JJavaError, json.JSONDecodeError) as error:
            why = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
            raise StepFailure(
                f"{path.toString()}: cannot be read ({why}): it was edited by hand, or its disk is damaged. Put a"
                " copy of the table in its place, or make a new lake of the deliveries"
            ) from None

    def _first_of(self, stream: Any, key: str) -> Any:
        reader = self._jvm.java.io.BufferedReader(self._jvm.java.io.InputStreamReader(stream, "UTF-8"))
        try:
            while (line := reader.readLine()) is not None:
                told = json.loads(line)
                if key in told:
                    return told[key]
        finally:
            reader.close()
        return None
