"""Walking through nested values: the tensors in them, and the same value with other tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield (path, tensor) for every tensor in tensors, sequences, mappings and dataclasses."""
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    for name, part in parts_of(value):
        yield from tensors_in(part, join(path, name))


def parts_of(value: Any) -> list[tuple[str, Any]]:
    """Return the named parts of a container, none of anything else."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (tuple, list)):
        return [(str(place), part) for place, part in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []


def join(path: str, name: str) -> str:
    """Return the path of a part; a dot in its name is escaped."""
    name = name.replace(".", "\\.")
    return f"{path}.{name}" if path else name


def rebuilt(value: Any, change: Callable[[str, torch.Tensor], torch.Tensor], path: str = "") -> Any:
    """Return the value with every tensor changed; containers without tensors stay the objects they are."""
    if isinstance(value, torch.Tensor):
        return change(path, value)
    if next(tensors_in(value), None) is None:
        return value
    parts = {name: rebuilt(part, change, join(path, name)) for name, part in parts_of(value)}
    return _with_parts(value, parts)


def _with_parts(value: Any, parts: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return _mapping_with(value, parts)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return value._replace(**parts)
    if isinstance(value, (tuple, list)):
        return type(value)(parts.values())  # type: ignore[call-arg]
    return dataclasses.replace(value, **parts)


def _mapping_with(value: Mapping[Any, Any], parts: dict[str, Any]) -> Any:
    """Return a copy; one whose items are attributes too (a ModelOutput) gets both."""
    fresh: Any = copy.copy(value)
    for key, part in zip(list(value), parts.values(), strict=True):
        fresh[key] = part
        if dataclasses.is_dataclass(value):
            object.__setattr__(fresh, str(key), part)
    return fresh
