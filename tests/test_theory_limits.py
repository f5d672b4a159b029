"""Tests for fixed points, the edge of chaos, published values, and depths that leave float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from actdiag.activations import ACTIVATIONS, activation
from actdiag.errors import UsageError
from actdiag.theory import (
    Layer,
    Moments,
    critical_sigma_w2,
    critical_variance,
    exact_gain,
    fixed_point,
    prediction,
    propagate,
    variance_slope,
)


def normal_mean(f: object) -> float:
    """Return E[f(u)], u ~ N(0, 1), by scipy."""
    density = 1.0 / math.sqrt(2.0 * math.pi)
    return float(
        quad(lambda u: f(u) * math.exp(-0.5 * u * u) * density, -9, 9, epsabs=1e-13)[0]  # type: ignore[operator]
    )


def tanh_edge(q: float) -> tuple[float, float]:
    """Return (sigma_w^2, sigma_b^2) of the critical tanh network with fixed point q."""
    sigma_w2 = 1.0 / normal_mean(lambda u: math.cosh(math.sqrt(q) * u) ** -4.0)
    return sigma_w2, q - sigma_w2 * normal_mean(lambda u: math.tanh(math.sqrt(q) * u) ** 2)


@pytest.mark.parametrize("sigma_b2", [2.01e-5, 0.05, 1.0])
def test_the_edge_of_tanh_is_that_of_scipy(sigma_b2: float) -> None:
    q = brentq(lambda q: tanh_edge(q)[1] - sigma_b2, 1e-5, 10.0, xtol=1e-14)
    assert critical_sigma_w2(activation("tanh"), sigma_b2) == pytest.approx(tanh_edge(q)[0], rel=1e-8)


@pytest.mark.parametrize(
    ("name", "sigma_b2", "published", "digits"),
    [
        ("tanh", 0.05, 1.761, 5e-4),  # Schoenholz et al. 2017; 1.76 in Xiao et al. 2018
        ("tanh", 2.01e-5, 1.05, 5e-5),  # Pennington et al. 2017
        ("relu", 0.0, 2.0, 1e-12),  # He et al. 2015
        ("tanh", 0.0, 1.0, 1e-9),  # Poole et al. 2016: chi_1 = sigma_w^2 where q* = 0
        ("linear", 0.0, 1.0, 1e-12),  # Saxe et al. 2014
    ],
)
def test_the_edge_of_chaos_is_the_published_one(
    name: str, sigma_b2: float, published: float, digits: float
) -> None:
    assert critical_sigma_w2(activation(name), sigma_b2) == pytest.approx(published, abs=digits)


@pytest.mark.parametrize(
    ("name", "sigma_b2"), [("step", 0.0), ("relu", 0.01), ("softplus", 0.0), ("maxout", 0.1)]
)
def test_where_there_is_no_edge_the_error_says_so(name: str, sigma_b2: float) -> None:
    with pytest.raises(UsageError, match=f"^'{name}' has no edge of chaos at sigma_b"):
        critical_sigma_w2(activation(name), sigma_b2)


@pytest.mark.parametrize("sigma_b2", [-0.1, math.nan, math.inf])
def test_a_variance_that_is_none_is_refused(sigma_b2: float) -> None:
    with pytest.raises(UsageError, match="variance >= 0"):
        critical_sigma_w2(activation("tanh"), sigma_b2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", 2.0),
        ("leaky_relu:0.5", 1.6),
        ("selu", 1.0),
        ("tanh", 1.0),
        ("softsign", 1.0),
        ("maxout", 1.0),
    ],
)
def test_what_an_activation_asks_for(name: str, expected: float) -> None:
    assert critical_variance(activation(name)) == pytest.approx(expected, rel=1e-8)


def test_step_asks_for_nothing() -> None:
    assert math.isnan(critical_variance(activation("step")))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_deep_chain_ends_at_the_fixed_point(name: str) -> None:
    """Run 400 layers: variance and correlation arrive where the roots say, at the rate of xi_c."""
    act = activation(name)
    for sigma_w2, sigma_b2 in ((1.3, 0.1), (30.0, 0.5)):
        point = fixed_point(act, sigma_w2, sigma_b2)
        if point.q_star in (0.0, math.inf) or point.slope_q > 0.97:
            continue
        found = propagate(act, [Layer(100, 100, sigma_w2 / 100, sigma_b2)] * 400, 0.5, 0.2)
        assert found[-1].log_q == pytest.approx(math.log(point.q_star), abs=1e-6)
        assert found[-2].chi == pytest.approx(point.chi_1, rel=1e-5)
        apart = [moments.preactivation.correlation - point.c_star for moments in found]
        if point.xi_c < 10.0:
            assert apart[-1] == pytest.approx(0.0, abs=1e-7)
        # kinks add a term of the order of (1 - c)^(3/2): the rate is right only where 1 - c is small
        late = [x for x in apart if 1e-8 < abs(x) < 1e-6]
        if len(late) > 2 and point.xi_q < 0.8 * point.xi_c:
            assert -1.0 / math.log(late[-1] / late[-2]) == pytest.approx(point.xi_c, rel=0.02)


def test_depth_scales_of_tanh_are_those_of_the_papers_integrals() -> None:
    """Schoenholz et al. 2017, eq. 9 and 13, with phi'' written out."""
    sigma_w2, sigma_b2 = 1.4, 0.05
    point = fixed_point(activation("tanh"), sigma_w2, sigma_b2)
    root = math.sqrt(point.q_star)
    assert sigma_w2 * normal_mean(lambda u: math.tanh(root * u) ** 2) + sigma_b2 == pytest.approx(root**2)
    chi = sigma_w2 * normal_mean(lambda u: math.cosh(root * u) ** -4.0)
    curved = normal_mean(lambda u: -2.0 * math.tanh(root * u) ** 2 * math.cosh(root * u) ** -2.0)
    assert point.chi_1 == pytest.approx(chi, rel=1e-9)
    assert point.xi_q == pytest.approx(-1.0 / math.log(chi + sigma_w2 * curved), rel=1e-5)
    assert (point.phase, point.c_star) == ("ordered", 1.0)
    assert point.xi_c == pytest.approx(-1.0 / math.log(chi), rel=1e-5)
    assert point.xi_grad == pytest.approx(-1.0 / math.log(chi), rel=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_only_gelu_silu_and_mish_are_unstable_at_their_gain(name: str) -> None:
    """Move q a little away from 1: a few layers further it is nearer, or further away for these three."""
    act = activation(name)
    layers = [Layer(64, 64, exact_gain(act) ** 2 / 64)] * 12
    start = 1.01 / exact_gain(act) ** 2
    found = propagate(act, layers, start)
    further = abs(found[-1].log_q) > abs(found[0].log_q) * (1.0 + 1e-6)
    assert further == (name in ("gelu", "silu", "mish"))
    assert (variance_slope(act, 0.0, exact_gain(act) ** 2) > 1.0 + 1e-6) == further


def test_the_slope_of_selu_is_the_published_one() -> None:
    """Klambauer et al. 2017, section 2: the Jacobian at (0, 1) has the eigenvalue 0.782648."""
    assert variance_slope(activation("selu"), 0.0, 1.0) == pytest.approx(0.782648, abs=1e-6)


def activations(name: str, init: str, depth: int, width: int, features: int) -> tuple[Moments, ...]:
    return prediction({"act": name, "init": init, "depth": depth, "width": width}, features, 10)


@pytest.mark.parametrize(
    ("name", "init", "features", "width", "published", "digits"),
    [
        # CS231n 2016, measured at width 500 on N(0, 1)
        ("tanh", "lecun", 500, 500, [.6277, .4862, .4082, .3575, .3211, .294, .2728, .2552, .2404], 2e-3),
        ("tanh", "normal:0.01", 500, 500, [.2135, .0476, .01064], 1e-3),
        ("tanh", "normal:1", 500, 500, [.982] * 10, 1e-3),
        ("relu", "he", 500, 500, [.8267], 5e-3),
        # Glorot & Bengio 2010, standard and normalised, 1000 units
        ("tanh", "standard_uniform", 1024, 1000, [.4605, .2494, .1412, .0809, .0466], 2e-3),
        ("tanh", "xavier", 1024, 1000, [.6295, .487, .4087, .3579, .3218], 2e-3),
        # Deep Learning from Scratch, section 6.2, 100 units
        ("sigmoid", "lecun", 100, 100, [.2079, .1226, .1207, .1189, .1199], 1e-2),
        ("sigmoid", "normal:1", 100, 100, [.4588], 1e-2),
    ],
)  # fmt: skip
def test_published_standard_deviations(
    name: str, init: str, features: int, width: int, published: list[float], digits: float
) -> None:
    found = activations(name, init, len(published), width, features)
    assert [moments.activation.std for moments in found] == pytest.approx(published, abs=digits)


@pytest.mark.parametrize(("depth", "ratio"), [(22, 4.77e-7), (30, 1.86e-9)])
def test_xavier_starves_deep_relu_networks(depth: int, ratio: float) -> None:
    """He et al. 2015, section 2.2: 30 layers stall."""
    assert math.exp(activations("relu", "xavier", depth, 256, 256)[0].log_gradient) == pytest.approx(
        ratio, rel=5e-3
    )
    assert activations("relu", "he", depth, 256, 256)[0].log_gradient == pytest.approx(0.0, abs=1e-9)


def test_glorots_gradients_shrink_as_published() -> None:
    first = activations("tanh", "standard_uniform", 5, 1000, 1024)[0]
    assert math.exp(first.log_gradient) == pytest.approx(0.0069, abs=4e-4)
    first = activations("tanh", "xavier", 5, 1000, 1024)[0]
    assert math.exp(first.log_gradient) == pytest.approx(0.166, abs=5e-3)


def test_relu_of_a_thousand_layers_is_the_closed_form() -> None:
    found = activations("relu", "normal:1", 1000, 256, 256)
    for moments in found[::111]:
        expected = math.log(256.0) + (moments.layer - 1) * math.log(128.0)
        assert moments.log_q == pytest.approx(expected, rel=1e-12)
        assert moments.log_gradient == pytest.approx((1000 - moments.layer) * math.log(128.0), rel=1e-12)
    # arc-cosine map near 1: 1 - c falls as (9 pi^2 / 2) / l^2
    assert 1.0 - found[-1].preactivation.correlation == pytest.approx(4.5 * math.pi**2 / 1000**2, rel=0.03)


@pytest.mark.parametrize("init", ["normal:1", "normal:0.001", "xavier", "torch_default", "zeros"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_depth_leaves_the_logarithms(name: str, init: str) -> None:
    found = activations(name, init, 150, 256, 64)
    dead = init == "zeros"
    for moments in found:
        before, after = moments.preactivation, moments.activation
        numbers = [before.rms, before.std_across, after.rms, after.mean, after.std, after.std_across]
        assert not np.isnan([*numbers, moments.log_q, moments.log_chi, moments.log_gradient]).any()
        assert math.isfinite(moments.log_q) or dead
        assert 0.0 <= after.zero_fraction <= 1.0
        assert dead or -1.0 <= before.correlation <= 1.0 + 1e-12


@pytest.mark.parametrize("init", ["normal:1", "xavier", "normal:0.01"])
def test_tanh_of_a_thousand_layers_stays_in_numbers(init: str) -> None:
    found = activations("tanh", init, 1000, 100, 100)
    assert np.isfinite([[moments.log_q, moments.log_gradient] for moments in found]).all()
    expected = {"normal:0.01": math.log(0.01) * 999, "normal:1": None, "xavier": None}[init]
    if expected is not None:  # linear but for the first layers
        assert found[0].log_gradient == pytest.approx(expected, abs=0.1)
    if init == "xavier":  # q' = q - 2 q^2 + ...: q tends to 1 / (2 l)
        assert math.exp(found[-1].log_q) == pytest.approx(1.0 / 2000.0, rel=0.02)


@pytest.mark.parametrize(("q", "c"), [(-1.0, 0.0), (math.nan, 0.0), (1.0, 1.5), (1.0, -1.01)])
def test_inputs_that_cannot_be_are_refused(q: float, c: float) -> None:
    with pytest.raises(UsageError, match=r"second moment q >= 0 and -1 <= c <= 1"):
        propagate(activation("tanh"), [Layer(8, 8, 0.1)] * 2, q, c)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "q_star"),
    [
        # where the map touches the diagonal, q creeps on for ever: tanh's falls as 1 / (2 l)
        ("tanh", 1.0, 0.0),
        ("hardtanh", 1.0, 0.0),
        ("softsign", 1.0, 0.0),
        ("elu", 1.0, 0.0),
        ("elu", 2.0, math.inf),
        ("softplus", 2.0, math.inf),
        ("relu", 1.9, 0.0),
        ("relu", 2.1, math.inf),
        ("selu", 1.0, 1.0),
        ("linear", 1.0, 1.0),
    ],
)
def test_a_fixed_point_that_is_only_neared_is_none(name: str, sigma_w2: float, q_star: float) -> None:
    assert fixed_point(activation(name), sigma_w2).q_star == pytest.approx(q_star, abs=1e-9)
