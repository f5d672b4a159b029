"""What an activation makes of one normal preactivation.

z = mean + sigma u, u ~ N(0, 1). Variances are passed and returned as logarithms, since a deep network takes
them out of float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from actdiag.activations import Activation
from actdiag.theory import maxout
from actdiag.theory.quadrature import REACH, bends, pieces, split

FAR = 30.0
"""|ln sigma| beyond which an activation is what it tends to, linear or constant on either side, to 1e-11."""
SMALL = 1e-12
"""Square of a distance in z over which an activation without a kink within reach is its tangent."""


@dataclass(frozen=True)
class Response:
    """Moments of phi(z) and phi'(z) for normal z.

    Attributes:
        log_second_moment: ln E[phi^2].
        log_variance: ln Var[phi].
        mean: E[phi]; infinite where it leaves float64.
        mean_share: E[phi] / sqrt(E[phi^2]), 0 where phi is 0.
        log_slope: ln E[phi'^2]; for maxout summed over the pieces.
    """

    log_second_moment: float
    log_variance: float
    mean: float
    mean_share: float
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
    return _response(act, rounded(log_variance), mean)


def rounded(x: float) -> float:
    """Return x to 13 digits after the point, so that a fixed point is computed once."""
    return round(x, 13) + 0.0


@lru_cache(maxsize=4096)
def _response(act: Activation, log_variance: float, mean: float) -> Response:
    if log_variance == -math.inf:
        return _constant(act, mean)
    if act.pieces > 1:
        return _of_maxout(act, log_variance, mean)
    if not mean and is_homogeneous(act):
        return _of_slopes(*two_slopes(act), log_variance)
    log_sigma, power, sloped = within_reach(act, 0.5 * log_variance, mean)
    far = 0.5 * log_variance - log_sigma
    sigma, mean = math.exp(log_sigma), mean * math.exp(-power * max(far, 0.0))
    u, weights = pieces(split(bends(act.kinks, REACH * sigma), sigma, mean))
    z = mean + sigma * u
    phi, slope = act.function(z), float(np.sum(weights * act.derivative(z) ** 2))
    first, second = float(np.sum(weights * phi)), float(np.sum(weights * phi * phi))
    tangent = is_smooth(act, sigma, mean) and sigma * sigma < SMALL
    variance = sigma * sigma * slope if tangent else float(np.sum(weights * (phi - first) ** 2))
    return Response(
        log(second) + 2.0 * power * far,
        log(variance) + 2.0 * (1.0 if tangent else power) * far,
        first * exp(power * far) if first else 0.0,
        first / math.sqrt(second) if second else 0.0,
        log(slope) + sloped * far,
    )


def within_reach(act: Activation, log_sigma: float, mean: float) -> tuple[float, float, float]:
    """Return ln sigma within [-FAR, FAR], and the powers of sigma that phi and E[phi'^2] follow beyond."""
    if log_sigma > FAR:
        return FAR, float(act.range is None), -float(act.range is not None)
    if log_sigma < -FAR:
        nearby = act.function(mean + math.exp(-FAR) * np.array([-1.0, 1.0]))
        return -FAR, float(bool(np.max(np.abs(nearby)) < math.exp(-0.5 * FAR))), 0.0
    return log_sigma, 0.0, 0.0


def is_smooth(act: Activation, sigma: float, mean: float) -> bool:
    """Tell whether no kink lies within reach."""
    return all(abs(kink - mean) > REACH * sigma for kink in act.kinks)


def _constant(act: Activation, mean: float) -> Response:
    """Return what phi makes of z = mean."""
    z = np.array([mean])
    phi, slope = float(act.function(z)[0]), float(act.derivative(z)[0])
    return Response(log(phi * phi), -math.inf, phi, float(np.sign(phi)), log(slope * slope))


@lru_cache(maxsize=256)
def is_homogeneous(act: Activation) -> bool:
    """Tell whether phi(k z) = k phi(z) for k > 0, so that no scale is special: relu, leaky_relu, maxout."""
    return all(np.array_equal(act.function(k * _PLACES), k * act.function(_PLACES)) for k in _FACTORS)


@lru_cache(maxsize=256)
def is_step(act: Activation) -> bool:
    """Tell whether phi(k z) = phi(z) for k > 0."""
    return all(np.array_equal(act.function(k * _PLACES), act.function(_PLACES)) for k in _FACTORS)


_PLACES = np.array([-3.0, -0.5, 0.25, 2.0])
_FACTORS = 2.0**-40, 2.0**40


@lru_cache(maxsize=256)
def two_slopes(act: Activation) -> tuple[float, float]:
    """Return phi' below and above 0 of a homogeneous phi."""
    below, above = act.function(np.array([-1.0, 1.0])).tolist()
    return -below, above


def _of_slopes(low: float, high: float, log_variance: float) -> Response:
    """Return the moments of a phi of two slopes for z of mean 0: half of E[phi^2] comes from each side."""
    second, first = (low * low + high * high) / 2.0, (high - low) / math.sqrt(2.0 * math.pi)
    return Response(
        log(second) + log_variance,
        log(second - first * first) + log_variance,
        first * exp(0.5 * log_variance) if first else 0.0,
        first / math.sqrt(second) if second else 0.0,
        log(second),
    )


def _of_maxout(act: Activation, log_variance: float, mean: float) -> Response:
    sigma = exp(0.5 * log_variance)
    first, centred = maxout.moments(act.pieces, sigma)
    second = log_variance if not mean else log(mean * (mean + 2.0 * first) + sigma * sigma)
    share = (mean + first) * exp(-0.5 * second) if mean else 1.0 / math.sqrt(math.pi)
    return Response(second, log_variance + math.log(centred), mean + first, share, 0.0)
