"""The two figures of a run, drawn from recorded histograms and rows: never from samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import StepPatch

from actdiag import profiles
from actdiag.numerals import numeral, power_of_ten
from actdiag.panels import Panel, activation_panels, axis_words, gradient_panels, shared_axis
from actdiag.plots.picture import Picture, Sheet, inset, shrink
from actdiag.plots.style import BLUE, GREEN, INK, MUTED, RULE, VERMILION
from actdiag.profiles import BAND, Curve, Profile, differentiated
from actdiag.rules.base import Run
from actdiag.svg import LogAxis, clear_end, ticks

COLUMNS = 10
"""Histograms in a row."""
TENSORS = ("activation", "gradient")
"""What can be drawn: on the way up, and on the way down."""
HEADINGS = {"activation": "activation", "gradient": "norm of a sample's gradient"}
_PANEL = (1.3, 1.05)
_TALL = _PANEL[1] - 0.35
"""Of a panel, in inches: its width and height, and how much of the height is for the bars."""


def distributions(run: Run, tensors: Sequence[str] = TENSORS) -> Picture:
    """Return the histogram of every hidden layer: activations above, gradients below."""
    blocks = [_gathered(run, tensor) for tensor in tensors]
    columns = min(COLUMNS, max(len(panels) for _, panels, _ in blocks) or 1)
    rows = [math.ceil(len(panels) / columns) for _, panels, _ in blocks]
    width = max(columns * _PANEL[0] + 0.3, 6.0)
    height = sum(0.32 + count * (_PANEL[1] + 0.2) for count in rows)

    def draw(sheet: Sheet) -> None:
        top = height
        for (heading, panels, colour), count in zip(blocks, rows, strict=True):
            words = ", ".join(filter(None, (heading, axis_words(panels) if panels else "no hidden layer")))
            sheet.text(0.15, top - 0.16, words)
            _block(sheet, panels, colour, top - 0.32, columns)
            top -= 0.32 + count * (_PANEL[1] + 0.2)

    return Picture(profiles.title(run), width, height, draw)


def _gathered(run: Run, tensor: str) -> tuple[str, list[Panel], str]:
    """Return what a block of histograms shows, in words, the histograms, and their colour."""
    if tensor == "activation":
        return "activations", activation_panels(run), BLUE
    return f"gradients of the {differentiated(run)}", gradient_panels(run), VERMILION


def profile(run: Run, tensors: Sequence[str] = TENSORS) -> Picture:
    """Return, against depth, rms and std_across of the activation; norm of a sample's gradient."""

    def draw(sheet: Sheet) -> None:
        for place, tensor in enumerate(tensors):
            axes = inset(sheet, 0.65 + 5.0 * place, 0.27, 4.25, 2.76)
            axes.set_title(HEADINGS[tensor], loc="left", color=MUTED, size=9)
            draw_profile(axes, run, tensor)
            shrink(axes, sheet.scale)

    return Picture(profiles.title(run), 5.0 * len(tensors), 3.55, draw)


def draw_profile(axes: Axes, run: Run, tensor: str) -> None:
    """Draw a tensor's curves on axes."""
    if tensor == "activation":
        _profile(axes, profiles.forward_profile(run), (BLUE, GREEN))
    else:
        _profile(axes, profiles.backward_profile(run), (VERMILION,))


def _block(sheet: Sheet, panels: Sequence[Panel], colour: str, top: float, columns: int) -> None:
    """Draw panels in rows of `columns`, the first row's upper edge at `top`."""
    step = (sheet.width - 0.3) / columns
    own = not shared_axis(panels)
    feet = []
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        left, bottom = 0.15 + column * step, top - (row + 1) * (_PANEL[1] + 0.2) + 0.42
        feet.append([(left, bottom), (left + 0.9 * step, bottom)])
        _histogram(sheet, panel, colour, feet[-1], own)
    lines = LineCollection(feet, colors=MUTED, linewidths=1.0, capstyle="projecting", zorder=2.5)
    sheet.axes.add_collection(lines, autolim=False)


def _histogram(
    sheet: Sheet, panel: Panel, colour: str, foot: Sequence[tuple[float, float]], own: bool
) -> None:
    """Draw a panel that stands on a line from one end of its axis to the other."""
    (left, bottom), (right, _) = foot
    name, notes, above = f"layer {panel.layer}", "  ".join(panel.notes), bottom + 1.06 * _TALL
    if not panel.heights.size:
        sheet.text(left, above, name, 7.0, color=INK)
        sheet.text(left, bottom + 0.4 * _TALL, notes, _points(notes, right - left))
        return
    words = f"{name}  {notes}".rstrip()
    sheet.text(left, above, words, _points(words, right - left), color=INK)
    edges = np.linspace(left, right, len(panel.heights) + 1)
    tops = bottom + panel.heights * _TALL / 1.05
    sheet.axes.add_artist(StepPatch(tops, edges, baseline=bottom, fill=True, color=colour, lw=0))
    if own:
        for x, value, align in ((left, panel.low, "left"), (right, panel.high, "right")):
            below = bottom - 0.057 * _TALL
            sheet.text(x, below, numeral(value, 2), 6.5, ha=align, va="top")


def _points(words: str, width: float) -> float:
    """Return the size at which words fit a width in inches, at most 7: a character is 0.56 of it wide."""
    return min(7.0, 72 * width / (0.56 * len(words)))


def _profile(axes: Axes, part: Profile, colours: Sequence[str]) -> None:
    measured = [curve for curve in part.curves if not curve.theory]
    axis = LogAxis.around(value for curve in part.curves for value in curve.values)
    axes.set(xscale="linear", yscale="log", ylim=(10.0**axis.low, 10.0**axis.high), xlabel="layer")
    axes.minorticks_off()
    axes.set_yticks([10.0**tick for tick in axis.ticks()], [power_of_ten(tick) for tick in axis.ticks()])
    axes.grid(axis="y", color=RULE, lw=0.8)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for curve in part.curves:
        same = next((i for i, other in enumerate(measured) if curve.label.startswith(other.label)), 0)
        _curve(axes, curve, colours[same % len(colours)], axis)
    _limits(axes, part, axis)
    if any(curve.drawable.size for curve in part.curves):
        axes.legend(frameon=False, fontsize=8, loc="best")
    else:
        axes.text(0.5, 0.5, "no finite values above zero", ha="center", color=MUTED, transform=axes.transAxes)
    layers = np.concatenate([curve.layers for curve in part.curves] or [np.zeros(0)])
    first, last = (int(layers.min()), int(layers.max())) if layers.size else (0, 1)
    axes.set_xlim(first - 0.5, last + 0.5)
    axes.set_xticks(ticks(first, last, 11))


def _limits(axes: Axes, part: Profile, axis: LogAxis) -> None:
    """Draw the number formats' limits, each name where the curves are not, below where another is close."""
    points = [point for curve in part.curves for point in zip(curve.layers, curve.values, strict=True)]
    above = 2.0
    for name, level in part.limits(10.0**axis.low, 10.0**axis.high):
        place = axis.share(level)
        x, align = (1.0, "right") if clear_end(points, level) else (0.01, "left")
        side = "top" if above - place < 0.12 else "bottom"
        axes.axhline(level, color=MUTED, lw=0.8, ls=":")
        axes.text(x, place, name, size=7, color=MUTED, ha=align, va=side, transform=axes.transAxes)
        above = place


def _curve(axes: Axes, curve: Curve, colour: str, axis: LogAxis) -> None:
    """Draw a curve with gaps; exact zeros as triangles at the foot, what is not finite at the head."""
    good = np.isfinite(curve.values) & (curve.values > 0)
    if curve.band is not None:
        axes.fill_between(curve.layers, *curve.band, color=colour, alpha=0.12, lw=0, label=BAND)
    dense, top = len(curve.layers) > 24, colour == GREEN  # thinner, so that rms is seen below
    axes.plot(
        curve.layers,
        np.where(good, curve.values, np.nan),
        color=colour,
        ls="--" if curve.theory else "-",
        marker="" if curve.theory else "s" if top else "o",
        ms=(2.0 if top else 4.0) if dense else (3.5 if top else 6.5),
        mec="none",
        lw=3.2 if colour == BLUE and not curve.theory else 1.4,
        clip_on=False,
        label=curve.label,
    )
    for chosen, level, mark in (
        (curve.values == 0, axis.low, "v"),
        (~np.isfinite(curve.values), axis.high, "^"),
    ):
        if chosen.any():
            words = "exactly 0" if mark == "v" else "not finite"
            places = np.full(int(chosen.sum()), 10.0**level)
            axes.plot(
                curve.layers[chosen],
                places,
                mark,
                color=colour,
                ms=6,
                clip_on=False,
                label=f"{curve.label}: {words}",
            )
