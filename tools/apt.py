"""Debian's package manager, for what no Python package holds: Java, Chromium, venv."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from tools.trouble import Trouble


def may_install() -> bool:
    """Whether this process can install packages: it is root and there is an apt-get."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str) -> None:
    """Install these packages, or say which could not be had."""
    if not _try_install(packages):
        raise Trouble(f"apt-get could not install {' '.join(packages)}: its own words stand above.")


def install_first_of(packages: Sequence[str]) -> None:
    """Install the first of these that this Debian has."""
    if not any(_try_install([package]) for package in packages):
        raise Trouble(f"apt-get could install none of {', '.join(packages)}: its own words stand above.")


def _try_install(packages: Sequence[str]) -> bool:
    print(f"installing {' '.join(packages)} with apt-get", flush=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # A new machine often runs its own update in the background: wait for its lock instead of failing.
    apt_get = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    # A list that cannot be refreshed (one dead mirror among several) need not stop the install.
    subprocess.run([*apt_get, "update"], env=env, stdin=subprocess.DEVNULL)
    done = subprocess.run(
        [*apt_get, "install", "-y", "--no-install-recommends", *packages], env=env, stdin=subprocess.DEVNULL
    )
    return done.returncode == 0
