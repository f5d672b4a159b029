"""White paper under what is drawn, and words beside it that can be read, whatever the user's style is."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from seaborn.utils import relative_luminance

from actdiag.plots.style import INK, MUTED

PAPER = "#ffffff"
_DARK = 0.21
"""Luminance of a ground below which white stands out from it more than `INK` does."""


def whiten(figure: Figure) -> None:
    """Make a figure of our own white, on a screen and in a file; called with the user's settings in force.

    A style can give files a ground of their own: then paper is laid over it, also over the rim that
    `bbox_inches="tight"` adds.
    """
    figure.set(facecolor=PAPER, frameon=True)
    saved = matplotlib.rcParams
    if saved["savefig.facecolor"] != "auto" or saved["savefig.transparent"]:
        figure.add_artist(_sheet((-1.0, -1.0), 3.0, figure.transFigure))


def on_paper(axes: Axes) -> Axes:
    """Lay white paper into somebody's axes, and colour what stands beside them for their figure's ground."""
    axes.add_artist(_sheet((0.0, 0.0), 1.0, axes.transAxes))
    axes.set_axis_on()
    ink = ink_beside(axes)
    axes.tick_params(which="both", colors=ink)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(ink)
    return axes


def ink_beside(axes: Axes) -> str:
    """Return a colour for words outside axes: dark or white, and between the two on a transparent figure."""
    root = axes.get_figure(root=True)
    shown = [figure for figure in (axes.figure, root) if figure is not None and figure.get_frameon()]
    grounds = [to_rgba(figure.get_facecolor()) for figure in shown]
    opaque = [ground for ground in grounds if ground[3] > 0.5]
    if not opaque:
        return MUTED
    return PAPER if relative_luminance(opaque[0]) < _DARK else INK


def _sheet(corner: tuple[float, float], size: float, transform: Any) -> Rectangle:
    sheet = Rectangle(corner, size, size, fc=PAPER, ec="none", zorder=-1.0, transform=transform)
    sheet.set_in_layout(False)
    return sheet
