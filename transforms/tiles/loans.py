"""Loan events -> the loan book: each loan's state as known from one arrival day on."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from transforms.tables.silver import LOAN_BOOK


def loan_states(events: DataFrame) -> DataFrame:
    """One row a loan and arrival day that brought news of it; needs every earlier event of the loans in it.

    Repayments count against instalments in order of their due days, whatever the payer had in mind. Days past due at
    an as-of day `d` are `d - oldest_unpaid_due_on`: nothing happens on the days in between.
    """
    counted = events.filter(F.col("kind").isin("drawn", "due", "repaid", "written_off"))
    news = counted.groupBy("loan_id", "arrival_day").agg(
        F.max("seller_id").alias("seller_id"),
        _total("drawn").alias("drawn_fen"),
        _total("repaid").alias("repaid_fen"),
        _total("written_off").alias("written_off_fen"),
        F.min(F.when(F.col("kind") == "drawn", F.col("event_day"))).alias("drawn_on"),
        F.max(F.when(F.col("kind") == "repaid", F.col("event_day"))).alias("repaid_on"),
    )
    so_far = Window.partitionBy("loan_id").orderBy("arrival_day")
    states = news.withColumns(
        {
            **{name: F.sum(name).over(so_far) for name in ("drawn_fen", "repaid_fen", "written_off_fen")},
            "drawn_on": F.min("drawn_on").over(so_far),
            "repaid_on": F.max("repaid_on").over(so_far),
        }
    ).withColumn("outstanding_fen", F.col("drawn_fen") - F.col("repaid_fen") - F.col("written_off_fen"))
    dues = (
        counted.filter(F.col("kind") == "due")
        .groupBy("loan_id", "due_on", F.col("arrival_day").alias("due_known_on"))
        .agg(F.sum(F.col("sign") * F.col("amount_fen")).alias("due_fen"))
    )
    is_known = F.col("due_known_on") <= F.col("arrival_day")
    instalments = (
        states.select("loan_id", "arrival_day", "repaid_fen")
        .join(dues, "loan_id", "inner")
        .filter(is_known)
        .groupBy("loan_id", "arrival_day", "repaid_fen", "due_on")
        .agg(F.sum("due_fen").alias("due_fen"))
        .filter(F.col("due_fen") > 0)
    )
    in_order = Window.partitionBy("loan_id", "arrival_day").orderBy("due_on")
    unpaid = F.col("due_so_far") - F.col("repaid_fen")
    oldest = (
        instalments.withColumn("due_so_far", F.sum("due_fen").over(in_order))
        .groupBy("loan_id", "arrival_day")
        .agg(
            F.max("due_on").alias("last_due_on"),
            F.min(F.when(unpaid > 0, F.struct("due_on", unpaid.alias("unpaid")))).alias("oldest"),
        )
    )
    return (
        states.join(oldest, ["loan_id", "arrival_day"], "left")
        .select(
            "loan_id",
            "seller_id",
            "arrival_day",
            "drawn_on",
            "drawn_fen",
            "repaid_fen",
            "written_off_fen",
            "outstanding_fen",
            "last_due_on",
            F.col("oldest.due_on").alias("oldest_unpaid_due_on"),
            F.coalesce("oldest.unpaid", F.lit(0)).cast("bigint").alias("oldest_unpaid_fen"),
            F.when((F.col("drawn_fen") > 0) & (F.col("outstanding_fen") <= 0), F.col("repaid_on")).alias("settled_on"),
        )
        .select(*LOAN_BOOK.names)
    )


def _total(kind: str) -> Column:
    return F.sum(F.when(F.col("kind") == kind, F.col("sign") * F.col("amount_fen")).otherwise(0))
