"""The known functions, replaced for the time of a truth run: activations and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from models.truth import Truth

Arguments = tuple[Any, ...]
HOMES = (functional, torch, torch.Tensor)
ACTIVATIONS = (
    "relu",
    "tanh",
    "sigmoid",
    "selu",
    "gelu",
    "silu",
    "mish",
    "softsign",
    "prelu",
    "elu",
    "leaky_relu",
    "hardtanh",
    "softplus",
)
ALWAYS_PRODUCTS = (
    "linear",
    "bilinear",
    *(f"conv{transposed}{d}d" for transposed in ("", "_transpose") for d in (1, 2, 3)),
)
PRODUCTS_OF_A_PARAMETER = ("matmul", "__matmul__", "mm", "bmm", "mv", "addmm", "baddbmm", "einsum")
INPLACE_PLACE = {"relu": 1, "selu": 1, "silu": 1, "mish": 1, "elu": 2, "leaky_relu": 2, "hardtanh": 3}
"""Position of the `inplace` argument."""


def patches(truth: Truth) -> Iterator[Any]:
    """Yield a patch for every function under every name that it has."""
    for name in ACTIVATIONS:
        for spelling in (name, f"{name}_"):
            for home in HOMES:
                if hasattr(home, spelling):
                    original = getattr(home, spelling)
                    yield _patch(home, spelling, _activation(truth, name, spelling, original))
    for name in (*ALWAYS_PRODUCTS, *PRODUCTS_OF_A_PARAMETER):
        for home in HOMES:
            if hasattr(home, name):
                yield _patch(home, name, _product(truth, name, getattr(home, name)))


def _patch(home: Any, name: str, watched: Callable[..., Any]) -> Any:
    return mock.patch.object(home, name, watched)


def _activation(truth: Truth, name: str, spelling: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def activation(*args: Any, **kwargs: Any) -> Any:
        running = truth.innermost
        if running is None or running.kind == "activation" or not _known(name, args, kwargs):
            return original(*args, **kwargs)
        with truth.alone():
            z = args[0] if args else kwargs["input"]
            site = truth.site(running, name)
            truth.feed(site, running.call, z, _in_place(name, spelling, args, kwargs))
            output = original(*args, **kwargs)
            if output is not z:
                return truth.keep(site, running.call, "", "activation", output)
            truth.keep_in_place(site, running.call, "activation", output)
            return output

    return activation


def _in_place(name: str, spelling: str, args: Arguments, kwargs: dict[str, Any]) -> bool:
    place = INPLACE_PLACE.get(name, len(args))
    return (
        spelling.endswith("_") or bool(kwargs.get("inplace")) or (len(args) > place and args[place] is True)
    )


def _known(name: str, args: Arguments, kwargs: dict[str, Any]) -> bool:
    """Return whether the parameters make it an activation of the registry."""
    if name == "softplus":
        return (args[1] if len(args) > 1 else kwargs.get("beta", 1)) == 1
    if name == "hardtanh":
        bounds = (*args[1:3], *((-1.0, 1.0)[len(args[1:3]) :]))
        return (kwargs.get("min_val", bounds[0]), kwargs.get("max_val", bounds[1])) == (-1.0, 1.0)
    return True


def _product(truth: Truth, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def product(*args: Any, **kwargs: Any) -> Any:
        running = truth.innermost
        weight = _weight(name, (*args, *kwargs.values()))
        if running is None or running.kind == "product" or (weight is None and name not in ALWAYS_PRODUCTS):
            return original(*args, **kwargs)
        with truth.alone():
            site = truth.site(running, name.strip("_"))
            if weight is not None:
                truth.weights[site] = weight
            return truth.keep(site, running.call, "", "preactivation", original(*args, **kwargs))

    return product


def _weight(name: str, values: Arguments) -> torch.Tensor | None:
    """Return the operand that is a parameter or a view of one."""
    operands = {"linear": values[1:2], "bilinear": values[2:3], "addmm": values[1:], "baddbmm": values[1:]}
    if name.startswith("conv"):
        operands[name] = values[1:2]
    for value in operands.get(name, values):
        if isinstance(value, torch.Tensor) and not torch._C._functorch.is_functorch_wrapped_tensor(value):
            base = value if isinstance(value, nn.Parameter) or value.is_inference() else value._base
            if isinstance(base, nn.Parameter):
                return base
    return None
