"""The Java of set-up: found by what it says of itself, installed where that is possible, else one sentence."""

from pathlib import Path

import pytest

from tools import apt, environment, java, prepare
from tools.trouble import Trouble

SAYS = {8: "1.8.0_392", 11: "11.0.24", 17: "17.0.15", 21: "21.0.4", 25: "25"}


@pytest.fixture(autouse=True)
def jvms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for /usr/lib/jvm; nobody here is root."""
    folder = tmp_path / "jvm"
    folder.mkdir()
    monkeypatch.setattr(java, "JVM_FOLDER", folder)
    monkeypatch.setattr(apt, "may_install", lambda: False)
    return folder


def fake_java(home: Path, version: int, shim: Path | None = None) -> Path:
    """Make a Java in `home`, or a shim of it in another folder, and return its home."""
    place = shim or home / "bin"
    place.mkdir(parents=True, exist_ok=True)
    script = place / "java"
    # The first line is what a Java says when JAVA_TOOL_OPTIONS is set.
    script.write_text(
        "#!/bin/sh\n"
        "echo 'Picked up JAVA_TOOL_OPTIONS: -Dversion=\"9\"' >&2\n"
        f"echo '    java.home = {home}' >&2\n"
        f"echo 'openjdk version \"{SAYS[version]}\" 2025-04-15' >&2\n"
    )
    script.chmod(0o755)
    return home


@pytest.mark.parametrize(("version", "fits"), [(8, False), (11, False), (17, True), (21, True), (25, False)])
def test_only_17_and_21_fit(tmp_path: Path, version: int, fits: bool) -> None:
    home = fake_java(tmp_path / "some java", version)
    assert java.find({"JAVA_HOME": str(home)}) == (home if fits else None)
    assert java.find({"PATH": str(home / "bin")}) == (home if fits else None)


def test_a_java_8_first_on_the_path_does_not_hide_a_17_behind_it(tmp_path: Path) -> None:
    old, new = fake_java(tmp_path / "old", 8), fake_java(tmp_path / "new", 17)
    assert java.find({"PATH": f"{old / 'bin'}::{tmp_path / 'nowhere'}:{new / 'bin'}"}) == new


def test_a_java_home_of_11_gives_way_to_the_machines_own(tmp_path: Path, jvms: Path) -> None:
    old = fake_java(tmp_path / "old", 11)
    fake_java(jvms / "a-8", 8)
    new = fake_java(jvms / "b-21", 21)
    assert java.find({"JAVA_HOME": str(old), "PATH": str(old / "bin")}) == new


def test_a_java_home_that_fits_wins(tmp_path: Path, jvms: Path) -> None:
    chosen = fake_java(tmp_path / "chosen", 21)
    on_path = fake_java(tmp_path / "on-path", 17)
    fake_java(jvms / "17", 17)
    assert java.find({"JAVA_HOME": str(chosen), "PATH": str(on_path / "bin")}) == chosen


def test_a_shim_names_the_home_behind_it(tmp_path: Path) -> None:
    fake_java(tmp_path / "real", 17, shim=tmp_path / "shims")
    assert java.find({"PATH": str(tmp_path / "shims")}) == tmp_path / "real"


def test_what_cannot_be_run_is_passed_over(tmp_path: Path, jvms: Path) -> None:
    for name, text in {"fails": "#!/bin/sh\nexit 127\n", "no program": "PK\x03\x04"}.items():
        (jvms / name / "bin").mkdir(parents=True)
        (jvms / name / "bin" / "java").write_text(text)
        (jvms / name / "bin" / "java").chmod(0o755)
    (tmp_path / "folder" / "java").mkdir(parents=True)
    good = fake_java(jvms / "z-17", 17)
    assert java.find({"PATH": str(tmp_path / "folder")}) == good


def test_no_java_and_not_root_is_one_sentence_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(fake_java(tmp_path / "old", 8) / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("sys.argv", ["prepare"])
    monkeypatch.setattr(environment, "ensure", lambda *_: pytest.fail("minutes of installing before the refusal"))
    assert prepare.main() == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "set-up: Seller Credit needs Java 17 or 21 and found neither in JAVA_HOME, on the PATH nor in "
        f"{tmp_path / 'jvm'}: install one (on Debian, as root: apt-get install openjdk-17-jre-headless) "
        "or set JAVA_HOME.\n"
    )


def test_root_gets_the_first_package_that_the_machine_has(
    tmp_path: Path, jvms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = fake_java(tmp_path / "ready", 21)
    said = tmp_path / "said"
    apt_get(
        tmp_path / "bin", said, f'case "$*" in *openjdk-17*) exit 100;; *openjdk-21*) cp -r "{ready}" "{jvms}";; esac'
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(apt, "may_install", lambda: True)
    assert java.find_or_install({}) == ready  # the copy says so of itself
    asked = [line.split("Timeout=300 ")[1] for line in said.read_text().splitlines()]
    assert asked == [
        "update",
        "install -y --no-install-recommends openjdk-17-jre-headless",
        "update",
        "install -y --no-install-recommends openjdk-21-jre-headless",
    ]


def test_an_install_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path / "bin", tmp_path / "said", "exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(apt, "may_install", lambda: True)
    with pytest.raises(Trouble, match="apt-get could install none of openjdk-17-jre-headless, openjdk-21"):
        java.find_or_install({})


def apt_get(folder: Path, said: Path, does: str) -> None:
    """Put an apt-get on the PATH that notes what it is asked."""
    folder.mkdir()
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$*" >> "{said}"\n{does}\n')
    (folder / "apt-get").chmod(0o755)
