"""Activations as modules and as functions, in place and not."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from models.case import Case
from models.steps import Net, regression, sequential


def in_place_module() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(inplace=True), nn.Linear(9, 9), nn.ELU(inplace=True))


class AddsInPlace(Net):
    """Writes into a module's output after the module returned it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        h += x
        h = self.act(h)
        return self.last(h) * 2.0


class OneReLU(Net):
    """Uses one activation module after every layer, and one layer twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.first, self.middle, self.first, self.last):
            x = self.act(layer(x))
        return x


class Functions(Net):
    """Calls the same activation in all its spellings."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(x))
        x = torch.tanh(self.middle(x))
        x = self.first(x).relu()
        x = self.middle(x).relu_()
        x = functional.relu(self.first(x), inplace=True)
        x = torch.sigmoid(self.middle(x) + x).tanh()
        return self.last(x)


class EveryFunction(Net):
    """Calls every other activation that is known as a function."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        known: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
            functional.gelu,
            functional.silu,
            functional.elu,
            functional.leaky_relu,
            functional.selu,
            functional.softplus,
            functional.softsign,
            functional.mish,
            functional.hardtanh,
            torch.sigmoid,
            torch.tanh,
        )
        for function in known:
            x = function(self.first(x))
        x = functional.leaky_relu(self.first(x), 0.2)
        x = functional.elu(self.first(x), 0.5)
        x = functional.prelu(self.first(x), self.slope)
        x = functional.softplus(self.first(x), beta=2.0)
        return functional.hardtanh(self.first(x), -2.0, 2.0)


class InPlaceFunctions(Net):
    """Overwrites, by function, what belongs to modules and what belongs to none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu_(self.first(x) + x)
        x = torch.tanh_(self.middle(x))
        x = functional.elu_(self.first(x) * 2.0)
        x = functional.leaky_relu(self.middle(x), 0.1, True)
        z = self.first(x) - x
        z.sigmoid_()
        return self.last(z)


class SumIntoModule(Net):
    """Gives an activation module what no module returned, also to overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.over = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.over(self.last(self.act(self.first(x) + x)) + x)


class Fused(nn.Linear):
    """A layer with its activation inside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(super().forward(x))


class Bare(nn.Module):
    """Parameters without submodules."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(4, 8))
        self.b = nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(x @ self.w + self.b)
        h = functional.linear(h, self.v)
        h = torch.addmm(self.b, h, self.v)
        return torch.einsum("bi,oi->bo", h.mm(self.w.t()).matmul(self.w), self.v)


class Convolutions(nn.Module):
    """Products by function."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(5, 6, 1))
        self.back = nn.Parameter(torch.randn(5, 6, 1))
        self.pair = nn.Parameter(torch.randn(3, 6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.relu(functional.conv1d(x.unsqueeze(-1), self.kernel))
        h = functional.conv_transpose1d(h, self.back).squeeze(-1)
        return functional.bilinear(h, x, self.pair)


class Squared(nn.ReLU):
    """Computes another function than its base."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(x).square()


def other_modules() -> nn.Module:
    """Return a chain of activation modules, known and not."""
    parts = (
        nn.Softplus(2.0),
        nn.Hardtanh(-2.0, 2.0),
        nn.Hardtanh(),
        nn.ReLU6(),
        nn.Softmax(-1),
        nn.LogSigmoid(),
        nn.CELU(),
        nn.Hardswish(),
        nn.Threshold(-1.0, 0.5),
        nn.Softshrink(0.1),
        nn.RReLU(),
        nn.ELU(0.5, inplace=True),
        nn.LeakyReLU(0.2),
        Squared(),
    )
    return nn.Sequential(*(part for known in parts for part in (nn.Linear(6, 6), known)))


CASES = (
    Case("activation modules that are not known", other_modules, regression),
    Case("in-place activation modules", in_place_module, regression),
    Case("a module's output is written to", AddsInPlace, regression),
    Case("one activation module used many times", OneReLU, regression),
    Case("relu and tanh in every spelling", Functions, regression),
    Case("every known activation function", EveryFunction, regression),
    Case("in-place functions", InPlaceFunctions, regression),
    Case("an activation module after a sum", SumIntoModule, regression),
    Case(
        "a Linear with an activation inside", sequential(lambda: Fused(6, 8), lambda: Fused(8, 3)), regression
    ),
    Case("bare parameters", Bare, regression),
    Case("convolutions by function", Convolutions, regression),
)
