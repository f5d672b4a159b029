"""The rows of weights and of their gradients, read at `step()`."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from actdiag.capture import unseen
from actdiag.capture.book import Book
from actdiag.capture.guard import from_signal
from actdiag.capture.outputs import local
from actdiag.capture.parameters import gradient_of, observe_weight, weights_of
from actdiag.capture.records import NUMBERS, Place, Record, Rows, set_beside
from actdiag.statistics import sizes

_KNOWN = [
    NUMBERS.index(name)
    for name in ("samples", "units", "positions", "count", "rms", "nan_count", "inf_count")
]


class WeightWatch:
    """Reads the weights in use: in full, or their sizes alone.

    Args:
        modules: of the model, by name.
        book: knows the facts of modules and functions.
    """

    def __init__(self, modules: Mapping[str, nn.Module], book: Book) -> None:
        self._modules, self._book = modules, book
        self._called: Container[str] = ()
        self._graded: Container[str] = ()

    def choose(self, called: Container[str], graded: Container[str]) -> None:
        """Say which weights are in use, in this step and until the next is recorded.

        Args:
            called: modules and functions that were called.
            graded: modules of which a parameter got a gradient.
        """
        self._called, self._graded = called, graded

    def records(self, scale: float) -> list[Record]:
        """Return the records of the weights and of their gradients, which are `scale` times too large."""
        found = []
        for place, tensor in self._tensors():
            state = self._trying(place, observe_weight, tensor)
            if state is not None:
                found.append(Record(place, state, scale=scale if place.backward else 1.0))
        return found

    def sizes(self, scale: float) -> Rows:
        """Return rows of the same with rms and the counts of NaN and Inf alone; the rest is NaN."""
        tensors = list(self._tensors())
        try:
            measured = sizes([tensor for _, tensor in tensors])
        except Exception as error:
            if from_signal(error):
                raise
            tensors = [each for each in tensors if self._trying(each[0], sizes, [each[1]]) is not None]
            measured = sizes([tensor for _, tensor in tensors])
        places = tuple(place for place, _ in tensors)
        numbers = np.full((len(places), len(NUMBERS)), np.nan)
        count, rms, nan, inf = measured.T
        units = np.array([tensor.shape[0] if tensor.dim() else 1 for _, tensor in tensors], dtype=np.float64)
        scales = np.array([scale if place.backward else 1.0 for place in places])
        positions = count // np.maximum(units, 1.0)
        known = np.ones_like(count), units, positions, count, rms / scales, nan, inf
        numbers[:, _KNOWN] = np.column_stack(known)
        set_beside(places, numbers)
        return Rows(places, numbers)

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
        for name, parameter, label in self._in_use():
            if not unseen.without_values(parameter):
                where = self._layer(name), label, self._book.facts[name].type, 0, ""
                yield Place(*where, "weight", 0, 0), local(parameter.detach())
                gradient = gradient_of(parameter)
                if gradient is not None:
                    yield Place(*where, "weight_grad", 1, 0), gradient

    def _layer(self, name: str) -> int:
        """Return a product's layer; one whose weight another uses has the number of the module it lies in."""
        facts = self._book.facts
        while not facts[name].layer and name:
            name = name.rpartition(".")[0]
        return facts[name].layer

    def _in_use(self) -> Iterator[tuple[str, nn.Parameter, str]]:
        """Yield (module or function, weight, name of its rows) of each product in use."""
        facts, called = self._book.facts, self._called
        for name, module in self._modules.items():
            if facts[name].kind == "product" and self._book.selects(name):
                used = name in called or (facts[name].calls == 0 and name in self._graded)
                for label, parameter in weights_of(name, module) if used else ():
                    yield name, parameter, label
        for name, parameter in self._book.weights.items():
            if name in called and self._book.selects(name):
                yield name, parameter, name
