"""Which grade is in effect: a worse one at once, a better one when two snapshots agree."""

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.policy import Grades


def grade_in_effect(grade_by_model: Column, grades: Grades) -> Column:
    """Grade in effect, 1 (best) and up; null where the model gave none.

    Reads the columns ``as_of``, ``model_version``, ``previous_grade`` and ``previous_model_version`` (of the seller's
    last decision), ``earlier_grade_by_model``, ``earlier_model_version`` and ``earlier_as_of`` (what the model alone
    gave in the latest published snapshot that is old enough to agree).

    * A worse grade than the last decision's holds at once.
    * A better one holds as far as both snapshots go: last 5, then 3, now 2 gives 3.
    * A new model version starts fresh: neither the last grade nor an earlier snapshot of another version counts.
    """
    is_same_model = F.col("previous_model_version").eqNullSafe(F.col("model_version"))
    previous = F.when(is_same_model, F.col("previous_grade"))
    is_old_enough = F.date_diff(F.col("as_of"), F.col("earlier_as_of")) >= grades.days_between_agreeing_snapshots
    is_comparable = F.col("earlier_model_version").eqNullSafe(F.col("model_version")) & is_old_enough
    earlier = F.when(is_comparable, F.col("earlier_grade_by_model"))
    # greatest and least skip nulls, which here is meant: no last grade is no brake
    floor_by_history = F.when(previous.isNotNull(), F.least(previous, F.coalesce(earlier, previous)))
    return F.when(grade_by_model.isNotNull(), F.greatest(grade_by_model, floor_by_history)).cast("int")
