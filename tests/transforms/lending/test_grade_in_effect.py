from datetime import date

import pytest

# grade by PD: 0.03 % is 1, 0.4 % is 3, 0.8 % is 4, 4 % is 7
PD = {1: 0.0003, 3: 0.004, 4: 0.008, 7: 0.04}
TODAY = date(2025, 3, 8)


@pytest.fixture(scope="module")
def grades(decided, seller):
    """Grades in effect of (grade by model; last decision's grade and model; earlier snapshot's grade, model, day)."""

    def of(*cases):
        rows = [
            seller(
                as_of=TODAY,
                pd=PD[now],
                model_version=2,
                previous_grade=previous,
                previous_model_version=previous_model,
                earlier_grade_by_model=earlier,
                earlier_model_version=earlier_model,
                earlier_as_of=earlier_day,
            )
            for now, previous, previous_model, earlier, earlier_model, earlier_day in cases
        ]
        return [row.grade for row in decided(*rows)]

    return of


def test_when_a_grade_takes_effect(grades):
    week_ago, six_days_ago = date(2025, 3, 1), date(2025, 3, 2)
    cases = {
        "first decision": ((4, None, None, None, None, None), 4),
        "worse at once": ((7, 4, 2, None, None, None), 7),
        "worse at once, whatever the week before said": ((7, 4, 2, 1, 2, week_ago), 7),
        "the same stays": ((4, 4, 2, 1, 2, week_ago), 4),
        "better waits for a second snapshot": ((3, 7, 2, None, None, None), 7),
        "better after two that agree": ((3, 7, 2, 3, 2, week_ago), 3),
        "as far as both go": ((1, 7, 2, 4, 2, week_ago), 4),
        "not further than today": ((4, 7, 2, 1, 2, week_ago), 4),
        "the week before was no better": ((3, 4, 2, 7, 2, week_ago), 4),
        "six days are too few": ((3, 7, 2, 3, 2, six_days_ago), 7),
        "another model's snapshot does not count": ((3, 7, 2, 3, 1, week_ago), 7),
        "a new model starts fresh": ((3, 7, 1, None, None, None), 3),
        "a new model does not keep a better grade either": ((7, 3, 1, 3, 1, week_ago), 7),
    }
    found = grades(*(case for case, _ in cases.values()))
    assert dict(zip(cases, found, strict=True)) == {name: grade for name, (_, grade) in cases.items()}
