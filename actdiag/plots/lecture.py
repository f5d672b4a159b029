"""The lectures' figure: initialisers down, layers across, a histogram each; a block per activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from actdiag.comparisons import Cell, Comparison
from actdiag.panels import Panel, activation_panels, axis_words, gradient_panels, shared_axis, span
from actdiag.plots.blocks import Block, blocks, pages
from actdiag.plots.keys import draw_keys, draw_mark
from actdiag.plots.picture import Picture, Sheet
from actdiag.plots.style import BLUE, INK, MUTED, VERMILION, shortened
from actdiag.verdicts import FAILED

LAYERS = 10
"""Histograms in a row; of a deeper network evenly spread layers."""
MOST_ROWS = 48
"""Rows of histograms on a page."""
TENSORS = {"activation": (activation_panels, BLUE), "gradient": (gradient_panels, VERMILION)}
_LABEL, _MARGIN, _BETWEEN = 1.45, 0.15, 0.3
_TALL, _ROW, _HEADING = 0.34, 0.53, 0.73
"""Inches: an initialiser's name, the edge, between the halves; bars, a row, and the heading of a block."""
_CAPTION = (
    "below a row, the axis of all its histograms; a bar of exact zeros may leave its frame; of several "
    "draws, the first with the network's verdict"
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Row:
    """One network's histograms in each half, the same layers in both."""

    init: str
    cell: Cell
    halves: tuple[tuple[Panel, ...], ...]
    words: tuple[str, ...]


def classic(
    comparison: Comparison, tensors: Sequence[str] = tuple(TENSORS), most: int = MOST_ROWS
) -> list[Picture]:
    """Return the histograms of activations and, beside them, gradients, at `most` so many rows on a page."""
    several = pages(blocks(comparison), lambda block: len(block.cells) + 1, most)
    return [_page(parts, comparison, tensors) for parts in several]


def _page(parts: Sequence[Block], comparison: Comparison, tensors: Sequence[str]) -> Picture:
    rows = [[_row(init, cell, comparison, tensors) for init, cell in part.cells] for part in parts]
    half = 4.9 if max(map(_columns, rows), default=0) <= 5 else 6.4
    width = 2 * _MARGIN + _LABEL + len(tensors) * (half + _BETWEEN) - _BETWEEN
    height = sum(_HEADING + len(part.cells) * _ROW for part in parts) + 0.87

    def draw(paper: Sheet) -> None:
        top = height
        for part, block in zip(parts, rows, strict=True):
            paper.text(_MARGIN, top - 0.2, shortened(part.heading, 90), 10.0, color=INK, weight="bold")
            step = min(half / max(_columns(block), 1), half / 3)
            for place, tensor in enumerate(tensors):
                left = _MARGIN + _LABEL + place * (half + _BETWEEN)
                paper.text(left, top - 0.4, f"{tensor}s, by layer", 8.0)
                _draw_half(paper, block, place, TENSORS[tensor][1], (left, top - _HEADING, step))
            for number, row in enumerate(block):
                _label(paper, row, top - _HEADING - number * _ROW - 0.5 * _TALL)
            top -= _HEADING + len(block) * _ROW
        draw_keys(paper, [row.cell for block in rows for row in block])
        paper.text(_MARGIN, 0.2, _CAPTION, 7.0)

    words = " and ".join(f"{tensor}s" for tensor in tensors).capitalize()
    return Picture(f"{words}, layer by layer", width, height, draw)


def _columns(block: Sequence[_Row]) -> int:
    return max((len(half) for row in block for half in row.halves), default=0)


def _row(init: str, cell: Cell, comparison: Comparison, tensors: Sequence[str]) -> _Row:
    if cell.verdict != FAILED:
        run = comparison.run(cell)
        found = [TENSORS[tensor][0](run, one_axis=True) for tensor in tensors]
    else:
        found = [[] for _ in tensors]
    words = tuple(_axis(panels) for panels in found)
    return _Row(init, cell, tuple(tuple(_chosen(panels)) for panels in found), words)


def _axis(panels: Sequence[Panel]) -> str:
    return axis_words(panels).removeprefix("all from ") if shared_axis(panels) else ""


def _chosen(panels: Sequence[Panel]) -> Iterator[Panel]:
    """Yield the panels of at most `LAYERS` layers, the first and the last among them."""
    places = np.linspace(0, len(panels) - 1, min(LAYERS, len(panels))).round().astype(int)
    yield from (panels[place] for place in places)


def _label(paper: Sheet, row: _Row, middle: float) -> None:
    draw_mark(paper, row.cell.verdict, _MARGIN + 0.08, middle, 9.0)
    size = 8.0 if len(row.init) <= 15 else 6.5
    paper.text(_MARGIN + 0.25, middle, shortened(row.init, 22), size, color=INK, va="center")


def _draw_half(
    paper: Sheet, block: Sequence[_Row], half: int, colour: str, place: tuple[float, float, float]
) -> None:
    """Draw one half of a block: `place` is its left end, its upper edge and the step between layers."""
    left, top, step = place
    outlines, feet, named = [], [], set()
    for number, row in enumerate(block):
        foot = top - number * _ROW - _TALL
        if not row.halves[half]:
            why = "no hidden layer" if row.cell.verdict != FAILED else row.cell.error
            paper.text(left, foot + 0.1, shortened(why, 60), 7.0)
        for column, panel in enumerate(row.halves[half]):
            start = left + column * step
            feet.append([(start, foot), (start + 0.9 * step, foot)])
            outlines.append(_outline(panel, start, foot, 0.9 * step))
            _notes(paper, panel, row.words[half], column, (start, foot, 0.9 * step))
            if column not in named:
                paper.text(start, top + 0.08, str(panel.layer), 7.0, color=INK)
            named.add(column)
    paper.axes.add_collection(PolyCollection(outlines, facecolors=colour, linewidths=0), autolim=False)
    paper.axes.add_collection(LineCollection(feet, colors=MUTED, linewidths=0.8), autolim=False)


def _outline(panel: Panel, left: float, foot: float, width: float) -> Floats:
    """Return the outline of a histogram's bars, (points, 2)."""
    edges = np.linspace(left, left + width, len(panel.heights) + 1)
    tops = foot + panel.heights * _TALL
    xs = np.concatenate([[left], np.repeat(edges, 2)[1:-1], [left + width]])
    return np.column_stack([xs, np.concatenate([[foot], np.repeat(tops, 2), [foot]])])


def _notes(paper: Sheet, panel: Panel, shared: str, column: int, place: tuple[float, float, float]) -> None:
    """Say what the bars cannot show above them; below, the axis: each its own, or once for the row."""
    left, foot, width = place
    if panel.notes:
        halo = [withStroke(linewidth=1.5, foreground="white")]
        words = ", ".join(panel.notes)
        paper.text(left + width, foot + _TALL, words, 5.0, ha="right", va="top", path_effects=halo)
    if shared and column == 0:
        paper.text(left, foot - 0.025, shared, 5.5, va="top")
    elif not shared and panel.heights.size:
        words = span(panel)
        size = min(5.5, 72 * width / (0.62 * len(words)))  # a character is 0.62 of its size wide
        paper.text(left, foot - 0.025, words, size, va="top")
