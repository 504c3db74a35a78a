"""YAML files read into strict models, with errors that say where the wrong key stands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import UserError

KeyPath = tuple[str | int, ...]


class Strict(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return a YAML mapping and, for every key in it, the place (`file:line`) where it stands.

    Raises UserError when the file is missing, is no YAML, names a key twice or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Like `read_yaml`, from a text; `name` is how errors call the file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # of a date that is none, a ValueError
        raise UserError(f"{name}: is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{name}: must be a mapping of keys to values")
    places: dict[KeyPath, str] = {}
    problems: list[str] = []
    _walk(root, (), name, places, problems)
    if problems:
        raise UserError(problems)
    return data, places


def _walk(node: Any, path: KeyPath, name: str, places: dict[KeyPath, str], problems: list[str]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            here = (*path, key_node.value)
            place = f"{name}:{key_node.start_mark.line + 1}"
            if here in places:
                problems.append(f"{place}: {dotted(here)}: stands twice (first at {places[here]})")
            places[here] = place
            _walk(value_node, here, name, places, problems)
    elif isinstance(node, yaml.SequenceNode):
        for number, value_node in enumerate(node.value):
            here = (*path, number)
            places[here] = f"{name}:{value_node.start_mark.line + 1}"
            _walk(value_node, here, name, places, problems)


def dotted(path: KeyPath) -> str:
    """Write a key path as a person would: `feeds.0.fields.amount_fen`."""
    return ".".join(str(part) for part in path) or "(the whole file)"


def validate(model: type[Model], data: dict[str, Any], places: dict[KeyPath, str], name: str) -> Model:
    """Build the model, or raise one UserError that lists every problem with its place."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = (sentence for problem in error.errors() for sentence in _sentences(problem, places, name))
        raise UserError(list(dict.fromkeys(found))) from None


_KEY_BELOW = re.compile(r"^((?:\w+\.)+\w+): ")


def _sentences(problem: Any, places: dict[KeyPath, str], name: str) -> Iterator[str]:
    words = {
        "extra_forbidden": "unknown key",
        "missing": "is missing",
    }.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    for line in words.splitlines():
        # a check of several keys together names the one that is wrong: `fields.amount_fen: unit is missing`
        below = _KEY_BELOW.match(line)
        path = (*problem["loc"], *(below[1].split(".") if below else ()))
        # pydantic adds the name of the union branch to the path; the file has no such key
        known = path
        while known and known not in places:
            known = known[:-1]
        yield f"{places.get(known, name)}: {dotted(path)}: {line[below.end() :] if below else line}"
