"""Set this folder up: what is there is used, what is missing is installed, and a second run changes nothing.

`python3.11 -m tools.prepare` for what runs the product; with `--for-tests` for what its tests need too.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import browser, environment, jars, java, sparkconf
from tools.trouble import Trouble

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Set up, or say in one sentence what is missing."""
    parser = argparse.ArgumentParser(prog="tools.prepare", description=__doc__)
    parser.add_argument("--for-tests", action="store_true", help="also the development packages and a browser")
    arguments = parser.parse_args()
    try:
        with only_one():
            prepare(for_tests=arguments.for_tests)
    except Trouble as trouble:
        print(f"set-up: {trouble}", file=sys.stderr)
        return 2
    return 0


def prepare(for_tests: bool) -> None:
    """Make sure of everything, quickest refusal first."""
    if sys.version_info[:2] != (3, 11):
        raise Trouble(f"Seller Credit runs on Python 3.11; this is {sys.version.split()[0]} ({sys.executable}).")
    if any(sign in str(ROOT) for sign in ",:"):
        raise Trouble(f"{ROOT}: Spark cuts lists of files at a comma and paths at a colon: use a folder without them.")
    java_home = java.find_or_install(os.environ)
    if for_tests:
        browser.find_or_install(os.environ)
    venv = environment.ensure(ROOT, environment.DEVELOPMENT if for_tests else environment.RUNTIME)
    spark_folder = ROOT / ".spark"
    fetch = jars.fetch_with_ivy(java_home, sparkconf.pyspark_home(venv))
    delta_jars = jars.ensure(spark_folder / "jars", jars.wanted(), fetch)
    sparkconf.write(spark_folder, venv, java_home, delta_jars)


@contextmanager
def only_one() -> Iterator[None]:
    """Hold this folder's set-up for ourselves: two `make` at once would write over each other's halves."""
    # The folder itself is locked, so no lock file is left behind.
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another set-up of this folder", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


if __name__ == "__main__":
    sys.exit(main())
