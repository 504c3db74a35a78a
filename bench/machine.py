"""What a benchmark ran on, in words: every report says it the same way."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def described(*packages: str) -> str:
    """Cores, processor, memory, Python, and the versions of some packages."""
    told = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(": ")[1].strip() for line in told if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = "".join(f", {name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores ({processor}), {memory:.0f} GiB, Python {platform.python_version()}{versions}"
