"""Numbers as people read them, in tables and on axes."""

from __future__ import annotations

import math
import re

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def numeral(value: float, digits: int = 3, padded: bool = False) -> str:
    """Spell a number with a few digits, all of them if `padded`, as in the column of a table.

    >>> [numeral(x) for x in (0.0, 0.62, 12.345, 65504.0, 3e-7, float("nan"), -math.inf)]
    ['0', '0.62', '12.3', '65504', '3e-7', 'NaN', '-Inf']
    >>> [numeral(x, padded=True) for x in (0.62, 123.0, 3e-7)]
    ['0.620', '123', '3.0e-7']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        wide = abs(value) >= 10 ** (digits - 1)
        return f"{value:.0f}" if wide else f"{value:{'#' if padded else ''}.{digits}g}"
    return scientific(value, digits - 2, padded)


def scientific(value: float, decimals: int = 1, padded: bool = False) -> str:
    """Spell a number with a power of ten.

    >>> scientific(32352.0), scientific(2e4), scientific(3e-7, padded=True)
    ('3.2e4', '2e4', '3.0e-7')
    """
    mantissa, exponent = f"{value:.{decimals}e}".split("e")
    return f"{mantissa if padded else mantissa.removesuffix('.0')}e{int(exponent)}"


def in_full(value: float) -> str:
    """Spell a number that was chosen, as a threshold is, with up to six digits.

    >>> in_full(0.1), in_full(1e-5), in_full(2e5), in_full(2**0.5)
    ('0.1', '1e-5', '200000', '1.41421')
    """
    return re.sub(r"e([+-])0*", lambda found: "e" + found[1].strip("+"), f"{value:g}")


def power_of_ten(exponent: int) -> str:
    """Spell a power of ten for an axis.

    >>> power_of_ten(0), power_of_ten(-12)
    ('1', '10⁻¹²')
    """
    return "1" if exponent == 0 else "10" if exponent == 1 else "10" + str(exponent).translate(_SUPERSCRIPTS)


def percent(share: float, decimals: int = 1) -> str:
    """Spell a share; what is not quite none or all does not read as 0% or 100%.

    >>> [percent(x) for x in (0.0, 0.0004, 0.031, 0.52, 0.9999, 1.0)], percent(0.514, 0)
    (['0%', '<0.1%', '3.1%', '52.0%', '>99.9%', '100%'], '51%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    smallest = 10.0 ** (-2 - decimals)
    if share < smallest:
        return f"<{smallest:.{decimals}%}"
    if share > 1.0 - smallest:
        return f">{1.0 - smallest:.{decimals}%}"
    return f"{share:.{decimals}%}"


def interval(numbers: tuple[int, ...] | list[int]) -> str:
    """Spell whole numbers, runs of them shortened.

    >>> interval((1, 2, 3, 4, 7, 9, 10)), interval(())
    ('1-4, 7, 9, 10', '')
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(_run(run) for run in runs)


def _run(run: list[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
