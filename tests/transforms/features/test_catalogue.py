"""The catalogue as data: what is wrong with an entry is told in a sentence that names it, before any work begins."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from conf.errors import UserError
from transforms.features import catalogue
from transforms.features.catalogue import BY_NAME, CATALOGUE, MODEL_INPUTS, STATES, made_of
from transforms.features.evaluate import wanted_sums
from transforms.features.feature import EVER, HELD_WINDOWS, Feature
from transforms.features.formulas import CatalogueError, expanded, names_in
from transforms.features.reference import reference

PROJECT = Path(__file__).resolve().parents[3]
AUDITED_ONLY = ("region", "owner_type", "gender", "age_of_owner", "declined")
"""For fairness audits alone; and a policy's own refusals would be fed back into it."""


def entry(name: str, formula: str) -> Feature:
    return Feature(name, "family", formula, "share", "meaning", "never")


WRONG = {
    "unknown measure": (
        [entry("sold", "paid_fe_90d + 1")],
        "feature sold: paid_fe_90d sums the measure paid_fe, which there is not (near to it: paid_fen)",
    ),
    "window that no state holds": (
        [entry("sold", "paid_fen_45d")],
        "feature sold: no state holds the window of paid_fen_45d; held are 7d, 30d, 60d, 90d, 120d, 150d, 180d, 210d, "
        "240d, 270d, 300d, 330d, 360d, 365d, 455d, 730d, ever",
    ),
    "unknown column": (
        [entry("owing", "coalesce(outstanding_fe, 0)")],
        "feature owing: its formula names outstanding_fe: no window sum, state or feature (near to it: "
        "outstanding_fen)",
    ),
    "duplicated name": (
        [entry("sold", "paid_fen_90d"), entry("sold", "paid_fen_30d")],
        "feature sold: 2 entries have this name",
    ),
    "made of itself": ([entry("sold", "sold + 1")], "feature sold: it is made of itself: sold -> sold"),
    "circle": (
        [entry("one", "two + 1"), entry("two", "try_divide(three, 2)"), entry("three", "one * paid_fen_90d")],
        "feature one: it is made of itself: one -> two -> three -> one",
    ),
    "several problems at once": (
        [entry("sold", "paid_fen_45d + nothing_like_it_xyz"), entry("sold", "1")],
        "feature sold: 2 entries have this name; feature sold: its formula names nothing_like_it_xyz: no window sum, "
        "state or feature; feature sold: no state holds the window of paid_fen_45d; held are 7d, 30d, 60d, 90d, 120d, "
        "150d, 180d, 210d, 240d, 270d, 300d, 330d, 360d, 365d, 455d, 730d, ever",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_entry_is_named_in_a_sentence(name: str) -> None:
    features, sentence = WRONG[name]
    with pytest.raises(CatalogueError) as raised:
        expanded(features, STATES)
    assert "; ".join(raised.value.problems) == sentence


def test_no_step_begins_with_a_catalogue_that_cannot_be_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (*CATALOGUE, *WRONG["circle"][0]))
    monkeypatch.setattr(catalogue, "formulas", cache(catalogue.formulas.__wrapped__))
    with pytest.raises(UserError, match="feature one: it is made of itself: one -> two -> three -> one") as raised:
        catalogue.digest()
    assert raised.value.exit_code == 2


def test_a_feature_may_be_made_of_features_and_of_states_of_its_own_name() -> None:
    features = [
        entry("rate", "try_divide(twice, paid_fen_90d)"),
        replace(entry("twice", "2 * days_past_due"), type="int"),
        entry("days_past_due", "days_past_due"),
    ]
    assert expanded(features, STATES) == {
        "rate": "try_divide(cast((2 * days_past_due) as int), paid_fen_90d)",
        "twice": "2 * days_past_due",
        "days_past_due": "days_past_due",
    }


def test_names_are_neither_functions_nor_words_of_sql_nor_variables() -> None:
    formula = (
        "case when Complete_blocks >= 3 and x_fen_ever is not null then"
        " aggregate(transform(sales_blocks, (block, i) -> (5.5D - i) * block), 0D, (sum, term) -> sum + term) / 143"
        " else filter(balances, held -> held.balance_fen < 'some text')[0].days end"
    )
    assert names_in(formula) == {"Complete_blocks", "x_fen_ever", "sales_blocks", "balances"}


def test_there_are_95_features_or_more_and_each_is_made_of_something() -> None:
    assert len(CATALOGUE) >= 95
    assert all(made_of(feature) for feature in CATALOGUE)
    kinds = {kind for feature in CATALOGUE for kind in made_of(feature)}
    assert kinds == {"additive", "pair", "item", "day series", "loan", "profile", "graph"}
    assert {name: made_of(BY_NAME[name]) for name in ("gmv_sum_90d", "distinct_buyers_90d", "burst_ratio_90d")} == {
        "gmv_sum_90d": ("additive",),
        "distinct_buyers_90d": ("pair",),
        "burst_ratio_90d": ("additive", "pair", "day series"),
    }


def test_the_engine_is_asked_for_held_windows_alone() -> None:
    assert {days for _, days in wanted_sums()} <= set(HELD_WINDOWS)
    assert ("outflow_fen", 90) in wanted_sums([BY_NAME["days_below_week_outflow_90d"]])
    blocks = list(range(30, 361, 30))
    of_blocks = [*(("net_sales_fen", days) for days in blocks), *(("paid_orders", days) for days in [*blocks, EVER])]
    assert wanted_sums([BY_NAME["smallest_sales_block"]]) == of_blocks


def test_no_model_input_knows_what_only_an_audit_may() -> None:
    for name in MODEL_INPUTS:
        assert not any(word in name or word in BY_NAME[name].formula for word in AUDITED_ONLY)


def test_the_reference_page_is_current() -> None:
    written = (PROJECT / "docs" / "features.md").read_text("utf-8")
    assert written == reference(), "docs/features.md is not what the catalogue says: run `make features-doc`"


def test_the_entry_that_the_page_adds_is_right() -> None:
    formula = "try_divide(cast(confirmed_orders_90d as double), paid_orders_90d)"
    added = entry("confirmation_rate_90d", formula)
    assert expanded([*CATALOGUE, added], STATES)["confirmation_rate_90d"] == formula
