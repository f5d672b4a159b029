"""Numbers as people read them, in tables and on axes."""

from __future__ import annotations

import math

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def numeral(value: float, digits: int = 3) -> str:
    """Spell a number with a few digits.

    >>> [numeral(x) for x in (0.0, 0.62, 12.345, 65504.0, 3.1e-7, float("nan"), -math.inf)]
    ['0', '0.62', '12.3', '65504', '3.1e-7', 'NaN', '-Inf']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def power_of_ten(exponent: int) -> str:
    """Spell a power of ten for an axis.

    >>> power_of_ten(0), power_of_ten(-12)
    ('1', '10⁻¹²')
    """
    return "1" if exponent == 0 else "10" if exponent == 1 else "10" + str(exponent).translate(_SUPERSCRIPTS)


def percent(share: float) -> str:
    """Spell a share; what is not quite none or all does not read as 0% or 100%.

    >>> [percent(x) for x in (0.0, 0.0004, 0.031, 0.52, 0.9999, 1.0)]
    ['0%', '<0.1%', '3.1%', '52%', '>99.9%', '100%']
    """
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{100 * share:.3g}%" if share > 0.0995 else f"{100 * share:.2g}%"


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
