"""Tensors as they come, of any strides and any values: both ways of measuring against plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from measuring import NO_KERNEL, PATHS, Account, Row, measure_by, randn, spoilt

from actdiag.statistics import count_outside, describe, observe, sizes
from actdiag.statistics.tensors import Content

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return measure_by(request.param, monkeypatch)


def outlier() -> torch.Tensor:
    tensor = randn(600, 5)
    tensor[0] = 1e30
    return tensor


def first_apart(*shape: int) -> torch.Tensor:
    """Return a tensor whose first sample is the worst of pivots."""
    tensor = randn(*shape)
    tensor[0] += 12345.678
    return tensor


def first_mean_apart() -> torch.Tensor:
    """Return positions that cancel but for little, in all samples but the first."""
    half = randn(100_000, 2, 1)
    tensor = torch.cat([half, -half], -1) + 1e-4 * randn(100_000, 2, 1, seed=1)
    tensor[0] += 0.4567
    return tensor


def spread_across_units() -> torch.Tensor:
    """Return a tensor whose samples differ little in their means and much within."""
    tensor = randn(40, 3, 64)
    return tensor - tensor.mean(-1, keepdim=True) + 1e-3 * randn(40, 3, 1, seed=1) + 7.0


TENSORS: dict[str, tuple[Callable[[], torch.Tensor], int, int]] = {
    "plain": (lambda: randn(50, 30), -1, 0),
    "large": (lambda: randn(300, 700), -1, 0),
    "more units than a tile": (lambda: randn(9, 1500), -1, 0),
    "few units": (lambda: randn(5000, 8), -1, 0),
    "transposed": (lambda: randn(30, 50).T, -1, 0),
    "transposed, large": (lambda: randn(120, 300).T, -1, 0),
    "expanded samples": (lambda: randn(1, 30).expand(20, 30), -1, 0),
    "expanded units": (lambda: randn(20, 1).expand(20, 30), -1, 0),
    "sliced units": (lambda: randn(40, 60)[:, 10:25], -1, 0),
    "every second unit": (lambda: randn(40, 60)[:, ::2], -1, 0),
    "every second sample": (lambda: randn(40, 60)[::2], -1, 0),
    "convolution": (lambda: randn(6, 5, 7, 9), 1, 0),
    "convolution, large": (lambda: randn(6, 5, 70, 90), 1, 0),
    "channels last": (lambda: randn(6, 5, 7, 9).to(memory_format=torch.channels_last), 1, 0),
    "cropped": (lambda: randn(6, 5, 17, 19)[:, :, 2:9, 3:12], 1, 0),
    "cropped, channels last": (
        lambda: randn(6, 5, 17, 19).to(memory_format=torch.channels_last)[:, :, 2:9, 3:12],
        1,
        0,
    ),
    "one position": (lambda: randn(6, 5, 1, 1), 1, 0),
    "sequence": (lambda: randn(6, 11, 20), -1, 0),
    "batch second": (lambda: randn(11, 6, 20), -1, 1),
    "batch last, units first": (lambda: randn(20, 11, 6), 0, 2),
    "heads": (lambda: randn(4, 7, 3, 8).transpose(1, 2), -1, 0),
    "0-d": (lambda: randn(1).reshape(()), -1, 0),
    "1-d": (lambda: randn(70), -1, 0),
    "1-d, strided": (lambda: randn(70)[::3], -1, 0),
    "one unit": (lambda: randn(70, 1), -1, 0),
    "one unit, strided": (lambda: randn(70, 4)[:, :1], -1, 0),
    "one sample": (lambda: randn(1, 9), -1, 0),
    "half zeros": (lambda: randn(200, 100).relu(), -1, 0),
    "zeros": (lambda: torch.zeros(30, 20), -1, 0),
    "negative zeros": (lambda: spoilt(randn(30, 20), -0.0, 0.0, -0.0), -1, 0),
    "subnormals": (lambda: spoilt(randn(30, 20), 1e-40, -1e-42, 1.4e-45, 1.17549435e-38), -1, 0),
    "constant": (lambda: torch.full((30, 20), 0.1), -1, 0),
    "not finite": (lambda: spoilt(randn(50, 30), NAN, INF, -INF, NAN, INF), -1, 0),
    "not finite, first sample": (lambda: torch.cat([torch.full((1, 8), INF), randn(20, 8)]), -1, 0),
    "not finite, convolution": (lambda: spoilt(randn(6, 5, 7, 9), NAN, INF, -INF, NAN), 1, 0),
    "not finite, sequence": (lambda: spoilt(randn(6, 11, 20), NAN, INF, -INF), -1, 0),
    "not finite, transposed": (lambda: spoilt(randn(30, 50), NAN, INF, -INF).T, -1, 0),
    "nothing finite": (lambda: torch.full((4, 3), NAN), -1, 0),
    "negative NaN": (lambda: torch.tensor([[-1]], dtype=torch.int32).view(torch.float32).repeat(3, 2), -1, 0),
    "largest": (lambda: torch.full((30, 4), 3.4e38) * randn(30, 4).sign(), -1, 0),
    "outliers in the first sample": (outlier, -1, 0),
    "first of many apart": (lambda: first_apart(300_000, 2), -1, 0),
    "first mean of many apart": (first_mean_apart, 1, 0),
    "far from 0": (lambda: randn(500, 6) * 0.1 + 1e5, -1, 0),
    "means alike": (spread_across_units, 1, 0),
}


@pytest.mark.parametrize("name", TENSORS)
def test_every_number_agrees_with_plain_numpy(name: str, path: str) -> None:
    build, unit_axis, batch_axis = TENSORS[name]
    tensor = build()
    values = ordered(tensor, unit_axis, batch_axis)
    account, state = Account(values), observe(tensor, unit_axis, batch_axis)
    row = Row(state)
    assert isinstance(state.content, bytes) == (path == "kernel")
    assert (state.samples, state.units, state.positions) == values.shape
    assert row.counters == account.counters
    np.testing.assert_array_equal(row.log, account.log)
    n, pivot, first, second, highest, lowest = row.sums[:6]
    np.testing.assert_array_equal(row.units[0], n)
    np.testing.assert_array_equal(highest, [unit.max(initial=-INF) for unit in account.pooled])
    np.testing.assert_array_equal(lowest, [unit.min(initial=INF) for unit in account.pooled])
    check_moments(np.stack([n, pivot, first, second]), account.pooled)
    check_moments(row.sums[6:], account.across)


def ordered(tensor: torch.Tensor, unit_axis: int, batch_axis: int) -> np.ndarray:
    """Return (samples, units, positions)."""
    if tensor.dim() < 2:
        return tensor.numpy().reshape(-1, 1, 1).copy()
    axes = [batch_axis % tensor.dim(), unit_axis % tensor.dim()]
    rest = [axis for axis in range(tensor.dim()) if axis not in axes]
    array = tensor.numpy().transpose(*axes, *rest)
    return np.ascontiguousarray(array.reshape(array.shape[0], array.shape[1], -1))


def check_moments(sums: np.ndarray, units: list[np.ndarray]) -> None:
    """Compare n, mean and variance with those of each unit's values."""
    n, pivot, first, second = sums.astype(np.longdouble)
    np.testing.assert_array_equal(n, [len(unit) for unit in units])
    np.testing.assert_array_equal(pivot.astype(np.float32), pivot)
    for unit in np.flatnonzero(n > 0):
        x = units[unit]
        mean, variance, size = x.mean(), x.var(), np.abs(x).max() or 1.0
        assert abs(pivot[unit] + first[unit] / n[unit] - mean) <= 1e-13 * size
        found = second[unit] / n[unit] - (first[unit] / n[unit]) ** 2
        resolved = (2.0**-24 * abs(mean)) ** 2  # of a pivot in float32
        assert abs(found - variance) <= 1e-12 * (variance + resolved) + (1e-16 * size) ** 2


@NO_KERNEL
@pytest.mark.parametrize("name", TENSORS)
def test_both_paths_give_the_same_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, unit_axis, batch_axis = TENSORS[name]
    by_kernel = observe(build(), unit_axis, batch_axis, (-1.0, 1.0), 3)
    measure_by("torch", monkeypatch)
    by_torch = observe(build(), unit_axis, batch_axis, (-1.0, 1.0), 3)
    assert isinstance(by_torch.content, Content)
    one, other = describe([by_kernel], [True]), describe([by_torch], [True])
    np.testing.assert_allclose(one.numbers, other.numbers, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(one.log(0), other.log(0))
    np.testing.assert_array_equal(one.linear(0), other.linear(0))
    np.testing.assert_array_equal(one.units(0)[[0, 4, 5]], other.units(0)[[0, 4, 5]])


def test_the_tensor_is_not_written_to(path: str) -> None:
    for build, unit_axis, batch_axis in TENSORS.values():
        tensor = build()
        before, version = tensor.clone(), tensor._version
        observe(tensor, unit_axis, batch_axis, (-1.0, 1.0))
        count_outside(tensor, -1.0, 1.0)
        sizes([tensor])
        assert tensor._version == version
        assert torch.equal(tensor.contiguous().view(torch.int32), before.contiguous().view(torch.int32))
