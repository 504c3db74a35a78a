"""The record as one self-contained HTML file: no script, nothing fetched, every text escaped."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from jobs.pages import plots, wording
from jobs.pages.record import CreditRecord


def to_html(record: CreditRecord) -> str:
    """Write the record for a person, as a page for desk, phone and paper."""
    score = record.score
    steps = [] if score is None else wording.sum_of_points(score)
    widths = (plots.WIDE, plots.NARROW)
    sales = [plots.sales_picture(record.months, width) for width in widths]
    histories = [plots.history_picture(record.history, width) for width in widths]
    source = _template().render(
        record=record,
        words=wording,
        steps=list(zip(steps, plots.falls(steps), strict=True)) if steps else [],
        scales=[] if score is None else [plots.scale_picture(score, record.policy, width) for width in widths],
        sales=[picture for picture in sales if picture],
        histories=[picture for picture in histories if picture],
    )
    # a doctype that is not first would put old browsers into another mode
    return source.strip() + "\n"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    # not a loader of files: the package may lie in a zip that Spark has shipped
    return environment.from_string((files("jobs.pages") / "record.html.j2").read_text("utf-8"))
