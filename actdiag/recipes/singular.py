"""The mean singular value of a wide random layer, by random matrix theory."""

from __future__ import annotations

import numpy as np

from actdiag.activations import Activation, Array
from actdiag.theory.quadrature import REACH, bends, pieces, split

_LOG_ENDS, _POINTS = (-30.0, 20.0), 10001
"""ln m at the ends of the integral, and its points: what is left beyond is 1e-6 and less, as is the error."""


def mean_singular_value(squares: Array, shares: Array) -> float:
    """Return the mean singular value of a wide square matrix D X, X of independent entries N(0, 1 / n).

    D is diagonal, with squared entries d of a known law. With F the law of the squared singular values and
    m(-t) = E_F[1 / (x + t)], Marchenko & Pastur's equation for a square matrix is

        t = g / m,    t m(-t) = g(m) = E[1 / (1 + d m)]

    and sqrt(x) = 1/pi int x / (x + t) dt / sqrt(t) gives the mean as 2/pi int (1 - g) d sqrt(t).

    Args:
        squares: (points,) values of d.
        shares: (points,) their probabilities.

    References: Marchenko & Pastur 1967; Silverstein & Choi 1995, eq. 1.1.

    >>> round(mean_singular_value(np.ones(1), np.ones(1)), 5)  # quarter circle: 8 / (3 pi)
    0.84883
    """
    m = np.exp(np.linspace(*_LOG_ENDS, _POINTS))[:, None]
    g = np.sum(shares / (1.0 + squares * m), axis=1)
    # 1 - g, as a sum of its own: near m = 0 the difference has no digits
    passed = np.sum(shares * squares * m / (1.0 + squares * m), axis=1)
    root = np.sqrt(g / m[:, 0])
    return float(-2.0 / np.pi * np.sum(0.5 * (passed[1:] + passed[:-1]) * np.diff(root)))


def slope_squares(act: Activation, q: float, sigma_w2: float) -> tuple[Array, Array]:
    """Return the law of sigma_w^2 phi'(z)^2 for z ~ N(0, q): values and probabilities, (points,) each."""
    sigma = float(np.sqrt(q))
    u, shares = pieces(split(bends(act.kinks, REACH * sigma), sigma))
    return sigma_w2 * act.derivative(sigma * u) ** 2, shares
