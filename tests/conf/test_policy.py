import re
from importlib.resources import files
from pathlib import Path

import pytest

from conf.errors import UserError
from conf.policy import NOT_BUILT, Policy, load_policy, policy_names

STANDARD = (files("conf") / "policies" / "standard.yml").read_text("utf-8")


def edited(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """A copy of the standard policy with lines replaced; each line must be there."""
    text = STANDARD
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "mine.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(UserError) as raised:
        load_policy(edited(tmp_path, *changes))
    return raised.value.problems


def test_every_policy_that_comes_with_the_package_loads_under_its_name():
    assert policy_names() == ["no_loan_book", "standard"]
    assert [load_policy(name).name for name in policy_names()] == policy_names()


def test_the_standard_policy_says_what_the_rules_say():
    policy = load_policy("standard")
    assert policy.grades.edges == (0.001, 0.0025, 0.005, 0.01, 0.0175, 0.03, 0.05, 0.1, 0.2)
    assert [str(share) for share in policy.limit.share_of_sales_by_grade[:2]] == ["0.12", "0.11"]
    assert policy.price.days_drawn == pytest.approx(30.33, abs=0.005)
    assert policy.price.exposure == pytest.approx(0.6022, abs=0.00005)
    assert policy.price.fixed_cost == pytest.approx(0.0050 + 0.0049, abs=0.0001)
    assert policy.price.yearly(policy.price.highest_daily_rate) == pytest.approx(0.219)


def test_a_ledger_without_loans_declares_so_by_name():
    policy = load_policy("no_loan_book")
    assert not any(policy.applies(rule) for rule in ("past_due", "written_off", "track_record", "affordable"))
    assert policy.applies("share_of_sales")
    with pytest.raises(KeyError):
        policy.applies("no_such_rule")  # type: ignore[arg-type]


def test_every_wrong_key_is_named_at_once_with_its_place(tmp_path):
    found = problems(
        tmp_path,
        ("  least_days: 90 ", "  least_dayz: 90 "),
        ("  first_cap_yuan: 50000 ", "  first_cap_yuan: plenty "),
        ("  cost_of_funds: 0.06 ", '  cost_of_funds: "0.06" '),
        ("  most_days_past_due: 0 ", "  most_days_past_due: 0.5 "),
        ("  margin: 0.00004 ", "  margin: .nan "),
        ("  pot_budget:", "  pod_budget:"),
    )
    places = [re.sub(r"^.*mine\.yml:(\d+): (\S+): .*$", r"\2", problem) for problem in found]
    assert sorted(places) == [
        "history.least_days",
        "history.least_dayz",
        "knock_outs.most_days_past_due",
        "limit.first_cap_yuan",
        "not_applicable.pod_budget.[key]",
        "price.cost_of_funds",
        "price.margin",
    ]
    lines = STANDARD.splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "first_cap_yuan" in text)
    assert any(f"mine.yml:{line}: limit.first_cap_yuan: " in problem for problem in found)


@pytest.mark.parametrize("rule", NOT_BUILT)
def test_a_rule_that_is_not_built_must_be_declared(tmp_path, rule):
    line = next(line for line in STANDARD.splitlines() if line.startswith(f"  {rule}:"))
    (problem,) = problems(tmp_path, (line + "\n", ""))
    assert f"not_applicable: {rule} is not built yet" in problem


def test_a_declaration_without_a_reason_is_refused(tmp_path):
    line = next(line for line in STANDARD.splitlines() if line.startswith("  order_loan:"))
    (problem,) = problems(tmp_path, (line, '  order_loan: ""'))
    assert "not_applicable.order_loan" in problem


def test_a_limit_that_rests_on_no_sales_is_refused(tmp_path):
    (problem,) = problems(
        tmp_path, ("not_applicable:\n", "not_applicable:\n  share_of_sales: none\n  smallest_blocks: none\n")
    )
    assert "a limit must rest on sales" in problem


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "highest_daily_rate: 0.0006 ",
            "highest_daily_rate: 0.0007 ",
            r"25\.6% a year simple, above legal_yearly_rate",
        ),
        ("legal_yearly_rate_is: simple", "legal_yearly_rate_is: compounded", r"24\.5% a year compounded"),
        ("highest_daily_rate: 0.0006 ", "highest_daily_rate: 0.00032 ", "does not cover the costs"),
        ("lowest_daily_rate: 0.0003 ", "lowest_daily_rate: 0.0007 ", "is above highest_daily_rate"),
        ("lowest_daily_rate: 0.0003 ", "lowest_daily_rate: 0.00030001 ", "more than 6 decimals"),
        ("0.0175, 0.03,", "0.03, 0.0175,", "must rise"),
        ("[0.001, ", "[0.0, ", "must rise"),
        ("[0.12, 0.11,", "[0.12, 0.13,", "a worse grade must not get a larger share"),
        ("[0.12, 0.11,", "[0.12,", "want 10 shares"),
        ("least_blocks: 3 ", "least_blocks: 12 ", None),
        ("full_blocks: 12 ", "full_blocks: 2 ", "is above full_blocks"),
        ("term_days: 90 ", "term_days: 100 ", "no multiple of instalment_days"),
        ("ceiling_yuan: 1000000 ", "ceiling_yuan: -1 ", "greater than or equal to 0"),
        ("version: 1\n", "version: one\n", "valid integer"),
        ("name: standard\n", "name: standard\nname: other\n", "stands twice"),
        ("  most: 4\n", "", "is missing"),
        ("least_points: 5 ", "least_points: .inf ", "finite number"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(tmp_path, old, new, words):
    if words is None:
        load_policy(edited(tmp_path, (old, new)))
        return
    (problem,) = problems(tmp_path, (old, new))
    assert re.search(words, problem), problem


def test_an_unknown_name_or_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="there is none; known: no_loan_book, standard"):
        load_policy("generous")
    with pytest.raises(UserError, match="cannot be read"):
        load_policy(str(tmp_path / "missing.yml"))


def test_the_digest_is_of_what_the_policy_says(tmp_path):
    standard = load_policy("standard")
    reworded = load_policy(edited(tmp_path, ("# Below this a score means nothing and none is shown.", "# other words")))
    assert reworded.digest() == standard.digest()
    dearer = load_policy(edited(tmp_path, ("  margin: 0.00004 ", "  margin: 0.00005 ")))
    assert dearer.digest() != standard.digest()


def test_a_policy_cannot_be_changed_once_it_is_read():
    policy: Policy = load_policy("standard")
    with pytest.raises(ValueError, match="frozen"):
        policy.version = 2  # type: ignore[misc]


@pytest.mark.parametrize("name", policy_names())
def test_kept_as_json_it_says_the_same(name: str) -> None:
    policy = load_policy(name)
    assert Policy.from_json(policy.to_json()) == policy
