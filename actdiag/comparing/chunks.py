"""Chunks: as many cells as take about a second, so that a worker is asked seldom and answers soon."""

from __future__ import annotations

from collections.abc import Iterable

from actdiag.types import RunSpec

SECONDS = 1.0
"""A chunk's time, as `seconds` has it."""
MOST = 64
"""Cells of a chunk."""
_EACH = 0.015
_PRODUCTS = 2e10
"""Multiplications and additions a second: what one thread does at least."""


def chunked(specs: Iterable[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Split specs, in their order, into chunks that are the same on every machine.

    >>> [len(chunk) for chunk in chunked(RunSpec(depth=2, width=8, seed=seed) for seed in range(100))]
    [64, 36]
    """
    chunks: list[tuple[RunSpec, ...]] = []
    held: list[RunSpec] = []
    taken = 0.0
    for spec in specs:
        if held and (taken + seconds(spec) > SECONDS or len(held) == MOST):
            chunks.append(tuple(held))
            held, taken = [], 0.0
        held.append(spec)
        taken += seconds(spec)
    return [*chunks, tuple(held)] if held else chunks


def seconds(spec: RunSpec) -> float:
    """Return about how long one thread takes over a cell: forward and backward, three products a weight."""
    features = spec.features or spec.width
    weights = spec.width * (features + max(spec.depth - 1, 0) * spec.width)
    return _EACH + 6.0 * spec.batch * weights / _PRODUCTS
