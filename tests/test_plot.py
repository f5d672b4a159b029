"""`actdiag.plot`: axes for notebooks, drawn on anybody's, without a trace on matplotlib's settings."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from fake_recording import attached, called, diagnosis, simulate
from grids import failing, grid
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import StepPatch

import actdiag
from actdiag.errors import UsageError
from actdiag.recording import concatenate


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with matplotlib.rc_context():
        yield
    pyplot.close("all")


def titles(axes: Axes) -> list[str]:
    return [child.get_title(loc="left") for child in axes.child_axes]


def bars(axes: Axes) -> int:
    return sum(isinstance(part, StepPatch) for part in axes.patches)


def test_a_run_is_drawn_from_both_sides_or_one() -> None:
    recording, activations, gradients = simulate(4)
    both = actdiag.plot.profile(recording)
    assert titles(both) == ["activation", "norm of a sample's gradient"]
    own = pyplot.subplots()[1]
    one = actdiag.plot.profile(recording, own, tensor="gradient")
    assert one is own
    norms = [np.sqrt((g**2).sum(axis=1).mean()) for g in gradients]
    np.testing.assert_allclose(one.lines[0].get_ydata(), norms, rtol=1e-12)
    rms = [np.sqrt((x**2).mean()) for x in activations]
    alone = actdiag.plot.profile(recording, tensor="activation")
    np.testing.assert_allclose(alone.lines[0].get_ydata(), rms, rtol=1e-12)


def test_histograms_are_on_the_axes_given() -> None:
    recording, _, _ = simulate(3)
    own = pyplot.subplots()[1]
    assert actdiag.plot.distributions(recording, ax=own) is own
    assert bars(own) == 6
    assert bars(actdiag.plot.distributions(recording, tensor="gradient")) == 3


def test_names_are_never_read_as_tex_on_anybodys_axes() -> None:
    renamed = called("$\\frac{$", simulate(2)[0])
    for draw in (actdiag.plot.distributions, actdiag.plot.profile):
        for tensor in ("activation", None):
            axes = draw(renamed, pyplot.subplots()[1], tensor=tensor)
            assert axes.get_title(loc="left").startswith("$\\frac{$")
            axes.figure.canvas.draw()


def test_a_model_of_ones_own_is_drawn() -> None:
    recording = attached(3)
    assert bars(actdiag.plot.distributions(recording)) == 6
    assert len(titles(actdiag.plot.profile(recording))) == 2


def test_a_comparison_is_drawn_as_a_whole_or_one_run_of_it() -> None:
    recording, _, nets = grid()
    assert titles(actdiag.plot.profile(recording, tensor="gradient")) == [
        "tanh: gradient norm",
        "relu: gradient norm",
    ]
    whole = actdiag.plot.distributions(recording, tensor="activation")
    assert sum(len(c.get_paths()) for c in whole.collections if isinstance(c, PolyCollection)) == 4 * 4
    known = nets["relu", "xavier", 4]
    one = actdiag.plot.profile(recording, tensor="gradient", run=known.run)
    np.testing.assert_allclose(one.lines[0].get_ydata(), known.norms, rtol=1e-12)


def test_a_matrix_takes_the_verdicts_it_is_given() -> None:
    recording, _, _ = grid()
    clean = diagnosis(recording)
    words = [text.get_text() for text in actdiag.plot.matrix(recording, diagnosis=clean).texts]
    assert "healthy: 4" in words
    judged = actdiag.diagnose(recording).votes
    found = [text.get_text() for text in actdiag.plot.matrix(recording).texts]
    assert judged["does not train"] == 2
    assert {f"{verdict}: {count}" for verdict, count in judged.items()} <= set(found)


def test_a_long_comparison_is_one_picture() -> None:
    recording, _, _ = grid(acts=("tanh",), depths=(1, 2, 3, 4, 5, 6, 7))
    assert len(titles(actdiag.plot.profile(recording, tensor="gradient"))) == 7


def test_several_draws_show_the_first_that_was_measured() -> None:
    first, _, gradients = simulate(3, seed=1)
    recording = failing(concatenate([first, simulate(3, seed=2)[0]]), "tanh", "xavier", "ValueError: x")
    (norms,) = {tuple(np.sqrt((g**2).sum(axis=1).mean()) for g in gradients)}
    drawn = actdiag.plot.profile(recording, tensor="gradient").lines[0].get_ydata()
    np.testing.assert_allclose(drawn, norms, rtol=1e-12)


def test_words_shrink_where_the_axes_are_small() -> None:
    recording, _, _ = simulate(4)

    def sizes(width: float) -> list[float]:
        figure = pyplot.figure(figsize=(width, width / 3))
        axes = actdiag.plot.profile(recording, figure.add_axes((0.0, 0.0, 1.0, 1.0)))
        return [float(child.title.get_fontsize()) for child in axes.child_axes]

    large, small = sizes(30.0), sizes(6.0)
    assert all(6.0 / 10.0 * a == pytest.approx(b, rel=0.1) for a, b in zip(large, small, strict=True))


def test_no_setting_is_changed_and_figures_are_pyplots_own() -> None:
    before = dict(matplotlib.rcParams)
    recording, verdicts, _ = grid()
    drawn: list[Axes] = [
        actdiag.plot.profile(recording),
        actdiag.plot.profile(recording, run=recording.runs[0], tensor="activation"),
        actdiag.plot.distributions(recording),
        actdiag.plot.matrix(recording, diagnosis=verdicts),
    ]
    assert dict(matplotlib.rcParams) == before
    assert [pyplot.figure(number).axes[0] for number in pyplot.get_fignums()] == drawn


DRAWINGS: dict[str, Callable[..., Axes]] = {
    "profile": actdiag.plot.profile,
    "one side": lambda recording, ax=None: actdiag.plot.profile(recording, ax, "gradient", recording.runs[0]),
    "distributions": actdiag.plot.distributions,
    "matrix": actdiag.plot.matrix,
}
STYLES: list[dict[str, Any]] = [
    {**matplotlib.style.library["dark_background"]},
    {"figure.facecolor": "none", "figure.frameon": False, "axes.facecolor": "none", "text.color": "white"},
    {"savefig.transparent": True, "savefig.facecolor": "navy", "axes.titlecolor": "white"},
]


def saved(figure: Any, **options: Any) -> Any:
    """Return a figure's file as pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return pyplot.imread(io.BytesIO(buffer.getvalue()))


def inside(axes: Axes) -> Any:
    """Return the pixels of a shown figure that lie within axes, but for their edge."""
    canvas: Any = axes.figure.canvas
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    left, bottom, right, top = np.round(axes.get_window_extent().extents).astype(int)
    return pixels[len(pixels) - top + 6 : len(pixels) - bottom - 6, left + 6 : right - 6]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_of_our_own_looks_the_same_under_every_style(name: str, style: dict[str, Any]) -> None:
    recording, _, _ = grid()
    usual = saved(DRAWINGS[name](recording).figure)
    matplotlib.rcParams.update(style)
    before = dict(matplotlib.rcParams)
    figure = DRAWINGS[name](recording).figure
    np.testing.assert_array_equal(saved(figure), usual)
    np.testing.assert_array_equal(saved(figure, bbox_inches="tight")[0, 0], np.ones(4))
    assert to_hex(figure.get_facecolor()) == "#ffffff"
    assert dict(matplotlib.rcParams) == before


def test_a_figure_of_our_own_can_be_made_transparent() -> None:
    figure = actdiag.plot.distributions(simulate(2)[0]).figure
    assert saved(figure, transparent=True)[..., 3].min() == 0.0


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", DRAWINGS)
def test_axes_of_ones_own_are_white_paper_under_every_style(name: str, style: dict[str, Any]) -> None:
    recording, _, _ = grid()
    usual = inside(DRAWINGS[name](recording, pyplot.subplots(figsize=(9, 6))[1]))
    matplotlib.rcParams.update(style)
    axes = pyplot.subplots(figsize=(9, 6))[1]
    axes.axis("off")
    np.testing.assert_array_equal(inside(DRAWINGS[name](recording, axes)), usual)


def luminance(colour: Any) -> float:
    """Return the relative luminance of WCAG 2.1."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], parts))


def contrast(one: Any, other: Any) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("ground", "against", "least"),
    [
        ("black", ["black"], 15.0),
        ("white", ["white"], 15.0),
        ("#002b36", ["#002b36"], 10.0),
        *((str(grey), [str(grey)], 3.9) for grey in (0.4, 0.5, 0.6)),
        ("none", ["white", "black"], 3.0),
    ],
)
@pytest.mark.parametrize("within", [False, True])
def test_words_beside_axes_of_ones_own_can_be_read_on_their_figure(
    ground: str, against: list[str], least: float, within: bool
) -> None:
    figure = pyplot.figure(facecolor=ground)
    part = figure.subfigures(1, 1) if within else figure
    axes = actdiag.plot.profile(simulate(3)[0], part.subplots(), tensor="activation")
    figure.canvas.draw()
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    for words in (axes._left_title, axes.xaxis.label, axes.yaxis.label, *ticks):
        assert min(contrast(words.get_color(), colour) for colour in against) > least


@pytest.mark.parametrize("name", DRAWINGS)
def test_logarithmic_axes_are_made_what_the_picture_needs(name: str) -> None:
    recording, _, _ = grid()
    usual = inside(DRAWINGS[name](recording, pyplot.subplots()[1]))
    axes = pyplot.subplots()[1]
    axes.set(xscale="log", yscale="symlog")
    np.testing.assert_array_equal(inside(DRAWINGS[name](recording, axes)), usual)
    assert not any("$" in label.get_text() for label in axes.get_xticklabels())


@pytest.mark.parametrize("name", DRAWINGS)
def test_axes_that_were_removed_are_refused(name: str) -> None:
    recording, _, _ = grid()
    axes = pyplot.subplots()[1]
    axes.remove()
    with pytest.raises(UsageError) as caught:
        DRAWINGS[name](recording, axes)
    assert str(caught.value) == (
        "ax is part of a figure, got axes that were removed from it: make others with pyplot.subplots()"
    )


BACKEND = """
import matplotlib
from matplotlib.backends.backend_agg import FigureCanvas, FigureManager
matplotlib.interactive(True)
"""
NOTEBOOK = """
import matplotlib, actdiag
recording = actdiag.Recording.load({folder!r})
{call}
assert matplotlib.is_interactive()
"""


@pytest.mark.parametrize("options", ["", ", tensor='gradient'"])
def test_what_a_notebooks_backend_chooses_when_it_wakes_stays(tmp_path: Path, options: str) -> None:
    """Jupyter's turns interactive mode on as pyplot makes its first figure, and shows nothing without it."""
    (tmp_path / "waking.py").write_text(BACKEND, encoding="utf-8")
    folder = str(simulate(2)[0].save(tmp_path / "recording"))
    code = NOTEBOOK.format(folder=folder, call=f"actdiag.plot.profile(recording{options})")
    paths = os.pathsep.join([str(tmp_path), str(Path(actdiag.__file__).parent.parent)])
    environment = {**os.environ, "MPLBACKEND": "module://waking", "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "profile",
            {"run": "tanh"},
            "unknown run 'tanh': expected one of recording.runs, as tanh-xavier-2x16",
        ),
        ("profile", {"tensor": "gradients"}, "unknown tensor 'gradients': did you mean 'gradient'?"),
        ("distributions", {"tensor": "weight"}, "Known: activation, gradient."),
        ("distributions", {"ax": "axes"}, "ax is one pair of matplotlib axes, got str"),
        ("matrix", {"ax": np.zeros(2)}, "got ndarray: of several pass one, as axes[0]"),
        ("matrix", {}, "a matrix needs several networks of actdiag.RunSpec, got one model alone (tanh-"),
        ("profile", {"recording": 3}, "expected an actdiag.Recording, got int: make one with actdiag.scan"),
        ("distributions", {"recording": 3, "run": "x"}, "expected an actdiag.Recording, got int"),
        ("profile", {"ax": [], "run": "x"}, "ax is one pair of matplotlib axes, got list"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(name: str, options: dict[str, Any], words: str) -> None:
    recording, _, _ = simulate(2)
    with pytest.raises(UsageError) as caught:
        getattr(actdiag.plot, name)(**{"recording": recording, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pyplot.get_fignums() == []


def test_a_run_without_rows_is_told_by_its_name() -> None:
    recording = failing(simulate(2)[0], "tanh", "he", "ValueError: x")
    with pytest.raises(UsageError, match="nothing was measured of broken: there is nothing to draw"):
        actdiag.plot.profile(recording, run="broken")


def test_the_module_is_found_when_it_is_asked_for_and_not_before() -> None:
    code = "import sys, actdiag; assert 'actdiag.plot' not in sys.modules; assert 'plot' in dir(actdiag); "
    code += "print(actdiag.plot.matrix.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "actdiag.plot"
