"""The statistics against numpy in float64, and the merge law."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from measuring import PATHS, Row, measure_by

from actdiag.bins import EDGES, in_value_order, quantiles, rebin
from actdiag.statistics import TensorState, merge, observe
from actdiag.statistics.counters import Counters

SPECIAL = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-40, -1e-42, 1.0, -2.5]
MOMENTS = ("mean", "std", "std_across", "rms", "correlation")


@pytest.fixture(params=PATHS, autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Measure every test's tensors by both paths."""
    return measure_by(request.param, monkeypatch)


describe = Row


def log(tensor: torch.Tensor) -> np.ndarray:
    return describe(observe(tensor)).log


def reference(values: np.ndarray) -> dict[str, float]:
    """Return the moments of (samples, units) by plain numpy in extended precision."""
    x = values.astype(np.longdouble)
    gram = x @ x.T
    samples = len(x)
    off_diagonal = (gram.sum() - np.trace(gram)) / (samples * (samples - 1))
    return {
        "mean": float(x.mean()),
        "std": float(x.std()),
        "std_across": float(np.sqrt((x.std(axis=0) ** 2).mean())),
        "rms": float(np.sqrt((x**2).mean())),
        "correlation": float(off_diagonal / (np.trace(gram) / samples)),
    }


@pytest.mark.parametrize(
    ("mean", "std"),
    [(0.0, 1.0), (3.0, 1.0), (1e4, 1.0), (-1e4, 1.0), (0.0, 1e-30), (1e-26, 1e-30), (1.0, 1e-4)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_agree_with_numpy(mean: float, std: float, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tensor = (torch.randn(300, 40, generator=generator, dtype=torch.float64) * std + mean).to(dtype)
    numbers = describe(observe(tensor)).numbers
    for name, value in reference(tensor.double().numpy()).items():
        if name == "correlation":
            assert numbers[name] == pytest.approx(value, abs=1e-9)
        else:
            scale = std if name == "mean" else 0.0
            assert numbers[name] == pytest.approx(value, rel=1e-6, abs=1e-9 * scale), name


def test_std_survives_a_mean_of_a_million_times_its_size() -> None:
    tensor = torch.randn(2000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 1e6
    assert describe(observe(tensor)).numbers["std"] == pytest.approx(float(tensor.numpy().std()), rel=1e-9)


def test_counts_are_exact() -> None:
    tensor = torch.tensor([SPECIAL, [5.0] * len(SPECIAL)])
    assert describe(observe(tensor)).counters == Counters(
        elements=18, zeros=2, positive=12, subnormal=2, nan=1, inf=2
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_subnormals_are_those_of_the_own_dtype(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).smallest_normal
    tensor = torch.tensor([[tiny], [tiny / 2], [-tiny / 4], [0.0]], dtype=dtype)
    assert describe(observe(tensor)).numbers["subnormal_fraction"] == 0.5


def test_everything_is_over_finite_elements() -> None:
    tensor = torch.tensor([[1.0, float("nan")], [3.0, float("inf")], [5.0, 7.0]])
    numbers = describe(observe(tensor)).numbers
    assert (numbers["mean"], numbers["min"], numbers["max"]) == (4.0, 1.0, 7.0)
    assert numbers["rms"] == pytest.approx(np.sqrt((1 + 9 + 25 + 49) / 4))
    assert (numbers["nan_count"], numbers["inf_count"], numbers["count"]) == (1, 1, 6)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_an_empty_tensor_has_no_numbers(shape: tuple[int, int]) -> None:
    numbers = describe(observe(torch.zeros(shape))).numbers
    assert numbers["count"] == 0
    assert all(
        np.isnan(numbers[name]) for name in ("mean", "std", "rms", "min", "max", "p50", "zero_fraction")
    )


def test_one_sample_cannot_be_told_apart() -> None:
    numbers = describe(observe(torch.randn(1, 9))).numbers
    assert np.isnan(numbers["std_across"])
    assert np.isnan(numbers["correlation"])
    assert np.isnan(numbers["constant_units"])


def test_positions_are_pooled_but_samples_are_told_apart_by_their_means() -> None:
    tensor = torch.randn(6, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    state = observe(tensor, unit_axis=1)
    numbers, x = describe(state).numbers, tensor.double().numpy()
    assert (state.samples, state.units, state.positions, state.unit_axis) == (6, 3, 20, 1)
    means = x.mean(axis=(2, 3))
    assert numbers["std"] == pytest.approx(x.std(), rel=1e-12)
    assert numbers["std_across"] == pytest.approx(np.sqrt((means.std(axis=0) ** 2).mean()), rel=1e-9)
    assert numbers["correlation"] == pytest.approx(reference(means)["correlation"], rel=1e-9)
    n, pivot, first = describe(state).sums[:3]
    np.testing.assert_allclose(pivot + first / n, x.mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(describe(state).units[1], x.mean(axis=(0, 2, 3)), rtol=2**-24)


def test_dead_and_constant_units() -> None:
    tensor = torch.tensor([[0.0, 0.0, 2.0, -1.0], [0.0, 3.0, 2.0, -2.0]])
    numbers = describe(observe(tensor), dies=True).numbers
    assert (numbers["dead_units"], numbers["constant_units"]) == (2, 2)
    assert np.isnan(describe(observe(tensor)).numbers["dead_units"])


def states(seed: int, sizes: tuple[int, ...], dtype: torch.dtype) -> tuple[TensorState, list[TensorState]]:
    """Return the state of a whole tensor with special values, and of its parts along the samples."""
    generator = torch.Generator().manual_seed(seed)
    whole = (
        torch.randn(sum(sizes), 7, generator=generator, dtype=torch.float64) * 10.0 ** (seed % 5 - 2)
        + seed % 3
    )
    places = torch.randint(0, whole.numel(), (min(9, whole.numel()),), generator=generator)
    whole.view(-1)[places] = torch.tensor(SPECIAL, dtype=torch.float64)[: len(places)]
    whole = whole.to(dtype)
    return observe(whole), [observe(part) for part in whole.split(list(sizes))]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 1),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    order=st.randoms(use_true_random=False),
)
def test_merge_law(seed: int, sizes: list[int], dtype: torch.dtype, order: object) -> None:
    """Merging the parts in any order equals observing the whole."""
    whole, parts = states(seed, tuple(sizes), dtype)
    order.shuffle(parts)  # type: ignore[attr-defined]
    merged = parts[0]
    for part in parts[1:]:
        merged = merge(merged, part)
    one, other = describe(whole), describe(merged)
    assert other.counters == one.counters
    np.testing.assert_array_equal(other.log, one.log)
    np.testing.assert_array_equal(other.sums[4:6], one.sums[4:6])
    scale = 0.0 if np.isnan(one.numbers["rms"]) else float(one.numbers["rms"])
    for name in MOMENTS:
        floor = 1e-12 * (scale if name == "mean" else 1.0 if name == "correlation" else 1e-3 * scale)
        assert other.numbers[name] == pytest.approx(one.numbers[name], rel=1e-12, abs=floor, nan_ok=True), (
            name
        )
    np.testing.assert_array_equal(one.units[[0, 4, 5]], other.units[[0, 4, 5]])


def test_linear_histogram_and_saturation_add_up() -> None:
    tensor = torch.tanh(torch.randn(100, 5, generator=torch.Generator().manual_seed(3)) * 3)
    whole = observe(tensor, bounds=(-1.0, 1.0), saturated=(tensor.abs() > 0.9).sum())
    a, b = (
        observe(part, bounds=(-1.0, 1.0), saturated=(part.abs() > 0.9).sum())
        for part in tensor.split([30, 70])
    )
    merged = merge(a, b)
    assert describe(whole).linear is not None
    np.testing.assert_array_equal(describe(whole).linear, describe(merged).linear)
    expected, _ = np.histogram(tensor.double().numpy(), bins=128, range=(-1, 1))
    np.testing.assert_array_equal(describe(whole).linear, expected)
    assert describe(merged).numbers["saturated_fraction"] == (tensor.abs() > 0.9).double().mean()


def test_other_unit_counts_do_not_merge() -> None:
    with pytest.raises(
        ValueError, match="only states of equal units and axis merge: 3 on axis 1, 4 on axis 1"
    ):
        merge(observe(torch.ones(2, 3)), observe(torch.ones(2, 4)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_log_histogram_puts_every_value_into_its_bin(dtype: torch.dtype) -> None:
    scale = 10.0 if dtype == torch.float16 else 1e30
    tensor = (torch.randn(4000, generator=torch.Generator().manual_seed(4)).double() * scale).to(dtype)
    ordered, edges = in_value_order(log(tensor))
    values = tensor.double().numpy()
    low, high = values.min(), values.max()
    for index in np.flatnonzero(ordered):
        left, right = edges[index], edges[index + 1]
        inside = (values >= left) & (values < right) if right > 0 else (values > left) & (values <= right)
        assert inside.sum() == ordered[index]
    assert ordered.sum() == 4000
    assert edges[np.flatnonzero(ordered)[0]] <= low
    assert edges[np.flatnonzero(ordered)[-1] + 1] >= high


def test_float64_beyond_float32_stays_finite_in_the_histogram() -> None:
    ordered, _ = in_value_order(log(torch.tensor([1e300, -1e300, 1e-300], dtype=torch.float64)))
    assert ordered.sum() == 3


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_quantiles_are_within_a_sixteenth(scale: float) -> None:
    values = torch.randn(5000, generator=torch.Generator().manual_seed(5)) * scale
    shares = (0.01, 0.25, 0.9, 0.99)
    found = quantiles(log(values), shares)
    exact = np.quantile(values.double().numpy(), shares, method="inverted_cdf")
    np.testing.assert_allclose(found, exact, rtol=1 / 16)


def test_rebinning_keeps_the_mass_and_the_place() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(6))
    edges = np.linspace(-6, 6, 25)
    counts = rebin(log(values), edges)
    assert counts.sum() == pytest.approx(20_000)
    exact, _ = np.histogram(values.double().numpy(), edges)
    assert np.abs(counts - exact).sum() / 20_000 < 0.05


def test_edges_rise_from_zero_to_the_end_of_float32() -> None:
    assert EDGES[0] == 0.0
    assert EDGES[-1] == 2.0**128
    assert (np.diff(EDGES) > 0).all()
    normal = EDGES[8:]
    assert (normal[1:] / normal[:-1] <= 1.125).all()


@pytest.mark.parametrize("size", [1e-290, 1e-170, 1e-20, 1.0, 1e170, 1e299])
def test_float64_beyond_what_can_be_squared(size: float) -> None:
    torch.manual_seed(11)
    x = torch.randn(40, 6, dtype=torch.float64) + 0.5
    np.testing.assert_allclose(describe(observe(x * size)).units[2] / size, x.numpy().std(0), rtol=2**-23)
    plain, scaled = describe(observe(x)).numbers, describe(observe(x * size)).numbers
    for name in ("mean", "std", "rms", "std_across"):
        assert scaled[name] / size == pytest.approx(plain[name], rel=1e-12), name
    assert scaled["correlation"] == pytest.approx(plain["correlation"], rel=1e-9)
    parts = merge(observe(torch.zeros(0, 6, dtype=torch.float64)), observe(x[:13] * size))
    merged = describe(merge(parts, observe(x[13:] * size))).numbers
    for name in ("mean", "std", "rms", "std_across"):
        assert merged[name] == pytest.approx(scaled[name], rel=1e-12), name


@pytest.mark.parametrize("tiny", [1e-160, 1e-300, 5e-324])
@pytest.mark.parametrize("apart", [False, True])
def test_units_of_the_smallest_numbers_stand_beside_others(tiny: float, apart: bool) -> None:
    x = torch.tensor([[tiny, 1.0], [tiny, 1.0], [2.0 * tiny, 3.0], [0.0, 3.0]], dtype=torch.float64)
    state = merge(observe(x[:2]), observe(x[2:])) if apart else observe(x[2:])
    seen = x if apart else x[2:]
    numbers = describe(state).numbers
    assert numbers["mean"] == pytest.approx(float(seen.mean()), rel=1e-12)
    assert numbers["std"] == pytest.approx(float(seen.std(correction=0)), rel=1e-12)
    assert numbers["rms"] == pytest.approx(float(seen.square().mean().sqrt()), rel=1e-12)
    assert numbers["std_across"] == pytest.approx(float(np.sqrt(0.5)) if apart else 0.0, abs=1e-150)


@pytest.mark.parametrize("value", [-sys.float_info.max, sys.float_info.max])
def test_the_largest_float_is_measured(value: float) -> None:
    numbers = describe(observe(torch.tensor([[value]], dtype=torch.float64))).numbers
    assert (numbers["mean"], numbers["rms"], numbers["std"]) == (value, abs(value), 0.0)


@pytest.mark.parametrize(
    "signs", [(1, 1, 1, 1), (1, -1, 0, 0), (-1, 0, 0, -1), (1, 1, -1, -1), (-1, -1, 1, 1)]
)
@pytest.mark.parametrize("shape", [(4, 1), (2, 2), (1, 4), (2, 2, 1), (1, 4, 1)])
@pytest.mark.parametrize("apart", [False, True])
def test_the_largest_floats_add_up(signs: tuple[int, ...], shape: tuple[int, ...], apart: bool) -> None:
    """As the same signs of ordinary size do, whether in samples, positions or units."""
    small = torch.tensor(signs, dtype=torch.float64).reshape(shape)
    large = small * sys.float_info.max
    half = shape[0] // 2
    state = merge(observe(large[:half]), observe(large[half:])) if apart else observe(large)
    numbers, ordinary = describe(state).numbers, describe(observe(small)).numbers
    for name in ("mean", "std", "rms", "std_across"):
        expected = sys.float_info.max * ordinary[name]
        assert numbers[name] == pytest.approx(expected, rel=1e-12, abs=1e296, nan_ok=True), name
    assert numbers["correlation"] == pytest.approx(ordinary["correlation"], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("size", "dtype", "known"),
    [
        (1e60, torch.float64, False),
        (1e-85, torch.float64, False),
        (1e-40, torch.float32, False),
        (0.0, torch.float64, True),
        (1e-30, torch.float64, True),
        (1e30, torch.float32, True),
    ],
)
def test_quantiles_are_told_where_the_histogram_reaches(size: float, dtype: torch.dtype, known: bool) -> None:
    x = torch.linspace(1.0, 2.0, 400, dtype=torch.float64).reshape(100, 4).mul(size).to(dtype)
    numbers = describe(observe(x)).numbers
    for name, share in (("p01", 0.01), ("p50", 0.5), ("p99", 0.99)):
        expected = float(x.double().quantile(share)) if known else np.nan
        assert numbers[name] == pytest.approx(expected, rel=1 / 15, nan_ok=True)


def test_a_quantile_beyond_float32_hides_no_other() -> None:
    x = torch.tensor([1.0] * 90 + [1e300] * 10, dtype=torch.float64).reshape(-1, 1)
    numbers = describe(observe(x)).numbers
    assert (numbers["p01"], numbers["p50"]) == (pytest.approx(1.0, rel=1 / 15),) * 2
    assert np.isnan(numbers["p99"])
