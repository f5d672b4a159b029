"""The statistics by torch operations: any floating-point type on any device.

On an accelerator nothing here waits for the device: no number is asked for, and no shape or branch
depends on a value. On the CPU a tensor that is all finite takes a shorter way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from actdiag.statistics import counters, histograms, moments
from actdiag.statistics.moments import Moments, summing_type


class Content(NamedTuple):
    """What is kept of a tensor, as tensors on its device; sums have `moments.summing_type`."""

    counts: torch.Tensor  # (5,) int64, see `counters.observe`
    pooled: Moments  # (units,) moments over samples and positions
    across: Moments  # (units,) moments over samples of each sample's mean over its positions
    highest: torch.Tensor  # (units,) largest finite value, -inf where there is none
    lowest: torch.Tensor  # (units,) smallest finite value, inf where there is none
    log: torch.Tensor  # (4096,) int64 log-linear histogram
    linear: torch.Tensor | None  # (128,) int64 over the activation's range, where it is bounded


def observe(tensor: torch.Tensor, values: torch.Tensor, bounds: tuple[float, float] | None) -> Content:
    """Return what is kept of a tensor; it is read, never kept.

    Args:
        tensor: any shape, detached.
        values: the same as (samples, positions, units).
        bounds: the range of a bounded activation, for the linear histogram.
    """
    log = histograms.log_histogram(tensor)
    short = log.device.type == "cpu" and values.numel() > 0 and counters.all_finite(log)
    linear = None if bounds is None else histograms.linear_histogram(tensor, bounds, short)
    if short:
        return _observe_finite(tensor, values, log, linear)
    finite, wide = torch.isfinite(values), is_wide(tensor)
    exact = values.to(summing_type(tensor.device))
    pooled = moments.observe(exact.flatten(0, 1), finite.flatten(0, 1), wide)
    across = pooled if values.shape[1] == 1 else _across(exact, finite, wide)
    highest, lowest = (_extreme(values, finite, neutral) for neutral in (-torch.inf, torch.inf))
    return Content(counters.observe(tensor), pooled, across, highest, lowest, log, linear)


def is_wide(tensor: torch.Tensor) -> bool:
    """Return whether squares of a tensor's values may leave the type that they are summed in."""
    return tensor.dtype == torch.float64 or summing_type(tensor.device) == torch.float32


def _observe_finite(
    tensor: torch.Tensor, values: torch.Tensor, log: torch.Tensor, linear: torch.Tensor | None
) -> Content:
    exact, flat, wide = values.double(), values.flatten(0, 1), is_wide(tensor)
    means = moments.means(exact, values.shape[1], wide) if values.shape[1] > 1 else None
    same_bins = tensor.dtype in (torch.float32, torch.bfloat16)  # their zeros and subnormals share bins
    counts = counters.observe_finite(tensor, log) if same_bins else counters.observe(tensor)
    pooled = moments.observe_finite(exact.flatten(0, 1), wide, own=exact is not values)
    across = pooled if means is None else moments.observe_finite(means, wide)
    return Content(counts, pooled, across, flat.amax(0).double(), flat.amin(0).double(), log, linear)


def _across(exact: torch.Tensor, finite: torch.Tensor, wide: bool) -> Moments:
    """Return the moments of each sample's mean over its finite positions, (samples, units)."""
    n = finite.sum(1, dtype=exact.dtype)
    means = moments.means(exact.masked_fill(~finite, 0.0), n.clamp(min=1.0), wide)
    return moments.observe(means, n > 0, wide)


def _extreme(values: torch.Tensor, finite: torch.Tensor, neutral: float) -> torch.Tensor:
    """Return the largest (neutral = -inf) or smallest finite value of each unit, (units,)."""
    flat = values.masked_fill(~finite, neutral).flatten(0, 1)
    sums = summing_type(values.device)
    if flat.numel() == 0:
        return torch.full(flat.shape[1:], neutral, dtype=sums, device=values.device)
    return (flat.amax(0) if neutral < 0 else flat.amin(0)).to(sums)


def merge(a: Content, b: Content) -> Content:
    """Return what is kept of both tensors together."""
    pooled = moments.merge(a.pooled, b.pooled)
    shared = a.across is a.pooled and b.across is b.pooled
    return Content(
        a.counts + b.counts,
        pooled,
        pooled if shared else moments.merge(a.across, b.across),
        torch.maximum(a.highest, b.highest),
        torch.minimum(a.lowest, b.lowest),
        a.log + b.log,
        None if a.linear is None or b.linear is None else a.linear + b.linear,
    )
