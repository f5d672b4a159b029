"""Tests for what an activation makes of one and of two normals: closed forms and another quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special
from scipy.integrate import quad

from actdiag.activations import ACTIVATIONS, Activation, activation
from actdiag.theory.response import response
from actdiag.theory.spread import log_spread, parallel_slope

VARIANCES = [1e-12, 1e-6, 0.01, 0.3, 1.0, 5.0, 100.0, 1e6, 1e12]
CORRELATIONS = [-1.0, -0.999999, -0.7, -1e-5, 0.0, 1e-5, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12]
ERF = Activation(
    name="erf",
    function=special.erf,
    derivative=lambda z: 2.0 / math.sqrt(math.pi) * np.exp(-z * z),
    kinks=(),
    formula="erf z",
    source="Williams 1997",
    range=(-1.0, 1.0),
)


def spread(act: Activation, q: float, c: float) -> float:
    return math.exp(log_spread(act, math.log(q), math.log(1.0 - c))) if c < 1.0 else 0.0


def second(act: Activation, q: float) -> float:
    return math.exp(response(act, math.log(q)).log_second_moment)


def angle(c: float) -> float:
    """Return arccos c without losing what 1 - c holds."""
    return 2.0 * math.asin(math.sqrt((1.0 - c) / 2.0))


def bent(c: float) -> float:
    """Return sin a - a cos a, by its series where the two are nearly equal."""
    a = angle(c)
    return math.sin(a) - a * math.cos(a) if a > 0.02 else a**3 / 3 - a**5 / 30 + a**7 / 840


def relu_spread(q: float, c: float) -> float:
    """Return q (1 - J_1(a) / pi) / 2, J_1 = sin a + (pi - a) cos a: Cho & Saul 2009, eq. 6."""
    return q * ((1.0 - c) - bent(c) / math.pi) / 2.0


def leaky_spread(q: float, c: float) -> float:
    """Return the same for z = relu(z) - 0.25 relu(-z): the mixed terms are linear's less relu's."""
    return q * ((1.0 - c) * (1.0 + 0.25**2) / 2.0 - (1.0 - 0.25) ** 2 * bent(c) / (2.0 * math.pi))


CLOSED: dict[str, Callable[[float, float], float]] = {
    "linear": lambda q, c: q * (1.0 - c),
    "relu": relu_spread,
    "leaky_relu:0.25": leaky_spread,
    "step": lambda q, c: angle(c) / (2.0 * math.pi),
    # |d|: arc-cosine kernel of the even part; the odd part is linear
    "maxout": lambda q, c: q * ((1.0 - c) - bent(c) / math.pi),
}


@pytest.mark.parametrize("c", CORRELATIONS)
@pytest.mark.parametrize("name", CLOSED)
def test_the_spread_of_two_samples_is_the_closed_form(name: str, c: float) -> None:
    for q in VARIANCES:
        assert spread(activation(name), q, c) == pytest.approx(CLOSED[name](q, c), rel=1e-9)


@pytest.mark.parametrize("q", VARIANCES)
def test_the_kernel_of_erf_is_the_arcsine(q: float) -> None:
    """E[erf(z_1) erf(z_2)] = (2 / pi) arcsin(2 q c / (1 + 2 q)): Williams 1997."""
    for c in CORRELATIONS:
        expected = 2.0 / math.pi * math.asin(2.0 * q * c / (1.0 + 2.0 * q))
        scale = 2.0 / math.pi * math.asin(2.0 * q / (1.0 + 2.0 * q))
        assert second(ERF, q) - spread(ERF, q, c) == pytest.approx(expected, abs=1e-9 * scale)


@pytest.mark.parametrize("q", VARIANCES)
def test_one_hard_tanh_has_its_closed_form(q: float) -> None:
    sigma, edge = math.sqrt(q), 1.0 / math.sqrt(q)
    # E[u^2; |u| < edge] without the cancellation of erf less the density's term
    expected = sigma**2 * special.gammainc(1.5, edge**2 / 2.0) + special.erfc(edge / math.sqrt(2.0))
    assert second(activation("hardtanh"), q) == pytest.approx(expected, rel=1e-9)
    slope = math.exp(response(activation("hardtanh"), math.log(q)).log_slope)
    assert slope == pytest.approx(special.erf(edge / math.sqrt(2.0)), rel=1e-9)


def axis(act: Activation, sigma: float, c: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights on z / sigma, in panels narrower than the density's and phi's bends."""
    width = 0.8 * math.sqrt(1.0 - c * c)
    ladder = 0.5 / sigma * 2.0 ** np.arange(-1, 60)
    ladder = ladder[ladder < 9.0]
    even = np.linspace(-9.0, 9.0, 2 * math.ceil(9.0 / width) + 1)
    kinks = np.array([kink / sigma for kink in act.kinks if abs(kink / sigma) < 9.0])
    edges = np.unique(np.concatenate([even, ladder, -ladder, kinks]))
    nodes, weights = special.roots_legendre(12)
    half = np.diff(edges)[:, None] / 2.0
    return ((edges[1:] + edges[:-1])[:, None] / 2.0 + half * nodes).ravel(), (half * weights).ravel()


def product_on_the_plane(act: Activation, q: float, c: float) -> float:
    """Return E[phi(z_1) phi(z_2)] over the plane, where kinks are straight lines."""
    u, weights = axis(act, math.sqrt(q), c)
    phi = weights * act.function(math.sqrt(q) * u)
    along, across = 1.0 / (4.0 * (1.0 + c)), 1.0 / (4.0 * (1.0 - c))
    density = np.exp(-along * (u[:, None] + u) ** 2 - across * (u[:, None] - u) ** 2)
    return float(phi @ density @ phi) / (2.0 * math.pi * math.sqrt(1.0 - c * c))


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "maxout"])
def test_the_product_of_two_is_that_of_a_quadrature_over_the_plane(name: str) -> None:
    act = activation(name)
    for q in (1e-12, 0.01, 1.0, 30.0, 1e4, 1e12):
        for c in (-0.9, 0.5, 0.95):
            found = second(act, q) - spread(act, q, c)
            assert found == pytest.approx(product_on_the_plane(act, q, c), abs=1e-9 * second(act, q)), (q, c)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "maxout"])
def test_opposite_and_equal_samples_are_exact(name: str) -> None:
    act = activation(name)
    for q in (0.01, 1.0, 30.0):

        def integrand(u: float, q: float = q) -> float:
            z = math.sqrt(q) * np.array([u, -u])
            return float(np.prod(act.function(z))) * math.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)

        edges = {edge / math.sqrt(q) for edge in (-1.0, 1.0) if edge**2 < 81.0 * q}
        pieces = pairwise(sorted({0.0, -9.0, 9.0, *edges}))
        expected = sum(quad(integrand, a, b, epsabs=1e-14, epsrel=1e-11)[0] for a, b in pieces)
        assert second(act, q) - spread(act, q, -1.0) == pytest.approx(expected, abs=1e-9 * second(act, q))
        assert log_spread(act, math.log(q), -math.inf) == -math.inf


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("delta", [1e-3, 0.3, 1.0])
def test_the_parallel_slope_is_the_derivative_of_the_kernel(name: str, delta: float) -> None:
    """Price 1958: dE[phi(z_1) phi(z_2)] / dc = q E[phi'(z_1) phi'(z_2)]."""
    act, q, step = activation(name), 0.7, 1e-4 * delta
    ends = [spread(act, q, 1.0 - delta + shift) for shift in (-step, step)]
    assert q * parallel_slope(act, q, delta) == pytest.approx((ends[0] - ends[1]) / (2.0 * step), rel=1e-5)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "gelu", "elu"])
def test_near_samples_part_by_the_slope(name: str) -> None:
    """The change-over to the tangent leaves no step: D / (q delta) tends to E[phi'^2] from either side."""
    act = activation(name)
    slope = math.exp(response(act, 0.0).log_slope)
    for log_delta in (-20.0, -27.0, -28.0, -36.0, -37.0, -40.0, -2000.0):
        assert log_spread(act, 0.0, log_delta) - log_delta == pytest.approx(math.log(slope), abs=1e-4)
    assert log_spread(act, 0.0, -27.6) - log_spread(act, 0.0, -27.7) == pytest.approx(0.1, abs=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_beyond_reach_the_limit_joins_without_a_step(name: str) -> None:
    """Across |ln sigma| = 30, where phi is replaced by its limit, growth stays what it was."""
    act = activation(name)
    for edge in (-60.0, 60.0):
        for of in (
            lambda x: response(act, x).log_second_moment,
            lambda x: response(act, x).log_variance,
            lambda x: response(act, x).log_slope if name != "step" else 0.0,
            lambda x: log_spread(act, x, math.log(0.3)),
        ):
            before, across, after = (of(edge + x + 1e-3) - of(edge + x) for x in (-1.0, -5e-4, 1.0))
            assert across == pytest.approx(before, abs=1e-9)
            assert after == pytest.approx(before, abs=1e-9)
