"""By what rules and by which model a day was decided."""

from conf.policy import Policy
from jobs.lakehouse.lake import Lake, Published


def policy_of(decided_by: Published) -> Policy | None:
    """The policy that decided, as it was; None of decisions that are older than its being kept."""
    told = decided_by.facts.get("policy_as_json")
    return None if told is None else Policy.from_json(told)


def model_of(lake: Lake, decided: Published) -> str | None:
    """MLflow run of the model whose scores were decided on; None where that is not told."""
    scores = decided.facts.get("scores_run_id")
    return next((run.facts["model_run_id"] for run in lake.runs() if run.run_id == scores), None)
