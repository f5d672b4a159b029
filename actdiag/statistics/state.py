"""The sufficient state of a tensor: additive, of constant size, from one visit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from actdiag.statistics import counters, histograms, moments
from actdiag.statistics.counters import Counters
from actdiag.statistics.layout import canonical
from actdiag.statistics.moments import Moments


@dataclass(frozen=True)
class TensorState:
    """Everything that is kept of one tensor, and of all tensors merged into it.

    Attributes:
        unit_axis: the axis of the tensor that held the units.
        samples: elements along the batch axis, added up.
        positions: places per sample and unit, the most that was seen.
        counters: exact counts over all elements.
        pooled: (units,) moments over samples and positions.
        across: (units,) moments over samples of each sample's mean over its positions.
        highest: (units,) largest finite value, -inf where there is none.
        lowest: (units,) smallest finite value, inf where there is none.
        log: (4096,) log-linear histogram.
        linear: (128,) linear histogram over the activation's range; None where it is not bounded.
        saturated: 0-d count of saturated elements; None where saturation is not defined.
    """

    unit_axis: int
    samples: int
    positions: int
    counters: Counters
    pooled: Moments
    across: Moments
    highest: torch.Tensor
    lowest: torch.Tensor
    log: torch.Tensor
    linear: torch.Tensor | None = None
    saturated: torch.Tensor | None = None

    @property
    def units(self) -> int:
        """Return the number of units."""
        return self.highest.numel()


def observe(
    tensor: torch.Tensor,
    unit_axis: int = -1,
    batch_axis: int = 0,
    bounds: tuple[float, float] | None = None,
    saturated: torch.Tensor | None = None,
) -> TensorState:
    """Return the state of a floating-point tensor; it is read, never kept.

    Args:
        tensor: any shape; `batch_axis` holds the samples, `unit_axis` the units.
        unit_axis: see `layout.canonical`.
        batch_axis: see `layout.canonical`.
        bounds: the range of a bounded activation, for the linear histogram.
        saturated: 0-d count of saturated elements, judged on the preactivation by the caller.
    """
    tensor = tensor.detach()
    values = canonical(tensor, unit_axis, batch_axis)
    samples, positions, units = values.shape
    finite = torch.isfinite(values)
    exact = values.double()
    wide = values.dtype == torch.float64
    pooled = moments.observe(exact.flatten(0, 1), finite.flatten(0, 1), wide)
    return TensorState(
        unit_axis % max(tensor.dim(), 1),
        samples,
        positions,
        counters.observe(tensor),
        pooled,
        pooled if positions == 1 else _across(exact, finite, wide),
        _extreme(values, finite, units, -torch.inf),
        _extreme(values, finite, units, torch.inf),
        histograms.log_histogram(tensor),
        None if bounds is None else histograms.linear_histogram(tensor, *bounds),
        saturated,
    )


def _across(exact: torch.Tensor, finite: torch.Tensor, wide: bool) -> Moments:
    """Return the moments of each sample's mean over its finite positions, (samples, units)."""
    n = finite.sum(1, dtype=torch.float64)
    means = exact.masked_fill(~finite, 0.0).sum(1) / n.clamp(min=1.0)
    return moments.observe(means, n > 0, wide)


def _extreme(values: torch.Tensor, finite: torch.Tensor, units: int, neutral: float) -> torch.Tensor:
    """Return the largest (neutral = -inf) or smallest finite value of each unit, (units,) float64."""
    flat = values.masked_fill(~finite, neutral).flatten(0, 1)
    if flat.numel() == 0:
        return torch.full((units,), neutral, dtype=torch.float64, device=values.device)
    return (flat.amax(0) if neutral < 0 else flat.amin(0)).double()


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
    pooled = moments.merge(a.pooled, b.pooled)
    shared = a.across is a.pooled and b.across is b.pooled
    return TensorState(
        a.unit_axis,
        a.samples + b.samples,
        max(a.positions, b.positions),
        counters.merge(a.counters, b.counters),
        pooled,
        pooled if shared else moments.merge(a.across, b.across),
        torch.maximum(a.highest, b.highest),
        torch.minimum(a.lowest, b.lowest),
        a.log + b.log,
        _add(a.linear, b.linear),
        _add(a.saturated, b.saturated),
    )


def _add(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    return None if a is None or b is None else a + b
