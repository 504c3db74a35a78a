"""What the JVM's compiler costs a day's refresh, by how often code must be called before it is compiled for good.

    python -m bench.refresh --events 20000000 --no-naive --no-colds --profile --out /tmp/refresh
    python -m bench.compiler --out /tmp/refresh

Each setting is a process of its own, in which the state is carried on and the wide table made for three days, one after
another, and then for the same three again: Spark writes a day's dates into the code that it generates, so that code is
new on each of the first three and known on the others.
"""

import json
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import click
from pyspark.sql import SparkSession

from bench.machine import described, processor_seconds
from bench.refresh import Ledger, carry_on, settings_of, state_path, wanted
from bench.report import Row, report
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from tools.sparkconf import COMPILED_LATER
from transforms.tables.bronze import SELLERS
from transforms.tables.silver import SELLER_DAY
from transforms.windows.advance import sums_of

COMMON = "-XX:-DontCompileHugeMethods -XX:+UseParallelGC"
SETTINGS = {
    "as HotSpot has it": COMMON,
    "ten times as many calls": f"{COMMON} {COMPILED_LATER}",
    "the quick compiler alone": f"{COMMON} -XX:TieredStopAtLevel=1",
}
DAYS = 3


def of_setting(out: Path, options: str) -> list[dict[str, float]]:
    """Processor seconds of each day, of the compiler among them, and wall seconds; in this process."""
    ledger = Ledger(**json.loads((out / "ledger.json").read_text()))
    settings = settings_of(out, 2, "4g")
    settings.spark.config["spark.driver.extraJavaOptions"] = options
    lake = Lake(spark_session(settings), settings)
    return [one_day(lake, lake.spark, out, ledger, number) for number in (*range(DAYS), *range(DAYS))]


def one_day(lake: Lake, spark: SparkSession, out: Path, ledger: Ledger, number: int) -> dict[str, float]:
    as_of = ledger.last_day + timedelta(days=number + 2)
    before, began = processor_seconds(spark), time.monotonic()
    carry_on(lake, out, lake.read(SELLER_DAY), as_of, True)
    now = spark.read.parquet(state_path(out, as_of, True))
    sums_of(now, lake.read(SELLERS), as_of, wanted(True)).write.mode("overwrite").parquet(str(out / "result-compiler"))
    after = processor_seconds(spark)
    return {"wall s": time.monotonic() - began} | {name: after[name] - before[name] for name in ("all", "compiler")}


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, exists=True), help="Folder of bench.refresh.")
@click.option("--only", help="One setting, in this process: what a process of its own does.")
def main(out: Path, only: str | None) -> None:
    """Print one table, and write it and its plot into the folder."""
    if only is not None:
        click.echo(json.dumps(of_setting(out, SETTINGS[only])))
        return
    rows: list[Row] = []
    for setting in SETTINGS:
        words = [sys.executable, "-m", "bench.compiler", "--out", str(out), "--only", setting]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        for number, told in enumerate(json.loads(done.stdout)):
            day = ("first", "second", "third")[number % DAYS] + (" day" if number < DAYS else " day, again")
            seconds = {"processor s": told["all"], "of the compiler": told["compiler"], "wall s": told["wall s"]}
            rows.append({"compiled for good": setting, "day": day, **seconds})
    report(out, "compiler", described("pyspark"), rows, ["processor s", "of the compiler"])


if __name__ == "__main__":
    main()
