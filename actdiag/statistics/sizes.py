"""Cheap looks at a tensor, of one read each: its rms and what is not finite, and how much lies outside."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.statistics import native
from actdiag.statistics.moments import summing_type

SQUARES = (1e-200, 1e200)
"""Sums of squares that tell the rms of float64 numbers."""
Floats = NDArray[np.float64]


def count_outside(tensor: torch.Tensor, below: float, above: float) -> int | torch.Tensor:
    """Count elements below `below` or above `above`; NaN is neither. 0-d on an accelerator, unread."""
    if native.measures(tensor):
        return native.count_outside(tensor, below, above)
    count = ((tensor < below) | (tensor > above)).sum()
    return int(count) if tensor.device.type == "cpu" else count


def sizes(tensors: Sequence[torch.Tensor]) -> Floats:
    """Return (len, 4): elements, rms over the finite ones, how many are NaN, how many Inf.

    The rms of nothing finite is NaN. One copy brings the numbers of all tensors of a device.
    """
    waiting: dict[torch.device, list[int]] = defaultdict(list)
    known = []
    for row, tensor in enumerate(tensors):
        size = native.size(tensor) if native.measures(tensor) else _size_of_finite(tensor)
        if size is None:
            waiting[tensor.device].append(row)
        known.append(size or (0, 0.0, 0, 0))
    found = np.array(known, dtype=np.float64).reshape(-1, 4)
    for rows in waiting.values():
        fetched = torch.stack([_size(tensors[row].detach()) for row in rows]).cpu().numpy().astype(np.float64)
        found[rows, 0] = [tensors[row].numel() for row in rows]
        found[rows, 1:] = fetched
    return found


def _size_of_finite(tensor: torch.Tensor) -> tuple[int, float, int, int] | None:
    """Return a row by one product; None where the tensor is elsewhere or its sum of squares says too little.

    Squares of other types than float64 neither leave float64 nor vanish in it.
    """
    if tensor.device.type != "cpu" or tensor.numel() == 0:
        return None
    values = tensor.detach().double().reshape(-1)
    square = float(values.dot(values))
    lowest = SQUARES[0] if tensor.dtype == torch.float64 else 0.0
    if not lowest <= square <= SQUARES[1]:
        return None
    return values.numel(), math.sqrt(square / values.numel()), 0, 0


def _size(tensor: torch.Tensor) -> torch.Tensor:
    """Return rms over finite elements, NaN count and Inf count: (3,) on the device, nothing read."""
    sums = summing_type(tensor.device)
    if tensor.numel() == 0:
        return torch.tensor([torch.nan, 0.0, 0.0], dtype=sums, device=tensor.device)
    finite, nan = torch.isfinite(tensor), torch.isnan(tensor).sum()
    values = tensor.to(sums).masked_fill(~finite, 0.0)
    n, scale = finite.sum(), _power(values.abs().amax())
    rms = scale * (values / scale).square_().sum().div(n).sqrt()
    return torch.stack([rms, nan.to(sums), (tensor.numel() - n - nan).to(sums)])


def _power(largest: torch.Tensor) -> torch.Tensor:
    """Return the power of two below a magnitude, 0-d; 1 for 0."""
    lowest = -1000.0 if largest.dtype == torch.float64 else -120.0
    exponent = torch.log2(torch.where(largest > 0, largest, 1.0)).floor()
    return torch.exp2(exponent.clamp(min=lowest))
