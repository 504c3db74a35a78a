"""Which record is new, which repeats one that we have, which contradicts it, and what a correction takes back."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.tables.table import Table

ACCEPTED, DUPLICATE, QUARANTINED = "accepted", "duplicate", "quarantined"
KNOWN_OTHERWISE = "event_id: known already with other content"

_OWN_TO_A_CORRECTION = (
    "event_id",
    "voids",
    "sign",
    "arrival_day",
    "arrival_month",
    "content_hash",
    "delivery_id",
)


def judge_versions(records: DataFrame, known: DataFrame) -> DataFrame:
    """Add `status` to sound seller versions. A version repeats another when it says the same of the same seller and
    day.
    """
    identity = F.concat_ws("/", "seller_id", "changed_on", "content_hash")
    return _repeats(records.withColumn("identity", identity), _hashes(known, identity))


def judge_events(records: DataFrame, known: DataFrame) -> DataFrame:
    """Add `status` to sound events, corrections apart: `resolve_corrections` has the last word on those.

    `known` are the table's published events with one of their ids. The outcome is that of taking the deliveries in one
    after another: a repeat in every field is a duplicate; the same id with other content is a conflict: within one
    delivery all of them are refused, against an earlier delivery the newcomer is.
    """
    return _repeats(records.withColumn("identity", F.col("event_id")), _hashes(known, F.col("event_id")))


def refused(records: DataFrame) -> DataFrame:
    """Records in which something is wrong, judged."""
    return records.withColumn("status", F.lit(QUARANTINED))


def is_correction() -> Column:
    """Of judged events: those that are accepted so far and take another event back."""
    return (F.col("status") == ACCEPTED) & F.col("voids").isNotNull()


def id_hash(event_id: Column) -> Column:
    """64 bits of an id. Two ids share them by chance once in 10^19: what they say is looked at again, id by id."""
    return F.when(event_id.isNotNull(), F.xxhash64(event_id))


def suspects(ids: DataFrame, known: DataFrame) -> DataFrame:
    """Hashes of ids whose records may be no news, or none that stands by itself: that stand twice in `ids` (id_hash,
    voids_hash, is_sound), are of a record that is not sound or of a correction, are named by one, or are among `known`
    events. All others need no second look.
    """
    with_id = ids.filter(F.col("id_hash").isNotNull())
    twice = with_id.groupBy("id_hash").count().filter("count > 1").select("id_hash")
    odd = with_id.filter(~F.col("is_sound") | F.col("voids_hash").isNotNull()).select("id_hash")
    voided = ids.filter(F.col("voids_hash").isNotNull()).select(F.col("voids_hash").alias("id_hash"))
    before = known.select(id_hash(F.col("event_id")).alias("id_hash"))
    return twice.unionByName(odd).unionByName(voided).unionByName(before).distinct()


def _hashes(known: DataFrame, identity: Column) -> DataFrame:
    """One row an identity: an id that came again long after stands in the table with each of its contents."""
    return known.groupBy(identity.alias("identity")).agg(F.collect_set("content_hash").alias("known_hashes"))


def _repeats(records: DataFrame, known: DataFrame) -> DataFrame:
    is_known = F.array_contains("known_hashes", F.col("content_hash"))
    known_hash = F.when(is_known, F.col("content_hash")).otherwise(F.array_min("known_hashes"))
    placed = records.join(known, "identity", "left").withColumn("known_hash", known_hash).drop("known_hashes")
    in_delivery = Window.partitionBy("identity", "delivery_order", "delivery_id")
    in_order = Window.partitionBy("identity").orderBy("delivery_order", "delivery_id", "file", "position")
    # by rows, not by range: lines of a CSV have no position, and peers would each see the other as an earlier one
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    contradicts_itself = F.col("smallest") != F.col("largest")
    # the widest order first: rows are sorted once for all three windows
    hashed = placed.withColumn("place", F.row_number().over(in_order)).withColumns(
        {
            "smallest": F.min("content_hash").over(in_delivery),
            "largest": F.max("content_hash").over(in_delivery),
        }
    )
    standing = F.when(~contradicts_itself, F.col("content_hash"))
    ordered = hashed.withColumns(
        {
            "first_hash": F.coalesce("known_hash", F.first(standing, ignorenulls=True).over(so_far)),
            # the earlier sound records of this identity: the first of them is the one that counts
            "earlier": F.count(standing).over(so_far) - F.when(standing.isNotNull(), 1).otherwise(0),
        }
    )
    is_conflict = contradicts_itself | (F.col("content_hash") != F.col("first_hash"))
    is_repeat = ~is_conflict & (F.col("known_hash").isNotNull() | (F.col("earlier") > 0))
    conflict = F.when(
        is_conflict & contradicts_itself, F.lit("event_id: stands twice in its delivery with different content")
    ).when(is_conflict, F.lit(KNOWN_OTHERWISE))
    return ordered.withColumns(
        {
            "reasons": F.when(conflict.isNotNull(), F.array(conflict)).otherwise(F.col("reasons")),
            "status": F.when(is_conflict, QUARANTINED).when(is_repeat, DUPLICATE).otherwise(ACCEPTED),
        }
    ).drop("identity", "known_hash", "smallest", "largest", "first_hash", "earlier", "place")


def resolve_corrections(judged: DataFrame, before: DataFrame, voided: DataFrame, table: Table) -> DataFrame:
    """The corrections among judged events, with the values of the events that they void.

    A correction whose original is unknown when it arrives, is a correction itself, or was voided already, is refused.
    Of an id that came again long after, the newest event that was known then is the original.
    `before` are the published events that these corrections name, `voided` (voids, event_day) those among them that a
    published correction took back. The caller should have persisted `judged`: it is read twice.
    """
    values = [name for name in table.names if name not in _OWN_TO_A_CORRECTION]
    columns = ("delivery_order", "sign", "arrival_day", *values)
    corrections = judged.filter(is_correction())
    wanted = corrections.select(F.col("voids").alias("event_id")).distinct()
    here = judged.filter(F.col("status") == ACCEPTED).join(wanted, "event_id", "left_semi").select("event_id", *columns)
    originals = here.unionByName(before.withColumn("delivery_order", F.lit(-1)).select("event_id", *columns)).select(
        F.col("event_id").alias("voids"), F.struct(*columns).alias("original")
    )
    voided = voided.select(
        "voids", F.col("event_day").alias("original_day"), F.lit(True).alias("voided_before")
    ).distinct()
    joined = corrections.join(originals, "voids", "left").withColumn("original_day", F.col("original.event_day"))
    # an assumed day is no word of the source's that the correction came before its original
    arrival_day = F.when(
        F.col("arrival_is_assumed"), F.greatest(F.col("original.arrival_day"), F.col("arrival_day"))
    ).otherwise(F.col("arrival_day"))
    knew = (F.col("original.delivery_order") <= F.col("delivery_order")) & (
        F.col("original.arrival_day") <= arrival_day
    )
    newest = Window.partitionBy("event_id").orderBy(
        F.desc_nulls_last("knew"),
        F.desc("original.delivery_order"),
        F.desc("original.arrival_day"),
        F.desc("original_day"),
    )
    chosen = (
        joined.withColumns({"knew": knew, "own_day": arrival_day})
        .withColumn("choice", F.row_number().over(newest))
        .filter("choice = 1")
        .join(voided, ["voids", "original_day"], "left")
    )
    problem = (
        F.when(F.col("original").isNull() | ~F.col("knew"), F.lit("voids: the event is unknown"))
        .when(F.col("original.sign") == -1, F.lit("voids: is itself a correction"))
        .when(F.col("original.seller_id") != F.col("seller_id"), F.lit("voids: the event is another seller's"))
        .when(F.col("voided_before"), F.lit("voids: the event was voided before"))
    )
    in_turn = Window.partitionBy("voids", "original_day").orderBy(
        F.col("problem").isNotNull(), "delivery_order", "delivery_id", "arrival_day", "event_id"
    )
    ranked = chosen.withColumn("problem", problem).withColumn("turn", F.row_number().over(in_turn))
    problem = F.coalesce("problem", F.when(F.col("turn") > 1, F.lit("voids: the event was voided before")))
    resolved = ranked.withColumns(
        {
            **{name: F.col(f"original.{name}") for name in values if name != "seller_id"},
            "arrival_day": F.col("own_day"),
            "arrival_month": F.substring(F.col("own_day").cast("string"), 1, 7),
            "reasons": F.when(problem.isNotNull(), F.array(problem)).otherwise(F.col("reasons")),
            "status": F.when(problem.isNotNull(), F.lit(QUARANTINED)).otherwise(F.col("status")),
        }
    )
    return resolved.select(*judged.columns)
