"""The arrays of a recording: equal to dense ones, shared by selections, whole after pickling."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actdiag.arrays import Histograms, Stored, Units, join
from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.kernel import kernel_in_use
from actdiag.statistics import describe, native, observe
from actdiag.statistics.summary import units_of

Dense = dict[int, NDArray[Any]]
RANDOM = np.random.default_rng(0)


def dense_histograms() -> Dense:
    """Return histograms of all kinds: full, one bin, none, a count beyond 32 bits."""
    big = np.zeros(LOG_BINS, dtype=np.int64)
    big[[0, 4095]] = 1, 2**40
    one = np.zeros(LOG_BINS, dtype=np.int64)
    one[7] = 3
    return {2: RANDOM.integers(0, 4, LOG_BINS), 5: one, 6: np.zeros(LOG_BINS, dtype=np.int64), 9: big}


def dense_units() -> Dense:
    """Return unit arrays of all kinds: float32, not float32, uneven counts, none finite, no units."""
    narrow = RANDOM.normal(size=(6, 3)).astype(np.float32).astype(np.float64)
    narrow[0] = 8.0
    uneven = narrow.copy()
    uneven[0, 1] = 7.0
    wide = narrow.copy()
    wide[1, 2] = 1e-200
    empty = np.full((6, 2), np.nan)
    empty[0] = 0.0
    return {0: narrow, 2: uneven, 3: wide, 4: empty, 8: np.empty((6, 0)), 9: narrow[:, :1]}


def equal(table: Mapping[int, NDArray[Any]], dense: Dense) -> bool:
    """Compare array by array, with types and NaN."""
    return list(table) == sorted(dense) and all(
        np.array_equal(table[row], value, equal_nan=value.dtype.kind == "f")
        and table[row].dtype == value.dtype
        for row, value in dense.items()
    )


TABLES = [(Histograms.of(dense_histograms()), dense_histograms), (Units.of(dense_units()), dense_units)]
BOTH = pytest.mark.parametrize("table", [Histograms.of(dense_histograms()), Units.of(dense_units())])


@pytest.mark.parametrize("make", [dense_histograms, dense_units])
def test_what_is_stored_is_read_back(make: Any) -> None:
    dense = make()
    table: Stored = (Histograms if make is dense_histograms else Units).of(dense)
    assert equal(table, dense)
    assert len(table) == len(dense)
    assert 2 in table
    assert 1 not in table
    assert table.get(1) is None
    with pytest.raises(KeyError):
        table[1]


@BOTH
def test_what_is_read_is_a_copy(table: Stored) -> None:
    table[2][...] = 77
    table[9][...] = 77
    assert not (table[2] == 77).any()
    assert not (table[9] == 77).any()


@BOTH
@pytest.mark.parametrize(
    "rows", [[2], [2, 3, 4, 5], [0, 9], [5, 7, 9], [], [1], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
)
def test_a_selection_holds_its_rows_and_travels_without_the_others(table: Stored, rows: list[int]) -> None:
    part = table.only(np.array(rows, dtype=np.int64))
    expected = {row: table[row] for row in table if row in rows}
    assert equal(part, expected)
    for copy in (pickle.loads(pickle.dumps(part)), deepcopy(part)):
        assert equal(copy, expected)
        assert copy.same(part)
    alone = type(part).of(expected)  # type: ignore[attr-defined]
    assert lengths(pickle.loads(pickle.dumps(part))) == lengths(part.packed()) == lengths(alone)


def lengths(table: Stored) -> dict[str, int]:
    """Return how much each of a table's buffers holds."""
    return {name: len(value) for name, value in table.arrays().items() if np.ndim(value)}


@BOTH
def test_another_number_is_seen(table: Stored) -> None:
    for row in (2, 9):
        changed = {key: table[key] for key in table}
        changed[row][-1, ...] += 1
        assert not table.same(type(table).of(changed))  # type: ignore[attr-defined]
    assert not table.same(table.only(np.array([2])))
    assert table.same(type(table).of({key: table[key] for key in table}))  # type: ignore[attr-defined]


def test_joined_tables_have_all_rows_where_they_belong() -> None:
    log, linear, units = dense_histograms(), {1: np.arange(LINEAR_BINS)}, dense_units()
    stored = Histograms.of(log), Histograms.of(linear, LINEAR_BINS), Units.of(units)
    part = stored[0].only(np.array([5, 9])), {}, stored[2].only(np.array([3, 4]))
    found = join([stored, (log, linear, units), part], [0, 100, 1000])
    assert equal(found[0], {**log, **{100 + k: v for k, v in log.items()}, 1005: log[5], 1009: log[9]})
    assert equal(found[1], {1: np.arange(LINEAR_BINS), 101: np.arange(LINEAR_BINS)})
    assert equal(
        found[2], {**units, **{100 + k: v for k, v in units.items()}, 1003: units[3], 1004: units[4]}
    )


@pytest.mark.parametrize("name", ["rows", "lengths", "bins", "counts"])
def test_histograms_that_were_cut_short_are_refused(name: str) -> None:
    saved = dict(Histograms.of(dense_histograms()).saved())
    with pytest.raises(ValueError, match="do not fit together"):
        Histograms.read(LOG_BINS, **{**saved, name: saved[name][:-1]})
    with pytest.raises(ValueError, match="a histogram of 128 bins has a bin 4095"):
        Histograms.read(LINEAR_BINS, **saved)


@pytest.mark.parametrize("name", ["rows", "lengths", "seen", "narrow", "wide"])
def test_units_that_were_cut_short_are_refused(name: str) -> None:
    saved = dict(Units.of(dense_units()).saved())
    with pytest.raises(ValueError, match="do not fit together"):
        Units.read(**{**saved, name: saved[name][:-1]})


def test_rows_out_of_order_are_refused() -> None:
    saved = dict(Units.of(dense_units()).saved())
    with pytest.raises(ValueError, match="do not fit together"):
        Units.read(**{**saved, "rows": saved["rows"][::-1]})


TENSORS = {
    "normal": torch.randn(32, 7, generator=torch.Generator().manual_seed(0)),
    "positions": torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(1)),
    "one sample": torch.ones(1, 4),
    "some not finite": torch.tensor([[1.0, torch.nan], [2.0, 3.0], [6.0, 5.0]]),
    "none finite": torch.full((3, 2), torch.nan),
    "tiny": torch.tensor([[0.0], [0.0], [0.0], [1e-45]]),
    "empty": torch.empty(0, 3),
    "no units": torch.empty(3, 0),
}


@pytest.mark.skipif(not kernel_in_use(), reason="without the C kernel there are no blocks to pack")
def test_blocks_are_packed_as_numpy_computes_them() -> None:
    states = [
        observe(tensor, bounds=(-1.0, 1.0) if place % 2 else None)
        for place, tensor in enumerate(TENSORS.values())
    ]
    table = describe(states, [False] * len(states))
    log, linear, units = table.stored()
    assert list(log) == list(units) == list(range(len(states)))
    assert list(linear) == [place for place in range(len(states)) if place % 2]
    for row, state in enumerate(states):
        assert isinstance(state.content, bytes)
        np.testing.assert_array_equal(log[row], native.log_of(state.content))
        exact = units_of(*native.sums_of(state.content), state.samples >= 2)
        narrow = exact[1:].astype(np.float32)
        lost = ((narrow == 0) & (exact[1:] != 0)).any()
        np.testing.assert_array_equal(units[row], exact if lost else [exact[0], *narrow])
        if row in linear:
            np.testing.assert_array_equal(linear[row], native.linear_of(state.content))
    assert np.isnan(units.seen).tolist() == [False, False, False, True, False, True, False, True]


def test_an_empty_histogram_before_another_is_read() -> None:
    first, second = np.zeros(8, np.int64), np.bincount([3], minlength=8).astype(np.int64)
    table = Histograms.of({0: first, 1: second}, 8)
    back = Histograms.read(8, **dict(table.saved()))
    assert [back[row].tolist() for row in (0, 1)] == [[0] * 8, [0, 0, 0, 1, 0, 0, 0, 0]]
