"""Rows of a gradient under loss scaling: what they would be without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actdiag.bins import quantiles
from actdiag.capture.records import NUMBERS, Place, Record
from actdiag.statistics import observe

PLACE = Place(1, "m", "Linear", 0, "", "preactivation_grad", 1, -1)


@pytest.mark.parametrize("scale", [2.0**16, 2.0**-3, 1.0])
def test_a_power_of_two_is_divided_out_exactly(scale: float) -> None:
    torch.manual_seed(0)
    gradient = torch.randn(64, 8) * 1e-3
    gradient[0, :2] = 0.0
    plain = Record.of(PLACE, observe(gradient))
    scaled = Record.of(PLACE, observe(gradient * scale), scale=scale)
    np.testing.assert_allclose(scaled.numbers, plain.numbers, rtol=1e-12)
    np.testing.assert_allclose(scaled.units, plain.units, rtol=1e-12)
    np.testing.assert_array_equal(scaled.log, plain.log)


def test_another_scale_keeps_counts_and_quantiles() -> None:
    torch.manual_seed(1)
    gradient = torch.randn(4096, 8)
    scaled = Record.of(PLACE, observe(gradient * 1000.0), scale=1000.0)
    assert scaled.log.sum() == gradient.numel()
    expected = np.quantile(gradient.numpy(), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(quantiles(scaled.log, (0.1, 0.5, 0.9)), expected, rtol=0.2, atol=0.01)
    assert scaled.numbers[NUMBERS.index("rms")] == pytest.approx(float(gradient.square().mean().sqrt()), 1e-6)


def test_not_finite_stays_not_finite_and_what_is_tiny_is_kept() -> None:
    gradient = torch.tensor([[torch.inf, -torch.inf, torch.nan, 1e-30, -1e-30, 0.0]])
    plain, scaled = observe(gradient), Record.of(PLACE, observe(gradient), scale=2.0**60)
    assert scaled.log.sum() == 6
    changed = np.flatnonzero(scaled.log != plain.log.numpy())
    assert len(changed) <= 4
    assert scaled.numbers[NUMBERS.index("inf_count")] == 2
