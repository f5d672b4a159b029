"""The rows of a training step: their numbers, and the arrays behind them in little memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.statistics import native
from actdiag.statistics.packing import Packed, are_blocks, pack
from actdiag.statistics.state import TensorState
from actdiag.statistics.summary import NUMBERS, summarise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Sparse(NamedTuple):
    """The bins of a histogram that are not empty."""

    bins: NDArray[np.uint16]
    counts: Ints | NDArray[np.uint32]

    @classmethod
    def of(cls, histogram: Ints) -> Sparse:
        """Keep the bins of (n,) counts that are not empty."""
        bins = np.flatnonzero(histogram)
        counts = histogram[bins]
        small = counts.size == 0 or int(counts.max()) < 2**32
        return cls(bins.astype(np.uint16), counts.astype(np.uint32) if small else counts)

    def dense(self, size: int) -> Ints:
        """Return the histogram, (size,)."""
        histogram = np.zeros(size, dtype=np.int64)
        histogram[self.bins] = self.counts
        return histogram


PORTION = 8192
"""Units that are reduced together: their numbers stay in the cache, and in memory that is used again."""
Histogram = bytes | Ints | Sparse


class Units(NamedTuple):
    """The units of some rows, one row after the other."""

    first: int  # of these rows
    starts: Ints  # (rows + 1,)
    n: Floats  # (rows,) finite values of the first unit
    uneven: dict[int, Floats]  # all units', where they differ
    fields: NDArray[np.float32] | Floats  # (5, all units); float64 where float32 would lose a magnitude

    def of(self, row: int) -> Floats:
        """Return (6, units) float64, its rows named by `recording.UNIT_FIELDS`."""
        start, end = self.starts[row], self.starts[row + 1]
        whole = np.empty((6, end - start))
        whole[0] = self.uneven.get(row, self.n[row])
        whole[1:] = self.fields[:, start:end]
        return whole


class Table(NamedTuple):
    """What was measured, a row for each state.

    Attributes:
        numbers: (rows, len(schema.COUNTED)) float64 in that order; NaN where not defined.
    """

    numbers: Floats
    logs: Sequence[Histogram]
    linears: Sequence[Histogram | None]
    portions: Sequence[Units]

    def log(self, row: int) -> Ints:
        """Return a row's (4096,) log-linear histogram, see `actdiag.bins`."""
        histogram = self.logs[row]
        return native.log_of(histogram) if isinstance(histogram, bytes) else _dense(histogram, LOG_BINS)

    def linear(self, row: int) -> Ints | None:
        """Return a row's (128,) linear histogram; None where the activation is not bounded."""
        histogram = self.linears[row]
        if histogram is None:
            return None
        if isinstance(histogram, bytes):
            return native.linear_of(histogram) if native.has_linear(histogram) else None
        return _dense(histogram, LINEAR_BINS)

    def units(self, row: int) -> Floats:
        """Return a row's units, (6, units), their fields named by `recording.UNIT_FIELDS`."""
        portion = bisect_right(self.portions, row, key=lambda units: units.first) - 1
        return self.portions[portion].of(row - self.portions[portion].first)

    def compact(self) -> Table:
        """Return a table with the same answers that takes a few kB a row, to be kept for long."""
        rows = range(len(self.numbers))
        linears = [self.linear(row) for row in rows]
        return self._replace(
            logs=[Sparse.of(self.log(row)) for row in rows],
            linears=[None if linear is None else Sparse.of(linear) for linear in linears],
        )


def describe(states: Sequence[TensorState], dies: Sequence[bool]) -> Table:
    """Compute the rows of some states; this copies them from their devices.

    Args:
        states: of tensors.
        dies: for each, whether a unit whose maximum is <= 0 is dead (an activation with phi = phi' = 0 on a
            half-line).
    """
    if len(states) != len(dies):
        raise ValueError(f"expected one `dies` for each of {len(states)} states, got {len(dies)}")
    if not states:
        return Table(np.empty((0, len(NUMBERS))), [], [], [])
    facts = np.array([(*state[1:5], dead) for state, dead in zip(states, dies, strict=True)], dtype=np.int64)
    numbers, portions = [], []
    logs: list[Histogram] = []
    linears: list[Histogram | None] = []
    for rows, packed in _packed(states, facts[:, 2]):
        summary = summarise(packed, facts[rows])
        numbers.append(summary.numbers)
        logs += packed.logs
        linears += packed.linears
        portions.append(_narrow(rows.start, packed.units, summary.units))
    return Table(np.concatenate(numbers), logs, linears, portions)


def _packed(states: Sequence[TensorState], units: Ints) -> Iterator[tuple[slice, Packed]]:
    """Yield some rows at a time: blocks of the kernel's as they are needed, all others after one copy."""
    whole = None if are_blocks(states) else pack(states)
    for rows, places in _portions(units):
        yield rows, pack(states[rows]) if whole is None else whole.part(rows, places)


def _portions(units: Ints) -> Iterator[tuple[slice, slice]]:
    """Yield rows that follow each other, and the places of their units: about `PORTION` at a time."""
    ends = np.cumsum(units)
    first = start = 0
    while first < len(units):
        last = max(int(np.searchsorted(ends, start + PORTION, side="right")), first + 1)
        end = int(ends[last - 1])
        yield slice(first, last), slice(start, end)
        first, start = last, end


def _narrow(first: int, sizes: Ints, units: Floats) -> Units:
    """Keep (6, all units) in float32, and counts once for a row where they are the same for all."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n = units[0]
    even = np.full(len(sizes), np.nan)
    filled = sizes > 0
    even[filled] = n[starts[:-1][filled]]
    differs = n != np.repeat(even, sizes)
    rows = np.repeat(np.arange(len(sizes)), sizes)[differs] if differs.any() else ()
    uneven = {int(row): n[starts[row] : starts[row + 1]].copy() for row in np.unique(rows).tolist()}
    return Units(first, starts, even, uneven, _as_float32(units[1:]))


def _as_float32(fields: Floats) -> NDArray[np.float32] | Floats:
    """Return float32, or what came where a number's magnitude would be lost."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = fields.astype(np.float32)
    lost = (narrow == 0) & (fields != 0) | np.isinf(narrow)
    return fields if lost.any() else narrow


def _dense(histogram: Ints | Sparse, size: int) -> Ints:
    return histogram.dense(size) if isinstance(histogram, Sparse) else histogram
