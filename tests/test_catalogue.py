"""Laws that tie the facts to torch: every activation's module and gradient, every initialiser's variance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from actdiag.activations import ACTIVATIONS, activation
from actdiag.catalogue import activation_module, initialise, loss_function, recognise, set_bias
from actdiag.initialisers import INITIALISERS, initialiser
from actdiag.theory import exact_gain

NAMES = [*ACTIVATIONS, "leaky_relu:0.1", "prelu:0.5", "elu:2"]
ELEMENTWISE = [name for name in NAMES if name != "maxout"]
INITS = [
    {"constant": "constant:0.3", "normal": "normal:0.05", "uniform": "uniform:0.05"}.get(n, n)
    for n in INITIALISERS
]
GRID = np.concatenate([np.linspace(-9.9, 9.9, 400), [0.0, 30.0, -30.0]])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_module_equals_the_facts(name: str) -> None:
    act = activation(name)
    z = torch.tensor(GRID, requires_grad=True)
    a = activation_module(act).double()(z)
    np.testing.assert_allclose(a.detach().numpy(), act.function(GRID), rtol=1e-7, atol=1e-12)
    if name == "step":
        assert not a.requires_grad
        return
    (slope,) = torch.autograd.grad(a.sum(), z)
    away = np.abs(GRID) > 0
    np.testing.assert_allclose(slope.numpy()[away], act.derivative(GRID)[away], rtol=1e-6, atol=1e-12)


def test_maxout_is_the_larger_of_two_neighbours() -> None:
    z = torch.tensor([[1.0, 2.0, -3.0, -4.0]])
    assert activation_module(activation("maxout"))(z).tolist() == [[2.0, -3.0]]


@pytest.mark.parametrize("name", [*NAMES, "leaky_relu:0.2"])
def test_modules_are_recognised(name: str) -> None:
    known = recognise(activation_module(activation(name)))
    assert known == name.split(":")[0] if name.startswith("prelu") else known == name


@pytest.mark.parametrize(
    "module", [nn.Softmax(-1), nn.Identity(), nn.Linear(2, 2), nn.Hardtanh(0, 6), nn.ReLU6()]
)
def test_others_are_not(module: nn.Module) -> None:
    assert recognise(module) is None


@pytest.mark.parametrize("fans", [(40, 60), (60, 40), (50, 50)])
@pytest.mark.parametrize("name", [*INITS, "he_normal:fan_out", "he_uniform:fan_out"])
def test_variance_is_what_the_formula_says(name: str, fans: tuple[int, int]) -> None:
    """Within 5 standard errors over 40 draws; an orthogonal matrix is exact."""
    init = initialiser(name)
    if init.distribution == "lsuv":
        pytest.skip("lsuv's variance is set by the data; tests/test_models.py holds it to 1 +- 0.1")
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(*fans)
    squares = []
    for _ in range(40):
        initialise(layer, init, float("nan"), generator)
        weight = layer.weight.detach().double().numpy()
        squares.append(weight.var() if init.distribution == "constant" else (weight**2).mean())
    expected = init.variance(*fans)
    error = max(float(stats.sem(squares)), 1e-6 * expected)
    assert abs(np.mean(squares) - expected) <= 5 * error + 1e-30


@pytest.mark.parametrize(("name", "law"), [("he_normal", "norm"), ("lecun_uniform", "uniform")])
def test_the_law_is_the_one_named(name: str, law: str) -> None:
    layer = nn.Linear(200, 200)
    init = initialiser(name)
    initialise(layer, init, float("nan"), torch.Generator().manual_seed(1))
    std = init.variance(200, 200) ** 0.5
    weights = layer.weight.detach().double().numpy().ravel() / std
    parameters = () if law == "norm" else (-(3**0.5), 2 * 3**0.5)
    assert stats.kstest(weights, law, parameters).pvalue > 1e-3


def test_a_gain_multiplies_the_standard_deviation() -> None:
    layer, init = nn.Linear(300, 300), initialiser("xavier")
    initialise(layer, init, exact_gain(activation("tanh")), torch.Generator().manual_seed(2))
    assert float(layer.weight.detach().std()) == pytest.approx(1.5925 / 300**0.5, rel=0.01)


def test_orthogonal_preserves_norms() -> None:
    layer = nn.Linear(30, 30)
    initialise(layer, initialiser("orthogonal_he"), 2**0.5, torch.Generator().manual_seed(3))
    gram = layer.weight.detach().double() @ layer.weight.detach().double().T
    torch.testing.assert_close(gram, 2 * torch.eye(30, dtype=torch.float64), atol=1e-5, rtol=0)


def test_torch_default_is_what_torch_does() -> None:
    """Weight and bias have the spread of a fresh nn.Linear."""
    torch.manual_seed(4)
    own, fresh = nn.Linear(100, 4000), nn.Linear(100, 4000)
    init = initialiser("torch_default")
    initialise(own, init, float("nan"), torch.Generator().manual_seed(5))
    set_bias(own, init, None, torch.Generator().manual_seed(6))
    for name in ("weight", "bias"):
        mine, theirs = (getattr(layer, name).detach() for layer in (own, fresh))
        assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.05)
        assert float(mine.abs().max()) <= 0.1
    set_bias(own, init, 0.25, torch.Generator())
    assert (own.bias == 0.25).all()


def test_losses_are_means_in_the_textbook_form() -> None:
    outputs = torch.tensor([[0.2, -0.7, 1.5], [0.1, 0.3, -2.0]], dtype=torch.float64)
    targets = torch.tensor([2, 1])
    scores, hot = outputs.numpy(), np.eye(3)[targets.numpy()]
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = {
        "cross_entropy": -np.log((softmax * hot).sum(1)).mean(),
        "mse": ((scores - hot) ** 2).mean(),
        "hinge": np.maximum(0, 1 - (2 * hot - 1) * scores).mean(),
    }
    for kind, value in expected.items():
        assert float(loss_function(kind)(outputs, targets)) == pytest.approx(value, rel=1e-12)
