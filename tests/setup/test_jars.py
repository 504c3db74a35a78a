"""Delta's JARs: only what the sums say is ever used, and nothing half-fetched stays."""

import re
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools import jars
from tools.trouble import Trouble

GOOD = {"delta.jar": b"the classes", "storage.jar": b"more classes"}
SUMS = {name: sha256(content).hexdigest() for name, content in GOOD.items()}
PROJECT = Path(__file__).resolve().parents[2]


class Registry:
    """Stands for the network: serves `files` and counts how often it was asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked = 0

    def fetch(self, folder: Path) -> None:
        self.asked += 1
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def held(spark: Path) -> dict[str, bytes]:
    """Return every file under a folder."""
    return {str(path.relative_to(spark)): path.read_bytes() for path in spark.rglob("*") if path.is_file()}


def test_they_are_fetched_once(tmp_path: Path) -> None:
    registry = Registry({**GOOD, "a report of ivy.xml": b""})
    for _ in range(2):
        found = jars.ensure(tmp_path / "jars", SUMS, registry.fetch)
        assert found == [tmp_path / "jars" / "delta.jar", tmp_path / "jars" / "storage.jar"]
    assert registry.asked == 1
    assert held(tmp_path) == {"jars/delta.jar": b"the classes", "jars/storage.jar": b"more classes"}


def test_a_jar_that_was_damaged_is_fetched_again(tmp_path: Path) -> None:
    registry = Registry(GOOD)
    jars.ensure(tmp_path / "jars", SUMS, registry.fetch)
    (tmp_path / "jars" / "delta.jar").write_bytes(b"the classe")
    jars.ensure(tmp_path / "jars", SUMS, registry.fetch)
    assert registry.asked == 2
    assert (tmp_path / "jars" / "delta.jar").read_bytes() == b"the classes"


def test_a_jar_with_another_sum_is_refused_and_the_next_run_fetches_anew(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="storage.jar arrived with another sha256"):
        jars.ensure(tmp_path / "jars", SUMS, Registry({**GOOD, "storage.jar": b"foul classes"}).fetch)
    assert "foul" not in str(held(tmp_path))
    jars.ensure(tmp_path / "jars", SUMS, Registry(GOOD).fetch)
    assert (tmp_path / "jars" / "storage.jar").read_bytes() == b"more classes"


def test_a_jar_that_did_not_arrive_is_named(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="storage.jar did not arrive: check the network"):
        jars.ensure(tmp_path / "jars", SUMS, Registry({"delta.jar": GOOD["delta.jar"]}).fetch)


def test_a_killed_fetch_leaves_no_jar_and_its_rest_goes_at_the_next(tmp_path: Path) -> None:
    (tmp_path / "fetching-killed").mkdir()
    (tmp_path / "fetching-killed" / "delta.jar").write_bytes(b"the cl")

    def cut(folder: Path) -> None:
        (folder / "delta.jar").write_bytes(b"the cl")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jars.ensure(tmp_path / "jars", SUMS, cut)
    assert held(tmp_path) == {}


def test_an_ivy_that_fails_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "ivy-2.5.3.jar").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\necho unresolved dependency\nexit 1\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    with pytest.raises(Trouble, match="check the network"):
        jars.fetch_with_ivy(tmp_path, tmp_path)(tmp_path)
    assert "unresolved dependency" in capsys.readouterr().err


def test_the_jars_are_of_the_pinned_delta() -> None:
    pinned = re.search(r"^delta-spark==(\S+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    asked = ElementTree.parse(PROJECT / "tools" / "ivy.xml").findall("dependencies/dependency")
    assert [jar.get("rev") for jar in asked] == [pinned[1], pinned[1]]
    assert [f"{jar.get('name')}-{jar.get('rev')}.jar" for jar in asked] == list(jars.wanted())
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in jars.wanted().values())
