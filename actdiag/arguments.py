"""What callers hand in, checked: each check raises an error of one line that says what was expected."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from actdiag.errors import UsageError, unknown_name

LARGEST = 2**31 - 1
"""Of a whole number that is an index or a random generator's seed."""
LONGEST = 255
"""Bytes of a name, as file systems take them."""


def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as Python's own, numpy's included.

    Args:
        name: of the argument.
        value: what was given.
        least: the smallest it may be; None for any.
        most: the largest it may be; None for any.

    Raises:
        UsageError: it is no whole number, too small or too large.

    >>> import numpy
    >>> whole("every", numpy.int64(2), 1)
    2
    """
    fits = isinstance(value, Integral) and value is not True and value is not False
    if not fits or (least is not None and value < least):
        bound = "" if least is None else f" >= {least}"
        raise UsageError(f"{name} is a whole number{bound}, got {shown(value)}")
    found = int(value)
    if most is not None and found > most:
        raise UsageError(f"{name} is a whole number <= {most}, got {shown(found)}")
    return found


def number(name: str, value: Any) -> float:
    """Return a real number as Python's own float, NaN and infinities included.

    Raises:
        UsageError: it is none, or beyond float64.

    >>> number("bias", 10**400)
    Traceback (most recent call last):
    actdiag.errors.UsageError: bias is a number that float64 holds, got 1000...
    """
    if not issubclass(type(value), Real) or isinstance(value, bool):
        raise UsageError(f"{name} is a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{name} is a number that float64 holds, got {shown(value)}") from None


def variance(name: str, value: Any) -> float:
    """Return a finite number >= 0 as Python's own float.

    Raises:
        UsageError: it is none.

    >>> variance("q", -1)
    Traceback (most recent call last):
    actdiag.errors.UsageError: q is a finite variance >= 0, got -1
    """
    found = number(name, value)
    if not 0.0 <= found < math.inf:
        raise UsageError(f"{name} is a finite variance >= 0, got {found:g}")
    return found


def flag(name: str, value: Any) -> bool:
    """Return True or False as Python's own, numpy's included.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} is True or False, got {shown(value)}")
    return bool(value)


def word(name: str, value: Any, example: str) -> str:
    """Return a name that was given as text.

    Raises:
        UsageError: it is no text.

    >>> word("act", 3, "tanh")
    Traceback (most recent call last):
    actdiag.errors.UsageError: act is a name, as 'tanh', got 3
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is a name, as '{example}', got {shown(value)}")
    return value


def choice(name: str, value: Any, words: Sequence[str]) -> str:
    """Return which of a few words was given.

    Raises:
        UsageError: it is none of them; with the nearest.

    >>> choice("keep", None, ["auto", "all"])
    Traceback (most recent call last):
    actdiag.errors.UsageError: keep is one of auto, all, got None
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is one of {', '.join(words)}, got {shown(value)}")
    if value not in words:
        raise unknown_name(name, value, words)
    return value


def texts(takes: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """Return texts, of which one may be given as it is.

    Args:
        takes: what takes what, for the error: "formats are names, as 'html'".
        value: what was given.

    Raises:
        UsageError: it is something else.

    >>> texts("formats are names", "html"), texts("formats are names", ["html", "csv"])
    (('html',), ('html', 'csv'))
    """
    try:
        given: tuple[Any, ...] = (value,) if isinstance(value, str) else tuple(value)
    except TypeError:
        given = (None,)
    if not all(isinstance(text, str) for text in given):
        raise UsageError(f"{takes}, got {shown(value)}")
    return given


def shown(value: Any) -> str:
    """Return a value as an error quotes it; of a whole number that Python does not spell, its size."""
    try:
        return repr(value)
    except ValueError:
        return f"one of {value.bit_length()} bits{' below 0' if value < 0 else ''}"


def folder(value: Any) -> Path:
    """Return the path that was given.

    Raises:
        UsageError: it is none, empty, or a name in it is longer than file systems take.

    >>> folder("")
    Traceback (most recent call last):
    actdiag.errors.UsageError: a folder is named by text or a Path, got '': name one
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or not _fits_files(path):
        raise UsageError(f"a folder is named by text or a Path, got {value!r}: name one")
    longest = max(len(os.fsencode(part)) for part in path.split("/"))
    if longest > LONGEST:
        raise UsageError(f"a folder's name has at most {LONGEST} bytes, got one of {longest}: shorten it")
    return Path(path)


def _fits_files(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def callable_or_none(name: str, value: Any) -> None:
    """Check a function that may be left out.

    Raises:
        UsageError: it cannot be called.
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name} is a function, got {type(value).__name__}: leave it out or give one")
