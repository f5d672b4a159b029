"""How many units are silent on every sample although nothing is wrong."""

from __future__ import annotations

import math

from actdiag.activations import Array, normal_cdf
from actdiag.arguments import number, whole
from actdiag.theory.quadrature import gaussian_expectation


def dead_share(correlation: float, samples: int) -> float:
    """Return the share of units that are <= 0 on all of `samples` inputs with this mean correlation.

    The preactivations of one unit are jointly normal over random weights, with zero mean and equal
    correlation c: z_i = sqrt(c) m + sqrt(1 - c) e_i, so P = E_m[Phi(-sqrt(c / (1 - c)) m)^n].

    Raises:
        UsageError: the correlation is no number, or the samples cannot be counted.

    >>> round(dead_share(0.0, 3), 12), dead_share(1.0, 512)
    (0.125, 0.5)
    """
    correlation, samples = number("correlation", correlation), whole("samples", samples, 0)
    if not correlation < 1.0 - 1e-12:
        return 0.5
    slope = math.sqrt(max(correlation, 0.0) / (1.0 - correlation))

    def silent(m: Array) -> Array:
        return normal_cdf(-slope * m) ** samples

    return gaussian_expectation(silent, _transition(slope, samples))


def _transition(slope: float, samples: int) -> tuple[float, ...]:
    """Return points around the place where Phi(-slope m)^n turns from 0 to 1, to split the quadrature."""
    if slope == 0.0:
        return ()
    width = 1.0 / slope
    centre = -width * math.sqrt(2.0 * math.log(samples + 1.0))
    return tuple(sorted({centre + step * width for step in (-4.0, -2.0, 0.0, 2.0, 4.0)}))
