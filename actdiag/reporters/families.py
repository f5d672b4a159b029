"""Depth profiles of a family: one activation, a line for each initialiser, theory and band on demand.

What is drawn of one network is a group of its own, so that its own part of the page can use it again: the
custom property `--th` says whether theory and band are seen, since it reaches into such a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from actdiag.coverage import shorten
from actdiag.profiles import Curve, Profile
from actdiag.svg import (
    BOTTOM,
    LEFT,
    TOP,
    Frame,
    LogAxis,
    Point,
    band_outline,
    layer_ticks,
    levels,
    limit_lines,
    limit_names,
    marks,
    rounded,
    text,
    thin_line,
)
from actdiag.texts import escaped

WIDTH, HEIGHT, NAMES = 430, 250, 132
"""Of a chart in its own units, and how much of the width is for the lines' names."""
SLOTS = 56
"""Lines that differ in colour or marker: 7 colours, 8 markers."""
_POINTS, _SMOOTH = 21, 11
"""Most points of a measured line, and of what theory draws."""
_LINE = 12.5
"""From one name to the next."""
_NAMED = 18
"""Most lines that are named at their ends; of more, the legend tells."""


@dataclass(frozen=True)
class Series:
    """One network's curve of one quantity.

    Attributes:
        name: id of its group in the page.
        slot: its place among the initialisers: its colour and marker.
        label: what stands at its end.
        measured: the curve.
        theory: the one that theory expects, None where it cannot speak.
    """

    name: str
    slot: int
    label: str
    measured: Curve
    theory: Curve | None


def series_of(profile: Profile, quantity: str) -> tuple[Curve, Curve | None] | None:
    """Return a quantity's measured curve and theory's; None where it was not measured."""
    curves = [curve for curve in profile.curves if curve.label.startswith(quantity)]
    measured = next((curve for curve in curves if not curve.theory), None)
    return None if measured is None else (measured, next((c for c in curves if c.theory), None))


def family_chart(name: str, heading: str, series: Sequence[Series], scale: float, backward: bool) -> Markup:
    """Return the inside of a chart: its frame as group `name`, then a group for every line.

    Args:
        name: unique in the page.
        heading: what is drawn; it stands above the frame.
        series: the lines.
        scale: what a number format's limits are multiplied by, see `Profile`.
        backward: what is drawn comes from the last layer, so that the names stand at the first.
    """
    axis = LogAxis.around(value for each in series for value in each.measured.values)
    layers = [float(layer) for each in series for layer in each.measured.layers]
    sides = {"left": NAMES, "right": LEFT, "mirrored": True} if backward else {"right": NAMES}
    frame = Frame.of(axis, layers, width=WIDTH, height=HEIGHT, **sides)
    points = [point for each in series for point in _points(each.measured)]
    limits = Profile((), scale).limits(10.0**axis.low, 10.0**axis.high)
    title = f'<text class="heading" x="0" y="-6">{escaped(heading)}</text>'
    back = "".join([title, *levels(frame), _layers(frame), *limit_lines(frame, limits)])
    if not any(frame.place(*point) for point in points):
        middle = (frame.left + frame.end) / 2
        back += text(middle, HEIGHT / 2, "nothing above zero to draw", "middle")
    names = dict(_names(frame, series)) if len(series) <= _NAMED else {}
    lines = "".join(_group(frame, each, names.get(each.name, "")) for each in series)
    front = "".join(limit_names(frame, points, limits))
    return Markup(f'<g id="{name}">{back}</g>{lines}{front}')


def _layers(frame: Frame) -> str:
    """Return the layers' numbers and the word for them."""
    spans = "".join(f'<tspan x="{round(frame.x(layer))}">{layer}</tspan>' for layer in layer_ticks(frame))
    middle, foot = rounded((frame.left + frame.end) / 2), rounded(frame.foot + 16)
    name = f'<tspan x="{middle}" y="{frame.height - 4}">layer</tspan>'
    return f'<text class="tick" y="{foot}" text-anchor="middle">{spans}{name}</text>'


def _place(frame: Frame, layer: float, value: float) -> Point | None:
    """Return where a value is drawn, to a whole unit across: steps to the right are then short to write."""
    place = frame.place(layer, value)
    return None if place is None else (float(round(place[0])), place[1])


def _group(frame: Frame, series: Series, label: str) -> str:
    """Return a line with its band, theory, markers and name."""
    theory = "" if series.theory is None else _expected(frame, _thinned(series.theory, _SMOOTH))
    curve = _thinned(series.measured, _POINTS)
    points = _points(curve)
    drawn = [_place(frame, *point) for point in points]
    line = f'<path class="line" d="{thin_line(drawn)}"/>' + _markers(drawn, series.slot)
    lost = "".join(marks(frame, _points(curve), "own"))
    return f'<g id="{series.name}" class="s s{series.slot}">{theory}{line}{lost}{label}</g>'


def _expected(frame: Frame, curve: Curve) -> str:
    """Return theory's line and band, where they are within the axis."""
    ends = 10.0**frame.axis.low, 10.0**frame.axis.high
    within = [point if ends[0] <= point[1] <= ends[1] else (point[0], 0.0) for point in _points(curve)]
    area = ""
    if curve.band is not None:
        low, high = curve.band.tolist()
        way = band_outline(frame, curve.layers.tolist(), low, high)
        area = f'<path class="band" d="{thin_line((float(round(x)), y) for x, y in way)}z"/>' if way else ""
    return area + f'<path class="theory" d="{thin_line(_place(frame, *point) for point in within)}"/>'


def _markers(drawn: Sequence[Point | None], slot: int) -> str:
    """Return a few places to mark, other ones for every line."""
    known = [point for point in drawn if point is not None]
    stride = max(len(known) // 4, 1)
    return f'<path class="dot" d="{thin_line(_apart(known[slot % stride :: stride]))}"/>' if known else ""


def _apart(points: Sequence[Point]) -> Iterator[Point | None]:
    """Yield the points, each a path of its own: markers stand at every vertex, and no line between."""
    for place, point in enumerate(points):
        yield from (None, point) if place else (point,)


def _names(frame: Frame, series: Sequence[Series]) -> Iterator[tuple[str, str]]:
    """Yield, for each line, its name beside its end, moved up or down from its neighbours' names."""
    ends = sorted(((*_end(frame, each.measured), each) for each in series), key=lambda end: end[1])
    heights = _spread([y for _, y, _ in ends], TOP + 4.0, frame.height - BOTTOM + 18.0)
    way, edge = (-1.0, float(frame.left)) if frame.mirrored else (1.0, float(frame.end))
    for (x, y, each), height in zip(ends, heights, strict=True):
        lead = thin_line([(x, y), (edge + 4.0 * way, height), (edge + 14.0 * way, height)])
        place = f'x="{rounded(edge + 21.0 * way)}" y="{rounded(height + 4.0)}"'
        anchor = ' text-anchor="end"' if frame.mirrored else ""
        label = escaped(shorten(each.label, 17))
        yield (
            each.name,
            f'<path class="leader" d="{lead}"/><text class="end" {place}{anchor}>{label}</text>',
        )


def _end(frame: Frame, curve: Curve) -> Point:
    """Return where a line ends: at the head where it is not finite, at the foot where it is 0."""
    layer, value = _points(curve)[0 if frame.mirrored else -1]
    return frame.place(layer, value) or (frame.x(layer), frame.foot - 3.0 if value == 0 else TOP + 3.0)


def _spread(places: Sequence[float], low: float, high: float) -> list[float]:
    """Return rising places at least a line apart, as near to the given ones as a simple push leaves them.

    >>> _spread([10.0, 11.0, 80.0], 0.0, 84.0)
    [10.0, 22.5, 80.0]
    """
    gap = min(_LINE, (high - low) / max(len(places) - 1, 1))
    found: list[float] = []
    for place in places:
        found.append(max([place, low, *(last + gap for last in found[-1:])]))
    for number in reversed(range(len(found))):
        found[number] = min([found[number], high, *(after - gap for after in found[number + 1 : number + 2])])
    return found


def _points(curve: Curve) -> list[tuple[float, float]]:
    return list(zip(curve.layers.tolist(), curve.values.tolist(), strict=True))


def _thinned(curve: Curve, most: int) -> Curve:
    """Return a curve of at most so many points, the first and the last among them."""
    if len(curve.layers) <= most:
        return curve
    kept = np.linspace(0, len(curve.layers) - 1, most).round().astype(int)
    area = None if curve.band is None else curve.band[:, kept]
    return Curve(curve.label, curve.layers[kept], curve.values[kept], curve.theory, area)
