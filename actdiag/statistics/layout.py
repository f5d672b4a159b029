"""Which axis of a tensor holds the samples and which the units; the rest are positions."""

from __future__ import annotations

from math import prod

import torch


def canonical(tensor: torch.Tensor, unit_axis: int = -1, batch_axis: int = 0) -> torch.Tensor:
    """Return a view (or copy) of shape (samples, positions, units).

    A tensor without a unit axis has one unit, one without a batch axis one sample.

    >>> canonical(torch.zeros(8, 3, 5, 5), unit_axis=1).shape
    torch.Size([8, 25, 3])
    >>> canonical(torch.zeros(8, 10)).shape, canonical(torch.zeros(8)).shape, canonical(torch.zeros(())).shape
    (torch.Size([8, 1, 10]), torch.Size([8, 1, 1]), torch.Size([1, 1, 1]))
    """
    if tensor.dim() == 0:
        return tensor.reshape(1, 1, 1)
    if tensor.dim() == 1:
        return tensor.reshape(-1, 1, 1)
    ordered = tensor.movedim((batch_axis, unit_axis), (0, -1))
    samples, units = ordered.shape[0], ordered.shape[-1]
    positions = prod(ordered.shape[1:-1]) if samples and units else 1
    return ordered.reshape(samples, positions, units)
