"""The decision: what a seller is offered, or why not, with every figure that it rests on."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.policy import Policy, Rule
from transforms.lending.grade import grade_in_effect
from transforms.lending.limit import FIGURES, TERMS, binding_term, floored, smallest_term, term_columns, unknown_rules
from transforms.lending.price import (
    break_even_daily_rate,
    expected_profit,
    offered_daily_rate,
    yearly_rate_compounded,
    yearly_rate_simple,
)
from transforms.lending.reasons import REASON, adverse, adverse_or_lowest, families_by_points, rule_reasons
from transforms.lending.scale import grade_of
from transforms.tables.table import Column

OFFER = "offer"
DECLINE = "decline"
NOT_ENOUGH_HISTORY = "not_enough_history"
NOT_ENOUGH_INFORMATION = "not_enough_information"
OUTCOMES = (OFFER, DECLINE, NOT_ENOUGH_HISTORY, NOT_ENOUGH_INFORMATION)

SCORED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "seller_id": ("string",),
    "as_of": ("date",),
    "pd": ("double",),
    "score": ("double",),
    "points": ("map<string,double>",),
    "model_version": ("int", "bigint", "string"),
    "previous_grade": ("int",),
    "previous_model_version": ("int", "bigint", "string"),
    "earlier_grade_by_model": ("int",),
    "earlier_model_version": ("int", "bigint", "string"),
    "earlier_as_of": ("date",),
    "history_days": ("int", "bigint"),
    "complete_blocks": ("int", "bigint"),
}
"""What ``decide`` always reads, with the types that it takes."""

FIGURE_TYPES: Mapping[str, tuple[str, ...]] = {
    "closed": ("boolean", "int"),
    "days_past_due": ("int", "bigint"),
    "written_off_loans": ("int", "bigint"),
    "clean_net_sales_sum_365d": ("bigint",),
    "second_smallest_sales_block": ("bigint",),
    "free_cash_median_block": ("bigint",),
    "largest_principal_repaid": ("bigint",),
    "outstanding_principal": ("bigint",),
}
"""What ``decide`` reads for the rules that the policy applies; money in fen, ``closed`` true or 1 for a closed shop."""

DECISION_COLUMNS = (
    Column("seller_id", "string not null", "as the source names the seller"),
    Column("as_of", "date not null", "the decision uses only what was known before this day began"),
    Column("decision_id", "string not null", "hash of seller, day, run, model version and policy"),
    Column("outcome", "string not null", "offer, decline, not_enough_history or not_enough_information"),
    Column("refused_by", "string", "rule that refused, the first that did; null for an offer"),
    Column("pd", "double", "probability of the bad outcome that the model's card defines"),
    Column("score", "double", "points, 350 to 950"),
    Column("grade", "int", "grade in effect, 1 (best) and up; null where the history is too short for a score"),
    Column("grade_by_model", "int", "grade of this PD alone; null where the history is too short for a score"),
    Column(
        "previous_grade", "int", "grade of the seller's last decision by the same model and the same edges of grades"
    ),
    Column("knock_outs", "array<string> not null", "knock-out rules that hold"),
    Column("unknown", "array<string> not null", "applicable rules whose figure is unknown"),
    *(Column(term.column, "bigint", f"{term.meaning}, fen; null: unknown or not applicable") for term in TERMS),
    Column("limit_fen", "bigint not null", "limit offered, fen, whole steps; 0 unless the outcome is an offer"),
    Column("bound_by", "string", "term that bound the limit; null where a figure is unknown"),
    Column(
        "drawable_fen",
        "bigint not null",
        "what can be drawn now: limit less own outstanding principal, fen, 0 at least",
    ),
    Column("daily_rate", "double", "offered rate a day on what is drawn, a fraction of one; null without an offer"),
    Column("break_even_daily_rate", "double", "daily rate at which the expected profit is nothing"),
    Column("yearly_rate_simple", "double", "365 times the daily rate; null without an offer"),
    Column("yearly_rate_compounded", "double", "with interest on interest every day; null without an offer"),
    Column("expected_profit_a_yuan", "double", "yuan a yuan of limit over the policy's horizon; null without an offer"),
    Column("term_days", "int", "days until a draw must be repaid in full; null without an offer"),
    Column("expires_on", "date", "first day on which the offer no longer holds; null without an offer"),
    Column("reasons", f"array<{REASON}> not null", "why refused; of an offer, the families that lowered the score"),
    Column("points", "map<string,double>", "points of the score by feature"),
    Column("policy_name", "string not null", "policy that decided"),
    Column("policy_version", "int not null", "its version"),
    Column("policy_digest", "string not null", "sha-256 of what it says"),
)
"""Columns of a decision row, in order; ``carry`` follows them."""


def decide(
    scored: DataFrame, policy: Policy, families: Mapping[str, str], run_id: str, carry: Sequence[str] = ()
) -> DataFrame:
    """Decide every seller: one row a seller and day in, one decision a row out.

    Reads ``SCORED_COLUMNS`` and, of ``FIGURES``, the columns of the rules that the policy applies (the others may be
    absent). ``families`` gives the family of every feature in ``points``; ``run_id`` names the run whose decisions
    these are; ``carry`` names further columns (lineage) that go unchanged to the end of the decision row.

    In this order, the first that holds decides: a knock-out; too little history; an unknown figure of an applicable
    rule; a price above the cap; a limit of nothing; else an offer.

    Raises ValueError that lists every missing or mistyped column.
    """
    _check_columns(scored, policy, carry)
    graded = scored.withColumns({"grade_by_model": grade_of(F.col("pd"), policy.grades.edges)}).withColumns(
        {"grade": grade_in_effect(F.col("grade_by_model"), policy.grades)}
    )
    measured = graded.withColumns(
        {
            **term_columns(policy),
            "knock_outs": _knock_outs(policy),
            "unknown": unknown_rules(policy),
            "break_even_daily_rate": break_even_daily_rate(F.col("pd"), policy.price),
            "offered_rate": offered_daily_rate(F.col("pd"), policy.price),
            "ranked": families_by_points(F.col("points"), families),
        }
    )
    is_known = F.size("unknown") == 0
    limited = measured.withColumns({"smallest_fen": F.when(is_known, smallest_term())}).withColumns(
        {"bound_by": binding_term(F.col("smallest_fen")), "floored_fen": floored(F.col("smallest_fen"), policy.limit)}
    )
    judged = limited.withColumns({"refused_by": _refused_by(policy)}).withColumns({"outcome": _outcome()})
    # whatever else refuses: below the least history a score means nothing, and must not hold the first real grade down
    grades = {name: F.when(~_is_short(policy), F.col(name)) for name in ("grade", "grade_by_model")}
    return (
        judged.withColumns({**_offer(policy), **grades})
        .withColumns(_explained(policy, run_id))
        .select(*(column.name for column in DECISION_COLUMNS), *carry)
    )


def _check_columns(scored: DataFrame, policy: Policy, carry: Sequence[str]) -> None:
    have = dict(scored.dtypes)
    wanted = dict(SCORED_COLUMNS)
    wanted.update({figure: FIGURE_TYPES[figure] for rule, figure in FIGURES.items() if policy.applies(rule)})
    problems = [f"missing: {name}" for name in [*wanted, *carry] if name not in have]
    problems += [
        f"{name}: want {' or '.join(types)}, have {have[name]}"
        for name, types in wanted.items()
        if name in have and have[name] not in types
    ]
    taken = {column.name for column in DECISION_COLUMNS} & set(carry)
    problems += [f"{name}: is a column of the decision and cannot be carried" for name in sorted(taken)]
    if problems:
        raise ValueError(f"decide: {'; '.join(problems)}")


def _knock_outs(policy: Policy) -> SparkColumn:
    """Names of the knock-outs that hold. An unknown figure is no knock-out: it refuses as unknown."""
    holds: dict[Rule, SparkColumn] = {
        "shop_closed": F.col("closed").cast("boolean"),
        "past_due": F.col("days_past_due") > policy.knock_outs.most_days_past_due,
        "written_off": F.col("written_off_loans") > policy.knock_outs.most_written_off_loans,
    }
    applied = [F.when(hold, F.lit(rule)) for rule, hold in holds.items() if policy.applies(rule)]
    return F.array_compact(F.array(*applied)).cast("array<string>")


def _is_short(policy: Policy) -> SparkColumn:
    """Whether the history is too short for a score."""
    least = policy.history
    return (F.col("history_days") < least.least_days) | (F.col("complete_blocks") < least.least_blocks)


def _refused_by(policy: Policy) -> SparkColumn:
    return (
        F.when(F.size("knock_outs") > 0, F.get("knock_outs", F.lit(0)))
        .when(_is_short(policy), F.lit("history"))
        .when(F.size("unknown") > 0, F.concat(F.lit("unknown_"), F.get("unknown", F.lit(0))))
        .when(F.col("offered_rate").isNull(), F.lit("price"))
        .when(F.col("floored_fen") == 0, F.col("bound_by"))
    )


def _outcome() -> SparkColumn:
    refused_by = F.col("refused_by")
    return (
        F.when(refused_by.isNull(), F.lit(OFFER))
        .when(refused_by == "history", F.lit(NOT_ENOUGH_HISTORY))
        .when(refused_by.startswith("unknown_"), F.lit(NOT_ENOUGH_INFORMATION))
        .otherwise(F.lit(DECLINE))
    )


def _offer(policy: Policy) -> dict[str, SparkColumn]:
    is_offer = F.col("outcome") == OFFER
    nothing = F.lit(0).cast("bigint")
    limit = F.when(is_offer, F.col("floored_fen")).otherwise(nothing)
    # a negative outstanding principal (overpaid) does not raise the limit
    owed = F.greatest(nothing, F.col("outstanding_principal")) if policy.applies("own_outstanding") else nothing
    rate = F.when(is_offer, F.col("offered_rate"))
    return {
        "limit_fen": limit,
        "drawable_fen": F.when(is_offer & (limit > owed), limit - owed).otherwise(nothing),
        "daily_rate": rate,
        "yearly_rate_simple": yearly_rate_simple(rate),
        "yearly_rate_compounded": yearly_rate_compounded(rate),
        "expected_profit_a_yuan": expected_profit(F.col("pd"), rate, policy.price),
        "term_days": F.when(is_offer, F.lit(policy.offer.term_days)),
        "expires_on": F.when(is_offer, F.date_add("as_of", policy.offer.valid_days)),
    }


def _explained(policy: Policy, run_id: str) -> dict[str, SparkColumn]:
    digest = policy.digest()
    # as a JSON array, so that no two lists of parts read the same ("a|b" and "c" against "a" and "b|c")
    identity = F.to_json(
        F.array(
            F.col("seller_id"),
            F.col("as_of").cast("string"),
            F.lit(run_id),
            F.col("model_version").cast("string"),
            F.lit(policy.name),
            F.lit(str(policy.version)),
            F.lit(digest),
        )
    )
    return {
        # 128 bits: among 10^12 decisions two share an id with a chance of 1 in 10^14
        "decision_id": F.substring(F.sha2(identity, 256), 1, 32),
        "reasons": _reasons(policy),
        "policy_name": F.lit(policy.name),
        "policy_version": F.lit(policy.version),
        "policy_digest": F.lit(digest),
    }


def _reasons(policy: Policy) -> SparkColumn:
    """Where a rule decided, that rule is the reason and not the score; every knock-out and unknown figure is named."""
    refused_by = F.col("refused_by")
    by_score = F.when(refused_by.isNull(), adverse(F.col("ranked"), policy.reasons)).when(
        refused_by == "price", adverse_or_lowest(F.col("ranked"), policy.reasons)
    )
    codes = (
        F.when(F.size("knock_outs") > 0, F.col("knock_outs"))
        .when(refused_by.startswith("unknown_"), F.transform("unknown", lambda rule: F.concat(F.lit("unknown_"), rule)))
        .otherwise(F.array("refused_by"))
    )
    figure_of = {"history": "history_days", "unknown_history": "history_days", "unknown_pd": "pd"}
    figure_of |= {name: figure for rule, figure in FIGURES.items() for name in (rule, f"unknown_{rule}")}
    figure_of |= {term.name: term.figure for term in TERMS if term.figure is not None}
    return F.slice(F.coalesce(by_score, rule_reasons(codes, figure_of)), 1, policy.reasons.most)
