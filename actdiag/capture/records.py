"""From states to the numbers of a row: the only place where they leave their device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag import schema
from actdiag.activations import activation
from actdiag.bins import LOG_BINS
from actdiag.capture.sites import Site
from actdiag.statistics import TensorState, describe

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


@dataclass(frozen=True)
class Record:
    """One row to be, and its arrays.

    Attributes:
        place: what it is about.
        numbers: (len(NUMBERS),) float64; counts below 2^53 are exact.
        log: (4096,) log-linear histogram.
        units: (6, units), see `recording.UNIT_FIELDS`.
        linear: (128,) linear histogram, None where the activation is not bounded.
    """

    place: Place
    numbers: NDArray[np.float64]
    log: NDArray[np.int64]
    units: NDArray[np.float64]
    linear: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, place: Place, state: TensorState, dies: bool = False, scale: float = 1.0) -> Record:
        """Return the record of a state; this copies it from its device.

        Args:
            place: what it is about; its unit_axis is taken from the state.
            state: of the tensor.
            dies: see `statistics.describe`.
            scale: the tensor is this many times what it stands for, as under loss scaling.
        """
        summary = describe(state, dies)
        values: dict[str, Any] = {"grad_to_weight": np.nan, **summary.numbers}
        numbers = np.array([values[name] for name in NUMBERS], dtype=np.float64)
        log, units = state.log.cpu().numpy(), summary.units
        if scale != 1.0:
            numbers = np.where(_SCALED, numbers / scale, numbers)
            units = np.vstack([units[:1], units[1:] / scale])  # the first row counts values
            log = _shifted(log, scale)
        linear = None if state.linear is None else state.linear.cpu().numpy()
        return cls(place._replace(unit_axis=state.unit_axis), numbers, log, units, linear)

    def beside(self, weight: Record) -> Record:
        """Return this gradient's record with its rms over the weight's."""
        numbers = self.numbers.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers[_GRAD_TO_WEIGHT] = np.divide(numbers[_RMS], weight.numbers[_RMS])
        return Record(self.place, numbers, self.log, self.units, self.linear)


def records_of(site: Site, scale: float) -> Iterator[Record]:
    """Yield the record of a site's tensor and of its gradient in each backward pass."""
    dies = bool(site.activation) and activation(site.activation).dies
    place = Place(site.layer, site.module, site.module_type, site.call, site.path, site.tensor, 0, -1)
    if site.forward is not None:
        yield _unlifted(site, Record.of(place, site.forward, dies))
    for number, state in sorted(site.backward.items()):
        named = place._replace(tensor=f"{site.tensor}_grad", backward=number)
        yield _unlifted(site, Record.of(named, state, scale=scale))


def _unlifted(site: Site, record: Record) -> Record:
    """Name the unit axis of the tensor itself, where it was measured with a batch axis of 1 before it."""
    if not site.single:
        return record
    place = record.place._replace(unit_axis=record.place.unit_axis - 1)
    return Record(place, record.numbers, record.log, record.units, record.linear)


def _shifted(log: NDArray[np.int64], scale: float) -> NDArray[np.int64]:
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
