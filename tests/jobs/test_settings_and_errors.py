"""A person's mistake ends with every problem named, where it stands, exit code 2 and no stack trace."""

from datetime import date
from pathlib import Path
from types import ModuleType

import click
import pytest
from pyspark.sql import SparkSession

from conf.errors import UserError
from conf.settings import load_settings
from conf.source import load_source
from jobs import aggregate as aggregate_job
from jobs import daily as daily_job
from jobs.cli import STEPS, steps
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lock import lake_lock


def test_every_wrong_key_of_the_settings_is_named_at_once() -> None:
    with pytest.raises(UserError) as error:
        load_settings(
            "local",
            {"SELLER_CREDIT_LAKE__ROOTS": "/x", "SELLER_CREDIT_SCORING__BUCKETS": "many"},
            ["calendar.time_zone=Mars/Olympus", "nonsense", "spark.driver_memory=3"],
        )
    told = "\n".join(error.value.problems)
    for wanted in (
        "SELLER_CREDIT_LAKE__ROOTS",
        "SELLER_CREDIT_SCORING__BUCKETS",
        "Mars/Olympus",
        "nonsense",
        "--set spark.driver_memory",
    ):
        assert wanted in told


def test_an_override_wins_over_a_variable_and_that_over_the_profile() -> None:
    environment = {"SELLER_CREDIT_SCORING__BUCKETS": "7", "SELLER_CREDIT_LAKE__ROOT": "/variable"}
    settings = load_settings("cluster", environment, ["lake.root=/told"])
    assert (settings.lake.root, settings.scoring.buckets) == ("/told", 7)


def test_no_day_is_told_as_such_and_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--set calendar.first_day: cannot read the value '2024-02-30'"):
        load_settings("local", {}, ["calendar.first_day=2024-02-30"])
    (tmp_path / "mine.yml").write_text("name: mine\ndescription: 2024-02-30\n")
    with pytest.raises(UserError, match="mine.yml: is no valid YAML: day is out of range"):
        load_source(str(tmp_path / "mine.yml"))


def test_a_lake_is_where_it_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    @step("look", "seller-credit look")
    def look(invocation: Invocation) -> Report:
        """Look."""
        seen.append(invocation.settings.lake.root)
        with lake_lock(invocation.settings.lake.root, "look", 0):
            return Report("look", {"lake": "[/x] is no markup"})

    for name in ("lake #2", "2024"):
        assert run_command(look, ["--lake", str(tmp_path / name)]) == 0
    assert seen == [str(tmp_path / "lake #2"), str(tmp_path / "2024")]
    assert "[/x] is no markup" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert run_command(look, ["--lake", str(tmp_path / "file")]) == 2
    assert f"lake.root: {tmp_path / 'file'} cannot be a lake: File exists" in capsys.readouterr().err


def test_every_error_of_a_mapping_is_told_with_its_line(tmp_path: Path) -> None:
    mapping = tmp_path / "mine.yml"
    mapping.write_text(
        "name: mine\ndescription: x\ntime_zone: Nowhere\ndeliveries: folders\narrival: {assume: event_day + 0}\n"
        "feeds:\n  - name: orders\n    files: o.csv\n    event: order_event\n    fields:\n"
        "      event_id: id\n      colour: c\n      amount_fen: {column: a}\n      kind: {constant: sold}\n"
    )
    with pytest.raises(UserError) as error:
        load_source(str(mapping))
    told = "\n".join(error.value.problems)
    for wanted in ("mine.yml:3", "Nowhere", "colour", "unit is missing", "'sold' is none of", "seller_id: is missing"):
        assert wanted in told


@pytest.mark.parametrize("name", list(steps.commands))
def test_no_two_options_of_a_step_share_a_name(name: str) -> None:
    command = steps.commands[name]
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for one in commands:
        names = [param.name for param in one.params]
        assert len(names) == len(set(names)), one.name


def test_a_number_that_has_no_room_is_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    many = 25
    Report("cost", table=(("rows",) * many, [(6_735_027,) * many])).show()
    told = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in told
    # all digits are there, over as many lines as they want
    assert sum(letter.isdigit() for letter in told) == 7 * many


@pytest.mark.parametrize(
    "words",
    [
        ["features", "--as-of", "yesterday"],
        ["features"],
        ["features", "--as-of", "2024-01-01", "--since", "2024-01-01"],
        ["features", "--renew", "--mode", "rebuild"],
        ["features", "--renew", "--as-of", "2024-01-01"],
        ["ingest", "--source", "nobody", "--input", "."],
        ["training-set", "--given", "--from", "2023-01"],
        ["train", "--trainer", "me", "--cross-validate", "5"],
        ["train", "--trainer", "me", "--cross-validate", "5x5", "--tune", "3"],
        ["decide", "--as-of", "2024-01-01", "--policy", "none"],
        ["nonsense"],
    ],
)
def test_a_mistake_on_the_command_line_is_exit_code_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(steps, words) == 2
    assert "Traceback" not in capsys.readouterr().err


DAILY = ["daily", "--source", "marketplace", "--input", "."]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["aggregate", "--through", "2024-09-02"], "--through 2024-09-02 is not over, as today is 2024-09-02"),
        (["aggregate", "--through", "2042-08-31"], "close 2024-09-01 at the latest"),
        (
            ["ingest", "--source", "marketplace", "--input", ".", "--arrival-day", "2024-09-03"],
            "--arrival-day 2024-09-03 has not come, as today is 2024-09-02",
        ),
        (["release", "--source", "marketplace", "--arrival-day", "2024-09-03"], "say 2024-09-02 at the latest"),
        ([*DAILY, "--as-of", "2024-09-03"], "--as-of 2024-09-03 has not come, as today is 2024-09-02"),
        (["features", "--as-of", "2024-09-03"], "features: --as-of 2024-09-03 has not come, as today is 2024-09-02"),
        (["verify", "--as-of", "2100-01-01"], "verify: --as-of 2100-01-01 has not come"),
        (
            ["training-set", "--from", "2024-07", "--to", "2024-09"],
            "--to 2024-09: its as-of day, 2024-10-01, has not come, as today is 2024-09-02; say 2024-09-02",
        ),
    ],
)
def test_a_day_that_is_not_over_is_not_closed_and_one_to_come_takes_nothing_in(
    words: list[str], wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Invocation, "today", lambda _: date(2024, 9, 2))
    monkeypatch.setattr(Invocation, "lake", lambda _: pytest.fail("the lake is opened"))
    assert run_command(steps, words) == 2
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "words", "told"),
    [
        (aggregate_job, ["aggregate", "--through", "2024-09-01"], (date(2024, 9, 1), date(2024, 9, 2))),
        (aggregate_job, ["aggregate"], (None, date(2024, 9, 2))),
        (daily_job, [*DAILY, "--as-of", "2024-09-02"], (date(2024, 9, 2),)),
    ],
)
def test_a_day_that_is_over_is_closed(
    module: ModuleType, words: list[str], told: tuple[date | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[object, ...]] = []
    monkeypatch.setattr(Invocation, "today", lambda _: date(2024, 9, 2))
    monkeypatch.setattr(Invocation, "lake", lambda _: None)
    monkeypatch.setattr(module, words[0], lambda *given: done.append(given) or Report(words[0]))
    assert run_command(steps, words) == 0
    assert [given[1 : 1 + len(told)] for given in done] == [told]


def test_every_step_explains_itself_with_an_example() -> None:
    for module in STEPS:
        command = module.command
        text = command.get_help(command.make_context(command.name, [], resilient_parsing=True))
        assert "Example:" in text and "--lake" in text and "--json" in text


def test_a_lake_without_the_step_before_says_what_to_run(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(steps, ["score", "--as-of", "2024-01-01", "--lake", str(tmp_path / "lake")]) == 2
    told = capsys.readouterr().err
    assert "seller-credit features --as-of 2024-01-01" in told
    assert "Traceback" not in told
