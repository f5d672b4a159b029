"""A claim as a line: what is accepted, what is expected, what was measured; as SVG text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from actdiag.numerals import numeral
from actdiag.svg import rounded
from actdiag.texts import escaped

WIDTH, HEIGHT, EDGE = 320, 46, 12
"""In units of the drawing; on a phone one unit is about a pixel."""
_LINE = 20


def strip(claim: Mapping[str, Any]) -> str:
    """Return a number line of a claim's facts; nothing where no finite value was measured."""
    if claim["mean"] is None:
        return ""
    scale = _Scale(claim)
    low, high = (scale.place(end) for end in claim["accepted"])
    left = 0.0 if low is None else low
    right = float(WIDTH) if high is None else high
    parts = [
        f'<rect class="accepted" x="{rounded(left)}" y="{_LINE - 11}" '
        f'width="{rounded(max(right - left, 1.0))}" height="22"/>',
        f'<path class="axis" d="M0 {_LINE}H{WIDTH}"/>',
        *_expected(scale, claim["expected"]),
        *_measured(scale, claim),
        *_ends(scale),
    ]
    label = escaped(f"accepted {accepted(claim)}; measured {measured(claim)}")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def accepted(claim: Mapping[str, Any]) -> str:
    """Spell the accepted values.

    >>> [accepted({"accepted": ends}) for ends in ([0.7, None], [None, 2.0], [0.21213, 0.21403])]
    ['above 0.7', 'below 2', '0.21213 to 0.21403']
    """
    low, high = claim["accepted"]
    if low is None:
        return "any number" if high is None else f"below {numeral(high)}"
    if high is None:
        return f"above {numeral(low)}"
    digits = _digits(low, high - low)
    return f"{numeral(low, digits)} to {numeral(high, digits)}"


def measured(claim: Mapping[str, Any]) -> str:
    """Spell the measured mean and its interval."""
    ends = " to ".join(interval(claim))
    return f"{mean(claim)} ({ends})" if ends else mean(claim)


def mean(claim: Mapping[str, Any]) -> str:
    """Spell the measured mean, with as many digits as its interval knows."""
    return "no finite number" if claim["mean"] is None else numeral(claim["mean"], digits_of(claim))


def interval(claim: Mapping[str, Any]) -> list[str]:
    """Spell the ends of the 95% interval of the mean; nothing where there is no mean."""
    if claim["mean"] is None:
        return []
    return ["no bound" if end is None else numeral(end, digits_of(claim)) for end in claim["interval"]]


def expected(claim: Mapping[str, Any]) -> str:
    """Spell the expected value with the digits of the measured one."""
    return "none" if claim["expected"] is None else numeral(claim["expected"], digits_of(claim))


def digits_of(claim: Mapping[str, Any]) -> int:
    """Return the digits that the measured mean is worth."""
    low, high = claim["interval"]
    return 3 if low is None or high is None or claim["mean"] is None else _digits(claim["mean"], high - low)


def _digits(value: float, width: float) -> int:
    """Return the digits that tell a value from the ends of an interval of a width, and one more; 3 to 6.

    >>> _digits(0.21352, 6e-5), _digits(5.0, 8.0), _digits(1.0, 0.0)
    (6, 3, 3)
    """
    if not width > 0.0 or not value:
        return 3
    return min(max(math.ceil(math.log10(abs(value) / width)) + 2, 3), 6)


class _Scale:
    """From values to places: all that is finite lies inside, with a margin."""

    def __init__(self, claim: Mapping[str, Any]) -> None:
        self.log = claim["scale"] == "log"
        known = [*claim["accepted"], *claim["interval"], claim["mean"], claim["expected"]]
        values = [value for value in known if value is not None and (value > 0.0 or not self.log)]
        self.low, self.high = min(values), max(values)
        self._low, self._high = self._scaled(self.low), self._scaled(self.high)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value

    def place(self, value: float | None) -> float | None:
        if value is None or (self.log and value <= 0.0):
            return None
        wide = self._high - self._low
        share = (self._scaled(value) - self._low) / wide if wide else 0.5
        return EDGE + (WIDTH - 2 * EDGE) * share


def _expected(scale: _Scale, value: float | None) -> list[str]:
    x = scale.place(value)
    return [] if x is None else [f'<path class="expected" d="M{rounded(x)} {_LINE - 11}v22"/>']


def _measured(scale: _Scale, claim: Mapping[str, Any]) -> list[str]:
    (low, high), mean = (scale.place(end) for end in claim["interval"]), scale.place(claim["mean"])
    left, right = 0.0 if low is None else low, float(WIDTH) if high is None else high
    return [
        f'<path class="measured" d="M{rounded(left)} {_LINE}H{rounded(right)}"/>',
        "" if mean is None else f'<circle class="mean" cx="{rounded(mean)}" cy="{_LINE}" r="5"/>',
    ]


def _ends(scale: _Scale) -> list[str]:
    ends = ((scale.low, "start", EDGE - 10), (scale.high, "end", WIDTH - EDGE + 10))
    return [
        f'<text x="{x}" y="{HEIGHT - 2}" text-anchor="{anchor}">{escaped(numeral(value))}</text>'
        for value, anchor, x in ends
    ]
