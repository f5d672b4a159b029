"""Histograms ready to draw, one per layer, from what was recorded: never from samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag.activations import activation
from actdiag.bins import EDGES, FLOAT32_MAX, about_zero, coarsen, quantiles, rebin, without_last
from actdiag.errors import ActdiagError
from actdiag.numerals import numeral, percent
from actdiag.profiles import gradient_rows
from actdiag.rules.base import Run

Floats = NDArray[np.float64]

BINS = 40
"""Bars of a histogram that is spread from the log-linear one, whose own bins are 1/8 of a power of two."""
TAIL = 0.001
"""Share of the elements beyond the range at either end."""
SHARED_WITHIN = 30.0
"""Layers share an axis while the widest is at most this many times the narrowest; else each has its own."""


@dataclass(frozen=True)
class Panel:
    """One layer's histogram.

    Attributes:
        layer: its number.
        low: left end of the axis.
        high: right end.
        heights: (bars,) between 0 and 1; empty where there is nothing to draw.
        notes: what the bars cannot show: `51% zero`, `2% not finite`; `within ±1.5e-39` or `beyond ±3.4e38`
            of values that no bin tells apart.
    """

    layer: int
    low: float
    high: float
    heights: Floats
    notes: tuple[str, ...] = ()


def activation_panels(view: Run, one_axis: bool = False) -> list[Panel]:
    """Return the histogram of each layer's activation; over the whole range where phi is bounded.

    Args:
        view: the run.
        one_axis: all layers have the widest one's axis, as in the lectures: what shrinks becomes a spike.
            Else each has its own where the narrowest would not be legible on it.
    """
    rows = view.at("activation").first_of_each("layer").to_frame()
    return _panels(view, rows, _bounds(view), one_axis)


def gradient_panels(view: Run, one_axis: bool = False) -> list[Panel]:
    """Return the histogram of each hidden layer's gradient; of the head's if that is all.

    Args:
        view: the run.
        one_axis: see `activation_panels`.
    """
    rows = gradient_rows(view)
    hidden = rows[rows["layer"].isin(view.at("activation")["layer"].tolist())]
    return _panels(view, hidden if len(hidden) else rows, None, one_axis)


def span(panel: Panel) -> str:
    """Spell the ends of a panel's axis."""
    if panel.low == -panel.high:
        return f"±{numeral(panel.high, 2)}"
    return f"{numeral(panel.low, 2)} to {numeral(panel.high, 2)}"


def axis_words(panels: Sequence[Panel]) -> str:
    """Say which axis the panels have: the same for all, or each its own; nothing where nothing is drawn."""
    drawn = next((panel for panel in panels if panel.heights.size), None)
    if drawn is None:
        return ""
    if not shared_axis(panels):
        return "each on its own axis"
    return f"all from {numeral(drawn.low, 2)} to {numeral(drawn.high, 2)}"


def shared_axis(panels: Sequence[Panel]) -> bool:
    """Return whether all panels have the same axis."""
    return len({(panel.low, panel.high) for panel in panels if panel.heights.size}) <= 1


def _bounds(view: Run) -> tuple[float, float] | None:
    """Return the range of the run's activation, None where it is not bounded or not one."""
    names = set(view.modules["activation_after"]) - {""}
    try:
        ranges = {activation(str(name)).range for name in names}
    except ActdiagError:
        return None
    return ranges.pop() if len(ranges) == 1 else None


def _panels(view: Run, rows: pd.DataFrame, bounds: tuple[float, float] | None, one_axis: bool) -> list[Panel]:
    recording = view.recording
    if bounds is not None and all(index in recording.linear for index in rows.index):
        bars = [coarsen(recording.linear[index], 2).astype(np.float64) for index in rows.index]
        return [_panel(row, *bounds, bar) for (_, row), bar in zip(rows.iterrows(), bars, strict=True)]
    counts = [recording.histograms.get(index) for index in rows.index]
    placed = [_placed(row, count) for (_, row), count in zip(rows.iterrows(), counts, strict=True)]
    ranges = _common([_range(counts) for counts, _ in placed], one_axis)
    return [
        _binned(row, *ends, *own) for (_, row), own, ends in zip(rows.iterrows(), placed, ranges, strict=True)
    ]


def _placed(row: pd.Series, counts: NDArray[np.int64] | None) -> tuple[NDArray[np.int64] | None, int]:
    """Return a histogram without what lies beyond float32, as in its last finite bins, and how much it is."""
    if counts is None or not max(abs(row["min"]), abs(row["max"])) > FLOAT32_MAX:
        return counts, 0
    return without_last(counts)


def _range(counts: NDArray[np.int64] | None) -> tuple[float, float]:
    """Return where all but the tails lie, 0 included; (0, 0) where there is nothing but zeros."""
    ends = np.zeros(2) if counts is None else np.nan_to_num(quantiles(counts, (TAIL, 1.0 - TAIL)))
    return min(float(ends[0]), 0.0), max(float(ends[1]), 0.0)


def _common(ranges: list[tuple[float, float]], always: bool) -> list[tuple[float, float]]:
    """Give all layers one axis, always or where that leaves each of them legible; (0, 0) if none has one."""
    sizes = [high - low for low, high in ranges if high > low]
    if sizes and (always or max(sizes) <= SHARED_WITHIN * min(sizes)):
        ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(ranges)
    return [_centred(*ends) for ends in ranges]


def _centred(low: float, high: float) -> tuple[float, float]:
    """Put 0 in the middle where both signs reach about as far."""
    reach = max(-low, high)
    return (-reach, reach) if min(-low, high) > reach / 3.0 else (low, high)


def _binned(row: pd.Series, low: float, high: float, counts: NDArray[np.int64] | None, beyond: int) -> Panel:
    """Return a panel of the log-linear histogram, without bars where no bin tells its values apart."""
    if counts is None:
        return _panel(row, low, high, None)
    flat = low == high
    outside = tuple(_outside(row, about_zero(counts) if flat else 0, beyond))
    ends = (-1.0, 1.0) if flat else (low, high)
    return _panel(row, *ends, np.zeros(0) if flat and outside else _spread(counts, *ends), outside)


def _outside(row: pd.Series, small: int, large: int) -> Iterator[str]:
    """Yield what the bins do not tell apart: values about zero, if not all are zeros, and the largest."""
    finite = row["count"] - row["nan_count"] - row["inf_count"]
    if row["zero_fraction"] * row["count"] + 0.5 < small <= finite:
        yield f"{_part(small / finite)}within ±{numeral(EDGES[1])}"
    if 0 < large <= finite:
        yield f"{_part(large / finite)}beyond ±{numeral(EDGES[-1])}"


def _part(share: float) -> str:
    return "" if share == 1.0 else f"{percent(share, 0)} "


def _spread(counts: NDArray[np.int64], low: float, high: float) -> Floats:
    edges = np.linspace(low, high, BINS + 1)
    edges[0] -= max(1e-6 * (high - low), 1e-37)  # a negative zero lies just below 0
    return rebin(counts, edges)


def _panel(
    row: pd.Series, low: float, high: float, bars: Floats | None, outside: tuple[str, ...] = ()
) -> Panel:
    layer, nothing = int(row["layer"]), np.zeros(0)
    if bars is None:
        return Panel(layer, low, high, nothing, ("not recorded",))
    if not bars.any() and not outside:
        return Panel(layer, low, high, nothing, ("no finite values",))
    heights = _heights(row, low, high, bars) if bars.any() else nothing
    return Panel(layer, low, high, heights, (*_notes(row), *outside))


def _heights(row: pd.Series, low: float, high: float, bars: Floats) -> Floats:
    """Scale the bars to the tallest; a bar of exact zeros may leave the frame, and a note says how many."""
    edges = np.linspace(low, high, len(bars) + 1)
    others = bars[~((edges[:-1] <= 0.0) & (edges[1:] >= 0.0))]
    top = bars.max()
    if row["zero_fraction"] > 0.1 and others.size and others.max() > 0:
        top = min(top, 1.25 * others.max())
    return np.asarray(np.minimum(bars / top, 1.0))


def _notes(row: pd.Series) -> tuple[str, ...]:
    notes = []
    if row["zero_fraction"] == 1.0:
        notes.append("all zero")
    elif row["zero_fraction"] > 0.1:
        notes.append(f"{percent(row['zero_fraction'], 0)} zero")
    elif row["min"] == row["max"]:
        notes.append("all equal")
    missing = row["nan_count"] + row["inf_count"]
    if missing:
        notes.append(f"{percent(missing / row['count'], 0)} not finite")
    return tuple(notes)
