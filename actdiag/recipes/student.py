"""Student's t distribution for whole degrees of freedom."""

from __future__ import annotations

import math
from statistics import NormalDist

MANY = 100
"""Degrees of freedom above which the series about the normal quantile is good to 1e-7."""


def t_share(t: float, freedom: int) -> float:
    """Return P(|T| < t) for t >= 0.

    References: Abramowitz & Stegun 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    first = 3 if freedom % 2 else 2
    term = total = cosine if freedom % 2 else 1.0
    for step in range(first, freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    if freedom % 2 == 0:
        return sine * total
    return 2.0 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))


def t_quantile(probability: float, freedom: int) -> float:
    """Return t with P(T < t) = probability, for 0.5 <= probability < 1.

    >>> round(t_quantile(0.975, 1), 3), round(t_quantile(0.975, 9), 3)
    (12.706, 2.262)
    """
    if freedom > MANY:
        return _series(NormalDist().inv_cdf(probability), freedom)
    share, low, high = 2.0 * probability - 1.0, 0.0, 1.0
    while t_share(high, freedom) < share:
        high *= 2.0
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return high


def _series(z: float, freedom: int) -> float:
    """Return the quantile by its expansion in 1 / freedom about the normal one, z.

    References: Abramowitz & Stegun 26.7.5.
    """
    terms = (
        z,
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
    )
    return math.fsum(term / float(freedom) ** power for power, term in enumerate(terms))
