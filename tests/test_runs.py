"""A run by itself and one among others: the same rows, modules and chain."""

from __future__ import annotations

import pandas as pd
import pytest
from recordings import Layer, made_up, over_time

from actdiag.recording import Recording, concatenate
from actdiag.rules.base import Run, finite, sample_norm
from actdiag.rules.runs import NotJudged
from actdiag.tables import Table

RUNS = {"a": [Layer(), Layer(activation=0.5)], "b": [Layer(weight=3.0)] * 4, "c": [Layer(output=2.0)]}


@pytest.fixture
def recording() -> Recording:
    return concatenate([made_up(layers, run=name) for name, layers in RUNS.items()])


def test_a_run_among_others_is_what_it_is_alone(recording: Recording) -> None:
    runs = list(Run.all_of(recording))
    assert [run.name for run in runs] == list(RUNS)
    for run in runs:
        alone, rows = Run.of(recording, run.name), recording.rows[recording.rows["run"] == run.name]
        pd.testing.assert_frame_equal(run.rows.to_frame(), rows[rows["source"] == "measured"])
        pd.testing.assert_frame_equal(run.theory.to_frame(), rows[rows["source"] == "theory"])
        pd.testing.assert_frame_equal(run.modules.to_frame(), alone.recording.modules)
        assert (run.facts, run.chain, run.plain) == (alone.facts, alone.chain, alone.plain)
        for tensor in ("input", "activation", "weight", "preactivation_grad", "no such tensor"):
            pd.testing.assert_frame_equal(run.at(tensor).to_frame(), alone.at(tensor).to_frame())
        assert run.signal()["rms"].tolist() == [layer.output or layer.activation for layer in RUNS[run.name]]


def test_a_runs_indices_are_those_of_the_whole_recording(recording: Recording) -> None:
    """Its histograms and units are found by them."""
    for run in Run.all_of(recording):
        assert (recording.rows.loc[run.rows.indices, "run"] == run.name).all()
        assert all(index in run.recording.units for index in run.rows.indices)


def test_another_step_has_the_same_modules_and_other_rows() -> None:
    small = made_up([Layer(activation=0.1)] * 2)
    run = Run.of(over_time(made_up([Layer()] * 2), small), "run")
    later = run.at_step(10)
    assert (run.step, later.step, later.modules) == (None, 10, run.modules)
    assert (run.at("activation")["rms"].tolist(), later.at("activation")["rms"].tolist()) == (
        [1, 1],
        [0.1, 0.1],
    )


def test_what_was_selected_once_is_kept() -> None:
    run = Run.of(made_up([Layer()] * 3), "run")
    for select in (run.at, run.hidden_at, run.chain_at):
        assert select("activation") is select("activation")


@pytest.mark.parametrize("column", ["nan_count", "inf_count"])
def test_a_row_that_is_not_finite_is_named(column: str) -> None:
    recording = made_up([Layer(), Layer(), Layer()])
    bad = (recording.rows["tensor"] == "activation") & (recording.rows["layer"] >= 2)
    recording.rows.loc[bad, column] = 1
    run = Run.of(recording, "run")
    with pytest.raises(NotJudged, match=r"^the activation of layer 2 is not finite"):
        finite(run.at("activation"))
    assert finite(run.at("weight")) is run.at("weight")


def test_a_samples_norm_counts_units_and_positions() -> None:
    """In a table and in a frame: 3 x sqrt(4 x 9) = 18."""
    rows = pd.DataFrame({"rms": [3.0, 0.0], "units": [4, 4], "positions": [9, 1]}, index=[5, 7])
    assert sample_norm(Table.of(rows)).tolist() == [18.0, 0.0]
    pd.testing.assert_series_equal(sample_norm(rows), pd.Series([18.0, 0.0], index=[5, 7]))
