"""Networks that start at zero somewhere on purpose, and train: no rule calls one sick."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from actdiag import RunSpec, check, scan
from actdiag.diagnosis import diagnose
from actdiag.examples import Functional, batches
from actdiag.types import Severity


class Branch(nn.Module):
    """x + W2 phi(W1 x) with W2 = 0 (Zhang, Dauphin & Ma 2019), or with a norm whose scale is 0."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(64, 64), nn.Linear(64, 64)
        self.norm = nn.BatchNorm1d(64) if norm else nn.Identity()
        nn.init.kaiming_normal_(self.up.weight)
        nn.init.zeros_(self.norm.weight if norm else self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 64) from (batch, 64)."""
        branch: torch.Tensor = self.norm(self.down(functional.relu(self.up(x))))
        return x + branch


def plain(depth: int) -> nn.Module:
    model = Functional(depth)
    nn.init.zeros_(model.head.weight)
    return model


def residual(norm: bool, head: bool) -> nn.Sequential:
    last = nn.Linear(64, 10)
    if head:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(16, 64), *(Branch(norm) for _ in range(8)), last)


MODELS = {
    "head": lambda: plain(6),
    "head of a deep net": lambda: plain(30),
    "branches": lambda: residual(False, False),
    "norms of branches": lambda: residual(True, False),
    "branches and head": lambda: residual(False, True),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_what_starts_at_zero_is_not_called_sick(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    diagnosis = check(MODELS[name](), *batches())
    assert [f for f in diagnosis.findings if f.severity is not Severity.INFO] == []


def test_two_zeros_in_a_row_never_open() -> None:
    """Each is the other's gradient: only the head moves, and AD103 says so."""
    torch.manual_seed(0)
    model = residual(False, True)
    for branch in model[1:-1]:
        branch.norm = nn.Linear(64, 64)
        nn.init.zeros_(branch.norm.weight)
        nn.init.zeros_(branch.norm.bias)
    (finding,) = (found for found in check(model, *batches()).findings if found.code == "AD103")
    assert finding.severity is not Severity.INFO


def accuracy(model: nn.Module) -> float:
    """Return the share that it has learnt of 64 samples after 300 steps of SGD."""
    inputs, targets = batches()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    return float((model(inputs).argmax(1) == targets).float().mean())


@pytest.mark.parametrize("name", ["head", "branches", "branches and head"])
def test_what_starts_at_zero_trains(name: str) -> None:
    torch.manual_seed(0)
    assert accuracy(MODELS[name]()) > 0.9


HEALTHY = {
    "he": {"depth": 30, "width": 256, "act": "relu", "init": "he_normal"},
    "norm": {"depth": 30, "width": 64, "act": "relu", "init": "he_normal", "norm": "batch"},
    "residual": {"depth": 50, "width": 64, "act": "relu", "init": "normal:0.02", "residual": True},
    "tanh": {"depth": 20, "width": 64, "act": "tanh", "init": "xavier"},
    "selu": {"depth": 50, "width": 64, "act": "selu", "init": "lecun_normal"},
}
NEW = ("AD104", "AD205", "AD207", "AD501", "AD502", "AD902", "AD903")


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("data", ["gaussian", "digits"])
def test_healthy_networks_are_not_called_sick(name: str, data: str) -> None:
    for seed in range(2):
        diagnosis = diagnose(scan(RunSpec(data=data, seed=seed, batch=256, **HEALTHY[name])))  # type: ignore[arg-type]
        flagged = {f.code for f in diagnosis.findings if f.severity is not Severity.INFO}
        assert not flagged.intersection(NEW)
        assert not any(f.severity is Severity.ERROR for f in diagnosis.findings)
