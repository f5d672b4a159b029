"""TorchScript and tracers: what runs in a graph is named, and an attached model is traced as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from actdiag import attach
from models.plainly import assert_row, bits, facts, hooks_of, one_step, state

deprecated_script = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def script(model: nn.Module, how: str) -> nn.Module:
    return torch.jit.script(model) if how == "script" else torch.jit.trace(model, torch.randn(2, 6))


def scripted(how: str, place: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    inner = script(nn.Sequential(nn.Linear(6, 6), nn.Tanh()), how)
    model = inner if place == "root" else nn.Sequential(nn.Linear(6, 6), nn.ReLU(), inner, nn.Linear(6, 3))
    x = torch.randn(5, 6)
    for _ in range(3):  # the first calls profile, and compute in another order
        one_step(model, x)
    model.zero_grad()
    return model, x


@deprecated_script
@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("place", ["root", "submodule"])
@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript_runs_as_before_and_is_named(how: str, place: str, passive: bool) -> None:
    model, x = scripted(how, place)
    plain = state(model, one_step(model, x), model(x))
    model, x = scripted(how, place)
    with attach(model, passive=passive) as recorder:
        attached = state(model, one_step(model, x), model(x))
    assert attached == plain
    told = facts(recorder.recording(), "" if place == "root" else "2")
    assert not told["observed"]
    assert "TorchScript" in told["reason"], told


@deprecated_script
@pytest.mark.parametrize("how", ["script", "trace"])
def test_what_surrounds_torchscript_is_observed(how: str) -> None:
    model, x = scripted(how, "submodule")
    tensors = [x]
    for part in model:
        tensors.append(part(tensors[-1]))
    gradients = torch.autograd.grad(tensors[-1].square().mean(), tensors[1:])
    with attach(model) as recorder:
        one_step(model, x)
    recording = recorder.recording()
    for index, tensor in [(0, "preactivation"), (1, "activation"), (3, "preactivation")]:
        assert_row(recording, str(index), tensor, tensors[index + 1])
        assert_row(recording, str(index), f"{tensor}_grad", gradients[index])


class Traced(nn.Module):
    """Modules and a function, for tracers: (batch, 6) to (batch, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output after a function."""
        return functional.relu(self.last(self.act(self.first(x))))


def jit_nodes(model: nn.Module, x: torch.Tensor) -> list[str]:
    return [node.kind() for node in torch.jit.trace(model, x).inlined_graph.nodes()]


TRACERS: dict[str, Callable[[nn.Module, torch.Tensor], Any]] = {
    "torch.jit.trace": jit_nodes,
    "torch.fx": lambda model, x: torch.fx.symbolic_trace(model).code,
    "make_fx": lambda model, x: make_fx(model)(x).code,
    "torch.export": lambda model, x: torch.export.export(model, (x,)).graph_module.code,
    "torch.vmap": lambda model, x: bits(torch.vmap(model)(x)),
}


@deprecated_script
@pytest.mark.parametrize("tracer", TRACERS)
def test_an_attached_model_is_traced_as_it_is(tracer: str) -> None:
    torch.manual_seed(0)
    model, x = Traced(), torch.randn(8, 6)
    plain = TRACERS[tracer](model, x)
    with attach(model):
        assert TRACERS[tracer](model, x) == plain
    assert TRACERS[tracer](model, x) == plain
    assert hooks_of(model) == []
    assert torch._C._len_torch_function_stack() == 0
