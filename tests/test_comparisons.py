"""Many runs side by side: which are one network, what is said of it, and in what order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_comparison import networks, with_facts, with_failed
from fake_recording import Floats, attached, diagnosis, fake, finding, simulate

from actdiag.comparisons import Cell, Comparison, is_comparison
from actdiag.recording import Recording, concatenate
from actdiag.types import NOT_JUDGED, Diagnosis, Outcome, Severity
from actdiag.verdicts import FAILED


def compared(recording: Recording, *found: Any) -> Comparison:
    return Comparison(recording, diagnosis(recording, *found))


def only(comparison: Comparison, act: str, init: str) -> Cell:
    """Return the one network of an activation and an initialiser."""
    (cell,) = [cell for cell in comparison.cells if (cell.spec["act"], cell.spec["init"]) == (act, init)]
    return cell


def rms(x: Floats) -> float:
    return float(np.sqrt((x**2).mean()))


def mixed() -> Recording:
    """Return a grid in which nearly everything differs somewhere."""
    parts = [
        networks(seeds=range(2), depths=(2, 3))[0],
        networks(("tanh",), ("he",))[0],
        networks(("tanh",), ("he",), features=20)[0],
        networks(("tanh",), ("he",), loss="mse")[0],
        networks(("tanh",), ("he",), data="digits", features=64)[0],
        networks(("tanh",), ("he",), dtype="bfloat16", residual=True)[0],
    ]
    return with_failed(concatenate(parts), "ValueError: no", act="elu", init="he")


def test_every_run_is_in_one_cell_and_every_cell_in_one_matrix() -> None:
    comparison = compared(mixed())
    assert Counter(run for cell in comparison.cells for run in cell.runs) == Counter(mixed().runs)
    placed = Counter(cell.runs for sheet in comparison.sheets for cell in sheet.cells.values())
    assert placed == Counter(cell.runs for cell in comparison.cells)
    assert Counter(cell.runs for cell in comparison.ranking) == placed


def test_draws_make_a_cell_and_depths_make_matrices() -> None:
    comparison = compared(networks(depths=(2, 4), seeds=(3, 5))[0])
    assert [sheet.label for sheet in comparison.sheets] == ["depth 2", "depth 4"]
    for sheet, depth in zip(comparison.sheets, (2, 4), strict=True):
        assert (sheet.acts, sheet.inits) == (("tanh", "relu"), ("normal:0.01", "xavier", "he"))
        assert list(sheet.cells) == [(act, init) for act in sheet.acts for init in sheet.inits]
        for (act, init), cell in sheet.cells.items():
            assert (cell.spec["act"], cell.spec["init"], cell.spec["depth"]) == (act, init, depth)
            assert [run[-6:-1] for run in cell.runs] == ["-seed"] * 2
            assert [run[-1] for run in cell.runs] == ["3", "5"]


def test_one_matrix_needs_no_label() -> None:
    assert [sheet.label for sheet in compared(networks()[0]).sheets] == [""]


def test_labels_name_the_fields_that_differ() -> None:
    labels = {sheet.label for sheet in compared(mixed()).sheets}
    common = "data gaussian, {}loss cross_entropy, dtype float32"
    assert f"depth 2, residual no, {common.format('')}" in labels
    assert f"depth 4, residual no, {common.format('')}" in labels
    assert f"depth 4, residual no, {common.format('features 20, ')}" in labels
    assert "depth 4, residual no, data gaussian, loss mse, dtype float32" in labels
    assert "depth 4, residual yes, data gaussian, loss cross_entropy, dtype bfloat16" in labels


def test_gains_are_the_geometric_means_of_numpy() -> None:
    recording, arrays = networks(seeds=range(3))
    for cell in compared(recording).cells:
        sizes, signals, gradients = [], [], []
        for run in cell.runs:
            xs, deltas = arrays[run]
            apart = [rms(x - x.mean(axis=0)) for x in (xs[0], xs[3])]
            sizes.append((rms(xs[3]) / rms(xs[0])) ** (1 / 3))
            signals.append((apart[1] / apart[0]) ** (1 / 3))
            gradients.append((rms(deltas[0]) / rms(deltas[3])) ** (1 / 3))
        assert cell.size.measured == pytest.approx(np.median(sizes), rel=1e-9)
        assert cell.signal.measured == pytest.approx(np.median(signals), rel=1e-9)
        assert cell.gradient.measured == pytest.approx(np.median(gradients), rel=1e-9)
        assert np.isnan([cell.size.expected, cell.gradient.expected]).all()


def test_expected_gains_are_theorys() -> None:
    recording = networks(("tanh",), ("xavier", "he"))[0]
    theory = recording.rows.assign(source="theory", rms=0.5 ** recording.rows["layer"].astype(float))
    both = replace(recording, rows=pd.concat([recording.rows, theory], ignore_index=True))
    cell = compared(both).cells[0]
    assert cell.size.expected == pytest.approx(0.5)
    assert cell.gradient.expected == pytest.approx(2.0)


def test_one_hidden_layer_has_no_gain() -> None:
    cell = compared(networks(depths=(1,))[0]).cells[0]
    assert np.isnan([cell.size.measured, cell.signal.measured, cell.gradient.measured]).all()
    assert str(cell.size) == "unknown"


@pytest.mark.parametrize("end", [np.inf, np.nan, 0.0])
def test_a_gain_reaches_as_far_as_there_are_numbers(end: float) -> None:
    level, last = np.ones((8, 16)), np.where(np.arange(16) < 4, end, 0.0) * np.ones((8, 1))
    recording = concatenate(
        [fake([level, 2 * level, last], [level, 4 * level, last, last], "relu", None), simulate(3)[0]]
    )
    broken = compared(recording).cells[0]
    assert broken.size.measured == pytest.approx(2.0)
    assert broken.gradient.measured == pytest.approx(1 / 4)
    assert broken.distortion == np.inf  # no sample differs from another


def test_one_number_alone_makes_no_gain() -> None:
    level, last = np.ones((8, 16)), np.full((8, 16), np.inf)
    recording = concatenate([fake([level, last], [level, last, last], "relu", None), simulate(3)[0]])
    broken = compared(recording).cells[0]
    assert np.isnan(broken.size.measured)
    assert np.isnan(broken.gradient.measured)


@pytest.mark.parametrize(
    ("marks", "verdict", "shown"),
    [
        ("...", "healthy", 0),
        ("x..", "healthy", 1),
        ("xx.", "does not train", 0),
        ("w.w", "trains worse than it could", 0),
        ("xw", "does not train", 0),
        (".x", "does not train", 1),
        ("xw.", "does not train", 0),
        ("iii", "healthy", 0),
    ],
)
def test_the_verdict_is_what_most_draws_say_the_severer_of_as_many(
    marks: str, verdict: str, shown: int
) -> None:
    recording = networks(("tanh",), ("xavier", "he"), seeds=range(len(marks)))[0]
    severities = {"x": Severity.ERROR, "w": Severity.WARNING, "i": Severity.INFO}
    runs = recording.runs[: len(marks)]
    found = [
        finding(run, severities[mark], message=f"of {run}")
        for run, mark in zip(runs, marks, strict=True)
        if mark in severities
    ]
    cell = only(compared(recording, *found), "tanh", "xavier")
    assert (cell.verdict, cell.shown) == (verdict, runs[shown])
    assert sum(cell.votes.values()) == len(marks)
    reason = f"of {runs[shown]}" if marks[shown] in "xw" else "Per layer: activation"
    assert cell.reason.startswith(reason)


def test_the_worst_finding_is_the_reason_and_coverage_never_is() -> None:
    recording = networks(("tanh",), ("xavier", "he"))[0]
    run = recording.runs[0]
    found = [
        finding(run, Severity.WARNING, code="AD001", message="unseen"),
        finding(run, Severity.WARNING, message="mild"),
        finding(run, Severity.ERROR, message="grave"),
    ]
    assert compared(recording, *found).cells[0].reason.startswith("grave (per layer")
    assert compared(recording, found[0]).cells[0].finding is None


def test_a_failed_draw_stays_with_its_network_and_has_no_vote() -> None:
    grid = networks(("tanh",), ("xavier", "he"), seeds=range(2))[0]
    recording = grid
    for seed in (7, 8, 9):
        recording = with_failed(recording, "ValueError: no", act="tanh", init="xavier", seed=seed)
    cell = only(compared(recording), "tanh", "xavier")
    assert cell.votes == {"healthy": 2, FAILED: 3}
    assert (cell.verdict, cell.error) == ("healthy", "ValueError: no")
    assert cell.spec == recording.meta["runs"][cell.runs[0]]["spec"]


@pytest.mark.parametrize("asked", [{}, {"device": "auto", "classes": 10}, {"features": 16}])
def test_a_failed_network_stands_in_the_matrix_of_those_that_ran(asked: dict[str, Any]) -> None:
    recording = with_failed(networks()[0], "ValueError: no", act="elu", init="he", **asked)
    comparison = compared(recording)
    (sheet,) = comparison.sheets
    cell = sheet.cells["elu", "he"]
    assert (cell.verdict, cell.reason) == (FAILED, "ValueError: no")
    assert np.isnan(cell.size.measured)
    assert comparison.ranking[-1] is cell


def test_a_smaller_batch_or_another_loss_is_no_failed_run_of_the_same_matrix() -> None:
    for other in ({"batch": 8}, {"loss": "mse"}, {"dtype": "bfloat16"}):
        recording = with_failed(networks()[0], "ValueError: no", act="elu", init="he", **other)
        assert len(compared(recording).sheets) == 2, other


def test_data_of_fewer_samples_than_the_batch_keep_a_failed_run_in_their_matrix() -> None:
    grid = networks(("tanh",), ("xavier", "he"), data="digits", features=64, batch=1797)[0]
    recording = with_failed(grid, "no", act="elu", init="he", data="digits", batch=5000)
    assert len(compared(recording).sheets) == 1


def test_when_nothing_ran_there_is_a_matrix_of_failures() -> None:
    some = simulate(4)[0]
    empty = Recording(some.rows.iloc[:0], some.modules.iloc[:0], meta={**some.meta, "runs": {}})
    for init in ("xavier", "he"):
        empty = with_failed(empty, "no", init=init)
    comparison = compared(empty)
    assert [cell.verdict for cell in comparison.cells] == [FAILED] * 2
    assert [sheet.inits for sheet in comparison.sheets] == [("xavier", "he")]


def test_a_gain_that_was_asked_for_makes_a_column_of_its_own() -> None:
    parts = []
    for gain, words in ((1.0, ""), (1.5925, " --gain exact"), (2.0, " --gain 2.0")):
        part = simulate(3, init="xavier", gain=gain)[0]
        parts.append(with_facts(part, part.runs[0], command=f"actdiag scan --init xavier{words}"))
    recording = concatenate(parts)
    (sheet,) = compared(recording).sheets
    assert sheet.inits == ("xavier", "xavier, gain exact", "xavier, gain 2.0")
    assert [cell.label for cell in sheet.cells.values()] == [f"tanh, {name}" for name in sheet.inits]


def test_what_no_rule_could_look_at_says_why() -> None:
    recording = networks(("tanh",), ("xavier", "he"), depths=(2,))[0]
    outcomes = [Outcome("AD101", "vanishing", run, "there is no hidden layer") for run in recording.runs]
    cell = Comparison(recording, Diagnosis(recording.runs, skipped=tuple(outcomes))).cells[0]
    assert (cell.verdict, cell.reason) == (NOT_JUDGED, "there is no hidden layer")


def test_the_ranking_is_by_verdict_then_by_how_little_changes() -> None:
    recording, arrays = networks(("tanh",), depths=(4,))
    runs = recording.runs  # normal:0.01, xavier, he

    def change(run: str) -> float:
        xs, deltas = arrays[run]
        apart = [rms(x - x.mean(axis=0)) for x in (xs[0], xs[3])]
        return float(np.abs(np.log([apart[1] / apart[0], rms(deltas[0]) / rms(deltas[3])])).sum())

    ranked = [cell.runs[0] for cell in compared(recording).ranking]
    assert ranked == sorted(runs, key=change)
    last = compared(recording, finding(ranked[0])).ranking[-1]
    assert last.runs[0] == ranked[0]


def test_the_table_has_a_row_for_each_network() -> None:
    recording = with_failed(networks()[0], "ValueError: no", act="elu", init="he")
    table = compared(recording).table()
    assert table["rank"].tolist() == list(range(1, 8))
    assert table["error"].tolist() == [""] * 6 + ["ValueError: no"]
    assert set(table["act"]) == {"tanh", "relu", "elu"}


def test_a_comparison_is_of_several_networks_and_not_of_draws() -> None:
    draws = networks(("tanh",), ("he",), seeds=range(3))[0]
    assert not is_comparison(draws)
    assert not is_comparison(with_failed(draws, "no", act="tanh", init="he", seed=9))
    assert not is_comparison(attached(3))
    assert is_comparison(networks(("tanh",), ("he", "xavier"))[0])
    assert is_comparison(with_failed(draws, "no", act="elu", init="he"))


def test_the_shown_run_is_the_recordings_own() -> None:
    recording = networks()[0]
    comparison = compared(recording)
    for cell in comparison.cells:
        assert comparison.run(cell).recording == recording.of(cell.shown)
        assert comparison.judged(cell.shown) == diagnosis(recording).of(cell.shown)
