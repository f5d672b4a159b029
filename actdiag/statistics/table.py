"""The rows of a training step: their numbers, and the arrays behind them in little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag.arrays import Histograms, Tables
from actdiag.arrays import Units as StoredUnits
from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.statistics import native, quantiles
from actdiag.statistics.packing import pack
from actdiag.statistics.state import TensorState
from actdiag.statistics.summary import NUMBERS, summarise, units_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_LOW, _HIGH, _FIRST, _LAST = (NUMBERS.index(name) for name in ("min", "max", "p01", "p99"))
_QUANTILES = slice(_FIRST, _LAST + 1)
PORTION = 8192
"""Units that are reduced together: their numbers stay in the cache, and in memory that is used again."""


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


class Units(NamedTuple):
    """The units of a row."""

    n: float | Floats  # finite values of each; one number where it is the same for all
    fields: NDArray[np.float32] | Floats  # (5, units); float64 where float32 would lose a magnitude

    def whole(self) -> Floats:
        """Return (6, units) float64, its rows named by `recording.UNIT_FIELDS`."""
        units = np.empty((6, self.fields.shape[1]))
        units[0], units[1:] = self.n, self.fields
        return units


class Kept(NamedTuple):
    """The arrays of a row."""

    log: Ints | Sparse
    linear: Ints | Sparse | None
    units: Units


class Table(NamedTuple):
    """What was measured, a row for each state.

    Attributes:
        numbers: (rows, len(schema.COUNTED)) float64 in that order; NaN where not defined.
        arrays: of each row, or the state with the block of the C kernel's that they are in.
    """

    numbers: Floats
    arrays: Sequence[TensorState | Kept]

    def log(self, row: int) -> Ints:
        """Return a row's (4096,) log-linear histogram, see `actdiag.bins`."""
        held = self.arrays[row]
        return _dense(held.log, LOG_BINS) if isinstance(held, Kept) else native.log_of(_block(held))

    def linear(self, row: int) -> Ints | None:
        """Return a row's (128,) linear histogram; None where the activation is not bounded."""
        held = self.arrays[row]
        if isinstance(held, Kept):
            return None if held.linear is None else _dense(held.linear, LINEAR_BINS)
        return native.linear_of(_block(held)) if native.has_linear(_block(held)) else None

    def units(self, row: int) -> Floats:
        """Return a row's units, (6, units), their fields named by `recording.UNIT_FIELDS`."""
        return self._units(row).whole()

    def stored(self) -> Tables:
        """Return all arrays as a recording holds them, by row."""
        rows = range(len(self.arrays))
        if all(isinstance(held, TensorState) for held in self.arrays):
            return _packed([held for held in self.arrays if isinstance(held, TensorState)])
        linear = {row: self.linear(row) for row in rows}
        return (
            Histograms.of({row: self.log(row) for row in rows}),
            Histograms.of({row: held for row, held in linear.items() if held is not None}, LINEAR_BINS),
            StoredUnits.of({row: self.units(row) for row in rows}),
        )

    def compact(self) -> Table:
        """Return a table with the same histograms and units to float32 that takes a few kB a row."""
        return self._replace(arrays=[self._kept(row) for row in range(len(self.numbers))])

    def _kept(self, row: int) -> Kept:
        linear = self.linear(row)
        return Kept(Sparse.of(self.log(row)), None if linear is None else Sparse.of(linear), self._units(row))

    def _units(self, row: int) -> Units:
        held = self.arrays[row]
        if isinstance(held, Kept):
            return held.units
        return next(_narrow([held.units], units_of(*native.sums_of(_block(held)), held.samples >= 2)))


def _packed(states: Sequence[TensorState]) -> Tables:
    """Return the arrays of states that hold blocks."""
    if not states:
        return Histograms.none(), Histograms.none(LINEAR_BINS), StoredUnits.none()
    rows, packed = np.arange(len(states)), native.pack(states)
    linear, bounded = packed.linear, packed.linear.lengths >= 0
    return (
        Histograms.adjacent(rows, *packed.log, LOG_BINS),
        Histograms.adjacent(rows[bounded], linear.lengths[bounded], *linear[1:], LINEAR_BINS),
        StoredUnits.adjacent(rows, packed.units, packed.seen, packed.narrow, packed.wide),
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
    blocks = [row for row, state in enumerate(states) if type(state.content) is bytes]
    numbers = np.empty((len(states), len(NUMBERS)))
    arrays: list[TensorState | Kept] = list(states)
    if blocks:
        numbers[blocks] = native.describe([states[row] for row in blocks], [dies[row] for row in blocks])
    others = sorted(set(range(len(states))) - set(blocks))
    described = _described([states[row] for row in others], [dies[row] for row in others])
    for row, (line, kept) in zip(others, described, strict=True):
        numbers[row], arrays[row] = line, kept
    quantiles.forget_unknown(numbers[:, _QUANTILES], numbers[:, _LOW], numbers[:, _HIGH])
    return Table(numbers, arrays)


def _described(states: Sequence[TensorState], dies: Sequence[bool]) -> Iterator[tuple[Floats, Kept]]:
    """Yield the numbers and the arrays of states that are tensors, after one copy of all."""
    if not states:
        return
    facts = np.array([(*state[1:5], dead) for state, dead in zip(states, dies, strict=True)], dtype=np.int64)
    whole = pack(states)
    for rows, places in _portions(whole.units):
        packed = whole.part(rows, places)
        summary = summarise(packed, facts[rows])
        units = _narrow(packed.units.tolist(), summary.units)
        yield from zip(summary.numbers, map(Kept, packed.logs, packed.linears, units), strict=True)


def _portions(units: Ints) -> Iterator[tuple[slice, slice]]:
    """Yield rows that follow each other, and the places of their units: about `PORTION` at a time."""
    ends = np.cumsum(units)
    first = start = 0
    while first < len(units):
        last = max(int(np.searchsorted(ends, start + PORTION, side="right")), first + 1)
        end = int(ends[last - 1])
        yield slice(first, last), slice(start, end)
        first, start = last, end


def _narrow(sizes: Sequence[int], units: Floats) -> Iterator[Units]:
    """Yield the units of rows of these sizes from (6, all units)."""
    n, fields = units[0], _as_float32(units[1:])
    ends = np.cumsum(sizes)
    uneven = np.concatenate([[0], np.cumsum(n[1:] != n[:-1])])  # steps up to each unit
    for size, end in zip(sizes, ends.tolist(), strict=True):
        here = slice(end - size, end)
        even = size == 0 or uneven[end - 1] == uneven[end - size]
        yield Units(float(n[end - 1]) if size and even else n[here].copy(), fields[:, here])


def _as_float32(fields: Floats) -> NDArray[np.float32] | Floats:
    """Return float32, or what came where a number's magnitude would be lost."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = fields.astype(np.float32)
    lost = (narrow == 0) & (fields != 0) | np.isinf(narrow)
    return fields if lost.any() else narrow


def _block(state: TensorState) -> bytes:
    assert isinstance(state.content, bytes)
    return state.content


def _dense(histogram: Ints | Sparse, size: int) -> Ints:
    return histogram.dense(size) if isinstance(histogram, Sparse) else histogram
