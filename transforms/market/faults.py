"""Sound records -> delivered ones, some late, twice, unreadable or taken back, as real files are."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.world import Faults, World
from transforms.market.chance import Chance, uniform_column, whole_column
from transforms.market.files import day_on, yuan

VOID, AMENDED = ".void", ".amended"
"""What is added to a record's id: by the correction that takes it back, by the record that stands in its place."""


def delivered(events: DataFrame, world: World, amounts: tuple[str, ...], is_critical: bool) -> DataFrame:
    """One row a delivered record of `events`: all its columns, with money (`amounts`, named *_fen) as text in yuan,
    `voids`, `delivered_on` and `faults`: what is wrong with this very record, of late, duplicate, broken, correction,
    amendment, conflict and clock (for the truth, not for the file). What would be delivered after the last day is left
    out.

    Of critical records (loans) none is lost: a broken one, or one of a wrong clock, is delivered again, sound, and one
    taken back always stands anew under another id. Of others a broken record never comes, and half of those taken back
    never were.
    """
    faults, seed = world.faults, world.seed
    late = F.when(
        uniform_column(seed, "late", "event_id") < faults.late, 1 + whole_column(seed, "late days", 14, "event_id")
    )
    later = 1 + whole_column(seed, "later", 10, "event_id")
    judged = events.select(
        *(column for column in events.columns if column not in amounts),
        *(yuan(F.col(name)).alias(name.removesuffix("_fen")) for name in amounts),
        fault_of(faults, seed, "event_id").alias("fault"),
        (F.col("day") + F.coalesce(late, F.lit(0))).alias("delivered_day"),
        late.isNotNull().alias("is_late"),
        later.alias("later"),
        whole_column(seed, "how broken", len(BROKEN), "event_id").alias("how"),
    )
    is_amended = F.lit(True) if is_critical else uniform_column(seed, "amended", "event_id") < 0.5
    again = [_copy("sound", F.col("later"))] if is_critical else []
    copies = (
        F.when(F.col("fault") == "duplicated", F.array(_copy("sound"), _copy("duplicate", F.col("later") % 6)))
        .when(F.col("fault").isin("broken", "clock"), F.array(_copy(F.col("fault")), *again))
        .when(F.col("fault") == "conflicting", F.array(_copy("sound"), _copy("conflict", F.col("later"))))
        .when(
            F.col("fault") == "corrected",
            F.when(
                is_amended,
                F.array(_copy("sound"), _copy("correction", F.col("later")), _copy("amendment", F.col("later"))),
            ).otherwise(F.array(_copy("sound"), _copy("correction", F.col("later")))),
        )
        .otherwise(F.array(_copy("sound")))
    )
    copied = judged.withColumn("copy", F.explode(copies)).withColumn(
        "delivered_day", F.col("delivered_day") + F.col("copy.after")
    )
    role = F.col("copy.role")
    event_id = (
        F.when(role == "correction", F.concat("event_id", F.lit(VOID)))
        .when(role == "amendment", F.concat("event_id", F.lit(AMENDED)))
        .otherwise(F.col("event_id"))
    )
    # the amended record says nine tenths of the amount; a loan's is the same, so that its dues still add up
    amended = (
        F.col("amount")
        if is_critical
        else (F.col("amount").cast("decimal(18,2)") * F.lit(0.9).cast("decimal(2,1)"))
        .cast("decimal(18,2)")
        .cast("string")
    )
    changed: dict[str, Column] = {
        "event_id": event_id,
        "shop_id": F.when(_is("no shop"), F.lit(None)).otherwise(F.col("shop_id")),
        "at": F.when(_is("time to come"), F.col("at") + F.expr("interval 400 days"))
        .when(role == "clock", F.expr("at + make_dt_interval(int(delivered_day - day + 1 + later % 3))"))
        .otherwise(F.col("at")),
        "what": F.when(_is("unknown kind"), F.lit("undefined")).otherwise(F.col("what")),
        "amount": F.when(_is("decimal comma"), F.regexp_replace("amount", r"\.", ","))
        .when(_is("letters"), F.lit("abc"))
        .when(_is("empty amount"), F.lit(""))
        .when(role == "amendment", amended)
        .when(role == "conflict", F.concat(F.lit("1"), F.col("amount")))
        .otherwise(F.col("amount")),
    }
    return copied.filter(F.col("delivered_day") < world.days).select(
        *(
            changed.get(name, F.col(name)).alias(name)
            for name in judged.columns
            if name not in ("day", "fault", "delivered_day", "later", "how", "is_late", "copy")
        ),
        F.when(role == "correction", F.col("event_id")).alias("voids"),
        day_on(world, F.col("delivered_day")).alias("delivered_on"),
        # not array_compact, which is interpreted
        F.when(F.col("is_late") & (role != "sound"), F.array(F.lit("late"), role))
        .when(F.col("is_late"), F.array(F.lit("late")))
        .when(role != "sound", F.array(role))
        .otherwise(F.array().cast("array<string>"))
        .alias("faults"),
    )


BROKEN = ("decimal comma", "letters", "empty amount", "unknown kind", "no shop", "time to come")


def _is(how: str) -> Column:
    return (F.col("copy.role") == "broken") & (F.col("how") == BROKEN.index(how))


def _copy(role: str | Column, after: Column | None = None) -> Column:
    after = F.lit(0) if after is None else after
    return F.struct((F.lit(role) if isinstance(role, str) else role).alias("role"), after.cast("int").alias("after"))


def fault_of(faults: Faults, seed: int, event_id: str) -> Column:
    """What is wrong with the record of this id, null for nothing; lateness is apart from it."""
    chance = uniform_column(seed, "fault", event_id)
    fault, upto = F.when(F.lit(False), F.lit(None).cast("string")), 0.0
    for name in ("duplicated", "broken", "corrected", "conflicting", "clock"):
        upto += getattr(faults, name)
        fault = fault.when(chance < upto, name)
    return fault


def file_fault(world: World, feed: str, day: int) -> str | None:
    """What is wrong with the file of orders or payments of a day, counted from the world's first."""
    if feed not in ("orders", "payments"):
        return None
    chance = Chance(world.seed, np.array([day]))
    drawn, which = (float(chance.uniform(f"{purpose}/{feed}")[0]) for purpose in ("file", "drift"))
    if drawn < world.faults.drifted_files:
        return DRIFTS[int(which * len(DRIFTS))]
    return TRUNCATED if drawn < world.faults.drifted_files + world.faults.truncated_files else None


DRIFTS = ("renamed column", "extra column", "retyped column")
TRUNCATED = "truncated file"


def drifted(records: pa.Table, fault: str | None) -> pa.Table:
    """The file's records as its fault has them: `amount` is `amount_yuan`, a `channel` more, or `amount` a double."""
    if fault == "renamed column":
        return records.rename_columns(["amount_yuan" if name == "amount" else name for name in records.column_names])
    if fault == "extra column":
        return records.append_column("channel", pa.array(["app"] * len(records), pa.string()))
    if fault == "retyped column":
        # what is no number is null in a column of numbers
        plain = pc.match_substring_regex(records["amount"], r"^-?\d+\.\d+$")
        amount = pc.if_else(plain, records["amount"], None).cast(pa.float64())
        return records.set_column(records.column_names.index("amount"), "amount", amount)
    return records
