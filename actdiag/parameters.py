"""Names that carry a parameter: `leaky_relu:0.1`, `normal:0.01`, `he:fan_out`."""

from __future__ import annotations

import math

from actdiag.errors import UsageError


def split_parameter(text: str) -> tuple[str, str | None]:
    """Split `name:parameter`; the parameter is None where there is none.

    >>> split_parameter("normal:0.01"), split_parameter("tanh")
    (('normal', '0.01'), ('tanh', None))
    """
    name, colon, parameter = text.partition(":")
    return name, parameter if colon else None


def parse_number(what: str, text: str) -> float:
    """Return the finite number that `text` spells, or say what was expected."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and text.isascii()):
        raise UsageError(f"{what} takes a finite number, got '{text}'")
    return number
