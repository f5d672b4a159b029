"""Between recorded steps: the sizes of weights and of their gradients, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

import actdiag
from actdiag import attach
from actdiag.capture import weighing
from actdiag.capture.history import Between
from actdiag.capture.records import Place
from actdiag.recording import Recording
from models.frames import ACTIVATIONS, WEIGHTS
from models.plainly import notes, one_row

Change = Callable[[nn.Module, int], None]
PLACE = Place(1, "0", "Linear", 0, "", "weight", 0, 0)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def train(steps: int, change: Change = lambda model, step: None, **options: object) -> Recording:
    """Train a small net; `change` comes after each backward pass, before `step()`."""
    model = small()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with attach(model, **options) as recorder:  # type: ignore[arg-type]
        for step in range(steps):
            optimiser.zero_grad()
            model(torch.randn(8, 6)).square().mean().backward()
            change(model, step)
            recorder.step()
            optimiser.step()
    return recorder.recording()


def size(tensor: torch.Tensor) -> dict[str, float]:
    """Return what is read of a weight or its gradient, by numpy."""
    values = tensor.detach().numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    return {
        "samples": 1,
        "units": values.shape[0],
        "positions": values.size // values.shape[0],
        "count": values.size,
        "rms": float(np.sqrt(np.mean(finite**2))),
        "nan_count": np.isnan(values).sum(),
        "inf_count": np.isinf(values).sum(),
    }


def holding(sizes: dict[tuple[int, str, str], dict[str, float]]) -> Change:
    """Return what notes the sizes of both weights and their gradients at each step."""

    def change(model: nn.Module, step: int) -> None:
        for name in ("0", "2"):
            weight = model.get_submodule(name).weight
            assert isinstance(weight, nn.Parameter)
            assert weight.grad is not None
            sizes[step, name, "weight"], sizes[step, name, "weight_grad"] = size(weight), size(weight.grad)

    return change


@pytest.mark.parametrize("tensors", ["all", "activations"])
def test_sizes_are_those_by_numpy(tensors: str) -> None:
    sizes: dict[tuple[int, str, str], dict[str, float]] = {}
    recording = train(9, holding(sizes), every=4, tensors=tensors)
    for (step, name, tensor), expected in sizes.items():
        row = one_row(recording, name, tensor, step=step)
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-6)
        if tensor == "weight_grad":
            ratio = expected["rms"] / sizes[step, name, "weight"]["rms"]
            assert row["grad_to_weight"] == pytest.approx(ratio, rel=1e-6)
        else:
            assert math.isnan(row["grad_to_weight"])
    between = recording.rows[recording.rows["step"] % 4 != 0]
    assert len(between) == 6 * 4
    assert between[["mean", "std", "min", "max", "p50", "zero_fraction", "correlation"]].isna().all(axis=None)
    assert (between["backward"] == (between["tensor"] == "weight_grad")).all()


def spoilt_at(first: int, value: float) -> Change:
    """Return what puts a value that is not finite into a weight, from a step on."""

    def change(model: nn.Module, step: int) -> None:
        if step >= first:
            with torch.no_grad():
                model.get_parameter("2.weight")[0, 1] = value

    return change


@pytest.mark.parametrize(("value", "column"), [(math.nan, "nan_count"), (math.inf, "inf_count")])
@pytest.mark.parametrize("tensors", ["all", "activations"])
def test_what_is_not_finite_is_found_in_the_step_where_it_came(
    value: float, column: str, tensors: str
) -> None:
    recording = train(8, spoilt_at(5, value), every=10, tensors=tensors)
    counts = recording.rows.query("module == '2' and tensor == 'weight'").set_index("step")[column]
    assert (counts > 0).to_dict() == {step: step >= 5 for step in range(8)}
    assert counts[5] == 1
    found = [finding for finding in actdiag.diagnose(recording).findings if finding.code == "AD901"]
    assert len(found) == 1
    assert "step 5" in found[0].message
    assert "2" in found[0].modules
    sound = actdiag.diagnose(train(8, every=10, tensors=tensors))
    assert "AD901" not in {finding.code for finding in sound.findings}


def thinned(steps: int, every: int, broken: int) -> Between:
    """Return what is kept of so many steps, of which one, and those after it, hold a NaN."""
    between = Between()
    for step in range(steps):
        if step % every:
            found = np.array([[5.0, 30.0, 1.0, step >= broken, 0.0]])
            between.add(step, weighing.Sizes((PLACE,), found, 1.0))
    return between


@pytest.mark.parametrize("broken", [1, 613, 1501, 2999])
def test_many_steps_are_thinned_evenly_but_for_the_first_broken_one(broken: int) -> None:
    between = thinned(3000, 1000, broken)
    met = [step for step in range(3000) if step % 1000]
    assert [step.number for step in between.steps] == sorted({*met[::8], broken})
    assert between.stride == 8


@pytest.mark.parametrize("every", [2, 3, 4, 10, 16])
def test_steps_are_thinned_evenly_however_often_one_is_recorded(every: int) -> None:
    kept = [step.number for step in thinned(20_000, every, 10**6).steps]
    assert 256 <= len(kept) <= 512
    apart = np.diff(kept)
    assert apart.max() - apart.min() <= 1 + apart.max() / (every - 1)


def test_no_step_is_left_out_before_there_are_too_many() -> None:
    assert [step.number for step in thinned(513, 513, 9999).steps] == list(range(1, 513))
    assert [step.number for step in thinned(514, 514, 9999).steps] == list(range(1, 514, 2))


def test_that_steps_were_left_out_is_said() -> None:
    words = "the sizes of weights are kept for one in 2 of the steps between recorded ones"
    assert words in notes(train(600, every=600))
    assert "sizes of weights" not in notes(train(20, every=600))


class Scaler:
    """A loss scale, as a GradScaler tells it."""

    def get_scale(self) -> float:
        """Return what the loss was multiplied by."""
        return 1024.0

    def is_enabled(self) -> bool:
        """Return whether it is used."""
        return True


def test_the_loss_scale_is_divided_out_of_gradients_alone() -> None:
    model = small()
    with attach(model, every=3, scaler=Scaler()) as recorder:
        for _ in range(2):
            model.zero_grad()
            (1024.0 * model(torch.randn(8, 6)).square().mean()).backward()
            recorder.step()
    for tensor in WEIGHTS:
        row = one_row(recorder.recording(), "2", tensor, step=1)
        weight = model.get_parameter("2.weight")
        assert weight.grad is not None
        truth = size(weight if tensor == "weight" else weight.grad)["rms"]
        assert row["rms"] == pytest.approx(truth / (1.0 if tensor == "weight" else 1024.0), rel=1e-6)


def test_detaching_between_recorded_steps_adds_nothing_and_loses_nothing() -> None:
    model = small()
    recorder = attach(model, every=5)
    for _ in range(3):
        model.zero_grad()
        model(torch.randn(8, 6)).square().mean().backward()
        recorder.step()
    model(torch.randn(8, 6)).square().mean().backward()
    recorder.detach()
    rows = recorder.recording().rows
    captured = rows[rows["source"] == "measured"]
    assert captured.groupby("step").size().to_dict() == {0: 11, 1: 4, 2: 4}
    recorder.step()
    assert len(recorder.recording().rows) == len(rows)


def test_activations_alone_with_all_arrays_kept() -> None:
    recording = train(7, every=2, tensors="activations", keep="all")
    rows = recording.rows
    activations = rows.index[rows["tensor"].isin(ACTIVATIONS)]
    assert rows.loc[activations, "step"].tolist() == [0, 0, 2, 2, 4, 4, 6, 6]
    for table in (recording.histograms, recording.units):
        assert sorted(table) == list(activations)
    assert {int(counts.sum()) for counts in recording.histograms.values()} == {8 * 5}
    assert rows.groupby("step")["tensor"].agg(set)[1] == set(WEIGHTS)


class Turns(nn.Module):
    """Multiplies by another parameter at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.full((3, 4), float(place + 1)) for place in range(3))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return tanh(W x)."""
        self.calls += 1
        return torch.tanh(functional.linear(x, self.weights[self.calls - 1]))


@pytest.mark.parametrize("tensors", ["all", "activations"])
def test_a_function_that_uses_another_weight_has_that_one_measured(tensors: str) -> None:
    model = Turns()
    with attach(model, tensors=tensors) as recorder:
        for _ in range(3):
            model(torch.randn(5, 4)).sum().backward()
            recorder.step()
    weights = recorder.recording().rows.query("tensor == 'weight'")
    assert weights["rms"].tolist() == [1.0, 2.0, 3.0]


def test_a_weight_replaced_or_taken_away_between_steps_is_read_as_it_is() -> None:
    model = small()
    with attach(model, every=10) as recorder:
        for step in range(4):
            if step == 1:
                model[2].weight = nn.Parameter(torch.full((2, 5), 3.0))
            if step == 2:
                del model[2].weight
            if step < 2:
                model(torch.randn(8, 6)).square().mean().backward()
            recorder.step()
    weights = recorder.recording().rows.query("module == '2' and tensor == 'weight'").set_index("step")["rms"]
    assert list(weights.index) == [0, 1]
    assert weights[1] == 3.0


def test_a_layer_parametrised_and_freed_again_has_the_weights_it_stores() -> None:
    model, stored = small(), []
    with attach(model) as recorder:
        for change in (
            lambda: None,
            lambda: weight_norm(model[2]),
            lambda: remove_parametrizations(model[2], "weight"),
        ):
            change()
            model(torch.randn(8, 6)).square().mean().backward()
            recorder.step()
            stored.append({size(p)["rms"] for name, p in model[2].named_parameters() if p.dim() > 1})
    rows = recorder.recording().rows.query("tensor == 'weight' and module.str.startswith('2')")
    for step, expected in enumerate(stored):
        assert sorted(rows[rows["step"] == step]["rms"]) == pytest.approx(sorted(expected), rel=1e-6)


def test_a_weight_that_cannot_be_read_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    read = weighing.sizes

    def fails(tensors: list[torch.Tensor]) -> object:
        if any(tensor.shape == (6, 6) for tensor in tensors):
            raise ZeroDivisionError("odd weight")
        return read(tensors)

    monkeypatch.setattr(weighing, "sizes", fails)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    with attach(model, tensors="activations") as recorder:
        model(torch.randn(8, 6)).square().mean().backward()
    recording = recorder.recording()
    rows: pd.DataFrame = recording.rows[recording.rows["tensor"].isin(WEIGHTS)]
    assert set(rows["module"]) == {"2"}
    assert "0 could not be measured: ZeroDivisionError: odd weight" in notes(recording)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("left", [0, 4])
def test_a_weight_whose_memory_was_freed_is_left_out_and_named(dtype: torch.dtype, left: int) -> None:
    first = nn.Linear(6, 3)
    model = nn.Sequential(first, nn.Tanh(), nn.Linear(3, 2)).to(dtype)
    with attach(model, tensors="activations") as recorder:
        model(torch.randn(4, 6, dtype=dtype)).sum().backward()
        first.weight.untyped_storage().resize_(left)
        recorder.step()
    recording = recorder.recording()
    assert recording.rows.query("tensor == 'weight'")["module"].tolist() == ["2"]
    assert "0: the memory of its weight was freed before step(), as sharding does: not measured" in notes(
        recording
    )


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_recording_with_a_layer_that_was_replaced_is_diagnosed(at: int) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with attach(model) as recorder:
        for step in range(4):
            model(torch.randn(8, 6)).sum().backward()
            if step == at:
                model[0] = nn.Linear(6, 8)
            recorder.step()
            model.zero_grad()
    diagnosis = actdiag.diagnose(recorder.recording())
    assert "AD206" in {outcome.code for outcome in (*diagnosis.passed, *diagnosis.skipped)}
