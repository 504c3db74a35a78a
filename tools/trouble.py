"""The one error of set-up: a sentence for the person at the machine, and exit code 2."""


class Trouble(Exception):
    """What is missing and what to do about it, in one sentence."""
