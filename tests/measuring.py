"""What the tests of the statistics share: both paths of measuring, and a plain numpy account of a tensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actdiag import schema
from actdiag.kernel import kernel
from actdiag.statistics import TensorState, describe, native
from actdiag.statistics.counters import Counters
from actdiag.statistics.packing import pack

NO_KERNEL = pytest.mark.skipif(kernel() is None, reason="there is no C kernel here")
PATHS = ["torch", pytest.param("kernel", marks=NO_KERNEL)]


def measure_by(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Measure by one of the paths until the end of the test."""
    if name == "torch":
        monkeypatch.setattr(native, "measures", lambda tensor: False)
    return name


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal numbers that are the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def spoilt(tensor: torch.Tensor, *values: float) -> torch.Tensor:
    """Return the tensor with these values at places of its own choice."""
    flat = tensor.clone().reshape(-1)
    places = torch.randperm(flat.numel(), generator=torch.Generator().manual_seed(9))[: len(values)]
    flat[places] = torch.tensor(values)
    return flat.reshape(tensor.shape)


class Row:
    """The one row of a state: its numbers by name, its arrays, and what was packed, in full precision."""

    def __init__(self, state: TensorState, dies: bool = False) -> None:
        table = describe([state], [dies])
        self.numbers = dict(zip(schema.COUNTED, table.numbers[0].tolist(), strict=True))
        self.units, self.log, self.linear = table.units(0), table.log(0), table.linear(0)
        content = state.content
        packed = pack(
            [state._replace(content=native.as_tensors(content) if isinstance(content, bytes) else content)]
        )
        self.sums = packed.sums
        self.counters = Counters(state.elements, *packed.counts[0].tolist())


class Account:
    """Sums over the finite values of float32 (samples, units, positions) in extended precision."""

    def __init__(self, values: np.ndarray) -> None:
        assert values.dtype == np.float32
        self.log = np.bincount(values.reshape(-1).view(np.uint32) >> 20, minlength=4096)
        tiny = np.finfo(np.float32).smallest_normal
        self.counters = Counters(
            values.size,
            int((values == 0).sum()),
            int((values > 0).sum()),
            int(((values != 0) & (np.abs(values) < tiny)).sum()),
            int(np.isnan(values).sum()),
            int(np.isinf(values).sum()),
        )
        self.pooled = [unit[np.isfinite(unit)].astype(np.longdouble) for unit in values.transpose(1, 0, 2)]
        self.across = [_means(unit) for unit in values.transpose(1, 0, 2)]


def _means(unit: np.ndarray) -> np.ndarray:
    """Return the mean of each sample of (samples, positions) over its finite positions, where it has any."""
    finite = np.isfinite(unit)
    n = finite.sum(1)
    sums = np.where(finite, unit, 0).astype(np.longdouble).sum(1)
    return sums[n > 0] / n[n > 0]
