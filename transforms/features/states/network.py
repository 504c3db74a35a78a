"""The connected group of a seller: how many, how the others pay, what they owe; as known before an as-of day."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.features.states.loans import DUE, REPAID, bad_sellers_at
from transforms.features.states.state import State
from transforms.groups.groups import groups_at
from transforms.windows.asked import Asked

NETWORK_STATES = (
    State("group_size", "graph", "bigint", "sellers in the connected group, itself among them"),
    State("others_closed", "graph", "bigint", "other shops of the group that have closed"),
    State("others_bad", "graph", "bigint", "others 30 days past due in the last 365 days or written off", DUE),
    State("others_outstanding_fen", "graph", "bigint", "principal that the others owe, fen", REPAID),
)


def network_states_at(sellers: DataFrame, book: DataFrame, asked: Asked) -> DataFrame:
    """(seller_id, as_of) with NETWORK_STATES, from bronze.sellers and silver.loan_book; of known profiles.

    The others of a group need not be asked for: every seller's state as of the days is looked at.
    """
    each = (
        groups_at(sellers, asked)
        .join(bad_sellers_at(book, asked), ["seller_id", "as_of"], "left")
        .select(
            "seller_id",
            "as_of",
            "group_id",
            "members",
            F.coalesce(F.col("closed_on") < F.col("as_of"), F.lit(False)).cast("bigint").alias("closed"),
            F.coalesce("was_bad", F.lit(False)).cast("bigint").alias("bad"),
            F.coalesce("outstanding_fen", F.lit(0)).alias("fen"),
        )
    )
    return each.select(
        "seller_id",
        "as_of",
        F.col("members").alias("group_size"),
        _others("closed").alias("others_closed"),
        _others("bad").alias("others_bad"),
        _others("fen").alias("others_outstanding_fen"),
    )


def _others(name: str) -> Column:
    """A value summed over the others of the group."""
    return F.sum(name).over(Window.partitionBy("as_of", "group_id")) - F.col(name)
