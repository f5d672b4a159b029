"""The truth itself, against autograd by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.figures import differences, numbers_of
from models.truth import Kept, Truth
from models.walk import rebuilt, tensors_in


class Net(nn.Module):
    """Two layers, an activation in place, another as a function, and a write from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.over, self.last = nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return tanh(W relu(V x + 1) + 2)."""
        z = self.first(x)
        z += 1.0
        h = self.last(self.over(z))
        return torch.tanh(h + 2.0)


def by_hand(net: Net, x: torch.Tensor) -> tuple[list[torch.Tensor], tuple[torch.Tensor, ...]]:
    z = functional.linear(x, net.first.weight, net.first.bias)
    shifted = z + 1.0
    a = shifted.clamp(min=0.0)
    h = functional.linear(a, net.last.weight, net.last.bias)
    s = h + 2.0
    y = 1.0 - 2.0 / (torch.exp(2.0 * s) + 1.0)
    tensors = [z, shifted, a, h, s, y]
    return tensors, torch.autograd.grad(y.square().mean(), tensors)


def test_values_and_gradients_are_those_by_hand() -> None:
    torch.manual_seed(0)
    net, truth, x = Net(), Truth(), torch.randn(5, 3)
    with truth.watching(net):
        net(x).square().mean().backward()
    own = [kept for kept in truth.kept if kept.alias is None]
    assert [(kept.module, kept.tensor) for kept in own] == [
        ("", "input"),
        ("first", "preactivation"),
        ("over", "preactivation"),
        ("over", "activation"),
        ("last", "preactivation"),
        (":tanh#0", "preactivation"),
        (":tanh#0", "activation"),
    ]
    for kept, value, gradient in zip(own[1:], *by_hand(net, x), strict=True):
        np.testing.assert_allclose(kept.values, value.detach().flatten(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(kept.gradients, gradient.reshape(1, -1), rtol=1e-5, atol=1e-6)


def test_what_is_passed_on_is_an_alias_of_its_owner() -> None:
    truth = Truth()
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Identity())
    with truth.watching(net):
        net(torch.randn(3, 2))
    owners: list[tuple[str, Kept]] = [(kept.module, kept.owner) for kept in truth.kept[1:]]
    assert [(name, owner.module) for name, owner in owners] == [
        ("0.0", "0.0"),
        ("0", "0.0"),
        ("1", "0.0"),
        ("", "0.0"),
    ]
    assert truth.calls == {"": 1, "0": 1, "0.0": 1, "1": 1}


def test_everything_is_as_before_afterwards() -> None:
    relu, backward, net = torch.relu, torch.autograd.backward, Net()
    with Truth().watching(net):
        assert torch.relu is not relu
        assert "forward" in vars(net)
    assert torch.relu is relu
    assert torch.autograd.backward is backward
    assert "forward" not in vars(net)
    assert torch.Tensor.relu is torch._C.TensorBase.relu


def test_each_backward_pass_is_a_gradient_of_its_own() -> None:
    truth, net = Truth(), nn.Linear(2, 1)
    with truth.watching(net):
        output = net(torch.ones(1, 2))
        output.backward(retain_graph=True)
        (output * 3.0).backward()
    assert [gradient.tolist() for gradient in truth.kept[1].gradients] == [[1.0], [3.0]]


def test_numbers_are_over_finite_values_of_all_arrays() -> None:
    nan, inf = float("nan"), float("inf")
    found = numbers_of([np.array([3.0, 0.0, nan]), np.array([-4.0, inf, -inf, 1.0])])
    exact = {"count": 7, "nan_count": 1, "inf_count": 2, "zero_fraction": 1 / 7, "mean": 0.0}
    exact |= {"std": 6.5**0.5, "rms": 6.5**0.5, "min": -4.0, "max": 3.0}
    assert differences(found, exact, 1e-12) == []
    assert numbers_of([np.array([3e300, -4e300])])["rms"] == np.float64(12.5**0.5) * 1e300


def test_every_difference_is_told() -> None:
    truth = numbers_of([np.array([1.0, 2.0, 0.0])])
    for name, value in truth.items():
        told = differences({**truth, name: value + 0.01}, truth, 1e-5)
        assert [text.split(" is ")[0] for text in told] == [name]


def test_walking_and_rebuilding() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    value = {"x": (a, [b, None]), "n": 3}
    assert [path for path, _ in tensors_in(value)] == ["x.0", "x.1.0"]
    changed = rebuilt(value, lambda path, tensor: tensor + 1.0)
    assert changed == {"x": (torch.ones(1), [torch.full((1,), 2.0), None]), "n": 3}
    assert (float(a), float(b)) == (0.0, 1.0)
