"""One writer a lake: two processes that write one Delta table on a local path can lose a commit."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conf.errors import StepFailure, UserError

LOCK_FILE = ".lock"


@contextmanager
def lake_lock(root: str, step: str, wait_seconds: float) -> Iterator[None]:
    """Hold the lake's lock, waiting for another step up to `wait_seconds`.

    The kernel gives the lock back when its holder dies, however it dies, so that none is ever stale. A lake on an
    object store or HDFS has no lock of this kind: there the scheduler must run one step at a time.
    Raises StepFailure, naming the holder, when the lock is not free in time; UserError where there can be no lake.
    """
    if "://" in root and not root.startswith("file://"):
        yield
        return
    path = Path(root.removeprefix("file://")) / LOCK_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"lake.root: {path.parent} cannot be a lake: {error.strerror}") from None
    try:
        _take(descriptor, path, step, wait_seconds)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{step} (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, step: str, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another step"
            if time.monotonic() >= deadline:
                raise StepFailure(
                    f"{step}: the lake is being written by {holder}, and was not free within {wait_seconds:g} seconds"
                    f" ({path}). Try again when it is done."
                ) from None
            if not told:
                print(f"{step}: waiting for {holder}", file=sys.stderr)
                told = True
            time.sleep(0.2)
