"""Weights and their gradients, read at `step()`: never in a hook, which may fire before an all-reduce."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from typing import TypeGuard

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

from actdiag.capture.outputs import is_plain, local, obstacle
from actdiag.statistics import TensorState, observe

Holder = Mapping[str, nn.Parameter | None]


def weights_of(name: str, module: nn.Module) -> Iterator[tuple[str, Holder, str]]:
    """Yield the weights of a product: its `weight`, or every matrix it has.

    The parameters are read as they are stored: asking a parametrised module for its weight would compute it,
    and spectral normalisation moves a buffer when it does.
    """
    weight = module._parameters.get("weight")
    if weight is not None:
        yield name, module._parameters, "weight"
        return
    holders: list[tuple[str, nn.Module]] = [(name, module)]
    if is_parametrized(module):
        parts = module.parametrizations.named_modules()  # type: ignore[union-attr]
        holders += [(f"{name}.parametrizations.{part}", held) for part, held in parts if part]
    for holder, held in holders:
        for label, parameter in held._parameters.items():
            if _is_matrix(parameter):
                yield f"{holder}:{label}", held._parameters, label


def _is_matrix(parameter: nn.Parameter | None) -> TypeGuard[nn.Parameter]:
    if parameter is None or isinstance(parameter, UninitializedParameter):
        return False
    return parameter.dim() > 1


def gradient_of(parameter: nn.Parameter) -> torch.Tensor | None:
    """Return the gradient where it can be measured: this rank's part, None where there is none."""
    gradient = parameter.grad
    return None if gradient is None or obstacle(local(gradient)) else local(gradient)


def observe_weight(weight: torch.Tensor) -> TensorState:
    """Return the state of a weight (fan_out, ...): one sample, fan_out units."""
    values = local(weight.detach())
    return observe(values.unsqueeze(0), unit_axis=1 if values.dim() else 0)


class Biases:
    """Copies of the products' biases at the first step: training moves the stored ones."""

    def __init__(self) -> None:
        self._copies: dict[str, torch.Tensor | None] = {}

    def keep(self, products: Mapping[str, nn.Module]) -> None:
        """Copy the biases of products that have one, or none; nothing leaves its device."""
        for name, module in products.items():
            bias = module._parameters.get("bias")
            if bias is None and "bias" in module._parameters:
                self._copies[name] = None
            elif bias is not None and is_plain(bias):
                self._copies[name] = bias.detach().clone()

    def moments(self) -> dict[str, tuple[float, float]]:
        """Return mean and variance over the units of each: 0 where a product has no bias."""
        return {name: _moments(bias) for name, bias in self._copies.items()}


def _moments(bias: torch.Tensor | None) -> tuple[float, float]:
    if bias is None or not bias.numel():
        return 0.0, 0.0
    values = bias.to("cpu", torch.float64)
    return float(values.mean()), float(values.var(correction=0))


class Gradients:
    """Knows which parameters got a gradient since it looked last, where old ones may lie about.

    A gradient is new where it is another tensor, or was written to; being set to zero alone does not count.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._modules = modules
        self._seen: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}
        self.fresh()

    def fresh(self) -> set[tuple[str, str]]:
        """Return the (module, parameter) that got a gradient since the last call."""
        before, self._seen = self._seen, {}
        return {
            (name, label)
            for name, module in self._modules.items()
            for label, parameter in module._parameters.items()
            if parameter is not None and self._is_fresh(parameter, before)
        }

    def _is_fresh(
        self, parameter: nn.Parameter, before: Mapping[int, tuple[weakref.ref[torch.Tensor], int]]
    ) -> bool:
        gradient = parameter.grad
        if gradient is None:
            return False
        version = gradient._version
        self._seen[id(parameter)] = weakref.ref(gradient), version
        old, old_version = before.get(id(parameter), (None, 0))
        if old is None or old() is not gradient:
            return True
        return version > old_version + 1 or (version > old_version and _has_values(gradient))


def _has_values(gradient: torch.Tensor) -> bool:
    return gradient.layout != torch.strided or bool(local(gradient).any())


def is_sharded(module: nn.Module) -> bool:
    """Return whether parameters are spread over ranks."""
    return any(hasattr(parameter, "to_local") for parameter in module.parameters())
