"""What Spark has to say of a mapping's expressions and formats before anything is read with them."""

import logging
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from conf.expressions import Expression
from conf.source import EPOCH_MILLISECONDS, EPOCH_SECONDS, ISO, FieldMapping

# PySpark logs every refused query with 80 lines of stack trace, also where the refusal is what was asked for
logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)


def quoted(name: str) -> str:
    """A column's name as SQL."""
    return "`" + name.replace("`", "``") + "`"


def origin_of(mapping: FieldMapping) -> Column:
    """What the source says of a field, before it is read."""
    if mapping.column is not None:
        return F.col(quoted(mapping.column))
    if mapping.read is not None:
        return F.expr(mapping.read.value)
    return F.lit(mapping.constant)


def absent(name: str, columns: Sequence[str]) -> str:
    """Say that a column is not there, and what is near to it."""
    near = get_close_matches(name, columns, 1, 0.6) or [c for c in columns if c == f"source_{name}"]
    return f"column {name} is not in the file" + (f" (near to it: {near[0]})" if near else "")


def type_of(empty: DataFrame, column: Column) -> tuple[T.DataType | None, str | None]:
    """The type that a column has over a frame, or why it has none."""
    try:
        return empty.select(column).schema[0].dataType, None
    except PySparkException as error:
        return None, _sentence(error)


def expression_problems(empty: DataFrame, expression: Expression) -> list[str]:
    """What can still throw in an expression that was read: a text that Spark casts by itself, a wrong pattern."""
    problems = []
    for cast in _casts(empty, expression.value):
        source, target = cast.child().dataType().simpleString(), cast.dataType().simpleString()
        # unlike ours, a cast of Spark's own ends the job where the text is none of the type
        if cast.evalMode().toString() == "ANSI" and source == "string" and target not in ("string", "binary"):
            text = cast.child().sql()
            better = "decimal(20,5)" if target in ("bigint", "double") else target
            problems.append(f"takes the text {text} for a {target}: write cast({text} as {better}) or the like")
    return problems + _failing(empty, expression.trials)


def format_problems(empty: DataFrame, formats: Sequence[str]) -> list[str]:
    """Formats of dates and timestamps that Spark does not know."""
    patterns = [pattern for pattern in formats if pattern not in (ISO, EPOCH_SECONDS, EPOCH_MILLISECONDS)]
    escaped = (pattern.replace("\\", "\\\\").replace("'", "\\'") for pattern in patterns)
    return _failing(empty, [f"try_to_timestamp('2000', '{pattern}')" for pattern in escaped])


def _failing(empty: DataFrame, trials: Sequence[str]) -> list[str]:
    """What goes wrong in SQL over literals alone; each is tried on one row."""
    problems = []
    for trial in trials:
        try:
            empty.groupBy().count().select(F.expr(trial)).collect()
        except PySparkException as error:
            problems.append(_sentence(error))
    return problems


def _casts(empty: DataFrame, sql: str) -> Iterator[Any]:
    """The casts of an expression as Spark resolves it, as objects of the JVM."""
    plan = getattr(empty.select(F.expr(sql)), "_jdf").queryExecution().analyzed()  # noqa: B009 - no public way
    waiting = [plan.expressions().apply(number) for number in range(plan.expressions().size())]
    while waiting:
        node = waiting.pop()
        if node.getClass().getSimpleName() == "Cast":
            yield node
        children = node.children()
        waiting += [children.apply(number) for number in range(children.size())]


def _sentence(error: PySparkException) -> str:
    return " ".join((error.getMessage() or str(error)).split("SQLSTATE")[0].split()).rstrip(" ;")
