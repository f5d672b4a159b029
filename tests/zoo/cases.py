"""What a model of the zoo is, and how its package is found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", DDE_BACKEND="pytorch")

REQUIRED = "ACTDIAG_ZOO"
"""Set to 1, a package that is missing is a failure and no skip."""


@dataclass(frozen=True, eq=False)
class Case:
    """One model and one training step of it.

    Attributes:
        name: for the reader.
        package: which package it comes from.
        build: returns the model, its weights drawn from torch's global state.
        loss: the forward pass of a step; draws its inputs from a generator of its own.
        products: how many matrix products a reader of the model's source counts.
        hidden: how many of them a known activation follows; None where a reader could count otherwise.
        missed: pattern of module names -> the beginning of the reason why they, or a part of what they
            return, cannot be observed.
    """

    name: str
    package: str
    build: Callable[[], nn.Module]
    loss: Callable[[Any], torch.Tensor]
    products: int
    hidden: int | None = None
    missed: Mapping[str, str] = field(default_factory=dict)

    def step(self, model: nn.Module) -> torch.Tensor:
        """Run forward and backward, return the loss."""
        loss = self.loss(model)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def need(name: str) -> Any:
    """Return a module of a third-party package; skip the test where the package is not installed."""
    if os.environ.get(REQUIRED) == "1":
        return import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install -e '.[zoo]'")


def normal(*shape: int, seed: int = 7) -> torch.Tensor:
    """Return N(0, 1) numbers that leave torch's global state alone."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def integers(high: int, *shape: int, seed: int = 7) -> torch.Tensor:
    """Return integers from 0 to high - 1 that leave torch's global state alone."""
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))
