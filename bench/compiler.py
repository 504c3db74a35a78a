"""What the JVM's compiler costs a day, by how often code must be called before it is compiled for good.

    python -m bench.refresh --events 20000000 --profile --out /tmp/refresh
    python -m bench.compiler --out /tmp/refresh

Each setting is a process of its own, in which the wide table is carried on for three days, one after another, and then
for the same three again: Spark writes a day's dates into the code that it generates, so that code is new on each of the
first three and known on the others.
"""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import click

from bench.machine import described, measured, processor_seconds, use_cores
from bench.refresh import ROUNDS, Ledger, carry_on, settings_of
from bench.report import Row, report
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from tools.sparkconf import COMPILED_LATER, JVM
from transforms.tables.silver import SELLER_DAY

SETTINGS = {
    "as HotSpot has it": JVM,
    "ten times as many calls": f"{JVM} {COMPILED_LATER}",
    "the quick compiler alone": f"{JVM} -XX:TieredStopAtLevel=1",
}
DAYS, CORES = ROUNDS - 1, 2


def of_setting(out: Path, options: str) -> list[dict[str, float]]:
    """Processor seconds of each day, those of the compiler among them, and wall seconds; in this process."""
    ledger = Ledger(**json.loads((out / "ledger.json").read_text()))
    settings = settings_of(out, CORES, "4g")
    settings.spark.config["spark.driver.extraJavaOptions"] = options
    lake = Lake(spark_session(settings), settings)
    closed = lake.closed_through()
    if closed is None or closed < ledger.last_day + timedelta(days=DAYS):
        raise click.UsageError(
            f"{out}: bench.refresh has not come to its end there; closed through: {closed or 'none'}"
        )
    return [one_day(lake, out, ledger, number) for number in (*range(DAYS), *range(DAYS))]


def one_day(lake: Lake, out: Path, ledger: Ledger, number: int) -> dict[str, float]:
    as_of = ledger.last_day + timedelta(days=number + 2)
    before = processor_seconds(lake.spark)["compiler"]
    with measured() as told:
        carry_on(lake, out, lake.read(SELLER_DAY), as_of, True)
    of_compiler = processor_seconds(lake.spark)["compiler"] - before
    return {"processor s": told[1], "of the compiler": of_compiler, "wall s": told[0]}


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, exists=True), help="Folder of bench.refresh.")
@click.option(
    "--only", type=click.Choice(list(SETTINGS)), help="One setting, in this process: what a process of its own does."
)
def main(out: Path, only: str | None) -> None:
    """Print one table, and write it and its plot into the folder."""
    use_cores(CORES)
    if only is not None:
        click.echo(json.dumps(of_setting(out, SETTINGS[only])))
        return
    rows: list[Row] = []
    for setting in SETTINGS:
        words = [sys.executable, "-m", "bench.compiler", "--out", str(out), "--only", setting]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        for number, told in enumerate(json.loads(done.stdout)):
            day = ("first", "second", "third")[number % DAYS] + (" day" if number < DAYS else " day, again")
            rows.append({"compiled for good": setting, "day": day, **told})
    bars = ["processor s", "of the compiler"]
    report(out, "compiler", f"{described('pyspark')}.", rows, ["compiled for good", "day"], bars)


if __name__ == "__main__":
    main()
