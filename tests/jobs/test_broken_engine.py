"""The engine broken on purpose, in the ways in which such engines break: `verify` sees each, and shows the events."""

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import aggregate as aggregate_job
from jobs.aggregate import aggregate
from jobs.features import features
from jobs.lakehouse.lake import Lake
from jobs.verify import verify
from tests.conftest import lake_at
from tests.oracle.histories import FIRST_DAY, Row
from tests.oracle.test_histories import fill_bronze
from transforms.features import known
from transforms.windows import advance as advance_module

AS_OF = FIRST_DAY + timedelta(days=200)
CLOSED_FIRST = AS_OF - timedelta(days=100)


def order(number: int, seller: str, buyer: str, happened: int, arrived: int | None = None, sign: int = 1) -> Row:
    """A paid order, its days counted back from the as-of day."""
    return {
        "event_id": f"{seller}-{number}",
        "seller_id": seller,
        "buyer_id": buyer,
        "kind": "paid",
        "direction": None,
        "amount_fen": 1_000 + number,
        "event_day": AS_OF - timedelta(days=happened),
        "arrival_day": AS_OF - timedelta(days=happened if arrived is None else arrived),
        "item_id": "one",
        "category": "hats",
        "sign": sign,
    }


LEDGER: list[Row] = [
    # late news
    order(1, "late", "a", 40),
    order(2, "late", "a", 20, 5),
    # leaves the window of 30 days between the day before and the as-of day
    order(3, "leaving", "a", 31),
    order(4, "leaving", "a", 30),
    # arrived when its 30 days were over
    order(5, "never", "a", 31, 0 + 1),
    order(6, "never", "b", 31, 1),
    order(7, "taken back", "a", 25),
    order(7, "taken back", "a", 25, 3, -1) | {"event_id": "void-7"},
    # a first order that comes to be known late: then the buyer is not new in 90 days
    order(8, "moved", "a", 50),
    order(9, "moved", "a", 95, 4),
    # a buyer of before the first closing comes back
    order(10, "back", "a", 190),
    order(11, "back", "a", 10),
    # one day, an order on time and a late one
    order(12, "active", "a", 12),
    order(13, "active", "b", 12, 6),
    order(14, "quiet", "a", 3),
    # a third order of one buyer: the second newest moves
    order(15, "active", "c", 70),
    order(16, "active", "c", 60),
    order(17, "active", "c", 50),
]


PAYMENTS: list[Row] = [
    order(30, "quiet", "", 9) | {"kind": "sale", "direction": "in", "balance_fen": 700},
    order(31, "quiet", "", 6) | {"kind": "supplier", "direction": "out", "balance_fen": 100},
]
LOANS: list[Row] = [
    order(40, "back", "", 60) | {"kind": "drawn", "loan_id": "L1"},
    order(41, "back", "", 60) | {"kind": "due", "loan_id": "L1", "due_on": AS_OF - timedelta(days=30)},
    order(42, "back", "", 35) | {"kind": "repaid", "loan_id": "L1", "amount_fen": 400},
]


@pytest.fixture(scope="module")
def bronze(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bronze")
    fill_bronze(lake_at(spark, folder), {"orders": LEDGER, "payments": PAYMENTS, "loans": LOANS})
    return folder


Break = Callable[[pytest.MonkeyPatch], None]


def late_event_dropped(patch: pytest.MonkeyPatch) -> None:
    _change_tiles(patch, lambda tiles: tiles.filter("not (is_back_dated and paid_orders > 0)"))


def duplicate_counted(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job.seller_days
    patch.setattr(aggregate_job, "seller_days", lambda orders, *rest: real(orders.union(orders), *rest))


def correction_ignored(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job.seller_days
    patch.setattr(aggregate_job, "seller_days", lambda orders, *rest: real(orders.filter("sign > 0"), *rest))


def expiry_a_day_late(patch: pytest.MonkeyPatch) -> None:
    real = advance_module._leaving

    def shifted(tiles: DataFrame, since: date, as_of: date, windows: advance_module.Windows) -> object:
        day = timedelta(days=1)
        return real(tiles, since - day, as_of - day, windows)

    patch.setattr(advance_module, "_leaving", shifted)


def never_counted_taken_off(patch: pytest.MonkeyPatch) -> None:
    """The classic: a tile that arrived after its window had closed is taken off all the same."""
    real = advance_module._leaving

    def careless(tiles: DataFrame, *rest: object) -> object:
        return real(tiles.withColumn("arrival_day", F.col("event_day")), *rest)

    patch.setattr(advance_module, "_leaving", careless)


def sweep_without_late_tiles(patch: pytest.MonkeyPatch) -> None:
    real = known.sweep
    patch.setattr(known, "sweep", lambda tiles, *rest: real(tiles.filter("not is_back_dated"), *rest))


def first_day_not_moved_back(patch: pytest.MonkeyPatch) -> None:
    _change_tiles(
        patch, lambda tiles: tiles.withColumn("first_buyers", F.when(_late(), 0).otherwise(F.col("first_buyers")))
    )


def second_order_not_moved(patch: pytest.MonkeyPatch) -> None:
    _change_tiles(
        patch, lambda tiles: tiles.withColumn("second_last_buyers", F.greatest("second_last_buyers", F.lit(0)))
    )


def old_last_day_not_taken_off(patch: pytest.MonkeyPatch) -> None:
    _change_tiles(patch, lambda tiles: tiles.withColumn("last_buyers", F.greatest("last_buyers", F.lit(0))))


def archived_buyer_is_new(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job._earlier_pairs
    patch.setattr(aggregate_job, "_earlier_pairs", lambda *told: real(*told).limit(0))


def active_day_counted_twice(patch: pytest.MonkeyPatch) -> None:
    def careless(news: DataFrame, before: DataFrame) -> DataFrame:
        days = news.filter("orders > 0").select(*aggregate_job.KEY).distinct()
        return days.withColumn("active_days", F.lit(1).cast("bigint"))

    patch.setattr(aggregate_job, "active_day_changes", careless)


def taken_back_item_is_sold(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job.item_days
    patch.setattr(aggregate_job, "item_days", lambda orders: real(orders.filter("sign > 0")))


def repayment_lost(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job.loan_states
    patch.setattr(aggregate_job, "loan_states", lambda loans: real(loans.filter("kind <> 'repaid'")))


def newest_balance_lost(patch: pytest.MonkeyPatch) -> None:
    real = aggregate_job.day_balances
    patch.setattr(aggregate_job, "day_balances", lambda payments: real(payments.filter("kind <> 'supplier'")))


def seller_lost(patch: pytest.MonkeyPatch) -> None:
    _change_tiles(patch, lambda tiles: tiles.filter("seller_id <> 'quiet'"))


def seller_made_up(patch: pytest.MonkeyPatch) -> None:
    """Whom no event tells of: the carried state alone holds it."""

    def haunted(tiles: DataFrame) -> DataFrame:
        ghost = F.when(F.col("seller_id") == "quiet", "a ghost").otherwise(F.col("seller_id"))
        return tiles.withColumn("seller_id", ghost)

    _change_tiles(patch, haunted)


def _late() -> Column:
    return F.col("is_back_dated")


def _change_tiles(patch: pytest.MonkeyPatch, change: Callable[[DataFrame], DataFrame]) -> None:
    real = aggregate_job.in_event_order
    patch.setattr(aggregate_job, "in_event_order", lambda tiles: real(change(tiles)))


BREAKS: dict[str, tuple[Break | None, str]] = {
    "sound": (None, ""),
    "late event dropped": (late_event_dropped, "late"),
    "duplicate counted": (duplicate_counted, ""),
    "correction ignored": (correction_ignored, "taken back"),
    "expiry a day late": (expiry_a_day_late, "leaving"),
    "late tile taken off that never counted": (never_counted_taken_off, "never"),
    "sweep without late tiles": (sweep_without_late_tiles, ""),
    "first day not moved back": (first_day_not_moved_back, "moved"),
    "second order not moved": (second_order_not_moved, "active"),
    "old last day not taken off": (old_last_day_not_taken_off, "late"),
    "archived buyer counted as new": (archived_buyer_is_new, "back"),
    "active day counted twice": (active_day_counted_twice, "active"),
    "item sold that was taken back": (taken_back_item_is_sold, "taken back"),
    "repayment lost": (repayment_lost, "back"),
    "newest balance lost": (newest_balance_lost, "quiet"),
    "seller lost": (seller_lost, "quiet"),
    "seller made up": (seller_made_up, "quiet"),
}


def test_each_break_is_of_something_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for break_it, _ in BREAKS.values():
        if break_it is not None:
            break_it(monkeypatch)


@pytest.mark.full  # Spark plans four ways of 132 features for two minutes
@pytest.mark.parametrize("name", BREAKS)
def test_verify_sees_it(
    spark: SparkSession, bronze: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(bronze / "lake", tmp_path / "lake")
    lake: Lake = lake_at(spark, tmp_path)
    break_it, seller = BREAKS[name]
    if break_it is not None:
        break_it(monkeypatch)
    aggregate(lake, CLOSED_FIRST)
    aggregate(lake, AS_OF)
    features(lake, AS_OF - timedelta(days=1))

    proof = verify(lake, AS_OF, None)

    assert proof.values["of sellers known"] == 8 and proof.values["cells compared"] == proof.values["sellers"] * 132
    # also those whose tiles are all lost, as those of `never` are without late events
    assert proof.values["sellers"] == (9 if name == "seller made up" else 8)
    if break_it is None:
        assert proof.failure == "" and proof.values["cells that differ"] == 0
    else:
        assert "the ways differ in" in proof.failure
        told = "\n".join(proof.lines)
        if name == "seller made up":
            assert "advance has 9 rows of 9 sellers where 8 sellers are known" in proof.failure
            assert "no profile and no event was known of this seller" in told
        elif name == "seller lost":
            assert proof.values["sellers that differ"] == 1
        assert "features differ" in told and ": sweep " in told and f"  event {seller}" in told, told
