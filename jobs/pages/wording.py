"""The words and figures of the credit record. Text comes from here and from the catalogue, never from a model.

Amounts come in as fen and go out as yuan, shares and rates as percent, days as "3 February 2025".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from math import ceil, floor

from conf.policy import FEN_A_YUAN, Policy
from jobs.pages.record import CreditRecord, Figure, Offer, Score
from transforms.features.evaluate import BLOCK_DAYS
from transforms.lending.decide import NOT_ENOUGH_HISTORY, NOT_ENOUGH_INFORMATION
from transforms.lending.scale import AVERAGE, JUST_QUALIFY, plain_score_before_clipping

MINUS = "\u2212"
NO_BREAK = "\u00a0"
"""Between a number and its unit, so that no line begins with "%" or "yuan"."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_STARTS = {
    JUST_QUALIFY: "Where a seller who just qualifies stands",
    AVERAGE: "Where the average seller stands",
    None: "Where the sellers we compare you with stand",
}
"""What a sum of points begins with; scores of before do not tell whom they compare with."""

_FIGURES_OF_RULES = {
    "pd": "your score",
    "history": "how long your history is",
    "shop_closed": "whether your shop is open",
    "past_due": "whether a payment is past due",
    "written_off": "whether an earlier loan was written off",
    "share_of_sales": "your sales of the last 365 days",
    "smallest_blocks": "your sales in each 30 days",
    "affordable": "what is left on your payment account after outflow",
    "track_record": "which loans you have repaid",
    "own_outstanding": "what you still owe",
}


# --- figures -------------------------------------------------------------------------------------------------------


def number(value: float, decimals: int = 0) -> str:
    """A number with thousands separators and a real minus sign; -0 is 0."""
    text = f"{value:,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(points: int) -> str:
    """Points with their sign: +12, −7, 0."""
    return f"+{points}" if points > 0 else number(points)


def yuan(fen: float, rounding: str = ROUND_HALF_UP) -> str:
    """An amount in yuan: whole when it is whole or 1,000 yuan and more, else with fen."""
    amount = Decimal(str(fen)) / FEN_A_YUAN
    is_whole = amount == amount.to_integral_value() or abs(amount) >= 1000
    rounded = amount.quantize(Decimal(1) if is_whole else Decimal("0.01"), rounding)
    return f"{number_of_decimal(rounded)}{NO_BREAK}yuan"


def yuan_at_most(fen: int) -> str:
    """An amount that can be had, in yuan as ``yuan`` has it, and never more than there is."""
    return yuan(fen, ROUND_FLOOR)


def exact_yuan(fen: int) -> str:
    """An amount that is to be paid: always with its fen."""
    return f"{number_of_decimal((Decimal(fen) / FEN_A_YUAN).quantize(Decimal('0.01')))}{NO_BREAK}yuan"


def number_of_decimal(amount: Decimal) -> str:
    return f"{amount:,}".replace("-", MINUS)


def percent(share: float, decimals: int = 1) -> str:
    return f"{number(100 * share, decimals)}{NO_BREAK}%"


def daily(rate: float, decimals: int = 6) -> str:
    """A daily rate in percent without needless noughts: 0.0521 %."""
    text = f"{100 * rate:.{decimals - 2}f}".rstrip("0").rstrip(".")
    return f"{text}{NO_BREAK}%"


def daily_at_least(rate: float, decimals: int) -> str:
    """A daily rate that is needed: rounded up, as a quoted one is, so that one above the cap also reads so."""
    return daily(float(Decimal(str(rate)).quantize(Decimal(1).scaleb(-decimals), ROUND_CEILING)), decimals)


def day(when: date) -> str:
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def short_day(when: date) -> str:
    return f"{when.day} {short_month(when)}".replace(" ", NO_BREAK)


def long_month(when: date) -> str:
    return f"{_MONTHS[when.month - 1]} {when.year}"


def short_month(when: date) -> str:
    return f"{_MONTHS[when.month - 1][:3]} {when.year}"


def days(count: int) -> str:
    return "1 day" if count == 1 else f"{number(count)} days"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def value_in_words(figure: Figure) -> str:
    """A figure in its unit, as a person reads it: fen as yuan, shares as percent, unknown with the reason."""
    value, unit, risk = figure.value, figure.feature.unit, figure.feature.risk
    if value is None:
        return f"not known ({figure.feature.unknown_when})"
    if unit == "1 or 0":
        return "yes" if value else "no"
    if unit == "fen" or unit.startswith("fen "):
        # an amount of which more is worse is owed, and reads as no less than is owed
        return yuan(value, ROUND_CEILING if risk == "rises" else ROUND_HALF_UP) + unit.removeprefix("fen")
    if unit == "share" or unit.startswith("share "):
        return percent(value) + unit.removeprefix("share")
    if unit == "percentage points":
        return f"{'+' if value > 0 else ''}{number(100 * value, 1)}{NO_BREAK}{unit}"
    if unit == "of 1":
        return f"{number(value, 3)} {unit}"
    if unit.startswith("times the ") or unit == "times free cash":
        return f"{number(value, 2)} {unit}"
    text = number(value) if float(value).is_integer() else number(value, 1)
    one = f"{unit.removesuffix('ies')}y" if unit.endswith("ies") else unit.removesuffix("s")
    return f"{text} {one if value == 1 else unit}"


def direction(figure: Figure) -> str | None:
    """Which way the catalogue expects risk to move, for a figure that lowered the score; None at the best end."""
    value, unit, risk = figure.value, figure.feature.unit, figure.feature.risk
    is_best = (risk == "rises" and value == 0) or (risk == "falls" and unit == "1 or 0" and value == 1)
    if value is None or risk is None or is_best:
        return None
    return "lower is better" if risk == "rises" else "higher is better"


# --- points that visibly add up ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One line of the sum: what it is, its whole points, and the running total before and after it."""

    label: str
    kind: str
    points: int
    before: int
    after: int


def whole_score(score: float) -> int:
    """A score as it is shown, in whole points: rounded down, so that none below a cut-off reads as if it reached it."""
    return floor(score)


def whole_points(parts: Sequence[float], total: int) -> list[int]:
    """Parts rounded to whole numbers that make ``total`` exactly.

    Each is rounded down, then those with the largest remainders get one more: no part moves by more than a point, and
    the reader can add them up.
    """
    down = [floor(part) for part in parts]
    # doubles may add up to just under a whole number: then one point is too many, not missing
    each, more = divmod(total - sum(down), len(parts))
    by_remainder = sorted(range(len(parts)), key=lambda place: (down[place] - parts[place], place))
    return [value + each + (place in by_remainder[:more]) for place, value in enumerate(down)]


def family_points(score: Score) -> dict[str, float]:
    """Points of each family, most helpful first."""
    sums: dict[str, float] = {}
    for figure in score.figures:
        sums[figure.feature.family] = sums.get(figure.feature.family, 0.0) + figure.points
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def sum_of_points(score: Score) -> list[Step]:
    """The score as a sum: start, what helped, what lowered it, what the scale cut off, and the score shown."""
    families = family_points(score)
    total = whole_score(score.before_clipping)
    base, *parts = whole_points([score.base_points, *families.values()], total)
    steps = [Step(_STARTS.get(score.reference, _STARTS[None]), "start", base, 0, base)]
    running = base
    by_size = sorted(zip(families, parts, strict=True), key=lambda item: (item[1] < 0, -abs(item[1])))
    for family, points in by_size:
        if points:
            steps.append(
                Step(capitalised(family), "helped" if points > 0 else "lowered", points, running, running + points)
            )
            running += points
    shown = whole_score(score.shown)
    if shown != running:
        end = "top" if shown < running else "bottom"
        steps.append(Step(f"Beyond the {end} of the scale", "clipped", shown - running, running, shown))
    steps.append(Step("Your score", "total", shown, 0, shown))
    return steps


def figures_that(score: Score, helped: bool, most: int = 6) -> list[Figure]:
    """The figures that helped most, or lowered most; those under half a point either way are left out."""
    chosen = [figure for figure in score.figures if (figure.points if helped else -figure.points) >= 0.5]
    return sorted(chosen, key=lambda figure: (-abs(figure.points), figure.feature.name))[:most]


# --- the answer ----------------------------------------------------------------------------------------------------


def headline(record: CreditRecord) -> str:
    if record.offer is not None:
        if record.offer.drawable_fen:
            return f"You can draw up to {yuan_at_most(record.offer.drawable_fen)} now"
        return f"Your limit of {yuan(record.offer.limit_fen)} is fully drawn"
    if record.outcome == NOT_ENOUGH_HISTORY:
        return "There is not enough history for a score yet"
    if record.outcome == NOT_ENOUGH_INFORMATION:
        return "We cannot make an offer: something we need is not known"
    return "We cannot make you an offer now"


def deciding_reason(record: CreditRecord) -> str:
    """In one or two sentences what decided a refusal, or what bound the limit of an offer."""
    if record.offer is not None:
        rule = term_in_words(record, record.offer.bound_by)
        return f"Your limit is {yuan(record.offer.limit_fen)}. The rule that set it: {rule}."
    return " ".join(reason_in_words(record, code) for code in _deciding_codes(record))


def _deciding_codes(record: CreditRecord) -> list[str]:
    if record.refused_by == "price":
        return ["price"]
    return [reason.code for reason in record.reasons]


def reason_in_words(record: CreditRecord, code: str) -> str:
    """One reason that is not a family of the score, by its code."""
    policy, facts = record.policy, record.facts
    if code.startswith("unknown_"):
        return (
            f"We do not know {_FIGURES_OF_RULES[code.removeprefix('unknown_')]}, and we do not lend on a guess. "
            "This is not held against you: once we know, we decide anew."
        )
    if code == "history":
        have = facts.get("history_days")
        known = "" if have is None else f"We have seen your shop for {days(int(have))} so far. "
        return (
            f"{known}A score needs at least {policy.history.least_days} days of history with "
            f"{policy.history.least_blocks} complete blocks of 30 days; anything less would be a guess."
        )
    if code == "shop_closed":
        return "Your shop is closed, and we lend to open shops only. The score did not decide this."
    if code == "past_due":
        late = facts.get("days_past_due")
        late_words = "A payment is past due" if late is None else f"A payment is {days(int(late))} past due"
        allowed = policy.knock_outs.most_days_past_due
        rule = "nothing more is lent until it is paid" if not allowed else f"more than {days(allowed)} is too many"
        return f"{late_words}, and {rule}. The score did not decide this."
    if code == "written_off":
        return "An earlier loan of yours was written off. The score did not decide this."
    if code == "price":
        dearest = daily(policy.price.highest_daily_rate, policy.price.decimals)
        needed = ""
        if record.break_even_daily_rate is not None:
            rate = daily_at_least(record.break_even_daily_rate, policy.price.decimals)
            needed = f" To cover costs and the losses expected at your score we would have to charge {rate} a day."
        lowered = record.score is not None and figures_that(record.score, helped=False)
        below = "; what lowered it is below" if lowered else ""
        return f"We never charge more than {dearest} a day.{needed} So the score decided this{below}."
    if code == "score":
        return "The score decided this."
    least = yuan(policy.limit.step_yuan * FEN_A_YUAN)
    return f"Your limit would come to less than {least}, the smallest that we offer: {term_in_words(record, code)}."


def term_in_words(record: CreditRecord, name: str) -> str:
    """What a term of the limit is, with the policy's own figures."""
    limit, history = record.policy.limit, record.policy.history
    if name == "share_of_sales":
        if record.score is None:
            return "a share of a year's clean sales, by grade"
        grade = record.score.grade
        share = _times(100 * limit.share_of_sales_by_grade[grade - 1])
        return f"{share}{NO_BREAK}% of a year's clean sales, which is the share for grade {grade}"
    if name == "smallest_blocks":
        return f"{_times(limit.times_second_smallest_block)} times the sales of your second weakest 30 days"
    if name == "affordable":
        part = percent(float(limit.share_of_free_cash), 0)
        weak = percent(1 - float(limit.free_cash_stress), 0)
        return f"an instalment must fit into {part} of your usual free cash, should that fall by {weak}"
    if name == "track_record":
        first = yuan(limit.first_cap_yuan * FEN_A_YUAN)
        if not record.policy.applies("track_record"):
            return f"at most {first} where past loans cannot be seen"
        loan = "the largest loan that you held 30 days or more and repaid in full"
        return f"{first} to begin with, or {_times(limit.times_largest_repaid)} times {loan}, whichever is more"
    if name == "thin_file":
        cap = yuan(history.thin_file_yuan * FEN_A_YUAN)
        return f"at most {cap} with under {history.full_blocks} complete blocks of 30 days of history"
    if name == "ceiling":
        return f"nobody gets more than {yuan(limit.ceiling_yuan * FEN_A_YUAN)}"
    raise KeyError(name)


def _times(factor: Decimal) -> str:
    return f"{factor.normalize():f}"


def family_reasons(record: CreditRecord) -> list[str]:
    """The families that lowered the score, as the decision has them: each with its largest figure and the value."""
    if record.score is None:
        return []
    by_name = {figure.feature.name: figure for figure in record.score.figures}
    sentences = []
    for reason in record.reasons:
        if reason.code != "score" or reason.feature is None or reason.family is None:
            continue
        # decisions of before may name a family that added points
        if reason.points is not None and reason.points >= 0:
            continue
        figure = by_name[reason.feature]
        sentences.append(f"{capitalised(reason.family)}: {figure.feature.meaning}: {value_in_words(figure)}")
    return sentences


def score_in_words(record: CreditRecord) -> list[str]:
    """What the score means, and where grade and sum need a word of explanation."""
    score = record.score
    if score is None:
        return []
    many = _of_a_thousand(score.pd)
    if record.horizon_days is None:
        asked = (
            f"Of 1,000 sellers with this score we expect {many} to have the outcome that the lender's records call bad."
        )
    else:
        asked = (
            f"Of 1,000 sellers with this score who borrow in the next {record.horizon_days} days, we expect {many}"
            " not to pay back as agreed."
        )
    sentences = [asked]
    if score.is_clipped:
        total, end = whole_score(score.before_clipping), whole_score(score.shown)
        sentences.append(f"Your points add up to {total}; the scale ends at {end}, so that is the score shown.")
    if score.grade > score.grade_by_model:
        sentences.append(
            f"Today's figures alone would give grade {score.grade_by_model}. A better grade counts once two results at "
            f"least {record.policy.grades.days_between_agreeing_snapshots} days apart agree on it."
        )
    elif score.previous_grade is not None and score.previous_grade != score.grade:
        better = "better" if score.grade < score.previous_grade else "worse"
        sentences.append(f"Your last grade was {score.previous_grade}; this one is {better}.")
    return sentences


def _of_a_thousand(pd: float) -> str:
    return f"about {number(1000 * pd)}" if pd >= 0.001 else "fewer than 1"


# --- what it costs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What one way of using the typical draw costs, fen."""

    label: str
    interest_fen: int
    repaid_fen: int


def typical_draw_fen(offer: Offer) -> int:
    """Half of the limit, or what can be drawn now where that is less, in whole hundreds of yuan."""
    hundred = 100 * FEN_A_YUAN
    return min(offer.limit_fen // 2, offer.drawable_fen) // hundred * hundred


def costs(record: CreditRecord) -> list[Cost]:
    """Interest on the typical draw: for 30 days at once, and over the term in equal instalments."""
    offer, plan = record.offer, record.policy.offer
    if offer is None:
        return []
    draw = typical_draw_fen(offer)
    if not draw:
        return []
    rate = Decimal(str(offer.daily_rate))
    instalments = plan.term_days // plan.instalment_days
    # each block of days bears interest on what is still owed: all, then all but one part, …
    blocks_owed = Decimal(instalments + 1) / 2
    ways = (
        ("kept for 30 days, then repaid in full", rate * 30),
        (
            f"kept for {plan.term_days} days, repaid in {instalments} equal parts, "
            f"one every {plan.instalment_days} days",
            rate * plan.instalment_days * blocks_owed,
        ),
    )
    interest = [(label, int((draw * share).quantize(Decimal(1), ROUND_HALF_UP))) for label, share in ways]
    return [Cost(label, fen, draw + fen) for label, fen in interest]


# --- what would help -----------------------------------------------------------------------------------------------


def cut_off(policy: Policy) -> float:
    """The score at which the highest rate just pays for the risk."""
    price = policy.price
    income = price.highest_daily_rate * price.days_drawn
    most_pd = (income - price.fixed_cost) / (income + price.loss_given_default * price.exposure)
    return plain_score_before_clipping(most_pd)


def smallest_score_offered(policy: Policy) -> int:
    """The lowest whole score at which the highest rate still pays for the risk."""
    return ceil(cut_off(policy))


def what_would_help(record: CreditRecord) -> list[str]:
    """What would change the answer, where the rules make it certain; nothing is said where they do not."""
    policy = record.policy
    sentences: list[str] = []
    if record.outcome == NOT_ENOUGH_HISTORY:
        have = record.facts.get("history_days")
        least = max(policy.history.least_days, BLOCK_DAYS * policy.history.least_blocks)
        if have is not None and have < least:
            first = record.as_of + timedelta(days=least - int(have))
            sentences.append(f"Time: from {day(first)} on there can be a score, if sales go on.")
        else:
            sentences.append(f"Time: a score needs {policy.history.least_blocks} complete blocks of 30 days.")
    if record.refused_by == "price":
        sentences.append(_higher_score(record))
    codes = [reason.code for reason in record.reasons]
    # what would refuse next is no reason yet: too short a history, which leaves no score, or a figure not known
    if codes == ["past_due"] and record.score is not None and not record.unknown:
        sentences.append("Pay what is past due: that alone stands between you and a new decision by score and sales.")
    elif "past_due" in codes:
        sentences.append("Pay what is past due. It is not the only reason, so more has to change.")
    if record.offer is not None:
        sentences.extend(_higher_limit(record, record.offer))
    if record.score is not None and record.score.grade > record.score.grade_by_model:
        wait, better = policy.grades.days_between_agreeing_snapshots, record.score.grade_by_model
        sentences.append(f"Keep it up: if a result at least {wait} days from now is as good, grade {better} counts.")
    return sentences


def _higher_score(record: CreditRecord) -> str:
    """What a refusal by the price needs: a score, and where the limit would refuse next, more than that."""
    score = f"A score of {smallest_score_offered(record.policy)} or more"
    terms = [(term.fen, term.name) for term in record.terms if term.fen is not None]
    fen, name = min(terms, key=lambda term: term[0])
    if fen >= record.policy.limit.step_yuan * FEN_A_YUAN:
        return f"{score}: from there on we can offer."
    return f"{score}. It is not the only reason, so more has to change. {reason_in_words(record, name)}"


def _higher_limit(record: CreditRecord, offer: Offer) -> list[str]:
    limit = record.policy.limit
    others = [(term.fen, term.name) for term in record.terms if term.fen is not None and term.name != offer.bound_by]
    advice = {
        "share_of_sales": "Higher sales or a better grade",
        "smallest_blocks": "Steadier sales: a better second weakest 30 days",
        "affordable": "More left on the account after outflow in a usual 30 days",
        "thin_file": f"Time: {record.policy.history.full_blocks} complete blocks of 30 days of history end this cap",
    }
    if record.policy.applies("track_record"):
        # the first whole yuan of which the multiple reaches the next whole step
        next_step = Decimal(offer.limit_fen) / FEN_A_YUAN + limit.step_yuan
        loan = yuan(ceil(next_step / limit.times_largest_repaid) * FEN_A_YUAN)
        advice["track_record"] = f"Repaying in full a loan of {loan} or more that you held 30 days or more"
    sentences = []
    if offer.bound_by in advice and others:
        fen, name = min(others)
        step = limit.step_yuan * FEN_A_YUAN
        bound = fen // step * step
        if bound > offer.limit_fen:
            sentences.append(
                f"{advice[offer.bound_by]} would raise the limit. With all else as it is, the next rule ends it at "
                f"{yuan(bound)}: {term_in_words(record, name)}."
            )
    if offer.drawable_fen < offer.limit_fen:
        sentences.append("What you repay can be drawn again while the offer holds.")
    return sentences


def how_to_object(record: CreditRecord) -> list[str]:
    """What a seller can do about a wrong figure or a decision that seems wrong."""
    sentences = [
        f"A figure is wrong: write to {record.contact} and say which one and why. A correction becomes an entry of "
        "its own and counts from the day we receive it; the next record is made with it.",
        f"You do not agree with the decision: write to {record.contact} and ask for a person to look at it again.",
    ]
    decision = record.lineage.get("decision")
    if decision:
        sentences.append(f"Name your decision so that we find it at once: {decision}")
    return sentences
