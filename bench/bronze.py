"""A lake with any number of order events, written straight into bronze: for measuring what history costs a day.

    python -m bench.bronze --lake /tmp/lake --events 100000000 --days 100

Each day's events stand in a file of their own and in no order, as a day's ingest leaves them; they say what
bench.intake's files say, so that a later day may correct them. No intake is measured by this, and none is claimed.
"""

from datetime import date, timedelta

import click
from pyspark.sql import Column
from pyspark.sql import functions as F

from bench.intake import FIRST_DAY
from conf.settings import load_settings
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from transforms.tables.bronze import ORDER_EVENTS


@click.command()
@click.option("--lake", "root", required=True, help="Folder of the lake.")
@click.option("--events", required=True, type=int)
@click.option("--days", required=True, type=int)
def main(root: str, events: int, days: int) -> None:
    """Fill bronze.order_events and close its days."""
    settings = load_settings("local", {}, [f"lake.root={root}"])
    lake = Lake(spark_session(settings), settings)
    each = events // days
    number = F.col("id")
    # a partition of the range is a day's events, and a task's one file
    day = F.date_add(F.lit(FIRST_DAY), F.floor(number / each).cast("int"))
    values: dict[str, Column] = {
        "event_day": day,
        "arrival_day": day,
        "event_id": F.format_string("%015d-paid", number),
        "seller_id": F.format_string("S%07d", (number * 7919) % max(events // 500, 100)),
        "happened_at": F.timestamp_seconds(
            F.unix_date(day).cast("bigint") * 86_400 - 8 * 3_600 + F.pmod(F.xxhash64(number, F.lit(2)), F.lit(86_400))
        ),
        "voids": F.lit(None),
        "order_id": F.format_string("%015d", number),
        "buyer_id": F.substring(F.sha2(F.xxhash64(number, F.lit(3)).cast("string"), 256), 1, 32),
        "kind": F.lit("paid"),
        "amount_fen": 1_000 + F.pmod(F.xxhash64(number, F.lit(4)), F.lit(99_000)),
        "item_id": F.format_string("I%09d", F.pmod(F.xxhash64(number, F.lit(5)), F.lit(events // 25))),
        "category": F.lit("clothing"),
        "list_price_fen": 100_000 + F.pmod(F.xxhash64(number, F.lit(4)), F.lit(99_000)),
        "quantity": (1 + F.pmod(F.xxhash64(number, F.lit(7)), F.lit(3))),
        "sign": F.lit(1),
        "arrival_month": F.substring(day.cast("string"), 1, 7),
        "content_hash": F.xxhash64(number, F.lit(8)),
        "delivery_id": F.concat(F.lit("marketplace/"), day.cast("string")),
    }
    rows = lake.spark.range(0, each * days, 1, days).select(
        *(values.get(c.name, F.lit(None)).cast(c.type).alias(c.name) for c in ORDER_EVENTS)
    )
    last: date = FIRST_DAY + timedelta(days=days - 1)
    with lake.run("aggregate", "arrival days", {}, {"through": last}) as run:
        run.append(ORDER_EVENTS, rows)
        run.facts = {"closed_from": "", "closed_through": str(last)}
        run.publish()


if __name__ == "__main__":
    main()
