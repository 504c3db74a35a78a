"""The secret key of a lake's pseudonyms."""

import os
from pathlib import Path

from conf.errors import UserError
from conf.settings import KEY_VARIABLE, Settings
from jobs.lakehouse.lake import Lake
from transforms.intake.pseudonyms import fingerprint

SHORTEST_KEY = 32
"""Characters: 128 bits, written as hexadecimal digits."""
FINGERPRINT = "key_fingerprint"
"""Fact of a run that took records in."""


def pseudonym_key(lake: Lake) -> bytes:
    """The key from the environment, or else from the file that the settings name.

    Raises UserError where there is none, it is too short, lies inside the lake, or is not the one that made the
    pseudonyms that the lake already has.
    """
    key = _told(lake.settings)
    if len(key) < SHORTEST_KEY:
        raise UserError(f"the key of buyers' pseudonyms has {len(key)} characters; want {SHORTEST_KEY} or more")
    before = next((run.facts[FINGERPRINT] for run in reversed(lake.runs()) if FINGERPRINT in run.facts), None)
    if before not in (None, fingerprint(key)):
        raise UserError(
            f"{lake.root}: its pseudonyms were made with another key (fingerprint {before}; this one's is"
            f" {fingerprint(key)}): under this one every buyer would be a stranger. Give the lake's own key."
        )
    return key


def _told(settings: Settings) -> bytes:
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        return key.encode()
    if settings.pseudonyms.key_file is None:
        raise UserError(
            "buyers and counterparties are kept under pseudonyms, and there is no key to make them with. Make one,"
            " once for a lake, and keep it as you keep passwords: python3 -c 'import secrets;"
            " print(secrets.token_hex(32))' > my.key, then --set pseudonyms.key_file=my.key"
            f" (or the key itself in {KEY_VARIABLE})"
        )
    path = Path(settings.pseudonyms.key_file)
    if not path.is_file():
        raise UserError(f"pseudonyms.key_file: there is no file {path}")
    root = settings.lake.root.removeprefix("file://")
    if "://" not in root and path.resolve().is_relative_to(Path(root).resolve()):
        raise UserError(f"pseudonyms.key_file: {path} lies in the lake; who gets the lake would get the key")
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UserError(f"pseudonyms.key_file: {path} cannot be read: {error.strerror}") from None
