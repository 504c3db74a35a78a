"""Sellers' weeks -> what happened to their loans."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.world import World
from transforms.market.files import SECONDS_A_DAY, day_on, instant, numbered, shop_id


def loan_events(weeks: DataFrame, world: World) -> DataFrame:
    """One row an event of a loan, as the marketplace's file has it but with `amount_fen` and `day`.

    `drawn` is the principal; each instalment of it is a `due` at the time of the draw; `repaid` is principal alone
    (interest is in the payments); `written_off` what is left of it.
    """
    events = _exploded(weeks).filter((F.col("event.kind") != "defaulted") & (F.col("event.day") < world.days))
    seconds = F.col("event.day").cast("bigint") * SECONDS_A_DAY + F.col("event.second")
    loan_id = _loan_id()
    return events.select(
        F.concat_ws("-", loan_id, "event.kind", numbered("", F.col("week"), 3), numbered("", F.col("place"), 2)).alias(
            "event_id"
        ),
        shop_id("number").alias("shop_id"),
        F.col("event.day").alias("day"),
        instant(world, seconds).alias("at"),
        loan_id.alias("loan_id"),
        F.col("event.kind").alias("what"),
        "event.amount_fen",
        day_on(world, F.col("event.due_day")).alias("due_on"),
        "event.daily_rate",
        "event.term_days",
        "event.approval_probability",
    )


def default_causes(weeks: DataFrame, world: World) -> DataFrame:
    """One row a loan that went bad, for the truth: principal owed (fen), the week's last day, and the cause: the first
    that holds of fraud, strategic, closed, hidden loss, falling sales, hidden debt, thin cash.
    """
    return (
        _exploded(weeks)
        .filter(F.col("event.kind") == "defaulted")
        .select(
            shop_id("number").alias("shop_id"),
            _loan_id().alias("loan_id"),
            day_on(world, F.col("event.day")).alias("bad_on"),
            "event.amount_fen",
            "event.cause",
        )
    )


def _exploded(weeks: DataFrame) -> DataFrame:
    return weeks.select("number", "week", F.posexplode("loan_events").alias("place", "event"))


def _loan_id() -> Column:
    """L000123-0004."""
    return F.concat(numbered("L", F.col("number")), numbered("-", F.col("event.serial"), 4))
