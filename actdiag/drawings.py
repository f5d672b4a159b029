"""Draw a sketch: rows of histograms, or charts side by side; in the colours of a light or a dark page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from actdiag.numerals import numeral
from actdiag.panels import Panel, axis_words, shared_axis
from actdiag.plots import blank_figure, styled
from actdiag.sketches import Chart, Charts, Histograms, Row, Series, Sketch


@dataclass(frozen=True)
class Palette:
    """Colours of a page; those for data stay apart for colour-blind readers."""

    paper: str
    ink: str
    muted: str
    rule: str
    data: tuple[str, ...]


LIGHT = Palette(
    "#ffffff", "#1d2329", "#5b6570", "#e3e6e9", ("#0b62a8", "#bf4a08", "#00806a", "#8a4f9e", "#7a5200")
)
DARK = Palette(
    "#14181c", "#e6eaee", "#a0abb6", "#343c44", ("#6cb4f0", "#f5925a", "#4cc9a8", "#cf9be0", "#e9bd5b")
)

WIDTH, MARGIN = 10.0, 0.15
"""Of a figure and its edges, in inches."""
_TOP, _ROW, _BARS = 0.55, 1.05, 0.52
"""Inches for the heading, for a row of histograms, and for their bars."""
_MARKERS = ("o", "s", "^", "D", "v")


def draw(sketch: Sketch, palette: Palette = LIGHT) -> Figure:
    """Return the figure of a sketch."""
    with styled():
        figure = _histograms(sketch, palette) if isinstance(sketch, Histograms) else _charts(sketch, palette)
        figure.set_facecolor(palette.paper)
        figure.texts[0].set_color(palette.ink)
        return figure


def png(sketch: Sketch, palette: Palette = LIGHT) -> bytes:
    """Return a sketch as PNG: the same bytes every time, no date, no version."""
    buffer = io.BytesIO()
    with styled():
        draw(sketch, palette).savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _histograms(sketch: Histograms, palette: Palette) -> Figure:
    height = _TOP + _ROW * len(sketch.rows) + 0.05
    figure = blank_figure(WIDTH, height, sketch.heading)
    sheet = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0.0, WIDTH), ylim=(0.0, height))
    sheet.set_axis_off()
    columns = max(len(row.panels) for row in sketch.rows)
    for place, row in enumerate(sketch.rows):
        _row(sheet, row, height - _TOP - place * _ROW, columns, _colours(sketch, palette), palette)
    return figure


def _colours(sketch: Histograms, palette: Palette) -> str:
    return palette.data[1] if sketch.gradients else palette.data[0]


def _row(sheet: Axes, row: Row, top: float, columns: int, colour: str, palette: Palette) -> None:
    """Draw a row of panels below its label, its upper edge at `top`."""
    words = f"{row.label}   {axis_words(row.panels)}"
    sheet.text(MARGIN, top - 0.1, words, color=palette.ink, size=9, va="center")
    step = (WIDTH - 2 * MARGIN) / columns
    own = not shared_axis(row.panels)
    for place, panel in enumerate(row.panels):
        left = MARGIN + place * step
        _panel(sheet, panel, (left, left + 0.9 * step), top - 0.85, colour, palette)
        if own and panel.heights.size:
            ends = ((left, panel.low, "left"), (left + 0.9 * step, panel.high, "right"))
            for x, value, align in ends:
                sheet.text(
                    x, top - 0.88, numeral(value, 2), size=6.5, color=palette.muted, ha=align, va="top"
                )


def _panel(
    sheet: Axes, panel: Panel, ends: tuple[float, float], bottom: float, colour: str, palette: Palette
) -> None:
    """Draw a panel that stands on a line from one end of its axis to the other."""
    words = "  ".join((f"layer {panel.layer}", *panel.notes))
    sheet.text(ends[0], bottom + _BARS + 0.04, words, size=7, color=palette.muted)
    sheet.plot(ends, (bottom, bottom), color=palette.muted, lw=1.0)
    if panel.heights.size:
        edges = np.linspace(*ends, len(panel.heights) + 1)
        tops = bottom + panel.heights * _BARS
        sheet.add_artist(StepPatch(tops, edges, baseline=bottom, fill=True, color=colour, lw=0))


def _charts(sketch: Charts, palette: Palette) -> Figure:
    figure = blank_figure(WIDTH, 4.2, sketch.heading)
    share = 1.0 / len(sketch.charts)
    for place, chart in enumerate(sketch.charts):
        gap = 0.075 if len(sketch.charts) < 3 else 0.07
        axes = figure.add_axes((place * share + gap, 0.13, share - gap - 0.02, 0.68))
        _chart(axes, chart, palette)
    return figure


def _chart(axes: Axes, chart: Chart, palette: Palette) -> None:
    axes.set_facecolor(palette.paper)
    axes.set_title(chart.heading, loc="left", color=palette.muted, size=9)
    groups = list(dict.fromkeys(series.group or series.label for series in chart.series))
    for series in chart.series:
        place = groups.index(series.group or series.label) % len(palette.data)
        _series(axes, series, palette.data[place], _MARKERS[place], chart.log_y)
    axes.set(xscale="log" if chart.log_x else "linear", yscale="log" if chart.log_y else "linear")
    axes.set_xlabel(chart.x, color=palette.muted)
    axes.set_ylabel(chart.y, color=palette.muted)
    axes.tick_params(which="both", colors=palette.muted)
    axes.grid(axis="y", color=palette.rule, lw=0.8)
    axes.spines[["left", "bottom"]].set_color(palette.muted)
    sns.despine(ax=axes)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=8, loc="best", labelcolor=palette.ink)


def _series(axes: Axes, series: Series, colour: str, marker: str, log: bool) -> None:
    """Draw a line with gaps where a value has no place on the axis."""
    values = np.asarray(series.ys, dtype=np.float64)
    shown = np.isfinite(values) & ((values > 0.0) | (not log))
    if series.low:
        axes.fill_between(series.xs, series.low, series.high, color=colour, alpha=0.2, lw=0)
    axes.plot(
        series.xs,
        np.where(shown, values, np.nan),
        color=colour,
        ls="--" if series.theory else "-",
        marker="" if series.theory or _dense(series.xs) else marker,
        ms=4.0,
        mec="none",
        lw=1.4,
        label=series.label,
    )


def _dense(xs: Sequence[float]) -> bool:
    return len(xs) > 60
