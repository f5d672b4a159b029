"""Where a deep chain ends: the fixed points of variance and correlation, and how fast they are reached.

Poole et al. 2016; Schoenholz et al. 2017, eq. 9 and 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from actdiag.activations import Activation, check_activation
from actdiag.arguments import number, variance
from actdiag.theory.response import exp, log, response
from actdiag.theory.spread import log_spread, parallel_slope

LOWEST, HIGHEST, STEP = -50.0, 50.0, 0.5
"""ln q between which fixed points are looked for; beyond, an activation is homogeneous or constant."""
TOUCHING = 1e-12
"""|ln(q' / q)| below which q is a fixed point: rounding leaves this much."""
CRITICAL = 1e-6
"""|chi_1 - 1| up to which a network is called critical."""


@dataclass(frozen=True)
class FixedPoint:
    """What a chain of equal layers tends to, from inputs with second moment 1.

    Attributes:
        sigma_w2: fan_in Var[w].
        sigma_b2: variance of the bias.
        q_star: second moment of the preactivation; 0 where it dies out, inf where it grows without end.
        slope_q: dq'/dq at q_star; above 1 the fixed point is unstable.
        c_star: correlation that samples tend to; NaN where each keeps its own.
        chi_1: sigma_w^2 E[phi'^2] at q_star: by this a gradient's squared norm changes per layer, backwards.
        xi_q: layers in which a deviation from q_star shrinks e times; NaN where it grows.
        xi_c: the same for a deviation from c_star; inf where it shrinks slower than exponentially.
        xi_grad: layers in which a gradient's squared norm changes e times, 1 / |ln chi_1|.
    """

    sigma_w2: float
    sigma_b2: float
    q_star: float
    slope_q: float
    c_star: float
    chi_1: float
    xi_q: float
    xi_c: float
    xi_grad: float

    @property
    def phase(self) -> str:
        """Return ordered (samples become alike), chaotic (near samples part) or critical (neither)."""
        if abs(self.chi_1 - 1.0) <= CRITICAL:
            return "critical"
        # where phi jumps, as step does, near samples part although no gradient passes
        return "chaotic" if self.chi_1 > 1.0 or self.c_star < 1.0 else "ordered"

    @property
    def stable(self) -> bool:
        """Tell whether a small deviation from q_star does not grow."""
        return self.slope_q <= 1.0 + CRITICAL


def fixed_point(act: Activation, sigma_w2: float, sigma_b2: float = 0.0) -> FixedPoint:
    """Return what a chain with these variances tends to, from q = 1.

    Raises:
        UsageError: no activation, or a number that is no variance.

    >>> from actdiag.activations import activation
    >>> fixed_point(activation("tanh"), 1.0).phase, fixed_point(activation("tanh"), 4.0).phase
    ('critical', 'chaotic')
    """
    check_activation(act)
    sigma_w2, sigma_b2 = variance("sigma_w^2", sigma_w2), variance("sigma_b^2", sigma_b2)
    log_q = _log_q_star(act, sigma_w2, sigma_b2)
    chi = sigma_w2 * exp(response(act, log_q).log_slope)
    slope_q = variance_slope(act, log_q, sigma_w2)
    c_star, slope_c = _c_star(act, log_q, sigma_w2, sigma_b2)
    return FixedPoint(
        sigma_w2,
        sigma_b2,
        0.0 if log_q <= LOWEST else math.inf if log_q >= HIGHEST else math.exp(log_q),
        slope_q,
        c_star,
        chi,
        _depth(slope_q),
        _depth(slope_c),
        math.inf if abs(chi - 1.0) <= CRITICAL else abs(1.0 / log(chi)) if chi else 0.0,
    )


def _depth(slope: float) -> float:
    """Return -1 / ln slope: inf at slope 1, NaN where deviations grow."""
    if abs(slope - 1.0) < CRITICAL:
        return math.inf
    return math.nan if slope > 1.0 or math.isnan(slope) else 0.0 if slope <= 0.0 else -1.0 / math.log(slope)


def growth(act: Activation, log_q: float, sigma_w2: float, sigma_b2: float = 0.0) -> float:
    """Return ln(q' / q) of the variance map q' = sigma_w^2 E[phi^2] + sigma_b^2."""
    return _log_next(act, log_q, sigma_w2, sigma_b2) - log_q


def _log_next(act: Activation, log_q: float, sigma_w2: float, sigma_b2: float) -> float:
    carried = log(sigma_w2) + response(act, log_q).log_second_moment
    return carried if not sigma_b2 else math.log(exp(carried) + sigma_b2)


def variance_slope(act: Activation, log_q: float, sigma_w2: float) -> float:
    """Return dq'/dq of the variance map at q = e^log_q, by a central difference of ln E[phi^2] in ln q.

    Where q is its own image a value above 1 names an unstable pair: gelu, silu and mish at the gain that
    keeps q = 1 are such, the next deviation grows from layer to layer.

    Raises:
        UsageError: no activation, no number, or no variance.
    """
    check_activation(act)
    log_q, sigma_w2 = number("log_q", log_q), variance("sigma_w^2", sigma_w2)
    step = 1e-3
    low, high = (response(act, log_q + shift).log_second_moment for shift in (-step, step))
    middle = response(act, log_q).log_second_moment
    return (high - low) / (2.0 * step) * sigma_w2 * exp(middle - log_q)


def _log_q_star(act: Activation, sigma_w2: float, sigma_b2: float) -> float:
    """Return ln of the fixed point that q = 1 tends to; the ends of the range stand for 0 and infinity."""
    start = growth(act, 0.0, sigma_w2, sigma_b2)
    if abs(start) < TOUCHING:
        return 0.0
    way = math.copysign(STEP, start)
    here = 0.0
    while LOWEST < here < HIGHEST:
        ahead = here + way
        value = growth(act, ahead, sigma_w2, sigma_b2)
        if value * start < 0.0 and abs(value) > TOUCHING:
            return find_root(lambda x: growth(act, x, sigma_w2, sigma_b2), here, ahead)
        here = ahead
    return here


def find_root(f: Callable[[float], float], a: float, b: float) -> float:
    """Return x between a and b with f(x) = 0, where f changes sign, by the Illinois method."""
    fa, fb = f(a), f(b)
    x = b
    for _ in range(200):
        x = b - fb * (b - a) / (fb - fa) if fa != fb else 0.5 * (a + b)
        fx = f(x)
        if fx == 0.0 or abs(b - a) < 1e-14 * max(1.0, abs(b)):
            break
        if fx * fb < 0.0:
            a, fa = b, fb
        else:
            fa *= 0.5
        b, fb = x, fx
    return x


def _c_star(act: Activation, log_q: float, sigma_w2: float, sigma_b2: float) -> tuple[float, float]:
    """Return c_star and the slope of the correlation map there.

    The map's power series has no negative coefficient: it is convex for c >= 0 and meets c at 1 and at most
    once below, where its slope at 1 exceeds 1.
    """
    total = _log_next(act, log_q, sigma_w2, sigma_b2)

    def excess(log_delta: float) -> float:
        return log(sigma_w2) + log_spread(act, log_q, log_delta) - total - log_delta

    at_one = excess(-60.0)
    if sigma_w2 == 0.0 or at_one < -CRITICAL:
        return 1.0, exp(at_one)
    if abs(at_one) <= CRITICAL:
        return (math.nan, 1.0) if abs(excess(0.0)) < CRITICAL else (1.0, 1.0)
    log_delta = 0.0 if excess(0.0) >= -TOUCHING else find_root(excess, 0.0, -30.0)
    slope = parallel_slope(act, math.exp(log_q), math.exp(log_delta)) * sigma_w2 * math.exp(log_q - total)
    return 1.0 - math.exp(log_delta), slope
