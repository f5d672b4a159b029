"""Laws of silence: of a ReLU unit on two inputs, and of narrow networks as a whole."""

from __future__ import annotations

import math


def sheppard(correlation: float) -> float:
    """Return P(both <= 0) of two normal variables of mean 0.

    References: Sheppard 1899.

    >>> sheppard(0.0), sheppard(1.0)
    (0.25, 0.5)
    """
    return 0.25 + math.asin(min(correlation, 1.0)) / (2.0 * math.pi)


def next_correlation(correlation: float) -> float:
    """Return the correlation, not centred, of a wide ReLU layer's output for that of its input.

    References: Cho & Saul 2009, eq. 6.
    """
    angle = math.acos(min(correlation, 1.0))
    return (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi


def upper_bound(width: int, layers: int) -> float:
    """Return the chance that a network is dead at one input, and the most on all: 1 - (1 - 2^-N)^(L - 1).

    References: Lu et al. 2020, theorem on the upper bound.

    >>> upper_bound(1, 3)
    0.75
    """
    return 1.0 - (1.0 - 2.0**-width) ** (layers - 1)


def lower_bound(width: int, layers: int) -> float:
    """Return the least chance that a network of one input without bias is born dead.

    References: Lu et al. 2020, theorem for d_in = 1: 1 - a^(L-2) + (1 - 2^(1-N)) (1 - 2^-N) /
    (1 + (N - 1) 2^-N) (b^(L-2) - a^(L-2)) with a = 1 - 2^-N, b = 1 - 2^(1-N) - (N - 1) 4^-N.
    """
    half = 2.0**-width
    a, b = 1.0 - half, 1.0 - 2.0 * half - (width - 1) * half**2
    share = (1.0 - 2.0 * half) * a / (1.0 + (width - 1) * half)
    return 1.0 - a ** (layers - 2) + share * (b ** (layers - 2) - a ** (layers - 2))
