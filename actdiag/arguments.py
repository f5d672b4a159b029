"""What callers hand in, checked: each check raises an error of one line that says what was expected."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

from actdiag.errors import UsageError

LONGEST = 255
"""Bytes of a name, as file systems take them."""


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Return a whole number as Python's own, numpy's included.

    Args:
        name: of the argument.
        value: what was given.
        least: the smallest it may be; None for any.

    Raises:
        UsageError: it is no whole number, or too small.

    >>> import numpy
    >>> whole("every", numpy.int64(2), 1)
    2
    """
    fits = isinstance(value, Integral) and value is not True and value is not False
    if not fits or (least is not None and value < least):
        raise UsageError(f"{name} is a whole number{'' if least is None else f' >= {least}'}, got {value!r}")
    return int(value)


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
