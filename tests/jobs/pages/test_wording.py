import re
from dataclasses import replace
from datetime import date
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pages import wording
from jobs.pages.html import to_html
from jobs.pages.record import Figure, LimitTerm, PastScore, Reason
from jobs.pages.text import to_text
from transforms.features.catalogue import BY_NAME, CATALOGUE, MODEL_INPUTS
from transforms.lending.limit import FIGURES, TERMS
from transforms.lending.scale import AVERAGE, JUST_QUALIFY


def plain(text):
    return text.replace(wording.NO_BREAK, " ")


@pytest.fixture
def value_of(record):
    by_name = {figure.feature.name: figure.feature for figure in record().score.figures}

    def words(name, value):
        return plain(wording.value_in_words(Figure(by_name[name], value, 0.0)))

    return words


def test_figures_are_shown_in_the_units_that_people_use(value_of):
    assert value_of("average_order_value_90d", 12850.0) == "128.50 yuan an order"
    assert value_of("clean_net_sales_sum_365d", 123_456_789) == "1,234,568 yuan"
    assert value_of("clean_net_sales_sum_365d", -50) == "−0.50 yuan"
    assert value_of("refund_rate_90d", 0.0834) == "8.3 %"
    assert value_of("refund_rate_90d", -0.0001) == "0.0 %"
    assert value_of("shop_age_days", 1204) == "1,204 days"
    assert value_of("shop_age_days", 1) == "1 day"
    assert value_of("rating_average_90d", 4.567) == "4.6 stars"
    assert value_of("verified", 1) == "yes" and value_of("verified", 0) == "no"
    assert value_of("rating_average_90d", None) == "not known (no rating in the window)"


WORDS_OF_UNITS = {
    # a unit of the catalogue: a value in it, and how a seller reads it
    "1 or 0": (0, "no"),
    "days": (41, "41 days"),
    "categories": (1, "1 category"),
    "debits": (1, "1 debit"),
    "fen": (123_456_789, "1,234,568 yuan"),
    "fen an order": (-12850.0, "−128.50 yuan an order"),
    "hours": (35.96, "36.0 hours"),
    "items": (20, "20 items"),
    "loans": (2, "2 loans"),
    "of 1": (0.0321, "0.032 of 1"),
    "orders": (1.25, "1.2 orders"),
    "buyers": (1, "1 buyer"),
    "percentage points": (0.0834, "+8.3 percentage points"),
    "points": (-3, "−3 points"),
    "share": (-0.225, "−22.5 %"),
    "share a block": (0.034, "3.4 % a block"),
    "shops": (3, "3 shops"),
    "stars": (-0.5, "−0.5 stars"),
    "times": (1, "1 time"),
    "times free cash": (0.4545, "0.45 times free cash"),
    "times the usual price": (1.357, "1.36 times the usual price"),
    "times the mean day": (2.0, "2.00 times the mean day"),
    "times the mean quarter": (0.42, "0.42 times the mean quarter"),
}


@pytest.mark.parametrize("unit", sorted({BY_NAME[name].unit for name in MODEL_INPUTS}))
def test_every_unit_of_a_model_input_has_words(unit):
    value, words = WORDS_OF_UNITS[unit]
    feature = next(feature for feature in CATALOGUE if feature.unit == unit)
    assert plain(wording.value_in_words(Figure(feature, value, 0.0))) == words


@pytest.mark.parametrize("name", MODEL_INPUTS)
def test_a_seller_can_read_what_every_model_input_is(name):
    feature = BY_NAME[name]
    sentence = f"{wording.capitalised(feature.meaning)}: not known ({feature.unknown_when})"
    assert sentence[0].isupper() and not re.search(r"[_{}]|\b(?:GMV|HHI|DPD|null|None|fen)\b", sentence)
    assert 10 <= len(feature.meaning) <= 130 and feature.meaning.count("(") == feature.meaning.count(")")


def test_an_amount_owed_is_never_less_than_is_owed():
    owed = [Figure(BY_NAME[name], 3_666_612, 0.0) for name in ("outstanding_principal", "past_due_amount")]
    assert [plain(wording.value_in_words(figure)) for figure in owed] == ["36,667 yuan"] * 2
    assert plain(wording.value_in_words(Figure(BY_NAME["outstanding_principal"], 3_666_600, 0.0))) == "36,666 yuan"
    assert plain(wording.value_in_words(Figure(BY_NAME["outstanding_principal"], 3_612, 0.0))) == "36.12 yuan"


@pytest.mark.parametrize("write", [to_text, to_html])
def test_what_can_be_drawn_and_what_bounds_the_limit_are_never_more_than_there_is(record, write):
    offer = replace(record().offer, limit_fen=4_900_000, drawable_fen=3_666_666, bound_by="affordable")
    terms = (LimitTerm("affordable", 4_999_960), LimitTerm("ceiling", 100_000_000))
    told = plain(write(record(offer=offer, terms=terms, history=(), months=()))).upper()
    assert told.count("36,666 YUAN") == 2 and "36,667" not in told
    assert "49,999 YUAN" in told and "50,000 YUAN" not in told.replace("50,000 YUAN TO BEGIN WITH", "")


def test_rates_are_quoted_as_charged():
    assert plain(wording.daily(0.000521)) == "0.0521 %"
    assert plain(wording.daily(0.0006)) == "0.06 %"
    assert plain(wording.percent(0.190165)) == "19.0 %"
    assert plain(wording.exact_yuan(35_405)) == "354.05 yuan"


def test_which_way_is_better_is_said_only_where_it_can_get_better(record):
    by_name = {figure.feature.name: figure for figure in record().score.figures}
    said = {name: wording.direction(figure) for name, figure in by_name.items()}
    assert said == {
        "average_order_value_90d": None,
        "clean_net_sales_sum_365d": "higher is better",
        "refund_rate_90d": "lower is better",
        "repeat_buyer_rate_180d": "higher is better",
        "shop_age_days": "higher is better",
        "rating_average_90d": None,
        "verified": None,
    }
    assert wording.direction(replace(by_name["refund_rate_90d"], value=0.0)) is None


@given(st.lists(st.floats(-400, 400), min_size=1, max_size=15))
def test_whole_points_add_up_and_none_moves_by_a_point(parts):
    # rounded to the nearest, or down as a score is: that may itself take a point, which one part then carries
    for total in (round(sum(parts)), floor(sum(parts))):
        whole = wording.whole_points(parts, total)
        assert sum(whole) == total
        assert all(abs(rounded - part) < 1.5 for rounded, part in zip(whole, parts, strict=True))


def test_points_add_up_also_where_doubles_fall_just_short_of_a_whole_score():
    assert wording.whole_points([700.0, 29.0], 728) == [700, 28]
    assert wording.whole_points([700.0, 31.25, -2.25], 728) == [700, 31, -3]


def test_the_sum_runs_from_start_over_what_helped_and_lowered_to_the_score(record):
    steps = wording.sum_of_points(record().score)
    assert [(step.label, step.kind, step.points) for step in steps] == [
        ("Where a seller who just qualifies stands", "start", 703),
        ("Scale and trend", "helped", 24),
        ("Buyers", "helped", 9),
        ("Shop", "helped", 6),
        ("Refunds", "lowered", -12),
        ("Fulfilment and service", "lowered", -1),
        ("Your score", "total", 729),
    ]
    assert sum(step.points for step in steps[:-1]) == 729
    assert all(step.after == step.before + step.points for step in steps)


@pytest.mark.parametrize(
    ("reference", "start"),
    [
        (JUST_QUALIFY, "Where a seller who just qualifies stands"),
        (AVERAGE, "Where the average seller stands"),
        (None, "Where the sellers we compare you with stand"),
    ],
)
def test_the_sum_begins_with_whom_the_points_compare_with(record, reference, start):
    made = record(score=replace(record().score, reference=reference))
    assert wording.sum_of_points(made.score)[0].label == start
    assert start in to_html(made) and start in to_text(made)


def test_a_clipped_score_still_adds_up(clipped_record):
    steps = wording.sum_of_points(clipped_record.score)
    assert sum(step.points for step in steps[:-1]) == steps[-1].points == 950
    assert (steps[-2].label, steps[-2].points) == ("Beyond the top of the scale", -37)
    assert "Your points add up to 987; the scale ends at 950, so that is the score shown." in wording.score_in_words(
        clipped_record
    )


def test_a_score_below_the_scale_adds_up_too(record):
    score = record().score
    lost = 300.4 - score.before_clipping
    figures = (replace(score.figures[0], points=score.figures[0].points + lost), *score.figures[1:])
    low = replace(score, figures=figures, before_clipping=300.4, shown=350.0)
    steps = wording.sum_of_points(low)
    assert sum(step.points for step in steps[:-1]) == steps[-1].points == 350
    assert (steps[-2].label, steps[-2].points) == ("Beyond the bottom of the scale", 50)


def test_the_typical_draw_is_half_of_the_limit_or_what_can_be_drawn(record):
    offer = record().offer
    assert wording.typical_draw_fen(offer) == 2_500_000
    assert wording.typical_draw_fen(replace(offer, drawable_fen=1_239_999)) == 1_230_000
    assert wording.typical_draw_fen(replace(offer, drawable_fen=9_999)) == 0


def test_interest_is_what_the_daily_rate_makes_of_what_is_still_owed(record):
    at_once, in_parts = wording.costs(record())
    # 25,000 yuan at 0.0517 % a day: 12.925 yuan a day
    assert at_once.interest_fen == 38_775
    # 30 days on the whole, 30 on two thirds, 30 on one third
    assert in_parts.interest_fen == 38_775 + 25_850 + 12_925
    assert in_parts.repaid_fen == 2_500_000 + 77_550
    assert wording.costs(record(offer=replace(record().offer, drawable_fen=0))) == []


def test_the_score_from_which_there_are_offers_is_where_the_cap_breaks_even(record):
    policy = record().policy
    # a PD of 1.76 % is 695.6
    assert wording.smallest_score_offered(policy) == 696


def at(record, points):
    """The score of a record with its start moved, so that it is this many points."""
    score = record.score
    base = score.base_points + points - score.shown
    return replace(score, base_points=base, before_clipping=points, shown=points)


def test_a_score_just_below_the_cut_off_does_not_read_as_if_it_reached_it(record, refused):
    history = tuple(PastScore(date(2025, month, 1), 695.6, 5, "4") for month in (2, 3))
    made = refused("decline", "price", "score", score=at(record(), 695.6), history=history)
    assert wording.what_would_help(made) == ["A score of 696 or more: from there on we can offer."]
    steps = wording.sum_of_points(made.score)
    assert sum(step.points for step in steps[:-1]) == steps[-1].points == 695
    assert "clipped" not in {step.kind for step in steps}
    text, page = to_text(made), to_html(made)
    assert "YOUR SCORE: 695 " in text and "2025-03-01   695  grade 5" in text
    assert '<div class="score"><b>695</b>' in page and 'class="mark">695<' in page
    # the only 696 is the score from which there are offers, in both widths of the picture and in the advice
    assert text.count("696") == 1 and page.count("696") == page.count("offers from 696") + 1 == 3


def test_a_higher_first_cap_names_the_smallest_loan_that_raises_it(record):
    first, again = wording.what_would_help(record())
    # 1.5 times 34,000 is the first whole thousand above 50,000
    assert plain(first).startswith("Repaying in full a loan of 34,000 yuan or more")
    assert "the next rule ends it at 76,000 yuan" in plain(first)
    assert again == "What you repay can be drawn again while the offer holds."


def test_nothing_is_promised_where_the_next_rule_gives_no_more(record):
    terms = (
        LimitTerm("affordable", 5_050_000),
        LimitTerm("track_record", 5_000_000),
        LimitTerm("ceiling", 100_000_000),
    )
    offer = replace(record().offer, drawable_fen=5_000_000)
    assert wording.what_would_help(record(terms=terms, offer=offer)) == []


def test_a_new_shop_is_told_from_when_on(refused):
    made = refused("not_enough_history", "history", "history", score=None, facts={"history_days": 41})
    assert plain(wording.deciding_reason(made)).startswith(
        "We have seen your shop for 41 days so far. A score needs at least 90 days"
    )
    assert wording.what_would_help(made) == ["Time: from 19 April 2025 on there can be a score, if sales go on."]


def test_a_refusal_by_price_says_what_the_rate_would_have_been(refused):
    made = refused("decline", "price", "score", break_even_daily_rate=0.00113)
    said = plain(wording.deciding_reason(made))
    assert "We never charge more than 0.06 % a day." in said and "charge 0.113 % a day" in said
    assert wording.what_would_help(made) == ["A score of 696 or more: from there on we can offer."]


@pytest.mark.parametrize(
    ("needed", "told"),
    [(0.000600004, "0.0601 %"), (0.00060049, "0.0601 %"), (0.0006004, "0.0601 %"), (0.0007, "0.07 %")],
)
def test_the_rate_that_would_be_needed_reads_larger_than_the_cap(refused, needed, told):
    said = plain(wording.deciding_reason(refused("decline", "price", "score", break_even_daily_rate=needed)))
    assert "We never charge more than 0.06 % a day." in said and f"we would have to charge {told} a day" in said


def test_a_score_alone_is_promised_to_help_only_where_the_limit_would_not_refuse(refused):
    terms = (LimitTerm("smallest_blocks", 99_999), LimitTerm("thin_file", None), LimitTerm("ceiling", 100_000_000))
    (said,) = wording.what_would_help(refused("decline", "price", "score", terms=terms))
    assert plain(said) == (
        "A score of 696 or more. It is not the only reason, so more has to change. Your limit would come to less than"
        " 1,000 yuan, the smallest that we offer: 2 times the sales of your second weakest 30 days."
    )
    enough = (LimitTerm("smallest_blocks", 100_000), *terms[1:])
    assert wording.what_would_help(refused("decline", "price", "score", terms=enough)) == [
        "A score of 696 or more: from there on we can offer."
    ]


def test_a_late_payer_is_told_so_and_what_ends_it(refused):
    late = refused("decline", "past_due", "past_due", facts={"days_past_due": 12})
    assert wording.deciding_reason(late) == (
        "A payment is 12 days past due, and nothing more is lent until it is paid. The score did not decide this."
    )
    assert wording.what_would_help(late) == [
        "Pay what is past due: that alone stands between you and a new decision by score and sales."
    ]
    too_new = refused("decline", "past_due", "past_due", facts={"days_past_due": 12, "history_days": 40}, score=None)
    not_told = refused("decline", "past_due", "past_due", facts={"days_past_due": 12}, unknown=("affordable",))
    for more in (too_new, not_told):
        assert "not the only reason" in wording.what_would_help(more)[0]
    both = refused("decline", "shop_closed", "shop_closed", "past_due", facts={"days_past_due": 1})
    assert "not the only reason" in wording.what_would_help(both)[0]
    assert wording.deciding_reason(both).count("The score did not decide this.") == 2


def test_what_the_probability_is_of_goes_by_what_the_model_learned(record):
    told = [wording.score_in_words(record(horizon_days=days))[0] for days in (60, None)]
    many = "Of 1,000 sellers with this score"
    assert told == [
        f"{many} who borrow in the next 60 days, we expect about 10 not to pay back as agreed.",
        f"{many} we expect about 10 to have the outcome that the lender's records call bad.",
    ]


def test_a_grade_held_back_is_explained(record):
    score = replace(record().score, grade=6, grade_by_model=4, previous_grade=6)
    held = record(score=score)
    assert any("would give grade 4" in sentence for sentence in wording.score_in_words(held))
    assert any("grade 4 counts" in sentence for sentence in wording.what_would_help(held))


# what is owed only lowers what can be drawn: own_outstanding refuses only when it is unknown
REFUSALS = {*FIGURES, "history", "price", "score", *(term.name for term in TERMS)} - {"own_outstanding"}
UNKNOWN = {f"unknown_{rule}" for rule in (*FIGURES, "pd", "history")}


@pytest.mark.parametrize("code", sorted(REFUSALS | UNKNOWN))
def test_every_reason_that_a_decision_can_have_has_words(refused, code):
    made = refused("decline", code, code, facts={})
    assert len(wording.deciding_reason(made)) > 20


def test_families_are_given_with_their_largest_figure(record):
    assert [plain(sentence) for sentence in wording.family_reasons(record())] == [
        "Refunds: refunds over paid orders, last 90 days: 8.3 %"
    ]


@pytest.mark.parametrize("write", [to_text, to_html])
def test_families_are_told_where_there_is_no_offer(record, refused, write):
    reasons = record().reasons
    told = plain(write(refused("decline", "price", reasons=reasons)))
    assert "what lowered your score most" in told.lower()
    assert "Refunds: refunds over paid orders, last 90 days: 8.3 %" in told
    assert "what lowered your score most" not in write(record()).lower()
    assert "what lowered your score most" not in write(refused("decline", "past_due", "past_due")).lower()


def test_a_family_that_added_points_is_never_told_as_what_lowered_the_score(record, refused):
    made = refused("decline", "price", "price", reasons=(Reason("score", "shop", "shop_age_days", 4.4),))
    assert wording.family_reasons(made) == []
    assert wording.deciding_reason(made).endswith("So the score decided this; what lowered it is below.")
    score = record().score
    helped = tuple(figure for figure in score.figures if figure.points > 0)
    total = score.base_points + sum(figure.points for figure in helped)
    nothing = replace(made, score=replace(score, figures=helped, before_clipping=total, shown=total))
    assert wording.deciding_reason(nothing).endswith("So the score decided this.")


def test_days_are_written_out():
    assert wording.day(date(2025, 2, 3)) == "3 February 2025"
