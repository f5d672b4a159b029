"""The statistics by the C kernel: float32 tensors on the CPU, one visit, one block of bytes.

A block holds, in the machine's own byte order: 12 int64 (elements, the five counts of `counters.observe`,
units, flags, three places of `quantiles`, one unused), then sums of (units,) float64 each (n, pivot, first,
second, highest, lowest; with flag 1 n, pivot, first and second across samples too), then (4096,) uint32 and
with flag 2 another (128,) uint32.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.kernel import kernel
from actdiag.statistics.layout import canonical
from actdiag.statistics.moments import Moments
from actdiag.statistics.tensors import Content

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Seen = tuple[int, int, int, int, int, bytes]
"""unit axis, samples, positions, units, elements and block."""
HEADER = 96
SUMS, ACROSS = 6, 4
_HAS_ACROSS, _HAS_LINEAR = 1, 2
_SHAPE = Struct("=qq")
_SPARSE: tuple[type[np.generic], ...] = (np.int64, np.uint16, np.uint32)
_PACKED = (*_SPARSE, *_SPARSE, np.int64, np.float64, np.float32, np.float64)
_KERNEL = kernel()
_PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Other types of tensors may have no memory of their own."""


def measures(tensor: torch.Tensor) -> bool:
    """Return whether the kernel can read this tensor."""
    return (
        _KERNEL is not None
        and tensor.dtype is torch.float32
        and tensor.is_cpu
        and type(tensor) in _PLAIN
        and not tensor.is_neg()
        and not tensor.data_ptr() % 4
    )


def observe(
    tensor: torch.Tensor, unit_axis: int, batch_axis: int, bounds: tuple[float, float] | None
) -> Seen | None:
    """Return a block and what it is of; None where it is too large for 32-bit counts."""
    assert _KERNEL is not None
    seen: Seen | bool = _KERNEL.observe(tensor, unit_axis, batch_axis, bounds)
    if seen is False:  # positions at no even distance
        values = canonical(tensor.detach(), unit_axis, batch_axis).contiguous()
        axis = unit_axis % tensor.dim()
        seen = _KERNEL.observe(values, 2, 0, bounds)
        return (axis, *seen[1:]) if isinstance(seen, tuple) else None
    return seen if isinstance(seen, tuple) else None


def merge(a: bytes, b: bytes) -> bytes | None:
    """Return the block of both together; None where a count may leave 32 bits."""
    assert _KERNEL is not None
    merged: bytes | None = _KERNEL.merge(a, b)
    return merged


def describe(states: Sequence[tuple[Any, ...]], dies: Sequence[bool]) -> Floats:
    """Return (states, len(schema.COUNTED)) numbers of states that hold blocks, see `table.describe`."""
    assert _KERNEL is not None
    return np.frombuffer(_KERNEL.describe(list(states), list(dies)), np.float64).reshape(len(states), -1)


class Sparse(NamedTuple):
    """Bins that are not empty, row after row: how many of each row, -1 for no histogram; places; counts."""

    lengths: Ints
    bins: NDArray[np.uint16]
    counts: NDArray[np.uint32]


class Packed(NamedTuple):
    """The arrays of rows, as `arrays.Histograms` and `arrays.Units` hold them."""

    log: Sparse
    linear: Sparse
    units: Ints
    seen: Floats
    narrow: NDArray[np.float32]
    wide: Floats


def pack(states: Sequence[tuple[Any, ...]]) -> Packed:
    """Return the arrays of states that hold blocks."""
    assert _KERNEL is not None
    parts = zip(_KERNEL.pack(list(states)), _PACKED, strict=True)
    arrays: list[Any] = [np.frombuffer(part, kind) for part, kind in parts]
    return Packed(Sparse(*arrays[:3]), Sparse(*arrays[3:6]), *arrays[6:])


def is_same(a: bytes, b: bytes) -> bool:
    """Return whether two blocks of equal units have equal histograms and first sums, bitwise."""
    units, _ = _shape(a)
    first = HEADER + 2 * 8 * units
    place, other = _log_at(a), _log_at(b)
    same_sums = a[first : first + 8 * units] == b[first : first + 8 * units]
    return same_sums and a[place : place + 4 * LOG_BINS] == b[other : other + 4 * LOG_BINS]


def has_linear(block: bytes) -> bool:
    """Return whether a block holds a linear histogram."""
    return bool(_shape(block)[1] & _HAS_LINEAR)


def log_of(block: bytes) -> Ints:
    """Return the (4096,) log-linear histogram."""
    return np.frombuffer(block, np.uint32, LOG_BINS, _log_at(block)).astype(np.int64)


def linear_of(block: bytes) -> Ints:
    """Return the (128,) linear histogram of a block that has one."""
    return np.frombuffer(block, np.uint32, LINEAR_BINS, _log_at(block) + 4 * LOG_BINS).astype(np.int64)


def sums_of(block: bytes) -> tuple[Floats, Floats]:
    """Return (6, units) sums and those across samples, (4, units): the same where they have one position."""
    units, flags = _shape(block)
    pooled = np.frombuffer(block, np.float64, SUMS * units, HEADER).reshape(SUMS, units)
    if not flags & _HAS_ACROSS:
        return pooled, pooled[:ACROSS]
    return pooled, np.frombuffer(block, np.float64, ACROSS * units, HEADER + 8 * pooled.size).reshape(
        ACROSS, units
    )


def as_tensors(block: bytes) -> Content:
    """Return the same as tensors on the CPU."""
    sums, across = (torch.from_numpy(part.copy()) for part in sums_of(block))
    counts = torch.from_numpy(np.frombuffer(block, np.int64, 5, 8).copy())
    linear = torch.from_numpy(linear_of(block)) if has_linear(block) else None
    log = torch.from_numpy(log_of(block))
    return Content(counts, _moments(sums[:4]), _moments(across), sums[4], sums[5], log, linear)


def _moments(sums: torch.Tensor) -> Moments:
    n, pivot, first, second = sums
    return Moments(n, pivot, first, second, torch.ones((), dtype=torch.float64))


def _shape(block: bytes) -> tuple[int, int]:
    """Return a block's units and flags."""
    units, flags = _SHAPE.unpack_from(block, 48)
    return units, flags


def _log_at(block: bytes) -> int:
    units, flags = _shape(block)
    return HEADER + 8 * units * (SUMS + (ACROSS if flags & _HAS_ACROSS else 0))


def count_outside(tensor: torch.Tensor, below: float, above: float) -> int:
    """Count elements below `below` or above `above`."""
    assert _KERNEL is not None
    dense = tensor if tensor.is_contiguous() else tensor.detach().contiguous()
    count: int = _KERNEL.outside(dense, below, above)
    return count


def sizes(tensors: Sequence[torch.Tensor]) -> Floats:
    """Return (tensors, 5) as `sizes.sizes` has them."""
    assert _KERNEL is not None
    dense = [tensor if tensor.is_contiguous() else tensor.detach().contiguous() for tensor in tensors]
    return np.frombuffer(_KERNEL.sizes(dense), np.float64).reshape(-1, 5)
