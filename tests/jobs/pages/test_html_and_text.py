import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from jobs.pages.html import to_html
from jobs.pages.plots import NARROW, WIDE, history_picture, nice_ticks, sales_picture, scale_picture
from jobs.pages.record import MonthOfSales, PastScore
from jobs.pages.text import to_text
from jobs.pages.wording import NO_BREAK

ATTACK = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, and the text between them."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.texts.append(text)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts).replace(NO_BREAK, " "))


def test_ids_and_texts_are_escaped(record):
    score = record().score
    feature = replace(
        score.figures[1].feature, meaning=f"sales {ATTACK}", family=f"family {ATTACK}", unit=f"x {ATTACK}"
    )
    figures = (score.figures[0], replace(score.figures[1], feature=feature), *score.figures[2:])
    source = to_html(
        record(
            seller_id=ATTACK + '" onload="alert(2)',
            contact=ATTACK,
            score=replace(score, figures=figures),
            lineage={ATTACK: ATTACK, "decision": ATTACK},
            history=(PastScore(date(2025, 1, 1), 700.0, 5, ATTACK), PastScore(date(2025, 2, 1), 710.0, 5, "2")),
        )
    )
    page = Page(source)
    assert "<script" not in source.lower()
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "iframe", "object", "img", "link", "a"})
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count(ATTACK) >= 9, "shown as text"


@pytest.mark.parametrize("outcome", ["offer", "decline", "knock-out", "history", "unknown"])
def test_pages_are_whole_self_contained_and_say_the_answer(record, refused, outcome):
    made, words = {
        "offer": (record(), "You can draw up to 38,000 yuan now"),
        "decline": (refused("decline", "price", "score"), "We cannot make you an offer now"),
        "knock-out": (refused("decline", "past_due", "past_due"), "nothing more is lent until it is paid"),
        "history": (
            refused("not_enough_history", "history", "history", score=None),
            "not enough history for a score yet",
        ),
        "unknown": (
            refused("not_enough_information", "unknown_affordable", "unknown_affordable"),
            "something we need is not known",
        ),
    }[outcome]
    page = Page(to_html(made))
    assert page.open == [], "every tag is closed"
    assert words in page.text
    assert not any(attributes.get(name) for _, attributes in page.tags for name in ("src", "href", "srcset"))
    assert "url(" not in to_html(made) and "@import" not in to_html(made)
    assert "credit@example.com" in page.text and "Seller Credit" in page.text
    assert words.upper() in to_text(made).upper().replace("\n", " ")


def test_the_offer_page_says_limit_rate_cost_and_terms(record):
    text = Page(to_html(record())).text
    for words in (
        "50,000 yuan",
        "0.0517 %",
        "18.9 % a year",
        "31 Mar 2025",
        "387.75 yuan",
        "25,387.75 yuan",
        "this one",
    ):
        assert words in text, words
    assert "9 % of a year's clean sales, which is the share for grade 4" in text
    assert "with under 12 complete blocks" not in text, "a term that does not apply is not shown"


def test_the_points_on_the_page_add_up(record, clipped_record):
    for made, shown in ((record(), 729), (clipped_record, 950)):
        table = re.search(r'<table class="sum">(.*?)</table>', to_html(made), re.S).group(1)
        cells = [Page(cell).text.strip() for cell in re.findall(r'<td class="number">(.*?)</td>', table, re.S)]
        points = [int(cell.replace("−", "-")) for cell in cells]
        assert sum(points[:-1]) == points[-1] == shown


def test_without_enough_history_no_score_is_shown_anywhere(refused):
    made = refused("not_enough_history", "history", "history", score=None)
    for written in (Page(to_html(made)).text, to_text(made)):
        assert "Your score " not in written and "grade" not in written.lower()
        assert "729" not in written and "718" not in written


def test_simulated_data_are_marked_and_real_ones_are_not(record):
    for write in (lambda made: Page(to_html(made)).text, to_text):
        assert "simulated" in write(record(is_simulated=True))
        assert "simulated" not in write(record())


def test_a_refusal_shows_no_offer(refused):
    text = Page(to_html(refused("decline", "written_off", "written_off"))).text
    assert "An earlier loan of yours was written off." in text
    for words in ("Your limit", "What it costs", "How the limit was set", "Interest a day"):
        assert words not in text


def test_a_limit_that_is_fully_drawn_has_nothing_to_reckon(record):
    text = Page(to_html(record(offer=replace(record().offer, drawable_fen=0)))).text
    assert "Your limit of 50,000 yuan is fully drawn" in text and "Nothing can be drawn now" in text


def test_a_first_score_has_no_history_to_draw(record):
    text = Page(to_html(record(history=record().history[-1:]))).text
    assert "This is your first score." in text and "Your scores over time" not in to_html(record(history=()))


def test_without_sales_there_is_no_plot_of_them(record):
    unknown = tuple(replace(month, fen=None) for month in record().months)
    assert "month by month" not in Page(to_html(record(months=unknown))).text
    assert "MONTH BY MONTH" not in to_text(record(months=()))


def test_both_widths_are_drawn_for_desk_and_phone(record):
    source = to_html(record())
    assert source.count('<svg class="wide"') == source.count('<svg class="narrow"') == 3
    for words in ('name="viewport"', "@media (max-width: 700px)", "@media print"):
        assert words in source


def test_text_shows_control_characters_instead_of_sending_them(record):
    written = to_text(record(seller_id="\x1b[31mred\u202eshop\n"))
    assert "\x1b" not in written and "\u202e" not in written
    assert r"Seller \x1b[31mred\u202eshop\n, as of 1 March 2025" in written


def test_text_fits_a_terminal_and_its_sum_adds_up(record):
    lines = to_text(record()).splitlines()
    assert max(len(line) for line in lines) <= 80
    start = next(place for place, line in enumerate(lines) if "just qualifies" in line)
    end = next(place for place, line in enumerate(lines) if line.strip().startswith("Your score "))
    numbers = [int(line.split()[-1].replace("−", "-")) for line in lines[start : end - 1]]
    assert sum(numbers) == int(lines[end].split()[-1]) == 729


def test_the_scale_places_score_and_grades(record):
    made = record()
    picture = scale_picture(made.score, made.policy, 600)
    assert picture.score.at == pytest.approx(made.score.shown - 350, abs=0.01)
    assert [band.grade for band in picture.bands] == list(range(1, 11))
    assert [band.grade for band in picture.bands if band.is_own] == [4]
    assert sum(band.width for band in picture.bands) == pytest.approx(600, abs=0.1)
    own = picture.bands[3]
    assert own.x <= picture.score.at + 1 and picture.offers_from.label == "offers from 696"


def test_an_offer_just_past_the_cut_off_is_not_drawn_below_it(record):
    made = record()
    # the cut-off is 695.753, and 695.8 is shown as 695
    for points, mark in ((695.7, True), (695.8, False), (696.0, True)):
        score = replace(made.score, base_points=made.score.base_points + points - 729, before_clipping=points)
        picture = scale_picture(replace(score, shown=points), made.policy, WIDE)
        assert (picture.offers_from is not None) == mark


def test_bars_are_as_high_as_sales_and_unknown_months_stay_empty(record):
    months = (
        MonthOfSales(date(2025, 1, 1), 100_000),
        MonthOfSales(date(2025, 2, 1), None),
        MonthOfSales(date(2025, 3, 1), 200_000),
        MonthOfSales(date(2025, 4, 1), 0),
        MonthOfSales(date(2025, 5, 1), -50_000),
    )
    picture = sales_picture(months, WIDE)
    heights = [bar.height for bar in picture.bars]
    assert heights[1] is None and heights[3] == 0
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.02) and heights[4] == pytest.approx(
        heights[0] / 2, abs=0.02
    )
    assert picture.bars[4].y == picture.floor, "what was paid back hangs below the line"
    source = to_html(record(months=months))
    assert "Feb 2025: not known" in source
    assert "February 2025 not known January 2025 1,000 yuan" in Page(source).text, "for those who cannot see the plot"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_month_labels_do_not_run_into_each_other(width):
    for count in (1, 2, 5, 12, 13, 18, 24):
        months = [MonthOfSales(date(2023 + place // 12, place % 12 + 1, 1), 12_345_678_900) for place in range(count)]
        places = [mark.at for mark in sales_picture(months, width).x_marks]
        # a label is 40 wide, and the last may be moved in by half of that
        assert all(right - left >= 60 for left, right in pairwise(places)), (width, count)
        assert all(0 <= place <= width for place in places)


def test_the_line_of_scores_breaks_where_the_model_changed(record):
    picture = history_picture(record().history, WIDE)
    assert len(picture.dots) == 3 and len(picture.lines) == 1 and len(picture.changes) == 1
    assert picture.dots[0].y > picture.dots[1].y > picture.dots[2].y, "a higher score stands higher"
    assert history_picture(record().history[:1], WIDE) is None


def test_ticks_are_round_few_and_enclose():
    for low, high in ((0, 0), (0, 3), (0, 97), (0, 180_000), (-400, 2_000), (0, 123_456_789), (-5, 0)):
        ticks = nice_ticks(low, high)
        steps = {right - left for left, right in pairwise(ticks)}
        assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 7
        (step,) = steps
        assert str(step).rstrip("0") in ("1", "2", "5")
