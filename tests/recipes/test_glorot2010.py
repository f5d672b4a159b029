"""The measuring functions of glorot2010 against autograd, numpy's SVD and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from actdiag.activations import activation
from actdiag.data import load_batch
from actdiag.models import MLP, build
from actdiag.recipes import glorot2010
from actdiag.recipes.base import Size
from actdiag.recipes.glorot2010 import NORMALISED, STANDARD, GlorotBengio
from actdiag.recipes.measuring import scans
from actdiag.recipes.singular import mean_singular_value, slope_squares
from actdiag.types import RunSpec

SMALL = RunSpec(depth=5, width=30, act="tanh", init="xavier", batch=40, features=20, seed=3)


def test_mean_singular_value_of_a_constant_law_is_the_quarter_circles() -> None:
    found = mean_singular_value(np.array([4.0]), np.array([1.0]))
    assert found == pytest.approx(2.0 * 8.0 / (3.0 * math.pi), rel=1e-5)


def test_mean_singular_value_agrees_with_random_matrices() -> None:
    random = np.random.default_rng(0)
    size, found = 400, []
    for _ in range(6):
        scale = np.where(np.arange(size) < size // 4, 2.0, 0.3)
        matrix = scale[:, None] * random.normal(size=(size, size)) / math.sqrt(size)
        found.append(np.linalg.svd(matrix, compute_uv=False).mean())
    law = mean_singular_value(np.array([4.0, 0.09]), np.array([0.25, 0.75]))
    assert law == pytest.approx(np.mean(found), rel=5e-3)


def test_slope_squares_have_the_mean_that_scipy_finds() -> None:
    squares, shares = slope_squares(activation("tanh"), 0.7, 1.3)
    density = lambda z: math.exp(-z * z / 1.4) / math.sqrt(1.4 * math.pi)  # noqa: E731
    mean, _ = integrate.quad(lambda z: 1.3 * (1.0 - math.tanh(z) ** 2) ** 2 * density(z), -10.0, 10.0)
    assert np.sum(squares * shares) == pytest.approx(mean, rel=1e-9)
    assert np.sum(shares) == pytest.approx(1.0, rel=1e-12)


def test_measured_singular_value_is_that_of_autograds_jacobians() -> None:
    batch = load_batch(SMALL)
    model, x = _model(SMALL), batch.inputs[0]
    means = []
    for layer, block in enumerate(list(model.children())[:5], start=1):
        if layer > 1:
            jacobian = torch.autograd.functional.jacobian(block, x)  # type: ignore[no-untyped-call]
            means.append(np.linalg.svd(jacobian.numpy(), compute_uv=False).mean())
        x = block(x).detach()
    assert glorot2010.measured_singular_value(SMALL) == pytest.approx(np.mean(means), rel=1e-5)


def test_values_are_ratios_of_autograds_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glorot2010, "SAMPLES", 50)
    runs = {
        (init, data): scans(glorot2010._spec(init, data, 24), 1)
        for init in (STANDARD, NORMALISED)
        for data in ("noise", "quiet")
    }
    values = glorot2010._values(runs)
    noise, quiet = (_plain(glorot2010._spec(STANDARD, data, 24)) for data in ("noise", "quiet"))
    normalised, gentle = (_plain(glorot2010._spec(NORMALISED, data, 24)) for data in ("noise", "quiet"))
    expected = {
        "activations-narrow": noise["activation"][4] / noise["activation"][0],
        "third-per-layer": (noise["activation"][4] / noise["activation"][3]) ** 2,
        "gradients-narrow": noise["gradient"][0] / noise["gradient"][4],
        "gradients-level": normalised["gradient"][0] / normalised["gradient"][4],
        "gradients-level-quiet": gentle["gradient"][0] / gentle["gradient"][4],
        "weight-gradients-level": noise["weight"][0] / noise["weight"][4],
        "weight-gradients-level-quiet": quiet["weight"][0] / quiet["weight"][4],
    }
    for name, number in expected.items():
        assert values[name] == [pytest.approx(number, rel=1e-4)], name
    better = expected["gradients-level"] / expected["gradients-narrow"]
    assert values["normalised-wins"] == [pytest.approx(better, rel=1e-4)]


def test_expected_values_are_those_of_independent_networks() -> None:
    """Numpy over 20 seeds, 1024 -> 5 x 1000 tanh, 300 samples: gradient variances, singular values."""
    expected = {claim.name: claim.expected for claim in GlorotBengio().claims(Size.PAPER)}
    assert expected["activations-narrow"] == pytest.approx(0.0466 / 0.4605, rel=0.01)
    assert expected["gradients-narrow"] == pytest.approx(math.sqrt(0.0069), rel=0.02)
    assert expected["gradients-level"] == pytest.approx(math.sqrt(0.166), rel=0.02)
    assert expected["jacobian-standard-noise"] == pytest.approx(0.479, rel=0.005)
    assert expected["jacobian-normalised-noise"] == pytest.approx(0.717, rel=0.005)
    assert expected["jacobian-normalised-quiet"] == pytest.approx(0.816, rel=0.01)


def test_digits_have_the_second_moment_that_theory_is_told() -> None:
    inputs = load_batch(RunSpec(data="digits", batch=1797)).inputs
    assert float(inputs.double().square().mean()) == pytest.approx(
        glorot2010.SECOND_MOMENT["digits"], rel=1e-5
    )


def test_quiet_inputs_reach_the_network_as_they_are() -> None:
    inputs = load_batch(glorot2010._spec(STANDARD, "quiet", 24)).inputs
    assert inputs.shape == (300, 1024)
    assert float(inputs.std()) == pytest.approx(0.25, rel=0.01)


def _model(spec: RunSpec) -> MLP:
    batch = load_batch(spec)
    return build(spec, math.nan, batch.inputs, batch.classes)


def _plain(spec: RunSpec) -> dict[str, list[float]]:
    """Return standard deviations per layer by plain autograd."""
    batch, model = load_batch(spec), _model(spec)
    x, arguments, activations = batch.inputs, [], []
    products = model.products()
    for layer in products[:-1]:
        arguments.append(layer(x))
        arguments[-1].retain_grad()
        x = torch.tanh(arguments[-1])
        activations.append(x)
    torch.nn.functional.cross_entropy(products[-1](x), batch.targets).backward()  # type: ignore[no-untyped-call]
    std = lambda tensor: float(tensor.detach().std(correction=0))  # noqa: E731
    return {
        "activation": [std(x) for x in activations],
        "gradient": [std(s.grad) for s in arguments],
        "weight": [std(layer.weight.grad) for layer in products[:-1]],
    }
