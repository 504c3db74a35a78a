"""The reasons that a seller is given, from the points of the score: family first, then the largest feature in it."""

from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.policy import Reasons

REASON = "struct<code:string,family:string,feature:string,points:double>"
"""``code`` is ``score`` or the rule that decided; ``family`` and ``points`` (the family's sum, in points of the score,
negative: it lowered the score) are null unless the score decided; ``feature`` is what the reason is about."""


def rule_reasons(codes: Column, figure_of: Mapping[str, str]) -> Column:
    """Reasons that are rules and not the score, each with the figure that it rests on: array of REASON."""
    figures = _lookup(figure_of)
    return F.transform(
        codes, lambda code: _reason(code, _nothing("string"), F.try_element_at(figures, code), _nothing("double"))
    )


def families_by_points(points: Column, families: Mapping[str, str]) -> Column:
    """Families by the sum of their points, lowest first, each with its lowest feature: array of REASON.

    ``families`` gives each feature's family. A feature without one stops the job by name: the model and the catalogue
    then disagree about what a feature is. Ties are broken by name, sums are taken in the order of the names, so that
    the same points give the same reasons to the last bit.
    """
    known = _lookup(families)
    entries = F.array_sort(F.map_entries(points))
    labelled = F.transform(entries, lambda entry: _labelled(entry, known))
    return F.transform(F.array_sort(_named_once(labelled, _summed_by_family)), _as_reason)


def adverse(ranked: Column, reasons: Reasons) -> Column:
    """Of ``families_by_points``: those that lowered the score by the least points or more, at most so many."""
    heavy = F.filter(ranked, lambda family: family["points"] <= F.lit(-float(reasons.least_points)))
    return F.slice(F.filter(heavy, lambda family: family["points"] < 0), 1, reasons.most)


def adverse_or_lowest(ranked: Column, reasons: Reasons) -> Column:
    """``adverse``, or where that is empty the one lowest family that lowered the score: a decline always has a reason.

    Where no family did, or there are no points at all, the reason is the score as such.
    """
    heavy = adverse(ranked, reasons)
    has_lowered = F.coalesce(F.get(ranked, F.lit(0))["points"] < 0, F.lit(False))
    return (
        F.when(F.coalesce(F.size(heavy), F.lit(0)) > 0, heavy)
        .when(has_lowered, F.slice(ranked, 1, 1))
        .otherwise(F.array(_reason(F.lit("score"), _nothing("string"), _nothing("string"), _nothing("double"))))
    )


def _labelled(entry: Column, known: Column) -> Column:
    refused = F.raise_error(F.concat(F.lit("points: feature without a family: "), entry["key"])).cast("string")
    family = F.coalesce(F.try_element_at(known, entry["key"]), refused)
    return F.struct(family.alias("family"), entry["key"].alias("feature"), entry["value"].alias("points"))


def _named_once(value: Column, body: Callable[[Column], Column]) -> Column:
    # written out in a lambda, the value is made anew for every element: 1.9 ms a seller and not 0.3
    return F.get(F.transform(F.array(value), body), F.lit(0))


def _summed_by_family(labelled: Column) -> Column:
    return F.transform(
        F.array_distinct(F.transform(labelled, lambda entry: entry["family"])),
        lambda family: _summed(family, F.filter(labelled, lambda entry: entry["family"] == family)),
    )


def _summed(family: Column, features: Column) -> Column:
    total = F.aggregate(features, F.lit(0.0), lambda sum_so_far, entry: sum_so_far + entry["points"])
    lowest = F.array_min(F.transform(features, lambda entry: F.struct(entry["points"], entry["feature"])))
    return F.struct(total.alias("points"), family.alias("family"), lowest["feature"].alias("feature"))


def _as_reason(summed: Column) -> Column:
    return _reason(F.lit("score"), summed["family"], summed["feature"], summed["points"])


def _reason(code: Column, family: Column, feature: Column, points: Column) -> Column:
    return F.struct(code.alias("code"), family.alias("family"), feature.alias("feature"), points.alias("points")).cast(
        REASON
    )


def _lookup(names: Mapping[str, str]) -> Column:
    return F.map_from_arrays(_texts(sorted(names)), _texts([names[name] for name in sorted(names)]))


def _texts(texts: Sequence[str]) -> Column:
    # one literal, not one a text: each costs a round trip to the JVM
    return F.lit(list(texts))


def _nothing(kind: str) -> Column:
    return F.lit(None).cast(kind)
