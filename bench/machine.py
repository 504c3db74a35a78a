"""What a benchmark ran on and what it cost: every one tells it the same way."""

import os
import platform
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse
from urllib.request import url2pathname

import click
from pyspark.sql import SparkSession

from jobs.lakehouse.cost import LARGEST_TASK, cost_since, newest_stage, stages


def described(*packages: str) -> str:
    """Cores, processor, memory, Python, and the versions of some packages."""
    told = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(": ")[1].strip() for line in told if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = "".join(f", {name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores ({processor}), {memory:.0f} GiB, Python {platform.python_version()}{versions}"


class Tree:
    """A process and all below it: processor seconds, and the largest resident memory of one of them and of all."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._ticks: dict[int, int] = {}
        self.peak_megabytes = 0
        self.together_megabytes = 0

    @property
    def processor_seconds(self) -> float:
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def look(self) -> None:
        """Note what the kernel says now; what a process used in its last tenth of a second is lost."""
        parents: dict[int, int] = {}
        ticks: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    # the name in brackets may hold blanks
                    fields = (entry / "stat").read_text().rpartition(") ")[2].split()
                    parents[int(entry.name)], ticks[int(entry.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
        ours = {self._root}
        while found := {process for process, parent in parents.items() if parent in ours} - ours:
            ours |= found
        together = 0
        for process in ours & ticks.keys():
            self._ticks[process] = ticks[process]
            with suppress(OSError):
                told = dict(re.findall(r"(VmHWM|VmRSS):\s+(\d+)", Path(f"/proc/{process}/status").read_text()))
                self.peak_megabytes = max(self.peak_megabytes, int(told.get("VmHWM", 0)) // 1024)
                together += int(told.get("VmRSS", 0))
        self.together_megabytes = max(self.together_megabytes, together // 1024)


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its output, and what it and all below it cost."""

    output: str
    wall_seconds: float
    tree: Tree


def run_measured(words: Sequence[str]) -> Ended:
    """Run a command to its end. Raises ClickException, with the end of what it said, where it fails."""
    started = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # the JVM is killed and not waited for when its Python ends: its time is in no one's sum, so look as it goes
        tree = Tree(process.pid)
        with ThreadPoolExecutor(1) as reader:
            output = reader.submit(process.communicate)
            while not output.done():
                tree.look()
                time.sleep(0.1)
        stdout, stderr = output.result()
    wall = time.monotonic() - started
    if process.returncode != 0:
        raise click.ClickException(f"{' '.join(words)[:200]} ended with {process.returncode}: {stderr[-2000:]}")
    return Ended(stdout, wall, tree)


@contextmanager
def measured() -> Iterator[list[float]]:
    """Wall and processor seconds of this process and all below it, in the list once the block has ended."""
    tree, done, told = Tree(os.getpid()), threading.Event(), list[float]()

    def look() -> None:
        # a look is 3 to 6 ms of this process' own time, which is in what is told
        while not done.wait(0.5):
            tree.look()

    tree.look()
    began, started = tree.processor_seconds, time.monotonic()
    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield told
    finally:
        wall = time.monotonic() - started
        done.set()
        looking.join()
        tree.look()
        told += [wall, tree.processor_seconds - began]


def use_cores(many: int) -> None:
    """Hold this process, and all that it starts, to so many cores: the JVM's collector and compilers too.

    The compilers' threads stay, so that what they have used stays in the kernel's account.
    """
    os.sched_setaffinity(0, set(range(many)))
    os.environ["JDK_JAVA_OPTIONS"] = "-XX:-UseDynamicNumberOfCompilerThreads"


def local_path(file: str) -> str:
    """The path of a file that Spark tells as file:/... or file:///..."""
    return url2pathname(urlparse(file).path)


@dataclass
class Tasks:
    """Spark's tasks of a block of code, once it has ended."""

    longest_seconds: float = 0.0
    largest_megabytes: float = 0.0
    """Execution memory: of one task the sum of the peaks of its sorts and hash tables. Python workers are not in it."""


@contextmanager
def tasks_of(spark: SparkSession) -> Iterator[Tasks]:
    """The longest task of a block, and the largest."""
    before, told = newest_stage(spark), Tasks()
    yield told
    store = cast(Any, spark.sparkContext._jsc).sc().statusStore()
    told.largest_megabytes = cost_since(spark, before)[LARGEST_TASK] / 2**20
    for stage in stages(spark):
        if stage["stageId"] > before and stage["status"] == "COMPLETE":
            tasks = store.taskList(stage["stageId"], stage["attemptId"], 100_000)
            for place in range(tasks.size()):
                duration = tasks.apply(place).duration()
                if duration.isDefined():
                    told.longest_seconds = max(told.longest_seconds, duration.get() / 1000)


def whereabouts(spark: SparkSession, stage: int, spent: Mapping[str, float], all_seconds: float) -> dict[str, float]:
    """Where `all_seconds` of the processor went since a stage: tasks by what their jobs are for, and all else.

    `spent` is by how much more `processor_seconds` told at the end than at the beginning.

    Planning and Delta's logs are what is left of the JVM. Spark has to remember all stages since: a thousand.
    """
    told = dict[str, float]()
    for each in stages(spark):
        if each["stageId"] > stage and each["status"] == "COMPLETE":
            what = re.sub(r"\d{4}-\d\d-\d\d|version: \d+", "...", each.get("description") or "not named")
            told[f"tasks: {what}"] = told.get(f"tasks: {what}", 0.0) + each["executorCpuTime"] / 1e9
    tasks = sum(told.values())
    return told | {
        "Python workers": all_seconds - spent["JVM"] - spent["driver"],
        "the driver's Python": spent["driver"],
        "the JVM's compiler": spent["compiler"],
        "the JVM's collector": spent["collector"],
        "the rest of the JVM: planning, Delta's logs": spent["JVM"] - tasks - spent["compiler"] - spent["collector"],
    }


THREADS = {"compiler": "CompilerThre", "collector": "GC Thread"}
"""Of the JVM's own threads what the kernel's names of them, of fifteen letters, have in common."""


def processor_seconds(spark: SparkSession) -> dict[str, float]:
    """Processor seconds so far of the JVM, of its compilers and collector among them, and of the driver's Python."""
    jvm = int(cast(Any, spark.sparkContext._jvm).java.lang.ProcessHandle.current().pid())
    told = dict.fromkeys(THREADS, 0.0)
    for thread in Path(f"/proc/{jvm}/task").iterdir():
        # one may have ended since they were listed
        with suppress(OSError):
            name = (thread / "comm").read_text()
            for what, part in THREADS.items():
                if part in name:
                    told[what] += _processor_seconds(thread)
    return {"JVM": _processor_seconds(Path(f"/proc/{jvm}")), **told, "driver": _processor_seconds(Path("/proc/self"))}


def _processor_seconds(of: Path) -> float:
    """Of a process or a thread, by the kernel's account."""
    fields = (of / "stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
