"""From packed states to the numbers of their rows, all at once; `_native/summary.c` does it for blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag import schema
from actdiag.statistics import quantiles
from actdiag.statistics.moments import MANY
from actdiag.statistics.packing import Packed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
NUMBERS = tuple(schema.COUNTED)


class Rows:
    """The units of all rows, one row after the other, and how to reduce them row by row.

    Attributes:
        units: (rows,) how many each row has.
    """

    def __init__(self, units: Ints) -> None:
        self.units = units
        self._filled = units > 0
        self._all = bool(self._filled.all())
        self._starts = (np.cumsum(units) - units)[self._filled]

    def reduce(self, how: np.ufunc, values: NDArray[np.generic], empty: float = 0.0) -> Floats:
        """Reduce (all units,) to (rows,); a row without units gets `empty`."""
        found: Floats = how.reduceat(values, self._starts) if self._starts.size else np.empty(0)
        if self._all:
            return found
        whole = np.full(len(self.units), empty)
        whole[self._filled] = found
        return whole

    def sum(self, values: Floats) -> Floats:
        """Add up (all units,) to (rows,)."""
        return self.reduce(np.add, values)

    def count(self, mask: Mask) -> Floats:
        """Count the units of each row that have a property: (rows,)."""
        return self.reduce(np.add, mask.astype(np.float64))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give each unit its row's value: (rows,) to (all units,)."""
        return np.repeat(values, self.units)

    def first(self, mask: Mask) -> Ints:
        """Return the place of each row's first unit in `mask`, 0 where there is none: (rows,)."""
        if self._all and mask.all():
            return self._starts
        last = len(mask)
        place = self.reduce(np.minimum, np.where(mask, np.arange(last), last), last).astype(np.int64)
        return np.where(place < last, place, 0)


class UnitMoments(NamedTuple):
    """Each unit's finite count, mean and sum of squared deviations, (all units,) float64.

    The latter is in units of `scale` squared, see `moments.Moments`.
    """

    n: Floats
    mean: Floats
    m2: Floats
    scale: Floats  # (rows,)
    unit_scale: Floats | float  # the same for each unit

    @classmethod
    def of(cls, sums: Floats, scale: Floats | None, rows: Rows) -> UnitMoments:
        """Return the moments about the mean; mean and m2 are NaN for a unit without finite values."""
        n, pivot, first, second = sums
        if scale is None:
            offset = first / n
            return cls(n, pivot + offset, np.maximum(second - first * offset, 0.0), np.ones(1), 1.0)
        unit_scale, spare = rows.spread(scale), rows.spread(np.clip(scale, 1.0, MANY))
        offset, down = first / n, spare / unit_scale
        m2 = np.maximum(second - (first * down) * (offset * down), 0.0)
        return cls(n, pivot + offset * spare, m2, scale, unit_scale)

    @property
    def std(self) -> Floats:
        """Return each unit's standard deviation (of the population: divided by n)."""
        return self.unit_scale * np.sqrt(self.m2 / self.n)


class Summary(NamedTuple):
    """What a table holds of each row.

    `units` are (6, all units), its rows named by `recording.UNIT_FIELDS`.
    """

    numbers: Floats  # (rows, len(NUMBERS)); NaN where not defined
    units: Floats


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def summarise(packed: Packed, facts: Ints) -> Summary:
    """Compute the numbers of all rows.

    mean, std, rms, extremes and quantiles are over finite elements; all are NaN where there is none.
    std_across and correlation need two samples.

    Args:
        packed: their states.
        facts: (rows, 5) samples, positions, units and elements of each, and whether a unit whose maximum is
            <= 0 is dead.
    """
    samples, positions, _, elements, dies = facts.T
    rows, several = Rows(packed.units), samples >= 2
    scales = (None, None) if packed.scales is None else packed.scales.T
    pooled = UnitMoments.of(packed.sums[:4], scales[0], rows)
    alike = bool((positions == 1).all())  # a sample's mean over one position is its value
    across = pooled if alike else UnitMoments.of(packed.sums[6:], scales[1], rows)
    highest, lowest = packed.sums[4:6]
    alive = pooled.n > 0
    any_finite = rows.count(alive) > 0
    low = np.where(any_finite, rows.reduce(np.minimum, lowest), np.nan)
    high = np.where(any_finite, rows.reduce(np.maximum, highest), np.nan)
    p01, p50, p99 = np.clip(quantiles.values(packed.places), low[:, None], high[:, None]).T
    mean, std, rms = _pool(pooled, alive, rows)
    zeros, _, subnormal, nan, inf = packed.counts.T
    columns = {
        "samples": samples,
        "units": packed.units,
        "positions": positions,
        "count": elements,
        "mean": mean,
        "std": std,
        "std_across": np.where(several, _std_across(across, rows), np.nan),
        "rms": rms,
        "min": low,
        "max": high,
        "p01": p01,
        "p50": p50,
        "p99": p99,
        "zero_fraction": zeros / elements,
        "saturated_fraction": packed.saturated / elements,
        "dead_units": np.where(dies > 0, rows.count(alive & (highest <= 0)), np.nan),
        "constant_units": np.where(several, rows.count(alive & (highest == lowest)), np.nan),
        "correlation": np.where(several, _correlation(across, samples, rows), np.nan),
        "nan_count": nan,
        "inf_count": inf,
        "subnormal_fraction": subnormal / elements,
        "grad_to_weight": np.full(len(samples), np.nan),
    }
    spread = across.std if several.all() else np.where(rows.spread(several), across.std, np.nan)
    numbers = np.stack([columns[name] for name in NUMBERS], axis=1).astype(np.float64, copy=False)
    return Summary(numbers, _fields(pooled, spread, highest, lowest))


@np.errstate(invalid="ignore", divide="ignore")
def units_of(sums: Floats, across: Floats, several: bool) -> Floats:
    """Return (6, units) of one tensor from its unscaled sums, see `Packed` and `Summary`.

    Args:
        sums: (6, units) n, pivot, first, second, highest and lowest.
        across: (4, units) n, pivot, first and second of the samples' means.
        several: there are two samples or more.
    """
    rows = Rows(np.array([sums.shape[1]]))
    pooled, apart = UnitMoments.of(sums[:4], None, rows), UnitMoments.of(across, None, rows)
    spread = apart.std if several else np.full(sums.shape[1], np.nan)
    return _fields(pooled, spread, sums[4], sums[5])


def _fields(pooled: UnitMoments, spread: Floats, highest: Floats, lowest: Floats) -> Floats:
    alive = pooled.n > 0
    extremes = (np.where(alive, highest, np.nan), np.where(alive, lowest, np.nan))
    return np.stack([pooled.n, pooled.mean, pooled.std, spread, *extremes])


def _pool(units: UnitMoments, alive: Mask, rows: Rows) -> tuple[Floats, Floats, Floats]:
    """Return mean, std and rms of each row over all units, by the law of total variance."""
    total = rows.sum(units.n)
    mean, m2 = _known(units.mean, alive), _known(units.m2, alive)
    scaled = mean / units.unit_scale
    pivot = scaled[rows.first(alive)] if mean.size else np.zeros(len(total))
    centre = pivot + rows.sum(units.n * (scaled - rows.spread(pivot))) / total
    variance = (rows.sum(m2) + rows.sum(units.n * (scaled - rows.spread(centre)) ** 2)) / total
    rms = np.sqrt(variance + centre**2)
    return units.scale * centre, units.scale * np.sqrt(variance), units.scale * rms


def _known(values: Floats, known: Mask) -> Floats:
    """Return 0 for units that are not known."""
    return values if known.all() else np.where(known, values, 0.0)


def _std_across(across: UnitMoments, rows: Rows) -> Floats:
    """Return the rms over units of each unit's standard deviation across samples."""
    known = across.n > 0
    return across.scale * np.sqrt(rows.sum(_known(across.m2 / across.n, known)) / rows.count(known))


def _correlation(across: UnitMoments, samples: Ints, rows: Rows) -> Floats:
    """Return the mean correlation between two different samples, over their mean squared norm.

    (||sum_i x_i||^2 - sum_i ||x_i||^2) / (B (B - 1)) over sum_i ||x_i||^2 / B, with x_i the sample's means
    over positions. Units that are not finite on every sample are left out. NaN below two samples, and
    where every sample is zero.
    """
    whole = across.n == rows.spread(samples.astype(np.float64))
    square_of_mean = rows.sum(_known((across.mean / across.unit_scale) ** 2, whole))
    mean_of_square = rows.sum(_known(across.m2, whole)) / samples + square_of_mean
    return (samples * square_of_mean / mean_of_square - 1.0) / (samples - 1)
