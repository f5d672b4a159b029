"""What an activation makes of normal preactivations: of one, and of two that are correlated.

z = mean + sigma u, u ~ N(0, 1); variances are passed and returned as logarithms, since a deep network takes
them out of float64. Two samples' preactivations have correlation 1 - delta (centred): small deltas keep their
digits, where correlations near 1 would lose them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from actdiag.activations import Activation, Array, Function
from actdiag.errors import UsageError
from actdiag.theory.quadrature import BASE, REACH, bends, pieces, split

FAR = 25.0
"""|ln sigma| beyond which an activation is what it tends to, linear or constant on either side, to 1e-11."""
CLOSE = 1e-16
"""delta below which two preactivations lie so close that the activation is its tangent."""
CLOSE_SMOOTH = 1e-12
"""The same for the squared distance sigma^2 delta where the activation has no kink within reach."""
_INNER_NODES = 16
_SMEARED = np.array([-10.0, -6.0, -3.0, 3.0, 6.0, 10.0])
"""Edges around a kink that is smeared by a normal of width 1, in its units."""


@dataclass(frozen=True)
class Response:
    """Moments of phi(z) and phi'(z) for normal z.

    Attributes:
        log_second_moment: ln E[phi^2].
        log_variance: ln Var[phi].
        mean: E[phi]; infinite where it leaves float64.
        log_slope: ln E[phi'^2] (for maxout: summed over the pieces).
    """

    log_second_moment: float
    log_variance: float
    mean: float
    log_slope: float


def log(x: float) -> float:
    """Return ln x, and -inf for 0."""
    return math.log(x) if x > 0.0 else -math.inf


def exp(x: float) -> float:
    """Return e^x, and inf where it leaves float64."""
    return math.exp(x) if x < 709.0 else math.inf


def response(act: Activation, log_variance: float, mean: float = 0.0) -> Response:
    """Return the moments of phi(z) for z ~ N(mean, e^log_variance).

    >>> from actdiag.activations import activation
    >>> round(math.exp(response(activation("relu"), 0.0).log_second_moment), 12)
    0.5
    """
    return _response(act, _rounded(log_variance), mean)


def log_spread(act: Activation, log_variance: float, log_delta: float, mean: float = 0.0) -> float:
    """Return ln D, D = E[(phi(z_1) - phi(z_2))^2] / 2, for two z of correlation 1 - e^log_delta.

    D is the variance of phi across samples; the second moment less D is E[phi(z_1) phi(z_2)].
    """
    if log_delta == -math.inf or log_variance == -math.inf:
        return -math.inf
    return _log_spread(act, _rounded(log_variance), _rounded(log_delta), mean)


def _rounded(x: float) -> float:
    """Return x to 13 digits after the point, so that a fixed point is computed once."""
    return round(x, 13) + 0.0


@lru_cache(maxsize=4096)
def _response(act: Activation, log_variance: float, mean: float) -> Response:
    if act.pieces > 1:
        return _maxout_response(act, log_variance, mean)
    if log_variance == -math.inf:
        return _constant_response(act, mean)
    log_sigma, power, sloped = _within_reach(act, 0.5 * log_variance, mean)
    far = 0.5 * log_variance - log_sigma
    sigma, mean = math.exp(log_sigma), mean * math.exp(-power * max(far, 0.0))
    u, weights = pieces(split(bends(act.kinks, REACH * sigma), sigma, mean))
    z = mean + sigma * u
    phi, slope = act.function(z), float(np.sum(weights * act.derivative(z) ** 2))
    first, second = float(np.sum(weights * phi)), float(np.sum(weights * phi * phi))
    variance = float(np.sum(weights * (phi - first) ** 2))
    tangent = _smooth(act, sigma, mean) and sigma * sigma < CLOSE_SMOOTH
    if tangent:
        variance = sigma * sigma * slope
    return Response(
        log(second) + 2.0 * power * far,
        log(variance) + 2.0 * (1.0 if tangent else power) * far,
        first * exp(power * far) if first else 0.0,
        log(slope) + sloped * far,
    )


def _within_reach(act: Activation, log_sigma: float, mean: float) -> tuple[float, float, float]:
    """Return ln sigma brought into [-FAR, FAR], and the powers of sigma that phi and E[phi'^2] follow beyond."""
    if log_sigma > FAR:
        return FAR, float(act.range is None), -float(act.range is not None)
    if log_sigma < -FAR:
        nearby = act.function(mean + math.exp(-FAR) * np.array([-1.0, 1.0]))
        return -FAR, float(bool(np.max(np.abs(nearby)) < math.exp(-0.5 * FAR))), 0.0
    return log_sigma, 0.0, 0.0


def _smooth(act: Activation, sigma: float, mean: float) -> bool:
    """Tell whether no kink lies within reach."""
    return all(abs(kink - mean) > REACH * sigma for kink in act.kinks)


def _constant_response(act: Activation, mean: float) -> Response:
    """Return what phi makes of z = mean."""
    z = np.array([mean])
    phi, slope = float(act.function(z)[0]), float(act.derivative(z)[0])
    return Response(log(phi * phi), -math.inf, phi, log(slope * slope))


@lru_cache(maxsize=4096)
def _log_spread(act: Activation, log_variance: float, log_delta: float, mean: float) -> float:
    delta = 2.0 if log_delta > math.log(2.0) - 1e-12 else math.exp(log_delta)
    if act.pieces > 1:
        return log_variance + (log(_maxout_spread(delta)) if delta > 1e-30 else log_delta)
    log_sigma, power, _ = _within_reach(act, 0.5 * log_variance, mean)
    sigma = math.exp(log_sigma)
    smooth = _smooth(act, sigma, mean)
    if (delta < CLOSE and not _jumps(act)) or (smooth and sigma * sigma * delta < CLOSE_SMOOTH):
        return response(act, log_variance, mean).log_slope + log_variance + log_delta
    if log_sigma == 0.5 * log_variance and not _homogeneous(act):
        return log(_spread(_Shape(act.function, act.kinks), sigma, mean, delta))
    power = 1.0 if _homogeneous(act) else power
    limit = _Shape(lambda u: act.function(sigma * u) * sigma**-power, (0.0,), bent=False)
    return log(_spread(limit, 1.0, mean * exp(-0.5 * log_variance), delta)) + power * log_variance


@dataclass(frozen=True)
class _Shape:
    """A function of z, smooth between its kinks; `bent`: at the scale |z|, not linear in between."""

    function: Function
    kinks: tuple[float, ...]
    bent: bool = True

    def bends(self, widest: float, finest: float = 0.0) -> Array:
        """Return where it must be split, see `quadrature.bends`."""
        return bends(self.kinks, widest, finest) if self.bent else np.array(self.kinks)


@lru_cache(maxsize=256)
def _homogeneous(act: Activation) -> bool:
    """Tell whether phi(k z) = k phi(z) for k > 0, so that no scale is special."""
    z = np.array([-3.0, -0.5, 0.25, 2.0])
    return all(np.array_equal(act.function(k * z), k * act.function(z)) for k in (2.0**-40, 2.0**40))


@lru_cache(maxsize=256)
def _jumps(act: Activation) -> bool:
    """Tell whether phi itself jumps at a kink."""
    steps = [act.function(np.array([kink - 1e-9, kink + 1e-9])) for kink in act.kinks]
    return any(abs(after - before) > 1e-6 for before, after in steps)


def _spread(shape: _Shape, sigma: float, mean: float, delta: float) -> float:
    """Return E[(phi(z_1) - phi(z_2))^2] / 2 by quadrature.

    z_i = mean + sigma (sqrt(c) t + sqrt(delta) v_i) with c = 1 - delta >= 0: given t, the two are independent
    with one law, so D = E_t Var_v[phi]. For c < 0 the common part enters with opposite signs.
    """
    if delta <= 1.0:
        t, outer, phi, inner = _conditioned(shape, sigma, mean, math.sqrt(1.0 - delta), math.sqrt(delta))
        centred = phi - np.sum(inner * phi, axis=1, keepdims=True)
        return float(np.sum(outer * np.sum(inner * centred * centred, axis=1)))
    common, own = math.sqrt(delta - 1.0), math.sqrt(max(2.0 - delta, 0.0))
    _, outer, phi, inner = _conditioned(shape, sigma, mean, common, own)
    _, _, mirrored, mirrored_inner = _conditioned(shape, sigma, mean, -common, own)
    product = np.sum(inner * phi, axis=1) * np.sum(mirrored_inner * mirrored, axis=1)
    return float(np.sum(outer * (np.sum(inner * phi * phi, axis=1) - product)))


def _conditioned(
    shape: _Shape, sigma: float, mean: float, common: float, own: float
) -> tuple[Array, Array, Array, Array]:
    """Return t and its weights (T,), phi(mean + sigma (common t + own v)) and the weights of v (T, V)."""
    wide, narrow = sigma * abs(common), max(sigma * own, 1e-300)
    t, outer = np.zeros(1), np.ones(1)
    if wide > 0.0:
        centres = np.array([0.0, *shape.kinks])
        smeared = (centres[:, None] + narrow * _SMEARED).ravel()
        points = np.concatenate([shape.bends(REACH * wide, narrow), smeared])
        t, outer = pieces(split(np.concatenate([points - mean, mean - points]), wide), _INNER_NODES)
    shift = mean + sigma * common * t
    cuts = (shape.bends(REACH * narrow) - shift[:, None]) / narrow
    fixed = np.broadcast_to(np.array(BASE), (len(t), len(BASE)))
    edges = np.sort(np.concatenate([fixed, np.clip(cuts, -REACH, REACH)], axis=1), axis=1)
    v, inner = pieces(edges, _INNER_NODES)
    return t, outer, shape.function(shift[:, None] + narrow * v), inner


def _maxout_response(act: Activation, log_variance: float, mean: float) -> Response:
    """Return the moments of the larger of two independent z: E = mean + sigma / sqrt(pi), E[max^2] = E[z^2]."""
    if act.pieces > 2:
        raise UsageError(f"theory knows maxout with 2 pieces, got {act.pieces}")
    sigma = exp(0.5 * log_variance)
    cross = mean * (mean + 2.0 * sigma / math.sqrt(math.pi)) if mean else 0.0
    second = log_variance if not mean else log(cross + sigma * sigma)
    return Response(
        second, log_variance + math.log(1.0 - 1.0 / math.pi), mean + sigma / math.sqrt(math.pi), 0.0
    )


def _maxout_spread(delta: float) -> float:
    """Return D / sigma^2 of the larger of two: max = (s + |d|) / sqrt(2) with s, d independent.

    E|d_1 d_2| = c + (2 / pi) (sin a - a cos a), a = arccos c (Cho & Saul 2009, n = 1).
    """
    angle = 2.0 * math.asin(math.sqrt(min(0.5 * delta, 1.0)))
    bent = (
        math.sin(angle) - angle * math.cos(angle) if angle > 1e-3 else angle**3 / 3.0 * (1 - angle**2 / 10.0)
    )
    return delta - bent / math.pi
