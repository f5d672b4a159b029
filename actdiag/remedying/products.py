"""Which layers of a model a remedy may change: its Linear and Conv layers, in order of the signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from actdiag.activations import Activation, activation
from actdiag.catalogue import recognise
from actdiag.recording import Recording

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""What is initialised; the fan_in of each is the number of elements of a row of its weight."""


@dataclass(frozen=True)
class Product:
    """A layer with a matrix product.

    Attributes:
        name: the module's name in the model.
        type: its class in torch.nn, or the one it is derived from.
        layer: its number in order of first call.
        act: the activation behind it, None where there is none: a head.
        act_module: the name of that activation's module, "" where it is a function's or unknown.
        normed: a norm lies between it and its activation.
        calls: how often one forward pass calls it.
        samples_only: its output is (samples, units), without positions.
        biased: it has a bias.
    """

    name: str
    type: str
    layer: int
    act: Activation | None
    act_module: str
    normed: bool
    calls: int
    samples_only: bool
    biased: bool


def products(model: nn.Module, recording: Recording) -> tuple[tuple[Product, ...], tuple[str, ...]]:
    """Return the layers that a remedy may change, and the others with a product, each with its reason.

    A head whose weight is all zeros was made so on purpose, and is left as it is.
    """
    modules = recording.modules
    rows = modules[(modules["kind"] == "product") & modules["observed"]].sort_values("layer", kind="stable")
    owners = Counter(id(each) for module in model.modules() for each in module._parameters.values())
    kept, left = [], []
    for row in rows.to_dict("records"):
        reason = _obstacle(model, str(row["name"]), str(row["type"]), owners, str(row["activation_after"]))
        if reason:
            left.append(f"{row['name'] or 'the model itself'} ({row['type']}): {reason}")
        else:
            kept.append(_product(model, recording, row["name"], int(row["layer"]), row["activation_after"]))
    return tuple(kept), tuple(left)


def _obstacle(model: nn.Module, name: str, kind: str, owners: Counter[int], act: str) -> str:
    """Return why a layer is left as it is; "" where it may be changed."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        return "a function's product, no layer"
    if not isinstance(module, LAYERS):
        return "only nn.Linear and nn.Conv are initialised here"
    weight = module._parameters.get("weight")
    if weight is None:
        return "its weight is computed from other parameters"
    if owners[id(weight)] > 1:
        return "its weight is shared"
    if not weight.requires_grad:
        return "frozen"
    if not act and not bool(weight.detach().any()):
        return "all zeros, which a layer without an activation may be on purpose"
    return ""


def _product(model: nn.Module, recording: Recording, name: str, layer: int, act: str) -> Product:
    module, modules, rows = model.get_submodule(name), recording.modules, recording.rows
    here = modules[modules["layer"] == layer]
    own = rows[(rows["module"] == name) & (rows["tensor"] == "preactivation")]
    return Product(
        name=name,
        type=next(kind.__name__ for kind in LAYERS if isinstance(module, kind)),
        layer=layer,
        act=activation(act) if act else None,
        act_module=_activation_module(model, here, act),
        normed=bool((here["kind"] == "norm").any()),
        calls=int(here.loc[here["name"] == name, "calls"].iloc[0]),
        samples_only=bool((own["positions"] == 1).all()),
        biased=module._parameters.get("bias") is not None,
    )


def _activation_module(model: nn.Module, here: pd.DataFrame, act: str) -> str:
    names = [str(name) for name in here.loc[here["kind"] == "activation", "name"]]
    found = [name for name in names if ":" not in name and recognise(model.get_submodule(name)) == act]
    return found[0] if act and found else ""


def layer_of(model: nn.Module, product: Product) -> nn.Linear:
    """Return the module of a product; a Conv has the same weight and bias."""
    module = model.get_submodule(product.name)
    assert isinstance(module, LAYERS)
    return module  # type: ignore[return-value]


def everywhere(model: nn.Module, chosen: Sequence[Product]) -> bool:
    """Return whether `model.modules()` yields exactly these layers, in this order."""
    own = [name for name, module in model.named_modules() if isinstance(module, LAYERS)]
    return own == [product.name for product in chosen]


def zero_biases(model: nn.Module, chosen: Sequence[Product]) -> None:
    """Set the biases to 0."""
    with torch.no_grad():
        for product in chosen:
            if product.biased:
                layer_of(model, product).bias.zero_()
