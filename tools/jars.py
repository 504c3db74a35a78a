"""Fetch Delta's two JARs once, and believe only their sha256."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.trouble import Trouble

HERE = Path(__file__).resolve().parent
SHA256_FILE = HERE / "jars.sha256"


def wanted(sha256_file: Path = SHA256_FILE) -> dict[str, str]:
    """Return name -> sha256, from a file that `sha256sum --check` reads too."""
    lines = sha256_file.read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def sha256(path: Path) -> str:
    """Return the hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ensure(folder: Path, sums: dict[str, str], fetch: Callable[[Path], None]) -> list[Path]:
    """Return the JARs in `folder`, fetched anew where any is missing or is not what its sum says.

    `fetch` fills a folder beside `folder`; only a file whose sum holds is moved in, in one rename, so a killed
    or cut download leaves nothing that a later start could take for a JAR.
    """
    jars = [folder / name for name in sums]
    if all(jar.is_file() and sha256(jar) == sums[jar.name] for jar in jars):
        return jars
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob("fetching-*"):  # of a run that was killed; the caller holds the lock
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder.parent) as scratch:
        fetch(Path(scratch))
        for jar in jars:
            fetched = Path(scratch) / jar.name
            if not fetched.is_file():
                raise Trouble(f"{jar.name} did not arrive: check the network and run the same command again.")
            if sha256(fetched) != sums[jar.name]:
                raise Trouble(f"{jar.name} arrived with another sha256 than {SHA256_FILE.name} says: not used.")
            os.replace(fetched, jar)
    return jars


def fetch_with_ivy(java_home: Path, pyspark_home: Path) -> Callable[[Path], None]:
    """Return a fetcher that uses the Ivy which PySpark ships, since a fresh machine has no Maven."""
    ivy = sorted((pyspark_home / "jars").glob("ivy-*.jar"))
    if not ivy:
        raise Trouble(f"{pyspark_home / 'jars'} has no ivy-*.jar: remove .venv and run the same command again.")

    def fetch(scratch: Path) -> None:
        print("fetching Delta's JARs", flush=True)
        command: list[str | Path] = [
            java_home / "bin" / "java", "-jar", ivy[-1],
            "-settings", HERE / "ivysettings.xml",
            "-ivy", HERE / "ivy.xml",
            "-cache", scratch / "cache",
            "-retrieve", scratch / "[artifact]-[revision].[ext]",
            "-types", "jar",
        ]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            print(done.stdout, done.stderr, file=sys.stderr)
            raise Trouble("Ivy could not fetch Delta's JARs (its words stand above): check the network, run again.")

    return fetch
