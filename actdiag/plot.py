"""The pictures of a recording, for notebooks and papers: `actdiag.plot.profile(recording)`.

Every function returns matplotlib axes and changes no setting of matplotlib's. Without `ax` it makes a figure
of pyplot's, as large as the picture wants to be, which a notebook shows; elsewhere `ax.figure.savefig(...)`
writes it, `pyplot.show()` opens it and `pyplot.close()` frees it. On an `ax` of yours that is smaller, words
shrink. What is drawn stands on white paper, whatever the style in use.
"""

from __future__ import annotations

from matplotlib import pyplot
from matplotlib.axes import Axes

from actdiag import plots
from actdiag.arguments import choice
from actdiag.comparisons import Comparison, is_comparison
from actdiag.diagnosis import check_diagnosis, diagnose
from actdiag.errors import UsageError
from actdiag.plots import Picture
from actdiag.plots.paper import ink_beside, on_paper, whiten
from actdiag.plots.single import HEADINGS, TENSORS, draw_profile
from actdiag.plots.style import caption, styled
from actdiag.profiles import title
from actdiag.recording import Recording, check_recording
from actdiag.rules.base import Run
from actdiag.types import Diagnosis

_EVERYTHING = 10**9
"""Rows on a page: what is drawn on one pair of axes has no second page."""


def profile(
    recording: Recording, ax: Axes | None = None, tensor: str | None = None, run: str | None = None
) -> Axes:
    """Draw against depth, on log axes: rms and std_across of the activation; norm of a sample's gradient.

    A comparison has a row of panels for each activation and a line for each initialiser; theory is dashed.

    Args:
        recording: of a scan, a comparison, or a model of your own.
        ax: where to draw.
        tensor: "activation" or "gradient" alone; None for both.
        run: the run to draw; None for all networks of a comparison, else the first that was measured.

    Returns:
        The axes: of one run and one tensor the panel itself; else a frame without lines, and the panels are
        its `child_axes`.

    Raises:
        UsageError: no such tensor or run, or nothing was measured.
    """
    _check(recording, ax)
    tensors = _tensors(tensor)
    if run is None and is_comparison(recording):
        return _placed(plots.depths(_comparison(recording), tensors, _EVERYTHING)[0], ax)
    view = _run(recording, run)
    if tensor is not None:
        return _alone(view, tensor, ax)
    return _placed(plots.profile(view), ax)


def distributions(
    recording: Recording, ax: Axes | None = None, tensor: str | None = None, run: str | None = None
) -> Axes:
    """Draw the histogram of every hidden layer's activation and gradient.

    A comparison has a block for each activation: initialisers down, at most ten layers across.

    Args:
        recording: of a scan, a comparison, or a model of your own.
        ax: where to draw; it holds all histograms.
        tensor: "activation" or "gradient" alone; None for both.
        run: the run to draw; None for all networks of a comparison, else the first that was measured.

    Returns:
        The axes, in inches, without lines of their own.

    Raises:
        UsageError: no such tensor or run, or nothing was measured.
    """
    _check(recording, ax)
    tensors = _tensors(tensor)
    if run is None and is_comparison(recording):
        return _placed(plots.classic(_comparison(recording), tensors, _EVERYTHING)[0], ax)
    return _placed(plots.distributions(_run(recording, run), tensors), ax)


def matrix(recording: Recording, ax: Axes | None = None, diagnosis: Diagnosis | None = None) -> Axes:
    """Draw which initialiser suits which activation, coloured by verdict, with the gains per layer.

    Args:
        recording: of several networks, from `actdiag.compare`.
        ax: where to draw; it holds all cells.
        diagnosis: the verdicts; None for those by the rules as they are.

    Returns:
        The axes, in inches, without lines of their own.

    Raises:
        UsageError: a recording of one network, or of a model that is not the tool's own.
    """
    _check(recording, ax)
    if diagnosis is not None:
        check_diagnosis(recording, diagnosis)
    if not is_comparison(recording):
        runs = ", ".join(recording.runs[:3]) + ", ..." * (len(recording.runs) > 3)
        raise UsageError(
            f"a matrix needs several networks of actdiag.RunSpec, got one model alone ({runs}): make a "
            "recording with actdiag.compare([...])"
        )
    return _placed(plots.matrix(_comparison(recording, diagnosis), _EVERYTHING)[0], ax)


def _alone(view: Run, tensor: str, ax: Axes | None) -> Axes:
    if ax is None:
        figure = pyplot.figure(figsize=(5.5, 4.0), layout="constrained")
        whiten(figure)
    with styled():
        axes = figure.add_subplot() if ax is None else on_paper(ax)
        caption(axes, f"{title(view)}: {HEADINGS[tensor]}", size=9, color=ink_beside(axes))
        draw_profile(axes, view, tensor)
    return axes


def _placed(picture: Picture, ax: Axes | None) -> Axes:
    return picture.on(ax) if ax is not None else picture.on_new(pyplot.figure)


def _check(recording: object, ax: object) -> None:
    check_recording(recording)
    if ax is not None and not isinstance(ax, Axes):
        raise UsageError(
            f"ax is one pair of matplotlib axes, got {type(ax).__name__}: of several pass one, as axes[0]"
        )
    if ax is not None and ax.figure is None:
        raise UsageError(
            "ax is part of a figure, got axes that were removed from it: make others with pyplot.subplots()"
        )
    if ax is not None and ax.name != "rectilinear":
        raise UsageError(f"ax is flat, got axes of projection '{ax.name}': make them without a projection")


def _comparison(recording: Recording, diagnosis: Diagnosis | None = None) -> Comparison:
    return Comparison(recording, diagnosis or diagnose(recording))


def _tensors(tensor: str | None) -> tuple[str, ...]:
    return TENSORS if tensor is None else (choice("tensor", tensor, TENSORS),)


def _run(recording: Recording, run: str | None) -> Run:
    """Return the run that was named, or the first with rows.

    Raises:
        UsageError: it is unknown, or there is nothing to draw.
    """
    if run is not None:
        recording.check_run(run)
    asked = recording.runs if run is None else (run,)
    measured = [name for name in asked if (recording.rows["run"] == name).any()]
    if not measured:
        raise UsageError(f"nothing was measured of {run or 'any run'}: there is nothing to draw")
    return Run.of(recording, measured[0])
