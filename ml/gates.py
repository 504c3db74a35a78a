"""What must hold before a model version may become champion.

Under 200 bad groups a gate that rests on bads says "insufficient evidence": it neither passes nor fails, and promotion
then needs an override with a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PASS, FAIL, INSUFFICIENT = "pass", "fail", "insufficient evidence"

LEAST_BAD_GROUPS = 200
MOST_FALL_OF_AUC = 0.05


@dataclass(frozen=True)
class Gate:
    """One gate: its verdict, and the figures that it rests on in words."""

    gate: str
    verdict: str
    evidence: str


def gates(figures: Mapping[str, float]) -> tuple[Gate, ...]:
    """Judge the figures that `train` published with a version.

    Reads `evaluated_bads` (bad groups of the sample that the model did not see), `train_auc`, `evaluated_auc`, and the
    95 % intervals `calibration_intercept_low`, `_high`, `calibration_slope_low`, `_high`, `observed_to_expected_low`,
    `_high`; a figure that is missing is no evidence.
    """
    bads = figures.get("evaluated_bads", 0.0)
    enough = bads >= LEAST_BAD_GROUPS

    def judged(gate: str, holds: bool | None, evidence: str) -> Gate:
        if holds is None or not enough:
            return Gate(gate, INSUFFICIENT, f"{evidence}; {bads:.0f} bad groups of {LEAST_BAD_GROUPS} wanted")
        return Gate(gate, PASS if holds else FAIL, evidence)

    def interval(gate: str, name: str, target: float) -> Gate:
        low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
        if low is None or high is None:
            return judged(gate, None, "not measured")
        return judged(gate, low <= target <= high, f"95 % interval {low:.2f} to {high:.2f}, wants {target:g} inside")

    train, evaluated = figures.get("train_auc"), figures.get("evaluated_auc")
    if train is None or evaluated is None:
        fall = judged("fall of AUC", None, "not measured")
    else:
        fall = judged(
            "fall of AUC",
            train - evaluated <= MOST_FALL_OF_AUC,
            f"{train:.3f} in training to {evaluated:.3f} out of sample, wants at most {MOST_FALL_OF_AUC} less",
        )
    return (
        fall,
        interval("observed to expected", "observed_to_expected", 1.0),
        interval("calibration intercept", "calibration_intercept", 0.0),
        interval("calibration slope", "calibration_slope", 1.0),
    )
