"""Structures: what networks that differ in weights and data alone have in common, from one recorded run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from actdiag.activations import Activation, activation
from actdiag.catalogue import activation_module, recognise
from actdiag.comparing.parts import SITE, Columns, Part, Sites
from actdiag.models import MLP
from actdiag.predictions.chains import Chain, of_spec
from actdiag.predictions.numbers import Predicted
from actdiag.predictions.rows import places_of, sites_of
from actdiag.recording import table
from actdiag.schema import MODULES
from actdiag.types import RunSpec

_GRADIENT = "_grad"


class Wanted(NamedTuple):
    """A row to be: what it is about, and whether it is of a gradient."""

    module: str
    tensor: str
    gradient: bool


class Network(NamedTuple):
    """A network, and its products' weights by their names."""

    model: MLP
    weights: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, model: MLP) -> Network:
        """Return a network as it is read."""
        modules = model.named_modules()
        return cls(model, {name: part.weight for name, part in modules if isinstance(part, nn.Linear)})


@dataclass(frozen=True, eq=False)
class Structure:
    """What a recorded run tells of all networks that are built and run as its own was.

    Attributes:
        act: the activation, as it is recognised in the network.
        plan: the measured rows, in order.
        forward: module -> the row of what it returns.
        dies: of each row, see `statistics.describe`.
        ratios: the rows of weights' gradients that come right after their weight's.
        start: the input's row.
        sites: of the measured rows.
        modules: columns of the modules table.
        loss: what is said of the loss, besides its value.
        notes: for the reader.
    """

    act: Activation
    plan: tuple[Wanted, ...]
    forward: Mapping[str, Wanted]
    dies: Sequence[bool]
    ratios: tuple[int, ...]
    start: int
    sites: Sites
    modules: Columns
    loss: Mapping[str, Any]
    notes: Sequence[str]
    _chains: dict[Any, Chain] = field(default_factory=dict)
    _with_theory: dict[Any, Sites] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Part, about_data: str) -> Structure:
        """Return the structure of a network that was recorded, without the note about its data."""
        measured = int((part.sites.sources == "measured").sum())
        columns = {name: values[:measured] for name, values in part.sites.columns.items()}
        pairs = zip(columns["module"].tolist(), columns["tensor"].tolist(), strict=True)
        plan = tuple(_wanted(module, tensor) for module, tensor in pairs)
        asked = activation(part.facts["spec"]["act"])
        act = activation(recognise(activation_module(asked)) or asked.name)
        return cls(
            act,
            plan,
            {row.module: row for row in plan if not row.gradient and row.tensor != "weight"},
            [act.dies and row.tensor == "activation" and not row.gradient for row in plan],
            tuple(row for row in range(1, measured) if _is_ratio(plan[row - 1], plan[row])),
            next(row for row, wanted in enumerate(plan) if wanted.tensor == "input"),
            Sites(columns, part.sites.sources[:measured]),
            part.modules,
            part.facts["loss"],
            [note for note in part.facts["notes"] if note != about_data],
        )

    def chain(self, spec: Mapping[str, Any]) -> Chain:
        """Return the chain that theory takes, of the fields of a spec as it was run."""
        key = spec["init"], spec["gain"], spec["bias"]
        if key not in self._chains:
            self._chains[key] = of_spec(spec)
        return self._chains[key]

    def with_theory(self, found: Predicted, chain: Chain) -> Sites:
        """Return the sites of the measured rows and of theory's behind them."""
        key = found.layers, found.tensors
        if key not in self._with_theory:
            self._with_theory[key] = self._added(found, chain)
        return self._with_theory[key]

    def _added(self, found: Predicted, chain: Chain) -> Sites:
        count = len(found.layers)
        modules = table({**self.modules, "run": ""}, MODULES, len(self.modules["name"]))
        first = {name: self.sites.columns[name][0] for name in ("step",)}
        theirs = {"call": 0, "path": "", **first, **sites_of(found, places_of(modules, chain))}
        columns = {
            name: np.concatenate([own, _filled(theirs[name], count, own.dtype)])
            for name, own in self.sites.columns.items()
        }
        sources = np.concatenate([self.sites.sources, _filled("theory", count, np.dtype(object))])
        return Sites({name: columns[name] for name in SITE}, sources)


def key_of(spec: RunSpec, facts: Mapping[str, Any]) -> RunSpec:
    """Return what networks of one structure have in common.

    Args:
        spec: one of them.
        facts: its fields as they are run.
    """
    resolved = {name: facts[name] for name in ("features", "classes", "batch")}
    # where the data say how many features there are, a spec must not
    return replace(spec, init="zeros", gain=None, bias=None, seed=0, data="gaussian", **resolved)


def _wanted(module: str, tensor: str) -> Wanted:
    return Wanted(module, tensor.removesuffix(_GRADIENT), tensor.endswith(_GRADIENT))


def _is_ratio(before: Wanted, row: Wanted) -> bool:
    return before == Wanted(row.module, "weight", False) and row == Wanted(row.module, "weight", True)


def _filled(value: Any, count: int, kind: np.dtype[Any]) -> Any:
    held = np.empty(count, dtype=kind)
    held[:] = value
    return held
