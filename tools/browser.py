"""Find the Chromium and the driver that the tests look at our pages with."""

import os
import shutil
from collections.abc import Mapping

from tools import apt
from tools.trouble import Trouble

NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "chromium-driver": ("chromedriver",)}


def missing_packages(env: Mapping[str, str]) -> list[str]:
    """Return the Debian packages of what is not on the PATH."""
    path = env.get("PATH", os.defpath)
    return [package for package, names in NAMES.items() if not any(shutil.which(name, path=path) for name in names)]


def find_or_install(env: Mapping[str, str]) -> None:
    """Make sure that both are on the PATH."""
    missing = missing_packages(env)
    if missing and apt.may_install():
        apt.install(*missing)
        missing = missing_packages(env)
    if missing:
        raise Trouble(
            f"The tests need a browser: install {' and '.join(missing)} "
            f"(on Debian, as root: apt-get install {' '.join(missing)})."
        )
