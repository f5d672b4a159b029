"""The figures: what is drawn where, and the same bytes twice."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import StepPatch

from actdiag import sketches
from actdiag.drawings import DARK, LIGHT, draw, png
from actdiag.panels import Panel
from actdiag.recipes.measuring import scans
from actdiag.sketches import Chart, Charts, Histograms, Row, Series
from actdiag.types import RunSpec


def panel(layer: int, high: float = 1.0) -> Panel:
    return Panel(layer, 0.0, high, np.array([0.25, 1.0, 0.5]), ("50% zero",))


ROWS = Histograms(
    "figure",
    "Heading",
    "Alt",
    (Row("same", (panel(1), panel(2))), Row("own", (panel(1), panel(2, 0.01)))),
)
SERIES = (
    Series("measured", [1, 2, 3], [1.0, float("nan"), 0.0], group="a"),
    Series("by theory", [1, 2, 3], [1.0, 0.5, 0.25], theory=True, group="a"),
    Series("other", [1, 2, 3], [2.0, 2.0, 2.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]),
)
CHARTS = Charts(
    "figure",
    "Heading",
    "Alt",
    (Chart("left", "x", "y", SERIES), Chart("right", "u", "v", SERIES, log_y=True)),
)


def test_a_row_of_histograms_has_its_label_and_a_shape_for_each_layer() -> None:
    figure = draw(ROWS)
    (sheet,) = figure.axes
    words = [text.get_text() for text in sheet.texts]
    assert "same   all from 0 to 1" in words
    assert "own   each on its own axis" in words
    assert words.count("layer 2  50% zero") == 2
    assert "0.01" in words
    shapes = [part for part in sheet.get_children() if isinstance(part, StepPatch)]
    assert len(shapes) == 4
    heights = np.asarray(shapes[0].get_data().values) - shapes[0].get_data().baseline
    assert heights / heights.max() == pytest.approx([0.25, 1.0, 0.5])


def test_gradients_have_a_colour_of_their_own() -> None:
    gradients = Histograms("figure", "Heading", "Alt", ROWS.rows, gradients=True)
    for sketch, colour in ((ROWS, LIGHT.data[0]), (gradients, LIGHT.data[1])):
        shapes = [part for part in draw(sketch).axes[0].get_children() if isinstance(part, StepPatch)]
        assert {to_hex(shape.get_facecolor()) for shape in shapes} == {colour}


def test_charts_stand_side_by_side() -> None:
    left, right = draw(CHARTS).axes
    assert left.get_position().x1 < right.get_position().x0
    assert (left.get_yscale(), right.get_yscale()) == ("linear", "log")
    assert (right.get_xlabel(), right.get_ylabel()) == ("u", "v")
    legend = left.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["measured", "by theory", "other"]


def test_theory_is_dashed_in_the_colour_of_what_it_predicts() -> None:
    measured, theory, other = draw(CHARTS).axes[0].lines
    assert (measured.get_linestyle(), theory.get_linestyle()) == ("-", "--")
    assert measured.get_color() == theory.get_color() != other.get_color()
    assert (theory.get_marker(), measured.get_marker()) == ("", "o")


def test_what_has_no_place_on_an_axis_is_a_gap() -> None:
    linear, log = (np.asarray(axes.lines[0].get_ydata()) for axes in draw(CHARTS).axes)
    assert np.isnan(linear).tolist() == [False, True, False]
    assert np.isnan(log).tolist() == [False, True, True]


def test_a_dark_page_has_dark_paper_and_the_same_bytes_twice() -> None:
    assert png(ROWS) == png(ROWS)
    assert png(CHARTS, DARK) == png(CHARTS, DARK) != png(CHARTS)
    assert to_hex(draw(CHARTS, DARK).get_facecolor()) == DARK.paper
    assert b"Software" not in png(CHARTS)


def test_rows_are_made_of_recordings() -> None:
    (recording,) = scans(RunSpec(depth=3, width=16, batch=32), 1)
    row, back = sketches.activations("tanh", recording), sketches.gradients("tanh", recording)
    assert [part.layer for part in row.panels] == [part.layer for part in back.panels] == [1, 2, 3]
    assert {(part.low, part.high) for part in row.panels} == {(-1.0, 1.0)}
    assert back.panels[0].high != 1.0
