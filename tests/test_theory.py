"""Tests for the Gaussian expectations, gains and dead shares, against scipy and Monte Carlo."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import dblquad, quad
from torch import nn

from actdiag.activations import ACTIVATIONS, Activation, activation
from actdiag.errors import UsageError
from actdiag.theory import (
    NoTheory,
    dead_share,
    exact_gain,
    gaussian_expectation,
    prediction,
    resolve_gain,
    second_moment,
)

SMALL_AND_LARGE = [1e-4, 0.05, 0.5, 1.0, 2.0, 30.0, 400.0]
"""Variances of the preactivation."""


def normal_density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def adaptive_second_moment(act: Activation, q: float) -> float:
    """Return E[phi(z)^2] by scipy's adaptive quadrature, in pieces so that it finds every bend."""
    sigma = math.sqrt(q)

    def integrand(x: float) -> float:
        return float(act.function(np.array([sigma * x]))[0]) ** 2 * normal_density(x)

    bends = {edge / sigma for edge in (0.0, *act.kinks)}
    scales = {sign * width / sigma for sign in (-1.0, 1.0) for width in (0.3, 1.0, 3.0, 10.0)}
    points = sorted({x for x in bends | scales if abs(x) < 12.0} | {-12.0, 12.0})
    pieces = pairwise(points)
    return float(sum(quad(integrand, a, b, epsabs=1e-16, epsrel=1e-12, limit=200)[0] for a, b in pieces))


@pytest.mark.parametrize("q", [0.25, 1.0, 4.0, 1e4, 1e-6])
def test_expectation_has_the_moments_of_the_normal_law(q: float) -> None:
    assert gaussian_expectation(lambda z: z**2, q=q) == pytest.approx(q, rel=1e-12)
    assert gaussian_expectation(lambda z: z**4, q=q) == pytest.approx(3.0 * q**2, rel=1e-12)
    assert gaussian_expectation(lambda z: z**0, q=q) == pytest.approx(1.0, rel=1e-12)
    assert gaussian_expectation(lambda z: z**3, q=q) == pytest.approx(0.0, abs=1e-12 * q**1.5)


@pytest.mark.parametrize("q", SMALL_AND_LARGE)
def test_expectation_of_relu_is_the_closed_form(q: float) -> None:
    relu = partial(np.maximum, 0.0)
    assert gaussian_expectation(lambda z: relu(z) ** 2, (0.0,), q) == pytest.approx(q / 2.0, rel=1e-12)
    assert gaussian_expectation(relu, (0.0,), q) == pytest.approx(math.sqrt(q / (2.0 * math.pi)), rel=1e-12)


@pytest.mark.parametrize("kink", [-12.0, -3.0, -0.5, 0.7, 2.0, 9.99, 12.0])
def test_expectation_of_a_step_is_exact_wherever_the_kink_lies(kink: float) -> None:
    above = gaussian_expectation(lambda z: (z > kink).astype(float), (kink,))
    assert above == pytest.approx(stats.norm.sf(kink), abs=1e-13)


def test_expectation_splits_at_several_kinks_in_any_order() -> None:
    inside = gaussian_expectation(lambda z: ((z > -1.0) & (z < 3.0)).astype(float), (3.0, -1.0), q=4.0)
    assert inside == pytest.approx(stats.norm.cdf(1.5) - stats.norm.cdf(-0.5), rel=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("q", SMALL_AND_LARGE)
def test_second_moment_is_that_of_adaptive_quadrature(name: str, q: float) -> None:
    act = activation(name)
    expected = q if name == "maxout" else adaptive_second_moment(act, q)
    assert second_moment(act, q) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("q", [1.0, 2.5])
def test_second_moment_of_maxout_is_that_of_the_larger_of_two(q: float) -> None:
    sigma = math.sqrt(q)

    def integrand(x: float, y: float) -> float:
        return q * x * x * normal_density(x) * normal_density(y)

    # y <= x is the half of the plane where x is the larger; the other half is its mirror image
    half = dblquad(lambda y, x: integrand(x, y), -9.0, 9.0, -9.0, lambda x: x, epsabs=1e-10)[0]
    assert second_moment(activation("maxout"), q) == pytest.approx(2.0 * half, rel=1e-7)
    draws = sigma * np.random.default_rng(0).standard_normal((400_000, 2))
    squares = draws.max(axis=1) ** 2
    four_standard_errors = 4.0 * squares.std() / math.sqrt(len(squares))
    assert second_moment(activation("maxout"), q) == pytest.approx(squares.mean(), abs=four_standard_errors)


@pytest.mark.parametrize("name", [*ACTIVATIONS, "leaky_relu:0.3", "elu:2"])
def test_exact_gain_keeps_the_second_moment(name: str) -> None:
    act = activation(name)
    moment = 1.0 if name == "maxout" else adaptive_second_moment(act, 1.0)
    assert exact_gain(act) ** 2 * moment == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("relu", math.sqrt(2.0)),
        ("linear", 1.0),
        ("step", math.sqrt(2.0)),
        ("leaky_relu:0.5", math.sqrt(1.6)),
        ("selu", 1.0),
        ("maxout", 1.0),
    ],
)
def test_exact_gain_is_the_closed_form(name: str, gain: float) -> None:
    # selu is made so that N(0, 1) comes out with mean 0 and variance 1
    assert exact_gain(activation(name)) == pytest.approx(gain, rel=1e-12 if name != "selu" else 1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_torch_gain_is_the_one_that_torch_returns(name: str) -> None:
    try:
        expected = nn.init.calculate_gain(name)  # type: ignore[arg-type]
    except ValueError:
        assert activation(name).torch_gain is None
    else:
        assert activation(name).torch_gain == pytest.approx(expected, rel=1e-15)


def test_torch_gain_takes_the_slope_of_a_leaky_relu() -> None:
    expected = nn.init.calculate_gain("leaky_relu", 0.3)
    assert activation("leaky_relu:0.3").torch_gain == pytest.approx(expected, rel=1e-15)


def test_resolve_gain_gives_the_number_in_use() -> None:
    tanh = activation("tanh")
    assert resolve_gain(2, tanh, 1.0) == 2.0
    assert resolve_gain(None, tanh, 1.5) == 1.5
    assert math.isnan(resolve_gain(None, tanh, None))
    assert resolve_gain("torch", tanh, 1.0) == pytest.approx(5.0 / 3.0)
    exact = adaptive_second_moment(tanh, 1.0) ** -0.5
    assert resolve_gain("exact", tanh, 1.0) == pytest.approx(exact, rel=1e-9)


def test_resolve_gain_says_that_torch_has_none() -> None:
    with pytest.raises(UsageError, match=r"^torch has no gain for 'gelu': use --gain exact or a number$"):
        resolve_gain("torch", activation("gelu"), 1.0)


@pytest.mark.parametrize(
    ("correlation", "samples"), [(0.0, 3), (0.2, 2), (0.5, 8), (0.9, 64), (0.99, 128), (0.999, 512), (0.5, 1)]
)
def test_dead_share_is_what_drawn_units_show(correlation: float, samples: int) -> None:
    random = np.random.default_rng(samples)
    units = 40_000
    common, own = random.standard_normal((units, 1)), random.standard_normal((units, samples))
    preactivations = math.sqrt(correlation) * common + math.sqrt(1.0 - correlation) * own
    dead = float((preactivations <= 0.0).all(axis=1).mean())
    four_standard_errors = 4.0 * math.sqrt(max(dead * (1.0 - dead), 1.0 / units) / units)
    assert dead_share(correlation, samples) == pytest.approx(dead, abs=four_standard_errors)


@pytest.mark.parametrize("correlation", [1e-6, 0.01, 0.3, 0.9, 0.999, 1.0 - 1e-9])
@pytest.mark.parametrize("samples", [1, 2, 512, 100_000])
def test_dead_share_is_that_of_adaptive_quadrature(correlation: float, samples: int) -> None:
    slope = math.sqrt(correlation / (1.0 - correlation))

    def integrand(x: float) -> float:
        return math.exp(samples * stats.norm.logcdf(-slope * x)) * normal_density(x)

    grid = np.concatenate([np.linspace(-12, 12, 25), np.linspace(-12, 12, 49) / slope])
    points = np.unique(np.clip(grid, -12, 12))
    pieces = pairwise(points)
    expected = sum(quad(integrand, a, b, epsabs=1e-14, epsrel=1e-10)[0] for a, b in pieces)
    assert dead_share(correlation, samples) == pytest.approx(expected, rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("samples", [2, 3, 10])
def test_dead_share_of_independent_samples_is_a_power_of_a_half(samples: int) -> None:
    assert dead_share(0.0, samples) == pytest.approx(0.5**samples, rel=1e-12)
    assert dead_share(-0.01, samples) == pytest.approx(0.5**samples, rel=1e-12)


def test_dead_share_of_two_samples_is_the_orthant_probability() -> None:
    for correlation in (0.1, 0.5, 0.95):
        expected = 0.25 + math.asin(correlation) / (2.0 * math.pi)
        assert dead_share(correlation, 2) == pytest.approx(expected, rel=1e-10)


def test_dead_share_tends_to_a_half_as_samples_become_one() -> None:
    assert dead_share(1.0, 512) == 0.5
    assert dead_share(1.0 + 1e-9, 512) == 0.5
    assert dead_share(1.0 - 1e-10, 512) == pytest.approx(0.5, abs=1e-4)


def test_more_layers_than_anyone_waits_for_are_refused() -> None:
    spec = {"act": "relu", "init": "he", "depth": 2_000_000, "width": 8}
    with pytest.raises(NoTheory, match=r"^it is worked out for up to 100000 layers, and these are 2000000$"):
        prediction(spec, 8, 10)
