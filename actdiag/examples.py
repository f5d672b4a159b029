"""Small models that show what `actdiag attach` finds, and a batch for them.

Each function takes no argument, so that its name can be given: `actdiag.examples:healthy`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from actdiag.data import load_batch
from actdiag.types import RunSpec

FEATURES, WIDTH, CLASSES = 16, 64, 10
SEED = 0


def batches() -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs (64, 16) from N(0, 1) and targets (64,) of 10 classes, the same every time."""
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(64, FEATURES, generator=generator), torch.randint(CLASSES, (64,), generator=generator)


class Functional(nn.Module):
    """Linear layers with F.relu between them; He et al. 2015: Var[w] = 2 / fan_in, the head 1 / fan_in."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        self.hidden = nn.ModuleList(nn.Linear(WIDTH if layer else FEATURES, WIDTH) for layer in range(depth))
        self.head = nn.Linear(WIDTH, CLASSES)
        for layer in (*self.hidden, self.head):
            gain = 1.0 if layer is self.head else 2.0**0.5
            nn.init.normal_(layer.weight, std=gain / layer.in_features**0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        for layer in self.hidden:
            x = functional.relu(layer(x))
        head: torch.Tensor = self.head(x)
        return head


class Forgotten(Functional):
    """A layer that `__init__` makes and `forward` never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.refine = nn.Linear(WIDTH, WIDTH)


class Cut(Functional):
    """A gate under detach(): its layer is called, matters to the output, and gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        for layer in self.hidden:
            x = functional.relu(layer(x))
        opened = torch.sigmoid(self.gate(x)).detach()
        head: torch.Tensor = self.head(x * opened)
        return head


class Scaled(Functional):
    """A factor between the layers that no weight shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        for layer in self.hidden:
            x = 0.25 * functional.relu(layer(x))
        head: torch.Tensor = self.head(x)
        return head


class Sigmoids(nn.Module):
    """Ten layers of Xavier's initialisation with torch.sigmoid between them: Glorot & Bengio 2010, fig. 2."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(SEED)
        self.hidden = nn.ModuleList(nn.Linear(WIDTH if layer else FEATURES, WIDTH) for layer in range(10))
        self.head = nn.Linear(WIDTH, CLASSES)
        for layer in (*self.hidden, self.head):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        for layer in self.hidden:
            x = torch.sigmoid(layer(x))
        head: torch.Tensor = self.head(x)
        return head


class Uneven(Functional):
    """Two neighbours of five, one a fifth as large and one five times: the same function of the input."""

    def __init__(self) -> None:
        super().__init__(depth=5)
        with torch.no_grad():
            for layer, factor in zip(self.hidden[2:4], (0.2, 5.0), strict=True):
                layer.get_parameter("weight").mul_(factor)


class Pruned(Functional):
    """Three in four rows of a layer's weights set to zero, their biases left: units without an input."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.hidden[1].get_parameter("weight")[WIDTH // 4 :] = 0.0
            self.hidden[1].get_parameter("bias")[WIDTH // 4 :] = 0.1


class Twice(Functional):
    """A softmax before a loss that takes one itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 10) from (batch, 16)."""
        return super().forward(x).softmax(-1)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return scikit-learn's digits, standardised: inputs (1797, 64) and targets (1797,) of 10 classes."""
    batch = load_batch(RunSpec(data="digits", batch=1797))
    return batch.inputs, batch.targets


def _chain(depth: int, act: type[nn.Module], draw: Callable[[torch.Tensor], object]) -> nn.Sequential:
    """Return a chain of layers of width 64 for the digits, its weights drawn by torch's generator."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(WIDTH, WIDTH), act()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))
    for layer in model:
        if isinstance(layer, nn.Linear):
            draw(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def deep_sigmoid() -> nn.Module:
    """Return 10 sigmoid layers after Xavier, for `digits`; every call draws other weights."""
    return _chain(10, nn.Sigmoid, nn.init.xavier_uniform_)


def deep_relu() -> nn.Module:
    """Return 20 ReLU layers of N(0, 0.01^2), for `digits`; every call draws other weights."""
    return _chain(20, nn.ReLU, partial(nn.init.normal_, std=0.01))


def deep_gelu() -> nn.Module:
    """Return 30 GELU layers after Xavier, for `digits`; every call draws other weights."""
    return _chain(30, nn.GELU, nn.init.xavier_uniform_)


def healthy() -> nn.Module:
    """Return a network that trains."""
    return Functional()


def forgotten_layer() -> nn.Module:
    """Return a network with a layer that is never called."""
    return Forgotten()


def cut_graph() -> nn.Module:
    """Return a network with a layer that gets no gradient, because its output is detached."""
    return Cut()


def scaled() -> nn.Module:
    """Return a network whose signal shrinks more than its weights explain."""
    return Scaled()


def vanishing() -> nn.Module:
    """Return a network whose first layers get next to no gradient."""
    return Sigmoids()


def uneven() -> nn.Module:
    """Return a network with a layer that learns far faster than its neighbours, and one far slower."""
    return Uneven()


def softmax_twice() -> nn.Module:
    """Return a network whose output is probabilities, where cross_entropy takes logits."""
    return Twice()


def pruned() -> nn.Module:
    """Return a network most units of whose second layer give every sample the same value."""
    return Pruned()
