"""Cells: the networks of a grid, measured one after the other; one that fails takes no other with it.

Each gives the very rows of `actdiag.scan` without its hooks: the tool's own networks are chains of parts, and
what a recorder sees of all that are alike is known from the first of them (`structures.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from actdiag.capture.records import Floats
from actdiag.catalogue import loss_function
from actdiag.comparing.parts import Part, assemble, failed
from actdiag.comparing.seen import Seen
from actdiag.comparing.structures import Network, Structure, key_of
from actdiag.data import Batch, load_batch
from actdiag.importing import one_line
from actdiag.models import build, draw
from actdiag.predictions.chains import Chain, batch_in
from actdiag.predictions.numbers import NUMBERS, Predicted, of_chain
from actdiag.scanning import check_measurable, check_memory, gain_of, plain_number, scan, seeded, spec_facts
from actdiag.sources import parse_source
from actdiag.theory import NoTheory, between_of
from actdiag.types import RunSpec

__all__ = ["CellResult", "assemble", "failed", "run_cells"]

CellResult = Part
CPU = torch.device("cpu")
_KEPT = 32
"""Batches, and structures, that are at hand: a grid goes through its draws, and its activations, in turn."""


def run_cells(specs: Sequence[RunSpec]) -> Iterator[CellResult]:
    """Measure specs one after the other, failed ones among them."""
    cells = _Cells()
    for spec in specs:
        try:
            result = cells.measure(spec)
        except Exception as error:
            result = failed(spec, one_line(error))
        yield result


class _Cells:
    """Measures cells, and keeps what the next ones need again."""

    def __init__(self) -> None:
        self._batches: dict[Any, Batch] = {}
        self._checked: set[Any] = set()
        self._drawn: tuple[RunSpec | None, Network | None] = None, None

    def measure(self, spec: RunSpec) -> Part:
        """Measure one cell; the first of its structure, and those on other devices, by `actdiag.scan`."""
        if spec.device != "cpu":
            return Part.of(scan(spec))
        batch = self._batch(spec)
        gain = gain_of(spec)
        facts = spec_facts(spec, batch, CPU, gain)
        key = key_of(spec, facts)
        if key != self._drawn[0]:
            self._drawn = key, None
        if key in _STRUCTURES:
            network = self._network(spec, batch, gain)
            return _measured(spec, batch, facts, _STRUCTURES[key], network)
        part = Part.of(scan(spec))
        _keep(_STRUCTURES, key, Structure.of(part, batch.note))
        return part

    def _network(self, spec: RunSpec, batch: Batch, gain: float) -> Network:
        """Return a spec's network; the last cell's with fresh weights where it has that structure."""
        key, network = self._drawn
        inputs = batch.inputs.float()
        if network is not None:
            draw(network.model, spec, gain, inputs)
            return network
        dtype = getattr(torch, spec.dtype)
        network = Network.of(build(spec, gain, inputs, batch.classes).to(CPU, dtype))
        if dtype is torch.float32:  # what weights are drawn in
            self._drawn = key, network
        return network

    def _batch(self, spec: RunSpec) -> Batch:
        """Return the batch that a spec names, which can be measured."""
        source, _ = parse_source(spec.data)
        columns = spec.features or spec.width if source.generated else None
        asked = spec.data, spec.features, columns, spec.classes, spec.standardise
        key = (*asked, spec.batch, spec.dtype, spec.seed)
        if key not in self._batches:
            check_memory(spec, CPU)
            _keep(self._batches, key, load_batch(spec))
        if (*key, spec.norm, spec.loss) not in self._checked:
            check_measurable(spec, self._batches[key])
            self._checked.add((*key, spec.norm, spec.loss))
        return self._batches[key]


_STRUCTURES: dict[RunSpec, Structure] = {}


def _keep(held: dict[Any, Any], key: Any, value: Any) -> None:
    if len(held) >= _KEPT:
        held.pop(next(iter(held)))
    held[key] = value


def _measured(
    spec: RunSpec, batch: Batch, facts: dict[str, Any], structure: Structure, network: Network
) -> Part:
    """Run and measure a network of a known structure."""
    seen = Seen(structure, network)
    with seeded(spec.seed, CPU) if spec.dropout else nullcontext():
        outputs = seen.outputs(batch.inputs.to(CPU, getattr(torch, spec.dtype)))
        loss = loss_function(spec.loss)(outputs, batch.targets)
    numbers, tables = seen.described(loss)
    chain, found, reason = _theory(structure, facts, numbers[structure.start])
    sites = structure.sites
    if chain is not None and found is not None:
        sites, numbers = structure.with_theory(found, chain), np.concatenate([numbers, found.numbers])
    said = {
        "spec": facts,
        "loss": {**structure.loss, "value": plain_number(loss.item())},
        "notes": [*filter(None, [batch.note]), *structure.notes],
        "command": spec.command(),
        "theory": reason,
    }
    return Part(spec.slug, said, sites, numbers, tables, structure.modules)


def _theory(
    structure: Structure, spec: dict[str, Any], start: Floats
) -> tuple[Chain | None, Predicted | None, str]:
    """Return what theory says of a spec as it was run, or why it says nothing.

    Args:
        structure: of its network.
        spec: its fields.
        start: the numbers of the input's row.
    """
    try:
        chain = structure.chain(spec)
        given = batch_in(dict(zip(NUMBERS, start.tolist(), strict=True)), chain.layers[0].fan_in)
        return chain, of_chain(chain, between_of(spec), given), ""
    except NoTheory as why:
        return None, None, str(why)
