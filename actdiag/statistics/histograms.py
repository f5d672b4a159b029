"""The two histograms: log-linear over all floats, read from their bits, and linear over a known range."""

from __future__ import annotations

import torch

from actdiag.bins import FLOAT32_MAX, LINEAR_BINS, LOG_BINS


def log_histogram(tensor: torch.Tensor) -> torch.Tensor:
    """Return (4096,) int64 counts over sign, exponent and the upper three mantissa bits.

    bfloat16 has the same upper bits as float32. Other types are cast to float32 for the histogram alone;
    what is finite stays finite there.
    """
    flat = tensor.reshape(-1)
    if flat.dtype == torch.bfloat16:
        bits = flat.view(torch.int16).to(torch.int32).bitwise_right_shift_(4)
    else:
        bits = _as_float32(flat).view(torch.int32) >> 20
    return _count(bits.bitwise_and_(LOG_BINS - 1), LOG_BINS)


def _as_float32(flat: torch.Tensor) -> torch.Tensor:
    """Cast, keeping finite what is finite, and all NaN alike: a cast may change a NaN's bits by its place."""
    if flat.dtype == torch.float32:
        return flat
    clamped = flat.clamp(-FLOAT32_MAX, FLOAT32_MAX) if flat.dtype == torch.float64 else flat
    kept = torch.where(torch.isfinite(flat), clamped, flat).float()
    return kept.masked_fill(torch.isnan(flat), torch.nan)


def linear_histogram(tensor: torch.Tensor, bounds: tuple[float, float], all_finite: bool) -> torch.Tensor:
    """Return (128,) int64 counts of the finite elements over [low, high], the last bin closed.

    An element outside, as rounding makes, is counted in the nearest bin.
    """
    (low, high), flat = bounds, tensor.reshape(-1).float()
    places = (flat - low).mul_(LINEAR_BINS / (high - low)).clamp_(0, LINEAR_BINS - 1)
    if not all_finite:
        places = torch.where(torch.isfinite(flat), places, LINEAR_BINS)
    places = places.to(torch.int32)
    return _count(places, LINEAR_BINS + 1)[:LINEAR_BINS]


def _count(places: torch.Tensor, bins: int) -> torch.Tensor:
    """Count (n,) int32 bin numbers: (bins,) int64. An accelerator's bincount would wait for the device."""
    if places.device.type == "cpu":
        return torch.bincount(places, minlength=bins)
    counts = torch.zeros(bins, dtype=torch.int64, device=places.device)
    one = torch.ones((), dtype=torch.int64, device=places.device)
    return counts.scatter_add_(0, places.long(), one.expand(places.shape))
