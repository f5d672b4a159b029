"""Any tensor of floats: every bit pattern, shape, layout and dtype; and its values as exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from hypothesis import strategies as st

DTYPES = {
    torch.float32: (torch.int32, 32),
    torch.float64: (torch.int64, 64),
    torch.float16: (torch.int16, 16),
    torch.bfloat16: (torch.int16, 16),
}
"""Each with the integers that have its bits."""


@st.composite
def tensors(draw: st.DrawFn, units: int | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Draw a tensor of (samples, units) or (samples, positions, units), contiguous or not."""
    kind = dtype or draw(st.sampled_from(list(DTYPES)))
    integers, bits = DTYPES[kind]
    shape = [draw(st.integers(0, 5)), *draw(st.sampled_from([[], [1], [3]]))]
    shape.append(draw(st.integers(0, 4)) if units is None else units)
    half = 1 << (bits - 1)
    patterns = st.integers(-half, half - 1) | st.sampled_from(_extremes(kind)) | _spread(bits)
    flat = draw(st.lists(patterns, min_size=math.prod(shape), max_size=math.prod(shape)))
    tensor = torch.tensor(flat, dtype=integers).reshape(shape).view(kind)
    return _laid_out(draw(st.sampled_from(["plain", "transposed", "strided", "broadcast"])), tensor)


def _extremes(dtype: torch.dtype) -> list[int]:
    """Return the bits of both zeros, the smallest and largest numbers of both signs, infinity and a NaN."""
    integers, bits = DTYPES[dtype]
    half, limits = 1 << (bits - 1), torch.finfo(dtype)
    numbers = torch.tensor([limits.smallest_normal, limits.max, limits.min, torch.inf], dtype=dtype)
    return [0, -half, 1, 1 - half, half - 1, *numbers.view(integers).tolist()]


def _spread(bits: int) -> st.SearchStrategy[int]:
    """Draw the bits of ordinary numbers, which arbitrary patterns seldom are."""
    numbers = st.floats(-8.0, 8.0, allow_subnormal=False, width=16)
    floats = {16: np.float16, 32: np.float32, 64: np.float64}[bits]
    return numbers.map(lambda number: int(np.array(number, floats).view(f"int{bits}")))


def _laid_out(layout: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return the same values in another layout of memory; broadcast repeats the first sample."""
    if layout == "transposed":
        return tensor.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strided":
        return torch.stack([tensor, tensor], dim=-1)[..., 0]
    if layout == "broadcast" and tensor.shape[0]:
        return tensor[:1].expand(tensor.shape)
    return tensor


def values(tensor: torch.Tensor) -> list[float]:
    """Return the elements in float64, which holds those of every other dtype exactly."""
    return [float(value) for value in tensor.to(torch.float64).reshape(-1).tolist()]


def moments(finite: list[float]) -> dict[str, Fraction]:
    """Return mean, second moment and variance of at least one number, exactly."""
    exact = [Fraction(value) for value in finite]
    mean = sum(exact) / len(exact)
    square = sum(value * value for value in exact) / len(exact)
    return {"mean": mean, "square": square, "variance": square - mean * mean}


def root(value: Fraction) -> float:
    """Return a square root in float64, of numbers beyond its range as well."""
    shift = (value.numerator.bit_length() - value.denominator.bit_length()) // 2 * 2
    scaled = value / (Fraction(2) ** shift)
    return math.ldexp(math.sqrt(scaled), shift // 2)
