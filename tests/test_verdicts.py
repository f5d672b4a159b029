"""Tests for the calibration benchmark's pieces: the split, the labels, the scores and the baselines."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recordings import Layer, made_up
from sklearn.metrics import precision_score, recall_score

from actdiag.types import RunSpec

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from calibration import grid, labels, page, scores, training, verdicts  # noqa: E402
from calibration.waves import CLASSES, SAMPLES, waves  # noqa: E402

CELLS = grid.cells()


def test_the_split_is_the_one_that_was_drawn() -> None:
    split = grid.draw_split()
    assert len(split["activations"]) >= 3
    assert len(split["variances"]) >= 2
    assert grid.SPLIT.read_text(encoding="utf-8").split() == json.dumps(split, indent=2).split()


def test_no_pair_of_activation_and_variance_is_on_both_sides() -> None:
    sides = [
        {(cell.spec.act, cell.variance) for cell in CELLS if cell.held is held} for held in (True, False)
    ]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert {cell.held for cell in CELLS if cell.spec.data == grid.WAVES} == {True}


def test_every_network_of_the_grid_has_a_label() -> None:
    keys = {labels.key("sgd", cell, seed) for cell in CELLS for seed in grid.SEEDS}
    assert len(keys) == 3 * len(CELLS) == 2760
    assert keys <= set(labels.read())


@pytest.mark.parametrize("number", [0, 301, 702])
def test_a_label_is_of_the_weights_that_are_judged(number: int) -> None:
    cell = CELLS[number]
    line = labels.read()[labels.key("sgd", cell, 1)]
    assert training.digest(training.built(replace(cell.spec, seed=1))) == line["weights"]


def test_training_reaches_what_the_protocol_lets_it() -> None:
    """A short run of two networks, one that learns at once and one that cannot."""
    protocol = training.Protocol("short", rates=(0.1,), steps=100)
    spec = RunSpec(depth=2, width=64, act="relu", init="he", data="digits")
    found = training.train(spec, protocol)
    assert found["best"] > 0.7
    assert found["weights"] == training.digest(training.built(spec))
    assert training.train(replace(spec, init="zeros"), protocol)["best"] < 0.15


def test_every_learning_rate_starts_from_the_same_weights() -> None:
    spec = RunSpec(depth=2, width=64, act="relu", init="he", data="digits")
    behind, alone = (
        training.train(spec, training.Protocol("short", rates=rates, steps=50))["reached"]["0.01"]
        for rates in ((1e-3, 1e-2), (1e-2,))
    )
    assert behind == alone < training.ENOUGH


def test_scores_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    said, fails = (pd.Series(generator.random(500) < share) for share in (0.4, 0.3))
    score = scores.Score.of(said, fails)
    assert score.precision == pytest.approx(precision_score(fails, said))
    assert score.recall == pytest.approx(recall_score(fails, said))
    assert score.false_positive_rate == pytest.approx(recall_score(~fails, said))
    assert score.prevalence == pytest.approx(fails.mean())


def judged(**columns: list[object]) -> pd.DataFrame:
    """Return a made-up table of networks, one cluster per cell."""
    count = len(columns["cell"])
    facts = {
        "act": columns["cell"],
        "variance": "1",
        "depth": 4,
        "family": "plain",
        "held": True,
        "init": "he",
    }
    said = [word == "error" for word in columns["verdict"]]
    return pd.DataFrame(
        {"errors": "", "seed": range(count), **dict.fromkeys(verdicts.BASELINES, said)} | facts | columns
    )


def test_a_cell_goes_by_the_majority_of_its_seeds() -> None:
    table = judged(
        cell=[0, 0, 0, 1, 1, 1],
        verdict=["error", "error", "info", "error", "info", "warning"],
        best=[0.1, 0.2, 0.9, 0.1, 0.4, 0.9],
    )
    cells = scores.by_cell(table, page.METHODS["actdiag"])
    assert cells["said"].tolist() == cells["fails"].tolist() == [True, False]


def test_intervals_draw_clusters_and_not_networks() -> None:
    """One cluster of 50 misses beside 10 of one hit each: the precision is anywhere between 0 and 1."""
    table = judged(cell=list(range(60)), verdict=["error"] * 60, best=[0.9] * 50 + [0.1] * 10)
    table["act"] = [0] * 50 + list(range(1, 11))
    low, high = scores.intervals(scores.by_cell(table, page.METHODS["actdiag"]))["precision"]
    assert low < 0.1
    assert high == 1.0


def test_the_page_lists_a_miss_and_a_change() -> None:
    table = judged(cell=[0, 1], verdict=["error", "info"], best=[0.5, 0.9])
    changes = pd.DataFrame([["adam", "net", "worse", "trains", 0.5, 0.95]])
    text = page.page(table, changes, "header")
    assert "| 0, he, depth 4 | held | plain | no error | 0.50 |" in text
    assert "| adam | net | worse | trains | 0.5 | 0.95 |" in text


def test_the_gradients_ratio_is_judged_either_way() -> None:
    level, falls, grows = (
        made_up([Layer(preactivation_grad=first), Layer()], own=True) for first in (2e-3, 0.9e-3, 1.1e3)
    )
    assert not verdicts.gradient_ratio(level)
    assert verdicts.gradient_ratio(falls)
    assert verdicts.gradient_ratio(grows)


def test_autotrainers_vanishing_needs_a_small_ratio_and_a_small_norm() -> None:
    def net(first: float, last: float) -> bool:
        layers = [Layer(weight_grad=first), Layer(weight_grad=last)]
        return verdicts.autotrainer(made_up(layers, head=Layer(weight_grad=last)))

    assert not net(1.0, 1.0)
    assert not net(1e-3, 1.1)  # the ratio alone: the norm is not below 1e-4
    assert net(1e-7, 1.0)
    assert net(80.0, 1.0)
    assert not net(60.0, 1.0)


def test_waves_are_the_same_everywhere_and_hold_ten_classes() -> None:
    inputs, targets = waves()
    assert inputs.shape == (SAMPLES, 40)
    assert np.bincount(targets).min() > 300
    assert len(np.bincount(targets)) == CLASSES
    assert np.array_equal(inputs, waves()[0])
