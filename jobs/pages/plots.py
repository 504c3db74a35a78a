"""Where the marks of the record's pictures go. The template draws them; here are only numbers and labels.

Each picture is laid out for a width in CSS pixels, since text inside a picture that is merely scaled down cannot be
read on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from conf.policy import FEN_A_YUAN, Policy
from jobs.pages.record import MonthOfSales, PastScore, Score
from jobs.pages.wording import Step, cut_off, number, short_month, smallest_score_offered, whole_score
from transforms.lending.scale import HIGHEST, LOWEST, plain_score_before_clipping

WIDE, NARROW = 880, 342
"""Width of the page's column on a desk and on a phone of 390 pixels."""


@dataclass(frozen=True)
class Mark:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Band:
    """One grade's stretch of the scale. ``shade`` runs from 0 (worst grade) to 1 (best)."""

    x: float
    width: float
    grade: int
    shade: float
    is_own: bool


@dataclass(frozen=True)
class ScalePicture:
    """The scale from 350 to 950 with its grades, the score on it and the score from which there are offers."""

    width: int
    bands: tuple[Band, ...]
    ends: tuple[Mark, ...]
    score: Mark
    offers_from: Mark | None
    offers_anchor: str


@dataclass(frozen=True)
class Bar:
    """One month's bar; ``height`` is None where sales are unknown."""

    x: float
    y: float
    width: float
    height: float | None
    title: str


@dataclass(frozen=True)
class BarPicture:
    """Sales by month."""

    width: int
    height: int
    left: float
    floor: float
    bars: tuple[Bar, ...]
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Dot:
    """One published score."""

    x: float
    y: float
    title: str
    label: str | None
    anchor: str


@dataclass(frozen=True)
class LinePicture:
    """Scores over time; ``lines`` breaks where the model changed."""

    width: int
    height: int
    left: float
    floor: float
    top: float
    dots: tuple[Dot, ...]
    lines: tuple[str, ...]
    changes: tuple[Mark, ...]
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Fall:
    """One line of the sum as a bar: where it begins and how long it is, in percent of the row."""

    left: float
    width: float


def scale_picture(score: Score, policy: Policy, width: int) -> ScalePicture:
    """Lay out the scale. A grade's stretch is as long as its scores; grades beyond the scale's ends are cut off."""

    def x(points: float) -> float:
        return _round((min(HIGHEST, max(LOWEST, points)) - LOWEST) / (HIGHEST - LOWEST) * width)

    scores = [plain_score_before_clipping(edge) for edge in policy.grades.edges]
    tops = [float(HIGHEST), *scores]
    bottoms = [*scores, float(LOWEST)]
    grades = len(tops)
    bands = tuple(
        Band(
            x(bottom), _round(x(top) - x(bottom)), place + 1, _round(1 - place / (grades - 1)), place + 1 == score.grade
        )
        for place, (top, bottom) in enumerate(zip(tops, bottoms, strict=True))
        if x(top) > x(bottom)
    )
    smallest = smallest_score_offered(policy)
    # a score of 695.8 has passed a cut-off of 695.75, which whole points cannot show
    is_just_past = cut_off(policy) <= score.before_clipping < smallest
    has_mark = LOWEST < smallest < HIGHEST and not is_just_past
    offers_from = Mark(x(smallest), f"offers from {smallest}") if has_mark else None
    return ScalePicture(
        width=width,
        bands=bands,
        ends=(Mark(0.0, str(LOWEST)), Mark(float(width), str(HIGHEST))),
        score=Mark(x(score.shown), str(whole_score(score.shown))),
        offers_from=offers_from,
        offers_anchor="middle" if offers_from is None else _anchor(offers_from.at, width, 60),
    )


def sales_picture(months: Sequence[MonthOfSales], width: int) -> BarPicture | None:
    """Lay out sales by month; None where no month is known."""
    known = [month.fen for month in months if month.fen is not None]
    if not known:
        return None
    height, top, floor = 230, 14.0, 196.0
    ticks = nice_ticks(min(0, min(known)) / FEN_A_YUAN, max(known) / FEN_A_YUAN)
    left = 12 + 7.2 * max(len(number(tick)) for tick in ticks)

    def y(amount: float) -> float:
        return _round(floor - (amount - ticks[0]) / (ticks[-1] - ticks[0]) * (floor - top))

    pitch = (width - left) / len(months)
    # a shop of two months gets two bars, not two walls
    thick = _round(min(0.72 * pitch, 44.0))
    bars = []
    for place, month in enumerate(months):
        x = _round(left + pitch * (place + 0.5) - thick / 2)
        if month.fen is None:
            bars.append(Bar(x, y(0), thick, None, f"{short_month(month.month)}: not known"))
            continue
        amount = month.fen / FEN_A_YUAN
        high, low = y(max(0.0, amount)), y(min(0.0, amount))
        bars.append(Bar(x, high, thick, _round(low - high), f"{short_month(month.month)}: {number(amount)} yuan"))
    every = max(1, math.ceil(len(months) / (9 if width >= WIDE else 4)))
    # counted from the newest month, which the reader looks for first
    labelled = [place for place in range(len(months)) if (len(months) - 1 - place) % every == 0]
    return BarPicture(
        width=width,
        height=height,
        left=_round(left),
        floor=y(0),
        bars=tuple(bars),
        x_marks=tuple(
            Mark(_round(left + pitch * (place + 0.5)), axis_month(months[place].month)) for place in labelled
        ),
        y_marks=tuple(Mark(y(tick), number(tick)) for tick in ticks),
    )


def history_picture(history: Sequence[PastScore], width: int) -> LinePicture | None:
    """Lay out the scores of the past; None with fewer than two, of which no line can be drawn."""
    past = sorted(history, key=lambda entry: entry.as_of)
    if len(past) < 2 or past[0].as_of == past[-1].as_of:
        return None
    height, top, floor, left, right = 230, 22.0, 196.0, 40.0, 26.0
    scores = [entry.score for entry in past]
    lowest = max(LOWEST, math.floor((min(scores) - 20) / 50) * 50)
    highest = min(HIGHEST, math.ceil((max(scores) + 20) / 50) * 50)
    step = 50 if highest - lowest <= 250 else 100
    first, last = past[0].as_of.toordinal(), past[-1].as_of.toordinal()

    def x(when: date) -> float:
        return _round(left + (when.toordinal() - first) / (last - first) * (width - left - right))

    def y(score: float) -> float:
        return _round(floor - (score - lowest) / (highest - lowest) * (floor - top))

    shown = {0, len(past) - 1}
    dots = tuple(
        Dot(
            x(entry.as_of),
            y(entry.score),
            f"{entry.as_of.isoformat()}: {whole_score(entry.score)}, grade {entry.grade}",
            str(whole_score(entry.score)) if place in shown else None,
            "start" if x(entry.as_of) < left + 20 else "middle",
        )
        for place, entry in enumerate(past)
    )
    lines, changes, run = [], [], [dots[0]]
    for before, entry, dot in zip(past, past[1:], dots[1:], strict=False):
        if entry.model_version != before.model_version:
            lines.append(run)
            run = []
            changes.append(Mark(_round((x(before.as_of) + x(entry.as_of)) / 2), "new model"))
        run.append(dot)
    lines.append(run)
    labels = months_between(past[0].as_of, past[-1].as_of, 9 if width >= WIDE else 4)
    return LinePicture(
        width=width,
        height=height,
        left=left,
        floor=floor,
        top=top,
        dots=dots,
        lines=tuple(" ".join(f"{dot.x},{dot.y}" for dot in run) for run in lines if len(run) > 1),
        changes=tuple(changes),
        x_marks=tuple(Mark(x(when), axis_month(when)) for when in labels),
        y_marks=tuple(Mark(y(score), str(score)) for score in range(lowest, highest + 1, step)),
    )


def falls(steps: Sequence[Step]) -> list[Fall]:
    """Bars of a sum of points. The axis is cut below the smallest running total, since all lies in a narrow band."""
    reached = [step.after for step in steps] + [step.before for step in steps if step.kind not in ("start", "total")]
    low = min(reached) - 0.12 * max(20, max(reached) - min(reached))
    high = max(reached)

    def bar(step: Step) -> Fall:
        begin = low if step.kind in ("start", "total") else min(step.before, step.after)
        end = step.after if step.kind in ("start", "total") else max(step.before, step.after)
        return Fall(_round((begin - low) / (high - low) * 100), _round((end - begin) / (high - low) * 100))

    return [bar(step) for step in steps]


def nice_ticks(low: float, high: float) -> list[int]:
    """Whole round numbers (1, 2 or 5 times a power of ten apart), at most six, that enclose ``low`` to ``high``."""
    span = max(high - low, 4.0)
    step = 10 ** math.floor(math.log10(span / 4))
    step = next(step * times for times in (1, 2, 5, 10) if span / (step * times) <= 4)
    step = max(1, round(step))
    first, last = math.floor(low / step), math.ceil(max(high, low + 1) / step)
    return [place * step for place in range(first, last + 1)]


def months_between(first: date, last: date, most: int) -> list[date]:
    """First days of months within the days given, evenly apart, at most so many; the first day where there is none."""
    months = [date(place // 12, place % 12 + 1, 1) for place in range(first.year * 12, last.year * 12 + 12)]
    inside = [month for month in months if first <= month <= last]
    return inside[:: math.ceil(len(inside) / most)] if inside else [first]


def axis_month(when: date) -> str:
    """A month on an axis: 11/24 would read as a day to some."""
    return f"{short_month(when)[:3]} {when.year % 100:02d}"


def _anchor(x: float, width: int, room: float) -> str:
    if x < room:
        return "start"
    return "end" if x > width - room else "middle"


def _round(place: float) -> float:
    return round(place, 2)
