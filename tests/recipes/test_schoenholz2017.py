"""The measuring functions of schoenholz2017 against scipy's integrals and Monte Carlo."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, optimize

from actdiag.recipes import depth_scales, schoenholz2017
from actdiag.recipes.depth_scales import (
    SIGMA_B2,
    TANH,
    Start,
    correlation_decay,
    correlation_start,
    depth_scale,
    layers_for,
    length_decay,
    length_start,
    log_growth,
    predicted_moments,
    second_moments,
)
from actdiag.theory import fixed_point


@pytest.mark.parametrize("sigma_w2", [1.0, 2.5])
def test_inputs_lead_to_the_first_preactivations_asked_for(sigma_w2: float) -> None:
    start = Start((0.9, 0.6, 0.7), (0.8, 0.3))
    inputs = start.inputs(sigma_w2)
    products = sigma_w2 * inputs.T @ inputs + SIGMA_B2
    assert np.diag(products) == pytest.approx([0.9, 0.6, 0.7])
    assert products[0, 1:] == pytest.approx([0.8 * math.sqrt(0.54), 0.3 * math.sqrt(0.63)])


def test_starts_are_where_the_decay_is_straight() -> None:
    ordered, chaotic = (fixed_point(TANH, s, SIGMA_B2) for s in (1.0, 2.5))
    assert correlation_start(ordered).correlations == (0.95,)
    assert correlation_start(chaotic).correlations == pytest.approx((0.5468, 0.3468), abs=1e-4)
    assert length_start(ordered).lengths == pytest.approx((1.3 * 0.1936, 0.7 * 0.1936), abs=1e-4)


def test_second_moments_begin_as_asked_and_go_on_as_scipy_says() -> None:
    start = Start((0.9, 0.5), (0.6,))
    found = second_moments(start, 1.5, 200, 2, 150, torch.Generator().manual_seed(1))
    first = np.array([[0.9, 0.6 * math.sqrt(0.45)], [0.6 * math.sqrt(0.45), 0.5]])
    assert found[0] == pytest.approx(first, rel=0.02)
    assert np.diag(found[1]) == pytest.approx([_next_q(1.5, 0.9), _next_q(1.5, 0.5)], rel=0.02)


def test_predicted_moments_are_scipys() -> None:
    start = Start((0.8, 0.8), (0.6,))
    found = predicted_moments(start, 1.5, 3)
    q, product = 0.8, 0.48
    for layer in range(3):
        assert found[layer, 0, 0] == pytest.approx(q, rel=1e-6)
        assert found[layer, 1, 1] == pytest.approx(q, rel=1e-6)
        assert found[layer, 0, 1] == pytest.approx(product, rel=1e-6)
        q, product = _next_q(1.5, q), _next_product(1.5, q, product)


@pytest.mark.parametrize("sigma_w2", [1.3, 2.5])
def test_scales_that_theory_is_fitted_with_are_near_the_slopes_scipy_finds(sigma_w2: float) -> None:
    q = optimize.brentq(lambda x: _next_q(sigma_w2, x) - x, 0.06, 5.0)
    slope_q = (_next_q(sigma_w2, q + 1e-4) - _next_q(sigma_w2, q - 1e-4)) / 2e-4
    fixed = 1.0 if sigma_w2 < 1.76 else optimize.brentq(lambda c: _next_c(sigma_w2, q, c) - c, 0.0, 0.9)
    low, high = (fixed - 2e-3, fixed - 1e-3) if fixed == 1.0 else (fixed - 1e-3, fixed + 1e-3)
    slope_c = (_next_c(sigma_w2, q, high) - _next_c(sigma_w2, q, low)) / (high - low)
    point = fixed_point(TANH, sigma_w2, SIGMA_B2)
    assert point.xi_q == pytest.approx(-1.0 / math.log(slope_q), rel=0.01)
    assert point.xi_c == pytest.approx(-1.0 / math.log(slope_c), rel=0.02)
    by_correlation, by_length = depth_scales.expected_scales(sigma_w2)
    assert by_correlation == pytest.approx(1.0, abs=0.05)
    assert by_length == pytest.approx(1.0, abs=0.05)


def test_depth_scale_of_an_exponential_is_its_own() -> None:
    assert depth_scale(-0.3 * np.exp(-np.arange(6) / 4.5)) == pytest.approx(4.5)


def test_decays_are_differences() -> None:
    alike = np.array([[[4.0, 3.0], [3.0, 9.0]]])
    assert correlation_decay(alike) == pytest.approx([1.0 - 0.5])
    assert length_decay(alike) == pytest.approx([-5.0])
    apart = np.array([[[4.0, 3.0, 1.0], [3.0, 9.0, 0.0], [1.0, 0.0, 1.0]]])
    assert correlation_decay(apart) == pytest.approx([0.0])
    apart[0, 0, 2] = apart[0, 2, 0] = 0.2
    assert correlation_decay(apart) == pytest.approx([0.5 - 0.1])


def test_a_decay_is_fitted_over_two_scales_and_three_layers_at_least() -> None:
    assert [layers_for(scale) for scale in (0.4, 1.0, 3.6)] == [3, 3, 9]


@pytest.mark.parametrize("sigma_w2", [1.0, 2.5])
def test_log_growth_is_the_mean_squared_slope(sigma_w2: float) -> None:
    q = optimize.brentq(lambda x: _next_q(sigma_w2, x) - x, 0.06, 5.0)
    chi = sigma_w2 * _mean(lambda z: (1.0 - math.tanh(z) ** 2) ** 2, q)
    found = log_growth(sigma_w2, 200, 6, 60, torch.Generator().manual_seed(2))
    assert found == pytest.approx(math.log(chi), abs=0.02)


def test_edge_is_where_growth_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schoenholz2017, "log_growth", lambda s, *rest: 0.3 * (s - 1.73))
    assert schoenholz2017._edge(10, 1, 0) == pytest.approx(1.73)


def test_trained_networks_have_the_variances_that_are_claimed() -> None:
    model = schoenholz2017.network(3, 400, 10, torch.Generator().manual_seed(3))
    first, last = model[0], model[-1]
    assert isinstance(first, torch.nn.Linear)
    assert isinstance(last, torch.nn.Linear)
    assert len(model) == 7
    assert last.weight.shape == (10, 100)
    assert 400 * float(first.weight.detach().var()) == pytest.approx(1.0, rel=0.05)
    assert float(first.bias.detach().var()) == pytest.approx(0.05, rel=0.5)


def _mean(f: Callable[[float], float], q: float) -> float:
    """Return E[f(z)], z ~ N(0, q)."""
    density = lambda z: math.exp(-0.5 * z * z / q) / math.sqrt(2.0 * math.pi * q)  # noqa: E731
    reach = 10.0 * math.sqrt(q)
    return float(integrate.quad(lambda z: f(z) * density(z), -reach, reach, epsabs=1e-12)[0])


def _next_q(sigma_w2: float, q: float) -> float:
    return sigma_w2 * _mean(lambda z: math.tanh(z) ** 2, q) + SIGMA_B2


def _next_product(sigma_w2: float, q: float, product: float) -> float:
    return sigma_w2 * _pair(q, product / q) + SIGMA_B2


def _next_c(sigma_w2: float, q: float, c: float) -> float:
    return (sigma_w2 * _pair(q, c) + SIGMA_B2) / q


def _pair(q: float, c: float) -> float:
    """Return E[tanh(z) tanh(z')] by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    u, v = np.meshgrid(nodes, nodes)
    values = np.tanh(math.sqrt(q) * u) * np.tanh(math.sqrt(q) * (c * u + math.sqrt(1.0 - c * c) * v))
    return float(np.sum(np.outer(weights, weights) * values) / (2.0 * math.pi))
