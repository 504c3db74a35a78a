"""Sellers' weeks -> movements of their accounts."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.world import DAYS_A_WEEK, World
from transforms.market.chance import whole_column
from transforms.market.files import SECONDS_A_DAY, instant, shop_id

_FLOWS = (
    # kind, direction, column, place in the week's order, counterparty, sale's day 0 and the last the sixth day
    ("sale", "in", "sale", 0, "PLATFORM"),
    ("transfer", "out", "transfer_out", 0, "FRIENDS"),
    ("refund", "out", "refund", 1, "PLATFORM"),
    ("fee", "out", "fee", 1, "PLATFORM"),
    ("advertising", "out", "advertising", 2, "ADVERTISER"),
    ("supplier", "out", "supplier", 3, "SUPPLIER"),
    ("wages", "out", "wages", 4, "STAFF"),
    ("other_lender", "in", "borrowed", 2, "LENDER"),
    ("other_lender", "out", "other_lender", 4, "LENDER"),
    ("transfer", "in", "transfer_in", 4, "OWNER"),
    ("withdrawal", "out", "withdrawal", 6, "OWNER"),
)
_FAILED = (
    ("supplier", "failed_supplier", 3, "SUPPLIER"),
    ("wages", "failed_wages", 4, "STAFF"),
    ("other_lender", "failed_other_lender", 4, "LENDER"),
    ("loan_repayment", "failed_repayment", 5, "CREDIT"),
)


def payment_events(weeks: DataFrame, world: World) -> DataFrame:
    """One row a movement of a seller's account, or one tried in vain, as the marketplace's file has it but with
    `amount_fen`, `balance_fen` and `day`. Sales are settled once a week. The balance runs over the movements in order
    of time; within a week it may dip below zero, since a week's flows are known as sums only.
    """
    first = F.col("week") * DAYS_A_WEEK
    flows = [
        _movement(kind, direction, F.col(column), _second(world, place, kind), False, F.lit(counterparty))
        for kind, direction, column, place, counterparty in _FLOWS
    ]
    failed = [
        _movement(kind, "out", F.col(column), _second(world, place, kind) + 7, True, F.lit(counterparty))
        for kind, column, place, counterparty in _FAILED
    ]
    loans = F.transform(
        F.filter("loan_events", lambda event: event.kind.isin("drawn", "repaid")),
        lambda event: _struct(
            F.when(event.kind == "drawn", "loan_draw").otherwise("loan_repayment"),
            F.when(event.kind == "drawn", "in").otherwise("out"),
            event.amount_fen + F.greatest(F.coalesce(event.interest_fen, F.lit(0)), F.lit(0)),
            # the money moves a minute after the loan book says so
            (event.day - first).cast("bigint") * SECONDS_A_DAY + event.second + 60,
            F.lit(False),
            F.lit("CREDIT"),
        ),
    )
    # a flow cannot move before the shop opened
    earliest = F.greatest(F.col("opened_day") - first, F.lit(0)).cast("bigint") * SECONDS_A_DAY
    every = F.concat(F.array(*flows, *failed), loans)
    kept = F.filter(every, lambda move: move.amount_fen > 0)
    placed = F.array_sort(
        F.transform(
            kept,
            lambda move: F.struct(
                F.greatest(move.second, earliest + 3600 + F.pmod(move.second, F.lit(3600))).alias("second"),
                *(move[name].alias(name) for name in ("kind", "direction", "amount_fen", "failed", "counterparty")),
            ),
        )
    )
    weekly = weeks.select("number", "week", first.alias("first"), "cash_before", placed.alias("moves"))
    moved = weekly.select(
        "number", "week", "first", "cash_before", "moves", F.posexplode("moves").alias("place", "move")
    ).select(
        "number",
        "week",
        "first",
        "place",
        "move",
        F.aggregate(
            F.slice("moves", F.lit(1), F.col("place") + 1),
            F.col("cash_before"),
            lambda balance, move: balance + _signed(move),
        ).alias("balance_fen"),
    )
    seconds = F.col("first").cast("bigint") * SECONDS_A_DAY + F.col("move.second")
    day = F.floor(seconds / SECONDS_A_DAY).cast("int")
    return moved.filter(day < world.days).select(
        F.format_string("M%06d-%03d-%02d", "number", "week", "place").alias("event_id"),
        shop_id("number").alias("shop_id"),
        day.alias("day"),
        instant(world, seconds).alias("at"),
        F.when(F.col("move.counterparty").isin("PLATFORM", "CREDIT", "ADVERTISER"), F.col("move.counterparty"))
        .otherwise(F.concat_ws("-", "move.counterparty", shop_id("number")))
        .alias("counterparty_id"),
        "move.direction",
        F.col("move.kind").alias("what"),
        "move.amount_fen",
        "balance_fen",
        "move.failed",
    )


def _second(world: World, place: int, kind: str) -> Column:
    """Second of the week: business hours of the flow's own day of the week."""
    return F.lit(place * SECONDS_A_DAY) + 36_000 + whole_column(world.seed, kind, 25_000, "number", "week")


def _movement(kind: str, direction: str, amount: Column, second: Column, failed: bool, counterparty: Column) -> Column:
    return _struct(F.lit(kind), F.lit(direction), amount, second, F.lit(failed), counterparty)


def _struct(
    kind: Column, direction: Column, amount: Column, second: Column, failed: Column, counterparty: Column
) -> Column:
    return F.struct(
        second.cast("bigint").alias("second"),
        kind.alias("kind"),
        direction.alias("direction"),
        amount.cast("bigint").alias("amount_fen"),
        failed.alias("failed"),
        counterparty.alias("counterparty"),
    )


def _signed(move: Column) -> Column:
    signed = F.when(move["direction"] == "in", move["amount_fen"]).otherwise(-move["amount_fen"])
    return F.when(move["failed"], F.lit(0)).otherwise(signed).cast("bigint")
