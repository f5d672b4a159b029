"""The tables of functions: each is what it is called, and a product's fans are its weight's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from actdiag.activations import activation
from actdiag.capture.functions import ACTIVATIONS, name_of, parameter_of, product_of, writes_in_place

Function = Callable[..., Any]
Z = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64)


def arguments(function: Function) -> tuple[Any, ...]:
    """Return what a call needs besides z."""
    return (torch.full((1,), 0.25, dtype=torch.float64),) if "prelu" in str(function) else ()


@pytest.mark.parametrize("function", ACTIVATIONS, ids=str)
def test_a_function_computes_the_activation_it_is_named_after(function: Function) -> None:
    z = Z.clone()
    name = ACTIVATIONS[function]((z, *arguments(function)), {})
    assert name is not None
    np.testing.assert_allclose(
        function(z, *arguments(function)).numpy(), activation(name).function(Z.numpy()), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize(
    ("function", "more", "kwargs", "name"),
    [
        (functional.leaky_relu, (0.2,), {}, "leaky_relu:0.2"),
        (functional.leaky_relu, (), {"negative_slope": 0.2}, "leaky_relu:0.2"),
        (functional.elu, (0.5,), {}, "elu:0.5"),
        (functional.elu, (), {"alpha": 0.5}, "elu:0.5"),
        (functional.hardtanh, (0.0, 6.0), {}, None),
        (functional.hardtanh, (), {"max_val": 6.0}, None),
        (functional.softplus, (2.0,), {}, None),
    ],
)
def test_parameters_make_another_activation(
    function: Function, more: tuple[Any, ...], kwargs: dict[str, Any], name: str | None
) -> None:
    assert ACTIVATIONS[function]((Z, *more), kwargs) == name
    if name is not None:
        expected = activation(name).function(Z.numpy())
        np.testing.assert_allclose(function(Z, *more, **kwargs).numpy(), expected, rtol=1e-9, atol=1e-12)


W = nn.Parameter(torch.randn(5, 3))
X = torch.randn(7, 3)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "fans", "axis"),
    [
        (functional.linear, (X, W), {}, (3, 5), -1),
        (functional.linear, (X,), {"weight": W}, (3, 5), -1),
        (torch.matmul, (X, W.t()), {}, (3, 5), -1),
        (torch.Tensor.matmul, (X, W.T), {}, (3, 5), -1),
        (torch.mm, (W, X.t()), {}, (3, 5), -2),
        (torch.mv, (W, X[0]), {}, (3, 5), -2),
        (torch.addmm, (torch.zeros(5), X, W.t()), {}, (3, 5), -1),
        (torch.Tensor.__rmatmul__, (W.t(), X), {}, (3, 5), -1),
        (torch.matmul, (X, nn.Parameter(torch.randn(3))), {}, (3, 1), -1),
        (torch.einsum, ("bi,oi->bo", X, W), {}, (0, 0), -1),
        (torch.einsum, ("oi,bi->ob", W, X), {}, (0, 0), -2),
        (torch.einsum, ("...i,oi->...o", X, W), {}, (0, 0), -1),
        (torch.inner, (X, W), {}, (3, 5), -1),
        (torch.linalg.matmul, (X, W.t()), {}, (3, 5), -1),
        (torch.tensordot, (X, W, ([1], [1])), {}, (0, 0), -1),
        (torch.addmv, (torch.zeros(5), W, X[0]), {}, (3, 5), -2),
        (torch.conv1d, (torch.randn(2, 4, 9), nn.Parameter(torch.randn(6, 4, 3))), {}, (12, 18), 1),
        (
            torch.conv1d,
            (torch.randn(2, 4, 9), nn.Parameter(torch.randn(6, 2, 3))),
            {"groups": 2},
            (6, 9),
            1,
        ),
        (torch.conv1d, (torch.randn(4, 9), nn.Parameter(torch.randn(6, 4, 3))), {}, (12, 18), 0),
        (torch.conv_transpose1d, (torch.randn(2, 4, 9), nn.Parameter(torch.randn(4, 6, 3))), {}, (12, 18), 1),
        (functional.bilinear, (X, X, nn.Parameter(torch.randn(5, 3, 3))), {}, (9, 5), -1),
    ],
)
def test_a_product_with_a_parameter_is_a_layer(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], fans: tuple[int, int], axis: int
) -> None:
    product = product_of(function, args, kwargs)
    assert product is not None
    assert (product.fans, product.unit_axis) == (fans, axis)
    assert isinstance(product.weight, nn.Parameter)
    result = function(*args, **kwargs)
    if result.dim() > 1:
        units = {0: 5, 6: 6, 18: 6, 9: 6}.get(fans[1], fans[1])
        assert result.shape[axis] == units


def test_a_product_of_two_signals_is_no_layer() -> None:
    assert product_of(torch.matmul, (X, X.t()), {}) is None
    assert product_of(torch.einsum, ("bi,bi->b", X, X), {}) is None
    assert product_of(torch.add, (X, W), {}) is None


def test_a_computed_weight_makes_a_layer_without_a_parameter() -> None:
    product = product_of(functional.linear, (X, W * 2.0), {})
    assert product is not None
    assert product.weight is None


def test_a_view_is_known_by_its_parameter() -> None:
    assert parameter_of(W.t()) is W
    assert parameter_of(W[:2]) is W
    assert parameter_of(W + 0) is None
    assert parameter_of("w") is None


def test_names_for_people() -> None:
    functions = (torch.relu_, functional.relu, torch.Tensor.tanh_, torch.special.expit, torch.addmm)
    assert [name_of(function) for function in functions] == ["relu", "relu", "tanh", "expit", "addmm"]


def test_what_writes_in_place() -> None:
    assert writes_in_place(torch.relu_, {})
    assert writes_in_place(functional.relu, {"inplace": True})
    assert writes_in_place(torch.Tensor.__setitem__, {})
    assert not writes_in_place(functional.relu, {"inplace": False})
    assert not writes_in_place(torch.Tensor.__matmul__, {})
