"""What every reader promises: a valid result, or one clear line; in little time and memory."""

from __future__ import annotations

import atexit
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from actdiag.errors import ActdiagError

LONGEST = 1200
"""Characters of an error's line: the longest list of names that one shows, and a path."""
MOST_SECONDS = 2.0
"""CPU time that one input may take."""
MOST_MEMORY = 1 << 30
"""Bytes by which one input may raise the peak of the process."""

Result = TypeVar("Result")


class FindError(AssertionError):
    """An input that breaks a promise."""


def refuses(read: Callable[[], Result]) -> Result | None:
    """Return what a reader gives, None where it refuses in one clear line.

    Raises:
        FindError: its line is no line, or it took too long or too much memory.
    """
    started, peak = time.process_time(), _peak()
    try:
        return read()
    except ActdiagError as error:
        _check_line(str(error))
        return None
    finally:
        _check_cost(time.process_time() - started, _peak() - peak)


def promise(kept: object, what: str) -> None:
    """Raise a find unless `kept`."""
    if not kept:
        raise FindError(what)


def scratch(name: str) -> Path:
    """Return an empty folder until the process ends, in memory where the system has such a place."""
    shared = Path("/dev/shm")
    folder = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    place = Path(tempfile.mkdtemp(prefix=f"actdiag-fuzz-{name}-", dir=folder))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _check_line(line: str) -> None:
    promise(line.isprintable(), f"an error of other than printable characters: {line!r}")
    promise(10 <= len(line) <= LONGEST, f"an error of {len(line)} characters: {line!r}")


def _check_cost(seconds: float, memory: int) -> None:
    promise(seconds <= MOST_SECONDS, f"took {seconds:.1f} s")
    promise(memory <= MOST_MEMORY, f"took {memory} bytes")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
