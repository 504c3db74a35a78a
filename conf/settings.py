"""The one tree of settings: base.yml, then a profile, then SELLER_CREDIT_* variables, then --set."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import Field, field_validator

from conf.errors import UserError
from conf.files import KeyPath, Strict, parse_yaml, validate

PREFIX = "SELLER_CREDIT_"
PROFILE_VARIABLE = "SELLER_CREDIT_PROFILE"
KEY_VARIABLE = "SELLER_CREDIT_PSEUDONYM_KEY"
"""A secret, and so no setting: settings are digested, and shown where they are wrong."""


class Lake(Strict):
    """Where the tables live."""

    root: str = Field(description="folder or object-store path under which every table lies")
    wait_seconds: float = Field(ge=0, description="how long a step waits for another that is writing the lake")


class Spark(Strict):
    """The session of a step that is not started by spark-submit."""

    master: str
    driver_memory: str = Field(pattern=r"^[0-9]+[mg]$")
    shuffle_partitions: int = Field(ge=1)
    config: dict[str, str] = Field(description="further Spark settings, as they are")


class Calendar(Strict):
    """The one business time zone, fixed for the life of a lake."""

    time_zone: str
    first_day: date = Field(description="no ledger of ours has an event before this day")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no IANA time zone (example: Asia/Shanghai)")
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Intake(Strict):
    """When a delivery looks so wrong that nothing of it goes in."""

    hold_above_share: float = Field(gt=0, le=1, description="share of bad records above which a delivery is held whole")
    hold_from_records: int = Field(ge=1, description="records from which on a delivery's share of bad ones says enough")


class Pseudonyms(Strict):
    """Where the secret key of buyers' pseudonyms is, if not in SELLER_CREDIT_PSEUDONYM_KEY. Never inside the lake."""

    key_file: str | None = Field(description="file whose text is the key")


class Mlflow(Strict):
    """The model registry."""

    tracking_uri: str
    experiment: str
    model: str = Field(description="name of the registered model", pattern=r"^[A-Za-z0-9_.-]+$")


class Scoring(Strict):
    """Bulk scoring."""

    buckets: int = Field(ge=1, le=10_000, description="hash buckets of sellers, fixed for a lake")


class Record(Strict):
    """The page that a seller gets."""

    contact: str = Field(description="where a seller asks and objects: an address, a telephone number")


class Settings(Strict):
    """Everything that a deployment may choose."""

    lake: Lake
    spark: Spark
    calendar: Calendar
    intake: Intake
    pseudonyms: Pseudonyms
    mlflow: Mlflow
    scoring: Scoring
    record: Record

    def digest(self) -> str:
        """Sha-256 of what the settings say, kept with every run."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def profiles() -> list[str]:
    """Names of the profiles that come with the package."""
    reserved = {"base"}
    names = (entry.name for entry in files("conf").iterdir())
    return sorted(name[:-4] for name in names if name.endswith(".yml") and name[:-4] not in reserved)


def load_settings(profile: str, environment: Mapping[str, str], overrides: Iterable[str] = ()) -> Settings:
    """Read the settings of a profile.

    `environment` is searched for SELLER_CREDIT_LAKE__ROOT and the like (two underscores go one level down);
    `overrides` are `lake.root=/data` as given by --set, and win.
    Raises UserError with every wrong or missing key, each with the place where it stands.
    """
    if profile not in profiles():
        raise UserError(f"--profile {profile}: there is none; known: {', '.join(profiles())}")
    data: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    for name in ("base", profile):
        layer, layer_places = parse_yaml((files("conf") / f"{name}.yml").read_text("utf-8"), f"conf/{name}.yml")
        _merge(data, layer)
        places.update(layer_places)
    problems: list[str] = []
    for variable, text in sorted(environment.items()):
        if variable.startswith(PREFIX) and variable not in (PROFILE_VARIABLE, KEY_VARIABLE):
            path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
            _set(data, places, path, text, variable, problems)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            problems.append(f"--set {override}: want key=value, for example lake.root=/data/lake")
            continue
        _set(data, places, tuple(key.split(".")), text, f"--set {key}", problems)
    try:
        settings = validate(Settings, data, places, f"conf/{profile}.yml")
    except UserError as error:
        raise UserError([*problems, *error.problems]) from None
    if problems:
        raise UserError(problems)
    return settings


def _merge(below: dict[str, Any], above: dict[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value


def _set(
    data: dict[str, Any], places: dict[KeyPath, str], path: KeyPath, text: str, place: str, problems: list[str]
) -> None:
    branch = data
    for number, part in enumerate(path[:-1]):
        branch = branch.setdefault(str(part), {})
        places.setdefault(path[: number + 1], place)
        if not isinstance(branch, dict):
            problems.append(f"{place}: {'.'.join(map(str, path[: number + 1]))} has no keys below it")
            return
    try:
        branch[str(path[-1])] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # of a date that is none, a ValueError
        problems.append(f"{place}: cannot read the value {text!r}")
    places[path] = place
