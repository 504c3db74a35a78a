from datetime import date

import pytest
from pyspark.errors import PySparkException

from conf.policy import load_policy
from transforms.lending.decide import DECISION_COLUMNS, decide
from transforms.lending.limit import FIGURES, affordable_share

FAMILIES = {"sales": "scale"}


def reasons(row):
    return [(reason.code, reason.family, reason.feature, reason.points) for reason in row.reasons]


def test_a_good_seller_gets_an_offer_with_every_figure(decided, seller):
    (row,) = decided(seller(outstanding_principal=1_234_500))
    assert (row.outcome, row.refused_by, row.grade, row.bound_by) == ("offer", None, 4, "affordable")
    # 9 % of a million yuan; twice 40,000; 50,000 * 525/527; the first cap; the ceiling
    assert row.limit_by_share_of_sales_fen == 9_000_000
    assert row.limit_by_smallest_blocks_fen == 8_000_000
    assert row.limit_by_affordable_fen == 4_981_024
    assert row.limit_by_track_record_fen == 5_000_000
    assert row.limit_by_thin_file_fen is None
    assert row.limit_by_ceiling_fen == 100_000_000
    assert (row.limit_fen, row.drawable_fen) == (4_900_000, 3_665_500)
    assert (row.term_days, row.expires_on) == (90, date(2025, 3, 31))
    assert row.yearly_rate_simple == pytest.approx(365 * row.daily_rate)
    assert row.expected_profit_a_yuan > 0
    assert (row.policy_name, row.policy_version) == ("standard", 1)


def test_the_columns_are_the_contracts(decided, seller, sellers, standard):
    frame = decide(sellers(seller()), standard, FAMILIES | {"refunds": "refunds"}, "run-1")
    want = [(column.name, column.type) for column in DECISION_COLUMNS]
    assert frame.dtypes == want
    (row,) = frame.collect()
    assert all(row[column.name] is not None for column in DECISION_COLUMNS if column.required)


def test_the_instalment_is_half_of_stressed_free_cash(standard):
    limit = affordable_share(standard) * 1_000_000
    first_instalment = limit / 3 + limit * 30 * 6 / 10_000
    assert first_instalment == 1_000_000 * 7 / 10 / 2


def test_a_knock_out_is_the_reason_and_all_are_named(decided, seller):
    rows = decided(
        seller(closed=True, points={"sales": -200.0}),
        seller(days_past_due=1),
        seller(days_past_due=0, written_off_loans=1),
        seller(closed=True, days_past_due=30, written_off_loans=2),
        seller(closed=True, history_days=3, clean_net_sales_sum_365d=None),
    )
    assert [row.outcome for row in rows] == ["decline"] * 5
    assert [row.refused_by for row in rows] == ["shop_closed", "past_due", "written_off", "shop_closed", "shop_closed"]
    assert reasons(rows[0]) == [("shop_closed", None, "closed", None)]
    assert reasons(rows[3]) == [
        ("shop_closed", None, "closed", None),
        ("past_due", None, "days_past_due", None),
        ("written_off", None, "written_off_loans", None),
    ]
    assert all(
        row.limit_fen == row.drawable_fen == 0 and row.daily_rate is None and row.expires_on is None for row in rows
    )


def test_too_little_history_refuses_before_anything_unknown_does(decided, seller):
    rows = decided(
        seller(history_days=89),
        seller(complete_blocks=2, second_smallest_sales_block=None, free_cash_median_block=None),
        seller(history_days=90, complete_blocks=3),
        seller(history_days=None),
    )
    assert [row.outcome for row in rows] == [
        "not_enough_history",
        "not_enough_history",
        "offer",
        "not_enough_information",
    ]
    assert reasons(rows[0]) == [("history", None, "history_days", None)]
    assert rows[3].refused_by == "unknown_history"


def test_an_unknown_figure_refuses_unless_the_policy_says_it_does_not_apply(decided, seller, standard):
    rows = decided(*(seller(**{figure: None}) for figure in FIGURES.values()))
    assert [row.outcome for row in rows] == ["not_enough_information"] * len(FIGURES)
    assert [row.refused_by for row in rows] == [f"unknown_{rule}" for rule in FIGURES]
    assert [reasons(row)[0] for row in rows] == [
        (f"unknown_{rule}", None, figure, None) for rule, figure in FIGURES.items()
    ]
    assert all(row.limit_fen == 0 for row in rows)
    # sales alone must always bind by one of two rules, so they are waived one after the other
    for binding in ("share_of_sales", "smallest_blocks"):
        waived = {rule: "not told" for rule in FIGURES if rule != binding}
        policy = standard.model_copy(update={"not_applicable": {**standard.not_applicable, **waived}})
        found = decided(*(seller(**{FIGURES[rule]: None}) for rule in waived), policy=policy)
        assert [(row.outcome, row.unknown) for row in found] == [("offer", [])] * len(waived)


def test_below_the_least_history_there_is_no_grade_whatever_refuses(decided, seller):
    short = {"history_days": 89, "complete_blocks": 2}
    rows = decided(seller(**short), seller(**short, closed=True), seller(**short, days_past_due=9), seller(closed=True))
    assert [(row.outcome, row.grade, row.grade_by_model) for row in rows[:3]] == [
        ("not_enough_history", None, None),
        ("decline", None, None),
        ("decline", None, None),
    ]
    assert rows[3].outcome == "decline" and rows[3].grade == rows[3].grade_by_model == 4


def test_without_a_probability_there_is_no_decision_on_it(decided, seller):
    for row in decided(*(seller(pd=pd) for pd in (None, float("nan"), -0.01, 1.5))):
        assert (row.outcome, row.refused_by, row.grade, row.limit_fen) == (
            "not_enough_information",
            "unknown_pd",
            None,
            0,
        )


def test_a_ledger_without_loans_needs_no_loan_columns(seller, sellers):
    policy = load_policy("no_loan_book")
    loans = (
        "days_past_due",
        "written_off_loans",
        "largest_principal_repaid",
        "outstanding_principal",
        "free_cash_median_block",
    )
    frame = sellers(seller(closed=True), seller(), seller(clean_net_sales_sum_365d=None)).drop(*loans)
    closed, offered, unknown = decide(frame, policy, FAMILIES | {"refunds": "refunds"}, "run-1").collect()
    assert closed.refused_by == "shop_closed"
    assert (offered.outcome, offered.bound_by, offered.limit_fen) == ("offer", "track_record", 5_000_000)
    assert offered.drawable_fen == offered.limit_fen
    assert unknown.refused_by == "unknown_share_of_sales"


def test_no_knock_out_may_apply_at_all(decided, seller, standard):
    waived = dict.fromkeys(("shop_closed", "past_due", "written_off"), "not told")
    policy = standard.model_copy(update={"not_applicable": {**standard.not_applicable, **waived}})
    (row,) = decided(seller(closed=True, days_past_due=400), policy=policy)
    assert (row.outcome, row.knock_outs) == ("offer", [])


def test_a_limit_of_nothing_is_declined_for_the_term_that_bound_it(decided, seller):
    rows = decided(
        seller(second_smallest_sales_block=49_999),
        seller(second_smallest_sales_block=50_000),
        seller(free_cash_median_block=-5_000_000),
        seller(clean_net_sales_sum_365d=-1),
    )
    assert [row.outcome for row in rows] == ["decline", "offer", "decline", "decline"]
    assert [row.limit_fen for row in rows] == [0, 100_000, 0, 0]
    assert reasons(rows[0]) == [("smallest_blocks", None, "second_smallest_sales_block", None)]
    assert [row.refused_by for row in rows[2:]] == ["affordable", "share_of_sales"]


def test_a_repaid_loan_raises_the_first_cap_and_history_ends_the_thin_file(decided, seller):
    rich = {"clean_net_sales_sum_365d": 10**10, "second_smallest_sales_block": 10**9, "free_cash_median_block": 10**9}
    rows = decided(
        seller(**rich),
        seller(**rich, largest_principal_repaid=3_333_400),
        seller(**rich, largest_principal_repaid=6_000_000),
        seller(**rich, largest_principal_repaid=6_000_000, complete_blocks=11),
        seller(**rich, largest_principal_repaid=10**10),
    )
    assert [(row.limit_fen, row.bound_by) for row in rows] == [
        (5_000_000, "track_record"),
        (5_000_000, "track_record"),
        (9_000_000, "track_record"),
        (2_000_000, "thin_file"),
        (100_000_000, "ceiling"),
    ]


def test_what_is_owed_is_not_drawable_and_an_overpayment_raises_nothing(decided, seller):
    rows = decided(*(seller(outstanding_principal=owed) for owed in (4_899_999, 4_900_000, 9_000_000, -500_000)))
    assert [(row.outcome, row.drawable_fen) for row in rows] == [
        ("offer", 1),
        ("offer", 0),
        ("offer", 0),
        ("offer", 4_900_000),
    ]


def test_a_round_share_of_sales_loses_nothing_to_binary_fractions(decided, seller):
    # 0.07 * 1,000,000 in doubles is 70,000.00000000001 and 0.11 * 3,000,000 is 330,000 only by luck
    rows = decided(*(seller(pd=0.002, clean_net_sales_sum_365d=n * 100_000) for n in range(100, 400)))
    assert [row.limit_by_share_of_sales_fen for row in rows] == [n * 11_000 for n in range(100, 400)]


def test_absurd_amounts_neither_overflow_nor_stop_the_job(decided, seller):
    largest = 2**63 - 1
    figures = (
        "clean_net_sales_sum_365d",
        "second_smallest_sales_block",
        "free_cash_median_block",
        "largest_principal_repaid",
    )
    high, low = decided(seller(**dict.fromkeys(figures, largest)), seller(**dict.fromkeys(figures, -largest - 1)))
    assert (high.limit_fen, high.bound_by, high.limit_by_smallest_blocks_fen) == (100_000_000, "ceiling", largest)
    assert (low.outcome, low.limit_by_smallest_blocks_fen) == ("decline", -largest)


def test_the_decision_id_is_the_same_for_a_rerun_and_no_other_decision(decided, seller, standard):
    first = decided(seller(), seller(seller_id="s2"), seller(as_of=date(2025, 3, 2)), seller(model_version=2))
    # a run id made to look like the end of a seller's id must not run together with it
    other_run = decided(seller(), seller(seller_id='s1","x'), run_id='x","run-1')
    other_policy = decided(seller(), seller(seller_id='s1","x","x'), policy=standard.model_copy(update={"version": 2}))
    ids = [row.decision_id for row in [*first, *other_run, *other_policy]]
    assert len(set(ids)) == len(ids) == 8
    assert all(len(decision_id) == 32 for decision_id in ids)
    assert decided(seller())[0].decision_id == first[0].decision_id


def test_missing_and_mistyped_columns_are_named_at_once(sellers, seller, standard):
    frame = sellers(seller()).drop("pd", "free_cash_median_block").withColumnRenamed("closed", "grade")
    frame = frame.withColumn("outstanding_principal", frame.outstanding_principal.cast("double"))
    with pytest.raises(ValueError, match="^decide: ") as raised:
        decide(frame, standard, FAMILIES, "run-1", carry=["grade", "lineage"])
    assert str(raised.value) == (
        "decide: missing: pd; missing: closed; missing: free_cash_median_block; missing: lineage; "
        "outstanding_principal: want bigint, have double; grade: is a column of the decision and cannot be carried"
    )


def test_carried_columns_follow_unchanged(sellers, seller, standard):
    frame = sellers(seller()).selectExpr("*", "'score-run' as scores_run_id")
    decision = decide(frame, standard, FAMILIES | {"refunds": "refunds"}, "run-1", carry=["scores_run_id"])
    assert decision.columns[-1] == "scores_run_id"
    assert decision.first()["scores_run_id"] == "score-run"


def test_a_shop_closed_as_1_is_closed(sellers, seller, standard):
    frame = sellers(seller(closed=True), seller())
    frame = frame.withColumn("closed", frame.closed.cast("int"))
    rows = decide(frame, standard, FAMILIES | {"refunds": "refunds"}, "run-1").collect()
    assert [row.outcome for row in rows] == ["decline", "offer"]


def test_a_feature_without_a_family_stops_the_job_by_name(sellers, seller, standard):
    with pytest.raises(PySparkException, match="feature without a family: refunds"):
        decide(sellers(seller()), standard, {"sales": "scale"}, "run-1").collect()
