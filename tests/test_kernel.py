"""Both ways of measuring, on tensors as they come: any strides, any values, any thread, and wrong arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from measuring import NO_KERNEL, PATHS, Account, Row, measure_by

import actdiag.kernel
from actdiag.kernel import kernel, kernel_description, kernel_in_use
from actdiag.statistics import count_outside, describe, merge, native, observe, sizes
from actdiag.statistics.tensors import Content

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return measure_by(request.param, monkeypatch)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def spoilt(tensor: torch.Tensor, *values: float) -> torch.Tensor:
    """Return the tensor with these values at places of its own choice."""
    flat = tensor.clone().reshape(-1)
    places = torch.randperm(flat.numel(), generator=torch.Generator().manual_seed(9))[: len(values)]
    flat[places] = torch.tensor(values)
    return flat.reshape(tensor.shape)


def outlier() -> torch.Tensor:
    tensor = randn(600, 5)
    tensor[0] = 1e30
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


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4, 0), (0, 4, 5), (0,)])
def test_empty_tensors_are_alike_by_both_paths(shape: tuple[int, ...], path: str) -> None:
    state = observe(torch.zeros(shape), 1 if len(shape) > 1 else -1)
    row = Row(state)
    assert (state.elements, row.log.sum(), row.units.shape) == (0, 0, (6, state.units))
    assert all(
        np.isnan(row.numbers[name]) for name in ("mean", "std", "rms", "min", "max", "p50", "correlation")
    )


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-0.3, 2.7)])
def test_linear_histograms_are_those_of_float32_arithmetic(low: float, high: float, path: str) -> None:
    tensor = spoilt(randn(90, 70), NAN, INF, -INF, low, high)
    x = tensor.numpy().reshape(-1)
    x = x[np.isfinite(x)]
    places = (x - np.float32(low)) * np.float32(128 / (high - low))
    expected = np.bincount(np.clip(places, 0, 127).astype(int), minlength=128)
    np.testing.assert_array_equal(Row(observe(tensor, bounds=(low, high))).linear, expected)


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


@NO_KERNEL
def test_blocks_and_tensors_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = randn(60, 5, 4)
    a = observe(whole[:20], 1, 0, (-1.0, 1.0), 3)
    with monkeypatch.context() as patch:
        measure_by("torch", patch)
        b, expected = (
            observe(whole[20:], 1, 0, (-1.0, 1.0), torch.tensor(4)),
            observe(whole, 1, 0, (-1.0, 1.0), 7),
        )
    for merged in (merge(a, b), merge(b, a)):
        one, other = describe([merged], [False]), describe([expected], [False])
        np.testing.assert_allclose(one.numbers, other.numbers, rtol=1e-12)
        np.testing.assert_array_equal(one.log(0), other.log(0))
        np.testing.assert_array_equal(one.linear(0), other.linear(0))


@NO_KERNEL
def test_a_block_without_positions_merges_with_one_that_has_some() -> None:
    x, y = randn(20, 5), randn(30, 5, 4, seed=1)
    merged = Row(merge(observe(x, 1), observe(y, 1)))
    means = np.concatenate([x.double().numpy(), y.double().mean(-1).numpy()])
    expected = np.sqrt((means.std(axis=0) ** 2).mean())
    assert merged.numbers["std_across"] == pytest.approx(expected, rel=1e-9)


def test_counts_beyond_32_bits_stay_exact(path: str) -> None:
    """Double a state 33 times: 2^33 x 6 elements."""
    state = observe(torch.tensor([[1.0, 0.0], [-2.0, NAN], [0.5, INF]]), bounds=(-1.0, 1.0), saturated=1)
    for _ in range(33):
        state = merge(state, state)
    row, times = Row(state), 2**33
    assert row.counters == tuple(times * count for count in (6, 1, 3, 0, 1, 1))
    assert row.log.sum() == 6 * times
    assert row.linear is not None
    assert row.linear.sum() == 4 * times
    assert row.numbers["saturated_fraction"] == 1 / 6
    compact = describe([state], [False]).compact()
    np.testing.assert_array_equal(compact.log(0), row.log)


def test_the_tensor_is_not_written_to(path: str) -> None:
    for build, unit_axis, batch_axis in TENSORS.values():
        tensor = build()
        before, version = tensor.clone(), tensor._version
        observe(tensor, unit_axis, batch_axis, (-1.0, 1.0))
        count_outside(tensor, -1.0, 1.0)
        sizes([tensor])
        assert tensor._version == version
        assert torch.equal(tensor.contiguous().view(torch.int32), before.contiguous().view(torch.int32))


def test_a_negated_view_is_read_as_it_is_seen(path: str) -> None:
    imaginary = randn(6, 4, seed=1)
    seen = torch.complex(randn(6, 4), imaginary).conj().imag
    assert seen.is_neg()
    assert Row(observe(seen)).numbers["max"] == (-imaginary.numpy()).max()
    assert count_outside(seen, -INF, 1.0) == (-imaginary.numpy() > 1.0).sum()
    assert sizes([seen])[0, 1] == pytest.approx(np.sqrt((imaginary.double().numpy() ** 2).mean()), rel=1e-12)


def test_two_threads_at_once_give_what_one_gives(path: str) -> None:
    tensors = [randn(300, 400, seed=seed) for seed in range(2)]
    expected, found = [observe(tensor) for tensor in tensors], [[], []]

    def work(which: int) -> None:
        for _ in range(20):
            found[which].append(observe(tensors[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(state.same_as(expected[which]) for which in range(2) for state in found[which])
    assert not expected[0].same_as(expected[1])


def test_a_recomputed_tensor_is_recognised(path: str) -> None:
    tensor = randn(20, 6)
    state = observe(tensor, saturated=2)
    assert state.same_as(observe(tensor.clone(), bounds=(-1.0, 1.0)))
    assert not state.same_as(observe(tensor.flip(1)))  # the same histogram, other units
    assert not state.same_as(observe(tensor[:-1]))
    assert not state.same_as(observe(tensor.clone().index_fill_(0, torch.tensor(3), 2.0)))


def test_the_unit_axis_can_be_replaced(path: str) -> None:
    assert observe(randn(4, 5))._replace(unit_axis=0).unit_axis == 0
    assert observe(randn(4, 5, 6), unit_axis=-2).unit_axis == 1
    assert observe(randn(4, 5, 6, 7)[:, :, 1:3, ::2], unit_axis=-1).unit_axis == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_sizes_are_over_finite_elements(dtype: torch.dtype, path: str) -> None:
    tensors = [randn(30, 20), spoilt(randn(31), NAN, INF, -INF), torch.zeros(0, 3), torch.full((2,), NAN)]
    tensors = [tensor.to(dtype) for tensor in [*tensors, randn(40, 30).T[::2], torch.tensor(-3.0)]]
    found = sizes(tensors)
    for tensor, (elements, rms, nan, inf) in zip(tensors, found, strict=True):
        x = tensor.double().numpy()
        finite = x[np.isfinite(x)]
        assert (elements, nan, inf) == (x.size, np.isnan(x).sum(), np.isinf(x).sum())
        expected = np.sqrt((finite**2).mean()) if finite.size else NAN
        assert rms == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert sizes([]).shape == (0, 4)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e200])
def test_the_size_of_what_cannot_be_squared(size: float) -> None:
    x = randn(9, 4).double()
    plain = float(x.square().mean().sqrt())
    assert sizes([x * size])[0, 1] / size == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_lies_outside_is_counted(dtype: torch.dtype, path: str) -> None:
    x = spoilt(randn(41, 37), NAN, INF, -INF, 1.0, -0.5).to(dtype)
    values = x.double().numpy()
    assert count_outside(x, -0.5, 1.0) == ((values < -0.5) | (values > 1.0)).sum()
    assert count_outside(x.T[::2], -INF, 1.0) == (values.T[::2] > 1.0).sum()
    assert count_outside(x[:0], -0.5, 1.0) == 0


@NO_KERNEL
def test_wrong_arguments_raise() -> None:
    kernels, tensor = kernel(), randn(4, 3)
    block = observe(tensor).content
    assert kernels is not None
    wrong: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (kernels.observe, ()),
        (kernels.observe, (None, -1, 0, None)),
        (kernels.observe, (tensor, "last", 0, None)),
        (kernels.observe, (tensor, 2, 0, None)),
        (kernels.observe, (tensor, 0, 0, None)),
        (kernels.observe, (tensor, -1, 0, (1.0,))),
        (kernels.observe, (tensor, -1, 0, ("a", "b"))),
        (kernels.observe, (tensor, -1, 0, 1.0)),
        (kernels.merge, (block,)),
        (kernels.merge, (block, b"")),
        (kernels.merge, (block, bytes(len(block)))),
        (kernels.merge, (block[:-1], block)),
        (kernels.merge, (block, observe(randn(4, 5)).content)),
        (kernels.gather, (block,)),
        (kernels.gather, ([block, None],)),
        (kernels.size, (3,)),
        (kernels.size, (tensor.to("meta"), 1)),
        (kernels.outside, (tensor, "low", 1.0)),
    ]
    for function, arguments in wrong:
        with pytest.raises((TypeError, ValueError, IndexError, AttributeError)):
            function(*arguments)


def test_axes_that_are_none_raise(path: str) -> None:
    with pytest.raises((IndexError, ValueError)):
        observe(randn(3, 4), unit_axis=2)
    with pytest.raises((RuntimeError, ValueError)):
        observe(randn(3, 4), unit_axis=0)


@NO_KERNEL
def test_the_kernel_measures_float32_on_the_cpu_only() -> None:
    assert isinstance(observe(randn(3, 4)).content, bytes)
    assert isinstance(observe(randn(3, 4).requires_grad_()).content, bytes)
    assert isinstance(observe(torch.nn.Parameter(randn(3, 4))).content, bytes)
    assert isinstance(observe(randn(3, 4).double()).content, Content)
    assert not native.measures(randn(3, 4).to("meta"))
    assert not native.measures(randn(3, 4).as_subclass(Marked))


class Marked(torch.Tensor):
    """A tensor of another type."""


def described(**environment: str) -> str:
    script = "from actdiag.kernel import *; print(kernel_in_use(), kernel_description())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_variable_switches_the_kernel_off() -> None:
    assert described(ACTDIAG_KERNEL="0") == "False torch; the C kernel is switched off by ACTDIAG_KERNEL=0"
    assert described(ACTDIAG_KERNEL="1") == f"{kernel_in_use()} {kernel_description()}" or not kernel_in_use()


def test_why_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(actdiag.kernel.VARIABLE, raising=False)
    obstacle = actdiag.kernel._obstacle.__wrapped__
    monkeypatch.setattr(actdiag.kernel, "MODULE", "actdiag._no_such_kernels")
    assert obstacle() == "the C kernel was not built: no compiler was found at install"
    monkeypatch.setattr(actdiag.kernel, "import_module", lambda name: type("Old", (), {"LAYOUT": 0}))
    monkeypatch.setattr(actdiag.kernel, "MODULE", "json")
    assert obstacle() == "the C kernel is of another version: install again"


@pytest.mark.skipif(
    os.environ.get("CI") != "true" or os.environ.get(actdiag.kernel.VARIABLE) == "0",
    reason="asked for where CI=true",
)
def test_where_there_is_a_compiler_there_is_a_kernel() -> None:
    assert kernel_in_use() or not any(map(shutil.which, ("cc", "gcc", "clang"))), kernel_description()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_nothing_waits_for_the_device() -> None:
    tensor = randn(64, 3, 5, 5).cuda()
    kinds = [tensor, tensor.double(), tensor.bfloat16(), tensor.half()]
    observe(tensor, 1)  # what is set up once may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        states = [observe(x, 1, 0, (-1.0, 1.0), count_outside(x, -1.0, 1.0)) for x in kinds]
        states = [merge(state, state) for state in states]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    on_cpu = [observe(x.cpu(), 1, 0, (-1.0, 1.0), count_outside(x.cpu(), -1.0, 1.0)) for x in kinds]
    expected = describe([merge(state, state) for state in on_cpu], [True] * 4)
    np.testing.assert_allclose(describe(states, [True] * 4).numbers, expected.numbers, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(sizes(kinds), sizes([x.cpu() for x in kinds]), rtol=1e-6)
