"""Simulated daily counts beside the real ones of 2,000 shops: size, weekdays, persistence, quiet days.

    python -m bench.realism --koubei ../shared/data/koubei --out /tmp/realism

The real counts are payments a day of restaurants and shops of many towns (Koubei, June 2015 to October 2016); the
simulated ones are paid orders a day of the world `busy`. Writes realism.md and realism.png into the folder.
"""

from datetime import date
from pathlib import Path

import click
import matplotlib
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.world import FAMILY, load_world
from transforms.market.weeks import simulate_sellers

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Counts = npt.NDArray[np.float64]
"""Shops by days; NaN before a shop's first order and after its last."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
QUANTILES = (0.05, 0.25, 0.75, 0.95, 0.99)
LAGS = (1, 2, 7, 28)
LEAST_DAYS = 120
"""Shops that are seen for fewer days say little of persistence: they are left out on both sides."""


def alive(counts: Counts) -> Counts:
    """Counts with NaN outside each shop's life; shops of too short a life are left out."""
    lives = counts.copy()
    kept = []
    for shop, row in enumerate(counts):
        there = np.flatnonzero(row > 0)
        if len(there) and there[-1] - there[0] + 1 >= LEAST_DAYS:
            lives[shop, : there[0]] = lives[shop, there[-1] + 1 :] = np.nan
            kept.append(shop)
    return lives[kept]


def real_counts(folder: Path) -> tuple[Counts, date]:
    """Payments a day of the real shops, and the first day."""
    table = pq.read_table(folder / "pay_count_daily.parquet")
    days = np.array(table["date"].to_pylist(), dtype="datetime64[D]")
    shop, day = table["shop_id"].to_numpy(), (days - days.min()).astype(int)
    counts = np.zeros((shop.max() + 1, day.max() + 1))
    np.add.at(counts, (shop, day), table["pay_count"].to_numpy())
    return alive(counts), days.min().item()


def simulated_counts(world_name: str, sellers: int | None) -> tuple[Counts, date]:
    """Paid orders a day of a world's shops, and its first day."""
    world = load_world(world_name, sellers)
    counts = np.zeros((world.sellers, world.weeks * 7))
    for start in range(1, world.sellers + 1, FAMILY):
        weeks = simulate_sellers(world, np.arange(start, min(start + FAMILY, world.sellers + 1)))
        orders = weeks["orders"].combine_chunks()
        number = weeks["number"].to_numpy()[pc.list_parent_indices(orders).to_numpy()]
        np.add.at(counts, (number - 1, orders.flatten().field("day").to_numpy()), 1)
    return alive(counts[:, : world.days]), world.first_day


def autocorrelation(counts: Counts, lag: int) -> float:
    """Mean over shops of the correlation of log counts with those `lag` days before."""
    logs = np.log1p(counts)
    found = []
    for row in logs:
        one, other = row[lag:], row[:-lag]
        both = ~np.isnan(one) & ~np.isnan(other)
        if one[both].std() > 0 and other[both].std() > 0:
            found.append(np.corrcoef(one[both], other[both])[0, 1])
    return float(np.mean(found))


def figures(counts: Counts, first_day: date) -> dict[str, float]:
    """What is compared, by name."""
    size = np.sort(np.nanmean(counts, axis=1))
    largest = max(1, round(len(size) / 100))
    told = {
        "shops": float(len(size)),
        "orders a day, median shop": float(np.median(size)),
        "share of the largest 1 % of shops": size[-largest:].sum() / size.sum(),
    }
    told |= {f"size at {q:.0%} over the median": float(np.quantile(size, q) / np.median(size)) for q in QUANTILES}
    relative = counts / np.nanmean(counts, axis=1, keepdims=True)
    weekday = (first_day.weekday() + np.arange(counts.shape[1])) % 7
    told |= {
        f"{name} over the mean day": float(np.nanmean(relative[:, weekday == day])) for day, name in enumerate(WEEKDAYS)
    }
    weekend = np.array([np.nanmean(row[weekday >= 5]) / np.nanmean(row[weekday < 5]) for row in counts])
    told["spread over shops of log weekend over workday"] = float(np.nanstd(np.log(np.maximum(weekend, 0.01))))
    told |= {f"autocorrelation of log counts, {lag} days": autocorrelation(counts, lag) for lag in LAGS}
    change = np.diff(np.log(np.where(counts > 0, counts, np.nan)), axis=1)
    told["spread of log change from a day to the next"] = float(np.median(np.nanstd(change, axis=1)))
    lived = ~np.isnan(counts)
    quiet = ((counts == 0) & lived).sum(axis=1) / lived.sum(axis=1)
    told["share of quiet days"] = float(((counts == 0) & lived).sum() / lived.sum())
    told["share of quiet days, median shop"] = float(np.median(quiet))
    told["share of shops with a quiet day"] = float((quiet > 0).mean())
    return told


def plot(real: Counts, made: Counts, told: tuple[dict[str, float], dict[str, float]], file: Path) -> None:
    """Four panels: sizes, weekdays, persistence, quiet days; real and simulated over one another."""
    picture, panels = plt.subplots(2, 2, figsize=(11, 7.5), constrained_layout=True)
    for counts, figure, name, colour in ((real, told[0], "real", "#444444"), (made, told[1], "simulated", "#d1495b")):
        size = np.sort(np.nanmean(counts, axis=1)) / np.median(np.nanmean(counts, axis=1))
        panels[0, 0].plot(size, 1 - (np.arange(len(size)) + 0.5) / len(size), color=colour, label=name)
        panels[0, 1].plot(WEEKDAYS, [figure[f"{day} over the mean day"] for day in WEEKDAYS], "o-", color=colour)
        lags = np.arange(1, 29)
        panels[1, 0].plot(lags, [autocorrelation(counts, int(lag)) for lag in lags], "o-", color=colour, markersize=3)
        lived = ~np.isnan(counts)
        quiet = np.sort(((counts == 0) & lived).sum(axis=1) / lived.sum(axis=1))
        panels[1, 1].plot(np.linspace(0, 1, len(quiet)), quiet, color=colour)
    panels[0, 0].set(
        xscale="log", yscale="log", xlabel="orders a day over the median shop's", ylabel="share of shops above"
    )
    panels[0, 0].legend(frameon=False)
    panels[0, 1].set(ylabel="orders over the mean day", ylim=(0.75, 1.3))
    panels[1, 0].set(xlabel="days apart", ylabel="autocorrelation of log counts", ylim=(0, 1))
    panels[1, 1].set(xlabel="shops, fewest quiet days first", ylabel="share of days without an order")
    for panel in panels.flat:
        panel.spines[["top", "right"]].set_visible(False)
    picture.savefig(file, dpi=110)


def differs(real: dict[str, float], made: dict[str, float]) -> str:
    """What is off by more than a quarter, or, of shares and correlations, by more than 0.1."""
    off = []
    for name in list(real)[2:]:
        is_small = name.startswith(("auto", "share of"))
        if abs(made[name] - real[name]) > 0.1 if is_small else abs(np.log(made[name] / real[name])) > np.log(1.25):
            off.append(f"{name} ({made[name]:.2f} for {real[name]:.2f})")
    found = f"Still different: {'; '.join(off)}." if off else "No figure is off by more than a quarter (shares: 0.1)."
    return found + " The real shops were chosen by their owner: few are small, as few of a whole market's would not be."


@click.command()
@click.option("--koubei", default="../shared/data/koubei", type=click.Path(path_type=Path), show_default=True)
@click.option("--world", default="busy", show_default=True, help="World that comes with the package, or a .yml file.")
@click.option("--sellers", type=click.IntRange(min=FAMILY), help="Shops, instead of the world's own number.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for realism.md and realism.png.")
def main(koubei: Path, world: str, sellers: int | None, out: Path) -> None:
    """Lay simulated daily counts beside real ones."""
    if not (koubei / "pay_count_daily.parquet").is_file():
        raise click.UsageError(f"--koubei {koubei}: has no pay_count_daily.parquet")
    out.mkdir(parents=True, exist_ok=True)
    real, made = real_counts(koubei), simulated_counts(world, sellers)
    told = figures(*real), figures(*made)
    plot(real[0], made[0], told, out / "realism.png")
    rows = [f"| {name} | {value:.3f} | {told[1][name]:.3f} |" for name, value in told[0].items()]
    lines = [
        "| | real | simulated |",
        "|---|---:|---:|",
        *rows,
        "",
        differs(*told),
        "",
        "![real and simulated](realism.png)",
    ]
    (out / "realism.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines[:-2]))


if __name__ == "__main__":
    main()
