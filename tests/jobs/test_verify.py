"""What `verify` says where a way has too many rows, or sellers whom nobody knows; the ways are made up, and cheap."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import UserError
from jobs import verify as verify_job
from jobs.aggregate import aggregate
from jobs.lakehouse.lake import Lake
from jobs.verify import Evidence, verify
from tests.jobs.test_broken_engine import AS_OF, LEDGER
from tests.oracle.histories import FIRST_DAY
from tests.oracle.test_histories import fill_bronze
from transforms.features import catalogue
from transforms.features.catalogue import BY_NAME
from transforms.tables.gold import SELLER_FEATURES

FEATURE = "orders_count_30d"
SELLERS = ["active", "back", "late", "leaving", "moved", "never", "quiet", "taken back"]


@pytest.mark.full  # a lake is filled and read for a minute
def test_rows_that_are_there_twice_and_sellers_whom_nobody_knows(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_bronze(lake, {"orders": LEDGER, "payments": []})
    aggregate(lake, AS_OF - timedelta(days=1))
    monkeypatch.setattr(verify_job, "CATALOGUE", (BY_NAME[FEATURE],))

    def ways(evidence: Evidence) -> dict[str, DataFrame]:
        rows = evidence.labels.select("seller_id", F.lit(1).cast("bigint").alias(FEATURE))
        return {"sweep": rows, "advance": rows, "rebuild": rows}

    monkeypatch.setattr(Evidence, "ways", ways)
    publish(lake, SELLERS)
    sound = verify(lake, AS_OF, 3)
    assert sound.failure == "" and sound.values["sellers"] == 3 and sound.values["of sellers known"] == 8

    publish(lake, SELLERS * 2)
    twice = "published has 16 rows of 8 sellers where 8 sellers are known"
    assert verify(lake, AS_OF, None).failure == f"as of {AS_OF} {twice}"

    publish(lake, [*SELLERS, "a ghost"])
    # a sample of more than there are is everyone: nobody's hash is too large
    proof = verify(lake, AS_OF, 9)
    assert "published has 9 rows of 9 sellers where 8 sellers are known; the ways differ in 1 of 9" in proof.failure
    told = "no profile and no event was known of this seller, who has features all the same"
    assert f"  before {AS_OF} {told}" in proof.lines
    with pytest.raises(UserError, match="nothing was known of any seller: the first news arrived on"):
        verify(lake, FIRST_DAY - timedelta(days=1000), None)


def publish(lake: Lake, sellers: Sequence[str]) -> None:
    """Publish the as-of day's slice with a row a name."""
    with lake.run("features", f"as_of={AS_OF}", {}, {"as_of": AS_OF}) as run:
        named = lake.spark.createDataFrame([(seller,) for seller in sellers], "seller_id string")
        values = {column.name: F.lit(None).cast(column.type) for column in SELLER_FEATURES if column.name in BY_NAME}
        values |= {FEATURE: F.lit(1).cast("bigint"), "as_of": F.lit(AS_OF), "run_id": F.lit(run.run_id)}
        run.replace(SELLER_FEATURES, named.withColumns(values), f"as_of = '{AS_OF}' and run_id = '{run.run_id}'")
        run.facts = {"catalogue": catalogue.digest()}
        run.publish()
