"""Sellers' weeks -> movements of their accounts."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.world import DAYS_A_WEEK, World
from transforms.market.buyers import fake_buyer
from transforms.market.chance import Chance, Longs
from transforms.market.files import SECONDS_A_DAY, instant, numbered, shop_id, word_at

_PLATFORM, _FRIENDS, _ADVERTISER, _SUPPLIER, _STAFF, _LENDER, _OWNER, _CREDIT = range(8)
COUNTERPARTIES = ("PLATFORM", "FRIENDS", "ADVERTISER", "SUPPLIER", "STAFF", "LENDER", "OWNER", "CREDIT")
"""PLATFORM, ADVERTISER and CREDIT are one for all; a shop has its own of the others."""

_FLOWS = (
    # kind, whether it comes in, column, place in the week's order, counterparty; the sale's day is the week's first,
    # the withdrawal's its last
    ("sale", True, "sale", 0, _PLATFORM),
    ("transfer", False, "transfer_out", 0, _FRIENDS),
    ("refund", False, "refund", 1, _PLATFORM),
    ("fee", False, "fee", 1, _PLATFORM),
    ("advertising", False, "advertising", 2, _ADVERTISER),
    ("supplier", False, "supplier", 3, _SUPPLIER),
    ("wages", False, "wages", 4, _STAFF),
    ("other_lender", True, "borrowed", 2, _LENDER),
    ("other_lender", False, "other_lender", 4, _LENDER),
    ("transfer", True, "transfer_in", 4, _OWNER),
    ("withdrawal", False, "withdrawal", 6, _OWNER),
)
_FAILED = (
    ("supplier", "failed_supplier", 3, _SUPPLIER),
    ("wages", "failed_wages", 4, _STAFF),
    ("other_lender", "failed_other_lender", 4, _LENDER),
    ("loan_repayment", "failed_repayment", 5, _CREDIT),
)
_DRAW, _REPAYMENT = "loan_draw", "loan_repayment"
KINDS = (*dict.fromkeys(kind for kind, *_ in _FLOWS), _DRAW, _REPAYMENT)
_MOVES_SCHEMA = (
    "number bigint, week int, place int, second bigint, kind int, is_in boolean, amount_fen bigint,"
    " balance_fen bigint, failed boolean, counterparty int, ring bigint"
)


def payment_events(weeks: DataFrame, world: World) -> DataFrame:
    """One row a movement of a seller's account, or one tried in vain, as the marketplace's file has it but with
    `amount_fen`, `balance_fen` and `day`. Sales are settled once a week. The balance runs over the movements in order
    of time; within a week it may dip below zero, since a week's flows are known as sums only.
    """
    columns = ("number", "week", "opened_day", "cash_before", "ring", "loan_events")
    flows = (*(name for _, _, name, _, _ in _FLOWS), *(name for _, name, _, _ in _FAILED))
    moves = weeks.select(*columns, *flows).mapInArrow(_moves(world), _MOVES_SCHEMA)
    seconds = F.col("week").cast("bigint") * (DAYS_A_WEEK * SECONDS_A_DAY) + F.col("second")
    day = F.floor(seconds / SECONDS_A_DAY).cast("int")
    shop, partner = shop_id("number"), word_at(COUNTERPARTIES, "counterparty")
    is_shared = F.col("counterparty").isin(_PLATFORM, _ADVERTISER, _CREDIT)
    event_id = F.concat_ws(
        "-", numbered("M", F.col("number")), numbered("", F.col("week"), 3), numbered("", F.col("place"), 2)
    )
    return moves.filter(day < world.days).select(
        event_id.alias("event_id"),
        shop.alias("shop_id"),
        day.alias("day"),
        instant(world, seconds).alias("at"),
        F.when(is_shared, partner)
        # what a shop pays for orders of its own goes to the ring's next buyer: the money goes round
        .when(F.col("counterparty") == _FRIENDS, fake_buyer(world, F.col("week") + F.col("number")))
        .otherwise(F.concat_ws("-", partner, shop))
        .alias("counterparty_id"),
        F.when(F.col("is_in"), "in").otherwise("out").alias("direction"),
        word_at(KINDS, "kind").alias("what"),
        "amount_fen",
        "balance_fen",
        "failed",
    )


def _moves(world: World) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """In numpy: as Spark's higher-order functions, which are interpreted, the same took eight times as long."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield _moves_of(world, batch)

    return run


def _moves_of(world: World, batch: pa.RecordBatch) -> pa.RecordBatch:
    number, week, opened, cash, ring = (
        batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
        for name in ("number", "week", "opened_day", "cash_before", "ring")
    )
    chance = Chance(world.seed, number)
    # seller-week, second, kind, whether it comes in, amount, whether it failed, counterparty
    parts: list[tuple[Longs, Longs, int, bool, Longs, bool, int]] = []
    tried = [(kind, False, name, place, whom, True) for kind, name, place, whom in _FAILED]
    for kind, comes_in, name, place, whom, fails in [*((*flow, False) for flow in _FLOWS), *tried]:
        amount = batch.column(name).to_numpy()
        row = np.flatnonzero(amount > 0)
        # business hours of the flow's own day of the week
        hour = np.floor(chance.uniform("payment/" + kind, week[row], row) * 25_000).astype(np.int64)
        second = place * SECONDS_A_DAY + 36_000 + hour + 7 * fails
        parts.append((row, second, KINDS.index(kind), comes_in, amount[row], fails, whom))
    events = batch.column("loan_events")
    event_row = np.repeat(np.arange(len(number)), np.diff(events.offsets.to_numpy()))
    told = events.flatten()
    word = told.field("kind")
    for kind, what, comes_in in ((_DRAW, "drawn", True), (_REPAYMENT, "repaid", False)):
        here = np.flatnonzero(pc.equal(word, what).to_numpy(zero_copy_only=False))
        day, second, fen, interest = (
            told.field(name).take(pa.array(here)).fill_null(0).to_numpy().astype(np.int64)
            for name in ("day", "second", "amount_fen", "interest_fen")
        )
        row = event_row[here]
        # the money moves a minute after the loan book says so
        second = (day - week[row] * DAYS_A_WEEK) * SECONDS_A_DAY + second + 60
        parts.append((row, second, KINDS.index(kind), comes_in, fen + interest, False, _CREDIT))
    row, second, amount = (np.concatenate([part[at] for part in parts]).astype(np.int64) for at in (0, 1, 4))
    kinds, is_in, failed, partner = (
        np.repeat([part[at] for part in parts], [len(part[0]) for part in parts]) for at in (2, 3, 5, 6)
    )
    # a flow cannot move before the shop opened
    earliest = np.maximum(opened - week * DAYS_A_WEEK, 0)[row] * SECONDS_A_DAY
    second = np.maximum(second, earliest + 3600 + second % 3600)
    order = np.lexsort((amount, kinds, second, row))
    row, second, amount = row[order], second[order], amount[order]
    kinds, is_in, failed, partner = kinds[order], is_in[order], failed[order], partner[order]
    run = np.cumsum(np.where(failed, 0, np.where(is_in, amount, -amount)))
    first = np.flatnonzero(np.diff(row, prepend=-1))
    moves = np.diff(first, append=len(row))
    before_first = np.concatenate([[0], run])[first]
    balance = cash[row] + run - np.repeat(before_first, moves)
    return pa.record_batch(
        {
            "number": number[row],
            "week": week[row].astype(np.int32),
            "place": (np.arange(len(row)) - np.repeat(first, moves)).astype(np.int32),
            "second": second,
            "kind": kinds.astype(np.int32),
            "is_in": is_in,
            "amount_fen": amount,
            "balance_fen": balance,
            "failed": failed,
            "counterparty": partner.astype(np.int32),
            "ring": ring[row],
        }
    )
