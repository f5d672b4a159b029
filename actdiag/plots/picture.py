"""A picture: its size, its heading, and what draws it on whatever axes it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from actdiag.plots.paper import ink_beside, on_paper, whiten
from actdiag.plots.style import MUTED, blank_figure, caption, head, spelt, styled

HEAD = 0.45
"""Inches above a picture for its heading."""
_SMALLEST = 4.0
"""Points, below which words that shrink with their axes stay as they are."""


@dataclass(frozen=True)
class Sheet:
    """Axes measured in inches from their lower left, as if they were as large as the picture wants.

    One pair of axes holds everything: axes of a panel's own would take 6 ms each.
    """

    axes: Axes
    width: float
    height: float

    @property
    def scale(self) -> float:
        """Return by how much the axes are smaller than wanted, so that words shrink as well; at most 1."""
        figure = self.axes.get_figure(root=True)
        assert figure is not None
        box = self.axes.get_window_extent()
        return min(1.0, box.width / figure.dpi / self.width, box.height / figure.dpi / self.height)

    def text(self, x: float, y: float, words: str, size: float = 9.0, **style: Any) -> None:
        """Write words, in the figure's quiet colour unless another is given."""
        points = max(size * self.scale, _SMALLEST)
        self.axes.text(x, y, spelt(words), **{"color": MUTED, "size": points, **style})


@dataclass(frozen=True)
class Picture:
    """Something to draw.

    Attributes:
        heading: above it.
        width: of the drawing, in inches.
        height: of the drawing without its heading.
        draw: draws it on a sheet of that size.
    """

    heading: str
    width: float
    height: float
    draw: Callable[[Sheet], None]

    def figure(self) -> Figure:
        """Return a figure for a file, unknown to pyplot."""
        with styled():
            figure = blank_figure(self.width, self.height + HEAD, self.heading)
            self._fill(figure)
        return figure

    def on_new(self, make: Callable[..., Figure]) -> Axes:
        """Draw on a new white figure of the size that the picture wants, made by `make(figsize=...)`."""
        figure = make(figsize=(self.width, self.height + HEAD))  # pyplot's first may choose settings to stay
        whiten(figure)
        with styled():
            head(figure, self.heading)
            return self._fill(figure)

    def on(self, axes: Axes) -> Axes:
        """Draw on somebody's axes, which become white paper without lines; words shrink with them."""
        with styled():
            caption(on_paper(axes), self.heading, size=10, weight="bold", color=ink_beside(axes))
            return self._draw(axes)

    def _fill(self, figure: Figure) -> Axes:
        return self._draw(figure.add_axes((0.0, 0.0, 1.0, self.height / (self.height + HEAD))))

    def _draw(self, axes: Axes) -> Axes:
        axes.set(xscale="linear", yscale="linear", xlim=(0.0, self.width), ylim=(0.0, self.height))
        axes.set_axis_off()
        self.draw(Sheet(axes, self.width, self.height))
        return axes


def shrink(axes: Axes, scale: float) -> None:
    """Make all words of a panel smaller where its sheet is."""
    if scale >= 1.0:
        return
    for text in axes.findobj(Text):
        if isinstance(text, Text):
            text.set_fontsize(max(float(text.get_fontsize()) * scale, _SMALLEST))


def inset(sheet: Sheet, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes within a sheet, in inches from its upper left: one of its `child_axes`."""
    box = (left / sheet.width, 1.0 - (top + height) / sheet.height)
    return sheet.axes.inset_axes((*box, width / sheet.width, height / sheet.height))
