"""Sellers' weeks -> what happened to their orders."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.world import World
from transforms.market.buyers import buyer_id, fake_buyer
from transforms.market.files import SECONDS_A_DAY, instant, numbered, shop_id, word_at
from transforms.market.seasons import CATEGORY_NAMES

_KEY = ("number", "week", "place")


def order_events(weeks: DataFrame, world: World) -> DataFrame:
    """One row an event of an order, as the marketplace's file has it but with `amount_fen` and `day` (the Shanghai day
    of the event, counted from the first). Hours are counted from the payment. Events of a shop that has closed, and
    those after the last day, are left out.
    """
    orders = weeks.select(
        "number",
        "week",
        "category",
        "ring",
        "closed_day",
        "distress",
        "quality",
        "refund_rate",
        F.posexplode("orders").alias("place", "order"),
    ).select(
        "number",
        "week",
        "place",
        "category",
        "ring",
        "closed_day",
        "distress",
        "quality",
        "refund_rate",
        "order.day",
        "order.amount_fen",
        "order.brushed",
        F.xxhash64(F.lit(world.seed), F.lit("order"), *_KEY).alias("chance"),
    )
    drawn = orders.select("*", *(_uniform(name).alias(f"u_{name}") for name in _CHANCES))
    timed = drawn.select(
        "*",
        # few buy before eight in the morning; the day's end is the busiest
        (F.col("day") * SECONDS_A_DAY + (8 * 3600 + 57_000 * F.sqrt("u_second"))).alias("paid_second"),
        F.expr("u_cancelled < 0.025 * exp(0.7 * distress) and not brushed").alias("is_cancelled"),
        F.expr(
            "case when brushed then 1 + 6 * u_ship_hours else least(18 * exp(-0.2 * quality + 0.8 * distress"
            " + 0.55 * sqrt(-2 * ln(u_ship_hours)) * cos(6.283185307179586 * u_ship_angle)), 400) end"
        ).alias("ship_hours"),
    ).select(
        "*",
        F.expr(
            "ship_hours + case when brushed then 2 + 14 * u_confirm_hours else 60 + 180 * u_confirm_hours end"
        ).alias("confirm_hours"),
    )
    # the square draws most orders from few of a shop's buyers: they come again
    pool = F.lit(40) + F.pmod(F.xxhash64("number"), F.lit(60))
    spread = F.pmod(F.xxhash64(F.col("chance"), F.lit("buyer")), F.lit(1 << 20)) / F.lit(1 << 20)
    regular = F.xxhash64(F.lit(world.seed), F.lit("pool"), F.col("number"), F.floor(pool * spread * spread))
    buyer = F.when(F.col("brushed"), fake_buyer(world, F.col("chance"))).otherwise(buyer_id(world, regular))
    # names are put together once an order, before its three or four events
    events = timed.select(
        "category",
        "closed_day",
        "paid_second",
        "chance",
        shop_id("number").alias("shop_id"),
        F.concat_ws(
            "-", numbered("O", F.col("number")), numbered("", F.col("week"), 3), numbered("", F.col("place"), 2)
        ).alias("order_id"),
        buyer.alias("buyer_id"),
        F.concat(numbered("I", F.col("number")), numbered("-", F.pmod("chance", F.lit(20)), 2)).alias("item_id"),
        # not F.filter, which is interpreted
        F.explode(F.array(*_stages())).alias("stage"),
    ).select(
        "*",
        F.floor((F.col("paid_second") + F.col("stage.hours") * 3600) / SECONDS_A_DAY).cast("int").alias("day"),
    )
    is_open = F.col("closed_day").isNull() | (F.col("day") < F.col("closed_day"))
    is_told = F.col("stage").isNotNull() & (F.col("day") < world.days) & is_open
    is_goods = F.col("stage.what") == "paid"
    quantity = F.pmod(F.xxhash64("chance", F.lit("quantity")), F.lit(3)) + 1
    return events.filter(is_told).select(
        F.concat_ws("-", "order_id", "stage.what").alias("event_id"),
        "shop_id",
        "day",
        instant(world, F.col("paid_second") + F.col("stage.hours") * 3600).alias("at"),
        "order_id",
        "buyer_id",
        "stage.what",
        "stage.amount_fen",
        F.when(is_goods, F.col("item_id")).alias("item_id"),
        F.when(is_goods, word_at(CATEGORY_NAMES, "category")).alias("category"),
        F.when(
            is_goods,
            (F.col("stage.amount_fen") * (F.lit(1.0) + 0.3 * F.pmod("chance", F.lit(100)) / 100)).cast("bigint"),
        ).alias("list_price_fen"),
        F.when(is_goods, quantity.cast("int")).alias("quantity"),
        F.when(~is_goods, F.round("stage.hours", 2)).alias("hours_since_paid"),
        "stage.logistics",
        "stage.rating",
        "stage.reason",
    )


_CHANCES = (
    "second",
    "cancelled",
    "ship_hours",
    "ship_angle",
    "confirmed",
    "confirm_hours",
    "rated",
    "stars",
    "refunded",
    "refund_hours",
    "refund_part",
    "reason",
    "disputed",
)


def _uniform(purpose: str) -> Column:
    words = F.xxhash64(F.col("chance"), F.lit(purpose))
    return (F.shiftrightunsigned(words, 11) + F.lit(0.5)) * F.lit(2.0**-53)


def _stages() -> list[Column]:
    stars = (
        "case when brushed or u_stars < 0.62 + 0.08 * quality - 0.30 * distress then 5"
        " when u_stars < 0.86 + 0.03 * quality - 0.22 * distress then 4"
        " when u_stars < 0.93 - 0.12 * distress then 3 when u_stars < 0.965 - 0.06 * distress then 2 else 1 end"
    )
    refunded = "u_refunded < refund_rate and not brushed and not is_cancelled"
    quality_share = "0.25 - 0.06 * quality + 0.25 * distress"
    reason = f"case when u_reason < {quality_share} then 'quality' when u_reason < 0.6 then 'unwanted' else 'late' end"
    part = "case when u_refund_part < 0.7 then amount_fen else cast(amount_fen * u_refund_part as bigint) end"
    return [
        _stage("paid", "true", "0.0"),
        _stage("cancelled", "is_cancelled", "0.2 + 11 * u_ship_hours"),
        _stage(
            "shipped",
            "not is_cancelled",
            "ship_hours",
            # a carrier's scan is missing for one honest parcel in a hundred
            logistics="not brushed and u_ship_angle >= 0.01",
        ),
        _stage(
            "confirmed", f"not is_cancelled and (brushed or u_confirmed < 0.75) and not ({refunded})", "confirm_hours"
        ),
        _stage(
            "rated",
            f"not is_cancelled and u_rated < if(brushed, 0.8, 0.22) and not ({refunded})",
            "confirm_hours + 1 + 40 * u_stars",
            rating=stars,
        ),
        _stage("refunded", refunded, "ship_hours + 40 + 300 * u_refund_hours", amount=part, reason=reason),
        _stage(
            "disputed",
            "u_disputed < 0.006 * exp(-0.3 * quality + distress) and not is_cancelled and not brushed",
            "ship_hours + 30 + 200 * u_refund_hours",
            reason=reason,
        ),
    ]


def _stage(
    what: str,
    when: str,
    hours: str,
    *,
    amount: str = "amount_fen",
    logistics: str = "null",
    rating: str = "null",
    reason: str = "null",
) -> Column:
    return F.expr(
        f"case when {when} then named_struct('what', '{what}', 'hours', cast({hours} as double),"
        f" 'amount_fen', greatest({amount}, 1L), 'logistics', cast({logistics} as boolean),"
        f" 'rating', cast({rating} as int), 'reason', cast({reason} as string)) end"
    )
