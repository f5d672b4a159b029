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

from actdiag.arrays import Tables
from actdiag.capture.parameters import observe_weight
from actdiag.capture.records import NUMBERS as COUNTED
from actdiag.capture.records import Floats, set_ratios
from actdiag.catalogue import count_saturated, loss_function
from actdiag.comparing.parts import Part, assemble, failed
from actdiag.comparing.structures import Structure, Wanted, key_of
from actdiag.data import Batch, load_batch
from actdiag.importing import one_line
from actdiag.models import MLP, Block, build
from actdiag.predictions.chains import Chain, batch_in, of_spec
from actdiag.predictions.numbers import NUMBERS, Predicted, of_chain
from actdiag.scanning import check_measurable, gain_of, plain_number, scan, seeded, spec_facts
from actdiag.sources import parse_source
from actdiag.statistics import TensorState, describe, observe
from actdiag.theory import NoTheory, between_of
from actdiag.types import RunSpec

__all__ = ["CellResult", "assemble", "failed", "run_cells"]

CellResult = Part
CPU = torch.device("cpu")
_KEPT = 8
"""Batches, and structures, that are at hand: a grid goes through its draws, and its activations, in turn."""
_BLANKS = len(NUMBERS) - len(COUNTED)


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
        self._structures: dict[RunSpec, Structure] = {}

    def measure(self, spec: RunSpec) -> Part:
        """Measure one cell; the first of its structure, and those on other devices, by `actdiag.scan`."""
        if spec.device != "cpu":
            return Part.of(scan(spec))
        batch = self._batch(spec)
        check_measurable(spec, batch)
        gain = gain_of(spec)
        facts = spec_facts(spec, batch, CPU, gain)
        key = key_of(spec, facts)
        if key in self._structures:
            return _measured(spec, batch, gain, facts, self._structures[key])
        part = Part.of(scan(spec))
        _keep(self._structures, key, Structure.of(part))
        return part

    def _batch(self, spec: RunSpec) -> Batch:
        source, _ = parse_source(spec.data)
        columns = spec.features or spec.width if source.generated else None
        asked = spec.data, spec.features, columns, spec.classes, spec.standardise
        key = (*asked, spec.batch, spec.dtype, spec.seed)
        if key not in self._batches:
            _keep(self._batches, key, load_batch(spec))
        return self._batches[key]


def _keep(held: dict[Any, Any], key: Any, value: Any) -> None:
    if len(held) >= _KEPT:
        held.pop(next(iter(held)))
    held[key] = value


def _measured(spec: RunSpec, batch: Batch, gain: float, facts: dict[str, Any], structure: Structure) -> Part:
    """Build, run and measure a network of a known structure."""
    dtype = getattr(torch, spec.dtype)
    model = build(spec, gain, batch.inputs.float(), batch.classes).to(CPU, dtype)
    with seeded(spec.seed, CPU) if spec.dropout else nullcontext():
        seen, outputs = _forward(model, batch.inputs.to(CPU, dtype))
        loss = loss_function(spec.loss)(outputs, batch.targets)
    numbers, tables = _described(structure, seen, model, loss)
    chain, found, reason = _theory(facts, dict(zip(NUMBERS, numbers[structure.start].tolist(), strict=True)))
    sites = structure.sites
    if chain is not None and found is not None:
        sites, numbers = structure.with_theory(found, chain), np.concatenate([numbers, found.numbers])
    said = {
        "spec": facts,
        "loss": {**structure.loss, "value": plain_number(loss.item())},
        "notes": list(structure.notes),
        "command": spec.command(),
        "theory": reason,
    }
    return Part(spec.slug, said, sites, numbers, tables, structure.modules)


def _forward(model: MLP, inputs: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return what each module returns, by name, the input as that of the whole; and the outputs."""
    seen, x = {"": inputs}, inputs
    for name, part in model.named_children():
        x = _through(part, name, x, seen) if isinstance(part, Block) else part(x)
        seen[name] = x
    return seen, x


def _through(block: Block, name: str, x: torch.Tensor, seen: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what a block returns, as its own `forward` does."""
    h = x
    for label, part in block.named_children():
        if label == "act":
            seen[f"{name}.before"] = h
        h = part(h)
        seen[f"{name}.{label}"] = h
    return x + h if block.residual else h


def _described(
    structure: Structure, seen: dict[str, torch.Tensor], model: MLP, loss: torch.Tensor
) -> tuple[Floats, Tables]:
    """Return (measured rows, len(NUMBERS)) numbers, and the arrays of these rows."""
    products = {
        name: module.weight for name, module in model.named_modules() if hasattr(module, "in_features")
    }
    sources = [products[row.module] if row.tensor == "weight" else seen[row.module] for row in structure.plan]
    asked = [source for source, row in zip(sources, structure.plan, strict=True) if row.gradient]
    gradients = iter(torch.autograd.grad(loss, asked) if asked else ())
    states, dies = [], []
    for source, row in zip(sources, structure.plan, strict=True):
        states.append(_state(next(gradients) if row.gradient else source, row, structure, seen))
        dies.append(structure.act.dies and row.tensor == "activation" and not row.gradient)
    table = describe(states, dies)
    set_ratios(structure.ratios, table.numbers)
    blank = np.full((len(states), _BLANKS), np.nan)
    return np.concatenate([table.numbers, blank], axis=1), table.stored()


def _state(
    tensor: torch.Tensor, row: Wanted, structure: Structure, seen: dict[str, torch.Tensor]
) -> TensorState:
    """Return the state of a row's tensor, as a recorder takes it."""
    if row.tensor == "weight":
        return observe_weight(tensor)
    if row.tensor != "activation" or row.gradient:
        return observe(tensor.detach())
    before = seen[f"{row.module.rpartition('.')[0]}.before"]
    act = structure.act
    return observe(tensor.detach(), bounds=act.range, saturated=count_saturated(before.detach(), act))


def _theory(spec: dict[str, Any], given: dict[str, Any]) -> tuple[Chain | None, Predicted | None, str]:
    """Return what theory says of a spec as it was run, or why it says nothing.

    Args:
        spec: its fields.
        given: the numbers of the input's row.
    """
    try:
        chain = of_spec(spec)
        batch = batch_in(given, chain.layers[0].fan_in)
        return chain, of_chain(chain, between_of(spec), batch), ""
    except NoTheory as why:
        return None, None, str(why)
