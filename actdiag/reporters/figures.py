"""The figures of the HTML report, as SVG inside the page: no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from actdiag.numerals import numeral
from actdiag.panels import Panel, axis_words, shared_axis, span
from actdiag.profiles import BAND, Curve, Profile
from actdiag.svg import Line, LogAxis, line_chart, outline

BOX = (128, 44)
"""Width and height of a histogram, in its own units."""
_STYLES = {"rms": "rms", "std_across": "across", "gradient norm": "gradient"}


@dataclass(frozen=True)
class Key:
    """An entry of a chart's legend: words, and the CSS class of the swatch."""

    words: str
    style: str


@dataclass(frozen=True)
class Chart:
    """A chart of a depth profile with its legend."""

    heading: str
    drawing: Markup
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Small:
    """One histogram of a set of small ones; `name` is the id of its outline in the page."""

    layer: int
    name: str
    path: str
    span: str
    notes: str


def chart(name: str, heading: str, profile: Profile) -> Chart:
    """Return the chart of a depth profile."""
    axis = LogAxis.around(value for curve in profile.curves for value in curve.values)
    drawing = line_chart(
        name,
        heading,
        " ".join(_spoken(curve) for curve in profile.curves),
        [_line(curve) for curve in profile.curves],
        profile.limits(10.0**axis.low, 10.0**axis.high),
    )
    keys = [Key(curve.label, _style(curve)) for curve in profile.curves]
    keys += [Key(BAND, f"{_style(curve)} area") for curve in profile.curves if curve.band is not None]
    values = [value for curve in profile.curves for value in curve.values.tolist()]
    if any(value == 0 for value in values):
        keys.append(Key("exactly 0", "zero"))
    if any(value != value or abs(value) == float("inf") for value in values):
        keys.append(Key("not finite", "broken"))
    return Chart(heading, Markup(drawing), tuple(keys))


@dataclass(frozen=True)
class Histograms:
    """A set of small histograms: a heading, their CSS class, and what axis they have, in words."""

    heading: str
    style: str
    axis: str
    panels: tuple[Small, ...]


def histograms(prefix: str, heading: str, style: str, panels: list[Panel]) -> Histograms:
    """Return a set of small histograms; each says its own axis unless all share one."""
    shared = shared_axis(panels)
    drawn = tuple(
        Small(
            panel.layer,
            f"{prefix}{place}",
            outline(panel.heights.tolist(), *BOX) if panel.heights.size else "",
            "" if shared or not panel.heights.size else span(panel),
            ", ".join(panel.notes),
        )
        for place, panel in enumerate(panels)
    )
    return Histograms(heading, style, axis_words(panels), drawn)


def _line(curve: Curve) -> Line:
    band = None if curve.band is None else (curve.band[0].tolist(), curve.band[1].tolist())
    return Line(curve.layers.tolist(), curve.values.tolist(), _style(curve), band)


def _style(curve: Curve) -> str:
    base = next((style for name, style in _STYLES.items() if curve.label.startswith(name)), "rms")
    return f"{base} theory" if curve.theory else base


def _spoken(curve: Curve) -> str:
    if not curve.layers.size:
        return f"{curve.label}: nothing was recorded."
    ends = [f"{numeral(curve.values[i])} at layer {curve.layers[i]:.0f}" for i in (0, -1)]
    return f"{curve.label}: {ends[0]}." if curve.layers.size == 1 else f"{curve.label}: {' to '.join(ends)}."
