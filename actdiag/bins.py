"""The log-linear histogram that a recording holds, read from a float's own bits.

A bin is the upper twelve bits of a float32: sign, 8 exponent bits, 3 mantissa bits. Bin numbers below
2048 are positive values in rising order, those from 2048 are negative values in falling order; the bins
of exponent 255 hold Inf and NaN and take no part in anything computed here. A bin spans 1/8 of its
power of two, so that its middle is within 1/16 of every value in it (Masson et al. 2019, DDSketch); the two
that touch 0 reach to 1.5e-39. Float64 values beyond float32's largest are counted in the last finite bins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

LOG_BINS = 4096
"""Bins of the log-linear histogram."""
LINEAR_BINS = 128
"""Bins of the linear histogram that a bounded activation keeps besides."""
FLOAT32_MAX = float(np.finfo(np.float32).max)
_HALF = 2048
_FINITE = 255 * 8


def _edges() -> Floats:
    """Return the `_FINITE` + 1 magnitudes between the positive finite bins, rising from 0."""
    patterns = np.arange(_FINITE, dtype=np.uint32) << 20
    magnitudes = patterns.view(np.float32).astype(np.float64)
    return np.append(magnitudes, 2.0**128)


EDGES = _edges()


def in_value_order(counts: Counts) -> tuple[Counts, Floats]:
    """Return the finite bins from the most negative value to the most positive, and the edges between.

    Args:
        counts: (4096,) as recorded.

    Returns:
        ((4080,) counts, (4081,) rising edges).
    """
    negative = counts[_HALF : _HALF + _FINITE][::-1]
    edges = np.concatenate([-EDGES[:0:-1], EDGES])
    return np.concatenate([negative, counts[:_FINITE]]), edges


def quantiles(counts: Counts, shares: Sequence[float]) -> Floats:
    """Return the value below which each share of the finite elements lies, to 1/16 relative.

    Args:
        counts: (4096,) log-linear histogram.
        shares: between 0 and 1.

    Returns:
        (len(shares),) middles of the bins that hold the element of rank ceil(share * n); NaN for n = 0.
    """
    ordered, edges = in_value_order(counts)
    cumulative = np.cumsum(ordered)
    if cumulative[-1] == 0:
        return np.full(len(shares), np.nan)
    ranks = np.clip(np.ceil(np.asarray(shares) * cumulative[-1]), 1, None)
    found = np.searchsorted(cumulative, ranks)
    middles: Floats = _middles(edges)[found]
    return middles


def _middles(edges: Floats) -> Floats:
    """Return each bin's middle; the two bins that touch 0 stand for 0 itself."""
    middles = 0.5 * (edges[1:] + edges[:-1])
    centre = len(middles) // 2
    middles[centre - 1 : centre + 1] = 0.0
    return middles


def rebin(counts: Counts, edges: Floats) -> Floats:
    """Spread a log-linear histogram over linear bins, each count evenly over its own bin's width.

    Args:
        counts: (4096,) log-linear histogram.
        edges: (bins + 1,) rising. What lies outside is dropped: compare the sums.

    Returns:
        (bins,) expected counts.
    """
    ordered, own = in_value_order(counts)
    cumulative = np.append(0.0, np.cumsum(ordered))
    return np.diff(np.interp(edges, own, cumulative))


def coarsen(counts: Counts, factor: int) -> Counts:
    """Add up every `factor` neighbouring bins of a linear histogram."""
    coarse: Counts = counts.reshape(-1, factor).sum(axis=1)
    return coarse


def without_last(counts: Counts) -> tuple[Counts, int]:
    """Return a (4096,) histogram without the last finite bins of both signs, and how many lie in them."""
    last = [_FINITE - 1, _HALF + _FINITE - 1]
    rest = counts.copy()
    rest[last] = 0
    return rest, int(counts[last].sum())


def about_zero(counts: Counts) -> int:
    """Return how many elements of a (4096,) histogram are smaller than `EDGES[1]`, zeros among them."""
    return int(counts[0] + counts[_HALF])
