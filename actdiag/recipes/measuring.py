"""Read numbers off recordings, one for each draw."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actdiag.activations import activation
from actdiag.initialisers import initialiser
from actdiag.recording import Recording
from actdiag.scanning import draws, scan
from actdiag.theory import propagate
from actdiag.theory.chain import Layer, Moments
from actdiag.types import RunSpec


def scans(spec: RunSpec, count: int) -> list[Recording]:
    """Measure `count` draws of a network that differ in their seed."""
    return [scan(drawn) for drawn in draws(spec, count)]


def each(recordings: Sequence[Recording], tensor: str, column: str, layer: int) -> list[float]:
    """Return one measured number of each recording.

    Args:
        recordings: of one run each.
        tensor: `activation`, `preactivation_grad`, ...
        column: a statistic, `std`.
        layer: from 1; the head is depth + 1.
    """
    return [value(recording, tensor, column, layer) for recording in recordings]


def value(recording: Recording, tensor: str, column: str, layer: int) -> float:
    """Return one measured number of a recording's only run."""
    rows = recording.measured
    (found,) = rows.loc[(rows["tensor"] == tensor) & (rows["layer"] == layer), column]
    return float(found)


def outer_share(recording: Recording, layer: int, edge: float) -> float:
    """Return the share of a bounded activation that lies within `edge` of the range's ends, 0 < edge < 0.5.

    Args:
        recording: of one run.
        layer: from 1.
        edge: share of the range at either end, a multiple of 1 / 128.
    """
    rows = recording.measured
    (index,) = rows.index[(rows["tensor"] == "activation") & (rows["layer"] == layer)]
    counts = recording.linear[index]
    bins = round(edge * len(counts))
    return float((counts[:bins].sum() + counts[-bins:].sum()) / counts.sum())


def mean_field(spec: RunSpec) -> tuple[Moments, ...]:
    """Return what theory says of each hidden layer of a network on white noise, by its fans alone.

    `Moments.activation` has mean, std, std_across and rms; `log_gradient` is ln |dLoss/dz|^2, 0 at the last.
    """
    init, features = initialiser(spec.init), spec.features or spec.width
    fans = [(features, spec.width)] + [(spec.width, spec.width)] * (spec.depth - 1) + [(spec.width, 10)]
    gain = spec.gain if isinstance(spec.gain, float) else None
    layers = [
        Layer(i, o, init.variance(i, o, gain), unit_variance=math.isnan(init.variance(i, o))) for i, o in fans
    ]
    return propagate(activation(spec.act), layers)


def ratios(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    """Return upper / lower draw by draw; NaN where both are 0."""
    return [a / b if b else math.nan if not a else math.inf for a, b in zip(upper, lower, strict=True)]
