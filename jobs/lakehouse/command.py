"""What every step's command line shares: options, output, errors and exit codes."""

import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import wraps
from typing import Any

import click
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from conf.errors import StepFailure, UserError
from conf.settings import PROFILE_VARIABLE, Settings, load_settings, profiles
from jobs.lakehouse.lake import REMEDY, Lake
from jobs.lakehouse.session import spark_session

_YEARS = range(1900, 2200)
"""A day before or after them is mistyped, and the days around it are none that a date can hold."""


class Day(click.ParamType[date]):
    """A date, as 2024-09-01."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            day = datetime.strptime(value, "%Y-%m-%d").date()
        except ValueError:
            self.fail(f"{value!r} is no day; write it as 2024-09-01", param, ctx)
        if day.year not in _YEARS:
            self.fail(f"{value} is no day of a ledger; want a year from {_YEARS[0]} to {_YEARS[-1]}", param, ctx)
        return day


class Month(click.ParamType[date]):
    """A month, as 2024-09; its first day."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return datetime.strptime(value, "%Y-%m").date()
        except ValueError:
            self.fail(f"{value!r} is no month; write it as 2024-09", param, ctx)


DAY, MONTH = Day(), Month()


@dataclass
class Report:
    """What a step did, for a person and for a machine: labelled values, and lines that follow the table."""

    title: str
    values: dict[str, Any] = field(default_factory=dict)
    table: tuple[tuple[str, ...], list[tuple[Any, ...]]] | None = None
    lines: list[str] = field(default_factory=list)
    failure: str = ""
    """What did not hold, where the step's answer is no: it is told after the report, with exit code 1."""

    def show(self) -> None:
        """Print a small table."""
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        console.print(f"[bold]{self.title}[/bold]")
        if self.values:
            grid = RichTable.grid(padding=(0, 2))
            grid.add_column(style="dim")
            grid.add_column()
            for label, value in self.values.items():
                grid.add_row("  " + label, escape(shown(value)))
            console.print(grid)
        if self.table is not None:
            headers, rows = self.table
            box = RichTable(box=None, pad_edge=False, padding=(0, 2))
            for header in headers:
                # where there is no room a number goes on in the next line: cut off it would be another one
                box.add_column(header, overflow="fold")
            for row in rows:
                # a value out of somebody's ledger is no markup
                box.add_row(*(escape(shown(cell)) for cell in row))
            console.print(box)
        for line in self.lines:
            console.print(line, markup=False, soft_wrap=True)

    def as_json(self) -> str:
        """One JSON object on one line."""
        body: dict[str, Any] = {"step": self.title, **self.values}
        if self.table is not None:
            headers, rows = self.table
            body["rows"] = [dict(zip(headers, row, strict=True)) for row in rows]
        if self.lines:
            body["lines"] = self.lines
        return json.dumps(body, default=str, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value as a table shows it: thousands apart, few decimals, a dash for unknown."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 100 else f"{value:,.1f}"
    return str(value)


@dataclass(frozen=True)
class Invocation:
    """What the shared options say."""

    settings: Settings
    as_json: bool

    def lake(self) -> Lake:
        """The lake of these settings, with the running session or a new one.

        To be asked for after all options are read: what is wrong with a file of theirs is told before Spark starts.
        """
        return Lake(spark_session(self.settings), self.settings)

    def today(self) -> date:
        """The day that it is in the business time zone."""
        return datetime.now(self.settings.calendar.zone).date()

    def today_of_arrival(self, arrival_day: date | None) -> date:
        """Today; UserError where an arrival day was given that has not come: what is at hand is known by today."""
        if arrival_day is not None:
            self.require_come(f"--arrival-day {arrival_day}", arrival_day)
        return self.today()

    def require_come(self, what: str, day: date) -> None:
        """Raise UserError where a day is one to come; `what` tells which option has it."""
        today = self.today()
        if day > today:
            raise UserError(f"{what} has not come, as today is {today}; say {today} at the latest")


def step(name: str, example: str) -> Callable[[Callable[..., Report]], click.Command]:
    """Make a command of a function `(invocation, **options) -> Report`; `example` ends its help."""

    def decorate(function: Callable[..., Report]) -> click.Command:
        @wraps(function)
        def run(
            profile: str, lake: str | None, no_wait: bool, changes: tuple[str, ...], as_json: bool, **options: Any
        ) -> None:
            told = [
                *changes,
                *([f"lake.root={json.dumps(lake)}"] if lake else []),
                *(["lake.wait_seconds=0"] if no_wait else []),
            ]
            settings = load_settings(profile, os.environ, told)
            report = function(Invocation(settings, as_json), **options)
            if as_json:
                print(report.as_json())
            else:
                report.show()
            # several steps in one process: each is read as it ends, also through a pipe
            sys.stdout.flush()
            if report.failure:
                raise StepFailure(f"{name}: {report.failure}")

        run.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n\b\nExample:\n  {example}\n"
        # options stand in the order of use: the step's own first, the shared ones last
        for decorator in reversed(_SHARED_OPTIONS):
            run = decorator(run)
        command = click.command(name, context_settings={"show_default": True})(run)
        command.params = sorted(command.params, key=lambda param: param.name in _SHARED_NAMES)
        return command

    return decorate


_SHARED_OPTIONS = (
    click.option(
        "--profile",
        default=lambda: os.environ.get(PROFILE_VARIABLE, "local"),
        show_default="local",
        help=f"Which settings: {', '.join(profiles())}.",
    ),
    click.option("--lake", default=None, metavar="PATH", help="Root of the tables; short for --set lake.root=PATH."),
    click.option("--no-wait", is_flag=True, help="Stop at once where another step is writing the lake."),
    click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting for this run."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table."),
)
_SHARED_NAMES = frozenset({"profile", "lake", "no_wait", "changes", "as_json"})


def run_command(command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 2 wrong input or settings, 1 could not be done.

    A user's mistake is told in sentences, and so is a table's file that is gone or damaged; any other exception is a
    fault of ours and keeps its stack trace.
    """
    try:
        command.main(args=arguments, standalone_mode=False)
    except UserError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        print("stopped", file=sys.stderr)
        return 1
    except (PySparkException, Py4JJavaError) as error:
        unreadable = _UNREADABLE.search(str(error))
        if unreadable is None:
            raise
        wrong, file = unreadable.groups()
        what = "is gone" if wrong == "FILE_NOT_EXIST" else f"cannot be read ({wrong})"
        print(
            f"error: {file} {what}: the table was changed by hand, and nothing was published of it. {REMEDY}",
            file=sys.stderr,
        )
        return 1
    return 0


_UNREADABLE = re.compile(r"\[FAILED_READ_FILE\.(\w+)\] Encountered error while reading file (\S+?)\.\s")
"""What Spark says of a file that it does not find, or that is not what was written. Tables are checked before a step
begins by what Delta keeps of them: to look whether each of their files is there would cost a list of them all."""
