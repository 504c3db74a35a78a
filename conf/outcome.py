"""When a loan has gone bad, and what a sample looks back on: the model of outcomes/*.yml.

A definition is never edited in place once a training set has used it: copy it, raise the version, change the copy.
"""

import hashlib
import json
from importlib.resources import files
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError, model_validator

from conf.errors import UserError
from conf.files import Strict, parse_yaml, read_yaml, validate

FEN_A_YUAN = 100


class OutcomeDefinition(Strict):
    """What bad, indeterminate and followed to the end mean."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    version: int = Field(ge=1)
    summary: str = Field(min_length=1, description="what it is for, in a sentence")
    draw_days: int = Field(ge=1, description="origination: loans drawn in so many days from the as-of day on count")
    follow_up_days: int = Field(ge=1, description="origination: each is followed so long after its last due day")
    cohort_share: float = Field(
        gt=0, le=1, description="origination: of those who drew; a cohort counts once so many are settled"
    )
    performance_days: int = Field(ge=1, description="behavioural: days from the as-of day on that are looked at")
    bad_days: int = Field(ge=1, description="days past due from which a loan is bad")
    indeterminate_days: int = Field(ge=1, description="days past due from which it is no longer good")
    material_share: float = Field(ge=0, le=1, description="of the exposure, below which nothing counts as past due")
    material_yuan: int = Field(ge=0, description="the same in yuan; both must be reached")
    distressed_days: int = Field(ge=1, description="days past due from which a rescheduling is one in distress: bad")
    cure_days: int = Field(ge=1, description="days without arrears after which a bad seller is cured")

    @property
    def material_fen(self) -> int:
        return self.material_yuan * FEN_A_YUAN

    @model_validator(mode="after")
    def _in_order(self) -> "OutcomeDefinition":
        if self.indeterminate_days > self.bad_days:
            raise ValueError("indeterminate_days: is above bad_days")
        if self.follow_up_days < self.bad_days:
            raise ValueError("follow_up_days: is below bad_days, so that the last instalment could never go bad")
        return self

    def digest(self) -> str:
        """Sha-256 of what the definition says, comments and order of keys apart."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def definition_from_json(told: str) -> OutcomeDefinition:
    """The definition that a training set was made by; UserError where it was made by rules of another release."""
    try:
        return OutcomeDefinition.model_validate_json(told)
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, part["loc"])) for part in error.errors())
        raise UserError(
            f"the training set was made by an outcome definition of another release ({missing}):"
            " run `seller-credit training-set` again"
        ) from None


def definition_names() -> list[str]:
    """Names of the definitions that come with the package."""
    return sorted(entry.name[:-4] for entry in (files("conf") / "outcomes").iterdir() if entry.name.endswith(".yml"))


def load_definition(name_or_path: str) -> OutcomeDefinition:
    """Read a definition by name (``standard``) or from a YAML file; UserError lists every wrong or missing key."""
    if name_or_path.endswith((".yml", ".yaml")):
        data, places = read_yaml(Path(name_or_path))
        return validate(OutcomeDefinition, data, places, name_or_path)
    if name_or_path not in definition_names():
        known = ", ".join(definition_names())
        raise UserError(f"outcome definition {name_or_path}: there is none; known: {known}, or a path to a .yml file")
    place = f"conf/outcomes/{name_or_path}.yml"
    data, places = parse_yaml((files("conf") / "outcomes" / f"{name_or_path}.yml").read_text("utf-8"), place)
    return validate(OutcomeDefinition, data, places, place)
