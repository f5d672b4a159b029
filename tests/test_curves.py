"""The figure of training curves: what is drawn is what the table says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from actdiag.curves import as_png, smooth, training_curves


def table(accuracy: float = 0.5) -> pd.DataFrame:
    rows = [
        (when, seed, 0.1, step, base + seed + 0.01 * step, accuracy)
        for when, base in (("before", 5.0), ("after", 1.0))
        for seed in (1, 2, 4)
        for step in range(1, 31)
    ]
    return pd.DataFrame(rows, columns=["when", "seed", "rate", "step", "loss", "accuracy"])


def test_median_and_range_over_seeds_are_drawn() -> None:
    figure = training_curves(table(), "a title")
    loss, accuracy = figure.axes
    assert [line.get_label() for line in loss.lines] == ["before, 3 draws", "after, 3 draws"]
    for line, base in zip(loss.lines, (5.0, 1.0), strict=True):
        steps, values = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        assert steps.tolist() == list(range(1, 31))
        means = [np.mean([0.01 * k for k in range(max(1, step - 9), step + 1)]) for step in range(1, 31)]
        np.testing.assert_allclose(values, base + 2 + np.array(means))  # the seed in the middle is 2
    for band, base in zip(loss.collections, (5.0, 1.0), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]  # type: ignore[index, call-overload]
        assert heights.min() == pytest.approx(base + 1.01)
        assert heights.max() == pytest.approx(base + 4 + np.mean(np.arange(21, 31)) / 100)
    assert accuracy.get_ylim() == (0.0, 1.02)


def test_without_classes_there_is_no_panel_of_accuracy() -> None:
    assert len(training_curves(table(math.nan), "a title").axes) == 1


def test_a_run_that_broke_off_is_drawn_as_far_as_it_went() -> None:
    short = table()
    short = short[(short["seed"] != 1) | (short["step"] <= 5)]
    assert len(smooth(short, "loss")) == len(short)
    assert as_png(training_curves(short, "a title")) == as_png(training_curves(short, "a title"))
