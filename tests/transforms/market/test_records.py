"""What the marketplace's files say of shops, orders and loans, and what was done to them on purpose."""

from collections import Counter
from datetime import timedelta

from pyspark.sql import functions as F

from tests.transforms.market.conftest import Market


def test_dues_sum_to_what_was_drawn(market: Market) -> None:
    loans = market.loans.groupBy("loan_id").pivot("what", ["drawn", "due"]).agg(F.sum("amount_fen"))
    drawn = loans.filter("drawn is not null")
    assert drawn.count() > 50
    assert drawn.filter("due is null or due <> drawn").count() == 0
    assert loans.filter("drawn is null and due is not null").count() == 0


def test_no_more_is_repaid_and_written_off_than_was_drawn(market: Market) -> None:
    loans = market.loans.groupBy("loan_id").pivot("what", ["drawn", "repaid", "written_off"]).agg(F.sum("amount_fen"))
    closed = F.coalesce("repaid", F.lit(0)) + F.coalesce("written_off", F.lit(0))
    assert loans.filter("repaid is not null").count() > 50
    assert loans.filter(closed > F.coalesce("drawn", F.lit(0))).count() == 0


def test_a_loan_goes_its_way_in_order(market: Market) -> None:
    times = (
        market.loans.groupBy("loan_id")
        .pivot("what", ["applied", "approved", "drawn", "due", "repaid"])
        .agg(F.min("at"))
    )
    drawn = times.filter("drawn is not null")
    assert drawn.filter(~F.expr("applied < approved and approved < drawn and drawn < due")).count() == 0
    assert drawn.filter("repaid <= drawn").count() == 0
    assert market.loans.filter(F.expr("what = 'approved' and approval_probability is null")).count() == 0


def test_nothing_happens_before_a_shop_opens_and_no_order_after_it_closes(market: Market) -> None:
    lives = market.weeks.select(
        F.format_string("S%06d", "number").alias("shop_id"), "opened_day", "closed_day"
    ).distinct()
    for events in (market.orders, market.payments, market.loans):
        assert events.join(lives, "shop_id", "left").filter("opened_day is null or day < opened_day").count() == 0
    closed = market.orders.join(lives, "shop_id").filter("day >= closed_day")
    assert lives.filter("closed_day is not null").count() > 0
    assert closed.count() == 0


def test_the_day_is_shanghais(market: Market) -> None:
    for events in (market.orders, market.payments, market.loans):
        shanghai = F.to_date(F.from_utc_timestamp("at", "Asia/Shanghai"))
        wrong = events.filter(shanghai != F.date_add(F.lit(market.world.first_day), F.col("day")))
        assert wrong.count() == 0


def test_one_version_of_a_shop_a_day_and_the_last_says_that_it_closed(market: Market) -> None:
    per_day = market.sellers.groupBy("shop_id", "changed_on").count()
    assert per_day.filter("count > 1").count() == 0
    assert market.sellers.select("shop_id").distinct().count() == market.weeks.select("number").distinct().count()
    last = market.sellers.groupBy("shop_id").agg(
        F.max("changed_on").alias("last"), F.max("closed_on").alias("closed_on"), F.min("changed_on").alias("first")
    )
    assert last.filter("closed_on is not null").count() > 0
    assert last.filter("closed_on <> last").count() == 0


def test_brushed_orders_leave_no_trace_and_their_buyers_are_seen_in_one_ring(market: Market) -> None:
    untraced = market.orders.filter("what = 'shipped' and not logistics")
    everyone = market.world.sellers * 45
    fake = market.orders.filter(F.substring("buyer_id", 2, 8).cast("int") >= everyone)
    assert fake.filter("what = 'shipped'").count() > 10
    assert fake.join(untraced.select("order_id"), "order_id", "left_semi").select("order_id").distinct().count() == (
        fake.filter("what = 'shipped'").count()
    )
    block = F.floor((F.substring("shop_id", 2, 6).cast("int") - 1) / 6)
    by_buyer = fake.groupBy("buyer_id").agg(
        F.countDistinct("shop_id").alias("shops"), F.countDistinct(block).alias("blocks")
    )
    assert by_buyer.filter("shops > 1").count() > 0
    assert by_buyer.filter("blocks > 1").count() == 0
    # the money goes round: a shop pays buyers of its ring, who buy in the ring's other shops too
    paid = market.payments.filter("what = 'transfer' and direction = 'out'").select(
        F.col("counterparty_id").alias("buyer_id"), F.col("shop_id").alias("payer"), block.alias("payers_block")
    )
    assert paid.filter(F.substring("buyer_id", 2, 8).cast("int") < everyone).count() == 0
    bought = paid.join(fake.select("buyer_id", "shop_id", block.alias("block")).distinct(), "buyer_id", "inner")
    assert bought.filter("block <> payers_block").count() == 0
    assert bought.filter("payer <> shop_id").count() > 0
    assert fake.filter("what = 'confirmed' and hours_since_paid > 24").count() == 0


def test_every_planted_fault_is_found_in_the_files_and_no_other(market: Market) -> None:
    records = market.delivered_orders.collect()
    planted = Counter(fault for row in records for fault in row.faults)
    assert set(planted) == {"late", "duplicate", "broken", "correction", "amendment", "conflict", "clock"}
    ids = Counter(row.event_id for row in records)
    assert sum(count - 1 for count in ids.values()) == planted["duplicate"] + planted["conflict"]
    amounts = {row.event_id: row.amount for row in records if "conflict" not in row.faults}
    assert all(amounts[row.event_id] != row.amount for row in records if "conflict" in row.faults)
    assert sum(row.voids is not None for row in records) == planted["correction"]
    assert sum(row.event_id.endswith(".amended") for row in records) == planted["amendment"]
    days = {row.event_id: row.delivered_on for row in records if not row.faults}
    original = {row.event_id for row in records}
    for row in records:
        is_plain = row.amount.replace(".", "", 1).isdigit()
        is_to_come = (row.at + timedelta(hours=8)).date() > row.delivered_on
        is_known = row.what != "undefined" and row.shop_id is not None and not is_to_come
        assert ("clock" in row.faults) <= is_to_come
        assert bool({"broken", "clock"} & set(row.faults)) == (not (is_plain and is_known))
        if row.voids is not None:
            assert row.voids in original
            assert days.get(row.voids, row.delivered_on) <= row.delivered_on


def test_late_records_are_up_to_two_weeks_late_and_all_others_of_the_day(market: Market) -> None:
    shanghai = F.to_date(F.from_utc_timestamp("at", "Asia/Shanghai"))
    late = F.date_diff("delivered_on", shanghai)
    sound = market.delivered_orders.filter(F.size("faults") == 0)
    assert sound.filter(late != 0).count() == 0
    only_late = market.delivered_orders.filter("faults = array('late')")
    assert only_late.count() > 20
    assert only_late.filter(~late.between(1, 14)).count() == 0


def test_no_loan_record_is_lost_by_a_fault(market: Market) -> None:
    """What is broken comes again; what is taken back stands anew; so the delivered book is the true one."""
    records = market.delivered_loans
    sound = records.filter("not array_contains(faults, 'broken')").dropDuplicates(["event_id"])
    sign = F.when(F.col("voids").isNull(), 1).otherwise(-1)
    last_weeks = F.col("delivered_on") > F.date_sub(F.lit(market.world.last_day), 40)
    told = sound.groupBy("loan_id", "what").agg(
        F.sum(sign * F.col("amount").cast("decimal(18,2)") * 100).cast("bigint").alias("told"),
        F.max(last_weeks).alias("is_recent"),
    )
    true = market.loans.groupBy("loan_id", "what").agg(F.sum("amount_fen").alias("happened"))
    compared = true.join(told, ["loan_id", "what"], "inner").filter(~F.col("is_recent"))
    assert compared.count() > 100
    assert compared.filter("told <> happened").count() == 0
    assert records.filter("array_contains(faults, 'broken')").count() > 0
    assert records.filter("voids is not null").count() > 0
