"""What every module takes and returns, and the gradients, without hooks: `forward` itself is wrapped."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import nn

Place = tuple[str, int, str]
"""Module, call, path within its output or its arguments."""

Visit = Callable[[Place, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Seen:
    """A tensor that a module returned.

    Attributes:
        value: the tensor.
        gradient: dLoss/dTensor, None where the loss does not depend on it.
        owner: the first place that returned this very tensor in this version.
    """

    value: torch.Tensor
    gradient: torch.Tensor | None
    owner: Place


@dataclass(frozen=True)
class Truth:
    """What one step did.

    Attributes:
        outputs: every floating-point tensor that a module returned.
        inputs: every one that a module was given, with its gradient; a single argument has the path "".
    """

    outputs: Mapping[Place, Seen]
    inputs: Mapping[Place, tuple[torch.Tensor, torch.Tensor | None]]


def observe(build: Callable[[], nn.Module], loss: Callable[[Any], torch.Tensor], seed: int = 0) -> Truth:
    """Return what every module took and returned in one step, the gradients being those of autograd.grad.

    Two models of the same seed are run. One passes on the tensors themselves and tells who owns them; the
    other passes copies on, so that writing in place changes nothing that is kept.
    """
    owners: dict[Place, Place] = {}
    model = seeded(build, seed)
    with _visiting(model, _owning(owners), lambda place, tensor: tensor):
        expected = loss(model)
    kept: dict[Place, torch.Tensor] = {}
    given: dict[Place, torch.Tensor] = {}
    model = seeded(build, seed)
    with _visiting(model, _copying(kept), _copying(given)):
        result = loss(model)
        gradients, upstream = _gradients(result, kept), _gradients(result, given)
    assert torch.equal(result, expected)
    assert kept.keys() == owners.keys()
    return Truth(
        {place: Seen(value.detach(), gradients.get(place), owners[place]) for place, value in kept.items()},
        {place: (value.detach(), upstream.get(place)) for place, value in given.items()},
    )


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a model whose weights, and what it draws in training, follow from the seed."""
    torch.manual_seed(seed)
    return build()


def _gradients(loss: torch.Tensor, kept: Mapping[Place, torch.Tensor]) -> dict[Place, torch.Tensor]:
    wanted = {place: tensor for place, tensor in kept.items() if tensor.requires_grad}
    if not wanted:
        return {}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, retain_graph=True)
    return {place: gradient for place, gradient in zip(wanted, found, strict=True) if gradient is not None}


def _copying(kept: dict[Place, torch.Tensor]) -> Visit:
    def visit(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        kept[place] = tensor
        return tensor.clone()

    return visit


def _owning(owners: dict[Place, Place]) -> Visit:
    first: dict[tuple[int, int], Place] = {}
    alive = []  # an id is unique only while its tensor lives

    def visit(place: Place, tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        owners[place] = first.setdefault((id(tensor), tensor._version), place)
        return tensor

    return visit


@contextmanager
def _visiting(model: nn.Module, returned: Visit, given: Visit) -> Iterator[None]:
    """Let two visitors see and replace each floating-point tensor that a module returns, or is given."""
    modules = dict(model.named_modules())
    calls: Counter[str] = Counter()
    for name, module in modules.items():
        module.forward = _wrapped(name, module.forward, calls, returned, given)
    try:
        yield
    finally:
        for module in modules.values():
            del module.forward


def _wrapped(
    name: str, forward: Callable[..., Any], calls: Counter[str], returned: Visit, given: Visit
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = calls[name]
        calls[name] += 1
        alone = len(_tensors((args, kwargs))) == 1

        def give(path: str, tensor: torch.Tensor) -> torch.Tensor:
            return given((name, call, "" if alone else path), tensor)

        result = forward(*_walk(args, give), **_walk(kwargs, give))
        return _walk(result, lambda path, tensor: returned((name, call, path), tensor))

    return wrapper


def _tensors(value: Any) -> list[torch.Tensor]:
    """Return the tensors in a structure, those of integers too."""
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _walk(value: Any, visit: Callable[[str, torch.Tensor], torch.Tensor], path: str = "") -> Any:
    """Return the same structure with each floating-point tensor replaced by what `visit` returns."""
    if isinstance(value, torch.Tensor):
        return visit(path, value) if value.is_floating_point() else value

    def inner(key: Any, part: Any) -> Any:
        return _walk(part, visit, f"{path}.{key}" if path else str(key))

    if isinstance(value, dict):
        result = copy.copy(value)
        for key, part in value.items():
            result[key] = inner(key, part)
        return result
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(inner, value._fields, value))
    if isinstance(value, (list, tuple)):
        return type(value)(inner(index, part) for index, part in enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: inner(part.name, getattr(value, part.name)) for part in fields(value)}
        return replace(value, **parts)
    return value
