"""The classic figure: a network's histograms in a row, a column a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from actdiag.numerals import numeral
from actdiag.panels import Floats, Panel, shared_axis
from actdiag.texts import escaped

COLUMNS = 10
"""Layers shown of a deeper network, the first and the last among them."""
_BARS, _BAR, _GAP = 20, 3, 6
PITCH = _BARS * _BAR + _GAP
"""From one histogram to the next, in the strip's own units: about a pixel each at a desk."""
_LEAST = 8
"""Columns that a drawing has room for, so that few histograms are not drawn large."""
_HEAD, _TALL, _FOOT = 11, 34, 13
HEIGHT = _HEAD + _TALL + _FOOT
_SHORT = {"no finite values": "not finite", "within": "in", "beyond ±": ">"}
"""Words of notes that are too long for a column."""


@dataclass(frozen=True)
class Strip:
    """A row of histograms as a group that can be used again, and the size of its drawing."""

    name: str
    drawing: Markup
    columns: int

    @property
    def width(self) -> int:
        """Return the drawing's width."""
        return max(self.columns, _LEAST) * PITCH


def chosen_layers(layers: Sequence[int], most: int = COLUMNS) -> list[int]:
    """Return as many layers, evenly spread from the first to the last; all where there are no more.

    >>> chosen_layers(range(1, 51), most=5)
    [1, 13, 25, 38, 50]
    """
    if len(layers) <= most:
        return list(layers)
    return [layers[place] for place in np.linspace(0, len(layers) - 1, most).round().astype(int)]


def strip(name: str, panels: Sequence[Panel]) -> Strip:
    """Return the histograms of the layers in `panels`, each scaled to its own tallest bar.

    Above each stands what bars cannot show, as the share of exact zeros; below it its axis, below the first
    alone where all have the same.
    """
    shown = panels[:1] if shared_axis(panels) else panels
    path = "".join(_outline(panel, place * PITCH) for place, panel in enumerate(panels))
    notes = _words(_HEAD - 3, [_note(panel) for panel in panels])
    whose = "all " * (len(shown) < len(panels))
    axes = _words(HEIGHT - 3, [whose + _axis(panel) if panel.heights.size else "" for panel in shown])
    line = f'<use href="#foot{len(panels)}"/>'
    body = f'{line}<path class="bars" d="{path}"/>{notes}{axes}'
    return Strip(name, Markup(f'<g id="{name}">{body}</g>'), len(panels))


def foot(columns: int) -> Markup:
    """Return the line that each of so many histograms stands on, once for the page."""
    path = "".join(f"M{place * PITCH} {_HEAD + _TALL}h{PITCH - _GAP}" for place in range(columns))
    return Markup(f'<path id="foot{columns}" class="foot" d="{path}"/>')


def layer_numbers(layers: Sequence[int]) -> Markup:
    """Return the heads of the columns."""
    return Markup(_words(11, [f"layer {layer}" for layer in layers]))


def _words(y: int, words: Sequence[str]) -> str:
    """Return a line of text with words at the columns' left ends; none where "" stands."""
    spans = [
        f'<tspan x="{place * PITCH}">{escaped(word)}</tspan>' for place, word in enumerate(words) if word
    ]
    return f'<text y="{y}">{"".join(spans)}</text>' if spans else ""


def _note(panel: Panel) -> str:
    """Return the weightier note, short enough for a column.

    >>> _note(Panel(1, 0.0, 1.0, np.zeros(0), ("51% zero", "within ±1.5e-39")))
    'in ±1.5e-39'
    """
    note = panel.notes[-1] if panel.notes else ""
    for long, short in _SHORT.items():
        note = note.replace(long, short)
    return note


def _axis(panel: Panel) -> str:
    """Spell a histogram's range in few letters.

    >>> _axis(Panel(1, 0.0, 3.14e-15, np.zeros(0))), _axis(Panel(1, -1.0, 1.0, np.zeros(0)))
    ('0…3e-15', '±1')
    """
    if panel.low == -panel.high:
        return f"±{numeral(panel.high, 2)}"
    return f"{numeral(panel.low, 2)}…{numeral(panel.high, 2)}"


def _outline(panel: Panel, left: int) -> str:
    """Return the bars as one closed line of whole units, equal neighbours drawn as one."""
    if not panel.heights.size:
        return ""
    tops = [round(_TALL * float(height)) for height in _resampled(panel.heights)]
    steps, level, width = "", 0, 0
    for top in tops:
        if top != level:
            steps += (f"h{width}" if width else "") + f"v{level - top}"
            level, width = top, 0
        width += _BAR
    end = f"h{width}v{level}" if level else ""
    return f"M{left} {_HEAD + _TALL}{steps}{end}z" if steps else ""


def _resampled(heights: Floats) -> Floats:
    """Return `_BARS` bars of the same area, scaled to the same tallest one."""
    total = np.concatenate([[0.0], np.cumsum(heights)])
    edges = np.linspace(0.0, len(heights), _BARS + 1)
    bars = np.diff(np.interp(edges, np.arange(len(total)), total))
    return np.asarray(bars * (heights.max() / bars.max()) if bars.any() else bars)
