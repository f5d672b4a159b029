"""Laws of the statistics over any tensor, against exact fractions; of merging, and of the histograms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from measuring import PATHS, Row, measure_by

from actdiag.bins import EDGES, in_value_order, quantiles, rebin
from actdiag.statistics import merge, observe
from laws.conftest import LAWS
from laws.tensors import DTYPES, moments, root, tensors, values

TINY = {dtype: torch.finfo(dtype).smallest_normal for dtype in DTYPES}
STEP = 2 * 5e-324
"""Two steps of the smallest numbers that float64 has."""
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


@pytest.fixture(params=PATHS, autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Measure every test's tensors by both paths."""
    return measure_by(request.param, monkeypatch)


@LAWS
@given(tensor=tensors())
def test_counts_are_those_of_the_elements(tensor: torch.Tensor) -> None:
    counters = Row(observe(tensor)).counters
    elements = values(tensor)
    assert tuple(counters) == (
        len(elements),
        sum(value == 0 for value in elements),
        sum(value > 0 for value in elements),
        sum(0 < abs(value) < TINY[tensor.dtype] for value in elements),
        sum(map(math.isnan, elements)),
        sum(map(math.isinf, elements)),
    )


@LAWS
@given(tensor=tensors())
def test_moments_are_those_of_exact_arithmetic(tensor: torch.Tensor) -> None:
    numbers = Row(observe(tensor)).numbers
    finite = [value for value in values(tensor) if math.isfinite(value)]
    if not finite:
        assert all(math.isnan(numbers[name]) for name in ("mean", "std", "rms", "min", "max", "p50"))
        return
    exact = moments(finite)
    rms, std = root(exact["square"]), root(exact["variance"])
    assert (numbers["min"], numbers["max"]) == (min(finite), max(finite))
    assert numbers["rms"] == pytest.approx(rms, rel=1e-12, abs=STEP)
    assert numbers["mean"] == pytest.approx(float(exact["mean"]), rel=1e-12, abs=max(1e-12 * rms, STEP))
    assert numbers["std"] == pytest.approx(std, rel=1e-9, abs=max(1e-7 * rms, STEP))


@LAWS
@given(tensor=tensors())
def test_a_tensor_is_only_read(tensor: torch.Tensor) -> None:
    integers = DTYPES[tensor.dtype][0]
    before, shape, strides = tensor.contiguous().view(integers).clone(), tensor.shape, tensor.stride()
    observe(tensor)
    assert torch.equal(tensor.contiguous().view(integers), before)
    assert (tensor.shape, tensor.stride()) == (shape, strides)


@LAWS
@given(tensor=tensors())
def test_the_layout_in_memory_changes_nothing(tensor: torch.Tensor) -> None:
    one, other = Row(observe(tensor)), Row(observe(tensor.contiguous()))
    assert one.counters == other.counters
    np.testing.assert_array_equal(one.log, other.log)
    for name in ("mean", "std", "rms"):
        assert one.numbers[name] == pytest.approx(other.numbers[name], rel=1e-12, nan_ok=True)


@LAWS
@given(tensor=tensors())
def test_every_element_is_counted_in_its_own_bin(tensor: torch.Tensor) -> None:
    counts = Row(observe(tensor)).log
    ordered, edges = in_value_order(counts)
    elements = values(tensor)
    finite = sorted(max(min(v, LARGEST_FLOAT32), -LARGEST_FLOAT32) for v in elements if math.isfinite(v))
    assert counts.sum() == len(elements)
    assert ordered.sum() == len(finite)
    places = np.repeat(np.arange(len(ordered)), ordered)
    narrow = np.asarray(finite).astype(np.float32)
    for place, value in zip(places, narrow.astype(float), strict=True):
        assert edges[place] <= value <= edges[place + 1]


@LAWS
@given(tensor=tensors(), shares=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_quantiles_rise_and_are_near_the_element_of_their_rank(
    tensor: torch.Tensor, shares: list[float]
) -> None:
    counts = Row(observe(tensor.float() if tensor.dtype == torch.float64 else tensor)).log
    finite = sorted(value for value in values(tensor.float()) if math.isfinite(value))
    found = quantiles(counts, sorted(shares))
    if not finite:
        assert np.isnan(found).all()
        return
    assert (np.diff(found) >= 0).all()
    for share, value in zip(sorted(shares), found, strict=True):
        exact = finite[max(math.ceil(share * len(finite)), 1) - 1]
        assert abs(value - exact) <= max(abs(exact) / 16, EDGES[1])


@LAWS
@given(tensor=tensors(), cuts=st.lists(st.floats(-1e38, 1e38), min_size=2, max_size=6, unique=True))
def test_rebinning_adds_and_loses_nothing_between_its_ends(tensor: torch.Tensor, cuts: list[float]) -> None:
    counts = Row(observe(tensor)).log
    edges = np.sort(np.asarray([-(2.0**128), *cuts, 2.0**128]))
    spread = rebin(counts, edges)
    assert (spread >= 0).all()
    assert spread.sum() == pytest.approx(in_value_order(counts)[0].sum())


@st.composite
def several(draw: st.DrawFn) -> list[torch.Tensor]:
    """Draw tensors that are parts of one site's."""
    units, dtype = draw(st.integers(1, 4)), draw(st.sampled_from(list(DTYPES)))
    parts = draw(st.lists(tensors(units=units, dtype=dtype), min_size=3, max_size=3))
    return [part.reshape(-1, units) for part in parts]


def alike(one: Row, other: Row, scale: float) -> None:
    """Hold two rows to the same counts, extremes and moments."""
    assert one.counters == other.counters
    np.testing.assert_array_equal(one.log, other.log)
    np.testing.assert_array_equal(one.units[[0, 4, 5]], other.units[[0, 4, 5]])
    for name, floor in (("mean", 1e-12), ("rms", 0.0), ("std", 1e-7), ("std_across", 1e-7)):
        expected = pytest.approx(other.numbers[name], rel=1e-9, abs=max(floor * scale, 1e-323), nan_ok=True)
        assert one.numbers[name] == expected, name


@LAWS
@given(parts=several())
def test_merging_is_a_commutative_monoid(parts: list[torch.Tensor]) -> None:
    """In any order and grouping it equals one look at everything; no samples change nothing."""
    a, b, c = map(observe, parts)
    whole = Row(observe(torch.cat(parts)))
    scale = 0.0 if math.isnan(whole.numbers["rms"]) else whole.numbers["rms"]
    nothing = observe(parts[0][:0])
    for merged in (
        merge(merge(a, b), c),
        merge(a, merge(b, c)),
        merge(c, merge(b, a)),
        merge(merge(b, c), a),
    ):
        alike(Row(merged), whole, scale)
        alike(Row(merge(nothing, merged)), Row(merged), scale)
        alike(Row(merge(merged, nothing)), Row(merged), scale)
