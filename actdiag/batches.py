"""A batch as the user gives it: what the model is called with, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from actdiag.capture.outputs import find
from actdiag.errors import ActdiagError, UsageError
from actdiag.importing import call, describe, telling


@dataclass(frozen=True)
class ModelBatch:
    """One batch.

    Attributes:
        args: positional arguments of the model.
        keywords: its keyword arguments.
        targets: None where there are none.
    """

    args: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    targets: Any = None

    @classmethod
    def of(cls, inputs: Any, targets: Any = None) -> ModelBatch:
        """Return the batch of a tensor, a tuple or list (positional) or a mapping (keywords).

        Raises:
            UsageError: inputs are none of these.

        >>> ModelBatch.of({"x": 1}).keywords, ModelBatch.of((1, 2)).args
        ({'x': 1}, (1, 2))
        """
        if isinstance(inputs, torch.Tensor | PackedSequence):
            return cls((inputs,), targets=targets)
        if isinstance(inputs, Mapping):
            return cls(keywords={str(name): value for name, value in inputs.items()}, targets=targets)
        if isinstance(inputs, tuple | list):
            return cls(tuple(inputs), targets=targets)
        hint = (
            "make it a tensor with torch.as_tensor"
            if hasattr(inputs, "__array__")
            else "give (inputs,) to hand it over as it is"
        )
        raise UsageError(
            "inputs are a tensor, a tuple of positional arguments or a mapping of keywords, "
            f"got {describe(inputs)}: {hint}"
        )

    def detached(self) -> ModelBatch:
        """Return the batch with leaves in the place of tensors that are the result of a graph."""
        if not any(_is_result(tensor) for _, tensor in find((self.args, self.keywords)).tensors):
            return self
        return replace(self, args=_leaves(self.args), keywords=_leaves(self.keywords))

    def to(self, device: torch.device) -> ModelBatch:
        """Return the batch with every tensor on a device."""
        return ModelBatch(*(moved(part, device) for part in (self.args, self.keywords, self.targets)))


def split(batch: Any) -> ModelBatch:
    """Return the batch of inputs, or of a tuple or list of two: (inputs, targets).

    >>> split(([1, 2], 3)).targets, split([1, 2, 3]).args
    (3, (1, 2, 3))
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return ModelBatch.of(*batch)
    return ModelBatch.of(batch)


def moved(value: Any, device: torch.device) -> Any:
    """Return a nested value with every tensor on a device; what is not looked into stays as it is."""
    return changed(value, lambda part: part.to(device) if callable(getattr(part, "to", None)) else part)


def _leaves(value: Any) -> Any:
    """Return a nested value with a leaf in the place of every tensor that is the result of a graph."""
    return changed(value, lambda part: part.detach().requires_grad_() if _is_result(part) else part)


def _is_result(part: Any) -> bool:
    return isinstance(part, torch.Tensor) and part.requires_grad and not part.is_leaf


def changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a nested value with everything in it changed; what is not looked into stays as it is."""
    new = change(value)
    if new is not value or isinstance(value, torch.Tensor):
        return new
    if isinstance(value, Mapping):
        return {name: changed(part, change) for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(changed(part, change) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(changed(part, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: changed(getattr(value, part.name), change) for part in fields(value) if part.init}
        return replace(value, **parts)
    return value


def batches_from(name: str, source: Any) -> Iterator[ModelBatch]:
    """Yield the batches of what the user's callable returns: one batch, or an iterable of batches.

    A tensor, a mapping or a tuple is one batch; a list, a generator, a DataLoader are several.

    Args:
        name: as the user wrote it, for errors.
        source: the callable without arguments, or the batches themselves.

    Raises:
        ActdiagError: it raises, or returns nothing of the kind.
    """
    returned = call(name, source) if callable(source) else source
    if isinstance(returned, torch.Tensor | Mapping | tuple):
        returned = [returned]
    if not isinstance(returned, Iterable) or isinstance(returned, str | bytes) or hasattr(returned, "dtype"):
        raise ActdiagError(
            f"{name} must return inputs, (inputs, targets) or an iterable of such batches, such as a "
            f"DataLoader, got {describe(returned)}"
        )
    if _ambiguous(returned):
        raise ActdiagError(
            f"{name} returned a list of two tensors of different shapes: is it one batch or two? Return "
            "(inputs, targets) as a tuple, or a list of batches"
        )
    return map(split, _each(name, returned))


def _ambiguous(returned: Any) -> bool:
    """Return whether a list of two looks like inputs and targets rather than two batches."""
    if not isinstance(returned, list) or len(returned) != 2:
        return False
    first, second = returned
    return (
        isinstance(first, torch.Tensor)
        and isinstance(second, torch.Tensor)
        and (first.shape[1:], first.dtype) != (second.shape[1:], second.dtype)
    )


def _each(name: str, batches: Iterable[Any]) -> Iterator[Any]:
    """Yield each batch; what the user's iterator raises becomes one line."""
    with telling(name):
        iterator = iter(batches)
    while True:
        with telling(name):
            try:
                batch = next(iterator)
            except StopIteration:
                return
        yield batch
