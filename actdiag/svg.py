"""Small drawings as SVG text: a log axis, a chart of lines, a histogram's outline.

Colours and fonts are left to the page's style sheet, by class. Coordinates are rounded to keep files small.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from actdiag.numerals import power_of_ten
from actdiag.texts import escaped

Point = tuple[float, float]

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 38
"""The chart in its own units: at 360 px on a phone one unit is one pixel, so 12 is legible."""


_LOWEST, _HIGHEST = -307, 308


@dataclass(frozen=True)
class LogAxis:
    """A log axis from 10^low to 10^high, whole powers."""

    low: int
    high: int

    @classmethod
    def around(cls, values: Iterable[float], least: int = 2) -> LogAxis:
        """Return an axis that holds all finite positive values and spans at least `least` decades.

        >>> LogAxis.around([0.02, 0.5, 0.0, math.nan, math.inf])
        LogAxis(low=-2, high=0)

        Its ends are floats as well: 10^309 is none, and 10^-308 is held with few digits.
        """
        logs = [math.log10(value) for value in values if value > 0 and math.isfinite(value)] or [0.0]
        logs = [min(max(log, _LOWEST), _HIGHEST) for log in logs]
        low, high = math.floor(min(logs)), math.ceil(max(logs))
        while high - low < least:
            low, high = (low - 1, high) if high - max(logs) > min(logs) - low else (low, high + 1)
        return cls(max(low, _LOWEST), min(high, _HIGHEST))

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high end."""
        return (math.log10(value) - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[int]:
        """Return the exponents to label, see `ticks`.

        >>> LogAxis(-3, 1).ticks(), LogAxis(-38, 2).ticks()
        ([-3, -2, -1, 0, 1], [-30, -20, -10, 0])
        """
        return ticks(self.low, self.high, most)


def ticks(first: int, last: int, most: int) -> list[int]:
    """Return about `most` numbers to label, at multiples of 1, 2, 5, 10, ...

    >>> ticks(1, 51, 11)
    [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    """
    needed = (last - first) / max(most - 1, 1)
    step = next((nice for nice in (1, 2, 5, 10, 20, 50, 100) if nice >= needed), math.ceil(needed))
    return list(range(-(-first // step) * step, last + 1, step))


@dataclass(frozen=True)
class Line:
    """A line of a chart: whole x, any y; `style` is its CSS class; `band` holds lower and upper ends."""

    xs: Sequence[float]
    ys: Sequence[float]
    style: str
    band: tuple[Sequence[float], Sequence[float]] | None = None


def rounded(value: float) -> str:
    """Spell a coordinate to a tenth.

    >>> rounded(3.0), rounded(2.449), rounded(-0.01)
    ('3', '2.4', '0')
    """
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def broken_line(points: Iterable[Point | None]) -> str:
    """Return the path through the points, broken where one is None.

    >>> broken_line([(0, 1), (2, 3), None, (4, 5)])
    'M0 1L2 3M4 5'
    """
    path, pen = "", "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            path += f"{pen}{rounded(point[0])} {rounded(point[1])}"
            pen = "L"
    return path


def thin_line(points: Iterable[Point | None]) -> str:
    """Return the path through the points in as few letters as relative steps take, broken where one is None.

    >>> thin_line([(40, 100), (50.04, 99.5), (60, 101), None, (80, 20.26)])
    'M40 100l10-.5 10 1.5M80 20.3'
    """
    path, last, command = "", None, ""
    for point in points:
        place = None if point is None else (round(point[0], 1), round(point[1], 1))
        if place is not None:
            step = "M" if last is None else "l"
            numbers = place if last is None else (place[0] - last[0], place[1] - last[1])
            pair = _joined(*map(_brief, numbers))
            path = _joined(path, pair) if step == command == "l" else f"{path}{step}{pair}"
            command = step
        last = place
    return path


def _joined(left: str, right: str) -> str:
    return left + right if right.startswith("-") else f"{left} {right}"


def _brief(number: float) -> str:
    return re.sub(r"^(-?)0\.", r"\1.", rounded(number))


def outline(heights: Iterable[float], width: int, height: int) -> str:
    """Return the outline of a histogram, closed along the bottom, in whole units.

    >>> outline([0.5, 0.5, 1.0], 6, 10)
    'M0 10V5H4V0H6V10Z'
    """
    bars = [round(height * (1.0 - share)) for share in heights]
    steps = "".join(
        f"V{bar}H{round(width * (place + 1) / len(bars))}"
        for place, bar in enumerate(bars)
        if place + 1 == len(bars) or bars[place + 1] != bar
    )
    return f"M0 {height}{steps}V{height}Z"


def line_chart(
    name: str, heading: str, description: str, lines: Sequence[Line], limits: Sequence[tuple[str, float]]
) -> str:
    """Return a chart of positive numbers against the layer, on a log axis.

    A value that is 0 is marked at the foot, one that is not finite at the head; the line has a gap there.

    Args:
        name: unique in the page; prefix of ids.
        heading: what the figure shows, for those who do not see it; the page says it to the others.
        description: what it shows in a sentence, for those who do not see it.
        lines: what to draw.
        limits: names and values of levels, drawn where they lie on the axis.
    """
    axis = LogAxis.around(value for line in lines for value in line.ys)
    layers = [x for line in lines for x in line.xs]
    frame = Frame.of(axis, layers)
    points = [(x, y) for line in lines for x, y in zip(line.xs, line.ys, strict=True)]
    body = [
        f'<title id="{name}-t">{escaped(heading)}</title><desc id="{name}-d">{escaped(description)}</desc>',
        *grid(frame),
        *(band(frame, line.xs, *line.band, line.style) for line in lines if line.band is not None),
        *limit_lines(frame, limits),
        *(part for line in lines for part in _draw(frame, line)),
        *limit_names(frame, points, limits),
    ]
    if not any(value > 0 and math.isfinite(value) for line in lines for value in line.ys):
        body.append(text(WIDTH / 2, HEIGHT / 2, "nothing above zero to draw", "middle"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d" class="chart">'
        + "".join(body)
        + "</svg>"
    )


@dataclass(frozen=True)
class Frame:
    """Where a chart's numbers lie on the drawing: layers from first to last, values on a log axis.

    Attributes:
        axis: of the values.
        first: the layer at the left end.
        last: the layer at the right end.
        width: of the whole drawing.
        height: of the whole drawing.
        left: what is left free beside the grid.
        right: the same on the other side.
        mirrored: the powers of ten stand at the right end.
    """

    axis: LogAxis
    first: float
    last: float
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    mirrored: bool = False

    @classmethod
    def of(cls, axis: LogAxis, layers: Sequence[float], **sizes: Any) -> Frame:
        """Return a frame that holds the layers; of one layer it is the middle."""
        first, last = min(layers, default=0.0), max(layers, default=1.0)
        return (
            cls(axis, first, last, **sizes) if last > first else cls(axis, first - 0.5, last + 0.5, **sizes)
        )

    def x(self, layer: float) -> float:
        """Return how far right a layer lies."""
        return self.left + 8 + (self.end - self.left - 16) * (layer - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        """Return how far down a positive value lies."""
        return self.foot - (self.foot - TOP) * self.axis.share(value)

    @property
    def foot(self) -> float:
        """Return how far down the layers' numbers begin."""
        return self.height - BOTTOM

    @property
    def end(self) -> float:
        """Return how far right the grid ends."""
        return self.width - self.right

    def place(self, layer: float, value: float) -> Point | None:
        """Return where a value is drawn, None where the axis has no place for it."""
        return (self.x(layer), self.y(value)) if value > 0 and math.isfinite(value) else None


def grid(frame: Frame) -> Iterable[str]:
    """Yield the lines of whole powers of ten and the numbers at both axes."""
    yield from levels(frame)
    for layer in layer_ticks(frame):
        yield text(frame.x(layer), frame.foot + 16, str(layer), "middle")
    yield text((frame.left + frame.end) / 2, frame.height - 4, "layer", "middle")


def levels(frame: Frame) -> Iterable[str]:
    """Yield the lines of whole powers of ten, and the powers."""
    for exponent in frame.axis.ticks():
        y = frame.foot - (frame.foot - TOP) * (exponent - frame.axis.low) / (frame.axis.high - frame.axis.low)
        yield f'<path class="grid" d="M{frame.left} {rounded(y)}H{rounded(frame.end)}"/>'
        x, anchor = (frame.end + 6, "start") if frame.mirrored else (frame.left - 6, "end")
        yield text(x, y + 4, power_of_ten(exponent), anchor)


def layer_ticks(frame: Frame) -> list[int]:
    """Return the layers to number."""
    return ticks(math.ceil(frame.first), math.floor(frame.last), 11)


def limit_lines(frame: Frame, limits: Sequence[tuple[str, float]]) -> Iterable[str]:
    """Yield a line for each level on the axis."""
    for _, level in limits:
        if 0 < frame.axis.share(level) < 1:
            yield f'<path class="limit" d="M{frame.left} {rounded(frame.y(level))}H{rounded(frame.end)}"/>'


def limit_names(frame: Frame, points: Sequence[Point], limits: Sequence[tuple[str, float]]) -> Iterable[str]:
    """Yield levels' names, to be drawn over what else is there.

    Each stands where the points are farthest: at one end of its line, above it or, where that is another's
    place, below.
    """
    above = -math.inf
    for label, level in limits:
        if 0 < frame.axis.share(level) < 1:
            y = frame.y(level)
            heights = [y - 4] * (y - above >= 30 and y >= TOP + 14) + [y + 13] * (y + 16 < frame.foot)
            places = [(x, foot) for foot in heights or [y - 4] for x in (frame.end, frame.left + 4)]
            x, foot = max(places, key=lambda place: _room(frame, points, *place))
            yield text(x, foot, label, "end" if x == frame.end else "start", "limit-name")
            above = foot


def _room(frame: Frame, points: Sequence[Point], x: float, foot: float) -> float:
    """Return how far the nearest point is from the middle of a name that stands at x; at most 24 counts."""
    drawn = [place for point in points if (place := frame.place(*point)) is not None]
    reach = 0.65 * (frame.end - frame.left)  # what a name takes of the width, at most
    gaps = (abs(y - (foot - 4)) for at, y in drawn if abs(at - x) <= reach)
    return min([24.0, *gaps])


def clear_end(points: Sequence[Point], level: float) -> bool:
    """Return whether a name at `level` is farther from the points at the right end than at the left.

    >>> clear_end([(0, 1.0), (1, 1e-3), (2, 1e-6)], level=1e-5)
    False
    """
    good = [(x, abs(math.log10(y / level))) for x, y in points if y > 0 and math.isfinite(y)]
    if not good:
        return True
    middle = (min(x for x, _ in good) + max(x for x, _ in good)) / 2
    left, right = (
        min((gap for x, gap in good if (x - middle) * side >= 0), default=math.inf) for side in (-1, 1)
    )
    return right >= left


def band(frame: Frame, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], style: str) -> str:
    """Return the area between two lines, see `band_outline`."""
    path = broken_line(band_outline(frame, xs, lows, highs))
    return f'<path class="band {style}" d="{path}Z"/>' if path else ""


def band_outline(
    frame: Frame, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float]
) -> list[Point]:
    """Return the way around an area, where both lines are finite, cut off at the ends of the axis."""
    ends = [10.0**frame.axis.low, 10.0**frame.axis.high]
    known = [place for place in zip(xs, lows, highs, strict=True) if all(map(math.isfinite, place))]
    kept = [(x, *(min(max(end, ends[0]), ends[1]) for end in area)) for x, *area in known]
    outline = [(frame.x(x), frame.y(high)) for x, _, high in kept]
    return outline + [(frame.x(x), frame.y(low)) for x, low, _ in reversed(kept)]


def _draw(frame: Frame, line: Line) -> Iterable[str]:
    points = list(zip(line.xs, line.ys, strict=True))
    drawn = [frame.place(x, y) for x, y in points]
    yield f'<path class="line {line.style}" d="{broken_line(drawn)}"/>'
    dots = "".join(f"M{rounded(p[0])} {rounded(p[1])}h0" for p in drawn if p is not None)
    size = " dense" if len(points) > 24 else ""
    yield f'<path class="dots {line.style}{size}" d="{dots}"/>'
    yield from marks(frame, points, line.style)


def marks(frame: Frame, points: Iterable[Point], style: str) -> Iterable[str]:
    """Yield a mark at the foot for every value that is 0, at the head for every one that is not finite."""
    points = list(points)
    zeros = [frame.x(x) for x, y in points if y == 0]
    if zeros:
        path = "".join(f"M{rounded(x - 3)} {rounded(frame.foot - 6)}h6l-3 6z" for x in zeros)
        yield f'<path class="mark {style}" d="{path}"/>'
    broken = [frame.x(x) for x, y in points if not math.isfinite(y)]
    if broken:
        path = "".join(f"M{rounded(x - 3)} {TOP + 6}h6l-3 -6z" for x in broken)
        yield f'<path class="mark {style}" d="{path}"/>'


def text(x: float, y: float, words: str, anchor: str, style: str = "tick") -> str:
    """Return words at a place; anchor is start, middle or end."""
    place = f'x="{rounded(x)}" y="{rounded(y)}" text-anchor="{anchor}"'
    return f'<text class="{style}" {place}>{escaped(words)}</text>'
