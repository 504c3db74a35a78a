"""Sellers' weeks -> what happened to their loans."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.world import World
from transforms.market.files import SECONDS_A_DAY, day_on, instant, shop_id


def loan_events(weeks: DataFrame, world: World) -> DataFrame:
    """One row an event of a loan, as the marketplace's file has it but with `amount_fen` and `day`.

    `drawn` is the principal; each instalment of it is a `due` at the time of the draw; `repaid` is principal alone
    (interest is in the payments); `written_off` what is left of it.
    """
    events = _exploded(weeks).filter((F.col("event.kind") != "defaulted") & (F.col("event.day") < world.days))
    seconds = F.col("event.day").cast("bigint") * SECONDS_A_DAY + F.col("event.second")
    loan_id = F.format_string("L%06d-%04d", "number", "event.serial")
    return events.select(
        F.concat_ws("-", loan_id, "event.kind", F.format_string("%03d-%02d", "week", "place")).alias("event_id"),
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
            F.format_string("L%06d-%04d", "number", "event.serial").alias("loan_id"),
            day_on(world, F.col("event.day")).alias("bad_on"),
            "event.amount_fen",
            "event.cause",
        )
    )


def _exploded(weeks: DataFrame) -> DataFrame:
    return weeks.select("number", "week", F.posexplode("loan_events").alias("place", "event"))
