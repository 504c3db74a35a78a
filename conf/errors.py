"""What a person is told when something is wrong, and which exit code goes with it."""

from collections.abc import Iterable


class UserError(Exception):
    """Bad input or settings: shown without a stack trace, exit code 2.

    Holds every problem that was found, not just the first.
    """

    exit_code = 2

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class StepFailure(UserError):
    """A step could not be completed though its input and settings were right: exit code 1."""

    exit_code = 1
