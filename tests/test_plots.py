"""The figures: what is drawn is what was recorded, and odd recordings are drawn honestly."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from fake_recording import Floats, called, diagnosis, fake, first_run, simulate
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from actdiag import plots
from actdiag.panels import BINS, TAIL, activation_panels, gradient_panels, shared_axis
from actdiag.profiles import BAND, Profile, layer_table
from actdiag.recording import Recording
from actdiag.reporters import REPORTERS
from actdiag.svg import Line, LogAxis, line_chart


def panels(figure: Figure) -> list[Axes]:
    """Return the axes within the figure's own."""
    return list(figure.axes[0].child_axes)


def words(figure: Figure) -> list[str]:
    parts = (figure, *figure.axes, *panels(figure))
    return [text.get_text() for part in parts for text in part.texts]


def lines(figure: Figure, panel: int) -> dict[str, Floats]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in panels(figure)[panel].lines}


def bars(figure: Figure) -> list[Any]:
    """Return the values, edges and baseline of each histogram, in the order drawn."""
    return [part.get_data() for axes in figure.axes for part in axes.patches if isinstance(part, StepPatch)]


def with_rows(recording: Recording, **columns: Any) -> Recording:
    rows = recording.rows.assign(source="theory", **columns)
    both = pd.concat([recording.rows, rows], ignore_index=True)
    return Recording(both, recording.modules, recording.histograms, recording.linear, {}, recording.meta)


@pytest.mark.parametrize(("depth", "rows"), [(3, 1), (12, 2), (50, 5)])
def test_distributions_have_a_histogram_per_layer_and_ten_in_a_row(depth: int, rows: int) -> None:
    recording, _, _ = simulate(depth)
    figure = plots.distributions(first_run(recording)).figure()
    drawn = bars(figure)
    assert len(drawn) == 2 * depth
    assert len({round(float(histogram.baseline), 4) for histogram in drawn}) == 2 * rows
    assert len({round(float(histogram.edges[0]), 4) for histogram in drawn}) == min(depth, 10)
    assert [word for word in words(figure) if word.startswith("layer ")] == [
        f"layer {layer}" for _ in range(2) for layer in range(1, depth + 1)
    ]


def test_bounded_activation_is_drawn_over_its_whole_range_in_true_proportion() -> None:
    recording, activations, _ = simulate(2, sigma=1.5)
    for panel, values in zip(activation_panels(first_run(recording)), activations, strict=True):
        counts = np.histogram(values, 64, (-1.0, 1.0))[0]
        assert (panel.low, panel.high) == (-1.0, 1.0)
        np.testing.assert_allclose(panel.heights, counts / counts.max(), rtol=1e-12)


def test_bars_are_as_tall_as_the_counts_and_stand_on_a_line_as_long_as_the_axis() -> None:
    recording, activations, _ = simulate(3, sigma=1.5)
    figure = plots.distributions(first_run(recording)).figure()
    feet = [segment for part in figure.axes[0].collections for segment in part.get_segments()]
    for histogram, foot, values in zip(bars(figure), feet, activations, strict=False):
        counts = np.histogram(values, 64, (-1.0, 1.0))[0]
        tall = histogram.values - histogram.baseline
        np.testing.assert_allclose(tall / tall.max(), counts / counts.max(), rtol=1e-9)
        ends = [(histogram.edges[0], histogram.baseline), (histogram.edges[-1], histogram.baseline)]
        np.testing.assert_allclose(foot, ends)
    assert len(feet) == 6


def test_gradient_histogram_is_close_to_that_of_the_samples_themselves() -> None:
    values = np.random.default_rng(1).normal(0.0, 3e-7, (4000, 16))
    recording = fake([values], [values, values], bounds=None)
    (panel,) = gradient_panels(first_run(recording))
    counts = np.histogram(values, len(panel.heights), (panel.low, panel.high))[0]
    assert panel.low == -panel.high
    assert panel.high == pytest.approx(np.quantile(np.abs(values), 1 - 2 * TAIL), rel=0.08)
    assert np.abs(panel.heights / panel.heights.sum() - counts / counts.sum()).sum() < 0.06


@pytest.mark.parametrize(("ratio", "shared"), [(5.0, True), (1000.0, False)])
def test_layers_share_an_axis_only_while_all_stay_legible(ratio: float, shared: bool) -> None:
    values = np.random.default_rng(2).standard_normal((500, 8))
    recording = fake([values, values], [values, values / ratio, values], bounds=None)
    panels = gradient_panels(first_run(recording))
    assert shared_axis(panels) is shared
    assert len(panels) == 2


def test_a_bar_of_zeros_does_not_flatten_the_rest_and_is_told() -> None:
    values = np.maximum(np.random.default_rng(3).standard_normal((1000, 16)), 0.0)
    recording = fake([values], [values, values], act="relu", bounds=None)
    (panel,) = activation_panels(first_run(recording))
    assert panel.low == 0.0
    assert panel.heights[0] == 1.0
    assert panel.heights[1] == pytest.approx(0.8, abs=0.05)
    assert panel.notes == (f"{(values == 0).mean():.0%} zero",)


def test_negative_zeros_are_in_the_picture() -> None:
    values = np.where(np.arange(400).reshape(100, 4) % 2, np.linspace(0.0, 1.0, 400).reshape(100, 4), -0.0)
    recording = fake([values], [values, values], act="relu", bounds=None)
    (panel,) = activation_panels(first_run(recording))
    assert panel.low == 0.0
    assert panel.heights[0] == 1.0
    assert panel.heights[1:].max() == pytest.approx(0.8)


def test_profile_draws_rms_and_the_norm_of_a_sample() -> None:
    recording, activations, gradients = simulate(6, sigma=1.3)
    figure = plots.profile(first_run(recording)).figure()
    rms = [np.sqrt((x**2).mean()) for x in activations]
    across = [np.sqrt(x.var(axis=0).mean()) for x in activations]
    norms = [np.sqrt((g**2).sum(axis=1).mean()) for g in gradients]
    np.testing.assert_allclose(lines(figure, 0)["rms"], rms, rtol=1e-12)
    np.testing.assert_allclose(lines(figure, 0)["std_across"], across, rtol=1e-12)
    np.testing.assert_allclose(lines(figure, 1)["gradient norm"], norms, rtol=1e-12)
    assert [axes.get_yscale() for axes in panels(figure)] == ["log", "log"]


def test_theory_is_dashed_and_measured_is_not() -> None:
    recording, _, _ = simulate(4)
    figure = plots.profile(first_run(with_rows(recording, rms=0.5))).figure()
    styles = {str(line.get_label()): line.get_linestyle() for line in panels(figure)[0].lines}
    assert (styles["rms"], styles["rms, theory"]) == ("-", "--")
    np.testing.assert_array_equal(lines(figure, 0)["rms, theory"], np.full(4, 0.5))
    assert lines(plots.profile(first_run(recording)).figure(), 0).keys() == {"rms", "std_across"}


def test_a_band_is_shaded_around_theory_and_nowhere_else() -> None:
    recording, _, _ = simulate(4)
    banded = with_rows(recording, rms=0.5, expected_low=0.25, expected_high=1.0)
    forward, backward = panels(plots.profile(first_run(banded)).figure())
    for axes, theory in ((forward, "rms, theory"), (backward, "gradient norm, theory, set equal at layer 5")):
        (band,) = axes.collections
        corners = band.get_paths()[0].vertices
        (middle,) = (line.get_ydata() for line in axes.lines if line.get_label() == theory)
        assert corners[:, 1].max() == pytest.approx(2.0 * np.max(middle))
        assert str(band.get_label()) == BAND
    assert not panels(plots.profile(first_run(with_rows(recording, rms=0.5))).figure())[0].collections
    assert not panels(plots.profile(first_run(recording)).figure())[0].collections


def test_theorys_gradient_meets_the_measured_one_at_its_last_layer() -> None:
    recording, _, gradients = simulate(4)
    figure = plots.profile(first_run(with_rows(recording, rms=7.0))).figure()
    drawn = lines(figure, 1)["gradient norm, theory, set equal at layer 5"]
    level = np.sqrt((gradients[-1] ** 2).sum(1).mean())
    np.testing.assert_allclose(drawn, np.full(5, level), rtol=1e-12)


@pytest.mark.parametrize(
    ("scale", "named"),
    [
        (1.0, set()),
        (1e-6, {"smallest normal float16", "smallest subnormal float16"}),
        (1e5, {"largest float16"}),
    ],
)
def test_limits_of_number_formats_are_named_where_they_are_in_view(scale: float, named: set[str]) -> None:
    values = np.random.default_rng(4).standard_normal((64, 16))
    layers = [values, values * np.sqrt(scale), values * scale]
    recording = fake(layers, [values] * 4, act="relu", bounds=None)
    figure = plots.profile(first_run(recording)).figure()
    found = {text.get_text() for text in panels(figure)[0].texts}
    assert found - {"smallest subnormal float16"} == named - {"smallest subnormal float16"}
    if scale == 1e-6:
        level = next(line.get_ydata()[0] for line in panels(figure)[0].lines if line.get_linestyle() == ":")
        assert level == pytest.approx(6.1e-5, rel=0.01)


CASES = {
    "zero": (np.zeros((8, 4)), "all zero"),
    "constant": (np.full((8, 4), 0.25), "all equal"),
    "nan": (np.full((8, 4), np.nan), "no finite values"),
    "infinite": (np.full((8, 4), np.inf), "no finite values"),
    "half nan": (np.where(np.arange(32).reshape(8, 4) % 2, np.nan, 0.5), "50% not finite"),
}


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), None])
@pytest.mark.parametrize("name", CASES)
def test_odd_recordings_are_drawn_and_say_what_they_are(name: str, bounds: Any) -> None:
    values, note = CASES[name]
    finite = np.where(np.isfinite(values), values, 5.0)
    recording = fake([finite], [finite, finite], bounds=bounds)
    rows = fake([values], [values, values], bounds=None)
    recording = Recording(rows.rows, rows.modules, rows.histograms, recording.linear, {}, rows.meta)
    if bounds is not None and name in ("nan", "infinite", "half nan"):
        inside = values[np.isfinite(values)]
        only = {index: np.histogram(inside, 128, bounds)[0] for index in recording.linear}
        recording = Recording(rows.rows, rows.modules, rows.histograms, only, {}, rows.meta)
    figure = plots.distributions(first_run(recording)).figure()
    assert sum(note in word for word in words(figure)) == 2
    files = REPORTERS["png"](recording, diagnosis(recording))
    assert all(data.startswith(b"\x89PNG") for data in files.values())
    assert note.encode() in REPORTERS["html"](recording, diagnosis(recording))["report.html"]


NORMAL = np.random.default_rng(8).standard_normal((64, 16))
OUTSIDE = {
    "tiny": (1e-85 * NORMAL, ("within ±1.5e-39",)),
    "tiny or zero": (1e-85 * np.where(np.arange(16) % 4, NORMAL, 0.0), ("25% zero", "within ±1.5e-39")),
    "huge": (1e60 * NORMAL, ("beyond ±3.4e38",)),
    "huge or nan": (
        np.where(np.arange(16) % 4, 1e60 * NORMAL, np.nan),
        ("25% not finite", "beyond ±3.4e38"),
    ),
    "either": (
        np.where(np.arange(16) % 4, 1e60 * NORMAL, 1e-85),
        ("25% within ±1.5e-39", "75% beyond ±3.4e38"),
    ),
}


@pytest.mark.parametrize("one_axis", [False, True])
@pytest.mark.parametrize("name", OUTSIDE)
def test_values_outside_the_bins_are_told_and_not_drawn(name: str, one_axis: bool) -> None:
    values, notes = OUTSIDE[name]
    recording = fake([values] * 2, [values] * 3, act="relu", bounds=None)
    recording.rows[["p01", "p50", "p99"]] = np.nan
    for panel in (*activation_panels(first_run(recording), one_axis), *gradient_panels(first_run(recording))):
        assert panel.heights.size == 0
        assert panel.notes == notes
    drawn = words(plots.distributions(first_run(recording)).figure())
    assert not {"-1", "1"} & set(drawn)
    assert drawn.count("  ".join(notes)) == 4
    page = REPORTERS["html"](recording, diagnosis(recording))["report.html"].decode()
    assert page.count(", ".join(notes)) == 4
    assert len(REPORTERS["png"](recording, diagnosis(recording))) == 2


def test_some_values_beyond_the_bins_are_told_beside_the_others() -> None:
    values = np.where(np.arange(16) % 4, NORMAL, 1e60)
    (panel,) = gradient_panels(first_run(fake([values], [values] * 2, act="relu", bounds=None)))
    assert panel.notes == ("25% beyond ±3.4e38",)
    counts = np.histogram(NORMAL[:, np.arange(16) % 4 > 0], BINS, (panel.low, panel.high))[0]
    assert np.abs(panel.heights / panel.heights.sum() - counts / counts.sum()).sum() < 0.1


def test_tiny_values_beside_larger_ones_are_a_spike_on_their_axis() -> None:
    recording = fake([NORMAL] * 2, [NORMAL, 1e-85 * NORMAL, NORMAL], act="relu", bounds=None)
    first, second = gradient_panels(first_run(recording))
    assert (second.low, second.high) == (first.low, first.high)
    assert second.notes == ()
    assert set(np.flatnonzero(second.heights)) <= {BINS // 2 - 1, BINS // 2}


def test_a_histogram_that_its_row_gainsays_says_nothing_of_values_outside() -> None:
    values = np.full((4, 4), np.nan)
    recording = fake([values], [values] * 2, act="relu", bounds=None)
    recording.rows[["count", "nan_count"]] = 3
    assert [panel.notes for panel in gradient_panels(first_run(recording))] == [("no finite values",)]


def test_notes_are_no_wider_than_their_histogram() -> None:
    values = np.where(np.arange(16) % 4, NORMAL, np.where(np.arange(64)[:, None] % 2, np.inf, 0.0))
    figure = plots.distributions(first_run(fake([values] * 10, [values] * 11, "relu", None))).figure()
    (sheet,) = figure.axes
    figure.canvas.draw()
    named = [text for text in sheet.texts if text.get_text().startswith("layer ")]
    assert "not finite" in named[0].get_text()
    boxes = [text.get_window_extent() for text in named]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes) if b.x0 > a.x0)


def test_values_that_have_no_place_on_a_log_axis_leave_a_gap_and_a_mark() -> None:
    values = np.random.default_rng(5).standard_normal((8, 4))
    layers = [values, np.zeros((8, 4)), np.full((8, 4), np.nan), values]
    recording = fake(layers, [values] * 5, bounds=None)
    drawn = lines(plots.profile(first_run(recording)).figure(), 0)
    assert np.isnan(drawn["rms"]).tolist() == [False, True, True, False]
    assert len(drawn["rms: exactly 0"]) == len(drawn["rms: not finite"]) == 1


def test_a_perceptron_has_no_hidden_layer_to_draw() -> None:
    recording = fake([], [np.random.default_rng(6).standard_normal((8, 4))])
    assert any(
        "no hidden layer" in word for word in words(plots.distributions(first_run(recording)).figure())
    )
    assert len(REPORTERS["png"](recording, diagnosis(recording))) == 2


def test_a_histogram_that_was_not_kept_is_said() -> None:
    recording, _, _ = simulate(2, act="relu")
    bare = Recording(recording.rows, recording.modules, {}, {}, {}, recording.meta)
    assert sum("not recorded" in word for word in words(plots.distributions(first_run(bare)).figure())) == 4


def test_names_are_never_read_as_tex() -> None:
    renamed = called("$\\frac{$ \u4e2d <b>", simulate(2)[0])
    assert words(plots.profile(first_run(renamed)).figure())[0] == "$\\frac{$ ? <b>"
    assert len(REPORTERS["png"](renamed, diagnosis(renamed))) == 2


def test_png_is_the_same_every_time_and_leaves_no_figure_open() -> None:
    recording, _, _ = simulate(3)
    first, second = (REPORTERS["png"](recording, diagnosis(recording)) for _ in range(2))
    assert first == second
    assert list(first) == ["distributions.png", "profile.png"]
    assert not any(chunk in data for data in first.values() for chunk in (b"Software", b"tIME", b"Date"))
    assert pyplot.get_fignums() == []


def test_layer_table_says_what_numpy_says() -> None:
    recording, activations, gradients = simulate(3)
    table = layer_table(first_run(recording))
    assert table["layer"].tolist() == [1, 2, 3, 4]
    assert table["module"].tolist() == ["layer1.linear", "layer2.linear", "layer3.linear", "head"]
    expected = [*(np.sqrt((x**2).mean()) for x in activations), np.nan]
    np.testing.assert_allclose(table["rms"].astype(float), expected, rtol=1e-12)
    np.testing.assert_allclose(
        table["gradient_norm"], [np.sqrt((g**2).sum(1).mean()) for g in gradients], rtol=1e-12
    )
    assert table["grad_to_weight"].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04])


def test_layer_table_takes_the_first_weight_of_several_and_no_layer_0() -> None:
    """An LSTM's weights are named `rnn:weight_ih_l0`; a product that was never called has no layer."""
    recording, _, _ = simulate(2)
    weights = recording.rows["tensor"] == "weight_grad"
    first = weights & (recording.rows["layer"] == 1)
    rows = recording.rows.copy()
    rows.loc[first, "module"] = "layer1.linear:weight_ih_l0"
    second = rows[first].assign(module="layer1.linear:weight_hh_l0", grad_to_weight=99.0)
    idle = rows[first].assign(module="idle", layer=0)
    given = rows[first].assign(module="", layer=0, tensor="input")
    modules = recording.modules.copy()
    idle_module = modules.head(1).assign(name="idle", layer=0)
    changed = Recording(
        pd.concat([rows, second, idle, given], ignore_index=True),
        pd.concat([modules, idle_module], ignore_index=True),
        meta=recording.meta,
    )
    table = layer_table(first_run(changed))
    assert table["layer"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(table["grad_to_weight"], [np.nan, 0.01, 0.02, 0.03])


def test_the_last_backward_pass_is_drawn() -> None:
    recording, _, gradients = simulate(2)
    chosen = recording.rows["tensor"] == "preactivation_grad"
    rows = recording.rows.copy()
    rows.loc[chosen, "backward"] = 1
    again = rows[chosen].assign(backward=2, rms=rows.loc[chosen, "rms"] * 5.0)
    both = pd.concat([rows, again], ignore_index=True)
    figure = plots.profile(first_run(Recording(both, recording.modules, meta=recording.meta))).figure()
    norms = [5.0 * np.sqrt((g**2).sum(axis=1).mean()) for g in gradients]
    np.testing.assert_allclose(lines(figure, 1)["gradient norm"], norms, rtol=1e-12)


def test_a_limit_of_elements_says_that_it_is_drawn_for_a_norm() -> None:
    assert Profile(()).limits(1e-5, 1e-4) == [("smallest normal float16", 2.0**-14)]
    (limit,) = Profile((), scale=16.0).limits(5e-4, 5e-3)
    assert limit == ("smallest normal float16 \N{MULTIPLICATION SIGN} \N{SQUARE ROOT}n", 2.0**-10)


def test_chart_is_xml_with_gaps_marks_and_limits() -> None:
    line = Line([1, 2, 3, 4, 5], [1.0, 0.0, 1e-4, np.inf, 1e-6], "rms")
    text = line_chart("f", "a < b", "c & d", [line], [("limit", 1e-5), ("outside", 1e9)])
    root = ElementTree.fromstring(text)
    paths = {part.get("class"): part.get("d", "") for part in root.iter("path")}
    assert paths["line rms"].count("M") == 3
    assert paths["line rms"].count("L") == 0
    assert [part.get("class") for part in root.iter("path")].count("mark rms") == 2
    named = [part.text for part in root.iter("text")]
    assert "limit" in named
    assert "outside" not in named
    assert [part.text for part in root if part.tag in ("title", "desc")] == ["a < b", "c & d"]


@pytest.mark.parametrize("values", [[1.7e308], [5e-324], [5e-324, 1.7e308], [1e308, 1e307]])
def test_the_ends_of_an_axis_are_numbers(values: list[float]) -> None:
    axis = LogAxis.around(values)
    low, high = 10.0**axis.low, 10.0**axis.high
    assert 0 < low < high < math.inf
    assert all(-0.1 < axis.share(value) < 1.6 for value in values if value > 1e-300)


def test_log_axis_places_powers_evenly() -> None:
    axis = LogAxis.around([3e-5, 20.0])
    assert (axis.low, axis.high) == (-5, 2)
    assert axis.share(1e-5) == 0.0
    assert axis.share(100.0) == 1.0
    assert axis.share(10.0**-1.5) == pytest.approx(0.5)


def test_reporters_load_no_drawing_library_until_they_are_called() -> None:
    code = (
        "import sys, {}; print([m for m in ('matplotlib', 'seaborn', 'jinja2', 'torch') if m in sys.modules])"
    )

    def loaded(module: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert loaded("actdiag.reporters") == "[]"
    assert loaded("actdiag.plots") == "['matplotlib', 'seaborn']"
