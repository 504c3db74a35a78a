"""Which training set a step is about."""

from conf.errors import UserError
from jobs.lakehouse.lake import Lake, Published
from transforms.outcomes.cohorts import BEHAVIOURAL

NEWEST = "newest"
"""The last set that was published of those that a PD can be learned from: the behavioural sample answers another
question, and is asked for by its id."""


def training_set_of(lake: Lake, wanted: str) -> Published:
    """The run that made the newest set, or the set of an id; UserError where there is none."""
    sets = [run for run in lake.runs() if run.step == "training-set"]
    if not sets:
        raise UserError(f"{lake.root}: no training set is published. Run `seller-credit training-set` first.")
    if wanted == NEWEST:
        found = [run for run in sets if run.facts["sample"] != BEHAVIOURAL]
    else:
        found = [run for run in sets if run.run_id == wanted]
    if not found:
        known = ", ".join(f"{run.run_id} ({run.facts['sample']})" for run in sets)
        raise UserError(f"training set {wanted}: there is none; known: {known}")
    return found[-1]
