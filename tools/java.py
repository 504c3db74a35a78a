"""Find a Java that Spark 4.2 runs on: 17 or 21, wherever it is, whatever comes first on the PATH."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools import apt
from tools.trouble import Trouble

FITTING = (17, 21)
# Debian 12 has 17 and no 21, Debian 13 has 21 and no 17.
PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless")
JVM_FOLDER = Path("/usr/lib/jvm")


def find(env: Mapping[str, str]) -> Path | None:
    """Return the home of the first Java that fits, or None."""
    for java in _candidates(env):
        home = _home_if_fitting(java)
        if home is not None:
            return home
    return None


def find_or_install(env: Mapping[str, str]) -> Path:
    """Return the home of a Java that fits, from the machine or else from its package manager."""
    home = find(env)
    if home is None and apt.may_install():
        apt.install_first_of(PACKAGES)
        home = find(env)
    if home is None:
        raise Trouble(
            "Seller Credit needs Java 17 or 21 and found neither in JAVA_HOME, on the PATH nor in "
            f"{JVM_FOLDER}: install one (on Debian, as root: apt-get install {PACKAGES[0]}) or set JAVA_HOME."
        )
    return home


def _candidates(env: Mapping[str, str]) -> Iterator[Path]:
    if env.get("JAVA_HOME"):
        yield Path(env["JAVA_HOME"]) / "bin" / "java"
    # Every folder of the PATH, not only the first that has a java: that one may be version 8.
    for folder in env.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder) / "java"
    if JVM_FOLDER.is_dir():
        for home in sorted(JVM_FOLDER.iterdir()):
            yield home / "bin" / "java"


def _home_if_fitting(java: Path) -> Path | None:
    if not os.access(java, os.X_OK):
        return None
    try:
        # The home is asked of Java itself: `java` on the PATH may be a link or a version manager's shim.
        said = subprocess.run(
            [java, "-XshowSettings:properties", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):  # another machine's binary, a folder of that name
        return None
    version = re.search(r'version "(\d+)', said.stderr)  # 8 calls itself 1.8
    home = re.search(r"^\s*java\.home = (.+?)\s*$", said.stderr, re.MULTILINE)
    if version is None or home is None or int(version[1]) not in FITTING:
        return None
    return Path(home[1])
