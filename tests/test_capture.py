"""Capture against plain autograd: every tensor and its gradient, nothing changed, no hook left."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from actdiag import attach, diagnose
from actdiag.errors import UsageError
from actdiag.recording import Recording


def record(model: nn.Module, x: torch.Tensor) -> Recording:
    with attach(model) as recorder:
        model(x).square().mean().backward()
        recorder.step()
    return recorder.recording()


def row(recording: Recording, module: str, tensor: str) -> dict[str, float]:
    rows = recording.rows
    found = rows[(rows["module"] == module) & (rows["tensor"] == tensor)]
    assert len(found) == 1, (module, tensor, len(found))
    return found.iloc[0].to_dict()


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
    rows = recording.rows.query("tensor == 'activation'")
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
    rows = recording.rows.query("tensor == 'activation'")
    assert rows["module"].tolist() == [f":sigmoid#{number}" for number in range(10)]
    assert rows["layer"].tolist() == list(range(1, 11))
    modules = recording.modules.set_index("name")
    assert (modules.loc[[f"layers.{k}" for k in range(10)], "activation_after"] == "sigmoid").all()
    assert modules.loc["layers.7", "follows"] == "layers.6"
    assert [finding.code for finding in diagnose(recording).findings] == ["AD101", "AD206"]


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


class Written(nn.Module):
    """A layer with an activation or a gate written out."""

    def __init__(self, activate: Callable[[torch.Tensor], torch.Tensor], features: int = 6) -> None:
        super().__init__()
        self.first, self.second, self.activate = nn.Linear(5, 6), nn.Linear(features, 3), activate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 3) from (batch, 5)."""
        return self.second(self.activate(self.first(x)))


def gated(z: torch.Tensor) -> torch.Tensor:
    a, b = z.chunk(2, -1)
    return torch.sigmoid(a) * b


@pytest.mark.parametrize(
    ("activate", "after"),
    [
        (lambda z: z * torch.sigmoid(1.702 * z), ""),
        (lambda z: 0.5 * z * (1.0 + torch.tanh(0.8 * (z + 0.04 * z**3))), ""),
        (lambda z: torch.tanh(z), "tanh"),
        (lambda z: 2.0 * torch.sigmoid(z + 1.0), "sigmoid"),
        (lambda z: torch.relu(z).mul(torch.relu(z)), "relu"),
        (gated, "sigmoid"),
    ],
)
def test_a_gate_on_its_own_preactivation_is_no_activation(
    activate: Callable[[torch.Tensor], torch.Tensor], after: str
) -> None:
    recording = record(Written(activate, 3 if activate is gated else 6), torch.randn(7, 5))
    modules = recording.modules.set_index("name")
    assert modules.loc["first", "activation_after"] == after
    assert modules.loc["second", "follows"] == "first"
    assert bool((recording.rows["tensor"] == "activation").any()) == bool(after)


def test_a_residual_sum_joins_and_a_bias_does_not() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)
            self.shift = nn.Parameter(torch.zeros(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.tanh(self.stem(x) + self.shift)
            return self.head(h + torch.tanh(self.branch(h)))

    modules = record(Residual(), torch.randn(7, 5)).modules.set_index("name")
    assert modules.loc[["stem", "branch", "head"], "follows"].tolist() == ["", "stem", "branch"]
    assert modules.loc[["stem", "branch", "head"], "joined"].tolist() == [False, False, True]
    assert modules.loc["stem", "activation_after"] == "tanh"


def test_a_recorder_that_nobody_holds_takes_its_hooks_off() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    recorder = attach(model)
    assert model[0]._forward_hooks
    del recorder
    gc.collect()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


class Plain(nn.Module):
    """Fully connected layers one after the other, their activation a function; or with residual sums."""

    def __init__(self, residual: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(12))
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, 8) from (batch, 8)."""
        for layer in self.layers:
            x = torch.sigmoid(layer(x)) + (1e-3 * x if self.residual else 0.0)
        return x


@pytest.mark.parametrize(("residual", "severity"), [(False, "error"), (True, "warning")])
def test_a_plain_chain_is_judged_as_the_networks_of_scan(residual: bool, severity: str) -> None:
    torch.manual_seed(0)
    findings = diagnose(record(Plain(residual), torch.randn(16, 8))).findings
    found = {finding.code: finding.severity.value for finding in findings}
    assert found["AD101"] == severity


def test_parallel_branches_are_not_compared_with_each_other() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = [10.0**-k * torch.relu(branch(x)) for k, branch in enumerate(self.branches)]
            return torch.stack(parts).sum(0)

    recording = record(Branches(), torch.randn(9, 8))
    assert (recording.modules["follows"] == "").all()
    diagnosis = diagnose(recording)
    assert [finding for finding in diagnosis.findings if finding.code.startswith(("AD1", "AD2"))] == []
    reasons = {outcome.code: outcome.reason for outcome in diagnosis.skipped}
    assert "there is one on the longest chain, 5 in other places" in reasons["AD101"]


def test_gradients_left_over_from_before_are_none_of_this_step() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "cut": nn.Linear(3, 3), "left": nn.Linear(4, 2)})
    model["left"](torch.randn(2, 4)).sum().backward()

    def step() -> None:
        h = model["used"](torch.randn(5, 4))
        (h + model["cut"](h).detach()).square().sum().backward()

    step()
    for clear in (lambda: None, lambda: model.zero_grad(set_to_none=False)):
        clear()
        with attach(model) as recorder:
            step()
            clear()
            step()
        modules = recorder.recording().modules.set_index("name")
        assert modules.loc[["used", "cut", "left"], "unused"].tolist() == ["", "bias, weight", "bias, weight"]
        assert modules.loc["left", "reason"] == "not called"
        assert "left" not in recorder.recording().rows["module"].tolist()


def test_a_weight_of_a_second_optimiser_is_taken_as_unscaled_and_a_note_says_so() -> None:
    model = nn.Linear(4, 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with attach(model, scaler=scaler) as recorder:
        scaler.scale(model(torch.randn(3, 4)).sum()).backward()
        scaler.unscale_(optimiser)
        recorder.step()
    notes = recorder.recording().meta["runs"]["model"]["notes"]
    assert [note.partition(":")[0] for note in notes] == ["scaler.unscale_ ran before step()"]


def test_steps_without_a_forward_do_not_count_as_the_first() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    with attach(model) as recorder:
        recorder.step()
        for _ in range(3):
            model(torch.randn(5, 4)).sum().backward()
            recorder.step()
    recording = recorder.recording()
    kept = recording.rows.loc[list(recording.histograms), "step"]
    assert sorted(kept.unique()) == [1, 3]


def test_renaming_and_the_like_is_no_write() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.last = nn.Flatten(), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = self.flat(x * 2.0)
            flat.requires_grad_()
            return self.last(flat)

    recording = record(Views(), torch.randn(4, 2, 3, requires_grad=True))
    assert recording.modules.set_index("name").loc["flat", "reason"] == ""


@pytest.mark.parametrize("view", [False, True])
def test_a_write_under_inference_mode_is_seen(view: bool) -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.same = nn.Linear(4, 3), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.first(x)
            (z.view(-1) if view else z).mul_(3.0)
            return self.same(z)

    model = Writes()
    with torch.inference_mode(), attach(model) as recorder:
        model(torch.randn(5, 4))
    recording = recorder.recording()
    once, thrice = row(recording, "first", "preactivation"), row(recording, "same", "output")
    assert thrice["rms"] == pytest.approx(3.0 * once["rms"], rel=1e-6)


def test_a_step_while_another_thread_runs_the_model_loses_nothing() -> None:
    model, stop = nn.Sequential(*[nn.Linear(6, 6) for _ in range(12)]), threading.Event()

    def evaluate() -> None:
        with torch.no_grad():
            while not stop.is_set():
                model(torch.randn(3, 6))

    worker, interval = threading.Thread(target=evaluate), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with attach(model) as recorder:
            worker.start()
            for _ in range(15):
                model(torch.randn(5, 6)).sum().backward()
                recorder.step()
            stop.set()
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    recording = recorder.recording()
    assert not [note for note in recording.meta["runs"]["model"]["notes"] if "could not" in note]
    assert set(range(15)) <= set(recording.rows["step"])


def test_a_stance_that_the_user_sets_while_attached_stays() -> None:
    from torch._dynamo import eval_frame

    model = nn.Linear(2, 2)
    before = eval_frame._stance
    with attach(model):
        torch.compiler.set_stance("eager_on_recompile")
    try:
        assert eval_frame._stance.stance == "eager_on_recompile"
    finally:
        eval_frame._set_stance(before)


def test_modules_that_came_late_keep_their_order() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    recorder = attach(model)
    for name in ("zeta", "alpha", "mid"):
        model.add_module(name, nn.Identity())
    recorder.detach()
    assert recorder.recording().modules["name"].tolist() == ["", "0", "zeta", "alpha", "mid"]


OWNERS = ("the model", "0")
"""Of the input, and of the output."""


def test_one_note_for_many_sizes() -> None:
    model = nn.Sequential(nn.Softmax(-1))
    with attach(model) as recorder:
        for length in range(2, 30):
            model(torch.randn(3, length, requires_grad=True)).square().sum().backward()
    notes = recorder.recording().meta["runs"]["model"]["notes"]
    assert notes == [f"{name}: tensors with other numbers of units have rows of their own" for name in OWNERS]
