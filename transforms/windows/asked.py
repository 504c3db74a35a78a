"""Of which sellers, and as of which days, something is asked.

For one day of every seller, which is what each day's refresh asks, the day is a literal: no join, and nothing of the
list of sellers goes to the driver. A training set asks some sellers as of some days, which is a list to join with.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class Asked(ABC):
    """Each method gives rows a column `as_of`, a row once for each as-of day that it is met with."""

    @abstractmethod
    def of_sellers(self, rows: DataFrame) -> DataFrame:
        """Rows of sellers (seller_id) with the days asked of their seller."""

    @abstractmethod
    def of_days(self, rows: DataFrame) -> DataFrame:
        """Rows with every day that is asked of anyone."""

    @abstractmethod
    def of_windows(self, rows: DataFrame, days: int) -> DataFrame:
        """Rows of events (event_day, arrival_day) with every day asked of anyone whose window they are known in."""

    @abstractmethod
    def only(self, rows: DataFrame) -> DataFrame:
        """Of rows (seller_id, as_of) those that are asked for."""


@dataclass(frozen=True)
class EverySeller(Asked):
    """Every seller as of one day."""

    as_of: date

    def of_sellers(self, rows: DataFrame) -> DataFrame:
        """Every row."""
        return self.of_days(rows)

    def of_days(self, rows: DataFrame) -> DataFrame:
        """Every row."""
        return rows.withColumn("as_of", F.lit(self.as_of))

    def of_windows(self, rows: DataFrame, days: int) -> DataFrame:
        """The window's rows."""
        return _in_window(self.of_days(rows), days)

    def only(self, rows: DataFrame) -> DataFrame:
        """Every row."""
        return rows


@dataclass(frozen=True)
class Chosen(Asked):
    """Some sellers as of some days."""

    labels: DataFrame
    """A row a (seller_id, as_of), none twice; more columns do no harm."""

    def of_sellers(self, rows: DataFrame) -> DataFrame:
        """By a join with the labels: no hint, for 3 x 10^7 of them are more than a driver of 1.5 GB can send around."""
        return rows.join(self.labels.select("seller_id", "as_of"), "seller_id")

    def of_days(self, rows: DataFrame) -> DataFrame:
        """By a join with their days."""
        return rows.crossJoin(F.broadcast(self._days()))

    def of_windows(self, rows: DataFrame, days: int) -> DataFrame:
        """By the month of the event, so that the join is by hash and no row meets every as-of day."""
        first = F.date_sub("as_of", days)
        of_month = F.sequence(F.trunc(first, "month"), F.col("as_of"), F.expr("interval 1 month"))
        months = self._days().select("as_of", F.explode(of_month).alias("month"))
        by_month = rows.withColumn("month", F.trunc("event_day", "month"))
        return _in_window(by_month.join(F.broadcast(months), "month"), days)

    def only(self, rows: DataFrame) -> DataFrame:
        """By a semi-join with the labels."""
        return rows.join(self.labels.select("seller_id", "as_of"), ["seller_id", "as_of"], "left_semi")

    def _days(self) -> DataFrame:
        return self.labels.select("as_of").distinct()


def _in_window(rows: DataFrame, days: int) -> DataFrame:
    in_window = (F.col("event_day") >= F.date_sub("as_of", days)) & (F.col("event_day") < F.col("as_of"))
    return rows.filter(in_window & (F.col("arrival_day") < F.col("as_of")))
