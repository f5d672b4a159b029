"""Where NaN and Inf come from: what a model is given, or the first module that makes some."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import actdiag
from actdiag.types import Finding

X = torch.linspace(-1.0, 1.0, 24).reshape(6, 4)


class Two(nn.Module):
    """Takes two inputs; a logarithm of what the first layer makes is NaN."""

    def __init__(self, logarithm: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.logarithm = nn.Linear(4, 4), nn.Linear(4, 3), logarithm

    def forward(self, x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3)."""
        made = self.first(x + shift)
        return self.last(made.log() if self.logarithm else made)  # type: ignore[no-any-return]


def with_one(tensor: torch.Tensor, *place: int, value: float = math.nan) -> torch.Tensor:
    spoilt = tensor.clone()
    spoilt[place] = value
    return spoilt


def nonfinite(model: nn.Module, inputs: Any, targets: Any = None) -> Finding:
    (found,) = [one for one in actdiag.check(model, inputs, targets).findings if one.code == "AD901"]
    return found


@pytest.mark.parametrize(
    ("inputs", "targets", "place"),
    [
        ((with_one(X, 3, 2), X), None, "input '0'[3, 2] is nan"),
        ({"x": X, "shift": with_one(X, 0, 1, value=-math.inf)}, None, "input 'shift'[0, 1] is -inf"),
        ((X, X), with_one(torch.zeros(6, 3), 5, 0), "targets[5, 0] is nan"),
        (
            (X, with_one(with_one(X, 4, 0), 1, 3, value=math.inf)),
            with_one(torch.zeros(6, 3), 0, 0),
            "input '1'[1, 3] is inf, targets[0, 0] is nan",
        ),
    ],
)
def test_the_first_place_in_the_batch_is_named(inputs: Any, targets: Any, place: str) -> None:
    assert nonfinite(Two(), inputs, targets).message.endswith(f" Given to the model: {place}.")


def test_a_broken_parameter_is_named() -> None:
    model = Two()
    with torch.no_grad():
        model.first.bias[2] = math.inf
    message = nonfinite(model, (X, X)).message
    assert message.startswith("Inf appears first in the preactivation of layer 1 (first)")
    assert message.endswith(" Given to the model: first.bias[2] is inf.")


def test_an_operation_in_between_is_told_by_the_first_module_behind_it() -> None:
    message = nonfinite(Two(logarithm=True), (X, X)).message
    assert "(last), step 0" in message
    assert "Given" not in message
