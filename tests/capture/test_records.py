"""Rows of a gradient under loss scaling, what they would be without it; and rows that cannot be described."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from actdiag.bins import quantiles
from actdiag.capture import records
from actdiag.capture.records import NUMBERS, Place, Record, measure
from actdiag.statistics import TensorState, observe

PLACE = Place(1, "m", "Linear", 0, "", "preactivation_grad", 1, -1)


class Row(NamedTuple):
    """What one record becomes."""

    numbers: NDArray[np.float64]
    log: NDArray[np.int64]
    units: NDArray[np.float64]


def unexpected(module: str, error: Exception) -> None:
    raise error


def row_of(tensor: torch.Tensor, scale: float = 1.0) -> Row:
    """Return the row of a tensor that is `scale` times what it stands for."""
    _, numbers, arrays = measure([Record(PLACE, observe(tensor), scale=scale)], unexpected)
    return Row(numbers[0], arrays.log(0), arrays.units(0))


@pytest.mark.parametrize("scale", [2.0**16, 2.0**-3, 1.0])
def test_a_power_of_two_is_divided_out_exactly(scale: float) -> None:
    torch.manual_seed(0)
    gradient = torch.randn(64, 8) * 1e-3
    gradient[0, :2] = 0.0
    plain, scaled = row_of(gradient), row_of(gradient * scale, scale)
    np.testing.assert_allclose(scaled.numbers, plain.numbers, rtol=1e-12)
    np.testing.assert_allclose(scaled.units, plain.units, rtol=1e-12)
    np.testing.assert_array_equal(scaled.log, plain.log)


def test_another_scale_keeps_counts_and_quantiles() -> None:
    torch.manual_seed(1)
    gradient = torch.randn(4096, 8)
    scaled = row_of(gradient * 1000.0, 1000.0)
    assert scaled.log.sum() == gradient.numel()
    expected = np.quantile(gradient.numpy(), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(quantiles(scaled.log, (0.1, 0.5, 0.9)), expected, rtol=0.2, atol=0.01)
    assert scaled.numbers[NUMBERS.index("rms")] == pytest.approx(float(gradient.square().mean().sqrt()), 1e-6)


def test_not_finite_stays_not_finite_and_what_is_tiny_is_kept() -> None:
    gradient = torch.tensor([[torch.inf, -torch.inf, torch.nan, 1e-30, -1e-30, 0.0]])
    plain, scaled = row_of(gradient), row_of(gradient, 2.0**60)
    assert scaled.log.sum() == 6
    changed = np.flatnonzero(scaled.log != plain.log)
    assert len(changed) <= 4
    assert scaled.numbers[NUMBERS.index("inf_count")] == 2


def test_each_row_of_a_step_has_its_own_scale() -> None:
    torch.manual_seed(2)
    value = torch.randn(16, 4)
    step = [Record(PLACE, observe(value), scale=scale) for scale in (1.0, 4.0, 1000.0)]
    _, numbers, arrays = measure(step, unexpected)
    rms = float(value.square().mean().sqrt())
    np.testing.assert_allclose(numbers[:, NUMBERS.index("rms")], [rms, rms / 4, rms / 1000], rtol=1e-6)
    np.testing.assert_allclose(
        [arrays.units(row)[1] for row in range(3)],
        np.outer([1, 0.25, 0.001], value.double().mean(0)),
        rtol=1e-5,
    )
    assert [len(arrays), *(arrays.log(row).sum() for row in range(3))] == [3, 64, 64, 64]


def test_one_that_cannot_be_described_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    values = [torch.randn(16, 4) for _ in range(3)]
    states, told, describe = [observe(value) for value in values], [], records.describe

    def fails(given: list[TensorState], dies: list[bool]) -> object:
        if any(state is states[1] for state in given):
            raise ZeroDivisionError
        return describe(given, dies)

    monkeypatch.setattr(records, "describe", fails)
    names = ("a", "b", "c")
    step = [Record(PLACE._replace(module=name), state) for name, state in zip(names, states, strict=True)]
    places, numbers, arrays = measure(step, lambda module, error: told.append((module, type(error))))
    assert told == [("b", ZeroDivisionError)]
    assert [place.module for place in places] == ["a", "c"]
    expected = [float(values[place].square().mean().sqrt()) for place in (0, 2)]
    np.testing.assert_allclose(numbers[:, NUMBERS.index("rms")], expected, rtol=1e-6)
    assert len(arrays) == 2
