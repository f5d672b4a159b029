"""Capture against plain autograd: every tensor and its gradient, nothing changed, no hook left."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from capturing import record, row
from torch import nn

from actdiag import attach, diagnose
from actdiag.errors import UsageError


def rms(tensor: torch.Tensor) -> float:
    return float(tensor.detach().double().square().mean().sqrt())


@pytest.mark.parametrize("inplace", [False, True])
def test_values_and_gradients_are_those_of_plain_autograd(inplace: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(inplace), nn.Linear(9, 4))
    x = torch.randn(20, 6)
    z1 = model[0](x)
    a1 = torch.relu(z1)
    z2 = model[2](a1)
    gradients = torch.autograd.grad(z2.square().mean(), [z1, a1, z2, model[0].weight])
    recording = record(model, x)
    for module, tensor, value in [
        ("", "input", x),
        ("0", "preactivation", z1),
        ("1", "activation", a1),
        ("2", "preactivation", z2),
        ("0", "preactivation_grad", gradients[0]),
        ("1", "activation_grad", gradients[1]),
        ("2", "preactivation_grad", gradients[2]),
        ("0", "weight", model[0].weight),
        ("0", "weight_grad", gradients[3]),
    ]:
        assert row(recording, module, tensor)["rms"] == pytest.approx(rms(value), rel=1e-6), (module, tensor)
    assert row(recording, "0", "weight_grad")["grad_to_weight"] == pytest.approx(
        rms(gradients[3]) / rms(model[0].weight), rel=1e-6
    )


def test_attaching_changes_nothing_and_leaves_no_hook() -> None:
    def run(observe: bool) -> list[torch.Tensor]:
        torch.manual_seed(1)
        model = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        x = torch.randn(16, 5)
        recorder = attach(model) if observe else None
        loss = model(x).square().mean()
        loss.backward()
        if recorder is not None:
            recorder.step()
            recorder.detach()
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
        gradients = [parameter.grad for parameter in model.parameters()]
        return [loss.detach(), *gradients, *model.state_dict().values(), torch.get_rng_state()]

    for plain, watched in zip(run(False), run(True), strict=True):
        assert torch.equal(plain, watched)


def test_hooks_are_gone_after_an_exception() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), attach(model):
        model(torch.randn(2, 6))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_micro_batches_within_a_step_are_one_row() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(4, 7), nn.Tanh())
    x = torch.randn(30, 4)
    whole = record(model, x)
    model.zero_grad()
    with attach(model) as recorder:
        for part in x.split([11, 19]):
            model(part).square().sum().div(x.shape[0] * 7).backward()
    parts = recorder.recording()
    for module, tensor in [
        ("0", "preactivation"),
        ("1", "activation"),
        ("1", "activation_grad"),
        ("0", "weight_grad"),
    ]:
        one, other = row(whole, module, tensor), row(parts, module, tensor)
        assert other["samples"] == one["samples"]
        for name in ("mean", "std", "rms", "min", "max"):
            assert other[name] == pytest.approx(one[name], rel=1e-6, abs=1e-9), (tensor, name)


def test_steps_are_told_apart() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    with attach(model) as recorder:
        for _ in range(3):
            model(torch.randn(5, 4)).sum().backward()
            recorder.step()
    assert sorted(recorder.recording().rows["step"].unique()) == [0, 1, 2]


def test_one_module_used_twice_is_two_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.Tanh()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.b(self.act(self.a(x))))

    recording = record(Twice(), torch.randn(6, 4))
    rows = recording.rows.query("tensor == 'activation' and source == 'measured'")
    assert rows[["module", "call", "layer"]].to_numpy().tolist() == [["act", 0, 1], ["act", 1, 2]]


def test_a_container_owns_nothing_and_says_whose_tensor_it_is() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Identity(), nn.Linear(4, 2))
    modules = record(model, torch.randn(6, 4)).modules.set_index("name")
    assert modules["same_tensor_as"].to_dict() == {
        "": "2",
        "0": "0.1",
        "0.0": "",
        "0.1": "",
        "1": "0.1",
        "2": "",
    }
    assert modules["observed"].all()


def test_a_norm_output_that_meets_an_activation_is_a_preactivation() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())
    recording = record(model, torch.randn(8, 4))
    assert row(recording, "1", "preactivation")["layer"] == 1
    assert recording.modules.set_index("name")["activation_after"].to_dict() == {
        "": "",
        "0": "tanh",
        "1": "",
        "2": "",
    }


def test_convolutions_have_channels_as_units() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 2))
    recording = record(model, torch.randn(4, 3, 8, 8))
    seen = row(recording, "1", "activation")
    assert (seen["unit_axis"], seen["units"], seen["positions"], seen["samples"]) == (1, 5, 36, 4)
    fans = recording.modules.set_index("name").loc["0", ["fan_in", "fan_out"]].tolist()
    assert fans == [27, 45]


def test_saturation_is_judged_on_the_preactivation() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(10, 40), nn.ELU(inplace=True))
    x = torch.randn(50, 10) * 20
    expected = float((model[0](x) < np.log(0.05)).double().mean())
    assert 0.1 < expected < 0.9
    assert row(record(model, x), "1", "activation")["saturated_fraction"] == expected


def test_what_is_not_observed_is_named_with_its_reason() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.unused = nn.MaxPool1d(2, return_indices=True), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(x)[0]

    modules = record(Odd(), torch.randn(5, 2, 4, requires_grad=True)).modules.set_index("name")
    assert modules.loc["pool", ["observed", "reason"]].tolist() == [True, "'1' is int64"]
    assert modules.loc["unused", ["observed", "reason"]].tolist() == [False, "not called"]


def test_functional_activations_are_layers_like_modules() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.sigmoid(layer(x))
            return x

    recording = record(Functional(), torch.randn(16, 8))
    rows = recording.rows.query("tensor == 'activation' and source == 'measured'")
    assert rows["module"].tolist() == [f":sigmoid#{number}" for number in range(10)]
    assert rows["layer"].tolist() == list(range(1, 11))
    modules = recording.modules.set_index("name")
    assert (modules.loc[[f"layers.{k}" for k in range(10)], "activation_after"] == "sigmoid").all()
    assert modules.loc["layers.7", "follows"] == "layers.6"
    assert [finding.code for finding in diagnose(recording).findings] == ["AD101", "AD206", "AD205", "AD902"]


def test_attach_wants_a_module() -> None:
    with pytest.raises(UsageError, match=r"attach takes a torch\.nn\.Module, got str"):
        attach("model")  # type: ignore[arg-type]


def test_no_tensor_is_kept() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    recorder = attach(model)
    output = model(torch.randn(5, 4))
    seen = weakref.ref(output)
    output.sum().backward()
    recorder.step()
    del output
    gc.collect()
    assert seen() is None
