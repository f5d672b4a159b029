"""What plain torch says of a model, and how a recording's rows are compared with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn import functional

from actdiag.capture import Recorder
from actdiag.recording import Recording
from models.frames import without_theory

Site = tuple[str, str]
"""The module, or function, that owns a tensor, and what the tensor is."""

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


class Net(nn.Module):
    """A norm with buffers, a dropout that draws, an activation of each sort: (batch, 6) to (batch, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.act = nn.Linear(6, 10), nn.BatchNorm1d(10), nn.Tanh()
        self.drop, self.hidden, self.head = nn.Dropout(0.25), nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the head's output."""
        return walk(self, x)["head", "preactivation"]


class Nested(nn.Module):
    """An encoder with a function in it, and a head: (batch, 6) to (batch, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Net(), nn.Sequential(nn.Linear(4, 5), nn.Tanh())
        self.head = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Encode, decode, judge."""
        return self.head(self.decoder(self.encoder(x)))


def one_step(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Go forward and backward, for the loss `mean(output^2)`."""
    loss = model(x).square().mean()
    loss.backward()
    return loss


def fresh() -> tuple[Net, torch.Tensor]:
    """Return a seeded net and a batch."""
    torch.manual_seed(0)
    return Net(), torch.randn(8, 6)


def walk(net: Net, x: torch.Tensor) -> dict[Site, torch.Tensor]:
    """Return every tensor of a forward pass under the name of its site."""
    tensors = {("", "input"): x}
    tensors["first", "preactivation"] = z = net.first(x)
    tensors["norm", "preactivation"] = z = net.norm(z)
    tensors["act", "activation"] = z = net.act(z)
    tensors["drop", "output"] = z = net.drop(z)
    tensors["hidden", "preactivation"] = z = net.hidden(z)
    tensors[":relu#0", "activation"] = z = functional.relu(z)
    tensors["head", "preactivation"] = net.head(z)
    return tensors


def truth(net: Net, x: torch.Tensor) -> dict[Site, torch.Tensor]:
    """Return every tensor, its gradient and the weights' for the loss `mean(output^2)`, on a hookless copy.

    The random numbers are those that the caller is about to draw; its generator is put back.
    """
    net, random = copy.deepcopy(net), torch.get_rng_state()
    tensors = walk(net, x)
    inner = {site: tensor for site, tensor in tensors.items() if tensor.requires_grad}
    weights = {name: getattr(net, name).weight for name in ("first", "hidden", "head")}
    loss = tensors["head", "preactivation"].square().mean()
    gradients = torch.autograd.grad(loss, [*inner.values(), *weights.values()])
    for (module, tensor), gradient in zip(inner, gradients, strict=False):
        tensors[module, f"{tensor}_grad"] = gradient
    for name, gradient in zip(weights, gradients[len(inner) :], strict=True):
        tensors[name, "weight"], tensors[name, "weight_grad"] = weights[name].clone(), gradient
    torch.set_rng_state(random)
    return {site: tensor.detach() for site, tensor in tensors.items()}


def numbers(value: torch.Tensor) -> dict[str, float]:
    """Return the statistics of a tensor that need no axes, from its definition in float64."""
    exact = value.detach().double()
    return {
        "count": exact.numel(),
        "mean": float(exact.mean()),
        "rms": float(exact.square().mean().sqrt()),
        "min": float(exact.min()),
        "max": float(exact.max()),
        "zero_fraction": float((exact == 0).double().mean()),
    }


def rows_of(recording: Recording, module: str, tensor: str, **where: Any) -> pd.DataFrame:
    """Return the rows of a site; `where` gives call, step, path or backward."""
    rows = recording.rows[recording.rows["source"] == "measured"]
    found = rows[(rows["module"] == module) & (rows["tensor"] == tensor)]
    for column, wanted in where.items():
        found = found[found[column] == wanted]
    return found


def one_row(recording: Recording, module: str, tensor: str, **where: Any) -> dict[str, Any]:
    """Return the only row of a site."""
    found = rows_of(recording, module, tensor, **where)
    assert len(found) == 1, f"{len(found)} rows of {module!r} {tensor} {where}; there are {_sites(recording)}"
    return found.iloc[0].to_dict()


def assert_row(recording: Recording, module: str, tensor: str, value: torch.Tensor, **where: Any) -> None:
    """Check that a site has one row, with the numbers of `value`."""
    row, expected = one_row(recording, module, tensor, **where), numbers(value)
    for name, number in expected.items():
        scale = max(abs(number), expected["rms"])
        assert abs(row[name] - number) <= 1e-5 * scale, (module, tensor, where, name, row[name], number)


def assert_rows(
    recording: Recording, expected: Mapping[Site, torch.Tensor], prefix: str = "", **where: Any
) -> None:
    """Check the row of every site of `expected`, whose names `prefix` goes before."""
    for (module, tensor), value in expected.items():
        name = "" if tensor == "input" else _join(prefix, module)
        assert_row(recording, name, tensor, value, **where)


def _join(prefix: str, module: str) -> str:
    """Return `prefix.module`; a function `:relu#0` of the root becomes `prefix:relu#0`."""
    return prefix + module if not prefix or module.startswith(":") else f"{prefix}.{module}"


def _sites(recording: Recording) -> list[tuple[Any, ...]]:
    columns = ["step", "module", "call", "path", "tensor", "backward"]
    return list(recording.rows[columns].itertuples(index=False, name=None))


def bits(tensor: torch.Tensor) -> tuple[str, tuple[int, ...], bytes]:
    """Return a tensor as its bytes, of a sharded one the rank's own: NaN equals NaN, -0 differs from 0."""
    tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return str(tensor.dtype), tuple(tensor.shape), tensor.detach().contiguous().cpu().numpy().tobytes()


def state(model: nn.Module, *outputs: torch.Tensor) -> dict[str, Any]:
    """Return all that a training step leaves behind, bit for bit."""
    return {
        "outputs": [bits(output) for output in outputs],
        "parameters": {name: bits(value) for name, value in model.state_dict().items()},
        "gradients": {
            name: None if value.grad is None else bits(value.grad) for name, value in model.named_parameters()
        },
        "random": bits(torch.get_rng_state()),
        "flags": {name: module.training for name, module in model.named_modules()},
    }


def hooks_of(model: nn.Module) -> list[str]:
    """Return where a model has hooks, of modules or of parameters."""
    modules = [
        f"{name}.{kind}"
        for name, module in model.named_modules()
        for kind in HOOKS
        if len(getattr(module, kind, ()))
    ]
    parameters = [name for name, value in model.named_parameters() if value._backward_hooks]
    return modules + parameters


def facts(recording: Recording, name: str) -> dict[str, Any]:
    """Return what the modules table says of one module."""
    modules = recording.modules
    found = modules[modules["name"] == name]
    assert len(found) == 1, f"{len(found)} entries of {name!r}; there are {list(modules['name'])}"
    return found.iloc[0].to_dict()


def notes(recording: Recording) -> str:
    """Return the notes of the only run as one text."""
    (run,) = recording.runs
    return "\n".join(recording.meta["runs"][run]["notes"])


def training(attachments: Iterable[Callable[[Nested], Recorder]]) -> tuple[dict[str, Any], list[Recording]]:
    """Train three steps with these attached; return what is left behind, and the recordings."""
    torch.manual_seed(0)
    model, losses = Nested(), []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    recorders = [make(model) for make in attachments]
    for _ in range(3):
        optimiser.zero_grad()
        losses.append(one_step(model, torch.randn(8, 6)))
        for recorder in recorders:
            recorder.step()
        optimiser.step()
    for recorder in recorders:
        recorder.detach()
    assert hooks_of(model) == []
    return state(model, *losses), [without_theory(recorder.recording()) for recorder in recorders]
