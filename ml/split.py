"""Which fold a row is in: a connected group is in one fold only."""

from pyspark.sql import Column
from pyspark.sql import functions as F


def fold_of(folds: int, seed: int, repeat: int = 0) -> Column:
    """Fold 0 to `folds` - 1 of a row, by a hash of its `group_id`: the same for every row of a group, in any run."""
    return F.pmod(F.xxhash64(F.lit(seed), F.lit(repeat), F.col("group_id")), F.lit(folds)).cast("int")
