"""The truth that the zoo is held against, itself held against derivatives written down by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from zoo.cases import need, normal
from zoo.truth import observe


class Pair(NamedTuple):
    """Two tensors, one of them of integers."""

    sine: torch.Tensor
    place: torch.Tensor


@dataclass
class Packed:
    """A nested output."""

    pair: Pair
    more: dict[str, Any]


class Sines(nn.Module):
    """Returns sin(x), nested, and x itself."""

    def forward(self, x: torch.Tensor) -> Packed:
        """Return (..., 3) from (..., 3)."""
        return Packed(Pair(x.sin(), torch.arange(3)), {"list": [x], "none": None})


class Model(nn.Module):
    """Writes in place, passes on, uses a part of a module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.relu, self.same, self.sines = nn.Linear(3, 3), nn.ReLU(True), nn.Identity(), Sines()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a sin(a) + a where a = relu(scale x)."""
        a = self.same(self.relu(self.scale(x)))
        packed = self.sines(a)
        return packed.pair.sine * packed.more["list"][0] + functional.relu_(self.same(a))


X = normal(5, 3)


def loss(model: nn.Module) -> torch.Tensor:
    result: torch.Tensor = model(X)
    return result.square().sum()


def test_truth_is_the_derivative_by_hand() -> None:
    seen = observe(Model, loss, seed=3).outputs
    torch.manual_seed(3)
    scale = Model().scale
    z = functional.linear(X, scale.weight, scale.bias).detach()
    a = z.clamp(min=0)
    y = a.sin() * a + a
    upstream = 2 * y
    expected = {
        ("scale", 0, ""): (z, upstream * (a.cos() * a + a.sin() + 1) * (z > 0)),
        ("relu", 0, ""): (a, upstream * (a.cos() * a + a.sin() + (a > 0))),
        ("sines", 0, "pair.sine"): (a.sin(), upstream * a),
        ("", 0, ""): (y, upstream),
    }
    assert {place for place, tensor in seen.items() if tensor.owner == place} == expected.keys()
    for place, (value, gradient) in expected.items():
        assert torch.allclose(seen[place].value, value), place
        found = seen[place].gradient
        assert found is not None
        assert torch.allclose(found, gradient, atol=1e-5), place


def test_truth_of_what_a_module_is_given() -> None:
    given = observe(Model, loss, seed=3).inputs
    torch.manual_seed(3)
    scale = Model().scale
    z = functional.linear(X, scale.weight, scale.bias).detach()
    a = z.clamp(min=0)
    assert {place: gradient is None for place, (_, gradient) in given.items()} == {
        ("", 0, ""): True,
        ("scale", 0, ""): True,
        ("relu", 0, ""): False,
        ("same", 0, ""): False,
        ("sines", 0, ""): False,
        ("same", 1, ""): False,
    }
    assert torch.equal(given["", 0, ""][0], X)
    value, gradient = given["sines", 0, ""]
    assert torch.allclose(value, a)
    assert gradient is not None
    total = 2 * (a.sin() * a + a) * (a.cos() * a + a.sin() + (a > 0))
    assert torch.allclose(gradient, total, atol=1e-5)


def test_truth_tells_who_returned_a_tensor_first() -> None:
    seen = observe(Model, loss, seed=3).outputs
    passed = {place: tensor.owner for place, tensor in seen.items() if tensor.owner != place}
    relu = ("relu", 0, "")
    assert passed == {("same", 0, ""): relu, ("same", 1, ""): relu, ("sines", 0, "more.list.0"): relu}


def test_truth_leaves_the_modules_as_they_were() -> None:
    model = Model()
    observe(lambda: model, loss)
    assert [name for name, module in model.named_modules() if "forward" in vars(module)] == []


def test_a_package_that_is_missing_skips_unless_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTDIAG_ZOO", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_package is not installed"):
        need("no_such_package")
    monkeypatch.setenv("ACTDIAG_ZOO", "1")
    with pytest.raises(ModuleNotFoundError):
        need("no_such_package")
