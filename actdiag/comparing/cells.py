"""Cells: the networks of a grid, measured one after the other; one that fails takes no other with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import torch

from actdiag import __version__, schema
from actdiag.importing import one_line
from actdiag.recording import Recording, concatenate, frame
from actdiag.scanning import scan
from actdiag.types import RunSpec

CellResult = Recording


def run_cells(specs: Sequence[RunSpec]) -> Iterator[CellResult]:
    """Measure specs one after the other, failed ones among them."""
    for spec in specs:
        try:
            yield scan(spec)
        except Exception as error:
            yield failed(spec, one_line(error))


def assemble(results: Sequence[CellResult]) -> Recording:
    """Return one recording of all results."""
    return concatenate(results)


def failed(spec: RunSpec, error: str) -> Recording:
    """Return the recording of a run that could not be measured: no rows, and why."""
    facts = {"spec": asdict(spec), "loss": {}, "notes": [], "command": spec.command(), "error": error}
    return Recording(
        frame([], schema.ROWS),
        frame([], schema.MODULES),
        meta={
            "schema": schema.VERSION,
            "actdiag": __version__,
            "torch": torch.__version__,
            "runs": {spec.slug: facts},
        },
    )
