"""How the figures look: colours, marks, seaborn's style, a figure with a heading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from actdiag.verdicts import FAILED, NOT_JUDGED

INK, MUTED, BLUE, GREEN, VERMILION = "#1d2329", "#5b6570", "#0b62a8", "#00806a", "#bf4a08"
"""Colours as in the report; the three for data stay apart for colour-blind readers."""
FONT = "DejaVu Sans"
"""Comes with matplotlib."""
RULE = "#e3e6e9"
"""The colour of grid lines."""


class Look(NamedTuple):
    """The colours of a verdict, which its sign stands on."""

    fill: str
    ink: str


LOOKS = {
    "healthy": Look("#d3e8f7", "#0a4f88"),
    "trains worse than it could": Look("#fdf1c2", "#6b4d00"),
    "does not train": Look("#f3b793", "#7a2600"),
    NOT_JUDGED: Look("#eceff1", MUTED),
    FAILED: Look("#ffffff", MUTED),
}
"""Each verdict's look: blue, yellow and vermilion, which also differ in lightness."""


@contextmanager
def styled() -> Iterator[None]:
    """Set seaborn's style for what is made within, whatever the user's settings are.

    Words are never read as TeX, and the font is matplotlib's.
    """
    own = {
        "font.family": FONT,
        "text.usetex": False,
        "text.parse_math": False,
        "axes.edgecolor": MUTED,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
    }
    settings: Any = {**sns.plotting_context("paper"), **sns.axes_style("white"), **own}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def blank_figure(width: float, height: float, heading: str) -> Figure:
    """Return a figure of so many inches with its heading, unknown to pyplot."""
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    head(figure, heading)
    return figure


def head(figure: Figure, heading: str) -> None:
    """Write a heading into a figure's upper left corner."""
    width, height = figure.get_size_inches()
    figure.text(0.15 / width, 1 - 0.3 / height, shortened(heading, 90), size=12, weight="bold")


def caption(axes: Axes, words: str, **look: Any) -> None:
    """Write a title over axes that may be anybody's: not as TeX, even if they were made to read it so."""
    axes.set_title(shortened(words, 60), loc="left", parse_math=False, usetex=False, **look)


def shortened(words: str, most: int) -> str:
    """Return words that the font can spell, cut to a length.

    >>> shortened("he, gain 1.41", 9), shortened("中", 9)
    ('he, ga...', '?')
    """
    words = spelt(words)
    return words if len(words) <= most else words[: most - 3] + "..."


def spelt(words: str) -> str:
    r"""Return words with a "?" for each character that the font has not, or that would not be shown.

    >>> spelt("✓ café"), spelt("中\x1b")
    ('✓ café', '??')
    """
    return "".join(c if c.isprintable() and ord(c) in _characters() else "?" for c in words)


@cache
def _characters() -> frozenset[int]:
    """Return what the font can spell."""
    return frozenset(get_font(findfont(FONT)).get_charmap())
