"""A training step without an optimiser, alone and with a tool on the model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from stepcost.workloads import Workload

Watch = Callable[[torch.Tensor], object]


class UnavailableError(Exception):
    """Why a tool cannot be measured here, in words for the table."""


class Plain:
    """The step itself, which every tool adds to: forward, cross entropy, backward.

    Attributes:
        period: steps after which what the tool does repeats; they are timed together.
        steps: how many were taken.
    """

    period = 1

    def __init__(self, workload: Workload, model: nn.Module) -> None:
        self.workload, self.model, self.steps = workload, model, 0
        self.attach()

    def attach(self) -> None:
        """Put the tool on the model; not timed."""

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take one step."""
        self.steps += 1
        self.model.zero_grad(set_to_none=True)
        self.train(inputs, targets)
        self.after()

    def train(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Run forward and backward."""
        nn.functional.cross_entropy(self.model(inputs), targets).backward()

    def after(self) -> None:
        """Do what the tool's user does after each backward."""

    def recorded(self) -> int:
        """Return how many tensors were recorded in all, from what the tool holds in the end."""
        return 0

    def expected(self) -> int:
        """Return how many there must be."""
        return 0

    def tensors(self) -> int:
        """Return how many tensors are looked at in a step, weights and gradients among them."""
        return self.expected() // max(self.steps, 1)

    def close(self) -> None:
        """Take the tool off the model; not timed."""


class Hooked(Plain):
    """Forward hooks that watch outputs and, by a tensor hook on each, their gradients."""

    def attach(self) -> None:
        """Put a forward hook on every watched module."""
        self.seen = 0
        self.modules = self.watched()
        self.handles = [
            module.register_forward_hook(self._hook(index)) for index, module in enumerate(self.modules)
        ]

    def watched(self) -> list[nn.Module]:
        """Return the modules whose outputs are watched."""
        raise NotImplementedError

    def observe(self, name: str, tensor: torch.Tensor) -> None:
        """Take a tensor's statistics."""
        raise NotImplementedError

    def recorded(self) -> int:
        """Return how many tensors were observed."""
        return self.seen

    def expected(self) -> int:
        """Return each watched output and its gradient, once a step."""
        return 2 * len(self.modules) * self.steps

    def close(self) -> None:
        """Remove the forward hooks."""
        for handle in self.handles:
            handle.remove()

    def _hook(self, index: int) -> Callable[..., None]:
        def gradient(tensor: torch.Tensor) -> None:
            self.seen += 1
            self.observe(f"gradient/{index}", tensor)

        def forward(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            self.seen += 1
            self.observe(f"output/{index}", output.detach())
            output.register_hook(gradient)

        return forward
