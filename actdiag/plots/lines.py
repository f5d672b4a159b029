"""Depth profiles of a comparison: a row of panels per activation, a line per initialiser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from actdiag.comparisons import Comparison
from actdiag.numerals import power_of_ten
from actdiag.plots.blocks import Block, blocks, initialisers, pages
from actdiag.plots.picture import Picture, Sheet, inset, shrink
from actdiag.plots.style import INK, MUTED, RULE, shortened
from actdiag.profiles import BAND, Curve, Profile, backward_profile, forward_profile
from actdiag.rules.base import Run
from actdiag.svg import LogAxis, clear_end, ticks

QUANTITIES = {"activation": ("rms", "std_across"), "gradient": ("gradient norm",)}
MARKERS = "os^DvPX<>*phd8"
FEW = 5
"""Initialisers up to which bands are shaded, and panels are small: bands of more would cover each other."""
_MARGINS, _EDGE = 0.65, (0.15, 0.55)
_KEY, _KEYS_ACROSS = 0.2, 1.9
"""Inches: a panel's margins above and below, and at its left; the height and width of a key."""


@dataclass(frozen=True)
class _Format:
    """How many rows of panels go on a page, and how tall their axes are, in inches."""

    rows: int
    tall: float

    @property
    def step(self) -> float:
        return self.tall + _MARGINS


@dataclass(frozen=True)
class _Style:
    colour: str
    marker: str


@dataclass(frozen=True)
class _Lines:
    """What one panel shows: an initialiser's curves of one quantity, and the profile they are of."""

    init: str
    curves: tuple[Curve, ...]
    profile: Profile


def depths(
    comparison: Comparison, tensors: Sequence[str] = tuple(QUANTITIES), most: int | None = None
) -> list[Picture]:
    """Return rms, std_across and gradient norm against depth, at `most` so many rows on a page."""
    parts = blocks(comparison)
    styles = _styles(initialisers(parts))
    form = _Format(6, 1.65) if len(styles) <= FEW else _Format(4, 2.1)
    several = pages(parts, lambda _: 1, most or form.rows)
    return [_page(page, comparison, tensors, styles, form) for page in several]


def _styles(inits: Sequence[str]) -> dict[str, _Style]:
    """Return a colour and a marker for each initialiser: together unique for up to 70."""
    colours = sns.color_palette("colorblind").as_hex()
    return {
        init: _Style(colours[place % len(colours)], MARKERS[place % len(MARKERS)])
        for place, init in enumerate(inits)
    }


def _page(
    parts: Sequence[Block],
    comparison: Comparison,
    tensors: Sequence[str],
    styles: Mapping[str, _Style],
    form: _Format,
) -> Picture:
    quantities = [name for tensor in tensors for name in QUANTITIES[tensor]]
    used = {init: styles[init] for init in initialisers(parts)}
    wide = 4.0 if len(quantities) > 1 else 6.0
    width = len(quantities) * wide + 0.2
    across = max(int((width - 0.3) // _KEYS_ACROSS), 1)
    keys = -(-(len(used) + 3) // across) * _KEY + 0.15

    def draw(paper: Sheet) -> None:
        _keys(paper, used, across)
        for row, part in enumerate(parts):
            runs = {init: comparison.run(cell) for init, cell in part.ran}
            for column, lines in enumerate(_lines(runs, quantities)):
                left, top = column * wide + sum(_EDGE), keys + row * form.step + 0.25
                axes = inset(paper, left, top, wide - sum(_EDGE), form.tall)
                words = shortened(f"{part.heading}: {quantities[column]}", 70)
                axes.set_title(words, loc="left", color=INK, size=9)
                _draw(axes, lines, used)
                shrink(axes, paper.scale)

    return Picture("Size of signal and gradient by layer", width, keys + len(parts) * form.step, draw)


def _keys(paper: Sheet, used: Mapping[str, _Style], across: int) -> None:
    """Draw the legend: what colours and markers mean, above the panels."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.colour, marker=style.marker, ms=5, lw=1.4, label=shortened(init, 26))
        for init, style in used.items()
    ]
    handles.append(Line2D([], [], color=INK, ls=(0, (4, 2.5)), lw=1.0, label="theory"))
    if len(used) <= FEW:
        handles.append(Patch(color=MUTED, alpha=0.2, lw=0, label=BAND))
    hollow: dict[str, Any] = {"marker": "o", "mfc": "white", "mec": MUTED, "ls": "", "ms": 5.0}
    handles.append(Line2D([], [], label="exactly 0 (foot), not finite (head)", **hollow))
    size = max(8.0 * paper.scale, 4.0)
    legend = paper.axes.legend(
        handles=handles,
        ncols=min(across, len(handles)),
        loc="upper left",
        bbox_to_anchor=(_EDGE[0] / paper.width, 1.0),
        frameon=False,
        fontsize=size,
        borderaxespad=0.0,
        handlelength=2.6,
    )
    legend.set_zorder(3)


def _lines(runs: Mapping[str, Run], quantities: Iterable[str]) -> list[list[_Lines]]:
    """Return what the panels of a row show, one list per quantity."""
    forward = {init: forward_profile(run) for init, run in runs.items()}
    backward = {init: backward_profile(run) for init, run in runs.items()}
    found = []
    for quantity in quantities:
        parts = backward if quantity == "gradient norm" else forward
        found.append([_Lines(init, _of(part, quantity), part) for init, part in parts.items()])
    return found


def _of(part: Profile, quantity: str) -> tuple[Curve, ...]:
    return tuple(curve for curve in part.curves if curve.label.startswith(quantity))


def _draw(axes: Axes, lines: Sequence[_Lines], styles: Mapping[str, _Style]) -> None:
    curves = [curve for line in lines for curve in line.curves]
    axis = LogAxis.around(value for curve in curves if not curve.theory for value in curve.values)
    _frame(axes, curves, axis)
    for line in lines:
        for curve in line.curves:
            _curve(axes, curve, styles[line.init], axis, len(styles) <= FEW)
    if lines:
        _limits(axes, lines[0].profile, axis, curves)
    if not any(curve.drawable.size for curve in curves):
        words = "nothing above zero to draw" if lines else "no network of this row could be run"
        axes.text(0.5, 0.5, words, ha="center", size=8, color=MUTED, transform=axes.transAxes)


def _frame(axes: Axes, curves: Sequence[Curve], axis: LogAxis) -> None:
    axes.set(yscale="log", ylim=(10.0**axis.low, 10.0**axis.high))
    axes.minorticks_off()
    marks = axis.ticks(5)
    axes.set_yticks([10.0**tick for tick in marks], [power_of_ten(tick) for tick in marks])
    layers = np.concatenate([curve.layers for curve in curves] or [np.zeros(0)])
    first, last = (int(layers.min()), int(layers.max())) if layers.size else (0, 1)
    axes.set_xlim(first - 0.3, last + 0.3)
    axes.set_xticks(ticks(first, last, 11))
    axes.tick_params(labelsize=7.5, length=2)
    axes.grid(axis="y", color=RULE, lw=0.8)
    sns.despine(ax=axes)
    axes.set_xlabel("layer", size=8, labelpad=1)


def _curve(axes: Axes, curve: Curve, style: _Style, axis: LogAxis, shaded: bool) -> None:
    """Draw a curve with gaps; exact zeros at the foot, what is not finite at the head, as hollow markers."""
    good = np.isfinite(curve.values) & (curve.values > 0)
    if curve.band is not None and shaded:
        axes.fill_between(curve.layers, *curve.band, color=style.colour, alpha=0.12, lw=0)
    values = np.where(good, curve.values, np.nan)
    if curve.theory:
        axes.plot(curve.layers, values, color=_darker(style.colour), ls=(0, (4, 2.5)), lw=1.0, zorder=2.2)
        return
    every = max(1, len(curve.layers) // 10)
    look: dict[str, Any] = {
        "color": style.colour,
        "marker": style.marker,
        "ms": 3.8,
        "mec": "white",
        "mew": 0.4,
    }
    pale = (*to_rgb(style.colour), 0.5)
    axes.plot(curve.layers, values, lw=2.4, clip_on=False, label=curve.label, color=pale)
    axes.plot(curve.layers, values, ls="", markevery=every, clip_on=False, **look)
    for chosen, level in ((curve.values == 0, axis.low), (~np.isfinite(curve.values), axis.high)):
        if chosen.any():
            places = np.full(int(chosen.sum()), 10.0**level)
            hollow = {**look, "mfc": "white", "mec": style.colour, "mew": 1.0, "ls": "", "ms": 5.0}
            axes.plot(curve.layers[chosen], places, clip_on=False, **hollow)


def _darker(colour: str) -> tuple[float, ...]:
    return tuple(0.6 * part for part in to_rgb(colour))


def _limits(axes: Axes, part: Profile, axis: LogAxis, curves: Iterable[Curve]) -> None:
    """Draw the number formats' limits, each name where the curves are not, below where another is close."""
    points = [point for curve in curves for point in zip(curve.layers, curve.values, strict=True)]
    above = 2.0
    for name, level in part.limits(10.0**axis.low, 10.0**axis.high):
        place = axis.share(level)
        x, align = (1.0, "right") if clear_end(points, level) else (0.01, "left")
        side = "top" if above - place < 0.12 or place > 0.9 else "bottom"
        axes.axhline(level, color=MUTED, lw=0.8, ls=":", zorder=1)
        words: dict[str, Any] = {
            "size": 6,
            "color": MUTED,
            "path_effects": [withStroke(linewidth=1.5, foreground="white")],
        }
        axes.text(x, place, name, ha=align, va=side, transform=axes.transAxes, **words)
        above = place
