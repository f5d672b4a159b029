"""Exact counts, taken in the tensor's own dtype before any cast."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Counters(NamedTuple):
    """How many elements are what; every field is a 0-d int64 tensor on the tensor's own device."""

    elements: torch.Tensor
    zeros: torch.Tensor  # -0 too
    positive: torch.Tensor
    subnormal: torch.Tensor
    nan: torch.Tensor
    inf: torch.Tensor


def observe(tensor: torch.Tensor) -> Counters:
    """Count the elements of a floating-point tensor of any shape."""
    zero = tensor == 0
    tiny = tensor.abs() < torch.finfo(tensor.dtype).smallest_normal
    return Counters(
        torch.tensor(tensor.numel(), device=tensor.device),
        zero.sum(),
        (tensor > 0).sum(),
        (tiny & ~zero).sum(),
        torch.isnan(tensor).sum(),
        torch.isinf(tensor).sum(),
    )


def merge(a: Counters, b: Counters) -> Counters:
    """Add the counts."""
    return Counters(*(x + y for x, y in zip(a, b, strict=True)))
