"""The virtual environment: installed once, whole or not at all. No package is installed here: `pip` is counted."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest

from tools import environment, prepare
from tools.environment import BUILD, DEVELOPMENT, RUNTIME
from tools.trouble import Trouble

PYTHON = f"{sys.version_info.major} {sys.version_info.minor}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project folder with pins."""
    folder = tmp_path / "a b"
    folder.mkdir()
    for name in (BUILD, RUNTIME, DEVELOPMENT, "setup.py"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def installs(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what was made and installed so far: `new` for an environment, else the last argument of a pip call."""
    done: list[str] = []

    def create(venv: Path) -> None:
        done.append("new")
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").write_text(f'#!/bin/sh\ncd "$(dirname "$0")/.." && echo "$PWD {PYTHON}"\n')
        (venv / "bin" / "python").chmod(0o755)
        (venv / "bin" / "pip").write_text(f"#!{venv}/bin/python\n")

    monkeypatch.setattr(environment, "_create", create)
    monkeypatch.setattr(environment, "pip_install", lambda venv, *arguments: done.append(Path(arguments[-1]).name))
    return done


FULL = ["new", BUILD, RUNTIME, "a b"]


def test_a_second_run_installs_nothing(root: Path, installs: list[str]) -> None:
    for _ in range(2):
        assert environment.ensure(root, RUNTIME) == root / ".venv"
    assert installs == FULL


def test_the_development_packages_come_on_top_and_hold_the_others(root: Path, installs: list[str]) -> None:
    environment.ensure(root, RUNTIME)
    environment.ensure(root, DEVELOPMENT)
    assert installs == [*FULL, BUILD, DEVELOPMENT, "a b"]
    shutil.rmtree(root / ".venv")
    installs.clear()
    environment.ensure(root, DEVELOPMENT)
    environment.ensure(root, RUNTIME)
    assert installs == ["new", BUILD, DEVELOPMENT, "a b"]


@pytest.mark.parametrize("name", [BUILD, RUNTIME, "setup.py"])
def test_a_moved_pin_is_installed_and_a_touched_file_is_not(root: Path, installs: list[str], name: str) -> None:
    environment.ensure(root, RUNTIME)
    (root / name).write_text((root / name).read_text())
    environment.ensure(root, RUNTIME)
    assert installs == FULL
    (root / name).write_text("another pin")
    environment.ensure(root, RUNTIME)
    assert installs == [*FULL, BUILD, RUNTIME, "a b"]


def test_a_killed_install_begins_anew(root: Path, installs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(venv: Path, *arguments: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "pip_install", killed)
        with pytest.raises(KeyboardInterrupt):
            environment.ensure(root, RUNTIME)
    installs.clear()
    environment.ensure(root, RUNTIME)
    assert installs == FULL


def test_an_environment_of_a_moved_folder_begins_anew(root: Path, installs: list[str]) -> None:
    environment.ensure(root, RUNTIME)
    moved = root.with_name("moved")
    root.rename(moved)
    installs.clear()
    environment.ensure(moved, RUNTIME)
    assert installs[0] == "new"


def test_an_environment_whose_python_is_gone_begins_anew(root: Path, installs: list[str]) -> None:
    environment.ensure(root, RUNTIME)
    python = root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python-that-was-removed")
    installs.clear()
    environment.ensure(root, RUNTIME)
    assert installs == FULL


def test_another_version_of_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.version_info", (3, 13, 1, "final", 0))
    monkeypatch.setattr("sys.argv", ["prepare"])
    assert prepare.main() == 2
    assert capsys.readouterr().err.startswith("set-up: Seller Credit runs on Python 3.11; this is ")


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_folder_that_spark_would_cut_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(prepare, "ROOT", tmp_path / name)
    with pytest.raises(Trouble, match="use a folder without them"):
        prepare.prepare(for_tests=False)


def test_two_set_ups_of_one_folder_come_after_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "ROOT", tmp_path)
    asked: list[int] = []

    def flock(_: int, how: int) -> None:
        asked.append(how)
        if how & fcntl.LOCK_NB:
            raise BlockingIOError

    with prepare.only_one():  # a lock that is real ...
        folder = open_folder(tmp_path)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ... and given back ...
    monkeypatch.setattr(fcntl, "flock", flock)
    with prepare.only_one():  # ... and waited for
        assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX]
    assert capsys.readouterr().out == "waiting for another set-up of this folder\n"
    assert list(tmp_path.iterdir()) == []


def open_folder(folder: Path) -> int:
    """Open a folder as another process would."""
    return os.open(folder, os.O_RDONLY)
