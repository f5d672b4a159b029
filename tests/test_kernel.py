"""The C kernel beside torch: merging, threads, wrong arguments, and whether it is in use."""

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
from measuring import NO_KERNEL, PATHS, Row, measure_by, randn, spoilt

import actdiag.kernel
from actdiag.kernel import kernel, kernel_description, kernel_in_use
from actdiag.statistics import count_outside, describe, merge, native, observe, sizes
from actdiag.statistics.tensors import Content

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return measure_by(request.param, monkeypatch)


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
    states = observe(x, 1), observe(y, 1)
    means = np.concatenate([x.double().numpy(), y.double().mean(-1).numpy()])
    expected = np.sqrt((means.std(axis=0) ** 2).mean())
    for a, b in (states, states[::-1]):
        assert Row(merge(a, b)).numbers["std_across"] == pytest.approx(expected, rel=1e-9)


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


def test_one_bin_beyond_32_bits_stays_exact(path: str) -> None:
    state = observe(torch.ones(1, 1))
    for _ in range(34):
        state = merge(state, state)
        assert Row(state).log.max() == state.elements


def test_a_negated_view_is_read_as_it_is_seen(path: str) -> None:
    imaginary = randn(6, 4, seed=1)
    expected = -imaginary.numpy()
    for seen in (torch.complex(randn(6, 4), imaginary).conj().imag, torch._neg_view(imaginary)):
        assert seen.is_neg()
        assert Row(observe(seen)).numbers["max"] == expected.max()
        assert count_outside(seen, -INF, 1.0) == (expected > 1.0).sum()
        assert sizes([seen])[0, 2] == pytest.approx(np.sqrt((expected.astype(float) ** 2).mean()), rel=1e-12)


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
    tensors = [
        randn(30, 20),
        spoilt(randn(31), NAN, INF, -INF),
        torch.zeros(0, 3),
        torch.full((2,), NAN),
        torch.zeros(2, 0),
    ]
    tensors = [tensor.to(dtype) for tensor in [*tensors, randn(40, 30).T[::2], torch.tensor(-3.0)]]
    found = sizes(tensors)
    for tensor, (units, elements, rms, nan, inf) in zip(tensors, found, strict=True):
        x = tensor.double().numpy()
        finite = x[np.isfinite(x)]
        assert (elements, nan, inf) == (x.size, np.isnan(x).sum(), np.isinf(x).sum())
        assert units == (x.shape[0] if x.ndim else 1)
        expected = np.sqrt((finite**2).mean()) if finite.size else NAN
        assert rms == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert sizes([]).shape == (0, 5)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e200])
def test_the_size_of_what_cannot_be_squared(size: float) -> None:
    x = randn(9, 4).double()
    plain = float(x.square().mean().sqrt())
    assert sizes([x * size])[0, 2] / size == pytest.approx(plain, rel=1e-12)


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
        (kernels.describe, ([observe(tensor)],)),
        (kernels.describe, ([observe(tensor)], [])),
        (kernels.describe, ([(1, 2)], [True])),
        (kernels.describe, ([observe(tensor)], [np.zeros(2)])),
        (kernels.describe, ([(0, 4, 1, 3, 12, b"", None)], [True])),
        (kernels.describe, ([observe(tensor)._replace(samples="many")], [True])),
        (kernels.sizes, (tensor,)),
        (kernels.sizes, ([3],)),
        (kernels.sizes, ([tensor, tensor.T],)),
        (kernels.sizes, ([tensor.to("meta")],)),
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
    assert (
        obstacle() == "no C kernel beside this copy of actdiag: installed without a C compiler, "
        "or run from its sources (pip install -e . there)"
    )
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("tensors", ["all", "activations"])
def test_no_hook_waits_for_the_device(tensors: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).cuda()
    x = randn(16, 8).cuda()
    with actdiag.attach(model, tensors=tensors) as recorder:
        model(x).square().mean().backward()  # what is set up once may wait
        recorder.step()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(x).square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        recorder.step()
    recording = recorder.recording()
    assert recording.rows.groupby("step").size().nunique() == 1
    assert not recording.meta["runs"]["model"]["notes"]


@pytest.mark.parametrize("units", [2**58, 2**59, 2**61])
def test_more_units_than_memory_holds_raise(units: int) -> None:
    """An empty tensor may have any number of them."""
    with pytest.raises((MemoryError, RuntimeError)):
        observe(torch.empty(0, units))


def test_misaligned_memory_is_measured() -> None:
    values = np.arange(48, dtype=np.float32)
    memory = bytearray(b"-" + values.tobytes())
    tensor = torch.frombuffer(memory, dtype=torch.float32, offset=1, count=48).view(6, 8)
    assert tensor.data_ptr() % 4
    table = describe([observe(tensor)], [False])
    assert table.log(0).sum() == 48
    np.testing.assert_allclose(table.units(0)[1], values.reshape(6, 8).mean(axis=0))
    assert sizes([tensor])[0].tolist() == [6, 48, pytest.approx(np.sqrt((values**2).mean())), 0, 0]
    assert count_outside(tensor, 9.5, 40.5) == 17
