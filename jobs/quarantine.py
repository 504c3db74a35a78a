"""What was refused, by reason."""

import sys

import click
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.skeleton import cut, not_in_values
from conf.source import Source, load_source
from jobs.lakehouse.command import Invocation, Report, run_command, step
from jobs.lakehouse.lake import Lake
from transforms.intake.fields import NOT_IN_VALUES
from transforms.tables.bronze import QUARANTINE

MOST_REASONS = 200
LISTED_VALUES = 10


def quarantine(lake: Lake, source: Source | None, delivery: str | None, examples: int) -> Report:
    """Count the records that are refused, by reason, with the newest of each as examples.

    A record with two reasons counts for both; the total counts it once. Of one source also the values that its mapping
    does not have are listed.
    """
    rows = lake.read(QUARANTINE)
    if source is not None:
        rows = rows.filter(F.startswith("delivery_id", F.lit(f"{source.name}/")))
    if delivery is not None:
        rows = rows.filter(F.startswith(F.substring_index("delivery_id", "/", -1), F.lit(f"{delivery}@")))
    is_refused = F.col("released_by").isNull()
    by_release = F.contains("released_by", F.lit("/release@"))
    total = rows.agg(F.count_if(is_refused), F.count_if(by_release), F.count_if(~by_release)).collect()[0]
    place = F.concat_ws(" ", "delivery_id", "feed", "file", F.concat(F.lit("row "), "position"))
    each = rows.filter(is_refused).select(
        "feed",
        F.explode("reasons").alias("reason"),
        F.substring_index("delivery_id", "@", 1).alias("delivery"),
        F.concat_ws("  ", place, F.substring("record", 1, 300)).alias("example"),
    )
    by_reason = (
        each.groupBy("feed", "reason")
        .agg(F.count(F.lit(1)).alias("records"), F.min("delivery").alias("first"), F.max("delivery").alias("last"))
        .orderBy(F.desc("records"), "feed", "reason")
        .limit(MOST_REASONS)
        .collect()
    )
    newest = Window.partitionBy("feed", "reason").orderBy(F.desc("delivery"), "example")
    shown = each.withColumn("place", F.row_number().over(newest)).filter(F.col("place") <= examples)
    table = [(row["reason"], row["feed"], row["records"], row["first"], row["last"]) for row in by_reason]
    lines: list[str] = []
    if examples:
        kinds: dict[tuple[str, str], list[str]] = {(row["feed"], row["reason"]): [] for row in by_reason}
        for row in shown.orderBy("place").limit(examples * MOST_REASONS).collect():
            kinds.get((row["feed"], row["reason"]), []).append(f"  {row['example']}")
        lines = [line for (_, reason), found in kinds.items() for line in ("", f"{reason}:", *found)]
    if source is not None:
        lines = _unmapped(source, rows.filter(is_refused)) + lines
    values = {"refused": total[0], "released": total[1], "judged anew": total[2], "reasons": len(by_reason)}
    return Report(
        "quarantine", values, (("reason", "feed", "records", "first delivery", "last delivery"), table), lines
    )


def _unmapped(source: Source, refused: DataFrame) -> list[str]:
    """What stands in fields whose `values` do not have it, by field; where the field is a column as it stands."""
    found = []
    for feed in source.feeds:
        for name, mapping in feed.fields.items():
            if mapping.values is not None and mapping.column is not None and "'" not in mapping.column:
                reason = F.array_contains("reasons", f"{name}: {NOT_IN_VALUES}")
                value = F.get_json_object("record", f"$['{mapping.column}']")
                told = F.struct(F.lit(f"{feed.name}: {name}").alias("field"), value.alias("value"))
                found.append(F.when((F.col("feed") == feed.name) & reason & value.isNotNull(), told))
    if not found:
        return []
    each = refused.select(F.explode(F.array_compact(F.array(*found))).alias("told")).select("told.*")
    of_field = Window.partitionBy("field")
    placed = (
        each.groupBy("field", "value")
        .count()
        .withColumns(
            {
                "place": F.row_number().over(of_field.orderBy(F.desc("count"), "value")),
                "values": F.count(F.lit(1)).over(of_field),
            }
        )
    )
    by_field: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for row in placed.filter(F.col("place") <= LISTED_VALUES).orderBy("field", "place").collect():
        by_field.setdefault((row["field"], row["values"]), []).append((cut(row["value"]), row["count"]))
    return [not_in_values(field, counted, many) for (field, many), counted in by_field.items()]


@step("quarantine", "seller-credit quarantine --source marketplace --examples 2")
@click.option(
    "--source", metavar="NAME_OR_FILE", help="Only what this mapping read; lists values that it does not have."
)
@click.option("--delivery", metavar="NAME", help="Only deliveries of this name, as 2024-08-31.")
@click.option("--examples", type=click.IntRange(0, 20), default=1, help="Records to show for each reason.")
def command(invocation: Invocation, source: str | None, delivery: str | None, examples: int) -> Report:
    """Show which records were refused and why, by reason, each with examples.

    What tells of persons is shown as the pseudonyms under which it is kept. Mend the mapping, then
    `seller-credit release` takes in what it now accepts, and `seller-credit ingest --again` whole files too.
    """
    mapping = load_source(source) if source else None
    return quarantine(invocation.lake(), mapping, delivery, examples)


if __name__ == "__main__":
    sys.exit(run_command(command))
