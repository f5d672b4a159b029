"""Training under the protocol: what a network reaches from the very weights that the verdict is given on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from actdiag.activations import activation
from actdiag.data import load_batch
from actdiag.initialisers import initialiser
from actdiag.models import MLP, build
from actdiag.theory import resolve_gain
from actdiag.types import RunSpec

BATCH, CHECK_EVERY = 128, 50
ENOUGH = 0.95
"""A training accuracy at which the remaining learning rates need not be tried."""


@dataclass(frozen=True)
class Protocol:
    """An optimiser, its learning rates in the order in which they are tried, and the steps of each."""

    name: str
    optimiser: str = "sgd"
    rates: tuple[float, ...] = (1e-1, 1e-2, 1.0, 1e-3)
    steps: int = 400


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("sgd"),
        Protocol("long", steps=1600),
        Protocol("adam", "adam", (1e-3, 1e-2, 1e-4, 1e-1)),
    )
}


def built(spec: RunSpec) -> MLP:
    """Return the network that `actdiag.scan` measures for this spec."""
    gain = resolve_gain(spec.gain, activation(spec.act), initialiser(spec.init).gain)
    batch = load_batch(spec)
    return build(spec, gain, batch.inputs, batch.classes)


def digest(model: nn.Module) -> str:
    """Return a short hash of a network's weights and buffers."""
    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()[:16]


def train(spec: RunSpec, protocol: Protocol) -> dict[str, Any]:
    """Return what the network reaches: the best training accuracy, and that of each learning rate.

    Accuracy is over the whole data set, in evaluation mode, every 50 steps; a rate's is the best of these.
    """
    model = built(spec)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = load_batch(replace(spec, batch=10**6, seed=spec.seed + 1000))
    reached: dict[str, float] = {}
    for rate in protocol.rates:
        model.load_state_dict(start)
        generator = torch.Generator().manual_seed(spec.seed + 1000)
        accuracies = _accuracies(model, data.inputs, data.targets, protocol, rate, generator)
        reached[f"{rate:g}"] = max(accuracies)
        if reached[f"{rate:g}"] >= ENOUGH:
            break
    model.load_state_dict(start)
    return {"weights": digest(model), "best": max(reached.values()), "reached": reached}


def _accuracies(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    protocol: Protocol,
    rate: float,
    generator: torch.Generator,
) -> Iterator[float]:
    """Train, and yield the accuracy at every check; end where the loss is no number or enough is reached."""
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, rate) if protocol.optimiser == "adam" else None
    yield accuracy(model, inputs, targets)
    for step in range(1, protocol.steps + 1):
        chosen = torch.randint(len(inputs), (BATCH,), generator=generator)
        loss = nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        if optimiser is None:
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-rate)
        else:
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
        if step % CHECK_EVERY:
            continue
        if not math.isfinite(loss.item()):
            return
        reached = accuracy(model, inputs, targets)
        yield reached
        if reached >= ENOUGH:
            return


@torch.no_grad()
def accuracy(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the share of samples whose largest output is their target's; NaN outputs are wrong."""
    model.eval()
    outputs = model(inputs)
    model.train()
    right = (outputs.argmax(1) == targets) & outputs.isfinite().all(1)
    return float(right.double().mean())
