"""Number formats: how small and how large their numbers are, and how much of a tensor lies beyond."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from actdiag.bins import EDGES, Counts

_HALF, _FINITE = 2048, len(EDGES) - 1


@dataclass(frozen=True)
class Format:
    """A binary floating-point format (IEEE 754, and bfloat16).

    Attributes:
        smallest_normal: below it numbers lose digits.
        smallest: above zero; half of it and less is rounded to zero.
        largest: finite.
    """

    smallest_normal: float
    smallest: float
    largest: float


FORMATS = {
    "float16": Format(2.0**-14, 2.0**-24, 65504.0),
    "bfloat16": Format(2.0**-126, 2.0**-133, (2.0 - 2.0**-7) * 2.0**127),
    "float32": Format(2.0**-126, 2.0**-149, (2.0 - 2.0**-23) * 2.0**127),
    "float64": Format(2.0**-1022, 2.0**-1074, (2.0 - 2.0**-52) * 2.0**1023),
}


def share_below(counts: Counts, magnitude: float, zeros: float) -> float:
    """Return the share of a tensor's finite elements but zeros that are smaller than `magnitude`.

    Args:
        counts: (4096,) log-linear histogram.
        magnitude: a power of two from 2^-126 on: a bin's edge.
        zeros: how many elements are zero.

    >>> counts = np.zeros(4096, dtype=np.int64)
    >>> counts[[0, 8 * 100, 8 * 200]] = 5, 1, 3  # 5 zeros, one of 2^-27, three of 2^73
    >>> share_below(counts, 2.0**-25, 5)
    0.25
    """
    below, others = (_sum(counts, bins) - zeros for bins in (_bins_below(magnitude), _FINITE))
    return float(below / others) if others > 0 else 0.0


def _sum(counts: Counts, bins: int) -> int:
    """Return how many elements lie in the first bins of either sign."""
    return int(counts.reshape(2, _HALF)[:, :bins].sum())


@cache
def _bins_below(magnitude: float) -> int:
    return int(np.searchsorted(EDGES, magnitude))
