"""How well the truth itself ranks: the AUC of a simulated seller's own probability of default, out of anyone's reach.

    python -m bench.true_pd --worlds 8 --sellers 8000 --futures 200

The probability of a seller at a day is counted, not modelled: the world is lived up to that day, with all that no
ledger shows, and then lived on many times with other chances (the common shocks stay as they come). Of the futures in
which the seller draws in the 90 days after, the share in which one of these loans goes bad, drawn towards the mean of
all sellers by two draws, is its PD. It is judged on what happened in the world, on the cohorts of `bench.ceiling` out
of time. Too few futures blur the PD: the AUC by half of them stands beside, and one that still rises is too low.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from bench.ceiling import over_worlds
from bench.machine import described
from conf.settings import load_settings
from conf.world import DAYS_A_WEEK, FAMILY, World, load_world
from jobs.lakehouse.session import spark_session
from ml.evaluate import auc
from transforms.market.borrowing import DEFAULTED, DRAWN
from transforms.market.traits import members, traits_of
from transforms.market.weeks import Weeks

COHORTS = (date(2023, 9, 1), date(2023, 10, 1), date(2023, 11, 1), date(2023, 12, 1))
"""Out of time, where nobody says otherwise: the as-of days whose draws are judged."""
DRAW_DAYS, FOLLOWED_WEEKS = 90, 40
"""Draws of 90 days, of 90 days at most, each followed until 90 days past due."""
PRIOR_DRAWS = 2.0
FAMILIES_A_TASK = 400
"""8,000 sellers, of whom the 1,500 that matter live their futures at once: a week of fewer is mostly calls to numpy."""

_COUNTS = ("bad", "draws_half", "bads_half", "draws", "bads")
_SCHEMA = "world bigint, as_of date, number bigint, " + ", ".join(f"{name} bigint" for name in _COUNTS)


def outcomes(weeks: Weeks, first: int, last: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Live on from week `first` to before `last`: who draws in the first 90 days, and who goes bad on such a loan."""
    drew = np.zeros(len(weeks.traits), dtype=bool)
    bad = np.zeros_like(drew)
    of_cohort: set[tuple[int, int]] = set()
    for week in range(first, last):
        events = weeks.run(week)["events"]
        kinds, sellers, serials = (events[name].astype(np.int64) for name in ("kind", "seller", "serial"))
        in_time = (kinds == DRAWN) & (events["day"] < first * DAYS_A_WEEK + DRAW_DAYS)
        drew[sellers[in_time]] = True
        of_cohort.update(zip(sellers[in_time].tolist(), serials[in_time].tolist(), strict=True))
        for place in np.flatnonzero(kinds == DEFAULTED):
            if (int(sellers[place]), int(serials[place])) in of_cohort:
                bad[sellers[place]] = True
    return drew, bad


def counted(world: World, futures: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """From tasks (as-of day, first family) to a row a seller that drew: what came, and what might have come."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for task in batch.to_pylist():
                yield _of_families(world, task["as_of"], task["family"], futures)

    return run


def _of_families(world: World, as_of: date, family: int, futures: int) -> pa.RecordBatch:
    a_world = len(world.families) // world.worlds
    last_family = min(family + FAMILIES_A_TASK, (family // a_world + 1) * a_world)
    numbers = members(world, np.arange(family, last_family))
    # the week of the as-of day is not known on it
    first = (as_of - world.first_day).days // DAYS_A_WEEK
    last = min(first + FOLLOWED_WEEKS, world.weeks)
    lived = Weeks(world, traits_of(world, numbers))
    for week in range(first):
        lived.run(week)
    drew, bad = outcomes(lived.branched(world.seed), first, last)
    # whoever shares an owner with a seller that drew can shake it; the others need not be lived again
    owners = lived.traits.owner
    needed = np.isin(owners, owners[drew])
    here = Weeks(world, traits_of(world, numbers[needed]))
    for week in range(first):
        here.run(week)
    total = np.zeros((2, 2, int(needed.sum())), dtype=np.int64)
    for future in range(futures):
        draws, bads = outcomes(here.branched(world.seed + 1_000_003 * (future + 1)), first, last)
        total[int(future >= futures // 2)] += (draws, bads)
    shown = drew[needed]
    many = int(shown.sum())
    counts = (bad[needed].astype(np.int64), *total[0], *total.sum(axis=0))
    return pa.RecordBatch.from_pydict(
        {
            "world": np.full(many, family // a_world, dtype=np.int64),
            "as_of": pa.array([as_of] * many, pa.date32()),
            "number": numbers[needed][shown],
            **{name: values[shown] for name, values in zip(_COUNTS, counts, strict=True)},
        }
    )


def sellers_of(spark: SparkSession, world: World, futures: int, cohorts: Sequence[date] = COHORTS) -> DataFrame:
    """One row a seller of a cohort that drew: what happened, and in how many futures it drew and went bad."""
    a_world = len(world.families) // world.worlds
    tasks = [
        (as_of, of_world + start)
        for of_world in world.families[::a_world]
        for as_of in cohorts
        for start in range(0, a_world, FAMILIES_A_TASK)
    ]
    table = spark.createDataFrame(tasks, "as_of date, family long").repartition(len(tasks))
    return table.mapInArrow(counted(world, futures), _SCHEMA)


def auc_of(rows: pd.DataFrame, draws: str, bads: str) -> float:
    """AUC of the counted PD on what happened."""
    overall = rows[bads].sum() / max(rows[draws].sum(), 1)
    found = (rows[bads] + PRIOR_DRAWS * overall) / (rows[draws] + PRIOR_DRAWS)
    levels, level = np.unique(found.to_numpy(), return_inverse=True)
    good, bad = (
        np.bincount(level, weights=(rows["bad"] == outcome).to_numpy(float), minlength=len(levels))
        for outcome in (0, 1)
    )
    return auc(good.astype(float), bad.astype(float), levels)


def report(rows: pd.DataFrame, world: World, futures: int, seconds: float) -> tuple[str, dict[str, object]]:
    """The table, as Markdown and as figures."""
    lines = [
        f"`python -m bench.true_pd {' '.join(sys.argv[1:])}`",
        "",
        f"{len(rows):,} sellers of cohorts that drew, {futures} futures each, {seconds:,.0f} s on"
        f" {described('numpy')}. Simulated: no estimate of any lender's rates.",
        "",
        "| world | rows | bads | expected | AUC of the true PD | by half of the futures |",
        "|---|---|---|---|---|---|",
    ]
    whole, halves = [], []
    for place, own in rows.groupby("world"):
        whole.append(auc_of(own, "draws", "bads"))
        halves.append(auc_of(own, "draws_half", "bads_half"))
        expected = (own["bads"] / own["draws"].clip(lower=1)).sum()
        lines.append(
            f"| {world.name}-{place} | {len(own):,} | {own['bad'].sum():,} | {expected:,.0f} |"
            f" {whole[-1]:.3f} | {halves[-1]:.3f} |"
        )
    if len(whole) > 1:
        told = f"Over worlds: AUC of the true PD {over_worlds(whole)}, by half of the futures {over_worlds(halves)}."
        lines += ["", told]
    return "\n".join(lines), {"auc": whole, "auc_by_half": halves, "rows": len(rows), "futures": futures}


@click.command()
@click.option("--world", "name", default="demo", show_default=True)
@click.option("--worlds", default=8, show_default=True)
@click.option("--sellers", default=8000, show_default=True, help="Of each world.")
@click.option("--futures", default=200, show_default=True, help="Times that each seller's next weeks are lived.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for true_pd.md and true_pd.json.")
def main(name: str, worlds: int, sellers: int, futures: int, out: Path | None) -> None:
    """Print one table, and write it into the folder."""
    world = load_world(name, sellers, worlds=worlds)
    end = COHORTS[-1] + timedelta(weeks=FOLLOWED_WEEKS)
    if end > world.last_day + timedelta(weeks=1):
        raise click.ClickException(f"world {name} ends on {world.last_day}, before {end}: its cohorts are not followed")
    if sellers % FAMILY:
        raise click.ClickException(f"--sellers {sellers}: want whole families, a multiple of {FAMILY}")
    spark = spark_session(load_settings("local", {}, ["spark.driver_memory=2g"]))
    began = time.monotonic()
    rows = sellers_of(spark, world, futures).toPandas()
    text, figures = report(rows, world, futures, time.monotonic() - began)
    click.echo(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "true_pd.md").write_text(text + "\n")
        (out / "true_pd.json").write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
