"""From a state to the numbers of a row: the only place where a state leaves its device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actdiag.bins import quantiles
from actdiag.statistics.moments import Moments
from actdiag.statistics.state import TensorState

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """What a row and its arrays hold of a tensor.

    Attributes:
        numbers: column name -> number; NaN where it is not defined.
        units: (6, units) float64, its rows named by `recording.UNIT_FIELDS`.
    """

    numbers: Mapping[str, float | int]
    units: Floats


@dataclass(frozen=True)
class UnitMoments:
    """Each unit's finite count, mean and sum of squared deviations, (units,) float64.

    The latter is in units of `scale` squared, see `Moments`.
    """

    n: Floats
    mean: Floats
    m2: Floats
    scale: float

    @classmethod
    def of(cls, state: Moments) -> UnitMoments:
        """Return the moments about the mean; mean and m2 are NaN for a unit without finite values."""
        n, pivot, first, second, scale = (field.cpu().numpy() for field in state)
        with np.errstate(invalid="ignore", divide="ignore"):
            offset = first / n
            m2 = np.maximum(second - (first / scale) * (offset / scale), 0.0)
        return cls(n, pivot + offset, np.where(n > 0, m2, np.nan), float(scale))

    @property
    def std(self) -> Floats:
        """Return each unit's standard deviation (of the population: divided by n)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.scale * np.sqrt(self.m2 / self.n)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def describe(state: TensorState, dies: bool = False) -> Summary:
    """Compute the numbers of a row.

    mean, std, rms, extremes and quantiles are over finite elements; all are NaN where there is none.
    std_across and correlation need two samples.

    Args:
        state: of one tensor.
        dies: whether a unit whose maximum is <= 0 is dead (an activation with phi = phi' = 0 on a half-line).
    """
    pooled, across = UnitMoments.of(state.pooled), UnitMoments.of(state.across)
    highest, lowest = (extreme.cpu().numpy() for extreme in (state.highest, state.lowest))
    elements, zeros, _, subnormal, nan, inf = (int(count) for count in state.counters)
    several = state.samples >= 2
    alive = pooled.n > 0
    p01, p50, p99 = quantiles(state.log.cpu().numpy(), (0.01, 0.50, 0.99))
    low, high = _whole(lowest, alive, np.min), _whole(highest, alive, np.max)
    numbers = {
        "samples": state.samples,
        "units": state.units,
        "positions": state.positions,
        "count": elements,
        **_pool(pooled),
        "std_across": across.scale * _mean((across.std / across.scale) ** 2) ** 0.5 if several else np.nan,
        "min": low,
        "max": high,
        "p01": float(np.clip(p01, low, high)),
        "p50": float(np.clip(p50, low, high)),
        "p99": float(np.clip(p99, low, high)),
        "zero_fraction": _share(zeros, elements),
        "saturated_fraction": np.nan if state.saturated is None else _share(int(state.saturated), elements),
        "dead_units": float((alive & (highest <= 0)).sum()) if dies else np.nan,
        "constant_units": float((alive & (highest == lowest)).sum()) if several else np.nan,
        "correlation": correlation(across, state.samples),
        "nan_count": nan,
        "inf_count": inf,
        "subnormal_fraction": _share(subnormal, elements),
    }
    spread = across.std if several else np.full(state.units, np.nan)
    extremes = (np.where(alive, highest, np.nan), np.where(alive, lowest, np.nan))
    return Summary(numbers, np.stack([pooled.n, pooled.mean, pooled.std, spread, *extremes]))


def _pool(units: UnitMoments) -> dict[str, float]:
    """Return mean, std and rms over all units, by the law of total variance."""
    alive = units.n > 0
    n, mean, m2 = units.n[alive], units.mean[alive], units.m2[alive]
    total = n.sum()
    if total == 0:
        return dict.fromkeys(("mean", "std", "rms"), np.nan)
    pivot, scale = mean[0], units.scale
    centre = pivot + (n * (mean - pivot)).sum() / total
    variance = (m2.sum() + (n * ((mean - centre) / scale) ** 2).sum()) / total
    rms = (variance + (centre / scale) ** 2) ** 0.5
    return {"mean": float(centre), "std": float(scale * variance**0.5), "rms": float(scale * rms)}


def correlation(across: UnitMoments, samples: int) -> float:
    """Return the mean correlation between two different samples, over their mean squared norm.

    (||sum_i x_i||^2 - sum_i ||x_i||^2) / (B (B - 1)) over sum_i ||x_i||^2 / B, with x_i the sample's means
    over positions. Units that are not finite on every sample are left out. NaN below two samples, and
    where every sample is zero.
    """
    whole = across.n == samples
    if samples < 2 or not whole.any():
        return np.nan
    square_of_mean = ((across.mean[whole] / across.scale) ** 2).sum()
    mean_of_square = across.m2[whole].sum() / samples + square_of_mean
    if mean_of_square == 0:
        return np.nan
    return float((samples * square_of_mean / mean_of_square - 1.0) / (samples - 1))


def _mean(values: Floats) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else np.nan


def _whole(values: Floats, alive: NDArray[np.bool_], reduce: np.ufunc | object) -> float:
    return float(reduce(values[alive])) if alive.any() else np.nan  # type: ignore[operator]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan
