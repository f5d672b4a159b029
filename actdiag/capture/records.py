"""From states to the rows of a step: the only place where numbers leave their device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag import schema
from actdiag.activations import activation
from actdiag.arrays import Histograms, Tables, Units
from actdiag.bins import LOG_BINS
from actdiag.capture.guard import from_signal
from actdiag.capture.sites import Site
from actdiag.statistics import Table, TensorState, describe

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Failed = Callable[[str, Exception], None]

IN_UNITS_OF_THE_TENSOR = ("mean", "std", "std_across", "rms", "min", "max", "p01", "p50", "p99")
"""The statistics that a factor on the tensor multiplies."""
NUMBERS = tuple(schema.COUNTED)
_SCALED = np.array([name in IN_UNITS_OF_THE_TENSOR for name in NUMBERS])
_GRAD_TO_WEIGHT, _RMS = NUMBERS.index("grad_to_weight"), NUMBERS.index("rms")


class Place(NamedTuple):
    """What a row is about."""

    layer: int
    module: str
    module_type: str
    call: int
    path: str
    tensor: str
    backward: int
    unit_axis: int
    dtype: str = ""


class Record(NamedTuple):
    """One row to be.

    Attributes:
        place: what it is about.
        state: of the tensor.
        dies: see `statistics.describe`.
        scale: the tensor is this many times what it stands for, as under loss scaling.
    """

    place: Place
    state: TensorState
    dies: bool = False
    scale: float = 1.0


class Rows(NamedTuple):
    """Rows without arrays: what each is about, and (rows, len(NUMBERS)) numbers."""

    places: tuple[Place, ...]
    numbers: Floats

    @classmethod
    def none(cls) -> Rows:
        """Return no rows."""
        return cls((), np.empty((0, len(NUMBERS))))

    @classmethod
    def together(cls, parts: Sequence[Rows]) -> Rows:
        """Return the rows of all parts."""
        if len(parts) == 1:
            return parts[0]
        places = tuple(place for part in parts for place in part.places)
        return cls(places, np.concatenate([part.numbers for part in parts]))


@dataclass(frozen=True)
class Arrays:
    """The histograms and unit arrays of a step's rows."""

    table: Table
    scales: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.scales)

    def log(self, row: int) -> Counts:
        """Return the log-linear histogram, (4096,)."""
        log = self.table.log(row)
        return log if self.scales[row] == 1.0 else _shifted(log, self.scales[row])

    def linear(self, row: int) -> Counts | None:
        """Return the linear histogram, (128,), None where the activation is not bounded."""
        return self.table.linear(row)

    def units(self, row: int) -> Floats:
        """Return the unit array, (6, units), see `recording.UNIT_FIELDS`."""
        units = self.table.units(row)
        if self.scales[row] == 1.0:
            return units
        return np.vstack([units[:1], units[1:] / self.scales[row]])  # the first row counts values

    def stored(self) -> Tables:
        """Return all of them as a recording holds them, by row."""
        if all(scale == 1.0 for scale in self.scales):
            return self.table.stored()
        rows = range(len(self))
        return (
            Histograms.of({row: self.log(row) for row in rows}),
            self.table.stored()[1],
            Units.of({row: self.units(row) for row in rows}),
        )

    def compact(self) -> Arrays:
        """Return the same in little room, for keeping long."""
        return replace(self, table=self.table.compact())


def measure(records: Sequence[Record], failed: Failed) -> tuple[tuple[Place, ...], Floats, Arrays]:
    """Return the places of the records that could be described, their numbers and their arrays.

    Args:
        records: of one step.
        failed: is told of one that could not: (module, error). It takes no other with it.

    Returns:
        The places, (places, len(NUMBERS)) numbers, the arrays.
    """
    try:
        table = _table(records)
    except Exception as error:
        if from_signal(error):
            raise
        records = [record for record in records if _can_be_described(record, failed)]
        table = _table(records)
    places = tuple(record.place for record in records)
    scales = tuple(record.scale for record in records)
    numbers = table.numbers
    if any(scale != 1.0 for scale in scales):
        numbers = np.where(_SCALED, numbers / np.array(scales)[:, None], numbers)
    set_beside(places, numbers)
    return places, numbers, Arrays(table, scales)


def _table(records: Sequence[Record]) -> Table:
    return describe([record.state for record in records], [record.dies for record in records])


def _can_be_described(record: Record, failed: Failed) -> bool:
    try:
        _table([record])
    except Exception as error:
        if from_signal(error):
            raise
        failed(record.place.module, error)
        return False
    return True


def set_beside(places: Sequence[Place], numbers: Floats) -> None:
    """Set the rms of each weight's gradient over that of the weight, whose row comes before it."""
    rows = [row for row, place in enumerate(places) if place.tensor == "weight_grad"]
    set_ratios([row for row in rows if row and _is_weight(places[row - 1], places[row].module)], numbers)


def set_ratios(rows: Sequence[int], numbers: Floats) -> None:
    """Set the rms of gradients' rows over that of the weights, whose rows come right before them."""
    with np.errstate(all="ignore"):
        numbers[rows, _GRAD_TO_WEIGHT] = numbers[rows, _RMS] / numbers[np.array(rows, dtype=int) - 1, _RMS]


def _is_weight(place: Place, module: str) -> bool:
    return place.tensor == "weight" and place.module == module


def records_of(site: Site, scale: float) -> list[Record]:
    """Return the record of a site's tensor and of its gradient in each backward pass."""
    found = []
    if site.forward is not None:
        dies = bool(site.activation) and activation(site.activation).dies
        found.append(Record(_place(site, site.tensor, 0, site.forward), site.forward, dies))
    for number, state in sorted(site.backward.items()):
        found.append(Record(_place(site, f"{site.tensor}_grad", number, state), state, False, scale))
    return found


def _place(site: Site, tensor: str, backward: int, state: TensorState) -> Place:
    """Return what a row of a site is about.

    The unit axis is that of the tensor itself, also where it was measured with a batch axis of 1 before it.
    """
    axis = state.unit_axis - site.single
    where = site.layer, site.module, site.module_type, site.call, site.path
    return Place(*where, tensor, backward, axis, spell(site.dtype))


def spell(dtype: torch.dtype | None) -> str:
    """Return a number format's name.

    >>> spell(torch.float16)
    'float16'
    """
    return "" if dtype is None else str(dtype).removeprefix("torch.")


def _shifted(log: Counts, scale: float) -> Counts:
    """Return the log-linear histogram of the values divided by `scale`.

    Exact where the scale is a power of two, as loss scales are: 8 bins make a power of two. Another one is
    rounded to an eighth of a power of two. What falls below the smallest float32 is counted there.
    """
    steps = round(8.0 * math.log2(scale)) if 0.0 < scale < math.inf else 0
    half = LOG_BINS // 2
    shifted = np.zeros_like(log)
    for sign in (0, half):
        places = np.arange(half)
        finite = places < half - 8  # the highest exponent holds NaN and Inf
        target = np.where(finite & (places >= 8), np.clip(places - steps, 0, half - 9), places)
        np.add.at(shifted, sign + target, log[sign : sign + half])
    return shifted
