"""The compatibility matrix: activations down, initialisers across, coloured by verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.patches import Rectangle

from actdiag.comparisons import Cell, Comparison, Gain
from actdiag.comparisons import Sheet as Matrix
from actdiag.numerals import numeral
from actdiag.plots.blocks import pages
from actdiag.plots.keys import draw_keys, draw_mark
from actdiag.plots.picture import Picture, Sheet
from actdiag.plots.style import INK, LOOKS, MUTED, shortened
from actdiag.verdicts import FAILED

MOST_ROWS = 60
"""Rows of cells on a page."""
_CELL = (1.42, 0.46)
_LABEL, _MARGIN, _GAP = 1.2, 0.15, 0.06
_TITLE, _HEADER, _KEYS = 0.3, 0.26, 0.78
"""Inches: a cell; room for the activation's name, at the edge and between cells; above each matrix, for the
initialisers' names, and for the keys below the last."""


def matrix(comparison: Comparison, most: int = MOST_ROWS) -> list[Picture]:
    """Return the matrices of all sheets below each other, at `most` so many rows on a page."""
    several = pages(comparison.sheets, lambda sheet: len(sheet.acts) + 1, most)
    return [_page(sheets, comparison) for sheets in several]


def _page(sheets: Sequence[Matrix], comparison: Comparison) -> Picture:
    heights = [_height(sheet) for sheet in sheets]
    widest = max(len(sheet.inits) for sheet in sheets)
    width = max(2 * _MARGIN + _LABEL + widest * _CELL[0], 6.4)

    def draw(paper: Sheet) -> None:
        top = paper.height
        for sheet, height in zip(sheets, heights, strict=True):
            _draw_matrix(paper, sheet, top)
            top -= height
        cells = [cell for sheet in sheets for cell in sheet.cells.values()]
        draw_keys(paper, cells)
        for line, words in enumerate(_captions(cells)):
            paper.text(_MARGIN, 0.29 - 0.16 * line, words, 7.0)

    return Picture("Which initializer suits which activation", width, sum(heights) + _KEYS, draw)


def _height(sheet: Matrix) -> float:
    return _TITLE * bool(sheet.label) + _HEADER + len(sheet.acts) * _CELL[1] + 0.14


def _draw_matrix(paper: Sheet, sheet: Matrix, top: float) -> None:
    if sheet.label:
        paper.text(_MARGIN, top - 0.18, shortened(sheet.label, 100), 10.0, color=INK, weight="bold")
        top -= _TITLE
    for column, init in enumerate(sheet.inits):
        words, size = shortened(init, 24), 8.0 if len(init) <= 17 else 6.5
        paper.text(_left(column), top - 0.19, words, size, color=INK)
    top -= _HEADER
    for row, act in enumerate(sheet.acts):
        middle = top - (row + 0.5) * _CELL[1]
        paper.text(_MARGIN, middle, shortened(act, 16), 8.0, color=INK, va="center")
        for column, init in enumerate(sheet.inits):
            if (act, init) in sheet.cells:
                _cell(paper, sheet.cells[act, init], _left(column), middle)


def _left(column: int) -> float:
    return _MARGIN + _LABEL + column * _CELL[0]


def _cell(paper: Sheet, cell: Cell, left: float, middle: float) -> None:
    look = LOOKS[cell.verdict]
    tall = _CELL[1] - _GAP
    box = Rectangle((left, middle - tall / 2), _CELL[0] - _GAP, tall, fc=look.fill, ec="none")
    if look.fill == "#ffffff":
        box.set(ec=MUTED, lw=0.6, ls=":")
    paper.axes.add_patch(box)
    draw_mark(paper, cell.verdict, left + 0.15, middle, 11.0)
    for words, height in zip(_lines(cell), (0.085, -0.085), strict=False):
        paper.text(left + 0.3, middle + height, words, 7.0, color=INK, va="center_baseline")


def _lines(cell: Cell) -> Iterable[str]:
    """Yield what a cell says: the gains, measured and expected, or why there are none."""
    if cell.verdict == FAILED:
        yield from (shortened(cell.error.partition(":")[0], 18), "could not be run")
        return
    yield f"a  {_gain(cell.size)}"
    yield f"g  {_gain(cell.gradient)}"


def _gain(gain: Gain) -> str:
    measured = "unknown" if math.isnan(gain.measured) else numeral(gain.measured, padded=True)
    return measured if math.isnan(gain.expected) else f"{measured}  ({numeral(gain.expected, padded=True)})"


def _captions(cells: Iterable[Cell]) -> tuple[str, str]:
    draws = max(len(cell.runs) for cell in cells)
    median = f", median of {draws} draws" if draws > 1 else ""
    letters = "a: rms of the activation on its way up; g: norm of a sample's gradient on its way down"
    return f"gain per layer, measured{median} (expected by theory)", letters
