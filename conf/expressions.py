"""The SQL that a mapping may hold: a part of Spark's, read here, and written anew so that no record can stop a job.

Spark 4 ends the job when one record divides by zero, overflows or has rubbish in a cast. So an expression is parsed by
the grammar below, and everything that could throw is written as its `try_` form; beside the value stands the condition
under which it failed, which quarantines that record alone. What the grammar or the list of functions does not have is
refused when the mapping is read: sub-queries, windows, aggregates, clocks, chance, Java calls. Nothing of the user's
text reaches Spark but column names, quoted, and literals.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import available_timezones

LONGEST = 4000
_LONGEST_WRITTEN = 20_000
_DEEPEST = 40


class ExpressionError(ValueError):
    """An expression that is not allowed, and why."""


@dataclass(frozen=True)
class Mention:
    """One place where an expression reads a column."""

    column: str
    path: tuple[tuple[str, str], ...] = ()
    """The way to what it reads there, from the outside in: each step's kind and which one. Empty: all of it."""
    is_cut: bool = False
    """Whether a function takes something out that no path tells."""

    def is_apart_from(self, other: "Mention") -> bool:
        """Whether the two surely read nothing in common."""
        if self.column.lower() != other.column.lower():
            return True
        for (kind, which), (other_kind, other_which) in zip(self.path, other.path, strict=False):
            if (kind, which.lower()) != (other_kind, other_which.lower()):
                return kind == other_kind and not self.is_cut and not other.is_cut
        return False


@dataclass(frozen=True)
class Expression:
    """What runs in place of an expression."""

    value: str
    """SQL that never throws; null where the expression fails."""
    fails: str | None
    """SQL condition, never null, under which it fails; None where it cannot."""
    mentions: tuple[Mention, ...]
    """Where it reads the source's columns."""
    trials: tuple[str, ...]
    """SQL over literals alone, of its patterns and formats: a wrong one throws, on the first record or here."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The source's columns that it names."""
        return tuple(dict.fromkeys(mention.column for mention in self.mentions))


@lru_cache(maxsize=1024)
def read_expression(text: str) -> Expression:
    """Read an expression of a mapping, or raise ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"is longer than {LONGEST} characters")
    reader = _Reader(text)
    node = reader.expression()
    reader.end()
    return Expression(node.sql, node.fails, tuple(reader.mentions), tuple(dict.fromkeys(reader.trials)))


@dataclass(frozen=True)
class _Node:
    sql: str
    fails: str | None = None
    literal: str | None = None
    """The SQL of a literal, of which some arguments must be one."""
    mention: int | None = None
    """Where it is a column or what a path leads to within one: its place among the mentions."""

    def __post_init__(self) -> None:
        # abs and case write an operand several times: nested, they would grow without end
        if len(self.sql) + len(self.fails or "") > _LONGEST_WRITTEN:
            raise ExpressionError("is too long when written out")


def _any(conditions: Sequence[str | None]) -> str | None:
    found = list(dict.fromkeys(condition for condition in conditions if condition is not None))
    return f"({' or '.join(found)})" if found else None


def _may_fail(sql: str, *operands: _Node) -> _Node:
    """A form that gives null where it fails: it failed where no operand is null and the value is."""
    known = " and ".join(f"{operand.sql} is not null" for operand in operands if operand.literal is None)
    failed = f"({sql} is null and {known})" if known else f"({sql} is null)"
    return _Node(sql, _any([*(operand.fails for operand in operands), failed]))


def _branches(pairs: Sequence[tuple[_Node, _Node]], otherwise: _Node | None) -> _Node:
    """`case when`: a branch that is not taken cannot fail."""
    sql = "".join(f" when {condition.sql} then {value.sql}" for condition, value in pairs)
    sql += f" else {otherwise.sql}" if otherwise else ""
    parts = [node.fails for pair in pairs for node in pair] + [otherwise.fails if otherwise else None]
    if _any(parts) is None:
        return _Node(f"(case{sql} end)")
    failing = ""
    for condition, value in pairs:
        failing += f" when {condition.fails} then true" if condition.fails else ""
        failing += f" when {condition.sql} then {value.fails or 'false'}"
    last = (otherwise.fails if otherwise else None) or "false"
    return _Node(f"(case{sql} end)", f"(case{failing} else {last} end)")


def _first_known(nodes: Sequence[_Node]) -> _Node:
    """`coalesce`: what stands after the first known value cannot fail."""
    sql = f"coalesce({', '.join(node.sql for node in nodes)})"
    if all(node.fails is None for node in nodes):
        return _Node(sql)
    failing = "".join(
        (f" when {node.fails} then true" if node.fails else "") + f" when {node.sql} is not null then false"
        for node in nodes
    )
    return _Node(sql, f"(case{failing} else false end)")


# ---- functions ------------------------------------------------------------------------------------------------------

_NEVER_THROW: dict[str, tuple[int, int]] = {
    # name: fewest and most arguments
    **dict.fromkeys(
        ("lower", "upper", "initcap", "length", "char_length", "reverse", "md5", "crc32", "isnan", "isnull"), (1, 1)
    ),
    **dict.fromkeys(("isnotnull", "floor", "ceil", "ceiling", "sign", "sqrt", "exp", "ln", "size"), (1, 1)),
    **dict.fromkeys(("year", "quarter", "month", "day", "dayofmonth", "dayofweek", "weekday", "dayofyear"), (1, 1)),
    **dict.fromkeys(("hour", "minute", "second", "last_day"), (1, 1)),
    **dict.fromkeys(("trim", "ltrim", "rtrim", "btrim"), (1, 2)),
    **dict.fromkeys(("left", "right", "instr", "startswith", "endswith", "contains"), (2, 2)),
    **dict.fromkeys(("nullif", "nanvl", "power", "sha2", "get", "array_contains", "get_json_object"), (2, 2)),
    **dict.fromkeys(("datediff", "date_add", "date_sub", "date_trunc", "trunc", "months_between"), (2, 2)),
    **dict.fromkeys(("substring", "substr"), (2, 3)),
    **dict.fromkeys(("replace", "translate", "substring_index"), (3, 3)),
    **dict.fromkeys(("concat", "xxhash64"), (1, 99)),
    **dict.fromkeys(("concat_ws", "greatest", "least"), (2, 99)),
    **dict.fromkeys(("try_add", "try_subtract", "try_multiply", "try_divide", "try_mod"), (2, 2)),
}

_THROW: dict[str, tuple[str, int, int]] = {
    # name: what is written instead, fewest and most arguments
    "mod": ("try_mod", 2, 2),
    "to_timestamp": ("try_to_timestamp", 1, 2),
    "to_date": ("try_to_date", 1, 2),
    "to_number": ("try_to_number", 2, 2),
}

_CHANGES_BY_ITSELF = "gives something else each time: the same file must give the same events"
_REFUSED = {
    **dict.fromkeys(
        (
            *("current_date", "current_timestamp", "current_time", "now", "curdate", "localtimestamp", "today"),
            *("unix_timestamp", "rand", "random", "randn", "randstr", "uniform", "uuid", "shuffle"),
            *("monotonically_increasing_id", "spark_partition_id", "current_user", "session_user", "user"),
            *("current_catalog", "current_database", "current_schema", "version"),
        ),
        _CHANGES_BY_ITSELF,
    ),
    **dict.fromkeys(("input_file_name", "input_file_block_start"), "depends on where the file lies"),
    **dict.fromkeys(
        ("java_method", "reflect", "try_reflect", "call_function", "read_files", "ai_query"), "calls other programs"
    ),
    **dict.fromkeys(
        (
            *("sum", "count", "avg", "mean", "min", "max", "first", "last", "first_value", "last_value", "any_value"),
            *("collect_list", "collect_set", "row_number", "rank", "dense_rank", "lag", "lead", "ntile", "stddev"),
        ),
        "looks at other records: a mapping sees one record at a time",
    ),
    **dict.fromkeys(
        ("explode", "explode_outer", "posexplode", "inline", "stack", "json_tuple"), "makes several rows of a record"
    ),
    "element_at": "can fail: write get(array, index from 0)",
    "make_date": "can fail: write to_date(concat_ws('-', y, m, d), 'yyyy-M-d')",
    "make_timestamp": "can fail: write to_timestamp(text, format)",
    **dict.fromkeys(
        ("timestamp_seconds", "timestamp_millis", "timestamp_micros", "from_unixtime"),
        "can fail: map the number itself with `format: epoch_seconds` or epoch_milliseconds",
    ),
    **dict.fromkeys(
        ("int", "integer", "bigint", "double", "float", "decimal", "string", "boolean", "smallint", "tinyint"),
        "is written cast(x as ...)",
    ),
    "pmod": "can fail: write mod(a, b)",
}
_TYPES = re.compile(
    r"(string|boolean|tinyint|smallint|int|integer|bigint|long|float|double|date|timestamp|timestamp_ntz"
    r"|decimal(\([0-9]{1,2}(,[0-9]{1,2})?\))?)"
)
_STRUCTURE = {
    **dict.fromkeys(("select", "with", "from", "exists"), "a sub-query is not allowed"),
    **dict.fromkeys(("over", "filter", "distinct"), "a mapping sees one record at a time"),
}
_WORDS = frozenset(
    (
        *("and", "or", "not", "in", "is", "null", "true", "false", "between", "like", "ilike", "rlike", "regexp"),
        *("case", "when", "then", "else", "end", "as", "div"),
    )
)
_UNITS = re.compile("(year|month|week|day|hour|minute|second)s?", re.IGNORECASE)

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?:BD|[LSYDF])?(?![\w]))
    | (?P<string>[rR]'[^']*'|[rR]"[^"]*"|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<name>[^\W\d]\w*)
    | (?P<sign><=>|<>|!=|<=|>=|==|\|\||::|[-+*/%<>=(),.\[\]])
    )""",
    re.VERBOSE | re.DOTALL,
)


class _Reader:
    """A parser by recursive descent, one method a level of precedence, lowest first."""

    def __init__(self, text: str) -> None:
        self.mentions: list[Mention] = []
        self.trials: list[str] = []
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    # -- tokens --

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self._at + ahead
        return self._tokens[place] if place < len(self._tokens) else ("end", "the end")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, *words: str, ahead: int = 0) -> bool:
        kind, text = self._peek(ahead)
        return kind in ("name", "sign") and text.lower() in words

    def _take(self, *words: str) -> str | None:
        return self._next()[1].lower() if self._is(*words) else None

    def _want(self, word: str) -> None:
        if self._take(word) is None:
            raise ExpressionError(f"want {word} before {self._peek()[1]}")

    def end(self) -> None:
        """Refuse whatever is left."""
        kind, text = self._peek()
        if kind != "end":
            raise ExpressionError(_STRUCTURE.get(text.lower(), f"{text} is not understood here"))

    # -- levels --

    def expression(self) -> _Node:
        """Read one expression."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError(f"is nested deeper than {_DEEPEST}")
        left = self._conjunction()
        while self._take("or"):
            right = self._conjunction()
            late = f"(not coalesce({left.sql}, false) and {right.fails})" if right.fails else None
            left = _Node(f"({left.sql} or {right.sql})", _any([left.fails, late]))
        self._depth -= 1
        return left

    def _conjunction(self) -> _Node:
        left = self._negation()
        while self._take("and"):
            right = self._negation()
            late = f"(coalesce({left.sql}, true) and {right.fails})" if right.fails else None
            left = _Node(f"({left.sql} and {right.sql})", _any([left.fails, late]))
        return left

    def _negation(self) -> _Node:
        negations = 0
        while self._take("not"):
            negations += 1
        node = self._predicate()
        return _Node(f"(not {node.sql})", node.fails) if negations % 2 else node

    def _predicate(self) -> _Node:
        left = self._sum()
        while True:
            sign = self._take("=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>")
            if sign:
                right = self._sum()
                left = _Node(f"({left.sql} {sign} {right.sql})", _any([left.fails, right.fails]))
            elif self._is("is"):
                left = self._is_test(left)
            elif self._is("in", "between", "like", "ilike", "rlike", "regexp") or self._is("not"):
                left = self._membership(left)
            else:
                return left

    def _is_test(self, left: _Node) -> _Node:
        self._want("is")
        negated = " not" if self._take("not") else ""
        word = self._take("null", "true", "false", "distinct")
        if word is None:
            raise ExpressionError(f"want null, true, false or distinct from after is, not {self._peek()[1]}")
        if word == "distinct":
            self._want("from")
            right = self._sum()
            return _Node(f"({left.sql} is{negated} distinct from {right.sql})", _any([left.fails, right.fails]))
        return _Node(f"({left.sql} is{negated} {word})", left.fails)

    def _membership(self, left: _Node) -> _Node:
        negated = "not " if self._take("not") else ""
        word = self._take("in", "between", "like", "ilike", "rlike", "regexp")
        if word is None:
            raise ExpressionError(f"{self._peek()[1]} is not understood after not")
        if word == "in":
            self._want("(")
            several = self._arguments()
            if not several:
                raise ExpressionError("in () names nothing")
            listed = ", ".join(node.sql for node in several)
            return _Node(f"({left.sql} {negated}in ({listed}))", _any([left.fails, *(node.fails for node in several)]))
        if word == "between":
            low = self._sum()
            self._want("and")
            high = self._sum()
            fails = _any([left.fails, low.fails, high.fails])
            return _Node(f"({left.sql} {negated}between {low.sql} and {high.sql})", fails)
        pattern = self._literal(self._sum(), f"the pattern of {word}")
        self.trials.append(f"'' {word} {pattern.sql}")
        return _Node(f"({left.sql} {negated}{word} {pattern.sql})", left.fails)

    def _sum(self) -> _Node:
        left = self._product()
        while sign := self._take("+", "-", "||"):
            right = self._product()
            if sign == "||":
                left = _Node(f"concat({left.sql}, {right.sql})", _any([left.fails, right.fails]))
            else:
                name = "try_add" if sign == "+" else "try_subtract"
                left = _may_fail(f"{name}({left.sql}, {right.sql})", left, right)
        return left

    def _product(self) -> _Node:
        left = self._unary()
        while sign := self._take("*", "/", "%", "div"):
            if sign == "div":
                raise ExpressionError("div can fail: write floor(a / b)")
            right = self._unary()
            name = {"*": "try_multiply", "/": "try_divide", "%": "try_mod"}[sign]
            left = _may_fail(f"{name}({left.sql}, {right.sql})", left, right)
        return left

    def _unary(self) -> _Node:
        sign = self._take("-", "+")
        if sign is None:
            return self._postfix()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ExpressionError(f"is nested deeper than {_DEEPEST}")
        node = self._unary()
        self._depth -= 1
        if sign == "+":
            return node
        if node.literal is not None and self._tokens[self._at - 1][0] == "number":
            opposite = node.sql[1:] if node.sql.startswith("-") else f"-{node.sql}"
            return _Node(opposite, literal=opposite)
        return _may_fail(f"try_subtract(0, {node.sql})", node)

    def _postfix(self) -> _Node:
        node = self._primary()
        while True:
            if self._take("["):
                index = self.expression()
                self._want("]")
                fails = _any([node.fails, index.fails])
                is_key = index.literal is not None and index.literal[-1] in "'\""
                # an index out of bounds throws; a key that is not there gives null
                step = None if index.literal is None else ("key" if is_key else "place", index.literal.strip("'\""))
                mention = self._go_on(node.mention, [step] if step else None)
                sql = f"{node.sql}[{index.sql}]" if is_key else f"get({node.sql}, {index.sql})"
                node = _Node(sql, fails, mention=mention)
            elif self._take("::"):
                kind = self._type()
                node = _may_fail(f"try_cast({node.sql} as {kind})", node)
            else:
                return node

    def _primary(self) -> _Node:
        kind, text = self._next()
        if kind in ("number", "string"):
            return _Node(text, literal=text)
        if kind == "sign" and text == "(":
            node = self.expression()
            self._want(")")
            return node
        if kind == "quoted":
            return self._column(text[1:-1].replace("``", "`"))
        if kind != "name":
            raise ExpressionError(f"{text} is not understood here")
        word = text.lower()
        if self._is("("):
            self._at += 1
            return self._call(word)
        if word in ("true", "false", "null"):
            return _Node(word, literal=word)
        if word == "case":
            return self._case()
        if word in ("date", "timestamp") and self._peek()[0] == "string":
            literal = f"{word} {self._next()[1]}"
            return _Node(literal, literal=literal)
        if word == "interval":
            return self._interval()
        if word in _STRUCTURE:
            raise ExpressionError(_STRUCTURE[word])
        if word in _WORDS:
            raise ExpressionError(f"{text} is not understood here")
        if word in _REFUSED and _REFUSED[word] == _CHANGES_BY_ITSELF and word != "version":
            raise ExpressionError(f"{text} {_CHANGES_BY_ITSELF} (a column of that name stands in `backticks`)")
        return self._column(text)

    def _column(self, name: str) -> _Node:
        path = []
        sql = "`" + name.replace("`", "``") + "`"
        while self._is(".") and self._peek(1)[0] in ("name", "quoted"):
            self._at += 1
            kind, part = self._next()
            part = part[1:-1].replace("``", "`") if kind == "quoted" else part
            path.append(("key", part))
            sql += ".`" + part.replace("`", "``") + "`"
        self.mentions.append(Mention(name, tuple(path)))
        return _Node(sql, mention=len(self.mentions) - 1)

    def _go_on(self, mention: int | None, steps: Sequence[tuple[str, str]] | None) -> int | None:
        """Go on along a path; None where there is none, and what is read there is told no more."""
        if mention is None:
            return None
        known = self.mentions[mention]
        if steps is None:
            self.mentions[mention] = replace(known, is_cut=True)
            return None
        self.mentions[mention] = replace(known, path=(*known.path, *steps))
        return mention

    def _case(self) -> _Node:
        subject = None if self._is("when") else self.expression()
        pairs = []
        while self._take("when"):
            condition = self.expression()
            if subject is not None:
                condition = _Node(f"({subject.sql} = {condition.sql})", _any([subject.fails, condition.fails]))
            self._want("then")
            pairs.append((condition, self.expression()))
        otherwise = self.expression() if self._take("else") else None
        self._want("end")
        if not pairs:
            raise ExpressionError("case has no when")
        return _branches(pairs, otherwise)

    def _interval(self) -> _Node:
        sign = "-" if self._take("-") else ""
        kind, text = self._next()
        unit = self._next()[1]
        if kind not in ("number", "string") or not _UNITS.fullmatch(unit):
            raise ExpressionError("write an interval as interval 8 hours")
        literal = f"interval {sign}{text} {unit}"
        return _Node(literal, literal=literal)

    def _type(self) -> str:
        word = self._next()[1].lower()
        if word == "decimal" and self._take("("):
            inside = self._next()[1]
            inside += f",{self._next()[1]}" if self._take(",") else ""
            self._want(")")
            word = f"decimal({inside})"
        if not _TYPES.fullmatch(word):
            raise ExpressionError(f"{word} is no type to cast to")
        return word

    def _arguments(self) -> list[_Node]:
        if self._take(")"):
            return []
        found = [self.expression()]
        while self._take(","):
            found.append(self.expression())
        if self._take(")") is None:
            text = self._peek()[1]
            raise ExpressionError(_STRUCTURE.get(text.lower(), f"want ) before {text}"))
        return found

    def _literal(self, node: _Node, what: str) -> _Node:
        if node.literal is None:
            raise ExpressionError(f"{what} must be written out, not computed")
        return node

    # -- calls --

    def _call(self, name: str) -> _Node:
        if name in ("cast", "try_cast"):
            node = self.expression()
            self._want("as")
            kind = self._type()
            self._want(")")
            sql = f"try_cast({node.sql} as {kind})"
            return _Node(sql, node.fails) if name == "try_cast" else _may_fail(sql, node)
        if name in _STRUCTURE:
            raise ExpressionError(_STRUCTURE[name])
        if name in _REFUSED:
            raise ExpressionError(f"{name}() {_REFUSED[name]}")
        if name not in FUNCTIONS:
            near = get_close_matches(name, FUNCTIONS, 3, 0.6)
            raise ExpressionError(f"{name}() is not allowed" + (f"; near to it: {', '.join(near)}" if near else ""))
        first = len(self.mentions)
        arguments = self._arguments()
        mention = None
        if name in _CUTTING:
            mention = self._go_on(arguments[0].mention if arguments else None, _steps(name, arguments))
            if mention is None:
                self.mentions[first:] = [replace(known, is_cut=True) for known in self.mentions[first:]]
        if self._is("over", "filter"):
            raise ExpressionError(_STRUCTURE["over"])
        fails = _any([node.fails for node in arguments])
        listed = ", ".join(node.sql for node in arguments)
        if name in _NEVER_THROW:
            _want_count(name, arguments, *_NEVER_THROW[name])
            return _Node(f"{name}({listed})", fails, mention=mention)
        tried = name.removeprefix("try_")
        if tried in _THROW:
            written, fewest, most = _THROW[tried]
            _want_count(name, arguments, fewest, most)
            if len(arguments) == 2 and tried != "mod":
                pattern = self._literal(arguments[1], f"the format of {name}")
                sample = "'1'" if tried == "to_number" else "''"
                self.trials.append(f"{written}({sample}, {pattern.sql})")
            sql = f"{written}({listed})"
            return _Node(sql, fails) if name == written else _may_fail(sql, *arguments)
        return replace(_SPECIAL[name](self, name, arguments, fails), mention=mention)

    def _absolute(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 1, 1)
        (node,) = arguments
        # the smallest bigint has no opposite
        return _may_fail(f"if({node.sql} >= 0, {node.sql}, try_subtract(0, {node.sql}))", node)

    def _choice(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 3, 3)
        condition, one, other = arguments
        if name == "nvl2":
            condition = _Node(f"({condition.sql} is not null)", condition.fails)
        return _branches([(condition, one)], other)

    def _known(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 2, 99 if name == "coalesce" else 2)
        return _first_known(arguments)

    def _rounded(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 1, 2)
        if len(arguments) == 2 and not re.fullmatch("[0-9]{1,2}", arguments[1].literal or ""):
            raise ExpressionError("round: the number of decimals must be written out, from 0")
        return _Node(f"round({', '.join(node.sql for node in arguments)})", fails)

    def _padded(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 2, 3)
        if not re.fullmatch("[0-9]{1,3}", arguments[1].literal or ""):
            raise ExpressionError(f"{name}: the length must be written out, up to 999")
        return _Node(f"{name}({', '.join(node.sql for node in arguments)})", fails)

    def _part(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        number = 3 if name == "split_part" else 2
        _want_count(name, arguments, number, number)
        if not re.fullmatch("-?[1-9][0-9]{0,2}", arguments[-1].literal or ""):
            raise ExpressionError(f"{name}: the part must be written out, from 1")
        return _Node(f"{name}({', '.join(node.sql for node in arguments)})", fails)

    def _pattern(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        fewest, most = {"split": (2, 2), "regexp_like": (2, 2), "regexp_extract": (2, 3), "regexp_replace": (3, 3)}[
            name
        ]
        _want_count(name, arguments, fewest, most)
        rest = [self._literal(node, f"the pattern of {name}").sql for node in arguments[1:]]
        # with an empty branch it matches the empty text, so that a group that it does not have is found out too
        listed = ", ".join([f"concat({rest[0]}, '|')", *rest[1:]])
        self.trials.append(f"{name}('', {listed})")
        return _Node(f"{name}({', '.join(node.sql for node in arguments)})", fails)

    def _months(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 2, 2)
        if not re.fullmatch("-?[0-9]{1,4}", arguments[1].literal or ""):
            raise ExpressionError("add_months: the number of months must be written out")
        return _Node(f"add_months({arguments[0].sql}, {arguments[1].sql})", fails)

    def _formatted(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 2, 2)
        pattern = self._literal(arguments[1], "the format of date_format")
        self.trials.append(f"date_format(timestamp '2000-01-01 00:00:00', {pattern.sql})")
        return _Node(f"date_format({arguments[0].sql}, {pattern.sql})", fails)

    def _zoned(self, name: str, arguments: list[_Node], fails: str | None) -> _Node:
        _want_count(name, arguments, 2, 2)
        zone = (arguments[1].literal or "")[1:-1]
        if zone not in available_timezones():
            raise ExpressionError(f"{name}: the zone must be written out, as 'Asia/Shanghai'")
        # the last microsecond of 64 bits, which some writers take for infinity, would overflow
        value = arguments[0].sql
        possible = f"{value} between timestamp '0001-01-01 00:00:00' and timestamp '9999-12-31 23:59:59.999999'"
        return _may_fail(f"{name}(if({possible}, {value}, null), '{zone}')", arguments[0])


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    place = 0
    while text[place:].strip():
        token = _TOKEN.match(text, place)
        if token is None or token.lastgroup is None:
            raise ExpressionError(f"{text[place:].strip()[:20]} is not understood here")
        found.append((token.lastgroup, token[token.lastgroup]))
        place = token.end()
    return found


_CUTTING = frozenset(
    (
        *("get", "get_json_object", "left", "regexp_extract", "right", "split", "split_part", "substr", "substring"),
        *("substring_index", "try_element_at"),
    )
)
"""Functions that take something out of a text or an array."""

_JSON_STEP = re.compile(r"\.([^.\[\]'*]+)|\['([^'*]+)'\]|\[([0-9]+)\]")


def _steps(name: str, arguments: Sequence[_Node]) -> list[tuple[str, str]] | None:
    """The path that a call goes along in its first argument; None where it is not written out."""
    told = [(node.literal or "")[1:-1] for node in arguments[1:]]
    if name == "get_json_object" and re.fullmatch(rf"\$(?:{_JSON_STEP.pattern})+", told[0] if told else ""):
        return [
            ("place", place) if place else ("key", key or quoted) for key, quoted, place in _JSON_STEP.findall(told[0])
        ]
    if name == "split_part" and len(told) == 2 and told[0]:
        part = arguments[2].literal or ""
        return [(f"part by {told[0]} {'from the end' if part.startswith('-') else ''}", part)]
    return None


def _want_count(name: str, arguments: Sequence[_Node], fewest: int, most: int) -> None:
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}" if most < 99 else f"{fewest} or more"
        raise ExpressionError(f"{name}() takes {wanted} arguments, not {len(arguments)}")


_SPECIAL: dict[str, Callable[[_Reader, str, list[_Node], str | None], _Node]] = {
    "abs": _Reader._absolute,
    **dict.fromkeys(("if", "iff", "nvl2"), _Reader._choice),
    **dict.fromkeys(("coalesce", "nvl", "ifnull"), _Reader._known),
    "round": _Reader._rounded,
    **dict.fromkeys(("lpad", "rpad"), _Reader._padded),
    **dict.fromkeys(("split_part", "try_element_at"), _Reader._part),
    **dict.fromkeys(("split", "regexp_replace", "regexp_extract", "regexp_like"), _Reader._pattern),
    "add_months": _Reader._months,
    "date_format": _Reader._formatted,
    **dict.fromkeys(("to_utc_timestamp", "from_utc_timestamp"), _Reader._zoned),
}
FUNCTIONS = tuple(
    sorted({*_NEVER_THROW, *_THROW, *(written for written, _, _ in _THROW.values()), *_SPECIAL, "cast", "try_cast"})
)
"""Every function that a mapping may call."""
