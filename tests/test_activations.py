"""Tests for what is known of each activation, held against torch in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor
from torch.nn import functional

from actdiag.activations import ACTIVATIONS, PARAMETRIC, activation
from actdiag.errors import UsageError
from actdiag.initialisers import INITIALISERS

Array = NDArray[np.float64]

TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z * 1.0,
    "step": lambda z: torch.heaviside(z.detach(), torch.zeros((), dtype=z.dtype)) + 0.0 * z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu:0.3": lambda z: functional.leaky_relu(z, 0.3),
    "vlrelu": lambda z: functional.leaky_relu(z, 1.0 / 3.0),
    "prelu": lambda z: functional.prelu(z, torch.tensor([0.25], dtype=z.dtype)),
    "prelu:-0.5": lambda z: functional.prelu(z, torch.tensor([-0.5], dtype=z.dtype)),
    "elu": functional.elu,
    "elu:0.5": lambda z: functional.elu(z, 0.5),
    "elu:2": lambda z: functional.elu(z, 2.0),
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
    "softsign": functional.softsign,
    "hardtanh": functional.hardtanh,
    "mish": functional.mish,
    "maxout": lambda z: z * 1.0,
}
"""An independent definition for every row, on the one preactivation that decides (maxout: the larger)."""

GRID = np.sort(np.append(np.random.default_rng(0).uniform(-8.0, 8.0, 400), [-30.0, -12.0, 12.0, 30.0]))
"""Points that hit no kink."""

every_activation = pytest.mark.parametrize("name", TORCH)


def torch_values(name: str, z: Array) -> Array:
    return TORCH[name](torch.tensor(z)).detach().numpy()


def torch_slopes(name: str, z: Array) -> Array:
    inputs = torch.tensor(z, requires_grad=True)
    (slopes,) = torch.autograd.grad(TORCH[name](inputs).sum(), inputs)
    return slopes.numpy()


def torch_slope(name: str, z: float) -> float:
    return float(torch_slopes(name, np.array([z]))[0])


def test_every_row_has_a_torch_definition_here() -> None:
    assert {name.partition(":")[0] for name in TORCH} == set(ACTIVATIONS)


@every_activation
def test_function_is_the_one_torch_computes(name: str) -> None:
    assert activation(name).function(GRID) == pytest.approx(torch_values(name, GRID), rel=1e-12, abs=1e-14)


@every_activation
def test_derivative_is_the_one_torch_computes(name: str) -> None:
    assert activation(name).derivative(GRID) == pytest.approx(torch_slopes(name, GRID), rel=1e-12, abs=1e-14)


@every_activation
def test_derivative_is_the_central_difference_away_from_kinks(name: str) -> None:
    act, step = activation(name), 1e-5
    far = np.all([np.abs(GRID - kink) > 2 * step for kink in act.kinks], axis=0) & (np.abs(GRID) < 10)
    z = GRID[far]
    slopes = (torch_values(name, z + step) - torch_values(name, z - step)) / (2 * step)
    assert len(z) > 300
    assert act.derivative(z) == pytest.approx(slopes, abs=1e-8)


@every_activation
def test_derivative_at_a_kink_is_what_torch_takes(name: str) -> None:
    act = activation(name)
    kinks = np.array(act.kinks)
    assert act.derivative(kinks) == pytest.approx(torch_slopes(name, kinks), abs=1e-9)


@every_activation
def test_kinks_are_where_the_function_or_a_derivative_jumps(name: str) -> None:
    candidates = np.arange(-20, 21) / 4.0
    step = 1e-4

    def sides(values: Callable[[str, Array], Array]) -> Array:
        return values(name, candidates + step) - values(name, candidates - step)

    def curvature(name: str, z: Array) -> Array:
        away = np.sign(z - candidates) * step
        return (torch_slopes(name, z + away) - torch_slopes(name, z)) / away

    jumps = [sides(torch_values), sides(torch_slopes), sides(curvature)]
    found = np.any(np.abs(jumps) > 0.02, axis=0)
    assert activation(name).kinks == tuple(candidates[found])


@every_activation
def test_range_is_what_the_outputs_reach_on_both_sides(name: str) -> None:
    ends = torch_values(name, np.array([-1e6, 1e6]))
    bounded = bool(np.all(np.abs(ends) < 10.0))
    reached = activation(name).range
    if not bounded:
        assert reached is None
    else:
        assert reached == pytest.approx((ends.min(), ends.max()), abs=1e-5)


@pytest.mark.parametrize("name", [name for name in TORCH if activation(name).range is not None])
def test_outputs_stay_in_the_range(name: str) -> None:
    act = activation(name)
    assert act.range is not None
    outputs = act.function(np.concatenate([GRID, [-1e6, -50.0, 0.0, 50.0, 1e6]]))
    assert act.range[0] <= outputs.min()
    assert outputs.max() <= act.range[1]


def edge(name: str, far: float) -> float:
    """Return where the slope crosses 5% of the largest slope between 0 and `far`, inf where it never does."""
    near = math.copysign(1e-12, far)
    threshold = 0.05 * float(torch_slopes(name, np.linspace(near, far, 20_001)).max())
    if torch_slope(name, far) >= threshold:
        return math.copysign(math.inf, far)
    return float(brentq(lambda z: torch_slope(name, z) - threshold, near, far, xtol=1e-13))


@pytest.mark.parametrize(
    "name", ["sigmoid", "tanh", "softsign", "hardtanh", "elu", "elu:0.5", "elu:2", "selu"]
)
def test_saturation_starts_where_the_slope_is_a_twentieth_of_its_maximum(name: str) -> None:
    expected = (edge(name, -30.0), edge(name, 30.0))
    assert activation(name).saturation == pytest.approx(expected, rel=1e-7)


def test_saturation_is_known_for_the_bounded_and_the_exponential_units_only() -> None:
    judged = {name for name in ACTIVATIONS if activation(name).saturation is not None}
    assert judged == {"sigmoid", "tanh", "softsign", "hardtanh", "elu", "selu"}


@every_activation
def test_a_unit_dies_only_where_value_and_slope_are_zero_on_a_half_line(name: str) -> None:
    below = GRID[GRID < 0]
    silent = not torch_values(name, below).any() and not torch_slopes(name, below).any()
    assert activation(name).dies is silent


@every_activation
def test_far_inputs_neither_warn_nor_overflow(name: str) -> None:
    far = np.array([-1e6, -1e3, 1e3, 1e6])
    act = activation(name)
    assert act.function(far) == pytest.approx(torch_values(name, far), rel=1e-12, abs=1e-14)
    assert act.derivative(far) == pytest.approx(torch_slopes(name, far), rel=1e-6, abs=1e-14)


@every_activation
def test_facts_are_filled_in(name: str) -> None:
    act = activation(name)
    assert act.name == name
    assert act.formula
    assert act.source
    assert act.partner is None or act.partner in INITIALISERS
    assert act.pieces == (2 if name == "maxout" else 1)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("leaky_relu", 0.01),
        ("leaky_relu:0.3", 0.3),
        ("prelu", 0.25),
        ("elu", 1.0),
        ("elu:2", 2.0),
        ("vlrelu", None),
    ],
)
def test_parameter_is_the_number_behind_the_colon(name: str, parameter: float) -> None:
    assert activation(name).parameter == parameter


def test_parameter_is_none_where_there_is_none() -> None:
    assert {name for name in ACTIVATIONS if activation(name).parameter is not None} == set(PARAMETRIC)


def test_parametric_names_are_those_that_take_a_number() -> None:
    takes = set()
    for name in ACTIVATIONS:
        try:
            activation(f"{name}:0.2")
        except UsageError:
            continue
        takes.add(name)
    assert takes == set(PARAMETRIC) == {"leaky_relu", "prelu", "elu"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tahn", "unknown activation 'tahn': did you mean 'tanh'? Known: linear, "),
        ("ReLU", "unknown activation 'ReLU': did you mean 'relu'? Known: linear, "),
        ("leaky_rleu:0.1", "unknown activation 'leaky_rleu': did you mean 'leaky_relu'? Known: linear, "),
        ("", "unknown activation '': Known: linear, "),
        ("tanh:2", "activation 'tanh' takes no parameter, got 'tanh:2'"),
        ("elu:big", "activation 'elu' takes a finite number, got 'big'"),
        ("elu:", "activation 'elu' takes a finite number, got ''"),
        ("elu:nan", "activation 'elu' takes a finite number, got 'nan'"),
        ("prelu:inf", "activation 'prelu' takes a finite number, got 'inf'"),
    ],
)
def test_a_name_that_cannot_be_taken_says_why(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        activation(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
