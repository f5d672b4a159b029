"""Activation checkpointing: forward runs again inside backward. The truth is had without it."""
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from models.case import Case, Probe
from models.steps import FEATURES, loss_of, regression


class Checkpointed(nn.Module):
    """Segments with dropout, of which one module is used in two."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant, self.on = reentrant, True
        self.blocks = nn.ModuleList(block() for _ in range(3))
        self.shared, self.head = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block_ in self.blocks:
            x = self.segment(block_, x)
        return self.head(x)

    def segment(self, block_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Run a segment, checkpointed or not."""

        def run(x: torch.Tensor) -> torch.Tensor:
            return functional.relu(self.shared(block_(x)))

        return checkpoint(run, x, use_reentrant=self.reentrant) if self.on else run(x)


class Twice(nn.Module):
    """Checkpoints one module twice, with the same input: the values are equal, the gradients are not."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.on = block(), True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.body.eval()
        first, second = (
            checkpoint(self.body, x, use_reentrant=True) if self.on else self.body(x) for _ in "ab"
        )
        return first * 2.0 - second


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh(), nn.Dropout(0.3))


class Nested(nn.Module):
    """Has a checkpoint inside a checkpoint, and a module that several micro-batches pass."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer, self.on = block(), block(), True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.both, x, use_reentrant=False) if self.on else self.both(x)

    def both(self, x: torch.Tensor) -> torch.Tensor:
        """Run the outer module on the inner one's output."""
        h = checkpoint(self.inner, x, use_reentrant=False) if self.on else self.inner(x)
        return torch.relu(self.outer(h))


class Sequence(nn.Module):
    """Cuts a chain into segments, with activations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True
        layers = [part for _ in range(4) for part in (nn.Linear(FEATURES, FEATURES), nn.ReLU(inplace=True))]
        self.chain = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.on:
            for layer in self.chain:
                x = layer(x)
            return x
        return checkpoint_sequential(self.chain, 2, x, use_reentrant=False)


class Recompute(torch.autograd.Function):
    """Runs a module again in backward, as reversible networks do."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        """Run without a graph."""
        ctx.module = module
        ctx.save_for_backward(x)
        with torch.no_grad():
            output: torch.Tensor = module(x)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Run again with a graph, and go back through it."""
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            output = ctx.module(x)
        parameters = list(ctx.module.parameters())
        gradients = torch.autograd.grad(output, [x, *parameters], gradient)
        return (None, *gradients)


class Reversible(nn.Module):
    """Keeps nothing of its body for backward."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head, self.on = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 2), True
        self.body = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        h = Recompute.apply(self.body, h, *self.body.parameters()) if self.on else self.body(h)
        return self.head(h)


def inputs(samples: int) -> torch.Tensor:
    """Return what reentrant checkpointing can go back to."""
    return torch.randn(samples, FEATURES, requires_grad=True)


def micro_batches(model: nn.Module, probe: Probe) -> torch.Tensor:
    losses = []
    for samples in (7, 3, 3):
        loss = loss_of(probe.output(model(inputs(samples))))
        loss.backward()
        losses.append(loss.detach())
    probe.end_step()
    return torch.stack(losses)


def two_forwards(model: nn.Module, probe: Probe) -> torch.Tensor:
    loss = loss_of([probe.output(model(inputs(samples))) for samples in (7, 3)])
    loss.backward()
    probe.end_step()
    return loss.detach()


def in_autocast(model: nn.Module, probe: Probe) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(probe.output(model(inputs(5))))
    loss.backward()
    probe.end_step()
    return loss.detach()


def switch_off(model: nn.Module) -> None:
    """Let the model run plainly."""
    model.on = False  # type: ignore[assignment]


CASES = (
    Case("checkpoint, reentrant", lambda: Checkpointed(True), regression, switch_off),
    Case("checkpoint, not reentrant", lambda: Checkpointed(False), regression, switch_off),
    Case("checkpoint, the same twice", Twice, regression, switch_off),
    Case("checkpoint, nested", Nested, regression, switch_off),
    Case("checkpoint_sequential", Sequence, regression, switch_off),
    Case("checkpoint, micro-batches, reentrant", lambda: Checkpointed(True), micro_batches, switch_off),
    Case("checkpoint, micro-batches, not reentrant", lambda: Checkpointed(False), micro_batches, switch_off),
    Case("checkpoint, autocast", lambda: Checkpointed(True), in_autocast, switch_off, tolerance=1e-2),
    Case("checkpoint, two forwards", lambda: Checkpointed(True), two_forwards, switch_off),
    Case("forward inside backward", Reversible, regression, switch_off),
)
