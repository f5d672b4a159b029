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
    """Return (len, 5): units, elements, rms over the finite ones, how many are NaN, how many Inf.

    Units lie along the first axis, as in a weight; a scalar is one. The rms of nothing finite is NaN. One
    copy brings the numbers of all tensors of a device.
    """
    read = [native.measures(tensor) for tensor in tensors]
    if tensors and all(read):
        return native.sizes(tensors)
    found = np.empty((len(tensors), 5))
    waiting: dict[torch.device, list[int]] = defaultdict(list)
    for row, tensor in enumerate(tensors):
        found[row, :2] = tensor.shape[0] if tensor.dim() else 1, tensor.numel()
        if read[row]:
            found[row] = native.sizes([tensor])
        elif (rms := _rms_of_finite(tensor)) is not None:
            found[row, 2:] = rms, 0, 0
        else:
            waiting[tensor.device].append(row)
    for rows in waiting.values():
        fetched = torch.stack([_size(tensors[row].detach()) for row in rows])
        found[rows, 2:] = fetched.cpu().numpy().astype(np.float64)
    return found


def _rms_of_finite(tensor: torch.Tensor) -> float | None:
    """Return the rms by one product; None where the tensor is elsewhere or the sum of squares tells little.

    Squares of other types than float64 neither leave float64 nor vanish in it.
    """
    if tensor.device.type != "cpu" or tensor.numel() == 0:
        return None
    values = tensor.detach().double().reshape(-1)
    square = float(values.dot(values))
    lowest = SQUARES[0] if tensor.dtype == torch.float64 else 0.0
    return math.sqrt(square / values.numel()) if lowest <= square <= SQUARES[1] else None


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
