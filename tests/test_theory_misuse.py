"""Theory, called wrongly: one line that says what was expected; and what a variance of 0 is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from actdiag import RunSpec
from actdiag.activations import ACTIVATIONS, activation
from actdiag.catalogue import activation_module
from actdiag.errors import UsageError
from actdiag.initialisers import initialiser
from actdiag.theory import (
    Layer,
    backward_gain,
    critical_sigma_w2,
    critical_variance,
    dead_share,
    exact_gain,
    fixed_point,
    gaussian_expectation,
    prediction,
    propagate,
    resolve_gain,
    second_moment,
    second_slope,
    variance_slope,
)

TANH = activation("tanh")
LAYERS = [Layer(8, 8, 0.1)] * 2
WORDS: Any = np.array(["a", "b"])
NO_ACTIVATION = "expected an Activation, got 'tanh': write activation('tanh')"
MINUS, ENDLESS, NONE = (f"is a finite variance >= 0, got {word}" for word in ("-1", "inf", "nan"))
SPEC = {"act": "tanh", "init": "he", "depth": 2, "width": 4}
OF_ACTIVATIONS: list[Callable[[Any], Any]] = [
    second_moment,
    second_slope,
    exact_gain,
    backward_gain,
    critical_sigma_w2,
    critical_variance,
    lambda act: resolve_gain("torch", act, 1.0),
    lambda act: fixed_point(act, 1.0),
    lambda act: variance_slope(act, 0.0, 1.0),
    lambda act: propagate(act, LAYERS),
]
CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    *((call, ("tanh",), NO_ACTIVATION) for call in OF_ACTIVATIONS),
    *(
        (call, (TANH, q), words)
        for call in (second_moment, second_slope)
        for q, words in (
            (-1, f"q {MINUS}"),
            (math.inf, f"q {ENDLESS}"),
            (math.nan, f"q {NONE}"),
            ("x", "q is a number, got 'x'"),
            (None, "q is a number, got None"),
            (WORDS, "q is a number, got array(['a', 'b']"),
            (10**400, "q is a number that float64 holds, got 1000"),
        )
    ),
    (fixed_point, (TANH, 1, -1), f"sigma_b^2 {MINUS}"),
    (fixed_point, (TANH, -1), f"sigma_w^2 {MINUS}"),
    (fixed_point, (TANH, math.inf), f"sigma_w^2 {ENDLESS}"),
    (fixed_point, (TANH, 1, math.nan), f"sigma_b^2 {NONE}"),
    (fixed_point, (TANH, "x"), "sigma_w^2 is a number, got 'x'"),
    (fixed_point, (TANH, 1, None), "sigma_b^2 is a number, got None"),
    (variance_slope, (TANH, "x", 1.0), "log_q is a number, got 'x'"),
    (variance_slope, (TANH, 0.0, -1), f"sigma_w^2 {MINUS}"),
    (critical_sigma_w2, (TANH, "x"), "sigma_b^2 is a number, got 'x'"),
    (resolve_gain, ("x", TANH, 1.0), "gain is a number, 'torch' or 'exact', got 'x'"),
    (resolve_gain, (WORDS, TANH, 1.0), "gain is a number, got array(['a', 'b']"),
    (resolve_gain, ([], TANH, 1.0), "gain is a number, got []"),
    (propagate, (TANH, 3), "layers are a list of actdiag.theory.Layer, got 3"),
    (propagate, (TANH, [3]), "layers are a list of actdiag.theory.Layer, got [3]"),
    (propagate, (TANH, LAYERS[0]), "layers are a list of actdiag.theory.Layer, got Layer(fan_in=8"),
    (propagate, (TANH, LAYERS, "x"), "q is a number, got 'x'"),
    (propagate, (TANH, LAYERS, 1.0, WORDS), "c is a number, got array(['a', 'b']"),
    (propagate, (TANH, LAYERS, 1.0, 0.0, 3), "between is an actdiag.theory.Between, got 3"),
    (dead_share, ("x", 3), "correlation is a number, got 'x'"),
    (dead_share, (0.5, -1), "samples is a whole number >= 0, got -1"),
    (dead_share, (0.5, 2.5), "samples is a whole number >= 0, got 2.5"),
    (gaussian_expectation, (3,), "values is a function of an array, got 3"),
    (gaussian_expectation, (np.square, (), -1), f"q {MINUS}"),
    (gaussian_expectation, (np.square, (), 1.0, "x"), "mean is a number, got 'x'"),
    (prediction, (3, 4, 2), "a spec is a mapping, got 3: write dataclasses.asdict(RunSpec(...))"),
    (prediction, (RunSpec(), 4, 2), "a spec is a mapping, got RunSpec(depth=10"),
    (prediction, ({"act": "tanh", "depth": 2}, 4, 2), "got one without init, width"),
    (prediction, (SPEC, "x", 2), "features is a whole number >= 1, got 'x'"),
    (prediction, (SPEC, 4, None), "classes is a whole number >= 1, got None"),
    (prediction, ({**SPEC, "act": 3}, 4, 2), "an activation is a name, as 'tanh', got 3"),
    *(
        (activation, (value,), f"an activation is a name, as 'tanh', got {value!r}")
        for value in (3, None, [], b"tanh")
    ),
    (initialiser, (3,), "an initializer is a name, as 'xavier', got 3"),
    (initialiser, ([],), "an initializer is a name, as 'xavier', got []"),
]


@pytest.mark.parametrize(("call", "given", "words"), CALLS)
def test_a_wrong_call_is_told_in_one_line(
    call: Callable[..., Any], given: tuple[Any, ...], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        call(*given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "maxout"])
def test_a_variance_of_0_is_what_torch_makes_of_0(name: str) -> None:
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    phi = activation_module(activation(name)).double()(z)
    slope = torch.autograd.grad(phi, z, allow_unused=True)[0] if phi.requires_grad else None
    assert second_moment(activation(name), 0) == pytest.approx(phi.item() ** 2, rel=1e-14)
    assert second_slope(activation(name), 0) == pytest.approx(0.0 if slope is None else slope.item() ** 2)


def test_a_variance_of_0_makes_maxout_0_and_its_slope_1() -> None:
    assert (second_moment(activation("maxout"), 0), second_slope(activation("maxout"), 0)) == (0.0, 1.0)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "step"])
def test_small_variances_tend_to_that_of_0(name: str) -> None:
    at_0, near = (second_moment(activation(name), q) for q in (0.0, 1e-24))
    assert near == pytest.approx(at_0, abs=1e-11)


def test_an_expectation_at_a_point_is_the_value_there() -> None:
    assert gaussian_expectation(lambda z: z**3 + 1.0, q=0, mean=2) == 9.0


def test_numbers_of_any_kind_are_taken() -> None:
    assert second_moment(TANH, np.float32(4.0)) == second_moment(TANH, 4) == second_moment(TANH, 4.0)
    assert resolve_gain(np.int64(2), TANH, 1.0) == 2.0
    assert fixed_point(TANH, 2, 0) == fixed_point(TANH, 2.0, 0.0)
