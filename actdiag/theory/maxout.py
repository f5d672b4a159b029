"""The larger of two independent normal preactivations, in closed form.

max(z_a, z_b) = (s + |d|) / sqrt(2) with s, d = (z_a +- z_b) / sqrt(2) independent: two samples meet in
E|d_1 d_2|, the arc-cosine kernel of degree 1 (Cho & Saul 2009).
"""

from __future__ import annotations

import math

from actdiag.errors import UsageError


def moments(pieces: int, sigma: float) -> tuple[float, float]:
    """Return E[max] for z ~ N(0, sigma^2), and Var[max] / sigma^2.

    Raises:
        UsageError: not two pieces.
    """
    if pieces != 2:
        raise UsageError(f"theory knows maxout with 2 pieces, got {pieces}")
    return sigma / math.sqrt(math.pi), 1.0 - 1.0 / math.pi


def spread(delta: float) -> float:
    """Return E[(max_1 - max_2)^2] / (2 sigma^2) for two samples of correlation 1 - delta.

    E|d_1 d_2| / sigma^2 = c + (2 / pi) (sin a - a cos a), a = arccos c.
    """
    angle = 2.0 * math.asin(math.sqrt(min(0.5 * delta, 1.0)))
    bent = angle**3 / 3.0 * (1.0 - angle**2 / 10.0)
    if angle > 1e-3:
        bent = math.sin(angle) - angle * math.cos(angle)
    return delta - bent / math.pi


def parallel(delta: float) -> float:
    """Return the derivative of E[max_1 max_2] / sigma^2 by c: (1 + (2 / pi) arcsin c) / 2."""
    return 1.0 - 2.0 / math.pi * math.asin(math.sqrt(min(0.5 * delta, 1.0)))
