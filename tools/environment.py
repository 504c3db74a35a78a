"""The virtual environment in .venv: pinned packages with hashes, and this project itself as an editable install."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import apt
from tools.trouble import Trouble

BUILD, RUNTIME, DEVELOPMENT = "requirements-build.txt", "requirements.txt", "requirements-dev.txt"
# PySpark comes as source, and its wheel is unpacked at once: to pack its 450 MB took 15 of 23 processor seconds. Nor is
# every module compiled that is never imported, which took 42.
AS_IT_IS = "--config-settings=--build-option=--compression=stored"
# These send an install elsewhere or make another Python's packages visible; a user's index and proxy settings stay.
MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")


def ensure(root: Path, requirements: str) -> Path:
    """Return `.venv` with what `requirements` (a file name) pins, installed only where that has changed."""
    venv = root / ".venv"
    unfinished = venv / ".unfinished"
    if unfinished.exists() or not _is_ours(venv):
        # A killed pip leaves packages that look installed and are not whole; a moved folder leaves dead paths.
        shutil.rmtree(venv, ignore_errors=True)
    # The development file holds the runtime file's pins too.
    if any(_is_installed(root, venv, name) for name in {requirements, DEVELOPMENT}):
        return venv
    if not venv.exists():
        _create(venv)
    unfinished.touch()
    print(f"installing {requirements} into .venv (a first time takes some minutes)", flush=True)
    pip_install(venv, "--require-hashes", "-r", str(root / BUILD))
    # The file pins everything, so nothing is left to resolve; what PySpark is built with was installed just before.
    pinned = ("--require-hashes", "--no-deps", "--no-build-isolation", "--no-compile", AS_IT_IS)
    pip_install(venv, *pinned, "-r", str(root / requirements))
    # Twice quiet: setuptools warns of every editable install that folders of its name would win.
    pip_install(venv, "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(root))
    _state(venv, requirements).write_text(_digest(root, requirements))
    unfinished.unlink()
    return venv


def pip_install(venv: Path, *arguments: str) -> None:
    """Run the environment's own pip, or say that it failed."""
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, *arguments], env=_environ(), stdin=subprocess.DEVNULL).returncode != 0:
        raise Trouble("pip could not install what is pinned (its words stand above): check the network, run again.")


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in MISLEADING}


def _state(venv: Path, requirements: str) -> Path:
    return venv / f".installed-{requirements}"


def _is_installed(root: Path, venv: Path, requirements: str) -> bool:
    state = _state(venv, requirements)
    return state.is_file() and state.read_text() == _digest(root, requirements)


def _digest(root: Path, requirements: str) -> str:
    """What the install depends on; by content, since a checkout changes every file's time."""
    digest = hashlib.sha256()
    for name in (BUILD, requirements, "setup.py"):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def _is_ours(venv: Path) -> bool:
    """Whether the environment works, is of this Python, and was made in this folder."""
    if not venv.exists():
        return False
    ask = "import pip, sys; print(sys.prefix, *sys.version_info[:2])"
    try:
        said = subprocess.run(
            [venv / "bin" / "python", "-c", ask],
            env=_environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError:
        return False
    made_here = (venv / "bin" / "pip").is_file() and str(venv) in (venv / "bin" / "pip").read_text()
    return said.stdout.strip() == f"{venv} {sys.version_info.major} {sys.version_info.minor}" and made_here


def _create(venv: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None:  # Debian's python3.11 without its venv package
        if not apt.may_install():
            raise Trouble(
                "This Python cannot make a virtual environment: install python3.11-venv (as root, with apt-get)."
            )
        apt.install("python3.11-venv")
    print("making .venv", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", venv], stdin=subprocess.DEVNULL)
    if made.returncode != 0:
        shutil.rmtree(venv, ignore_errors=True)
        raise Trouble("Python could not make the virtual environment .venv: its words stand above.")
