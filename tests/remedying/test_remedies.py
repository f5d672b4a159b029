"""Each remedy does what it says, and the code that is printed does the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from scipy.special import expit
from torch import nn
from torch.nn import functional

from actdiag.batches import ModelBatch
from actdiag.checking import measure
from actdiag.remedying.candidates import exchanges, norms, starts
from actdiag.remedying.products import Product, products
from actdiag.remedying.remedies import Remedy


class Functional(nn.Module):
    """Activations are functions, layers lie in a list, the order of names is not that of the signal."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(24, 3)
        self.hidden = nn.ModuleList([nn.Linear(20, 24), nn.Linear(24, 24)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from (batch, 20)."""
        for layer in self.hidden:
            x = functional.gelu(layer(x))
        output: torch.Tensor = self.head(x)
        return output


def chain(act: Callable[[], nn.Module], bias: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Linear(20, 200, bias=bias), act(), nn.Linear(200, 100, bias=bias), act(), nn.Linear(100, 3)
    )


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (5, 2, 2)),
        nn.Conv2d(5, 30, 3, padding=1, groups=5),
        nn.ReLU(),
        nn.Conv2d(30, 20, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(20, 3),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: chain(nn.Tanh),
    "relu": lambda: chain(nn.ReLU),
    "sigmoid": lambda: chain(nn.Sigmoid),
    "leaky": lambda: chain(lambda: nn.LeakyReLU(0.5)),
    "no bias": lambda: chain(nn.ReLU, bias=False),
    "mixed": lambda: nn.Sequential(
        nn.Linear(20, 24), nn.SiLU(), nn.Linear(24, 24), nn.SELU(), nn.Linear(24, 3)
    ),
    "functional": Functional,
    "convolutions": convolutions,
}  # fmt: skip
INPUTS = torch.randn(64, 20, generator=torch.Generator().manual_seed(0)) + 0.5


def layers_of(model: nn.Module, inputs: torch.Tensor = INPUTS) -> tuple[Product, ...]:
    return products(model, measure(model, [ModelBatch.of(inputs)]))[0]


def offered(model: nn.Module) -> list[Remedy]:
    layers = layers_of(model)
    return [*starts(layers), *norms(layers), *exchanges(layers)]


def cases() -> Iterator[tuple[str, str]]:
    for name, build in MODELS.items():
        torch.manual_seed(0)
        yield from ((name, remedy.name) for remedy in offered(build()))


def treated(name: str, remedy_name: str) -> tuple[nn.Module, Remedy]:
    torch.manual_seed(5)
    model = MODELS[name]()
    remedy = next(each for each in offered(model) if each.name == remedy_name)
    torch.manual_seed(1)
    remedy.apply(model, ModelBatch.of(INPUTS))
    return model, remedy


@pytest.mark.parametrize(("name", "remedy_name"), list(cases()))
def test_the_printed_code_does_the_same(name: str, remedy_name: str) -> None:
    ours, remedy = treated(name, remedy_name)
    torch.manual_seed(5)
    model = MODELS[name]()
    code = remedy.code(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(1)
    exec(compile(code, "printed", "exec"), {"model": model, "inputs": INPUTS})
    theirs = model.state_dict()
    assert list(theirs) == list(ours.state_dict())
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(theirs[key], value, rtol=6e-6, atol=1e-6)  # gains are printed to 6 digits
    changed = [key for key, value in before.items() if key in theirs and not torch.equal(value, theirs[key])]
    assert remedy.changes_network or any(key.endswith("weight") for key in changed)
    assert max(map(len, code.splitlines())) <= 96
    torch.testing.assert_close(model(INPUTS), ours(INPUTS), rtol=1e-4, atol=1e-5)
    assert repr(model) == repr(ours)


def expected_gain(phi: Callable[[float], float]) -> float:
    """Return 1 / sqrt(E[phi(z)^2]) by adaptive quadrature."""
    square, _ = integrate.quad(lambda z: phi(z) ** 2 * stats.norm.pdf(z), -np.inf, np.inf)
    return float(square**-0.5)


def edge_of_sigmoid() -> float:
    """Return sigma_w^2 with chi = 1 at the fixed point without bias: q = E[phi^2] / E[phi'^2], by scipy."""

    def moments(q: float) -> tuple[float, float]:
        reach = 12.0 * q**0.5
        density = stats.norm(0.0, q**0.5).pdf
        square = integrate.quad(lambda z: expit(z) ** 2 * density(z), -reach, reach, points=[0.0])[0]
        slope = integrate.quad(
            lambda z: (expit(z) * expit(-z)) ** 2 * density(z), -reach, reach, points=[-5.0, 0.0, 5.0]
        )[0]
        return square, slope

    q = optimize.brentq(lambda q: moments(q)[0] / moments(q)[1] / q - 1.0, 1.0, 1000.0)
    return 1.0 / moments(q)[1]


EDGE = edge_of_sigmoid()
TANH, SIGMOID = expected_gain(np.tanh), expected_gain(stats.logistic.cdf)


@pytest.mark.parametrize(
    ("name", "remedy_name", "variances"),
    [
        ("relu", "initialiser", (2 / 20, 2 / 200, 1 / 100)),
        ("leaky", "initialiser", (2 / 1.25 / 20, 2 / 1.25 / 200, 1 / 100)),  # He et al. 2015, eq. 15
        ("tanh", "initialiser", (2 / 220, 2 / 300, 1 / 100)),
        ("tanh", "gain", (TANH**2 / 20, TANH**2 / 200, 1 / 100)),
        ("sigmoid", "gain", (SIGMOID**2 / 20, SIGMOID**2 / 200, 1 / 100)),
        ("sigmoid", "critical", (EDGE / 20, EDGE / 200, 1 / 100)),
        ("convolutions", "initialiser", (2 / 9, 2 / (30 * 4 + 20 * 4), 1 / 20)),
    ],
)  # fmt: skip
def test_drawn_weights_have_the_variance_of_their_law(
    name: str, remedy_name: str, variances: tuple[float, ...]
) -> None:
    torch.manual_seed(5)
    model = MODELS[name]()
    remedy = next(each for each in offered(model) if each.name == remedy_name)
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    squares = np.zeros((30, len(layers)))
    for draw in squares:
        remedy.apply(model, ModelBatch.of(INPUTS))
        draw[:] = [float(layer.weight.detach().square().mean()) for layer in layers]
        assert all(not layer.bias.detach().any() for layer in layers if layer.bias is not None)
    for layer, measured, variance in zip(layers, squares.mean(0), variances, strict=True):
        # z^2 of a normal has variance 2, of a uniform 0.8, so 5 standard errors:
        assert measured == pytest.approx(variance, rel=5 * (2 / 30 / layer.weight.numel()) ** 0.5)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid", "functional"])
def test_orthogonal_weights_are_orthogonal_times_the_exact_gain(name: str) -> None:
    act = {"tanh": np.tanh, "relu": lambda z: max(z, 0.0), "sigmoid": stats.logistic.cdf,
           "functional": lambda z: z * stats.norm.cdf(z)}[name]  # fmt: skip
    model, _ = treated(name, "orthogonal")
    hidden = [layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer.out_features > 3]
    for layer in hidden:
        values = torch.linalg.svdvals(layer.weight.detach())
        torch.testing.assert_close(values, torch.full_like(values, expected_gain(act)), rtol=1e-4, atol=0)


def outputs_of(model: nn.Module) -> list[torch.Tensor]:
    """Return what each Linear and Conv of a model gives, by units first."""
    seen: list[torch.Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for layer in layers:
        axis = 1 if isinstance(layer, nn.Conv2d) else -1
        layer.register_forward_hook(
            lambda module, args, output, axis=axis: seen.append(output.detach().movedim(axis, 0).flatten(1))
        )
    model(INPUTS)
    assert len(seen) == len(layers)
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_lsuv_gives_each_layer_unit_variance(name: str) -> None:
    for output in outputs_of(treated(name, "lsuv")[0]):
        assert float(output.double().var(correction=0)) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "no bias"])
def test_the_data_dependent_start_centres_and_scales_each_unit(name: str) -> None:
    for output in outputs_of(treated(name, "data-dependent")[0]):
        assert output.double().mean(1).abs().max() < 1e-4
        torch.testing.assert_close(output.var(1, correction=0), torch.ones(len(output)), rtol=1e-3, atol=0)


def test_a_start_without_biases_is_not_centred() -> None:
    assert [each.name for each in starts(layers_of(MODELS["no bias"]()))] == [
        "initialiser",
        "orthogonal",
        "lsuv",
    ]


def test_a_unit_that_does_not_vary_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(20, 4), nn.ReLU(), nn.Linear(4, 3))
    for remedy in starts(layers_of(model)):
        remedy.apply(model, ModelBatch.of(torch.ones(8, 20)))
        assert all(bool(each.isfinite().all()) for each in model.parameters())


def test_running_means_stay_as_they_were_when_data_were_looked_at() -> None:
    model = nn.Sequential(nn.Linear(20, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    layers = layers_of(model)
    old = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for remedy in starts(layers):
        remedy.apply(model, ModelBatch.of(INPUTS))
    assert all(torch.equal(buffer, old[name]) for name, buffer in model.named_buffers())
    assert not any(module._forward_hooks for module in model.modules())
    assert norms(layers) == []


def test_a_norm_stands_between_product_and_activation() -> None:
    model, _ = treated("functional", "norm")
    hidden = model.hidden
    assert isinstance(hidden, nn.ModuleList)
    assert [type(part) for block in hidden for part in block] == [nn.Linear, nn.BatchNorm1d] * 2  # type: ignore[union-attr]
    model, _ = treated("convolutions", "norm")
    assert [type(part) for part in model.modules() if "Norm" in type(part).__name__] == [nn.BatchNorm2d] * 2


def test_over_positions_the_norm_is_a_layer_norm() -> None:
    model = chain(nn.ReLU)
    (remedy,) = norms(layers_of(model, torch.randn(4, 6, 20)))
    remedy.apply(model, ModelBatch.of(INPUTS))
    assert [type(part[1]) for part in model if isinstance(part, nn.Sequential)] == [nn.LayerNorm] * 2


def test_an_activation_is_replaced_where_it_is_a_module_that_no_initialiser_suits() -> None:
    model, remedy = treated("sigmoid", "activation")
    assert "tanh in the place of sigmoid" in remedy.title
    assert [type(part).__name__ for part in model] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]  # type: ignore[attr-defined]
    for name in ("relu", "tanh", "functional"):
        assert exchanges(layers_of(MODELS[name]())) == []


def test_layers_that_are_not_ours_to_change_are_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(20, 20)
            self.frozen = nn.Linear(20, 20).requires_grad_(False)
            self.tied = nn.Linear(20, 20)
            self.again = nn.Linear(20, 20)
            self.again.weight = self.tied.weight
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(20, 20))
            self.recurrent = nn.GRU(20, 20)
            self.head = nn.Linear(20, 3)
            nn.init.zeros_(self.head.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in (self.first, self.frozen, self.tied, self.again, self.normed):
                x = torch.relu(layer(x))
            x, _ = self.recurrent(x)
            output: torch.Tensor = self.head(x)
            return output

    model = Odd()
    kept, left = products(model, measure(model, [ModelBatch.of(INPUTS)]))
    assert [each.name for each in kept] == ["first"]
    reasons = {line.split(" ")[0]: line.partition(": ")[2] for line in left}
    assert reasons["frozen"] == "frozen"
    assert reasons["tied"] == reasons["again"] == "its weight is shared"
    assert reasons["normed"] == "its weight is computed from other parameters"
    assert reasons["recurrent"] == "only nn.Linear and nn.Conv are initialised here"
    assert reasons["head"].startswith("all zeros")
