"""What an activation makes of the preactivations of two samples.

Their correlation is 1 - delta (centred): small deltas keep their digits, where correlations near 1 lose them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from actdiag.activations import Activation, Array, Function
from actdiag.theory import maxout, quadrature
from actdiag.theory.quadrature import BASE, REACH, bends, pieces, split
from actdiag.theory.response import (
    SMALL,
    exp,
    is_homogeneous,
    is_smooth,
    is_step,
    log,
    response,
    rounded,
    two_slopes,
    within_reach,
)

SMALLEST = -60.0
"""ln delta below which only the leading power of delta counts."""
CLOSE = 1e-16
"""delta below which two preactivations lie so close that the activation is its tangent."""
_SMEARED = np.array([-10.0, -6.0, -3.0, 3.0, 6.0, 10.0])
"""Edges around a kink that is smeared by a normal of width 1, in its units."""


def log_spread(act: Activation, log_variance: float, log_delta: float, mean: float = 0.0) -> float:
    """Return ln D, D = E[(phi(z_1) - phi(z_2))^2] / 2, for two z ~ N(mean, e^log_variance).

    D is the variance of phi across samples; E[phi^2] - D is E[phi(z_1) phi(z_2)].

    Args:
        act: phi.
        log_variance: ln of the variance of z.
        log_delta: ln (1 - correlation of z_1 and z_2).
        mean: of z.

    >>> from actdiag.activations import activation
    >>> round(math.exp(log_spread(activation("step"), 0.0, math.log(0.5))), 12)  # arccos(1/2) / (2 pi)
    0.166666666667
    """
    if log_delta == -math.inf or log_variance == -math.inf:
        return -math.inf
    return _log_spread(act, rounded(log_variance), rounded(log_delta), mean)


def parallel_slope(act: Activation, q: float, delta: float) -> float:
    """Return E[phi'(z_1) phi'(z_2)] for z ~ N(0, q) of correlation 1 - delta, 0 < delta <= 1.

    Given the part t that the two share, they are independent with one law, and by Stein's lemma E_v[phi'] is
    E_v[v phi] / (sigma sqrt(delta)): phi may jump.
    """
    if act.pieces > 1:
        return maxout.parallel(delta)
    sigma, own = math.sqrt(q), math.sqrt(delta)
    shape = _Shape(act.function, act.kinks)
    outer, phi, inner, v = _conditioned(shape, sigma, 0.0, math.sqrt(1.0 - delta), own)
    return float(np.sum(outer * (np.sum(inner * v * phi, axis=1) / (sigma * own)) ** 2))


@lru_cache(maxsize=4096)
def _log_spread(act: Activation, log_variance: float, log_delta: float, mean: float) -> float:
    delta = 2.0 if log_delta > math.log(2.0) - 1e-12 else math.exp(log_delta)
    if act.pieces > 1:
        return log_variance + (log(maxout.spread(delta)) if delta > 1e-30 else log_delta)
    if not mean and (of_kinked := _log_kinked(act, delta, log_delta)) is not None:
        return of_kinked + (log_variance if is_homogeneous(act) else 0.0)
    log_sigma, power, _ = within_reach(act, 0.5 * log_variance, mean)
    sigma = math.exp(log_sigma)
    smooth = is_smooth(act, sigma, mean)
    if (delta < CLOSE and not _jumps(act)) or (smooth and sigma * sigma * delta < SMALL):
        return response(act, log_variance, mean).log_slope + log_variance + log_delta
    if log_sigma == 0.5 * log_variance and not is_homogeneous(act):
        return log(_spread(_shape(act, not mean and delta <= 1.0), sigma, mean, delta))
    power = 1.0 if is_homogeneous(act) else power
    limit = _Shape(_limit(act, sigma, power), (0.0,), bent=False)
    return log(_spread(limit, 1.0, mean * exp(-0.5 * log_variance), delta)) + power * log_variance


def _log_kinked(act: Activation, delta: float, log_delta: float) -> float | None:
    """Return ln D at variance 1 of what is straight on either side of 0, None of other activations.

    phi = a z + b |z| has D = a^2 delta + b^2 (1 - E|z_1 z_2|), see `maxout.spread`; a step's is half the
    probability arccos(1 - delta) / pi that two signs differ.
    """
    small = log_delta < SMALLEST
    if is_homogeneous(act):
        low, high = two_slopes(act)
        even, odd = (high - low) ** 2 / 4.0, (high + low) ** 2 / 4.0
        if small:
            return log(even + odd) + log_delta
        return log(odd * delta + even * (2.0 * maxout.spread(delta) - delta))
    if is_step(act):
        low, high = act.function(np.array([-1.0, 1.0])).tolist()
        log_angle = 0.5 * (math.log(2.0) + log_delta)
        if not small:
            log_angle = log(2.0 * math.asin(math.sqrt(min(0.5 * delta, 1.0))))
        return 2.0 * log(abs(high - low)) + log_angle - math.log(2.0 * math.pi)
    return None


def _limit(act: Activation, scale: float, power: float) -> Function:
    """Return phi(scale u) / scale^power where phi is linear or constant on either side of 0."""
    low, high = act.function(np.array([-scale, scale])) * scale**-power

    def straight(u: Array) -> Array:
        values: Array = np.where(u > 0.0, high, low) * np.abs(u) ** power
        return values

    return straight


@lru_cache(maxsize=256)
def _jumps(act: Activation) -> bool:
    """Tell whether phi itself jumps at a kink."""
    steps = [act.function(np.array([kink - 1e-9, kink + 1e-9])) for kink in act.kinks]
    return any(abs(after - before) > 1e-6 for before, after in steps)


@dataclass(frozen=True)
class _Shape:
    """A function of z, smooth between its kinks.

    Attributes:
        function: phi, without `straight` z.
        kinks: of phi.
        bent: at the scale |z|, not linear in between.
        straight: the slope of phi's linear part, where the rest has a parity and z the mean 0; else None.
    """

    function: Function
    kinks: tuple[float, ...]
    bent: bool = True
    straight: float | None = None

    def bends(self, widest: float, finest: float = 0.0) -> Array:
        """Return where it must be split, see `quadrature.bends`."""
        return bends(self.kinks, widest, finest) if self.bent else np.array(self.kinks)


def _shape(act: Activation, symmetric: bool) -> _Shape:
    """Return an activation's shape; where z and -z weigh the same, without what parity sets apart."""
    slope = _parity(act) if symmetric else None
    if not slope:
        return _Shape(act.function, act.kinks, straight=slope)
    return _Shape(lambda z: act.function(z) - slope * z, act.kinks, straight=slope)


@lru_cache(maxsize=256)
def _parity(act: Activation) -> float | None:
    """Return a for which phi(z) - a z is even, 0 where phi is odd up to a constant, else None."""
    z = np.array([0.01, 0.3, 1.0, 2.5, 6.0, 11.0])
    up, down = act.function(z), act.function(-z)
    slope = (up - down) / (2.0 * z)
    if np.allclose(up + down, 2.0 * float(act.function(np.zeros(1))[0]), rtol=0.0, atol=1e-14):
        return 0.0
    return float(slope[2]) if np.allclose(slope, slope[2], rtol=1e-13, atol=0.0) else None


def _spread(shape: _Shape, sigma: float, mean: float, delta: float) -> float:
    """Return E[(phi(z_1) - phi(z_2))^2] / 2 by quadrature.

    z_i = mean + sigma (sqrt(c) t + sqrt(delta) v_i) with c = 1 - delta >= 0: given t, the two are independent
    with one law, so D = E_t Var_v[phi]. For c < 0 the common part enters with opposite signs.
    """
    if delta <= 1.0:
        outer, phi, inner, _ = _conditioned(shape, sigma, mean, math.sqrt(1.0 - delta), math.sqrt(delta))
        apart = 0.0 if not shape.straight else (shape.straight * sigma) ** 2 * delta
        phi = phi - np.einsum("tv,tv->t", inner, phi)[:, None]
        inner *= phi
        return apart + float(np.dot(outer, np.einsum("tv,tv->t", inner, phi)))
    common, own = math.sqrt(delta - 1.0), math.sqrt(max(2.0 - delta, 0.0))
    outer, phi, inner, _ = _conditioned(shape, sigma, mean, common, own)
    _, mirrored, mirrored_inner, _ = _conditioned(shape, sigma, mean, -common, own)
    product = np.sum(inner * phi, axis=1) * np.sum(mirrored_inner * mirrored, axis=1)
    return float(np.sum(outer * (np.sum(inner * phi * phi, axis=1) - product)))


def _conditioned(
    shape: _Shape, sigma: float, mean: float, common: float, own: float
) -> tuple[Array, Array, Array, Array]:
    """Return the nodes of z = mean + sigma (common t + own v).

    Returns:
        The weights of t (T,), phi(z) (T, V), the weights of v (T, V), and v (T, V).
    """
    wide, narrow = sigma * abs(common), max(sigma * own, 1e-300)
    t, outer = np.zeros(1), np.ones(1)
    if wide > 0.0:
        centres = np.array([0.0, *shape.kinks])
        smeared = (centres[:, None] + narrow * _SMEARED).ravel()
        points = np.concatenate([shape.bends(REACH * wide, narrow), smeared])
        edges = split(np.concatenate([points - mean, mean - points]), wide)
        if shape.straight is None:
            t, outer = pieces(edges)
        else:  # -t gives what t gives, but for a product of the two parts that has the other sign
            t, outer = pieces(edges[edges >= 0.0])
            outer *= 2.0
    shift = mean + sigma * common * t
    cuts = shape.bends(REACH * narrow) - shift[:, None]
    cuts /= narrow
    edges = np.empty((len(t), len(BASE) + cuts.shape[1]))
    edges[:, : len(BASE)], edges[:, len(BASE) :] = BASE, quadrature.within_reach(cuts)
    edges.sort(axis=1)
    v, inner = pieces(edges)
    z = narrow * v
    z += shift[:, None]
    return outer, shape.function(z), inner, v
