"""Quantiles of many log-linear histograms at once: ranks are found by counting, values are bin middles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actdiag.bins import EDGES, FLOAT32_MAX, LOG_BINS

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
SHARES = (0.01, 0.50, 0.99)
NOWHERE = -1
"""The place of a quantile where there is no finite element."""
_FINITE = len(EDGES) - 1
_HALF = LOG_BINS // 2
_ORDER = np.concatenate([np.arange(_HALF + _FINITE - 1, _HALF - 1, -1), np.arange(_FINITE)])
"""Bin numbers from the most negative value to the most positive."""


def _middles() -> Floats:
    """Return the middle of each bin, in order of value; the two bins that touch 0 stand for 0 itself."""
    positive = 0.5 * (EDGES[1:] + EDGES[:-1])
    positive[0] = 0.0
    return np.concatenate([-positive[::-1], positive, [np.nan]])


MIDDLES = _middles()


def places(logs: NDArray[np.int64]) -> Places:
    """Return where the elements of rank ceil(share * n) lie, for each of `SHARES`.

    Args:
        logs: (rows, 4096) log-linear histograms.

    Returns:
        (rows, 3) places among the finite bins in order of value; `NOWHERE` for n = 0.
    """
    filled = np.flatnonzero(np.logical_or.reduce(logs, axis=0)[_ORDER])  # a tenth of all bins, as a rule
    if not filled.size:
        return np.full((len(logs), len(SHARES)), NOWHERE, dtype=np.int64)
    cumulative = np.cumsum(logs[:, _ORDER[filled]], axis=1)
    total = cumulative[:, -1:]
    ranks = np.minimum(np.maximum(np.ceil(np.array(SHARES) * total), 1.0), total)
    found = [np.searchsorted(row, rank) for row, rank in zip(cumulative, ranks, strict=True)]
    return np.where(total > 0, filled[np.array(found)], NOWHERE)


def forget_unknown(quantiles: Floats, low: Floats, high: Floats) -> None:
    """Put NaN where the bins cannot tell a quantile, as they cover float32's range alone.

    Args:
        quantiles: (rows, 3), changed in place.
        low: (rows,) the smallest value of each.
        high: (rows,) the largest.
    """
    size = np.maximum(high, -low)
    if ((size >= EDGES[1]) & (size <= FLOAT32_MAX)).all():
        return
    below, above = (size > 0.0) & (size < EDGES[1]), size > FLOAT32_MAX
    quantiles[below[:, None] | (above[:, None] & (np.abs(quantiles) >= EDGES[-2]))] = np.nan


def values(found: Places) -> Floats:
    """Return the values at places, of the same shape; NaN for `NOWHERE`."""
    return MIDDLES[found]
