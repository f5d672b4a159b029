"""The rows of weights and of their gradients, read at `step()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actdiag.capture import unseen
from actdiag.capture.book import Book
from actdiag.capture.guard import from_signal
from actdiag.capture.outputs import is_freed, is_plain, local
from actdiag.capture.parameters import Holder, gradient_of, observe_weight, weights_of
from actdiag.capture.records import NUMBERS, Place, Record, Rows, set_beside, spell
from actdiag.statistics import sizes

FREED = "was freed before step(), as sharding does: not measured"
_KNOWN = [
    NUMBERS.index(name)
    for name in ("samples", "units", "positions", "count", "rms", "nan_count", "inf_count")
]


class Used(NamedTuple):
    """A weight in use: what its rows and its gradient's are about, and where it is stored.

    Attributes:
        module: that uses it, None for a function.
        type: of the module; parametrising it makes another.
        dtype: of the weight, None where it is freed.
    """

    weight: Place
    gradient: Place
    holder: Holder
    key: str
    module: nn.Module | None
    type: type
    dtype: torch.dtype | None

    @property
    def stands(self) -> bool:
        """Return whether the weight is still where it was, in the type that it had."""
        held = self.holder.get(self.key)
        return type(self.module) is self.type and held is not None and held.dtype is self.dtype


class Sizes(NamedTuple):
    """What was read of weights and their gradients.

    Attributes:
        places: what each row is about.
        found: (rows, 5), see `statistics.sizes`.
        scale: gradients are this many times too large.
    """

    places: tuple[Place, ...]
    found: NDArray[np.float64]
    scale: float

    def rows(self) -> Rows:
        """Return rows with rms and the counts of NaN and Inf; what was not read is NaN."""
        units, count, rms, nan, inf = self.found.T
        scales = np.array([self.scale if place.backward else 1.0 for place in self.places])
        positions = np.where(units > 0, count // np.maximum(units, 1.0), 1.0)
        numbers = np.full((len(self.places), len(NUMBERS)), np.nan)
        known = np.ones_like(count), units, positions, count, rms / scales, nan, inf
        numbers[:, _KNOWN] = np.column_stack(known)
        set_beside(self.places, numbers)
        return Rows(self.places, numbers)

    @property
    def broken(self) -> bool:
        """Return whether something is not finite."""
        return bool(self.found[:, 3:].any())


class WeightWatch:
    """Reads the weights in use: in full, or their sizes alone.

    Args:
        modules: of the model, by name.
        book: knows the facts of modules and functions.
    """

    def __init__(self, modules: Mapping[str, nn.Module], book: Book) -> None:
        self._modules, self._book = modules, book
        self._called: set[str] = set()
        self._graded: set[str] = set()
        self._used: list[Used] = []

    def choose(self, called: set[str], graded: set[str]) -> None:
        """Say which weights are in use, in this step and until the next is recorded.

        Args:
            called: modules and functions that were called.
            graded: modules of which a parameter got a gradient.
        """
        stands = all(used.stands for used in self._used)
        if not stands or (called, graded) != (self._called, self._graded):
            self._called, self._graded = called, graded
            self._used = list(self._in_use())

    def records(self, scale: float) -> list[Record]:
        """Return the records of the weights and of their gradients, which are `scale` times too large."""
        found = []
        for place, tensor in self._tensors():
            state = self._trying(place, observe_weight, tensor)
            if state is not None:
                found.append(Record(place, state, scale=scale if place.backward else 1.0))
        return found

    def sizes(self, scale: float) -> Sizes:
        """Return rms and the counts of NaN and Inf alone, gradients being `scale` times too large."""
        tensors = list(self._tensors())
        try:
            found = sizes([tensor for _, tensor in tensors])
        except Exception as error:
            if from_signal(error):
                raise
            tensors = [each for each in tensors if self._trying(each[0], sizes, [each[1]]) is not None]
            found = sizes([tensor for _, tensor in tensors])
        return Sizes(tuple(place for place, _ in tensors), found, scale)

    def _trying(self, place: Place, read: Callable[[Any], Any], value: Any) -> Any:
        """Return what reading a weight gives; None, and a reason, where it fails."""
        try:
            return read(value)
        except Exception as error:
            if from_signal(error):
                raise
            self._book.failed(place.module, error)
            return None

    def _tensors(self) -> Iterator[tuple[Place, torch.Tensor]]:
        """Yield each weight in use, and its gradient after it, where they can be measured."""
        for used in self._used:
            parameter = used.holder.get(used.key)
            plain = parameter is not None and is_plain(parameter)
            if parameter is None or (not plain and unseen.without_values(parameter)):
                continue
            weight = parameter if plain else local(parameter.detach())
            for place, tensor in ((used.weight, weight), (used.gradient, gradient_of(parameter))):
                if tensor is not None and is_freed(tensor):
                    self._book.note(f"{place.module}: the memory of its {place.tensor} {FREED}")
                elif tensor is not None:
                    yield place, tensor

    def _in_use(self) -> Iterator[Used]:
        """Yield the weights of each product in use."""
        facts, called = self._book.facts, self._called
        for name, module in self._modules.items():
            if facts[name].kind == "product" and self._book.selects(name):
                used = name in called or (facts[name].calls == 0 and name in self._graded)
                for label, holder, key in weights_of(name, module) if used else ():
                    yield self._used_by(name, label, holder, key, module)
        for name in self._book.weights:
            if name in called and self._book.selects(name):
                # the next call may put another weight there
                yield self._used_by(name, name, self._book.weights, name)

    def _used_by(
        self, name: str, label: str, holder: Holder, key: str, module: nn.Module | None = None
    ) -> Used:
        """Return what is known of a weight of a module or function."""
        where = self._layer(name), label, self._book.facts[name].type, 0, ""
        parameter = holder.get(key)
        dtype = None if parameter is None else parameter.dtype
        weight = Place(*where, "weight", 0, 0, spell(dtype))
        gradient = Place(*where, "weight_grad", 1, 0, spell(dtype))
        return Used(weight, gradient, holder, key, module, type(module), dtype)

    def _layer(self, name: str) -> int:
        """Return a product's layer; one whose weight another uses has the number of the module it lies in."""
        facts = self._book.facts
        while not facts[name].layer and name:
            name = name.rpartition(".")[0]
        return facts[name].layer
