"""What a call returned or took: the tensors in it with their place, and why one cannot be measured."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

MEASURABLE = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DEEPEST = 100
"""Levels of nesting that are looked into; cycles end there."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size)


@dataclass
class Found:
    """The tensors in a value, by path, and the parts that cannot be looked into, in words."""

    tensors: list[tuple[str, torch.Tensor]] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)


def find(value: Any) -> Found:
    """Return every tensor in tensors, sequences, mappings, named tuples and dataclasses, nested at will.

    >>> [path for path, _ in find({"a": torch.zeros(1), "b": (torch.ones(2), 3)}).tensors]
    ['a', 'b.0']
    """
    found = Found()
    _walk(value, "", found, 0)
    return found


def first_tensor(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the first tensor of a call's arguments, or the one called input; None where there is none."""
    named = kwargs.get("input")
    if not args and isinstance(named, torch.Tensor):
        return named
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Found:
    """Return the tensors of a call's arguments; a single one has the path ""."""
    found = Found()
    for place, value in (*enumerate(args), *kwargs.items()):
        _walk(value, str(place), found, 1)
    if len(found.tensors) == 1:
        found.tensors = [("", found.tensors[0][1])]
    return found


def _walk(value: Any, path: str, found: Found, depth: int) -> None:
    if isinstance(value, torch.Tensor):
        found.tensors.append((path, value))
    elif isinstance(value, _PLAIN):
        return
    elif depth > DEEPEST:
        found.opaque.append(f"{where(path[:20])}... is nested more than {DEEPEST} levels deep")
    elif (parts := _parts(value)) is not None:
        for name, part in parts:
            _walk(part, f"{path}.{name}" if path else str(name), found, depth + 1)
    elif inspect.isgenerator(value) or isinstance(value, Iterator):
        found.opaque.append(f"{where(path)} is a {type(value).__name__}: what it yields is computed later")
    else:
        name = type(value).__name__
        article = "an" if name[:1].lower() in "aeiou" else "a"
        found.opaque.append(f"{where(path)} is {article} {name}, which is not looked into")


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the named parts of a container, None where it is none that is known."""
    if isinstance(value, PackedSequence):
        return [("data", value.data)]
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if isinstance(value, (tuple, list)):
        return enumerate(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [(part.name, getattr(value, part.name, None)) for part in fields(value)]
    return None


def where(path: str) -> str:
    """Spell the place in an output for people."""
    return f"'{path}'" if path else "its output"


def obstacle(tensor: torch.Tensor) -> str:
    """Return why a tensor has no statistics, "" where it can be measured."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return "inside a torch.func transform (vmap, grad, jvp)"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_complex():
        return f"complex ({str(tensor.dtype).removeprefix('torch.')})"
    if tensor.is_quantized:
        return "quantised"
    if tensor.dtype not in MEASURABLE:
        return str(tensor.dtype).removeprefix("torch.")
    return _without_values(tensor)


def _without_values(tensor: torch.Tensor) -> str:
    if tensor.device.type == "meta":
        return "on the meta device: it has a shape and no values"
    if type(tensor).__name__ in ("FakeTensor", "FunctionalTensor"):
        return "a fake tensor: it has a shape and no values"
    if torch._C._get_tracing_state() is not None:
        return "being traced by torch.jit"
    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
        return "being captured into a CUDA graph"
    return ""


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's own part of a distributed tensor, and any other tensor as it is."""
    to_local = getattr(tensor, "to_local", None)
    part = tensor if to_local is None else to_local()
    return part if isinstance(part, torch.Tensor) else tensor
