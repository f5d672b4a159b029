"""The options of attach: how often, to which modules, along which axis, what is kept."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from actdiag import attach, schema
from actdiag.errors import UsageError
from actdiag.recording import Recording
from models.frames import in_order, sizes_alone
from models.plainly import (
    Nested,
    Net,
    assert_row,
    hooks_of,
    one_row,
    one_step,
    training,
)


class Peeking(Net):
    """Counts the hooks on a tensor in the middle of its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Look at the hidden layer's output."""
        z = self.hidden(self.act(self.first(x)))
        self.hooks.append(len(z._backward_hooks or ()))
        return self.head(functional.relu(z))


def test_every_third_step_is_recorded_and_hooks_idle_otherwise() -> None:
    torch.manual_seed(0)
    net = Peeking()
    inputs = [torch.randn(8, 6) for _ in range(8)]
    with attach(net, every=3) as recorder:
        for x in inputs:
            net.zero_grad()
            one_step(net, x)
            recorder.step()
    rows = recorder.recording().rows
    recorded = rows[rows["step"].isin((0, 3, 6))]
    assert sorted(recorded["step"].unique()) == [0, 3, 6]
    assert set(rows.drop(recorded.index)["tensor"]) == {"weight", "weight_grad"}
    assert [count > 0 for count in net.hooks] == [step % 3 == 0 for step in range(8)]
    for step in (0, 3, 6):
        a = torch.tanh(net.first(inputs[step]))
        assert_row(recorder.recording(), "act", "activation", a, step=step)
        relu = functional.relu(net.hidden(a))
        assert_row(recorder.recording(), ":relu#0", "activation", relu, step=step)
    assert recorded.groupby("step").size().nunique() == 1


def test_every_changes_nothing_in_training() -> None:
    plain, _ = training([])
    attached, (recording,) = training([lambda model: attach(model, every=2)])
    assert attached == plain
    whole = training([attach])[1][0]
    odd = whole.rows["step"] == 1
    expected = in_order([whole.rows[~odd], sizes_alone(whole.rows[odd])])
    pd.testing.assert_frame_equal(recording.rows, expected, rtol=1e-9, atol=0.0)


@pytest.mark.parametrize(
    ("select", "wanted"),
    [
        ("encoder.*", "encoder.first encoder.norm encoder.act encoder.drop encoder.hidden encoder.head"),
        (["decoder*", "*head"], "decoder.0 decoder.1 encoder.head head"),
        ("head", "head"),
        ("encoder:*", "encoder:relu#0"),
    ],
)
def test_select_records_the_matching_modules_alone(select: str | list[str], wanted: str) -> None:
    plain, (whole,) = training([attach])
    attached, (recording,) = training([lambda model: attach(model, select=select)])
    assert attached == plain
    names = set(wanted.split())
    assert set(recording.rows["module"]) - {""} == names
    kept = whole.rows[whole.rows["module"].isin(names)].reset_index(drop=True)
    seen = recording.rows[recording.rows["module"] != ""].reset_index(drop=True)
    columns = ["step", "module", "call", "path", "tensor", "backward", "samples", *schema.STATISTICS]
    pd.testing.assert_frame_equal(seen[columns], kept[columns])


def test_what_is_not_selected_says_so() -> None:
    _, (recording,) = training([lambda model: attach(model, select=["decoder.*"])])
    modules = recording.modules.set_index("name")
    for name in ("encoder.first", "encoder.act", "head"):
        assert not modules.loc[name, "observed"]
        assert modules.loc[name, "reason"] == "not selected"
    assert modules.loc["decoder.1", "observed"]


@pytest.mark.parametrize(
    ("select", "near"), [("encodr", "encoder"), (["head", "encoder.hiden"], "encoder.hidden")]
)
def test_a_pattern_that_matches_nothing_is_a_usage_error(select: str | list[str], near: str) -> None:
    model = Nested()
    with pytest.raises(UsageError, match=rf"did you mean '{near}'") as caught:
        attach(model, select=select)
    assert "\n" not in str(caught.value)
    assert hooks_of(model) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "bogus"}, "keep.*'bogus'.*auto.*all"),
        ({"every": 0}, "every.*1.*got 0"),
        ({"every": -3}, "every.*1.*got -3"),
        ({"every": 1.5}, "every.*1.5"),
        ({"select": 3}, "select.*3"),
        ({"select": [3]}, "select.*3"),
        ({"batch_axis": "0"}, "batch_axis.*'0'"),
        ({"tensors": "activation"}, "tensors.*'activation'.*did you mean 'activations'.*all"),
        ({"tensors": None}, "tensors.*all.*activations.*None"),
        ({"tensors": ["all"]}, "tensors.*all.*activations"),
        ({"scaler": "none"}, "scaler.*GradScaler.*str"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, Any], words: str) -> None:
    model = Nested()
    with pytest.raises(UsageError, match=words) as caught:
        attach(model, **options)
    assert "\n" not in str(caught.value)
    assert hooks_of(model) == []


def test_the_batch_axis_can_be_the_second() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 7), nn.Tanh()), torch.randn(5, 9, 6)
    with attach(model, batch_axis=1) as recorder:
        one_step(model, x)
    activation = torch.tanh(model[0](x)).detach().double()
    row = one_row(recorder.recording(), "1", "activation")
    assert (row["samples"], row["positions"], row["units"]) == (9, 5, 7)
    samples = activation.mean(0)
    expected = float(samples.var(0, correction=0).mean().sqrt())
    assert row["std_across"] == pytest.approx(expected, rel=1e-5)
    other = float(activation.mean(1).var(0, correction=0).mean().sqrt())
    assert abs(other - expected) > 0.01
    assert_row(recorder.recording(), "1", "activation", activation)


def kept_steps(keep: str, broken_from: int) -> tuple[Recording, dict[str, set[int]]]:
    """Record ten equal steps, the later ones with a NaN in the input; say for which steps arrays are kept."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 2)), torch.randn(12, 6)
    with attach(model, keep=keep) as recorder:
        for step in range(10):
            model.zero_grad()
            given = x.clone()
            if step >= broken_from:
                given[3, 2] = torch.nan
            one_step(model, given)
            recorder.step()
    recording = recorder.recording()
    tables = {"histograms": recording.histograms, "linear": recording.linear, "units": recording.units}
    steps = recording.rows["step"]
    return recording, {name: set(steps[list(table)]) for name, table in tables.items()}


@pytest.mark.parametrize(("broken_from", "wanted"), [(99, {0, 9}), (5, {0, 5, 9})])
def test_auto_keeps_arrays_of_the_first_the_last_and_what_is_new(broken_from: int, wanted: set[int]) -> None:
    recording, steps = kept_steps("auto", broken_from)
    assert steps == {"histograms": wanted, "linear": wanted, "units": wanted}
    assert set(recording.rows["step"]) == set(range(10))


def test_all_keeps_every_array() -> None:
    recording, steps = kept_steps("all", 5)
    assert steps == {name: set(range(10)) for name in ("histograms", "linear", "units")}
    auto, _ = kept_steps("auto", 5)
    pd.testing.assert_frame_equal(auto.rows, recording.rows)
    for index, histogram in auto.histograms.items():
        assert (histogram == recording.histograms[index]).all()
    assert set(recording.histograms) == set(recording.rows.query("source == 'measured'").index)


def test_every_kept_histogram_counts_the_row_it_belongs_to() -> None:
    recording, _ = kept_steps("auto", 5)
    for index, histogram in recording.histograms.items():
        row = recording.rows.loc[index]
        assert histogram.sum() == row["count"], (index, row["module"], row["tensor"])
