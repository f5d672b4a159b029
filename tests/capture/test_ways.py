"""The way of the signal: what follows what, what is a gate, and which layers are compared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from capturing import record
from torch import nn

from actdiag import attach, diagnose


class Written(nn.Module):
    """A layer with an activation or a gate written out."""

    def __init__(self, activate: Callable[[torch.Tensor], torch.Tensor], features: int = 6) -> None:
        super().__init__()
        self.first, self.second, self.activate = nn.Linear(5, 6), nn.Linear(features, 3), activate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from (batch, 5)."""
        return self.second(self.activate(self.first(x)))


def gated(z: torch.Tensor) -> torch.Tensor:
    a, b = z.chunk(2, -1)
    return torch.sigmoid(a) * b


@pytest.mark.parametrize(
    ("activate", "after"),
    [
        (lambda z: z * torch.sigmoid(1.702 * z), ""),
        (lambda z: 0.5 * z * (1.0 + torch.tanh(0.8 * (z + 0.04 * z**3))), ""),
        (lambda z: torch.tanh(z), "tanh"),
        (lambda z: 2.0 * torch.sigmoid(z + 1.0), "sigmoid"),
        (lambda z: torch.relu(z).mul(torch.relu(z)), "relu"),
        (gated, "sigmoid"),
    ],
)
def test_a_gate_on_its_own_preactivation_is_no_activation(
    activate: Callable[[torch.Tensor], torch.Tensor], after: str
) -> None:
    recording = record(Written(activate, 3 if activate is gated else 6), torch.randn(7, 5))
    modules = recording.modules.set_index("name")
    assert modules.loc["first", "activation_after"] == after
    assert modules.loc["second", "follows"] == "first"
    assert bool((recording.rows["tensor"] == "activation").any()) == bool(after)


def test_a_residual_sum_joins_and_a_bias_does_not() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.shift = nn.Parameter(torch.zeros(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.stem(x) + self.shift)
            return self.head(h + torch.tanh(self.branch(h)))

    modules = record(Residual(), torch.randn(7, 5)).modules.set_index("name")
    assert modules.loc[["stem", "branch", "head"], "follows"].tolist() == ["", "stem", "branch"]
    assert modules.loc[["stem", "branch", "head"], "joined"].tolist() == [False, False, True]
    assert modules.loc["stem", "activation_after"] == "tanh"


class Plain(nn.Module):
    """Fully connected layers one after the other, their activation a function; or with residual sums."""

    def __init__(self, residual: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(12))
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 8) from (batch, 8)."""
        for layer in self.layers:
            x = torch.sigmoid(layer(x)) + (1e-3 * x if self.residual else 0.0)
        return x


@pytest.mark.parametrize(("residual", "severity"), [(False, "error"), (True, "warning")])
def test_a_plain_chain_is_judged_as_the_networks_of_scan(residual: bool, severity: str) -> None:
    torch.manual_seed(0)
    findings = diagnose(record(Plain(residual), torch.randn(16, 8))).findings
    found = {finding.code: finding.severity.value for finding in findings}
    assert found["AD101"] == severity


def test_parallel_branches_are_not_compared_with_each_other() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = [10.0**-k * torch.relu(branch(x)) for k, branch in enumerate(self.branches)]
            return torch.stack(parts).sum(0)

    recording = record(Branches(), torch.randn(9, 8))
    assert (recording.modules["follows"] == "").all()
    diagnosis = diagnose(recording)
    assert [finding for finding in diagnosis.findings if finding.code.startswith(("AD1", "AD2"))] == []
    reasons = {outcome.code: outcome.reason for outcome in diagnosis.skipped}
    assert "there is one on the longest chain, 5 in other places" in reasons["AD101"]


@pytest.mark.parametrize("join", [torch.add, torch.mul, lambda a, b: torch.cat([a, b], 1)[:, :32]])
def test_ways_the_raw_input_joins_as_well(join: Callable[..., torch.Tensor]) -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(32, 32), nn.Linear(32, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.head(join(torch.relu(self.stem(x)), x))
            return result

    model = Skip()
    with attach(model) as recorder:
        model(torch.randn(8, 32)).sum().backward()
        recorder.step()
    modules = recorder.recording().modules.set_index("name")
    assert modules.loc[["stem", "head"], "joined"].tolist() == [False, True]
