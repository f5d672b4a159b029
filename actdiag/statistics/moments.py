"""The first two moments of each unit, about a pivot, so that they add up without cancellation."""

from __future__ import annotations

from typing import NamedTuple

import torch

FLOAT32_MAX = torch.finfo(torch.float32).max


class Moments(NamedTuple):
    """Sums over the finite values of each unit; every field is (units,) float64.

    The pivot p is near the mean and exact in float32, so that the difference of two pivots is exact in
    float64 and two states add up as accurately as one pass over all values.
    """

    n: torch.Tensor  # finite values
    pivot: torch.Tensor  # p
    first: torch.Tensor  # sum (x - p)
    second: torch.Tensor  # sum (x - p)^2


def observe(values: torch.Tensor, finite: torch.Tensor) -> Moments:
    """Return the moments of `values`, (n, units) float64, over those that are `finite`, (n, units) bool."""
    n = finite.sum(0, dtype=torch.float64)
    total = values.masked_fill(~finite, 0.0).sum(0)
    pivot = (total / n.clamp(min=1.0)).clamp(-FLOAT32_MAX, FLOAT32_MAX).float().double()
    deviation = (values - pivot).masked_fill_(~finite, 0.0)
    return Moments(n, pivot, deviation.sum(0), deviation.square_().sum(0))


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of both together, about the pivot of the first that has values."""
    pivot = torch.where(a.n > 0, a.pivot, b.pivot)
    first_a, second_a = _shift(a, pivot)
    first_b, second_b = _shift(b, pivot)
    return Moments(a.n + b.n, pivot, first_a + first_b, second_a + second_b)


def _shift(state: Moments, pivot: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both sums about another pivot: with d = p - p', sum (x - p') = sum (x - p) + n d, and so on."""
    d = torch.where(state.n > 0, state.pivot - pivot, 0.0)
    first = state.first + state.n * d
    return first, state.second + d * (state.first + first)
