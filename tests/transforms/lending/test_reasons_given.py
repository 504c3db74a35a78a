"""Which families of the score are given as reasons."""

DECLINED = {"pd": 0.05}


def families(row):
    return [(reason.family, reason.feature, reason.points) for reason in row.reasons]


def test_families_are_summed_before_they_are_chosen(decided, seller):
    # service has the largest single feature, but scale the largest sum
    points = {"sales": -9.0, "growth": -8.0, "rating": -12.0, "late": 4.0, "refunds": -6.0, "age": 30.0}
    (row,) = decided(seller(points=points, **DECLINED))
    assert (row.outcome, row.refused_by) == ("decline", "price")
    assert families(row) == [("scale", "sales", -17.0), ("service", "rating", -8.0), ("refunds", "refunds", -6.0)]
    assert {reason.code for reason in row.reasons} == {"score"}


def test_at_most_four_families_and_none_under_five_points(decided, seller):
    points = {"sales": -5.0, "refunds": -4.9, "rating": -9.0, "age": -8.0, "buyers": -7.0, "days": -6.0}
    four, floor = decided(seller(points=points, **DECLINED), seller(points={**points, "days": 0.0}, **DECLINED))
    assert [family for family, _, _ in families(four)] == ["service", "shop", "buyers", "volatility"]
    assert [family for family, _, _ in families(floor)] == ["service", "shop", "buyers", "scale"]


def test_a_decline_always_has_a_reason(decided, seller):
    rows = decided(
        seller(points={"sales": -1.0, "refunds": -3.0}, **DECLINED),
        seller(points={"sales": 4.0, "refunds": 2.0}, **DECLINED),
        seller(points={"sales": 4.0, "refunds": 0.0}, **DECLINED),
        seller(points={}, **DECLINED),
        seller(points=None, **DECLINED),
    )
    assert families(rows[0]) == [("refunds", "refunds", -3.0)]
    # a family that added points, or none, lowered nothing
    assert [families(row) for row in rows[1:]] == [[(None, None, None)]] * 4
    assert all(row.reasons[0].code == "score" for row in rows)


def test_an_offer_names_what_lowered_the_score_and_may_name_nothing(decided, seller):
    lowered, nothing = decided(seller(points={"refunds": -6.0, "sales": 9.0}), seller(points={"refunds": -4.0}))
    assert (lowered.outcome, families(lowered)) == ("offer", [("refunds", "refunds", -6.0)])
    assert (nothing.outcome, nothing.reasons) == ("offer", [])


def test_equal_families_are_ordered_by_name(decided, seller):
    one, other = decided(
        seller(points={"sales": -6.0, "refunds": -6.0}, **DECLINED),
        seller(points={"refunds": -6.0, "sales": -6.0}, **DECLINED),
    )
    assert families(one) == families(other) == [("refunds", "refunds", -6.0), ("scale", "sales", -6.0)]
