"""The torch counterparts of the facts: an activation's module, an initialiser's draw, a loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from actdiag.activations import Activation
from actdiag.initialisers import Initialiser
from actdiag.parameters import split_parameter
from actdiag.statistics import count_outside


class Step(nn.Module):
    """Heaviside step with phi(0) = 0; its gradient is zero everywhere."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return 1 where z > 0 and 0 elsewhere, with z's shape."""
        return (z > 0).to(z.dtype)


class Maxout(nn.Module):
    """The largest of `pieces` preactivations (Goodfellow et al. 2013)."""

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return (..., n) from (..., pieces n): the maximum of every `pieces` neighbours."""
        return z.reshape(*z.shape[:-1], -1, self.pieces).amax(-1)


class Linear(nn.Identity):
    """The linear activation, told apart from an Identity that stands for nothing."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return z as a tensor of its own."""
        return z.view_as(z)


MODULES: dict[str, Callable[[Activation], nn.Module]] = {
    "linear": lambda act: Linear(),
    "step": lambda act: Step(),
    "sigmoid": lambda act: nn.Sigmoid(),
    "tanh": lambda act: nn.Tanh(),
    "relu": lambda act: nn.ReLU(),
    "leaky_relu": lambda act: nn.LeakyReLU(_slope(act)),
    "vlrelu": lambda act: nn.LeakyReLU(1.0 / 3.0),
    "prelu": lambda act: nn.PReLU(init=_slope(act)),
    "elu": lambda act: nn.ELU(_slope(act)),
    "selu": lambda act: nn.SELU(),
    "gelu": lambda act: nn.GELU(),
    "silu": lambda act: nn.SiLU(),
    "softplus": lambda act: nn.Softplus(),
    "softsign": lambda act: nn.Softsign(),
    "hardtanh": lambda act: nn.Hardtanh(),
    "mish": lambda act: nn.Mish(),
    "maxout": lambda act: Maxout(act.pieces),
}
"""Activation name -> the module that computes it."""


def _slope(act: Activation) -> float:
    assert act.parameter is not None
    return act.parameter


def activation_module(act: Activation) -> nn.Module:
    """Return a new module that computes the activation."""
    return MODULES[split_parameter(act.name)[0]](act)


_TYPES: dict[type[nn.Module], str] = {
    Linear: "linear",
    Step: "step",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.ReLU: "relu",
    nn.SELU: "selu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
    nn.Mish: "mish",
    Maxout: "maxout",
}


def recognise(module: nn.Module) -> str | None:
    """Return the name of the activation that `module` computes, None where it is no known activation.

    >>> recognise(nn.LeakyReLU(0.2)), recognise(nn.Softmax(-1))
    ('leaky_relu:0.2', None)
    """
    if isinstance(module, nn.LeakyReLU):
        return named_slope("leaky_relu", module.negative_slope, 0.01)
    if isinstance(module, nn.PReLU):
        return "prelu"
    if isinstance(module, nn.ELU):
        return named_slope("elu", module.alpha, 1.0)
    if isinstance(module, nn.Hardtanh):
        return "hardtanh" if (module.min_val, module.max_val) == (-1.0, 1.0) else None
    if isinstance(module, nn.Softplus) and module.beta != 1:
        return None
    return _TYPES.get(type(module))


def named_slope(name: str, slope: float, default: float) -> str:
    """Return the name of an activation with a parameter: without it where it is the default.

    >>> named_slope("elu", 1.0, 1.0), named_slope("leaky_relu", 0.2, 0.01)
    ('elu', 'leaky_relu:0.2')
    """
    if name == "leaky_relu" and math.isclose(slope, 1.0 / 3.0):
        return "vlrelu"
    return name if slope == default else f"{name}:{slope:g}"


def count_saturated(z: torch.Tensor, act: Activation) -> int | torch.Tensor | None:
    """Return how many preactivations are saturated, see `count_outside`; None where it is not defined."""
    return None if act.saturation is None else count_outside(z, *act.saturation)


@torch.no_grad()
def initialise(layer: nn.Linear, init: Initialiser, gain: float, generator: torch.Generator) -> None:
    """Draw the weight of a layer, (fan_out, fan_in), in place; the bias is left alone.

    Args:
        layer: on the CPU.
        init: which law. lsuv starts orthonormal here; `models.apply_lsuv` does the rest.
        gain: multiplies the standard deviation; NaN for the initialiser's own.
        generator: the only source of randomness.
    """
    weight = layer.weight
    scale = (init.gain or 1.0) if math.isnan(gain) else gain
    if init.distribution in ("orthogonal", "lsuv"):
        nn.init.orthogonal_(weight, scale, generator=generator)
        return
    std = math.sqrt(init.variance(layer.in_features, layer.out_features, scale))
    if init.distribution == "constant":
        weight.fill_(float(init.parameter or 0.0))
    elif init.distribution == "normal":
        weight.normal_(0.0, std, generator=generator)
    else:
        bound = math.sqrt(3.0) * std
        weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def set_bias(layer: nn.Linear, init: Initialiser, bias: float | None, generator: torch.Generator) -> None:
    """Set the bias, (fan_out,): the number given, torch's own law for torch_default, else 0."""
    if bias is None and init.distribution == "torch":
        bound = 1.0 / math.sqrt(layer.in_features)
        layer.bias.uniform_(-bound, bound, generator=generator)
    else:
        layer.bias.fill_(bias or 0.0)


def loss_function(kind: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return loss(outputs (batch, classes), targets (batch,)) -> 0-d mean.

    mse and hinge compare with one-hot targets, 0/1 and -1/+1: mean over samples and classes of
    (s - y)^2 and of max(0, 1 - y s).
    """
    if kind == "cross_entropy":
        return functional.cross_entropy
    return _mse if kind == "mse" else _hinge


def _one_hot(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)


def _mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(outputs, _one_hot(outputs, targets))


def _hinge(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    sign = 2.0 * _one_hot(outputs, targets) - 1.0
    return (1.0 - sign * outputs).clamp(min=0.0).mean()
