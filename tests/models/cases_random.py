"""Nets put together at random: what nobody thought of."""
# ruff: noqa: D102

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from models.case import Case, Probe
from models.steps import FEATURES, SAMPLES, loss_of

COUNT, LENGTH = 40, 7
RAISING = (12, 13, 15, 18)
"""Seeds whose net overwrites what backward needs, so that there is no truth."""
Value = torch.Tensor


class Pair(nn.Module):
    """Returns its input, changed, in a container with something else."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Value) -> dict[str, Any]:
        h = self.layer(x)
        return {"sum": h + x, "parts": (h, x)}


class Through(nn.Module):
    """Returns its input, or what its only module makes of it."""

    def __init__(self, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Value) -> Value:
        return x if self.inner is None else self.inner(x)


MODULES: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Linear(FEATURES, FEATURES),
    lambda: nn.Linear(FEATURES, FEATURES, bias=False),
    nn.ReLU,
    lambda: nn.ReLU(inplace=True),
    nn.Tanh,
    lambda: nn.ELU(inplace=True),
    nn.GELU,
    lambda: nn.PReLU(FEATURES),
    lambda: nn.Dropout(0.2),
    lambda: nn.Dropout(0.2).eval(),
    lambda: nn.BatchNorm1d(FEATURES),
    lambda: nn.LayerNorm(FEATURES),
    nn.Identity,
    nn.Flatten,
    Through,
    lambda: Through(nn.Linear(FEATURES, FEATURES)),
    lambda: Through(Through(nn.ReLU(inplace=True))),
    lambda: nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Identity(), nn.SiLU()),
    nn.Sequential,
    Pair,
)
FUNCTIONS: tuple[Callable[[Any, Value], Value], ...] = (
    lambda net, x: functional.relu(x),
    lambda net, x: torch.relu_(x * 1.0),
    lambda net, x: functional.leaky_relu(x + 0.0, 0.1, inplace=True),
    lambda net, x: x.tanh(),
    lambda net, x: torch.sigmoid(x) + x,
    lambda net, x: functional.gelu(x).sigmoid(),
    lambda net, x: x + net.first,
    lambda net, x: x.clone().add_(net.first),
    lambda net, x: x @ net.weight,
    lambda net, x: functional.linear(x, net.weight, net.first[0]),
    lambda net, x: x.detach() if net.lucky else x,
    lambda net, x: functional.dropout(x, 0.2),
    lambda net, x: x.view(-1, 2, FEATURES // 2).flip(1).reshape(-1, FEATURES),
    lambda net, x: net.under_no_grad(x),
    lambda net, x: net.in_checkpoint(x, False),
    lambda net, x: net.in_checkpoint(x, True),
    lambda net, x: torch.cat([part.relu() for part in x.chunk(2, 1)], 1),
    lambda net, x: torch.where(x > 0, x, functional.softplus(x)),
)


class Random(nn.Module):
    """A chain of modules and functions drawn at random; some modules are used twice."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.lucky, self.on = draw.random() < 0.3, True
        self.parts = nn.ModuleList(draw.choice(MODULES)() for _ in range(LENGTH))
        self.segment = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Tanh())
        self.weight = nn.Parameter(torch.randn(FEATURES, FEATURES))
        self.plan = [draw.choice([*self.parts, *FUNCTIONS]) for _ in range(2 * LENGTH)]
        self.head = nn.Linear(FEATURES, 2)

    def forward(self, x: Value) -> Any:
        self.first = x
        x = x * 1.0
        for part in self.plan:
            x = part(x) if isinstance(part, nn.Module) else part(self, x)
            if isinstance(x, dict):
                x = x["sum"] if self.lucky else x["parts"][0]
        del self.first
        return self.head(x), x

    def under_no_grad(self, x: Value) -> Value:
        """Add what the segment makes of it, without a graph."""
        with torch.no_grad():
            return x + self.segment(x)

    def in_checkpoint(self, x: Value, reentrant: bool) -> Value:
        """Run the segment, checkpointed; reentrant checkpointing goes back only to what asks for it."""
        if self.on:
            return checkpoint(self.segment, x, use_reentrant=reentrant)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (x.requires_grad or not reentrant)):
            return self.segment(x)


def step(model: nn.Module, probe: Probe) -> torch.Tensor:
    """Take micro-batches, then two forwards before one backward pass."""
    losses = []
    for samples in ((SAMPLES,), (4,), (5, 3)):
        given = [probe.leaf(torch.randn(count, FEATURES, requires_grad=True)) for count in samples]
        loss = loss_of([probe.output(model(x)) for x in given])
        loss.backward()
        losses.append(loss.detach())
    probe.end_step()
    return torch.stack(losses)


def switch_off(model: nn.Module) -> None:
    """Let the model run without checkpointing."""
    model.on = False  # type: ignore[assignment]


def build(seed: int) -> Callable[[], nn.Module]:
    """Return what builds the net of a seed."""
    return lambda: Random(seed)


CASES = tuple(
    Case(f"random {seed}", build(seed), step, switch_off) for seed in range(COUNT) if seed not in RAISING
)
FAILING = tuple(Case(f"random {seed}", build(seed), step, raises=RuntimeError) for seed in RAISING)
