"""What a formula names, and what is wrong with a catalogue: told before any work begins."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

from conf.errors import UserError
from transforms.features.feature import HELD_WINDOWS, Feature, window_name, window_sums_in
from transforms.tables.measures import MEASURES

_WORDS_OF_SQL = {
    *("and", "as", "between", "bigint", "case", "div", "double", "else", "end", "false", "in", "int", "is", "like"),
    *("not", "null", "or", "then", "true", "when"),
}
_TEXT = re.compile(r"'[^']*'")
_LAMBDA = re.compile(r"(?:\(([\w\s,]+)\)|\b(\w+))\s*->")
# a name is no function (followed by a bracket), no field of a struct (after a dot) and no end of a number (5.5D)
_NAME = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\b(?!\s*\()")
_WINDOW_SUM = re.compile(r"([a-z_]+)_(\d+d|ever)")


class CatalogueError(UserError):
    """The catalogue cannot be worked out; a sentence a problem, each with the name of its entry."""


def names_in(formula: str) -> frozenset[str]:
    """The columns that a formula names: window sums, states and features."""
    code = _TEXT.sub("", formula)
    bound = {name.strip() for many, one in _LAMBDA.findall(code) for name in (many or one).split(",")}
    return frozenset(name for name in _NAME.findall(code) if name.lower() not in _WORDS_OF_SQL and name not in bound)


def expanded(features: Sequence[Feature], states: Mapping[str, object]) -> dict[str, str]:
    """Each feature's formula over window sums and states alone: features that it names are put in their place.

    A name that is several things is a state first, then a window sum, then a feature. Raises CatalogueError with every
    problem of the entries.
    """
    problems = [f"feature {name}: {times} entries have this name" for name, times in _repeated(features)]
    by_name = {feature.name: feature for feature in features}
    problems += [problem for feature in features for problem in _wrong_names(feature, by_name, states)]
    if problems:
        raise CatalogueError(problems)
    done: dict[str, str] = {}

    def formula_of(name: str, path: tuple[str, ...]) -> str:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise CatalogueError(f"feature {name}: it is made of itself: {circle}")
        if name not in done:
            feature = by_name[name]
            parts = {
                other: f"cast(({formula_of(other, (*path, name))}) as {by_name[other].type})"
                for other in sorted(names_in(feature.formula))
                if other not in states and not window_sums_in(other)
            }
            done[name] = _NAME.sub(_replaced(parts), feature.formula) if parts else feature.formula
        return done[name]

    for feature in features:
        formula_of(feature.name, ())
    return done


def _replaced(parts: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    return lambda found: parts.get(found[1], found[1])


def _repeated(features: Sequence[Feature]) -> list[tuple[str, int]]:
    return [(name, times) for name, times in Counter(feature.name for feature in features).items() if times > 1]


def _wrong_names(feature: Feature, by_name: Mapping[str, Feature], states: Mapping[str, object]) -> list[str]:
    wrong = []
    for name in sorted(names_in(feature.formula)):
        if name in states or name in by_name:
            continue
        if window_sums_in(name):
            days = next(iter(window_sums_in(name)))[1]
            if days not in HELD_WINDOWS:
                held = ", ".join(map(window_name, HELD_WINDOWS))
                wrong.append(f"feature {feature.name}: no state holds the window of {name}; held are {held}")
        elif window := _WINDOW_SUM.fullmatch(name):
            near = _near(window[1], list(MEASURES))
            wrong.append(f"feature {feature.name}: {name} sums the measure {window[1]}, which there is not{near}")
        else:
            sums = [f"{measure}_90d" for measure in MEASURES]
            near = _near(name, [*states, *by_name, *sums])
            wrong.append(f"feature {feature.name}: its formula names {name}: no window sum, state or feature{near}")
    return wrong


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1, 0.6)
    return f" (near to it: {near[0]})" if near else ""
