"""Parameters: frozen, unused, tied, reparametrised, lazy, and norms' buffers."""
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, Net, loss_of, regression, sequential


class Unused(Net):
    """Never calls one layer, and uses one layer's weight without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.never, self.borrowed = nn.Linear(3, 3), nn.Linear(FEATURES, FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(super().forward(x), self.borrowed.weight)


def frozen() -> nn.Module:
    net = Net()
    net.first.requires_grad_(False)
    net.last.bias.requires_grad_(False)
    return net


class Tied(nn.Module):
    """Uses one weight in two layers, and an embedding's for the head."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(7, FEATURES), nn.Linear(FEATURES, FEATURES)
        self.again, self.head = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 7, bias=False)
        self.again.weight, self.head.weight = self.body.weight, self.words.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.again(torch.tanh(self.body(self.words(x)))))


def on_words(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randint(7, (SAMPLES, 3)))))
    loss.backward()
    probe.end_step()
    return loss.detach()


class Bags(nn.Module):
    """Looks up words one by one and in bags, one table with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, FEATURES, sparse=True)
        self.bags, self.head = nn.EmbeddingBag(7, FEATURES), nn.Linear(FEATURES, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.words(x).mean(1) + self.bags(x))


def reparametrised(change: Callable[[nn.Module], nn.Module]) -> Callable[[], nn.Module]:
    """Return what builds a chain of two changed layers."""
    layers = (lambda: change(nn.Linear(FEATURES, 8)), nn.Tanh, lambda: change(nn.Linear(8, 2)))
    return sequential(*layers)


def twice(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Take two training steps with an optimiser."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES))))
        loss.backward()
        probe.end_step()
        optimiser.step()
    return loss.detach()


def norms() -> nn.Module:
    model = nn.Sequential(
        nn.Conv1d(FEATURES, 8, 1),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.GroupNorm(2, 8),
        nn.InstanceNorm1d(8, affine=True, track_running_stats=True),
        nn.Dropout1d(0.3),
        nn.BatchNorm1d(8),
        nn.PReLU(8),
        nn.Flatten(),
        nn.LayerNorm(24),
        nn.Dropout(0.2),
    )
    model[6].eval()
    model[10].eval()
    return model


def on_channels(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of(probe.output(model(torch.randn(SAMPLES, FEATURES, 3))))
    loss.backward()
    probe.end_step()
    return loss.detach()


class Initialised(Net):
    """Changes its parameters in its first forward (data-dependent initialisation)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ready", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.ready:
            with torch.no_grad():
                self.first.weight.div_(self.first(x).std())
                self.ready.fill_(1.0)
        return super().forward(x)


class Unfinished(Net):
    """Holds a lazy module that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.lazy = nn.LazyLinear(3)


def pruned(layer: nn.Module) -> nn.Module:
    """Set half of the weights to zero, for good."""
    changed: nn.Module = prune.l1_unstructured(layer, "weight", 0.5)
    return changed


def cached(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Compute each weight once."""
    with parametrize.cached():
        loss = loss_of([probe.output(model(torch.randn(SAMPLES, FEATURES))) for _ in range(2)])
        loss.backward()
        probe.end_step()
    return loss.detach()


class Listed(nn.Module):
    """Keeps its parameters in a list and in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.list = nn.ParameterList(torch.randn(FEATURES, FEATURES) for _ in range(2))
        self.map = nn.ParameterDict({"w": torch.randn(FEATURES, 3), "never": torch.randn(2)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight in self.list:
            x = torch.tanh(x @ weight)
        return x.mm(self.map["w"])


CASES = (
    Case("frozen parameters", frozen, regression),
    Case("unused and borrowed parameters", Unused, regression),
    Case("tied weights", Tied, on_words),
    Case("sparse gradients, bags of words", Bags, on_words),
    Case("weight norm by hook", reparametrised(nn.utils.weight_norm), twice),
    Case("weight norm", reparametrised(parametrizations.weight_norm), twice),
    Case("spectral norm by hook", reparametrised(nn.utils.spectral_norm), twice),
    Case("spectral norm", reparametrised(parametrizations.spectral_norm), twice),
    Case("norms and dropout in mixed modes", norms, on_channels),
    Case("data-dependent initialisation", Initialised, twice),
    Case("lazy modules, one never called", Unfinished, regression),
    Case("pruned weights", reparametrised(pruned), twice),
    Case("cached parametrisations", reparametrised(parametrizations.weight_norm), cached),
    Case("lists of parameters", Listed, regression),
    Case("empty containers", sequential(nn.Sequential, lambda: nn.Linear(6, 2), nn.Sequential), regression),
    Case("lazy modules", sequential(lambda: nn.LazyLinear(8), nn.ReLU, lambda: nn.LazyLinear(2)), regression),
)
