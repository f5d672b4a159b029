"""The figures of a comparison: every number and bar is what numpy says, and odd grids are drawn honestly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fake_recording import Floats, diagnosis, fake, finding
from grids import compared, failing, grid, net
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from actdiag import plots
from actdiag.comparisons import ORDER, Comparison
from actdiag.plots.lines import FEW
from actdiag.plots.style import LOOKS
from actdiag.recording import concatenate
from actdiag.reporters import REPORTERS
from actdiag.types import Severity
from actdiag.verdicts import FAILED, SIGNS


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for part in (figure, *figure.axes) for text in part.texts]


def after(words: list[str], first: str) -> list[str]:
    """Return the words from one on."""
    return words[words.index(first) :]


def outlines(figure: Figure) -> list[Floats]:
    """Return the corners of every histogram, in the order drawn."""
    parts = [part for part in figure.axes[0].collections if isinstance(part, PolyCollection)]
    return [np.asarray(path.vertices) for part in parts for path in part.get_paths()]


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes[0].child_axes}


def measured(axes: Axes) -> list[Floats]:
    return [np.asarray(line.get_ydata()) for line in axes.lines if not str(line.get_label()).startswith("_")]


def test_a_cell_says_the_geometric_mean_of_the_steps_from_layer_to_layer() -> None:
    recording, verdicts, nets = grid()
    (picture,) = plots.matrix(Comparison(recording, verdicts))
    words = texts(picture.figure())
    for known in nets.values():
        up = (known.rms[-1] / known.rms[0]) ** (1 / 3)
        down = (known.norms[0] / known.norms[3]) ** (1 / 3)
        for letter, gain in (("a", up), ("g", down)):
            assert any(
                word.startswith(f"{letter}  ") and float(word[3:]) == pytest.approx(gain, rel=6e-3)
                for word in words
            )
    assert [word for word in words if word in ("tanh", "relu", "xavier", "normal:0.01")] == [
        *("xavier", "normal:0.01"),
        *("tanh", "relu"),
    ]


def test_theory_stands_in_brackets_beside_what_was_measured() -> None:
    recording, verdicts, _ = grid()
    predicted = recording.rows.assign(source="theory", rms=0.5 ** recording.rows["layer"])
    both = replace(recording, rows=pd.concat([recording.rows, predicted], ignore_index=True))
    words = texts(plots.matrix(Comparison(both, verdicts))[0].figure())
    assert sum(word.endswith("(0.500)") for word in words if word.startswith("a ")) == 4
    assert sum(word.endswith("(2.00)") for word in words if word.startswith("g ")) == 4


def test_a_verdict_has_a_colour_and_a_mark_and_both_are_explained() -> None:
    figure = plots.matrix(compared())[0].figure()
    boxes = [part for part in figure.axes[0].patches if isinstance(part, Rectangle)]
    fills = [to_hex(box.get_facecolor()) for box in boxes]
    good, bad = LOOKS["healthy"], LOOKS["does not train"]
    assert fills == [good.fill, bad.fill, good.fill, bad.fill, good.fill, bad.fill]
    signs = SIGNS["healthy"], SIGNS["does not train"]
    assert [word for word in texts(figure) if word in signs] == [*signs] * 3
    assert {"healthy: 2", "does not train: 2"} <= set(texts(figure))


def test_every_verdict_has_a_look_of_its_own_also_without_colours() -> None:
    assert set(LOOKS) == set(ORDER)
    assert len({SIGNS[verdict] for verdict in LOOKS}) == len(LOOKS) == len(SIGNS)

    def light(fill: str) -> float:
        return sum(
            share * int(fill[place : place + 2], 16) / 255
            for share, place in ((0.21, 1), (0.72, 3), (0.07, 5))
        )

    levels = sorted(light(look.fill) for look in LOOKS.values())
    assert levels[0] < 0.8 < levels[1]


def test_what_could_not_be_run_is_shown_as_such() -> None:
    recording, verdicts, _ = grid()
    broken = failing(recording, "relu", "he", "ValueError: $x$ <boom>")
    comparison = Comparison(broken, replace(verdicts, runs=broken.runs))
    words = texts(plots.matrix(comparison)[0].figure())
    assert {"ValueError", f"{FAILED}: 1"} <= set(words)
    rows = after(texts(plots.classic(comparison)[0].figure()), "relu")
    assert "ValueError: $x$ <boom>" in rows
    (picture,) = plots.depths(comparison)
    assert len(measured(panels(picture.figure())["relu: rms"])) == 2


def test_a_row_of_failures_alone_says_so() -> None:
    recording, verdicts, _ = grid(acts=("tanh",))
    broken = failing(recording, "selu", "he", "OSError: no disk")
    figure = plots.depths(Comparison(broken, replace(verdicts, runs=broken.runs)))[0].figure()
    (note,) = panels(figure)["selu: rms"].texts
    assert note.get_text() == "no network of this row could be run"


def test_each_sheet_has_its_matrix_below_the_other() -> None:
    words = texts(plots.matrix(compared(acts=("tanh",), depths=(3, 6)))[0].figure())
    assert words.index("depth 3") < words.index("depth 6")
    assert words.count("xavier") == 2


def test_histograms_of_the_classic_figure_are_those_of_the_samples() -> None:
    recording, verdicts, nets = grid(acts=("tanh",))
    figure = plots.classic(Comparison(recording, verdicts))[0].figure()
    drawn = outlines(figure)
    assert len(drawn) == 2 * 2 * 4
    expected = [x for init in ("xavier", "normal:0.01") for x in nets["tanh", init, 4].activations]
    for corners, values in zip(drawn, expected, strict=False):
        counts = np.histogram(values, 64, (-1.0, 1.0))[0]
        heights = corners[2:-2:2, 1] - corners[0, 1]
        np.testing.assert_allclose(heights / heights.max(), counts / counts.max(), atol=1e-9)


def test_a_row_of_histograms_is_a_network_and_both_halves_show_the_same_layers() -> None:
    recording, verdicts, _ = grid(acts=("relu",))
    figure = plots.classic(Comparison(recording, verdicts))[0].figure()
    drawn = np.array([corners[0] for corners in outlines(figure)]).reshape(2, 2, 4, 2)
    assert np.ptp(drawn[:, :, :, 1], axis=(0, 2)) == pytest.approx([0.0, 0.0])
    assert (drawn[:, 0, :, 1] > drawn[:, 1, :, 1]).all()
    assert np.ptp(drawn[1, :, :, 0] - drawn[0, :, :, 0]) == pytest.approx(0.0, abs=1e-9)


def test_of_a_deep_network_ten_layers_are_drawn_the_ends_among_them() -> None:
    figure = plots.classic(compared(acts=("tanh",), depths=(50,)))[0].figure()
    assert len(outlines(figure)) == 2 * 2 * 10
    numbers = [int(word) for word in texts(figure) if word.isdigit()]
    assert numbers == [1, 6, 12, 17, 23, 28, 34, 39, 45, 50] * 2


def test_a_half_of_the_classic_figure_may_be_asked_for() -> None:
    (picture,) = plots.classic(compared(acts=("tanh",)), tensors=("gradient",))
    assert len(outlines(picture.figure())) == 2 * 4
    assert picture.heading == "Gradients, layer by layer"


def test_profiles_are_what_was_measured_a_line_for_each_initialiser() -> None:
    recording, verdicts, nets = grid()
    found = panels(plots.depths(Comparison(recording, verdicts))[0].figure())
    assert list(found) == [
        f"{act}: {name}" for act in ("tanh", "relu") for name in ("rms", "std_across", "gradient norm")
    ]
    for act in ("tanh", "relu"):
        for line, init in enumerate(("xavier", "normal:0.01")):
            known = nets[act, init, 4]
            across = [np.sqrt(x.var(axis=0).mean()) for x in known.activations]
            for name, values in (("rms", known.rms), ("std_across", across), ("gradient norm", known.norms)):
                np.testing.assert_allclose(measured(found[f"{act}: {name}"])[line], values, rtol=1e-12)
                assert found[f"{act}: {name}"].get_yscale() == "log"


def with_theory(inits: tuple[str, ...]) -> Figure:
    parts = [net("tanh", init)[0] for init in inits]
    for place, part in enumerate(parts):
        predicted = part.rows.assign(source="theory", rms=0.5, expected_low=0.25, expected_high=1.0)
        both = concatenate([part, replace(part, rows=predicted, histograms={}, linear={})])
        parts[place] = replace(both, modules=part.modules)
    recording = concatenate(parts)
    return plots.depths(Comparison(recording, diagnosis(recording)))[0].figure()


def test_theory_is_dashed_and_bands_are_shaded_while_they_do_not_cover_each_other() -> None:
    few = panels(with_theory(("xavier", "he")))["tanh: rms"]
    dashed = [line for line in few.lines if line.get_linestyle() == "--"]
    assert [np.unique(line.get_ydata()).tolist() for line in dashed] == [[0.5], [0.5]]
    assert len({line.get_color() for line in dashed}) == 2
    bands = [np.asarray(part.get_paths()[0].vertices)[:, 1] for part in few.collections]
    assert [(band.min(), band.max()) for band in bands] == [(0.25, 1.0)] * 2
    many = tuple(f"normal:0.{number}" for number in range(1, FEW + 2))
    crowd = panels(with_theory(many))["tanh: rms"]
    assert not crowd.collections
    assert sum(line.get_linestyle() == "--" for line in crowd.lines) == FEW + 1


def test_initialisers_differ_in_marker_and_colour_and_are_named_once() -> None:
    inits = tuple(f"normal:0.{number}" for number in range(10, 30))
    figure = plots.depths(compared(acts=("tanh",), inits=inits))[0].figure()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert words == [*inits, "theory", "exactly 0 (foot), not finite (head)"]
    looks = {(line.get_color(), line.get_marker()) for line in legend.get_lines()[: len(inits)]}
    assert len(looks) == len(inits)


def test_zeros_and_what_is_not_finite_are_marked_at_the_edges() -> None:
    steady, zero = np.full((8, 4), 0.5), np.zeros((8, 4))
    broken = np.full((8, 4), np.nan)
    parts = [
        fake([steady, zero, broken], [steady] * 4, act="relu", bounds=None, init=init)
        for init in ("he", "xavier")
    ]
    recording = concatenate(parts)
    figure = plots.depths(Comparison(recording, diagnosis(recording)))[0].figure()
    axes = panels(figure)["relu: rms"]
    low, high = axes.get_ylim()
    edges = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_markerfacecolor() == "white"
    ]
    assert edges == [(2, pytest.approx(low)), (3, pytest.approx(high))] * 2
    REPORTERS["png"](recording, diagnosis(recording))


def test_networks_without_hidden_layers_have_an_empty_row() -> None:
    only = np.random.default_rng(6).standard_normal((8, 4))
    recording = concatenate([fake([], [only], init=init) for init in ("he", "xavier")])
    comparison = Comparison(recording, diagnosis(recording))
    assert texts(plots.classic(comparison)[0].figure()).count("no hidden layer") == 2
    words = texts(plots.matrix(comparison)[0].figure())
    assert (words.count("a  unknown"), words.count("g  unknown")) == (2, 2)
    assert len(REPORTERS["png"](recording, diagnosis(recording))) == 3


def test_what_does_not_fit_goes_on_on_another_page() -> None:
    recording, verdicts, _ = grid(acts=("tanh",), depths=(1, 2, 3, 4, 5, 6, 7))
    files = REPORTERS["png"](recording, verdicts)
    assert list(files) == ["matrix.png", "distributions.png", "profile.png", "profile-2.png"]
    comparison = Comparison(recording, verdicts)
    assert [len(panels(picture.figure())) for picture in plots.depths(comparison)] == [18, 3]
    assert [len(page) for page in (plots.matrix(comparison, 4), plots.classic(comparison, most=6))] == [4, 4]


def test_pictures_are_the_same_every_time_and_leave_no_figure_open() -> None:
    recording, verdicts, _ = grid()
    first, second = (REPORTERS["png"](recording, verdicts) for _ in range(2))
    assert first == second
    assert list(first) == ["matrix.png", "distributions.png", "profile.png"]
    assert not any(chunk in data for data in first.values() for chunk in (b"Software", b"tIME", b"Date"))
    assert pyplot.get_fignums() == []


def test_draws_of_one_network_are_no_comparison_and_one_cell_of_another() -> None:
    draws = [net("tanh", "xavier", seed=seed) for seed in (0, 1, 2)]
    recording = concatenate([part for part, _ in draws])
    assert list(REPORTERS["png"](recording, diagnosis(recording))) == ["distributions.png", "profile.png"]
    more = concatenate([recording, net("tanh", "he")[0]])
    bad = [finding(known.run, Severity.WARNING) for _, known in draws[1:]]
    figure = plots.matrix(Comparison(more, diagnosis(more, *bad)))[0].figure()
    words = texts(figure)
    gain = np.median([(known.rms[-1] / known.rms[0]) ** (1 / 3) for _, known in draws])
    first = next(float(word[3:]) for word in words if word.startswith("a  "))
    assert first == pytest.approx(float(gain), rel=6e-3)
    assert {"trains worse than it could: 1", "healthy: 1"} <= set(words)
    assert "gain per layer, measured, median of 3 draws (expected by theory)" in words
