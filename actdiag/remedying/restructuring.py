"""Remedies that change the network: a norm before each activation, another activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from actdiag.activations import activation
from actdiag.batches import ModelBatch
from actdiag.catalogue import activation_module
from actdiag.remedying.drawing import Draw
from actdiag.remedying.products import Product, layer_of
from actdiag.remedying.remedies import Remedy

INSTEAD: Mapping[str, str] = {"sigmoid": "tanh", "softplus": "relu", "step": "relu"}
"""What takes the place of an activation that no initialiser suits."""


@dataclass(frozen=True)
class Norm(Remedy):
    """Put a norm behind each hidden product, before its activation: BatchNorm, or LayerNorm over positions.

    Attributes:
        layers: the hidden products, with no norm yet.
        draw: how the weights are drawn first.
    """

    layers: tuple[Product, ...]
    draw: Draw
    changes_network: ClassVar[bool] = True

    def apply(self, model: nn.Module, batch: ModelBatch) -> None:
        """Put `nn.Sequential(layer, norm)` in the place of each layer."""
        self.draw.apply(model, batch)
        for product in self.layers:
            layer = layer_of(model, product)
            kind, size = _norm(product, layer)
            norm = getattr(nn, kind)(size).to(layer.weight.device, layer.weight.dtype)
            replace_module(model, product.name, nn.Sequential(layer, norm).train(layer.training))

    def code(self, model: nn.Module) -> str:
        """Return the lines that do the same."""
        kinds: dict[tuple[str, int], list[str]] = {}
        for product in self.layers:
            kind, size = _norm(product, layer_of(model, product))
            kinds.setdefault((kind, size), []).append(product.name)
        lines = [self.draw.code(model)]
        for (kind, size), names in kinds.items():
            listed = ", ".join(map(repr, names))
            lines += [
                f"for name in [{listed}]:",
                "    layer = model.get_submodule(name)",
                f"    block = nn.Sequential(layer, nn.{kind}({size}))",
                '    parent, _, child = name.rpartition(".")',
                "    setattr(model.get_submodule(parent), child, block)",
            ]
        return "\n".join(lines) + "\n"


def _norm(product: Product, layer: nn.Module) -> tuple[str, int]:
    """Return the norm's class in torch.nn and its size."""
    if isinstance(layer, nn.Linear):
        return "BatchNorm1d" if product.samples_only else "LayerNorm", layer.out_features
    return f"BatchNorm{product.type.removeprefix('Conv')}", layer.out_channels  # type: ignore[return-value]


@dataclass(frozen=True)
class Exchange(Remedy):
    """Put another activation in the place of one that no initialiser suits.

    Attributes:
        layers: the products whose activation is a module of its own.
        draw: how the weights are drawn, for the new activation.
    """

    layers: tuple[Product, ...]
    draw: Draw
    changes_network: ClassVar[bool] = True

    def apply(self, model: nn.Module, batch: ModelBatch) -> None:
        """Replace the modules; one that several layers share is replaced once."""
        self.draw.apply(model, batch)
        for name, new in self._replaced().items():
            replace_module(model, name, activation_module(activation(new)))

    def code(self, model: nn.Module) -> str:
        """Return the lines that do the same."""
        lines = [self.draw.code(model)]
        by_new: dict[str, list[str]] = {}
        for name, new in self._replaced().items():
            by_new.setdefault(type(activation_module(activation(new))).__name__, []).append(name)
        for kind, names in by_new.items():
            lines += [
                f"for name in [{', '.join(map(repr, names))}]:",
                '    parent, _, child = name.rpartition(".")',
                f"    setattr(model.get_submodule(parent), child, nn.{kind}())",
            ]
        return "\n".join(lines) + "\n"

    def _replaced(self) -> dict[str, str]:
        return {each.act_module: INSTEAD[each.act.name] for each in self.layers if each.act is not None}


def replace_module(model: nn.Module, name: str, new: torch.nn.Module) -> None:
    """Put a module in the place of the one that has this name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)
