"""The daily rate: break-even, plus a margin, within a floor and a cap.

All on one base: a yuan of limit over the horizon that the probability of default is about (90 days). Per yuan of limit
and with ``D`` days drawn, exposure at default ``E`` and the daily rate ``r``:

    profit = (1 - PD) r D - cost of funds D / 365 - operating cost horizon / 365 - PD LGD E

With the standard policy a PD of 1 % breaks even at 0.048 % a day, and the cap of 0.06 % a day at a PD of 1.76 %.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F

from conf.policy import Price
from transforms.lending.scale import is_probability


def break_even_daily_rate(pd: Column, price: Price) -> Column:
    """Daily rate at which the expected profit is nothing; null where ``pd`` is no probability, or is 1."""
    loss = pd * F.lit(price.loss_given_default * price.exposure)
    return F.when(
        is_probability(pd) & (pd < F.lit(1.0)),
        (F.lit(price.fixed_cost) + loss) / (F.lit(price.days_drawn) * (F.lit(1.0) - pd)),
    )


def expected_profit(pd: Column, daily_rate: Column, price: Price) -> Column:
    """Expected profit of a yuan of limit over the horizon, in yuan; null where an input is."""
    interest = (F.lit(1.0) - pd) * daily_rate * F.lit(price.days_drawn)
    return interest - F.lit(price.fixed_cost) - pd * F.lit(price.loss_given_default * price.exposure)


def offered_daily_rate(pd: Column, price: Price) -> Column:
    """Daily rate as quoted and charged; null where even the cap does not pay for the risk: no offer.

    Break-even plus margin, rounded **up** to the policy's decimals so that the rate that is quoted still pays, then
    raised to the floor and lowered to the cap.
    """
    steps = F.lit(float(10**price.decimals))
    wanted = F.ceil((break_even_daily_rate(pd, price) + F.lit(price.margin)) * steps) / steps
    rate = F.least(F.lit(price.highest_daily_rate), F.greatest(F.lit(price.lowest_daily_rate), wanted))
    # not `break-even <= cap`: the two differ by a rounding in the last bit, and it is the profit that is promised
    return F.when(wanted.isNotNull() & (expected_profit(pd, rate, price) >= 0), rate)


def yearly_rate_simple(daily_rate: Column) -> Column:
    """Yearly rate without interest on interest: 365 times the daily rate."""
    return daily_rate * F.lit(365.0)


def yearly_rate_compounded(daily_rate: Column) -> Column:
    """Yearly rate with interest on interest every day."""
    return F.pow(F.lit(1.0) + daily_rate, F.lit(365.0)) - F.lit(1.0)
