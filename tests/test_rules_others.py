"""AD3xx and AD9xx on made-up numbers: what must not fire first, then what must."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from judging import found, reason, silent
from recordings import Layer, made_up

from actdiag.recording import UNIT_FIELDS
from actdiag.rules.ad301 import SymmetricUnits
from actdiag.tables import Table
from actdiag.types import Severity

SAME = Layer(equal_units=("preactivation", "preactivation_grad", "weight"))


def test_symmetric_every_layer_equal_is_an_error() -> None:
    recording = made_up([SAME] * 3, spec={"init": "constant:0.1"})
    finding = found("AD301", recording)
    assert (finding.severity, finding.layers) == (Severity.ERROR, (1, 2, 3))
    assert "--init xavier_uniform" in finding.remedy


def test_symmetric_one_layer_equal_is_a_warning() -> None:
    finding = found("AD301", made_up([Layer(), SAME]))
    assert (finding.severity, finding.layers) == (Severity.WARNING, (2,))


@pytest.mark.parametrize("tensor", ["preactivation", "preactivation_grad", "weight"])
def test_symmetric_what_differs_in_one_tensor_comes_apart(tensor: str) -> None:
    rest = tuple(name for name in SAME.equal_units if name != tensor)
    silent("AD301", made_up([replace(SAME, equal_units=rest)] * 2))


def test_symmetric_zeros_are_equal() -> None:
    nothing = Layer(preactivation=0.0, preactivation_grad=0.0, weight=0.0)
    assert found("AD301", made_up([nothing] * 2)).severity is Severity.ERROR


def test_symmetric_rounding_is_not_a_difference() -> None:
    recording = made_up([SAME] * 2)
    for units in recording.units.values():
        units *= 1.0 + 1e-6 * np.arange(units.shape[1]) / units.shape[1]
    assert found("AD301", recording).severity is Severity.ERROR


def test_symmetric_one_unit_is_not_judged() -> None:
    recording = made_up([replace(SAME, units=1)] * 2)
    assert reason("AD301", recording) == "no hidden layer has two units to compare"


def test_symmetric_needs_the_numbers_per_unit() -> None:
    recording = made_up([SAME] * 2)
    recording.units.clear()
    assert "keeps no numbers per unit for layer 1" in reason("AD301", recording)


def test_nonfinite_names_the_first_place_forward() -> None:
    layers = [
        Layer(broken={"preactivation_grad": (8, 0)}),
        Layer(broken={"activation": (0, 5), "preactivation_grad": (8, 0)}),
        Layer(broken={"preactivation": (7, 1)}),
    ]
    finding = found("AD901", made_up(layers))
    assert finding.severity is Severity.ERROR
    assert "Inf appears first in the activation of layer 2 (layer2.act), step 0: 5 of 512" in finding.message
    assert "4 of" in finding.message


def test_nonfinite_names_the_first_place_backward() -> None:
    layers = [Layer(), Layer(broken={"preactivation_grad": (8, 1), "weight_grad": (1, 0)}), Layer()]
    layers[0] = Layer(broken={"preactivation_grad": (8, 0)})
    message = found("AD901", made_up(layers)).message
    assert "NaN and Inf appear first in the preactivation_grad of layer 2" in message


def test_nonfinite_a_weight_comes_before_what_it_makes() -> None:
    broken = Layer(broken={"preactivation": (8, 0), "weight": (1, 0)})
    finding = found("AD901", made_up([Layer(), broken]))
    assert "the weight of layer 2" in finding.message
    assert "before the first layer computes" in finding.remedy


def test_nonfinite_looks_at_every_step() -> None:
    recording = made_up([Layer(), Layer(broken={"activation": (1, 0)})])
    recording.rows.loc[recording.rows["nan_count"] > 0, "step"] = 7
    assert "step 7" in found("AD901", recording).message


def test_nonfinite_broken_data() -> None:
    recording = made_up([Layer()])
    recording.rows.loc[recording.rows["tensor"] == "input", "nan_count"] = 2
    finding = found("AD901", recording)
    assert "NaN appears first in the input" in finding.message
    assert "Clean the data" in finding.remedy


@pytest.mark.parametrize("field", ["mean", "std", "max", "min"])
def test_symmetric_units_agree_in_every_number(field: str) -> None:
    recording = made_up([SAME])
    for units in recording.units.values():
        units[UNIT_FIELDS.index(field)] += 0.01 * np.arange(units.shape[1])
    silent("AD301", recording)


def test_nonfinite_remedies_follow_what_overflowed() -> None:
    infinite, undefined = Layer(broken={"activation": (0, 5)}), Layer(broken={"activation": (5, 0)})
    spec = {"init": "normal:9"}
    assert "--init xavier_uniform" in found("AD901", made_up([infinite], spec=spec)).remedy
    for recording in (made_up([undefined], spec=spec), made_up([infinite], own=False)):
        assert "Look at the operation that makes the activation" in found("AD901", recording).remedy


@given(
    arrays(np.float64, (6, 4), elements=st.floats(-4.0, 4.0, width=32)),
    st.sampled_from([0.0, 1e-7, 3e-6, 1e-5, 3e-5, 1e-3, 1.0]),
    st.sampled_from([1e-5, 1e-3, 1e-9]),
)
def test_a_layers_own_numbers_never_call_equal_units_different(
    values: Any, noise: float, tolerance: float
) -> None:
    """Units that agree by their own mean, std, max and min must be looked at: the shortcut is a bound."""
    x = values[:, :1] + noise * values
    of_units = [x.mean(axis=0), x.std(axis=0), x.max(axis=0), x.min(axis=0)]
    agree = np.ptp(of_units, axis=1).max() <= tolerance * np.abs(of_units).max()
    row = {
        "std": [x.std()],
        "std_across": [np.sqrt(x.var(axis=0).mean())],
        "max": [x.max()],
        "min": [x.min()],
        "positions": [1],
    }
    apart = SymmetricUnits(tolerance=tolerance)._apart(Table.of(pd.DataFrame(row)))
    assert not (agree and apart.any())


def test_a_look_at_each_unit_is_spared_where_their_means_differ() -> None:
    row = {"std": [1.0, 1.0], "std_across": [0.9, 1.0], "max": [3.0, 3.0], "min": [-3.0, -3.0]}
    rows = Table.of(pd.DataFrame({**row, "positions": [1, 1]}))
    assert SymmetricUnits()._apart(rows).tolist() == [True, False]
    spread = Table.of(pd.DataFrame({**row, "positions": [4, 4]}))
    assert not SymmetricUnits()._apart(spread).any()
