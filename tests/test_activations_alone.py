"""Verdict and report of a recording of activations alone: the gradient is judged by theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import actdiag
from actdiag.recording import Recording
from actdiag.types import Finding


def chain(act: Callable[[], nn.Module], gain: float, depth: int = 10, width: int = 64) -> nn.Module:
    """Return a net whose weights have the variance gain^2 / width."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(depth):
        layer = nn.Linear(width, width)
        nn.init.normal_(layer.weight, 0.0, gain / width**0.5)
        nn.init.zeros_(layer.bias)
        parts += [layer, act()]
    return nn.Sequential(*parts, nn.Linear(width, 10))


def recorded(model: nn.Module, tensors: str) -> Recording:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(128, 64, generator=generator), torch.randint(0, 10, (128,), generator=generator)
    with actdiag.attach(model, tensors=tensors) as recorder:
        nn.functional.cross_entropy(model(x), y).backward()
        recorder.step()
    return recorder.recording()


def findings(recording: Recording, code: str) -> list[Finding]:
    return [found for found in actdiag.diagnose(recording).findings if found.code == code]


@pytest.mark.parametrize(
    ("code", "act", "gain"),
    [("AD101", nn.Sigmoid, 1.0), ("AD101", nn.ReLU, 0.3), ("AD102", nn.Identity, 3.0)],
)
def test_a_slope_is_found_in_the_gradients_of_activations(
    code: str, act: Callable[[], nn.Module], gain: float
) -> None:
    """A layer's slope is that of dLoss/dPreactivation up to the slope of one activation."""
    activation = (lambda: nn.LeakyReLU(0.5)) if act is nn.Identity else act
    whole, alone = (
        findings(recorded(chain(activation, gain), tensors), code) for tensors in ("all", "activations")
    )
    assert len(whole) == len(alone) == 1
    assert alone[0].severity == whole[0].severity
    ratio = float(alone[0].evidence["measured"]) / float(whole[0].evidence["measured"])
    assert 0.2 < ratio < 5.0


def test_a_healthy_chain_is_judged_and_found_healthy() -> None:
    diagnosis = actdiag.diagnose(recorded(chain(nn.Tanh, 1.0, depth=4), "activations"))
    assert {"AD101", "AD102", "AD103"} <= {outcome.code for outcome in diagnosis.passed}
    assert [finding.code for finding in diagnosis.findings] == ["AD001"]


def test_a_gradient_of_zero_is_found() -> None:
    model = chain(nn.ReLU, 1.0, depth=4)
    nn.init.constant_(model[6].bias, -100.0)  # type: ignore[arg-type]  # the last hidden layer is dead
    (found,) = findings(recorded(model, "activations"), "AD103")
    assert found.layers == (1, 2, 3)


def test_the_report_names_what_the_gradients_are_those_of(tmp_path: Path) -> None:
    for tensors, words in (("all", "preactivations"), ("activations", "activations")):
        recording = recorded(chain(nn.Tanh, 1.0, depth=2), tensors)
        folder = actdiag.report(recording, actdiag.diagnose(recording), tmp_path / tensors, formats=["html"])
        text = (tmp_path / tensors / "report.html").read_text(encoding="utf-8")
        assert f"Gradients of the {words}" in text, folder


def test_steps_between_are_not_called_recorded(tmp_path: Path) -> None:
    model = chain(nn.Tanh, 1.0, depth=2)
    with actdiag.attach(model, every=2) as recorder:
        for _ in range(4):
            model(torch.randn(8, 64)).square().mean().backward()
            recorder.step()
    recording = recorder.recording()
    assert sorted(recording.rows["step"].unique()) == [0, 1, 2, 3]
    actdiag.report(recording, actdiag.diagnose(recording), tmp_path / "r", formats=["html"])
    assert "2 steps were recorded, 0 to 2:" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
