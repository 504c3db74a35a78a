"""The files that hold the house together: pins, the Makefile, the wheel."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PIN_FILES = ("requirements-build", "requirements", "requirements-dev")
ROOMS = ("conf", "transforms", "ml", "jobs")


def pins(name: str) -> dict[str, str]:
    """Return package -> version of a requirements file; every pin must carry hashes."""
    text = (PROJECT / f"{name}.txt").read_text()
    blocks = re.findall(
        r"^([a-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    assert len(blocks) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), "a line that is no pin with hashes"
    return {package: version for package, version, _ in blocks}


@pytest.mark.parametrize("name", PIN_FILES)
def test_everything_is_pinned_with_hashes_and_no_registry_is_named(name: str) -> None:
    wanted = [
        re.split(r"[<=>#\s]", line)[0].lower()
        for line in (PROJECT / f"{name}.in").read_text().splitlines()
        if re.match(r"[A-Za-z]", line)
    ]
    assert wanted
    assert set(wanted) <= set(pins(name))
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted", (PROJECT / f"{name}.txt").read_text())


def test_the_development_pins_are_the_runtime_pins_and_more() -> None:
    assert pins("requirements").items() < pins("requirements-dev").items()
    assert pins("requirements-build")["setuptools"] == pins("requirements")["setuptools"]


def test_clean_removes_whatever_git_ignores_but_a_registry_and_keys(tmp_path: Path) -> None:
    project = tmp_path / "a b"
    project.mkdir()
    for name in ("Makefile", ".gitignore"):
        shutil.copy(PROJECT / name, project)
    kept = {"mlflow.db", "mlflow-artifacts/some file", "x.key"}
    ignored = [line for line in (project / ".gitignore").read_text().splitlines() if line and line[0] != "#"]
    for pattern in ignored:
        made = project / ("" if pattern.startswith("/") else "conf/sources") / pattern.strip("/").replace("*", "x")
        if pattern.endswith("/"):
            made = made / "some file"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    subprocess.run(["make", "--silent", "clean"], cwd=project, check=True)
    left = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert left == {".gitignore", "Makefile"} | kept


def test_help_has_a_line_for_every_target() -> None:
    said = subprocess.run(["make", "--silent"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert sorted(line.split()[0] for line in said.splitlines()) == sorted(phony[1].split())
    assert all(len(line.split()) > 1 for line in said.splitlines())


def test_a_machine_without_python_is_told(tmp_path: Path) -> None:
    said = subprocess.run(
        ["make", "--silent", "PYTHON=python3.11-of-nowhere", "setup"], cwd=PROJECT, capture_output=True, text=True
    )
    assert said.returncode == 2
    assert said.stderr.startswith("set-up: Seller Credit needs Python 3.11: there is no python3.11-of-nowhere")


def test_the_wheel_holds_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "a b"
    junk = shutil.ignore_patterns("__pycache__")
    for room in (*ROOMS, "tools", "tests/setup"):
        if (PROJECT / room).is_dir():
            shutil.copytree(PROJECT / room, source / room, ignore=junk)
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    # This very environment builds, as in `make dist`; nothing is fetched.
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, "."], cwd=source, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as zipped:
        inside = {name for name in zipped.namelist() if ".dist-info/" not in name}
        (entry_points,) = (name for name in zipped.namelist() if name.endswith("entry_points.txt"))
        assert "seller-credit = jobs.cli:main" in zipped.read(entry_points).decode()
    there = {str(path.relative_to(source)) for room in ROOMS for path in (source / room).rglob("*") if path.is_file()}
    assert inside == there
