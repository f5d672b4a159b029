"""What a call returned or took: the tensors in it with their place, and why one cannot be measured."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from types import MemberDescriptorType
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

_ORDINARY = (torch.Tensor, torch.nn.Parameter)
_STRIDED = torch.strided  # this and the next two are asked for every tensor: looking them up in torch is slow
_is_functorch_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
_tracing_state = torch._C._get_tracing_state
MEASURABLE = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DEEPEST = 100
MOST = 10_000
MOST_REFUSED = 100
"""Levels of nesting and containers that are looked into, and parts that are named as not looked into."""
_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size)


@dataclass
class Found:
    """The tensors in a value, by path, and the parts that cannot be looked into, in words."""

    tensors: list[tuple[str, torch.Tensor]] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    containers: set[int] = field(default_factory=set)

    def add(self, value: Any, path: str, depth: int = 0) -> None:
        """Add what a value holds; a container is looked into once, whatever else points to it."""
        if isinstance(value, torch.Tensor):
            self.tensors.append((path, value))
        elif isinstance(value, _PLAIN) or id(value) in self.containers:
            return
        elif depth > DEEPEST or len(self.containers) > MOST:
            self.refuse(f"{where(path[:20])}... has more than {DEEPEST} levels or {MOST} parts")
        elif (parts := _parts(value)) is not None:
            self.containers.add(id(value))
            for name, part in parts:
                label = str(name).replace(".", "\\.")
                self.add(part, f"{path}.{label}" if path else label, depth + 1)
        else:
            self.refuse(f"{where(path)} is {_spelt(value)}")

    def refuse(self, text: str) -> None:
        """Note what is not looked into, up to a hundred times."""
        if len(self.opaque) < MOST_REFUSED:
            self.opaque.append(text)


def find(value: Any) -> Found:
    """Return every tensor in tensors, sequences, dicts, named tuples and dataclasses, nested at will.

    No code of the user's runs for it: subclasses are read as the built-in types they are.

    >>> [path for path, _ in find({"a": torch.zeros(1), "b": (torch.ones(2), 3)}).tensors]
    ['a', 'b.0']
    """
    found = Found()
    found.add(value, "")
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
        found.add(value, str(place), 1)
    if len(found.tensors) == 1:
        found.tensors = [("", found.tensors[0][1])]
    return found


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the named parts of a container, None where it is none that is known."""
    if isinstance(value, PackedSequence):
        return [("data", value.data)]
    if isinstance(value, dict):
        return list(dict.items(value))
    if isinstance(value, UserDict) and isinstance(vars(value).get("data"), dict):
        return list(dict.items(vars(value)["data"]))
    if isinstance(value, tuple):
        names = getattr(type(value), "_fields", None)
        return list(zip(names or range(len(value)), tuple.__iter__(value), strict=False))
    if isinstance(value, list):
        return list(enumerate(list.__iter__(value)))
    if is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "__dict__", None)
        return [(part.name, own.get(part.name) if own else _slot(value, part.name)) for part in fields(value)]
    return None


def _slot(value: Any, name: str) -> Any:
    """Return the value of a slot, and of nothing that runs code."""
    slot = getattr(type(value), name, None)
    return slot.__get__(value) if isinstance(slot, MemberDescriptorType) else None


def _spelt(value: Any) -> str:
    """Say what a value is that is not looked into."""
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    if inspect.isgenerator(value) or isinstance(value, Iterator):
        return f"{article} {name}: what it yields is computed later"
    return f"{article} {name}, which is not looked into"


def where(path: str) -> str:
    """Spell the place in an output for people."""
    return f"'{path}'" if path else "its output"


def obstacle(tensor: torch.Tensor) -> str:
    """Return why a tensor has no statistics, "" where it can be measured."""
    return "" if is_plain(tensor) else _obstacle(tensor)


def is_plain(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is one of the many that nothing is in the way of: on the CPU, dense, real."""
    return (
        type(tensor) in _ORDINARY
        and tensor.dtype in MEASURABLE
        and tensor.is_cpu
        and tensor.layout is _STRIDED
        and not tensor.is_nested
        and not _is_functorch_wrapped(tensor)
        and _tracing_state() is None
    )


def _obstacle(tensor: torch.Tensor) -> str:
    if _is_functorch_wrapped(tensor):
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
    if _tracing_state() is not None:
        return "being traced by torch.jit"
    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
        return "being captured into a CUDA graph"
    return ""


def is_freed(tensor: torch.Tensor) -> bool:
    """Return whether a tensor's memory was taken from it, as sharding does with a weight between its uses."""
    if tensor.layout is not _STRIDED:
        return False
    held = tensor.untyped_storage().nbytes()
    if held >= tensor.nbytes or not tensor.numel():
        return False
    spans = ((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return held < (tensor.storage_offset() + sum(spans) + 1) * tensor.element_size()


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's own part of a distributed tensor, and any other tensor as it is."""
    if type(tensor) in _ORDINARY:
        return tensor
    to_local = getattr(tensor, "to_local", None)
    part = tensor if to_local is None else to_local()
    return part if isinstance(part, torch.Tensor) else tensor
