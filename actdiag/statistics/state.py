"""The sufficient state of a tensor: additive, of constant size, from one visit."""

from __future__ import annotations

from typing import NamedTuple

import torch

from actdiag.statistics import native, tensors
from actdiag.statistics.layout import canonical
from actdiag.statistics.tensors import Content


class TensorState(NamedTuple):
    """Everything that is kept of one tensor, and of all tensors merged into it.

    Attributes:
        unit_axis: the axis of the tensor that held the units.
        samples: elements along the batch axis, added up.
        positions: places per sample and unit, the most that was seen.
        units: how many.
        elements: how many were seen, in all.
        content: a block of the C kernel's, or tensors on the tensor's own device.
        saturated: count of saturated elements; None where saturation is not defined.
    """

    unit_axis: int
    samples: int
    positions: int
    units: int
    elements: int
    content: bytes | Content
    saturated: int | torch.Tensor | None = None

    def same_as(self, other: TensorState) -> bool:
        """Return whether both saw the same: equal units, samples, histogram and first sums, bitwise."""
        if (self.units, self.samples) != (other.units, other.samples):
            return False
        if isinstance(self.content, bytes) and isinstance(other.content, bytes):
            return native.is_same(self.content, other.content)
        a, b = _as_tensors(self.content), _as_tensors(other.content)
        return torch.equal(a.log, b.log) and torch.equal(a.pooled.first, b.pooled.first)


def observe(
    tensor: torch.Tensor,
    unit_axis: int = -1,
    batch_axis: int = 0,
    bounds: tuple[float, float] | None = None,
    saturated: int | torch.Tensor | None = None,
) -> TensorState:
    """Return the state of a floating-point tensor; it is read, never kept.

    Args:
        tensor: any shape; `batch_axis` holds the samples, `unit_axis` the units.
        unit_axis: see `layout.canonical`.
        batch_axis: see `layout.canonical`.
        bounds: the range of a bounded activation, for the linear histogram.
        saturated: count of saturated elements, judged on the preactivation by the caller; 0-d for one that
            has not left its device.
    """
    if native.measures(tensor):
        seen = native.observe(tensor, unit_axis, batch_axis, bounds)
        if seen is not None:
            return tuple.__new__(TensorState, (*seen, saturated))  # NamedTuple's own is three times slower
    tensor = tensor.detach().resolve_neg()  # the bits of a view that negates cannot be read
    values = canonical(tensor, unit_axis, batch_axis)
    samples, positions, units = values.shape
    axis = unit_axis % max(tensor.dim(), 1)
    content = tensors.observe(tensor, values, bounds)
    return TensorState(axis, samples, positions, units, tensor.numel(), content, saturated)


def merge(a: TensorState, b: TensorState) -> TensorState:
    """Return the state of both tensors together.

    Raises:
        ValueError: the unit counts or axes differ; such tensors are different sites.
    """
    if (a.units, a.unit_axis) != (b.units, b.unit_axis):
        raise ValueError(
            f"only states of equal units and axis merge: {a.units} on axis {a.unit_axis}, "
            f"{b.units} on axis {b.unit_axis}"
        )
    return TensorState(
        a.unit_axis,
        a.samples + b.samples,
        max(a.positions, b.positions),
        a.units,
        a.elements + b.elements,
        _merge(a.content, b.content),
        None if a.saturated is None or b.saturated is None else a.saturated + b.saturated,
    )


def _merge(a: bytes | Content, b: bytes | Content) -> bytes | Content:
    """Merge blocks as blocks, unless a count would leave their 32 bits, and all else as tensors."""
    if isinstance(a, bytes) and isinstance(b, bytes):
        merged = native.merge(a, b)
        if merged is not None:
            return merged
    return tensors.merge(_as_tensors(a), _as_tensors(b))


def _as_tensors(content: bytes | Content) -> Content:
    return native.as_tensors(content) if isinstance(content, bytes) else content
