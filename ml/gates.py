"""What must hold before a model version may become champion.

Under 200 bad groups a gate that rests on bads says "insufficient evidence": it neither passes nor fails, and promotion
then needs an override with a reason, one for each gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transforms.outcomes.segments import FAIRNESS

PASS, FAIL, INSUFFICIENT = "pass", "fail", "insufficient evidence"

LEAST_BAD_GROUPS = 200
MOST_FALL_OF_AUC = 0.05
MOST_WORSE_THAN_CHAMPION = 0.01
MANY_BADS = 500
SLOPE_WITH_MANY_BADS = (0.8, 1.25)
"""With many bads the interval is so narrow that a slope off by little would fail."""
LEAST_IMPACT_RATIO = 0.8
"""Four fifths of the most approved group's rate [29 CFR 1607.4(D)]."""
LEAST_ROWS_FOR_IMPACT = 100
"""Of a group, for its approval rate to count."""
MOST_OFF_POINTS = 1e-6
SIGNIFICANCE = 0.05

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Gate:
    """One gate: its verdict, and the figures that it rests on in words."""

    gate: str
    verdict: str
    measured: str
    lacking: str = ""
    """The bads that are too few to judge by what was measured."""

    @property
    def evidence(self) -> str:
        return f"{self.measured}; {self.lacking}" if self.lacking else self.measured


def gates(figures: Figures, audits: Sequence[Figures] = (), champion: int | None = None) -> tuple[Gate, ...]:
    """Judge the figures that `train` published with a version, and those of the leak audits of its training set.

    `champion` is the version that scores now, None before the first. A figure that is missing is no evidence.
    """
    return (
        _against_champion(figures, champion),
        _fall_of_auc(figures),
        _interval(figures, "observed-to-expected", "observed_to_expected", 1.0),
        _interval(figures, "calibration-intercept", "calibration_intercept", 0.0),
        _calibration_slope(figures),
        _tests(figures, "grades", "grade", "grades whose bads do not agree with their PD"),
        _leak_audit(audits),
        _contributions(figures),
        _single_score(figures),
        _directions(figures),
        _adverse_impact(figures),
        _tests(figures, "calibration-by-region", "region", "regions whose bads do not agree with their PD"),
    )


def too_few_bads(figures: Figures) -> str | None:
    """What the first lines of the card say where the bads are too few; None where they are enough."""
    groups = figures.get("evaluated_bad_groups", 0.0)
    if groups >= LEAST_BAD_GROUPS:
        return None
    return (
        f"Insufficient evidence: {groups:.0f} bad groups where the gates want {LEAST_BAD_GROUPS}; no gate that rests on"
        " bads passes or fails."
    )


def _rests_on_bads(figures: Figures, gate: str, holds: bool | None, evidence: str) -> Gate:
    groups = figures.get("evaluated_bad_groups", 0.0)
    if holds is None:
        return Gate(gate, INSUFFICIENT, evidence)
    if groups < LEAST_BAD_GROUPS:
        return Gate(gate, INSUFFICIENT, evidence, f"{groups:.0f} bad groups of {LEAST_BAD_GROUPS} wanted")
    return Gate(gate, PASS if holds else FAIL, evidence)


def _judged(gate: str, holds: bool, evidence: str) -> Gate:
    return Gate(gate, PASS if holds else FAIL, evidence)


def _against_champion(figures: Figures, champion: int | None) -> Gate:
    gate = "auc-against-champion"
    if champion is None:
        return Gate(gate, PASS, "there is no champion to be worse than")
    compared = figures.get("champion_version")
    if compared != champion:
        with_whom = "no champion" if compared is None else f"version {compared:.0f}"
        what_to_do = "train again to compare" + (", unless its card says why it cannot be" if compared is None else "")
        return Gate(gate, INSUFFICIENT, f"compared with {with_whom}, but version {champion} scores now: {what_to_do}")
    low = figures.get("champion_auc_difference_low")
    if low is None:
        return Gate(gate, INSUFFICIENT, "not measured")
    value, high = figures["champion_auc_difference"], figures["champion_auc_difference_high"]
    evidence = (
        f"AUC less that of version {champion} on the same rows: {value:+.3f} ({low:+.3f} to {high:+.3f}),"
        f" wants above -{MOST_WORSE_THAN_CHAMPION}"
    )
    # of the rows that both were judged on: they may be fewer than those of the other gates
    groups = figures.get("champion_bad_groups", figures.get("evaluated_bad_groups", 0.0))
    return _rests_on_bads({"evaluated_bad_groups": groups}, gate, low > -MOST_WORSE_THAN_CHAMPION, evidence)


def _fall_of_auc(figures: Figures) -> Gate:
    train, evaluated = figures.get("train_auc"), figures.get("evaluated_auc")
    if train is None or evaluated is None:
        return Gate("auc-fall", INSUFFICIENT, "not measured")
    evidence = f"{train:.3f} in training to {evaluated:.3f} out of sample, wants at most {MOST_FALL_OF_AUC} less"
    return _rests_on_bads(figures, "auc-fall", train - evaluated <= MOST_FALL_OF_AUC, evidence)


def _interval(figures: Figures, gate: str, name: str, target: float) -> Gate:
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if low is None or high is None:
        return Gate(gate, INSUFFICIENT, "not measured")
    evidence = f"95 % interval {low:.2f} to {high:.2f}, wants {target:g} inside"
    return _rests_on_bads(figures, gate, low <= target <= high, evidence)


def _calibration_slope(figures: Figures) -> Gate:
    slope, bads = figures.get("calibration_slope"), figures.get("evaluated_bads", 0.0)
    judged = _interval(figures, "calibration-slope", "calibration_slope", 1.0)
    low, high = SLOPE_WITH_MANY_BADS
    if judged.verdict == FAIL and slope is not None and bads > MANY_BADS:
        evidence = f"{slope:.2f} with {bads:.0f} bads, wants {low:g} to {high:g}"
        return _judged("calibration-slope", low <= slope <= high, evidence)
    return judged


def _tests(figures: Figures, gate: str, name: str, what: str) -> Gate:
    many, failed = figures.get(f"{name}_tests"), figures.get(f"{name}_tests_failed")
    if many is None or failed is None:
        return Gate(gate, INSUFFICIENT, "not measured")
    evidence = f"{failed:.0f} of {many:.0f} {what} (Jeffreys, {SIGNIFICANCE:.0%} after Holm), wants none"
    return _rests_on_bads(figures, gate, failed == 0, evidence)


def _leak_audit(audits: Sequence[Figures]) -> Gate:
    """By the worst audit, then the largest: a set is never edited, so that what one found another cannot clear."""
    if not audits:
        return Gate("leak-audit", INSUFFICIENT, "the training set was not audited: seller-credit audit SET")
    worst = max(audits, key=lambda audit: (audit["leaks"], audit.get("days", 0)))
    evidence = f"{worst['leaks']:.0f} of {worst['checks']:.0f} checks found a leak, in {worst['rows']:,.0f} rows"
    if "days" in worst:
        evidence += f", as-of days rebuilt: {worst['days']:.0f}"
    return _judged("leak-audit", worst["leaks"] == 0, evidence)


def _contributions(figures: Figures) -> Gate:
    off, rows = figures.get("points_off_most"), figures.get("points_rows")
    if off is None or rows is None:
        return Gate("contributions", INSUFFICIENT, "no exact reasons for this algorithm")
    evidence = f"base and points differ from the score by at most {off:.1g} points in {rows:,.0f} rows"
    return _judged("contributions", off <= MOST_OFF_POINTS, f"{evidence}, wants {MOST_OFF_POINTS:g}")


def _single_score(figures: Figures) -> Gate:
    off, rows = figures.get("single_score_off_most"), figures.get("single_score_rows")
    if off is None or rows is None:
        return Gate("single-score", INSUFFICIENT, "not measured")
    evidence = f"PD of {rows:.0f} sellers scored one by one differs from the bulk's by at most {off:.1g}, wants 0"
    return _judged("single-score", off == 0, evidence)


def _directions(figures: Figures) -> Gate:
    swept, against = figures.get("directions_swept"), figures.get("directions_reversed")
    if swept is None or against is None:
        return Gate("directions", INSUFFICIENT, "not measured")
    evidence = f"{against:.0f} of {swept:.0f} features move the score against the catalogue, wants none"
    # versions registered before these were counted do not tell
    constant = figures.get("directions_unswept", 0.0)
    if constant:
        evidence += f"; {constant:.0f} more are the same wherever they are known, and cannot be swept"
    if not swept:
        return Gate("directions", INSUFFICIENT, evidence)
    return _rests_on_bads(figures, "directions", against == 0, evidence)


def _adverse_impact(figures: Figures) -> Gate:
    ratios, measured, words, is_nobody_approved = [], [], [], False
    for attribute in FAIRNESS:
        by = f"by {attribute.replace('_', ' ')}"
        ratio, groups = figures.get(f"adverse_impact_{attribute}"), figures.get(f"impact_groups_{attribute}")
        if ratio is not None:
            ratios.append(ratio)
            measured.append(f"{by} {ratio:.2f}")
        elif groups is None:
            # of a version that was registered before the groups were counted
            words.append(f"{by} not measured")
        elif groups < 2:
            words.append(f"{by} not measured: fewer than two groups of {LEAST_ROWS_FOR_IMPACT} and more")
        else:
            is_nobody_approved = True
            words.append(f"{by} not measured: nobody is approved in any group of {LEAST_ROWS_FOR_IMPACT} and more")
    if ratios:
        cut_off = f" at a score of {figures['cut_off_score']:.0f}" if "cut_off_score" in figures else ""
        whose = "of all sellers" if figures.get("impact_of_all_sellers") else "of the rows judged, who were lent to"
        words.insert(
            0,
            f"lowest approval rate over the highest{cut_off}, {whose}: {', '.join(measured)};"
            f" wants {LEAST_IMPACT_RATIO:g}",
        )
    evidence = "; ".join(words)
    holds = min(ratios, default=0.0) >= LEAST_IMPACT_RATIO
    if not ratios or (holds and is_nobody_approved):
        return Gate("adverse-impact", INSUFFICIENT, evidence)
    return _judged("adverse-impact", holds, evidence)
