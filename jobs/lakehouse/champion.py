"""Which model version scores: the last one signed off."""

from conf.errors import UserError
from jobs.lakehouse.lake import Lake


def champion(lake: Lake) -> int:
    """Version of the champion by the newest sign-off; the registry's alias only follows it.

    Raises UserError before any version was promoted.
    """
    promoted = lake.last_run("promote")
    if promoted is None:
        raise UserError(
            f"{lake.root}: no model version was promoted yet. Run `seller-credit train`, look at the card, then"
            " `seller-credit promote VERSION --approver NAME`; or name a version: --model VERSION."
        )
    return int(promoted.facts["model_version"])
