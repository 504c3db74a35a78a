"""Real VAT invoices of some firms: counts against DuckDB, sweep against rebuild, outcomes as given."""

from datetime import date
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.source import load_source
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.ingest import ingest
from jobs.lakehouse.lake import Lake
from jobs.training_set import training_set_as_given
from tests.conftest import PROJECT, lake_at
from tests.oracle.test_features_against_duckdb import rebuilt, rows_of
from transforms.features.catalogue import CATALOGUE
from transforms.tables.bronze import ORDER_EVENTS, PAYMENT_EVENTS, QUARANTINE
from transforms.tables.gold import TRAINING_SET

INVOICES = PROJECT.parent / "shared" / "data" / "invoices"
FIRMS = ("E36", "E48", "E61", "E99", "E103", "E115", "E150", "E240", "E333", "E412")
TODAY = date(2026, 1, 1)

pytestmark = [
    pytest.mark.full,  # three minutes
    pytest.mark.skipif(
        not (INVOICES / "invoices.parquet").is_file(), reason=f"the public invoices are not in {INVOICES}"
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the data set, cut to some firms."""
    cut = tmp_path_factory.mktemp("invoices") / "in"
    cut.mkdir()
    firms = ", ".join(f"'{firm}'" for firm in FIRMS)
    for name in ("invoices.parquet", "enterprises.csv"):
        form = "parquet" if name.endswith("parquet") else "csv, header"
        rows = f"select * from '{INVOICES / name}' where enterprise_id in ({firms})"
        duckdb.sql(f"copy ({rows}) to '{cut / name}' (format {form})")
    return cut


@pytest.fixture(scope="module")
def lake(spark: SparkSession, folder: Path) -> Lake:
    lake = lake_at(spark, folder.parent)
    ingest(lake, load_source("vat_invoices"), str(folder), None, TODAY)
    aggregate(lake, date(2020, 3, 31))
    return lake


def test_every_invoice_is_accepted_or_a_repeat(lake: Lake, folder: Path) -> None:
    rows, distinct = duckdb.sql(
        f"select count(*), (select count(*) from (select distinct * from '{folder}/invoices.parquet'))"
        f" from '{folder}/invoices.parquet'"
    ).fetchall()[0]
    run = lake.last_run("ingest")
    assert run is not None
    assert rows > distinct
    assert run.figures["duplicate"] == rows - distinct
    assert run.figures["quarantined"] == lake.read(QUARANTINE).count() == 0
    accepted = lake.read(ORDER_EVENTS).count() + lake.read(PAYMENT_EVENTS).count()
    assert accepted == distinct


def test_net_sales_are_those_of_duckdb(lake: Lake, folder: Path) -> None:
    features(lake, date(2020, 3, 1))
    run = lake.last_run("features", "as_of=2020-03-01")
    assert run is not None
    names = ("seller_id", "as_of", *(feature.name for feature in CATALOGUE))
    have = {row[0]: dict(zip(names, row, strict=True))["net_sales_sum_365d"] for row in rows_of(lake, run.run_id)}
    # a voided sale is a sale and its cancellation on one day: nothing; a negative one is a refund
    wanted = duckdb.sql(
        f"""
        select enterprise_id, sum(case when invoice_date >= date '2020-03-01' - 365 and valid then cents else 0 end)
        from (select distinct *, cast(round(total * 100) as bigint) as cents from '{folder}/invoices.parquet')
        where side = 'output' group by enterprise_id
        """
    ).fetchall()
    assert {seller: have[seller] for seller, _ in wanted} == {seller: int(fen) for seller, fen in wanted}


@pytest.mark.parametrize("day", [date(2018, 3, 1), date(2019, 7, 15), date(2020, 3, 1)], ids=str)
def test_sweep_is_rebuild(lake: Lake, day: date) -> None:
    features(lake, day)
    run = lake.last_run("features", f"as_of={day}")
    assert run is not None
    by_sweep = rows_of(lake, run.run_id)
    assert len(by_sweep) == len(FIRMS)
    assert by_sweep == rebuilt(lake, day)


def test_outcomes_are_those_given_and_the_rating_is_no_feature(lake: Lake, folder: Path) -> None:
    training_set_as_given(lake)
    given = duckdb.sql(
        f"select enterprise_id, cast(defaulted as int) from '{folder}/enterprises.csv' where defaulted is not null"
    ).fetchall()
    rows = lake.read(TRAINING_SET).select("seller_id", "bad", F.col("as_of").cast("string")).collect()
    assert sorted(map(tuple, rows)) == sorted((firm, bad, "2020-03-01") for firm, bad in given)
    assert given and not [feature for feature in CATALOGUE if "rating" in feature.name and "bank" in feature.meaning]
    assert "rating" not in " ".join(str(feed.fields) for feed in load_source("vat_invoices").feeds)
