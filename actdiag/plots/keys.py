"""The verdicts' marks, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.patches import Rectangle

from actdiag.comparisons import ORDER, Cell
from actdiag.plots.picture import Sheet
from actdiag.plots.style import INK, LOOKS
from actdiag.verdicts import SIGNS

FOOT = 0.5
"""Inches above the foot of a picture at which the keys stand."""


def draw_mark(paper: Sheet, verdict: str, x: float, y: float, size: float) -> None:
    """Draw a verdict's mark about a point."""
    look = LOOKS[verdict]
    paper.text(x, y, SIGNS[verdict], size, weight="bold", ha="center", va="center", color=look.ink)


def draw_keys(paper: Sheet, cells: Iterable[Cell], left: float = 0.15) -> None:
    """Say near the foot which mark stands for which verdict, and how many networks got it."""
    verdicts = [cell.verdict for cell in cells]
    for verdict in (known for known in ORDER if known in verdicts):
        look = LOOKS[verdict]
        paper.axes.add_patch(Rectangle((left, FOOT), 0.2, 0.17, fc=look.fill, ec=look.ink, lw=0.5))
        draw_mark(paper, verdict, left + 0.1, FOOT + 0.08, 8.0)
        words = f"{verdict}: {verdicts.count(verdict)}"
        paper.text(left + 0.27, FOOT + 0.04, words, 8.0, color=INK)
        left += 0.47 + 0.068 * len(words)
