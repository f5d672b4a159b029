"""What many cases share: a small net, and the plainest of training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models.case import Probe, Step
from models.walk import tensors_in

SAMPLES, FEATURES = 10, 6


class Net(nn.Module):
    """Layers of equal width, to be combined by subclasses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES)
        self.last, self.act = nn.Linear(FEATURES, FEATURES), nn.ReLU()
        self.slope = nn.Parameter(torch.full((1,), 0.3))

    def forward(self, x: torch.Tensor) -> Any:
        """Return layer, activation, layer."""
        return self.last(self.act(self.first(x)))


def sequential(*parts: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return what builds a chain."""
    return lambda: nn.Sequential(*(part() for part in parts))


def loss_of(output: Any) -> torch.Tensor:
    """Return the mean square of every floating tensor in an output, added up."""
    wide = [tensor for _, tensor in tensors_in(output) if tensor.is_floating_point() and tensor.itemsize > 1]
    parts = [tensor.square().sum() / max(tensor.numel(), 1) for tensor in wide]
    return torch.stack([part.float() for part in parts]).sum()


def trained_on(*shapes: tuple[int, ...]) -> Step:
    """Return a step: normal inputs of these shapes, forward, backward."""

    def step(model: nn.Module, probe: Probe) -> torch.Tensor:
        inputs = [probe.leaf(torch.randn(shape, requires_grad=True)) for shape in shapes]
        loss = loss_of(probe.output(model(*inputs)))
        loss.backward()
        probe.end_step()
        return loss.detach()

    return step


regression = trained_on((SAMPLES, FEATURES))
