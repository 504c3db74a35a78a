"""By what rules a day was decided."""

from conf.policy import Policy
from jobs.lakehouse.lake import Published


def policy_of(decided_by: Published) -> Policy | None:
    """The policy that decided, as it was; None of decisions that are older than its being kept."""
    told = decided_by.facts.get("policy_as_json")
    return None if told is None else Policy.from_json(told)
