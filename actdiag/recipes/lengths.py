"""Laws of the length of a ReLU layer's activations, in closed form."""

from __future__ import annotations

import math

EULER = 0.57721566490153286061
"""-digamma(1)."""


def log_variance(width: int) -> float:
    """Return Var[ln M' / M], which a ReLU layer of this many units adds, with He's normal weights.

    M' / M is 2 / n times chi-squared with K degrees of freedom, K ~ Binomial(n, 1/2) units being positive, so
    with digamma and trigamma the variance is E[trigamma(K / 2)] + Var[digamma(K / 2)], given K > 0.

    References: Hanin & Nica 2020, where it is 5 / n to leading order.

    >>> round(100 * log_variance(100), 3)
    5.194
    """
    reach = min(width, int(width / 2.0 + 8.0 * math.sqrt(width)) + 1)
    first, second = _polygamma(reach)
    shares = [_binomial(width, positive) for positive in range(1, reach + 1)]
    total = math.fsum(shares)
    mean = math.fsum(share * value for share, value in zip(shares, first, strict=True)) / total
    spread = (share * (value - mean) ** 2 for share, value in zip(shares, first, strict=True))
    inner = (share * value for share, value in zip(shares, second, strict=True))
    return (math.fsum(spread) + math.fsum(inner)) / total


def _binomial(count: int, positive: int) -> float:
    """Return P(K = positive) for K ~ Binomial(count, 1/2)."""
    ways = math.lgamma(count + 1) - math.lgamma(positive + 1) - math.lgamma(count - positive + 1)
    return math.exp(ways - count * math.log(2.0))


def _polygamma(most: int) -> tuple[list[float], list[float]]:
    """Return digamma(k / 2) and trigamma(k / 2) for k from 1 to `most`, by their recurrences.

    References: Abramowitz & Stegun 6.3.5 and 6.4.6.
    """
    first = [-EULER - 2.0 * math.log(2.0), -EULER]
    second = [math.pi**2 / 2.0, math.pi**2 / 6.0]
    for k in range(1, most - 1):
        first.append(first[-2] + 2.0 / k)
        second.append(second[-2] - 4.0 / k**2)
    return first[:most], second[:most]


def truncated_variance(reach: float) -> float:
    """Return the variance that is left of N(0, 1) where it is cut off at +-reach.

    >>> round(truncated_variance(2.0), 4)
    0.7737
    """
    density = math.exp(-0.5 * reach**2) / math.sqrt(2.0 * math.pi)
    return 1.0 - 2.0 * reach * density / math.erf(reach / math.sqrt(2.0))
