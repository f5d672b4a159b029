"""The first two moments of each unit, about a pivot, so that they add up without cancellation."""

from __future__ import annotations

from typing import NamedTuple

import torch

from actdiag.bins import FLOAT32_MAX

SQUARABLE = (1e-100, 1e100)
"""Magnitudes whose squares float64 adds up with room to spare; those of all other types are among them."""
_SQUARABLE_FLOAT32 = (1e-12, 1e12)
MANY = 2.0**64
"""More values than there ever are: the largest numbers, divided by it, add up."""


class Moments(NamedTuple):
    """Sums over the finite values of each unit; every field is (units,) float64, but for the scale.

    The pivot p is near the mean and exact in float32, so that the difference of two pivots is exact in
    float64 and two states add up as accurately as one pass over all values. The scale s, a 0-d power of two,
    is 1 unless the largest magnitude lies outside `SQUARABLE`, as it can in a float64 tensor, or where sums
    are float32. The first sum keeps small units exact beside large ones, so it is divided by f = `spare(s)`.
    """

    n: torch.Tensor  # finite values
    pivot: torch.Tensor  # p
    first: torch.Tensor  # sum (x - p) / f
    second: torch.Tensor  # sum ((x - p) / s)^2
    scale: torch.Tensor  # s


def summing_type(device: torch.device) -> torch.dtype:
    """Return the type of sums: float64, but float32 on Apple's GPUs, which have none wider.

    There the merge law holds to float32's accuracy.
    """
    return torch.float32 if device.type == "mps" else torch.float64


def observe(values: torch.Tensor, finite: torch.Tensor, wide: bool = False) -> Moments:
    """Return the moments of `values`, (n, units), over those that are `finite`, (n, units) bool.

    Args:
        values: the values, in the type of the sums.
        finite: which of them are.
        wide: they may lie outside `SQUARABLE`, as only those of a float64 tensor can.
    """
    n = finite.sum(0, dtype=values.dtype)
    pivot = _pivot(values.masked_fill(~finite, 0.0).sum(0) / n.clamp(min=1.0))
    deviation = (values - pivot).masked_fill_(~finite, 0.0)
    return _about(n, pivot, deviation, wide)


def observe_finite(values: torch.Tensor, wide: bool = False, own: bool = True) -> Moments:
    """Return the moments of `values`, (n, units), n > 0, which are all finite; see `observe`.

    Where they are the caller's `own`, they are overwritten: another array as large costs more than sums.
    """
    pivot = _pivot(values.mean(0))
    n = torch.full_like(pivot, len(values))
    return _about(n, pivot, values.sub_(pivot) if own else values - pivot, wide)


def _pivot(mean: torch.Tensor) -> torch.Tensor:
    return mean.nan_to_num(0.0).clamp(-FLOAT32_MAX, FLOAT32_MAX).float().to(mean.dtype)


def _about(n: torch.Tensor, pivot: torch.Tensor, deviation: torch.Tensor, wide: bool) -> Moments:
    """Return the sums over deviations from the pivot, which are overwritten."""
    if not wide:
        scale = torch.ones((), dtype=pivot.dtype, device=pivot.device)
        return Moments(n, pivot, deviation.sum(0), deviation.square_().sum(0), scale)
    scale = _scale(deviation, pivot)
    first = deviation.div(spare(scale)).sum(0)
    return Moments(n, pivot, first, deviation.div_(scale).square_().sum(0), scale)


def spare(scale: torch.Tensor) -> torch.Tensor:
    """Return f, what the first sum is divided by for a scale s: s, but at least 1 and at most 2^64."""
    return scale.clamp(1.0, MANY)


def means(values: torch.Tensor, n: torch.Tensor | int, wide: bool) -> torch.Tensor:
    """Return (samples, units) means of n values each, of (samples, positions, units) that is 0 elsewhere."""
    plain = values.sum(1) / n
    if not wide:
        return plain
    return torch.where(plain.isfinite(), plain, (values / MANY).sum(1) / n * MANY)


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of both together, about the pivot of the first that has values."""
    pivot, scale = torch.where(a.n > 0, a.pivot, b.pivot), _common(a, b)
    first_a, second_a = _shift(a, pivot, scale)
    first_b, second_b = _shift(b, pivot, scale)
    return Moments(a.n + b.n, pivot, first_a + first_b, second_a + second_b, scale)


def _common(a: Moments, b: Moments) -> torch.Tensor:
    """Return the larger scale; that of zeros about zero does not count."""
    blank_a, blank_b = (((state.second == 0) & (state.pivot == 0)).all() for state in (a, b))
    larger = torch.maximum(a.scale, b.scale)
    return torch.where(blank_a, b.scale, torch.where(blank_b, a.scale, larger))


def _shift(state: Moments, pivot: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both sums about another pivot, the second in another scale.

    With d = p - p' and S = sum (x - p): sum (x - p') = S + n d and
    sum (x - p')^2 = sum (x - p)^2 + d (2 S + n d).
    """
    d, f = torch.where(state.n > 0, state.pivot - pivot, 0.0), spare(scale)
    before = state.first * (spare(state.scale) / f)
    first = before + state.n * (d / f)
    second = state.second * (state.scale / scale).clamp(max=1.0).square()  # above 1 it is a sum of zeros
    return first, second + (d / scale) * ((before + first) * (f / scale))


def _scale(deviation: torch.Tensor, pivot: torch.Tensor) -> torch.Tensor:
    """Return the power of two below the largest magnitude, 0-d; 1 where it can be squared, and for zeros.

    A scale below 1 would take the square of another unit's mean beyond float64, so that pivots count, too.
    """
    wide = deviation.dtype == torch.float64
    low, high = SQUARABLE if wide else _SQUARABLE_FLOAT32
    largest = deviation.abs().amax() if deviation.numel() else deviation.new_zeros(())
    reach = torch.maximum(largest, pivot.abs().amax()) if pivot.numel() else largest
    outside = ((reach > 0) & (reach < low)) | (largest > high)
    exponent = torch.log2(torch.where(outside, torch.where(largest > high, largest, reach), 1.0)).floor()
    lowest, highest = (-1000.0, 1023.0) if wide else (-120.0, 127.0)  # of the largest float, log2 is one more
    power = torch.exp2(exponent.clamp(lowest, highest))
    return torch.where(outside, power, 1.0)
