"""The band at finite width: closed forms, Monte Carlo, and what is not known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from actdiag.activations import ACTIVATIONS, activation
from actdiag.theory.bands import Preactivations, spreads

Floats = NDArray[np.float64]


def level(depth: int, variance: float = 1.0, share: float = 1.0) -> Preactivations:
    return Preactivations(np.zeros(depth), np.full(depth, variance), np.full(depth, share))


@pytest.mark.parametrize("width", [32, 512])
@pytest.mark.parametrize(
    ("name", "constant"),
    [("relu", 5.0), ("linear", 2.0), ("leaky_relu:0.5", 1.5 * (1 + 0.5**4) / ((1 + 0.5**2) / 2) ** 2 - 1.0)],
)
def test_scale_free_signals_stray_by_a_constant_over_the_width_in_each_layer(
    name: str, constant: float, width: int
) -> None:
    """Var[ln m2] = (E[phi^4] / E[phi^2]^2 - 1) l / n; leaky: 3 (1 + a^4) / 2 over ((1 + a^2) / 2)^2."""
    forward, backward = spreads(activation(name), level(8, 2.0), [width] * 8)
    np.testing.assert_allclose(forward.variance, constant * np.arange(1, 9) / width, rtol=1e-8)
    np.testing.assert_allclose(backward.variance, constant * np.arange(7, -1, -1) / width, rtol=1e-8)


def test_the_band_of_a_lognormal_holds_99_percent() -> None:
    """The ends are the 0.5% and 99.5% quantiles of an rms whose square is lognormal with mean 1."""
    forward, _ = spreads(activation("relu"), level(1), [20])
    low, high = forward.band(np.array([3.0]))
    random = np.random.default_rng(5)
    variance = 5.0 / 20
    draws = 3.0 * np.exp(random.normal(-variance / 2, math.sqrt(variance), 400_000) / 2)
    assert np.quantile(draws, [0.005, 0.995]) == pytest.approx([low[0], high[0]], rel=0.01)


def one_sample(
    name: str, sigma: float, depth: int, width: int, draws: int, seed: int
) -> tuple[Floats, Floats]:
    """Send one input through fresh normal weights: ln m2 of activations and gradients, (draws, depth)."""
    act, random = activation(name), np.random.default_rng(seed)
    signals, gradients = np.empty((draws, depth)), np.empty((draws, depth))
    for number in range(draws):
        x, weights, zs = np.sqrt(width) * _unit(random.standard_normal(width)), [], []
        for layer in range(depth):
            weights.append(random.standard_normal((width, width)) * sigma / math.sqrt(width))
            zs.append(weights[-1] @ x)
            x = act.function(zs[-1])
            signals[number, layer] = math.log(np.mean(x * x))
        g = random.standard_normal(width)
        for layer in reversed(range(depth)):
            g = act.derivative(zs[layer]) * g
            gradients[number, layer] = math.log(np.sum(g * g))
            g = weights[layer].T @ g
    return signals, gradients - gradients[:, -1:]


def _unit(x: Floats) -> Floats:
    return x / np.linalg.norm(x)


@pytest.mark.parametrize(
    ("name", "sigma2"),
    [
        ("relu", 2.0),
        ("tanh", 1.0),
        ("tanh", 2.5),
        ("sigmoid", 1.0),
        ("softplus", 1.0),
        ("selu", 1.0),
        ("elu", 2.0),
    ],
)
def test_one_sample_strays_as_much_as_theory_says(name: str, sigma2: float) -> None:
    """300 draws tell a standard deviation to 4%; the first order in 1 / width leaves out as much again."""
    depth, width = 5, 64
    act = activation(name)
    variances, q = [], 1.0
    for _ in range(depth):
        variances.append(sigma2 * q)
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        q = float(weights @ act.function(nodes * math.sqrt(variances[-1])) ** 2 / math.sqrt(2 * math.pi))
    z = Preactivations(np.zeros(depth), np.array(variances), np.ones(depth))
    forward, backward = spreads(act, z, [width] * depth)
    signals, gradients = one_sample(name, math.sqrt(sigma2), depth, width, 300, seed=11)
    np.testing.assert_allclose(signals.std(axis=0), np.sqrt(forward.variance), rtol=0.16)
    assert (gradients.std(axis=0)[:-1] < 1.16 * np.sqrt(backward.variance[:-1])).all()
    if name in ("relu", "linear"):
        np.testing.assert_allclose(gradients.std(axis=0)[:-1], np.sqrt(backward.variance[:-1]), rtol=0.16)


def test_what_the_bias_gives_does_not_stray() -> None:
    """With no part of the weights in q, a layer's spread is its own alone."""
    forward, _ = spreads(activation("relu"), level(6, share=0.0), [50] * 6)
    np.testing.assert_allclose(forward.variance, 5.0 / 50, rtol=1e-8)


def test_an_unstable_signal_has_no_band_at_depth() -> None:
    """Silu with He's variance: small deviations of q grow from layer to layer."""
    silu, z = activation("silu"), level(40, 2.0)
    forward, backward = spreads(silu, z, [64] * 40)
    assert np.isfinite(forward.variance[0])
    assert np.isnan(forward.variance[-1])
    assert np.isnan(backward.variance[0])


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("variance", [0.0, 1e-300, 1.0, 1e300, math.inf, math.nan])
def test_nothing_is_raised_and_no_band_is_inside_out(name: str, variance: float) -> None:
    depth = 3
    for spread in spreads(activation(name), level(depth, variance), [16] * depth):
        low, high = spread.band(np.ones(depth))
        assert not (low > high).any()


def test_wider_layers_stray_less() -> None:
    for name in ACTIVATIONS:
        narrow, wide = (spreads(activation(name), level(4), [n] * 4)[0].variance for n in (64, 256))
        assert np.nanmax(wide / narrow) == pytest.approx(0.25, rel=1e-6), name
