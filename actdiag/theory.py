"""What mean-field theory says of a layer before it is measured.

All expectations are over z ~ N(0, q), by Gauss-Legendre quadrature split at the activation's kinks.
"""

from __future__ import annotations

import math

import numpy as np

from actdiag.activations import Activation, Array, normal_cdf, normal_pdf
from actdiag.errors import UsageError

REACH = 10.0
"""Standard deviations that the quadrature covers; the normal tail beyond is 1.5e-23."""
NODES = 100
"""Gauss-Legendre nodes for each piece between two kinks."""


def gaussian_expectation(values: object, kinks: tuple[float, ...] = (), q: float = 1.0) -> float:
    """Return E[f(z)] for z ~ N(0, q), where `values` is f, smooth between `kinks`.

    >>> round(gaussian_expectation(lambda z: z**2, q=4.0), 12)
    4.0
    """
    sigma = math.sqrt(q)
    inner = sorted(kink / sigma for kink in kinks if abs(kink) < REACH * sigma)
    edges = np.array([-REACH, *inner, REACH]) if inner else np.array([-REACH, 0.0, REACH])
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half, middle = np.diff(edges)[:, None] / 2.0, (edges[1:] + edges[:-1])[:, None] / 2.0
    z = middle + half * nodes
    return float(np.sum(half * weights * normal_pdf(z) * values(sigma * z)))  # type: ignore[operator]


def second_moment(act: Activation, q: float = 1.0) -> float:
    """Return E[phi(z)^2] for z ~ N(0, q); for maxout, of the largest of `pieces` independent z."""
    if act.pieces > 1:
        return act.pieces * gaussian_expectation(
            lambda z: z**2 * normal_cdf(z / math.sqrt(q)) ** (act.pieces - 1), (), q
        )
    return gaussian_expectation(lambda z: act.function(z) ** 2, act.kinks, q)


def exact_gain(act: Activation) -> float:
    """Return the gain that keeps E[z^2] = 1 from layer to layer: 1 / sqrt(E[phi(z)^2]), z ~ N(0, 1).

    >>> from actdiag.activations import activation
    >>> round(exact_gain(activation("tanh")), 4), round(exact_gain(activation("relu")) ** 2, 12)
    (1.5925, 2.0)
    """
    return 1.0 / math.sqrt(second_moment(act))


def resolve_gain(gain: float | str | None, act: Activation, default: float | None) -> float:
    """Return the gain in use as a number: given, torch's, exact, or the initialiser's own `default`.

    Returns NaN for an initialiser that has no gain and was given none.

    Raises:
        UsageError: torch knows no gain for the activation.
    """
    if gain == "exact":
        return exact_gain(act)
    if gain == "torch":
        if act.torch_gain is None:
            raise UsageError(f"torch has no gain for '{act.name}': use --gain exact or a number")
        return act.torch_gain
    if gain is None:
        return math.nan if default is None else default
    return float(gain)


def dead_share(correlation: float, samples: int) -> float:
    """Return the share of units that are <= 0 on all of `samples` inputs with this mean correlation.

    The preactivations of one unit are jointly normal over random weights, with zero mean and equal
    correlation c: z_i = sqrt(c) m + sqrt(1 - c) e_i, so P = E_m[Phi(-sqrt(c / (1 - c)) m)^n].

    >>> round(dead_share(0.0, 3), 12), dead_share(1.0, 512)
    (0.125, 0.5)
    """
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
