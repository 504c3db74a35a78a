"""A mapping file says everything that is wrong with it at once, and its SQL is only what can harm nobody."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.errors import UserError
from conf.expressions import FUNCTIONS, ExpressionError, read_expression
from conf.files import parse_yaml, validate
from conf.skeleton import SeenColumn, SeenFiles, skeleton
from conf.source import Feed, Source, load_source, source_names

PAYMENTS = {
    "name": "payments",
    "files": "payments*.csv",
    "event": "payment_event",
    "fields": {
        "event_id": "id",
        "seller_id": "shop",
        "counterparty_id": "partner",
        "happened_at": "at",
        "direction": {"column": "way", "values": {"in": "in", "out": "out"}},
        "kind": {"constant": "sale"},
        "amount_fen": {"column": "amount", "unit": "yuan"},
    },
}


def payments(**fields: Any) -> Feed:
    return Feed.model_validate({**PAYMENTS, "fields": {**PAYMENTS["fields"], **fields}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(select max(x) from t)", "sub-query"),
        ("x in (select 1)", "sub-query"),
        ("exists(select 1)", "sub-query"),
        ("java_method('java.lang.System', 'exit', 1)", "calls other programs"),
        ("reflect('java.lang.Runtime', 'getRuntime')", "calls other programs"),
        ("current_date()", "each time"),
        ("current_date", "each time"),
        ("NOW()", "each time"),
        ("rand()", "each time"),
        ("uuid()", "each time"),
        ("input_file_name()", "where the file lies"),
        ("sum(x)", "other records"),
        ("row_number() over (partition by x)", "other records"),
        ("lower(x) over (partition by x)", "one record at a time"),
        ("explode(x)", "several rows"),
        ("substrin(x, 1)", "substring"),
        ("element_at(x, 5)", "get(array"),
        ("a div b", "floor(a / b)"),
        ("cast(x as binary)", "no type"),
        ("x rlike pattern", "written out"),
        ("to_timestamp(x, y)", "written out"),
        ("from_utc_timestamp(x, 'Mars/Olympus')", "written out"),
        ("split_part(x, '-', 0)", "from 1"),
        ("round(x, -2)", "from 0"),
        ("lpad(x, 2000000000, '0')", "up to 999"),
        ("add_months(x, y)", "written out"),
        ("transform(x, y -> y + 1)", "not allowed"),
        ("x; drop table t", "not understood"),
        ("x y", "not understood"),
        ("x -- y \n ;", "not understood"),
        ("'open", "not understood"),
        # a raw string ends at its quote, whatever stands before it: what follows is no part of it
        ("r'\\' || now() -- '", "not understood"),
        ("", "not understood"),
        ("lower(x, y)", "takes 1"),
        ("(" * 60 + "x" + ")" * 60, "nested"),
        ("abs(" * 30 + "x" + ")" * 30, "too long when written out"),
        ("x" * 5000, "longer than"),
    ],
)
def test_what_could_harm_is_refused_before_anything_is_read(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(words)):
        read_expression(text)


@pytest.mark.parametrize("name", sorted({"element_at", "make_date", "int", "sum", "now", "reflect", "pmod"}))
def test_what_is_refused_is_not_in_the_list(name: str) -> None:
    assert name not in FUNCTIONS


def test_what_runs_has_quoted_columns_and_nothing_that_throws() -> None:
    read = read_expression("case when `my qty` > 0 then total / `my qty` else cast(x as int) end")
    assert read.value == ("(case when (`my qty` > 0) then try_divide(`total`, `my qty`) else try_cast(`x` as int) end)")
    assert read.columns == ("my qty", "total", "x")
    assert read.fails is not None and read.fails.startswith("(case when (`my qty` > 0) then ")
    assert read_expression("concat(a, 'x')").fails is None
    # a column may be called like a clock, when it says that it is a column
    assert read_expression("`current_date`").columns == ("current_date",)
    assert read_expression(read.value).columns == read.columns


def test_a_filter_is_kept_as_what_runs() -> None:
    feed = Feed.model_validate({**PAYMENTS, "filter": "total / pieces > 1"})
    assert feed.filter == "(try_divide(`total`, `pieces`) > 1)"
    assert feed.filter_columns == ("total", "pieces")


WRONG = """
name: mine
description: x
time_zone: Nowhere
deliveries: folders
csv: {delimiter: ";", colour: 1}
arrival: {assume: event_day + 0}
feeds:
  - name: orders
    files: o.csv
    event: order_event
    filter: now() > x
    fields:
      event_id: id
      sellerid: c
      order_id: TODO
      buyer_id: {column: b, unit: yuan}
      happened_at: {column: a, format: [iso, YYYY-MM-dd]}
      amount_fen: {column: a}
      kind: {column: k, values: {yes: paid, "2": sold}}
      rating: {expression: "sume(x)"}
  - name: payments
    files: [p.csv, q.csv]
    event: payment_event
    fields:
      event_id: {column: id, optional: true}
      happened_at: {column: at, decimal: comma}
      balance_fen: {column: b, unit: dollars}
      amount_fen: {column: a}
      kind: {column: k, otherwise: sale}
"""


def test_every_error_is_told_at_once_and_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(WRONG)
    with pytest.raises(UserError) as error:
        load_source(str(file))
    told = error.value.problems
    for line, words in {
        4: "'Nowhere' is no IANA time zone",
        6: "csv.colour: unknown key",
        12: "now() gives something else each time",
        15: "sellerid: is no field of order_event (near to it: seller_id)",
        16: "order_id: still says TODO",
        18: "'YYYY-MM-dd': years are yyyy",
        20: "write True in quotes",
        21: "sume() is not allowed",
        28: "balance_fen.unit: Input should be 'fen', 'jiao', 'yuan' or 'thousands'",
        30: "otherwise goes with values",
    }.items():
        assert [problem for problem in told if problem.startswith(f"{file}:{line}: ") and words in problem], words
    assert sum("seller_id: is missing" in problem for problem in told) == 2
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"event_id": {"column": "id", "optional": True}}, "event_id: is required"),
        ({"happened_at": {"column": "at", "decimal": "comma"}}, "happened_at: decimal and groups are for numbers"),
        ({"counterparty_id": {"column": "p", "time_zone": "UTC"}}, "counterparty_id: time_zone is for dates"),
        ({"failed": {"column": "f", "absolute": True}}, "failed: absolute is for money"),
        ({"kind": {"column": "k", "values": {"a": "sale"}, "otherwise": "gift"}}, "'gift' is none of"),
        ({"amount_fen": {"column": "a"}}, "unit is missing"),
        ({"counterparty_id": {"column": "p", "values": {"x": "y"}}}, "counterparty_id: is kept as a pseudonym"),
    ],
)
def test_keys_that_do_not_go_with_their_field(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        payments(**fields)


def test_a_feeds_zone_is_its_stamps_unless_they_have_one() -> None:
    text = yaml.safe_dump(
        {
            "name": "mine",
            "description": "x",
            "time_zone": "UTC",
            "deliveries": "whole",
            "arrival": {"assume": "event_day + 0"},
            "feeds": [{**PAYMENTS, "time_zone": "Europe/Berlin"}],
        }
    )
    source = validate(Source, *parse_yaml(text, "mine.yml"), "mine.yml")
    fields = source.feeds[0].fields
    assert (fields["happened_at"].column, fields["happened_at"].time_zone) == ("at", "Europe/Berlin")
    assert fields["seller_id"].time_zone is None


def test_the_kinds_that_a_source_tells_have_the_others() -> None:
    kind = {"column": "k", "values": {"a": "sale", "b": "refund"}, "otherwise": "other"}
    assert payments(kind=kind).kinds_told() == {f"payment_event.{name}" for name in ("sale", "refund", "other")}


def test_fields_that_features_rest_on_are_told_where_they_are_mapped() -> None:
    assert "order_event.item_id" in load_source("marketplace").kinds_told()
    assert not {"order_event.item_id", "order_event.category"} & load_source("vat_invoices").kinds_told()
    # of shipments: what was sold it does not say
    fields = {
        **dict.fromkeys(("event_id", "seller_id", "happened_at", "order_id", "buyer_id", "item_id"), "x"),
        "amount_fen": {"column": "a", "unit": "fen"},
        "kind": {"constant": "shipped"},
    }
    shipped = Feed.model_validate({"name": "shipped", "files": "s.csv", "event": "order_event", "fields": fields})
    assert shipped.kinds_told() == {"order_event.shipped"}


def test_the_packages_own_sources_load() -> None:
    assert {load_source(name).name for name in source_names()} >= {"marketplace", "vat_invoices"}


HOSTILE = "x: [#\n'\"…\tend"


def test_a_skeleton_is_valid_yaml_and_loads_once_it_is_filled_in(tmp_path: Path) -> None:
    files = [
        SeenFiles(
            "orders-*.csv",
            (
                SeenColumn("order_id", "text", ("o1", HOSTILE)),
                SeenColumn("id", "text", ("1",)),
                SeenColumn("Shop", "text", ("s1",)),
                SeenColumn("buyer", "text", ("buyer-one", "buyer-two")),
                SeenColumn("wann", "text", ("01.02.2025 10:00",)),
                SeenColumn("status", "text", ("paid", "yes", HOSTILE)),
                SeenColumn("amount", "text", ("1.234,50",)),
                SeenColumn(HOSTILE, "text", ("1",)),
            ),
            (("delimiter", ";"),),
        ),
        SeenFiles("loans/*.parquet", (SeenColumn("loan_id", "string"), SeenColumn("due_on", "date32[day]"))),
    ]
    text = skeleton("mine", "folders", files)
    data = yaml.safe_load(text)
    orders, loans = data["feeds"]
    assert (orders["event"], loans["event"]) == ("order_event", "loan_event")
    assert orders["fields"]["seller_id"] == "Shop"
    assert orders["fields"]["amount_fen"] == {"column": "amount", "decimal": "comma", "groups": True, "unit": "TODO"}
    assert orders["fields"]["happened_at"] == {"column": "wann", "format": "dd.MM.yyyy HH:mm"}
    assert orders["fields"]["kind"]["values"] == {"paid": "paid", "yes": "TODO", HOSTILE: "TODO"}
    assert "buyer-one" not in text and "bu…" in text
    file = tmp_path / "mine.yml"
    file.write_text(text)
    with pytest.raises(UserError, match="TODO"):
        load_source(str(file))
    filled = (
        text.replace("unit: TODO", "unit: yuan")
        .replace("time_zone: TODO", "time_zone: UTC")
        .replace("values: {TODO: TODO}", "values: {a: drawn}")
        .replace('"yes": TODO', '"yes": shipped')
        .replace('end": TODO', 'end": refunded')
        .replace("TODO", "some_column")
    )
    file.write_text(filled)
    assert [feed.name for feed in load_source(str(file)).feeds] == ["orders", "loans"]


def test_a_skeleton_lists_the_columns_that_sound_like_persons() -> None:
    names = ("id", "shop", "buyer", "receiver_name", "Phone no.", "amount", "city")
    columns = tuple(SeenColumn(name, "text", ("1",)) for name in names)
    text = skeleton("mine", "whole", [SeenFiles("orders.csv", columns)])
    (feed,) = yaml.safe_load(text)["feeds"]
    assert feed["personal"] == ["receiver_name", "Phone no."]


@pytest.mark.parametrize(
    ("one", "other", "are_apart"),
    [
        ("get_json_object(a, '$.id')", "get_json_object(a, '$.buyer')", True),
        ("get_json_object(a, '$.x.id')", "get_json_object(get_json_object(a, '$.x'), '$.buyer')", True),
        ("get_json_object(a, '$.p[0]')", "get_json_object(a, \"$['p'][1]\")", True),
        ("get_json_object(a, '$.p[0]')", "get_json_object(a, '$.p[1]')", True),
        ("lower(a.id)", "a['buyer']", True),
        ("split_part(a, '-', 1)", "split_part(a, '-', 2)", True),
        ("a", "b", True),
        ("a", "a", False),
        ("a", "get_json_object(A, '$.buyer')", False),
        ("get_json_object(a, '$.x')", "get_json_object(a, '$.x.buyer')", False),
        ("get_json_object(a, '$.id')", "get_json_object(a, '$.ID')", False),
        ("get_json_object(a, '$')", "get_json_object(a, '$.buyer')", False),
        ("get_json_object(a, '$.*')", "get_json_object(a, '$.buyer')", False),
        ("get_json_object(lower(a), '$.id')", "get_json_object(a, '$.buyer')", False),
        ("substring(get_json_object(a, '$.id'), 1, 3)", "get_json_object(a, '$.buyer')", False),
        ("split_part(a, '-', 1)", "split_part(a, '-', -1)", False),
        ("split_part(a, '-', 1)", "split_part(a, '/', 2)", False),
        ("split(a, '-')[0]", "split(a, '-')[1]", False),
    ],
)
def test_two_expressions_are_apart_where_their_paths_part(one: str, other: str, are_apart: bool) -> None:
    pairs = [(x, y) for x in read_expression(one).mentions for y in read_expression(other).mentions]
    assert [x.is_apart_from(y) for x, y in pairs] == [are_apart]
    assert [y.is_apart_from(x) for x, y in pairs] == [are_apart]
