"""Files from elsewhere: what can be read to its end, and why something cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from actdiag.errors import ActdiagError

_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def expand(text: str) -> Path:
    """Return a path as a person writes it: `~` is the home folder, where there is one."""
    return Path(os.path.expanduser(text))  # noqa: PTH111, pathlib's raises where there is none


def check_file(path: Path) -> None:
    """Check that a file can be opened and ends: that no folder, pipe or device has its name.

    Raises:
        ActdiagError: anything else, or nothing, is there.
    """
    try:
        mode = path.stat().st_mode
        readable = os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        raise ActdiagError(f"cannot read {path}: {reason(error)}") from error
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
        raise ActdiagError(f"cannot read {path}: it is {kind}, expected a file")
    if not readable:
        raise ActdiagError(f"cannot read {path}: no permission")


def reason(error: BaseException) -> str:
    """Return why something could not be read, without the path that a system's error repeats."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(told.split()) or type(error).__name__
