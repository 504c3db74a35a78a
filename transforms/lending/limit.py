"""The limit: the smallest of the policy's terms, floored to whole steps, never below 0. All money in fen.

``least`` skips nulls, so a term whose figure is unknown would silently stop binding. Here it refuses instead
(``unknown_rules``), unless the policy declares the rule not applicable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.policy import FEN_A_YUAN, Limit, Policy, Rule
from transforms.lending.scale import is_probability

LARGEST_BIGINT = 2**63 - 1


@dataclass(frozen=True)
class Term:
    """One term of the limit: its name in ``bound_by``, and the input that it rests on (none for a constant)."""

    name: str
    figure: str | None
    meaning: str

    @property
    def column(self) -> str:
        return f"limit_by_{self.name}_fen"


TERMS = (
    Term("share_of_sales", "clean_net_sales_sum_365d", "a share, by grade, of clean net sales of 365 days"),
    Term("smallest_blocks", "second_smallest_sales_block", "twice the second-smallest complete 30-day block of sales"),
    Term("affordable", "free_cash_median_block", "an instalment is at most half of stressed free cash"),
    Term("track_record", "largest_principal_repaid", "the first cap, or 1.5 times the largest principal repaid"),
    Term("thin_file", "complete_blocks", "cap while the history is short; null when it is not"),
    Term("ceiling", None, "most that anyone gets"),
)
"""In order: of two equal terms the first is named in ``bound_by``."""

FIGURES: Mapping[Rule, str] = {
    "shop_closed": "closed",
    "past_due": "days_past_due",
    "written_off": "written_off_loans",
    "share_of_sales": "clean_net_sales_sum_365d",
    "smallest_blocks": "second_smallest_sales_block",
    "affordable": "free_cash_median_block",
    "track_record": "largest_principal_repaid",
    "own_outstanding": "outstanding_principal",
}
"""The input that each rule rests on. Of a rule declared not applicable the column may be absent."""


def unknown_rules(policy: Policy) -> Column:
    """Names of the applicable rules whose input is unknown, in a fixed order: array<string>, empty if none is."""
    is_unknown: dict[str, Column] = {
        "pd": ~is_probability(F.col("pd")),
        "history": F.col("history_days").isNull() | F.col("complete_blocks").isNull(),
        **{rule: F.col(figure).isNull() for rule, figure in FIGURES.items() if policy.applies(rule)},
    }
    return F.array_compact(F.array(*(F.when(unknown, F.lit(name)) for name, unknown in is_unknown.items())))


def term_columns(policy: Policy) -> dict[str, Column]:
    """Each term in fen, by its column's name; null where its figure is unknown or the term does not bind.

    Reads ``grade`` and the figures of the terms.
    """
    limit = policy.limit
    terms: dict[Rule, Column] = {
        "share_of_sales": _share_of_sales(limit),
        "smallest_blocks": _part_of("second_smallest_sales_block", Fraction(limit.times_second_smallest_block)),
        "affordable": _part_of("free_cash_median_block", affordable_share(policy)),
        "track_record": _track_record(policy),
    }
    nothing = F.lit(None).cast("bigint")
    columns = {
        f"limit_by_{rule}_fen": term if policy.applies(rule) or rule == "track_record" else nothing
        for rule, term in terms.items()
    }
    is_thin = F.col("complete_blocks") < policy.history.full_blocks
    columns["limit_by_thin_file_fen"] = F.when(is_thin, _yuan(policy.history.thin_file_yuan))
    columns["limit_by_ceiling_fen"] = _yuan(limit.ceiling_yuan)
    return columns


def smallest_term() -> Column:
    """The smallest term in fen, before flooring; terms that are null do not bind, so ask ``unknown_rules`` first."""
    return F.least(*(F.col(term.column) for term in TERMS))


def floored(fen: Column, limit: Limit) -> Column:
    """A limit in fen floored to whole steps, never below 0; null stays null."""
    step = limit.step_yuan * FEN_A_YUAN
    not_negative = F.when(fen > 0, fen).when(fen.isNotNull(), F.lit(0).cast("bigint"))
    return not_negative - F.pmod(not_negative, F.lit(step).cast("bigint"))


def binding_term(smallest: Column) -> Column:
    """Name of the term that is the smallest; null where there is none."""
    return F.coalesce(*(F.when(F.col(term.column) == smallest, F.lit(term.name)) for term in TERMS))


def affordable_share(policy: Policy) -> Fraction:
    """Limit for each fen of the median block's free cash, exactly.

    The largest instalment is the first: an equal part of the principal, plus the interest on all of it, here at the
    highest rate that the policy allows so that a limit does not move with the price. With three instalments of 30 days,
    0.06 % a day, half of what is left of 70 % of free cash: 0.35 / (1/3 + 0.018), or 0.996.
    """
    limit, offer = policy.limit, policy.offer
    highest = Fraction(round(policy.price.highest_daily_rate * 10**policy.price.decimals), 10**policy.price.decimals)
    instalment = Fraction(1, offer.instalments) + offer.instalment_days * highest
    return Fraction(limit.share_of_free_cash) * Fraction(limit.free_cash_stress) / instalment


def _share_of_sales(limit: Limit) -> Column:
    millionths = [int(share * 10**6) for share in limit.share_of_sales_by_grade]
    by_grade = F.array(*(F.lit(share).cast("decimal(7,0)") for share in millionths))
    share = F.when(F.col("grade").isNotNull(), F.get(by_grade, F.col("grade") - 1))
    return _floor_division(F.col("clean_net_sales_sum_365d").cast("decimal(19,0)") * share, 10**6)


def _part_of(figure: str, share: Fraction) -> Column:
    wide = F.col(figure).cast("decimal(19,0)") * _whole(share.numerator)
    return _floor_division(wide, share.denominator)


def _track_record(policy: Policy) -> Column:
    first_cap = _yuan(policy.limit.first_cap_yuan)
    if not policy.applies("track_record"):
        return first_cap
    raised = _part_of("largest_principal_repaid", Fraction(policy.limit.times_largest_repaid))
    # greatest skips nulls: an unknown record must not read as none
    return F.when(raised.isNotNull(), F.greatest(first_cap, raised))


def _floor_division(fen: Column, denominator: int) -> Column:
    """Whole fen, downwards, in decimals: doubles lose 1000 yuan when 0.12 times a round figure falls just below it."""
    below = _whole(denominator)
    whole = ((fen - F.pmod(fen, below)) / below).cast("decimal(38,0)")
    bounded = F.greatest(_whole(-LARGEST_BIGINT), F.least(_whole(LARGEST_BIGINT), whole))
    return F.when(whole.isNotNull(), bounded.cast("bigint"))


def _whole(number: int) -> Column:
    return F.lit(str(number)).cast(f"decimal({len(str(abs(number)))},0)")


def _yuan(yuan: int) -> Column:
    return F.lit(yuan * FEN_A_YUAN).cast("bigint")
