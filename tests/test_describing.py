"""Rows described together are the rows described one by one, in little memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from measuring import PATHS, Row, measure_by, randn, spoilt

from actdiag.statistics import TensorState, describe, merge, moments, observe
from actdiag.statistics.tensors import Content

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return measure_by(request.param, monkeypatch)


def mixed() -> list[TensorState]:
    """Return states of many shapes and types, with and without positions, bounds, values and saturation."""
    return [
        observe(randn(20, 7)),
        observe(randn(20, 7).double() * 1e-160),
        observe(randn(6, 3, 5, 5), 1),
        observe(randn(0, 4)),
        observe(randn(4, 0)),
        observe(spoilt(randn(30, 9), NAN, INF, NAN), bounds=(-1.0, 1.0), saturated=4),
        observe(torch.tanh(randn(30, 9)).bfloat16(), bounds=(-1.0, 1.0), saturated=torch.tensor(5)),
        observe(torch.full((3, 2), NAN)),
        observe(torch.zeros(3, 2)),
        observe(randn(1, 9000)),
        observe(randn(5, 8000)),
        observe(randn(3, 4, 0), 1),
        observe(torch.tensor(3.0)),
        merge(observe(randn(7, 3)), observe(randn(7, 3).double())),
    ]


def test_rows_together_are_rows_apart(path: str) -> None:
    states = mixed()
    dies = [row % 2 == 0 for row in range(len(states))]
    table = describe(states, dies)
    for row, state in enumerate(states):
        alone = Row(state, dies[row])
        np.testing.assert_allclose(table.numbers[row], list(alone.numbers.values()), rtol=1e-14)
        np.testing.assert_array_equal(table.log(row), alone.log)
        np.testing.assert_allclose(table.units(row), alone.units, rtol=2**-23)
        if alone.linear is None:
            assert table.linear(row) is None
        else:
            np.testing.assert_array_equal(table.linear(row), alone.linear)


def test_each_row_has_the_numbers_of_its_own_tensor(path: str) -> None:
    tensors = [randn(4 + size, size, seed=size) * size for size in range(1, 40)]
    rms = describe([observe(tensor) for tensor in tensors], [False] * len(tensors)).numbers[:, 7]
    expected = [np.sqrt((tensor.double().numpy() ** 2).mean()) for tensor in tensors]
    np.testing.assert_allclose(rms, expected, rtol=1e-12)


def test_quantiles_of_zeros_are_zero_and_none_lies_beyond_the_extremes(path: str) -> None:
    row = Row(observe(torch.relu(randn(40, 9)).index_fill_(1, torch.arange(3), 0.0))).numbers
    assert (row["p01"], row["p50"]) == (0.0, 0.0)
    assert row["p50"] < row["p99"] <= row["max"]
    alike = Row(observe(torch.full((4, 3), -7.3))).numbers
    assert alike["p01"] == alike["p50"] == alike["p99"] == alike["min"] == alike["max"]


def test_a_compact_table_has_the_same_answers(path: str) -> None:
    table = describe(mixed(), [False] * 14)
    compact = table.compact()
    for row in range(14):
        np.testing.assert_array_equal(compact.log(row), table.log(row))
        np.testing.assert_array_equal(compact.units(row), table.units(row))
        assert (compact.linear(row) is None) == (table.linear(row) is None)
        if table.linear(row) is not None:
            np.testing.assert_array_equal(compact.linear(row), table.linear(row))
    kept = sum(part.nbytes for arrays in compact.arrays for part in arrays.log)  # type: ignore[union-attr]
    assert kept < 14 * 4096


def test_no_state_is_no_row() -> None:
    assert describe([], []).compact().numbers.shape == (0, 22)
    with pytest.raises(ValueError, match="expected one `dies` for each of 1 states, got 0"):
        describe([observe(randn(2, 2))], [])


def size_of(state: TensorState) -> int:
    """Return the bytes behind a state."""
    if isinstance(state.content, bytes):
        return len(state.content)
    content = state.content
    tensors = {id(t): t for t in (*content.pooled, *content.across, *content) if isinstance(t, torch.Tensor)}
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())


@pytest.mark.parametrize("units", [1, 100, 3000])
def test_a_state_is_small(units: int, path: str) -> None:
    state = observe(randn(8, units, 3), 1, bounds=(-1.0, 1.0))
    assert size_of(state) <= 33 * 1024 + 80 * units + 200
    assert isinstance(state.content, bytes if path == "kernel" else Content)


def test_where_sums_are_float32_their_accuracy_is_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPUs have no float64; a CPU made to sum as they do."""
    measure_by("torch", monkeypatch)
    tensors = [randn(60, 8), randn(60, 8) * 1e30, randn(60, 8) * 1e-30, spoilt(randn(60, 8), NAN, INF)]
    expected = describe([observe(tensor) for tensor in tensors], [True] * 4)
    monkeypatch.setattr("actdiag.statistics.tensors.summing_type", lambda device: torch.float32)
    monkeypatch.setattr("actdiag.statistics.counters.all_finite", lambda log: False)
    states = [merge(observe(tensor[:20]), observe(tensor[20:])) for tensor in tensors]
    assert moments.merge(states[0].content.pooled, states[1].content.pooled).first.dtype == torch.float32
    np.testing.assert_allclose(describe(states, [True] * 4).numbers, expected.numbers, rtol=1e-4, atol=1e-6)
