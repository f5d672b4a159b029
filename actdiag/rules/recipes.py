"""Known recipes for the variance of weights, told by the number itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from actdiag.numerals import numeral

SAME = math.log(1.1)
"""Two variances within this factor are the same recipe: gains are quoted to two digits."""
ERRORS = 3.0
"""Standard errors of a drawn variance that are allowed for besides."""


@dataclass(frozen=True)
class Recipe:
    """A way to choose Var[w]: (fan_in, fan_out) -> variance, and its name in words."""

    words: str
    variance: Callable[[int, int], float]


RECIPES = (
    Recipe("torch's default for Linear and Conv", lambda i, o: 1.0 / (3.0 * i)),
    Recipe("He's", lambda i, o: 2.0 / i),
    Recipe("Xavier's", lambda i, o: 2.0 / (i + o)),
    Recipe("LeCun's", lambda i, o: 1.0 / i),
    Recipe("He's by fan_out", lambda i, o: 2.0 / o),
    Recipe("Xavier's with torch's gain for tanh, 5/3", lambda i, o: 25.0 / 9.0 * 2.0 / (i + o)),
    Recipe("N(0, 0.02^2)", lambda i, o: 4e-4),
    Recipe("N(0, 0.01^2)", lambda i, o: 1e-4),
    Recipe("N(0, 1)", lambda i, o: 1.0),
)
"""Of two that agree, as Xavier's and LeCun's on a square weight, the first is named."""


def is_same(variance: float, other: float, count: int) -> bool:
    """Return whether a variance measured on `count` weights may be another one."""
    if not (0.0 < variance < math.inf and 0.0 < other < math.inf):
        return variance == other
    return abs(math.log(variance) - math.log(other)) <= SAME + ERRORS * math.sqrt(2.0 / max(count, 1))


def recipe_of(variance: float, fan_in: int, fan_out: int) -> str:
    """Return the name of the recipe that gives a variance; "" where none is known.

    >>> recipe_of(1 / 300, 100, 100), recipe_of(0.02, 100, 50), recipe_of(5.0, 100, 50)
    ("torch's default for Linear and Conv", "He's", '')
    """
    near = [
        recipe for recipe in RECIPES if is_same(variance, recipe.variance(fan_in, fan_out), fan_in * fan_out)
    ]
    return min(
        near, key=lambda recipe: abs(math.log(variance / recipe.variance(fan_in, fan_out))), default=_NONE
    ).words


_NONE = Recipe("", lambda i, o: math.nan)


def spelled(variance: float, fan_in: int, fan_out: int) -> str:
    """Return a variance as people write it: `0.333 / fan_in (torch's default ...)`."""
    words = recipe_of(variance, fan_in, fan_out)
    return f"{numeral(variance * fan_in)} / fan_in" + (f" ({words})" if words else "")
