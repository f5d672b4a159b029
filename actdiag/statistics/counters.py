"""Exact counts, taken in the tensor's own dtype before any cast."""

from __future__ import annotations

from typing import NamedTuple

import torch

_EXPONENT_0 = (slice(0, 8), slice(2048, 2056))
_EXPONENT_255 = (slice(2040, 2048), slice(4088, 4096))
EXACT_IN_FLOAT32 = 2**24
"""Up to here a sum of ones in float32 is exact."""


class Counters(NamedTuple):
    """How many elements are what."""

    elements: int
    zeros: int  # -0 too
    positive: int
    subnormal: int
    nan: int
    inf: int


def observe(tensor: torch.Tensor) -> torch.Tensor:
    """Count a tensor's zeros, positive, subnormal, nan and inf: (5,) int64 on its device."""
    zero = tensor == 0
    tiny = tensor.abs() < torch.finfo(tensor.dtype).smallest_normal
    masks = (zero, tensor > 0, tiny & ~zero, torch.isnan(tensor), torch.isinf(tensor))
    return torch.stack([mask.sum() for mask in masks])


def all_finite(log: torch.Tensor) -> bool:
    """Return whether a log-linear histogram on the CPU has nothing in the bins of Inf and NaN."""
    return not any(log[part].any() for part in _EXPONENT_255)


def observe_finite(tensor: torch.Tensor, log: torch.Tensor) -> torch.Tensor:
    """Count as `observe` does, for a finite float32 tensor on the CPU, with the help of its histogram."""
    tiny = [int(log[part].sum()) for part in _EXPONENT_0]
    zeros = _zeros(tensor) if any(tiny) else 0
    no_negative_zero = tiny[1] == 0
    positive = log[: len(log) // 2].sum() - zeros if no_negative_zero else (tensor > 0).sum()
    return torch.tensor([zeros, int(positive), sum(tiny) - zeros, 0, 0])


def _zeros(tensor: torch.Tensor) -> int:
    """Count zeros; summing float32 ones is five times as fast as counting where it is exact."""
    if tensor.numel() <= EXACT_IN_FLOAT32:
        return tensor.numel() - int(tensor.sign().abs_().sum(dtype=torch.float32))
    return int((tensor == 0).sum())
