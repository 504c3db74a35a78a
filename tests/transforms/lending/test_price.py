"""Price against exact arithmetic: fractions, written from the formula and not from the code."""

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from conf.policy import Price
from transforms.lending.price import (
    break_even_daily_rate,
    expected_profit,
    offered_daily_rate,
    yearly_rate_compounded,
    yearly_rate_simple,
)


def exact(number):
    """The decimal that a policy's figure was written as."""
    return Fraction(str(number))


def exact_profit(pd, rate, price):
    drawn = Fraction(price.days_drawn_in_a_year, 365)
    days = price.horizon_days * drawn
    exposure = drawn + exact(price.credit_conversion) * (1 - drawn)
    interest = (1 - pd) * rate * days
    costs = exact(price.cost_of_funds) * days / 365 + exact(price.operating_cost) * price.horizon_days / 365
    return interest - costs - pd * exact(price.loss_given_default) * exposure


def exact_break_even(pd, price):
    """The rate at which the (linear) profit is nothing."""
    at_nothing = exact_profit(pd, Fraction(0), price)
    slope = exact_profit(pd, Fraction(1), price) - at_nothing
    return -at_nothing / slope


@pytest.fixture(scope="module")
def priced(spark):
    """Break-even, offered rate, profit and yearly rates of each probability."""

    def of(pds, price):
        rate = offered_daily_rate(F.col("pd"), price)
        return (
            spark.createDataFrame([(pd,) for pd in pds], "pd double")
            .coalesce(1)
            .select("pd", break_even_daily_rate(F.col("pd"), price).alias("break_even"), rate.alias("rate"))
            .select(
                "*",
                expected_profit(F.col("pd"), F.col("rate"), price).alias("profit"),
                yearly_rate_simple(F.col("rate")).alias("simple"),
                yearly_rate_compounded(F.col("rate")).alias("compounded"),
            )
            .collect()
        )

    return of


def test_one_percent_breaks_even_at_0048_percent_a_day(priced, standard):
    (row,) = priced([0.01], standard.price)
    assert round(100 * row.break_even, 3) == 0.048
    # break-even 0.0481 % and margin 0.004 %, rounded up to 0.0001 %
    assert row.rate == 0.000521


def test_the_cap_breaks_even_at_176_percent(priced, standard):
    pds = [place / 1e6 for place in range(17_500, 17_700)]
    offered = [row for row in priced(pds, standard.price) if row.rate is not None]
    assert round(100 * max(row.pd for row in offered), 2) == 1.76
    assert offered[-1].rate == 0.0006
    assert round(offered[-1].simple, 3) == 0.219 and round(offered[-1].compounded, 3) == 0.245
    assert [row.pd for row in offered] == pds[: len(offered)], "offered up to the break-even and nowhere above"


def test_a_sure_default_or_no_probability_has_no_price(priced, standard):
    for row in priced([1.0, None, float("nan"), -0.5, 2.0], standard.price):
        assert (row.break_even, row.rate, row.profit) == (None, None, None)


def test_the_best_seller_pays_the_floor_or_costs_and_margin(priced, standard):
    cheap = standard.price.model_copy(update={"cost_of_funds": 0.01, "operating_cost": 0.0})
    (row,) = priced([0.0001], cheap)
    assert row.rate == standard.price.lowest_daily_rate


def hundredths(highest):
    return st.integers(0, highest).map(lambda n: n / 100)


@st.composite
def prices(draw):
    """Policies' prices, the reasonable and the odd."""
    lowest = draw(st.integers(0, 5)) / 10_000
    return Price(
        horizon_days=draw(st.integers(30, 365)),
        days_drawn_in_a_year=draw(st.integers(60, 365)),
        credit_conversion=draw(hundredths(100)),
        cost_of_funds=draw(hundredths(10)),
        operating_cost=draw(hundredths(3)),
        loss_given_default=draw(hundredths(100)),
        margin=draw(st.integers(0, 20)) / 100_000,
        lowest_daily_rate=lowest,
        highest_daily_rate=round(lowest + draw(st.integers(8, 20)) / 10_000, 6),
        decimals=6,
        legal_yearly_rate=10.0,
        legal_yearly_rate_is="simple",
    )


# no shrinking: a frame a try takes half a second
TRIES = settings(
    max_examples=8,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@TRIES
@given(price=prices(), pds=st.lists(st.floats(1e-6, 0.2), min_size=30, max_size=60))
def test_no_offer_loses_money_and_the_price_is_that_of_exact_arithmetic(priced, price, pds):
    for row in priced(pds, price):
        pd = Fraction(row.pd)
        break_even = exact_break_even(pd, price)
        assert row.break_even == pytest.approx(float(break_even), rel=1e-12)
        highest, lowest = exact(price.highest_daily_rate), exact(price.lowest_daily_rate)
        if row.rate is None:
            assert break_even > highest - Fraction(1, 10**12)
            continue
        rate = exact(row.rate)
        assert lowest <= rate <= highest
        assert exact_profit(pd, rate, price) >= -Fraction(1, 10**14)
        assert row.profit >= 0
        assert row.profit == pytest.approx(float(exact_profit(pd, rate, price)), abs=1e-12)
        # break-even and margin, at most one quoted step above, unless floor or cap hold
        if lowest < rate < highest:
            assert (
                -Fraction(1, 10**12)
                <= rate - break_even - exact(price.margin)
                <= Fraction(1, 10**6) + Fraction(1, 10**12)
            )


@TRIES
@given(price=prices())
def test_a_riskier_seller_never_pays_less(priced, price):
    rows = priced([place / 2000 for place in range(60)], price)
    rates = [row.rate for row in rows]
    offered = [rate for rate in rates if rate is not None]
    assert offered == sorted(offered)
    assert rates == [*offered, *[None] * (len(rates) - len(offered))], "no offer above a refusal"
