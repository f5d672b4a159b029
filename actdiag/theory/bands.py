"""How far a network of finite width strays from mean-field theory.

To first order in 1 / width, what a draw of the weights adds in each layer is passed on by those above it:

    s_l = a_l k_l + e_l,    k_(l+1) = b_(l+1) s_l,    Var[e_l] = (E[phi^4] / E[phi^2]^2 - 1) / n_l

where k_l and s_l are the deviations of ln q_l (preactivation) and ln E[phi^2] (activation) from theory,
a_l = dln E[phi^2] / dln q, b_l is the weights' share in q_l, and n_l the number of units. It is the spread
of one sample's signal: the mean over samples strays as far where they are alike, and less where they differ.
For a ReLU Var[s_l] = 5 l / n (Hanin & Rolnick 2018; Hanin & Nica 2020). `benchmarks/bands.py` counts how many
of other draws lie within.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from actdiag.activations import Activation, Array, Function, normal_cdf, normal_pdf

QUANTILE = 2.5758293035489004
"""The standard normal deviation within which 99% lie."""
REACH, NODES = 10.0, 60
"""Standard deviations covered, and nodes for each piece between two kinks: a spread needs two digits."""
STEP = 0.05
"""Of ln q, for the derivatives by it: they need two digits."""
MOST = 1.5
"""Largest variance of a logarithm at which the first order holds; scale-free activations need no limit."""
STRAIGHT = 1e-6
"""A derivative by ln q that is 0, in its rounding."""
LARGEST = 1e60
"""Variance beyond which an activation is what it tends to; a fourth power stays in float64."""
ALONG = 2.0
"""Most that the gradient's part along the signal may outgrow the rest, which alone theory follows."""


@dataclass(frozen=True)
class Spread:
    """Mean and variance of the logarithm of a second moment about theory, each (layers,)."""

    mean: Array
    variance: Array

    def band(self, rms: Array) -> tuple[Array, Array]:
        """Return the ends of what holds 99% of draws of an rms, (layers,); NaN where they are not known."""
        reach = QUANTILE * np.sqrt(self.variance)
        return rms * np.exp((self.mean - reach) / 2.0), rms * np.exp((self.mean + reach) / 2.0)


@dataclass(frozen=True)
class Preactivations:
    """Normal preactivations, each number (layers,).

    Attributes:
        mean: the bias's.
        variance: over units and draws.
        share: the weights' part of the variance; the rest is the bias's.
    """

    mean: Array
    variance: Array
    share: Array

    def times(self, factor: float) -> Preactivations:
        """Return the same with another variance."""
        return Preactivations(self.mean, self.variance * factor, self.share)


def spreads(act: Activation, z: Preactivations, units: Sequence[int]) -> tuple[Spread, Spread]:
    """Return how far second moments stray: the activation's, and the gradient's over the last layer's.

    A gradient's part along the signal is multiplied from layer to layer by a_l^2 E[phi^2]_l / E[phi^2]_(l-1),
    the rest by chi. Where the first outgrows the second, the gradient's spread is not known.

    Args:
        act: the activation.
        z: the preactivations.
        units: (layers,) number of units.
    """
    n = np.asarray(units, dtype=np.float64)
    z = Preactivations(z.mean, np.clip(z.variance, 1.0 / LARGEST, LARGEST), z.share)
    around = [_nodes(act, each) for each in _around(z)]
    with np.errstate(all="ignore"):
        phi = [_moments(act.function, nodes) for nodes in around]
        below, level, above = (np.log(second) for second, _ in phi)
        slope, bend = (above - below) / (2 * STEP), (above + below - 2 * level) / STEP**2
        fresh = np.maximum(phi[1][1] / np.exp(2 * level) - 1.0, 0.0) / n  # rounding may leave -1e-16
        forward, before = _forward(slope, bend, fresh, z.share)
        slopes = [_moments(act.derivative, nodes) for nodes in around]
        backward = _backward(slopes, n, before)
        outgrown = _sums_to_the_end(_outgrowth(z, slope, level, slopes[1][0])) > math.log(ALONG)
    return forward, Spread(backward.mean, np.where(np.append(outgrown, False), np.nan, backward.variance))


def _around(z: Preactivations) -> tuple[Preactivations, ...]:
    return z.times(math.exp(-STEP)), z, z.times(math.exp(STEP))


def _forward(slope: Array, bend: Array, fresh: Array, share: Array) -> tuple[Spread, Array]:
    """Return the spread of the activations, and the variance of the preactivations' ln q."""
    after, before = [], []
    mean = variance = 0.0
    for a, curve, new, b in zip(slope, bend, fresh, share, strict=True):
        mean, variance = b * mean + b * (1.0 - b) * variance / 2.0, b * b * variance
        before.append(variance)
        mean = a * mean + curve * variance / 2.0 - new / 2.0
        variance = a * a * variance + new
        straight = abs(a - 1.0) + abs(curve) < STRAIGHT
        after.append((mean, variance if straight or variance <= MOST else math.nan))
    means, variances = np.transpose(after)
    return Spread(means, variances), np.array(before)


def _backward(slopes: Sequence[tuple[Array, Array]], n: Array, before: Array) -> Spread:
    """Return the spread of the gradient's second moment over the last layer's.

    A layer adds the fourth moment of phi'(z) (W^T g), 3 E[phi'^4]; besides, phi' follows the preactivation.

    Args:
        slopes: E[phi'^2] and E[phi'^4] at a little less than the variance, at it and a little above.
        n: number of units.
        before: variance of the preactivations' ln q.
    """
    below, level, above = (np.log(second) for second, _ in slopes)
    fresh = (3.0 * slopes[1][1] / np.exp(2 * level) - 1.0) / n
    slope = np.abs(above - below) / (2 * STEP)
    straight = slope < STRAIGHT
    follows = np.where(straight, 0.0, slope * np.sqrt(before))
    variance = np.append(_sums_to_the_end(fresh[:-1]) + _sums_to_the_end(follows[:-1]) ** 2, 0.0)
    return Spread(-variance / 2.0, np.where(straight | (variance <= MOST), variance, np.nan))


def _outgrowth(z: Preactivations, slope: Array, level: Array, chi: Array) -> Array:
    """Return ln of how much more the gradient's part along the signal grows than the rest, per product."""
    sigma_w2 = z.share[1:] * z.variance[1:] / np.exp(level[:-1])
    along = 2.0 * np.log(np.abs(slope[1:] * z.share[1:])) + np.diff(level)
    return np.asarray(along - np.log(sigma_w2 * chi[:-1]))


def _sums_to_the_end(values: Array) -> Array:
    """Return the sum from each place to the end."""
    return np.asarray(np.cumsum(values[::-1])[::-1])


def _moments(function: Function, nodes: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return E[f(z)^2] and E[f(z)^4] per layer, (layers,) each."""
    points, mass = nodes
    square = np.square(function(points))
    mass = mass * square
    return np.asarray(np.sum(mass, axis=1)), np.asarray(np.einsum("lu,lu->l", mass, square))


def _nodes(act: Activation, z: Preactivations) -> tuple[Array, Array]:
    """Return points and their probabilities, (layers, points): of the largest of `pieces` for maxout."""
    sigma, mean = np.sqrt(z.variance)[:, None], z.mean[:, None]
    inner = np.clip((np.array(sorted({0.0, *act.kinks})) - mean) / sigma, -REACH, REACH)
    ends = np.full_like(sigma, REACH)
    edges = np.hstack([-ends, inner, ends])
    nodes, weights = _legendre()
    half, middle = np.diff(edges)[..., None] / 2.0, (edges[:, 1:] + edges[:, :-1])[..., None] / 2.0
    u = (middle + half * nodes).reshape(len(sigma), -1)
    mass = (half * weights).reshape(len(sigma), -1) * normal_pdf(u)
    if act.pieces > 1:
        mass *= act.pieces * normal_cdf(u) ** (act.pieces - 1)
    return np.asarray(mean + sigma * u), mass


@cache
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights
