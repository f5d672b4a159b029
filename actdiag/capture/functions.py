"""The functions capture knows: which are activations, which are products, and of what weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from actdiag.catalogue import named_slope

Function = Callable[..., Any]
Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]


def _argument(args: Arguments, kwargs: Keywords, place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _always(name: str) -> Callable[[Arguments, Keywords], str | None]:
    return lambda args, kwargs: name


def _elu(args: Arguments, kwargs: Keywords) -> str | None:
    return named_slope("elu", _argument(args, kwargs, 1, "alpha", 1.0), 1.0)


def _leaky_relu(args: Arguments, kwargs: Keywords) -> str | None:
    return named_slope("leaky_relu", _argument(args, kwargs, 1, "negative_slope", 0.01), 0.01)


def _hardtanh(args: Arguments, kwargs: Keywords) -> str | None:
    low = _argument(args, kwargs, 1, "min_val", -1.0)
    return "hardtanh" if (low, _argument(args, kwargs, 2, "max_val", 1.0)) == (-1.0, 1.0) else None


def _softplus(args: Arguments, kwargs: Keywords) -> str | None:
    return "softplus" if _argument(args, kwargs, 1, "beta", 1) == 1 else None


_T, _nn = torch.Tensor, torch._C._nn
ACTIVATIONS: dict[Function, Callable[[Arguments, Keywords], str | None]] = {
    function: name
    for name, functions in (
        (_always("relu"), (functional.relu, torch.relu, torch.relu_, _T.relu, _T.relu_)),
        (_always("tanh"), (functional.tanh, torch.tanh, torch.tanh_, _T.tanh, _T.tanh_)),
        (
            _always("sigmoid"),
            (functional.sigmoid, torch.sigmoid, torch.sigmoid_, _T.sigmoid, _T.sigmoid_, torch.special.expit),
        ),
        (_always("selu"), (functional.selu, torch.selu, torch.selu_)),
        (_always("gelu"), (functional.gelu,)),
        (_always("silu"), (functional.silu,)),
        (_always("mish"), (functional.mish,)),
        (_always("softsign"), (functional.softsign,)),
        (_always("prelu"), (functional.prelu, torch.prelu, _T.prelu)),
        (_elu, (functional.elu, _nn.elu_)),
        (_leaky_relu, (functional.leaky_relu, _nn.leaky_relu_)),
        (_hardtanh, (functional.hardtanh, _nn.hardtanh_)),
        (_softplus, (functional.softplus,)),
    )
    for function in functions
}
"""Function -> what names the registered activation that a call of it computes, None where it is another."""


SETTERS = ("requires_grad_", "detach_", "retain_grad_", "share_memory_", "rename_")
"""Functions that end in an underscore and leave the values alone."""
MULTIPLICATIONS = frozenset((torch.mul, _T.mul, _T.mul_, _T.__mul__, _T.__rmul__, _T.__imul__))


@dataclass(frozen=True)
class Product:
    """A call of a function with a matrix product.

    Attributes:
        weight: its nn.Parameter; None where the weight was computed.
        fans: (fan_in, fan_out), (0, 0) where they are not known.
        unit_axis: of the result.
    """

    weight: nn.Parameter | None
    fans: tuple[int, int]
    unit_axis: int


def product_of(function: Function, args: Arguments, kwargs: Keywords) -> Product | None:
    """Return what is known of a call as a layer, None where it is none.

    linear, bilinear and convolutions always are; a matrix product is one where an operand is an nn.Parameter
    (or a view of one): attention's products of two signals are not.
    """
    reader = _PRODUCTS.get(function)
    return None if reader is None else reader(args, kwargs)


def parameter_of(value: Any) -> nn.Parameter | None:
    """Return the parameter that a tensor is, or is a view of."""
    if isinstance(value, nn.Parameter):
        return value
    base = value._base if isinstance(value, torch.Tensor) and not value.is_inference() else None
    return base if isinstance(base, nn.Parameter) else None


def _linear(args: Arguments, kwargs: Keywords) -> Product:
    weight = _argument(args, kwargs, 1, "weight", None)
    return Product(parameter_of(weight), (weight.shape[-1], weight.shape[0]), -1)


def _bilinear(args: Arguments, kwargs: Keywords) -> Product:
    weight = _argument(args, kwargs, 2, "weight", None)
    return Product(parameter_of(weight), (weight.shape[1] * weight.shape[2], weight.shape[0]), -1)


def _convolution(args: Arguments, kwargs: Keywords) -> Product:
    x, weight = _argument(args, kwargs, 0, "input", None), _argument(args, kwargs, 1, "weight", None)
    kernel, groups = weight[0, 0].numel(), _argument(args, kwargs, 6, "groups", 1)
    fans = weight.shape[1] * kernel, weight.shape[0] * kernel // groups
    return Product(parameter_of(weight), fans, 1 if x.dim() == weight.dim() else 0)


def _transposed(args: Arguments, kwargs: Keywords) -> Product:
    x, weight = _argument(args, kwargs, 0, "input", None), _argument(args, kwargs, 1, "weight", None)
    kernel, groups = weight[0, 0].numel(), _argument(args, kwargs, 6, "groups", 1)
    fans = weight.shape[0] * kernel // groups, weight.shape[1] * kernel
    return Product(parameter_of(weight), fans, 1 if x.dim() == weight.dim() else 0)


def _matrix_product(left: int, names: tuple[str, str]) -> Callable[[Arguments, Keywords], Product | None]:
    def read(args: Arguments, kwargs: Keywords) -> Product | None:
        first, second = (_argument(args, kwargs, left + side, name, None) for side, name in enumerate(names))
        if (weight := parameter_of(second)) is not None:
            fans = (second.shape[-2], second.shape[-1]) if second.dim() > 1 else (second.shape[0], 1)
            return Product(weight, fans, -1)
        if (weight := parameter_of(first)) is not None:
            fans = (first.shape[-1], first.shape[-2]) if first.dim() > 1 else (first.shape[0], 1)
            return Product(weight, fans, -2)
        return None

    return read


def _einsum(args: Arguments, kwargs: Keywords) -> Product | None:
    operands = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
    for place, operand in enumerate(operands):
        if (weight := parameter_of(operand)) is not None:
            return Product(weight, (0, 0), _axis_of_einsum(args[0], place))
    return None


def _axis_of_einsum(equation: Any, place: int) -> int:
    """Return the axis of the result that only the operand at `place` has: the units.

    >>> _axis_of_einsum("bi,oi->bo", 1), _axis_of_einsum("oi,bi->ob", 0), _axis_of_einsum("...i,oi->...o", 1)
    (-1, -2, -1)
    """
    left, arrow, result = str(equation).replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or place >= len(terms):
        return -1
    others = "".join(term for number, term in enumerate(terms) if number != place)
    own = [axis for axis in result if axis in terms[place] and axis not in others and axis != "."]
    return result.replace("...", ".").index(own[-1]) - len(result.replace("...", ".")) if own else -1


def _inner(args: Arguments, kwargs: Keywords) -> Product | None:
    other = _argument(args, kwargs, 1, "other", None)
    weight = parameter_of(other)
    return None if weight is None else Product(weight, (other.shape[-1], other.shape[0]), -1)


def _tensordot(args: Arguments, kwargs: Keywords) -> Product | None:
    weight = parameter_of(_argument(args, kwargs, 1, "b", None))
    return None if weight is None else Product(weight, (0, 0), -1)


_PRODUCTS: dict[Function, Callable[[Arguments, Keywords], Product | None]] = {
    functional.linear: _linear,
    functional.bilinear: _bilinear,
    torch.bilinear: _bilinear,
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolution),
    **dict.fromkeys((torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), _transposed),
    **dict.fromkeys(
        (torch.matmul, _T.matmul, torch.linalg.matmul, torch.mm, _T.mm, torch.bmm, _T.bmm, torch.mv, _T.mv),
        _matrix_product(0, ("input", "other")),
    ),
    _T.__rmatmul__: lambda args, kwargs: _matrix_product(0, ("", ""))((args[1], args[0]), kwargs),
    **dict.fromkeys((torch.addmm, _T.addmm, torch.baddbmm, _T.baddbmm), _matrix_product(1, ("mat1", "mat2"))),
    **dict.fromkeys((torch.addmv, _T.addmv), _matrix_product(1, ("mat", "vec"))),
    **dict.fromkeys((torch.inner, _T.inner), _inner),
    torch.tensordot: _tensordot,
    torch.einsum: _einsum,
}


def is_layer(function: Function) -> bool:
    """Return whether a function may be an activation or a product."""
    try:
        return function in ACTIVATIONS or function in _PRODUCTS
    except TypeError:  # not hashable
        return False


def name_of(function: Function) -> str:
    """Return a function's name for people: `relu` for relu_ and for torch.relu."""
    name = getattr(function, "__name__", type(function).__name__)
    return name.strip("_").removeprefix("special_")


def writes_in_place(function: Function, kwargs: Keywords) -> bool:
    """Return whether a call overwrites its first argument: its name or `inplace` says so.

    Only of interest for tensors without a version, which tells it exactly.
    """
    name = getattr(function, "__name__", "")
    by_name = name == "__setitem__" or (name.endswith("_") and not name.startswith("__"))
    return (by_name and name not in SETTERS) or bool(kwargs.get("inplace"))
