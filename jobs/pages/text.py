"""The record as plain text, for a terminal or a letter: 80 columns, no colour."""

import textwrap

from jobs.pages import wording
from jobs.pages.record import CreditRecord, Figure

_WIDTH = 80


def to_text(record: CreditRecord) -> str:
    """Write the record for a person, as text. Control characters of ids are shown, not sent to the terminal."""
    lines = [
        "SELLER CREDIT - YOUR CREDIT RECORD",
        f"Seller {_printable(record.seller_id)}, as of {wording.day(record.as_of)}",
    ]
    if record.is_simulated:
        lines.append("These data are simulated: no real seller, no real money.")
    lines += ["", wording.headline(record).upper(), *_wrap(wording.deciding_reason(record))]
    if record.offer is None:
        lines += _listed("WHAT LOWERED YOUR SCORE MOST", wording.family_reasons(record))
    lines += _offer(record) + _score(record) + _limit(record) + _history(record) + _sales(record)
    lines += _listed("WHAT WOULD CHANGE THIS", wording.what_would_help(record))
    lines += _listed("IF YOU DO NOT AGREE", wording.how_to_object(record))
    lines += ["", "WHAT THIS RECORD WAS MADE OF"]
    lines += [f"  {name}: {value}" for name, value in record.lineage.items()]
    return "\n".join(_printable(line.replace(wording.NO_BREAK, " ")).rstrip() for line in lines) + "\n"


def _offer(record: CreditRecord) -> list[str]:
    offer = record.offer
    if offer is None:
        return []
    decimals = record.policy.price.decimals
    simple, compounded = wording.percent(offer.yearly_rate_simple), wording.percent(offer.yearly_rate_compounded)
    rows = [
        ("Limit", wording.yuan(offer.limit_fen)),
        ("You can draw now", wording.yuan_at_most(offer.drawable_fen)),
        ("Interest", f"{wording.daily(offer.daily_rate, decimals)} a day on what you owe"),
        ("", f"({simple} a year; {compounded} with interest on interest)"),
        ("Each draw is for", f"{offer.term_days} days"),
        ("Take it up before", wording.day(offer.expires_on)),
    ]
    lines = ["", "THE OFFER", *(f"  {name:<18}{value}" for name, value in rows)]
    ways = wording.costs(record)
    if ways:
        lines += ["", f"  What it costs to draw {wording.yuan(wording.typical_draw_fen(offer))}:"]
        for way in ways:
            lines += _wrap(f"{way.label}: {wording.exact_yuan(way.interest_fen)} interest", "  - ")
    return lines


def _score(record: CreditRecord) -> list[str]:
    score = record.score
    if score is None:
        return []
    steps = wording.sum_of_points(score)
    lines = [
        "",
        f"YOUR SCORE: {steps[-1].points}   GRADE {score.grade} OF {len(record.policy.grades.edges) + 1} (1 IS BEST)",
    ]
    for sentence in wording.score_in_words(record):
        lines += _wrap(sentence)
    lines.append("")
    for step in steps[:-1]:
        points = str(step.points) if step.kind == "start" else wording.signed(step.points)
        lines.append(f"  {step.label:<48}{points:>8}")
    lines += [f"  {'':<48}{'-' * 6:>8}", f"  {steps[-1].label:<48}{steps[-1].points:>8}"]
    for title, helped in (("What helped most", True), ("What lowered it most", False)):
        figures = wording.figures_that(score, helped)
        if figures:
            lines += ["", f"  {title}"]
            for figure in figures:
                lines += _wrap(_figure(figure, helped), "  - ")
    return lines


def _figure(figure: Figure, helped: bool) -> str:
    note = None if helped else wording.direction(figure)
    points = wording.signed(round(figure.points))
    return (
        f"{wording.capitalised(figure.feature.meaning)}: {wording.value_in_words(figure)} ({points} points"
        f"{'; ' + note if note else ''})"
    )


def _limit(record: CreditRecord) -> list[str]:
    if record.offer is None:
        return []
    lines = ["", "HOW THE LIMIT WAS SET: THE SMALLEST OF THESE, IN WHOLE STEPS"]
    for term in record.terms:
        if term.fen is not None:
            bound = "  <- this one" if term.name == record.offer.bound_by else ""
            lines.append(f"  {wording.yuan_at_most(term.fen):>18}{bound}")
            lines += _wrap(wording.term_in_words(record, term.name), " " * 6)
    return lines


def _history(record: CreditRecord) -> list[str]:
    if not record.history or record.score is None:
        return []
    newest = sorted(record.history, key=lambda entry: entry.as_of, reverse=True)[:12]
    lines = [
        f"  {past.as_of.isoformat()}  {wording.whole_score(past.score):>4}  grade {past.grade:<3}"
        f" model {past.model_version}"
        for past in newest
    ]
    return ["", "YOUR SCORES SO FAR", *lines]


def _sales(record: CreditRecord) -> list[str]:
    known = [month.fen for month in record.months if month.fen is not None]
    if not known:
        return []
    most = max(1, *known)
    lines = ["", "WHAT BUYERS PAID, MONTH BY MONTH"]
    for month in record.months:
        name = wording.short_month(month.month)
        if month.fen is None:
            lines.append(f"  {name}  {'not known':>18}")
        else:
            lines.append(f"  {name}  {wording.yuan(month.fen):>18}  {'#' * max(0, round(40 * month.fen / most))}")
    return lines


def _listed(title: str, sentences: list[str]) -> list[str]:
    if not sentences:
        return []
    lines = ["", title]
    for sentence in sentences:
        lines += _wrap(sentence, "  - ")
    return lines


def _wrap(sentence: str, indent: str = "") -> list[str]:
    # a long id is better in one piece than where it can be copied wrongly
    return textwrap.wrap(
        sentence, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
