"""The numbers of a tensor in plain float64 numpy, apart from `actdiag.statistics`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from actdiag.schema import STATISTICS

Array = NDArray[np.float64]
EXACT = ("count", "nan_count", "inf_count", "zero_fraction")
ROUNDED = ("mean", "std", "rms", "min", "max")
SIZES = ("count", "nan_count", "inf_count", "rms")
UNREAD = tuple(name for name in (*STATISTICS, "subnormal_fraction") if name not in ("rms", "grad_to_weight"))
"""What is known of a weight of which only the size was read, and what is not."""


def array(tensor: torch.Tensor) -> Array:
    """Return a flat float64 copy."""
    flat: Array = tensor.detach().cpu().to(torch.float64, copy=True).reshape(-1).numpy()
    return flat


def numbers_of(arrays: Sequence[Array]) -> dict[str, float]:
    """Return what a row says of these values taken together."""
    values = np.concatenate([part.reshape(-1) for part in arrays])
    finite = values[np.isfinite(values)]
    some = finite if finite.size else np.array([math.nan])
    size = float(np.abs(some).max()) or 1.0  # so that no square leaves the range of float64
    return {
        "count": values.size,
        "nan_count": int(np.isnan(values).sum()),
        "inf_count": int(np.isinf(values).sum()),
        "zero_fraction": float((values == 0).mean()) if values.size else math.nan,
        "mean": size * float((some / size).mean()),
        "std": size * float((some / size).std()),
        "rms": size * float(np.sqrt(np.square(some / size).mean())),
        "min": float(some.min()),
        "max": float(some.max()),
    }


def differences(
    row: Mapping[str, Any], truth: Mapping[str, float], tolerance: float, sizes: bool = False
) -> list[str]:
    """Return in words where a row is not the truth; tolerances are relative to the tensor's own size.

    Args:
        row: of a recording.
        truth: by column.
        tolerance: relative.
        sizes: the row is of a weight of which only the size was read: anything else is to be NaN.
    """
    wrong = [
        f"{name} is {row[name]!r}, it was not read" for name in UNREAD if sizes and row[name] == row[name]
    ]
    return wrong + [
        f"{name} is {row[name]!r}, the truth is {truth[name]!r}"
        for name, margin in _margins(truth, tolerance).items()
        if (name in SIZES or not sizes) and not _close(float(row[name]), float(truth[name]), margin)
    ]


def _margins(truth: Mapping[str, float], tolerance: float) -> dict[str, float]:
    """Return by how much each number may differ."""
    size = max(abs(truth["min"]), abs(truth["max"]))
    allowed = {name: 0.0 if name == "count" else 1e-12 for name in EXACT}
    return allowed | {
        name: tolerance * (truth["rms"] if name in ("mean", "std", "rms") else size) for name in ROUNDED
    }


def ratio_differs(row: Mapping[str, Any], gradient: float, weight: float, tolerance: float) -> list[str]:
    """Return in words where the row of a weight's gradient has not the ratio of these two rms."""
    found = float(row["grad_to_weight"])
    if not weight > 0.0 or _close(found, gradient / weight, 4.0 * tolerance * gradient / weight):
        return []
    return [f"grad_to_weight is {found!r}, the truth is {gradient / weight!r}"]


def _close(one: float, other: float, margin: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= margin
