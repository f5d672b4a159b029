"""Expectations over normal variables, by Gauss-Legendre quadrature in pieces."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

import numpy as np

from actdiag.activations import Array, normal_pdf
from actdiag.arguments import number, shown, variance
from actdiag.errors import UsageError

REACH = 10.0
"""Standard deviations that the quadrature covers; the normal tail beyond is 1.5e-23."""
NODES = 16
"""Gauss-Legendre nodes for each piece."""
RUNGS = 1.5 * 4.0 ** np.arange(18)
"""Distances from 0 at which a piece ends, in units of z.

Activations bend at the scale 1 near 0 and at the scale |z| further out: on pieces between these rungs their
nearest pole lies 1.5 half-lengths or more outside, and 16 nodes are exact to 1e-14.
"""
_RUNGS: list[float] = RUNGS.tolist()
BASE = (-REACH, -0.5 * REACH, 0.0, 0.5 * REACH, REACH)
"""Ends of pieces on which the normal density itself is smooth enough."""


@cache
def _legendre(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def pieces(edges: Array, nodes: int = NODES) -> tuple[Array, Array]:
    """Return points u and weights of E[f(u)] = sum(weights f(u)), u ~ N(0, 1), (..., pieces x nodes).

    Args:
        edges: (..., pieces + 1), in rising order, where pieces end.
        nodes: for each piece.
    """
    points, weights = _legendre(nodes)
    above, below = edges[..., 1:, None], edges[..., :-1, None]
    half = 0.5 * (above - below)
    u = half * points
    u += 0.5 * (above + below)
    u = u.reshape(*edges.shape[:-1], -1)
    mass = normal_pdf(u)
    mass *= (half * weights).reshape(u.shape)
    return u, mass


def bends(kinks: Iterable[float], widest: float, finest: float = 0.0) -> Array:
    """Return where a function that bends at `kinks`, and at the scale |z| around 0, must be split.

    Args:
        kinks: in units of z.
        widest: no piece is wider; bends at larger scales need no split.
        finest: the function was smeared over this width; bends at smaller scales are gone.
    """
    first, last = bisect_left(_RUNGS, finest), bisect_right(_RUNGS, widest)
    return _bends(tuple(kinks), first, last)


@lru_cache(maxsize=1024)
def _bends(kinks: tuple[float, ...], first: int, last: int) -> Array:
    rungs = RUNGS[first:last]
    found = np.unique(np.concatenate([-rungs, [0.0], rungs, list(kinks)]))
    found.flags.writeable = False
    return found


def within_reach(u: Array) -> Array:
    """Return u, or the end of what the quadrature covers."""
    return np.minimum(np.maximum(u, -REACH), REACH)


def split(points: Array, sigma: float, mean: float = 0.0) -> Array:
    """Return the edges of pieces in u, where z = mean + sigma u is split at `points`."""
    inside = within_reach((points - mean) / sigma)
    return np.array(sorted({*BASE, *inside.tolist()}))


def gaussian_expectation(
    values: Callable[[Array], Array], kinks: Iterable[float] = (), q: float = 1.0, mean: float = 0.0
) -> float:
    """Return E[f(z)] for z ~ N(mean, q), where `values` is f, smooth between `kinks`; q = 0 is z = mean.

    Raises:
        UsageError: no function, or a number out of its range.

    >>> round(gaussian_expectation(lambda z: z**2, q=4.0), 12)
    4.0
    """
    if not callable(values):
        raise UsageError(f"values is a function of an array, got {shown(values)}")
    sigma, mean = math.sqrt(variance("q", q)), number("mean", mean)
    if not sigma:
        return float(values(np.array([mean]))[0])
    u, weights = pieces(split(bends(kinks, REACH * sigma), sigma, mean))
    return float(np.sum(weights * values(mean + sigma * u)))
