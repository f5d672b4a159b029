"""The tool's own multilayer perceptron, built and initialised from a `RunSpec`."""

from __future__ import annotations

import torch
from torch import nn

from actdiag.activations import Activation, activation
from actdiag.catalogue import activation_module, initialise, set_bias
from actdiag.initialisers import initialiser
from actdiag.types import RunSpec

LSUV_TOLERANCE, LSUV_TRIES = 0.1, 10
"""Mishkin & Matas 2016: until |Var[z] - 1| < 0.1, at most 10 times."""


class Block(nn.Module):
    """One hidden layer: linear, [norm], activation, [norm], [dropout], [+ its own input]."""

    def __init__(self, spec: RunSpec, act: Activation, fan_in: int) -> None:
        super().__init__()
        self.residual = spec.residual and fan_in == spec.width
        self.linear = nn.Linear(fan_in, act.pieces * spec.width)
        if spec.norm != "none" and spec.norm_place == "before":
            self.norm = _norm(spec.norm, act.pieces * spec.width)
        self.act = activation_module(act)
        if spec.norm != "none" and spec.norm_place == "after":
            self.norm = _norm(spec.norm, spec.width)
        if spec.dropout:
            self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, width) from (batch, fan_in)."""
        h = x
        for part in self.children():
            h = part(h)
        return x + h if self.residual else h


class MLP(nn.Module):
    """`depth` blocks named layer1, layer2, ... and a linear head; depth 0 is a perceptron."""

    def __init__(self, spec: RunSpec, features: int, classes: int) -> None:
        super().__init__()
        act = activation(spec.act)
        for layer in range(1, spec.depth + 1):
            fan_in = features if layer == 1 else spec.width
            self.add_module(f"layer{layer}", Block(spec, act, fan_in))
        self.head = nn.Linear(spec.width if spec.depth else features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs (batch, classes) from (batch, features)."""
        for part in self.children():
            x = part(x)
        return x

    def products(self) -> list[nn.Linear]:
        """Return the layers with a weight matrix, head included, in order."""
        return [module for module in self.modules() if isinstance(module, nn.Linear)]


def _norm(kind: str, units: int) -> nn.Module:
    return nn.BatchNorm1d(units) if kind == "batch" else nn.LayerNorm(units)


def build(spec: RunSpec, gain: float, inputs: torch.Tensor, classes: int) -> MLP:
    """Return the network that a spec describes, initialised, on the CPU in float32.

    Args:
        spec: what to build; its seed is the only source of randomness.
        gain: the gain in use, NaN where the initialiser has none.
        inputs: (batch, features) float32, which lsuv looks at.
        classes: outputs of the head.
    """
    with torch.random.fork_rng(devices=[]):
        model = MLP(spec, inputs.shape[1], classes)
    draw(model, spec, gain, inputs)
    return model


def draw(model: MLP, spec: RunSpec, gain: float, inputs: torch.Tensor) -> None:
    """Draw all weights and biases of a network anew, in place; arguments as `build` takes them."""
    generator = torch.Generator().manual_seed(spec.seed)
    init = initialiser(spec.init)
    for layer in model.products():
        initialise(layer, init, gain, generator)
        set_bias(layer, init, spec.bias, generator)
    if init.distribution == "lsuv":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            apply_lsuv(model, inputs)


@torch.no_grad()
def apply_lsuv(model: MLP, inputs: torch.Tensor) -> None:
    """Scale each layer until its preactivations have unit variance on `inputs`, head included.

    A layer whose preactivations do not vary is left as it is.
    """
    h = inputs
    for part in model.children():
        _scale_to_unit_variance(part.linear if isinstance(part, Block) else part, h)  # type: ignore[arg-type]
        h = part(h)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()


def _scale_to_unit_variance(layer: nn.Linear, x: torch.Tensor) -> None:
    for _ in range(LSUV_TRIES):
        variance = float(layer(x).var(correction=0))
        if abs(variance - 1.0) < LSUV_TOLERANCE or not 0.0 < variance < float("inf"):
            return
        layer.weight /= variance**0.5
