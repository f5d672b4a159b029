"""Memory: how much is free, and one line where what is asked for does not fit, or did not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from actdiag.errors import ActdiagError, UsageError

ALWAYS = 256 * 2**20
"""Bytes that are not asked about."""
_EXHAUSTED = re.compile(r"can't allocate memory|not enough memory|out of memory|^Unable to allocate", re.I)
_GROUPS = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "": ("", "memory.max", "memory.current", "inactive_file"),
}
"""Of control groups, version 1 and 2: the folder, what is allowed, what is used, what of it can be taken."""


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still get; None where the system does not say.

    Args:
        root: of the files that Linux tells it by.

    References: proc_meminfo(5), MemAvailable; the kernel's cgroup-v1/memory and cgroup-v2.
    """
    found = [_available(root), *_left_in_groups(root)]
    known = [number for number in found if number is not None]
    return min(known) if known else None


def check_fits(needed: int, what: str, smaller: str, free: int | None = None) -> None:
    """Raise where something needs more memory than is free.

    Args:
        needed: bytes.
        what: that needs them, as a sentence begins.
        smaller: what to do.
        free: bytes; None asks the system.

    Raises:
        UsageError: it does not fit.
    """
    if needed <= ALWAYS:
        return
    free = free_memory() if free is None else free
    if free is not None and needed > free:
        raise UsageError(
            f"{what} needs about {spelt(needed)} of memory and {spelt(free)} are free: {smaller}"
        )


def spelt(size: float) -> str:
    """Return a number of bytes as people read it.

    >>> spelt(4_300_000_000), spelt(512)
    ('4.3 GB', '0.000512 MB')
    """
    for unit in ("MB", "GB", "TB", "PB"):
        size /= 1e6 if unit == "MB" else 1e3
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1e3:.3g} EB"


def is_exhausted(error: BaseException) -> bool:
    """Return whether an exception says that there was no memory: Python's, numpy's or torch's.

    >>> is_exhausted(MemoryError()), is_exhausted(RuntimeError("mat1 and mat2"))
    (True, False)
    """
    return isinstance(error, MemoryError) or bool(
        isinstance(error, RuntimeError) and _EXHAUSTED.search(str(error))
    )


@contextmanager
def telling_exhaustion(what: str, smaller: str) -> Iterator[None]:
    """Turn an exception that says there was no memory into one line.

    Raises:
        ActdiagError: the block ran out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_exhausted(error):
            raise
        raise ActdiagError(exhausted(what, smaller, error)) from error


def exhausted(what: str, smaller: str, error: BaseException) -> str:
    """Return the line for an exception that says there was no memory, with how much was asked for at last."""
    found = re.search(r"(?:allocate|allocating) (\d+) bytes", str(error))
    asked = f" when it asked for {spelt(int(found[1]))}" if found else ""
    return f"{what} ran out of memory{asked}: {smaller}"


def _available(root: Path) -> int | None:
    with suppress(OSError, ValueError, AttributeError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text(), re.M)
        if found:
            return int(found[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _left_in_groups(root: Path) -> Iterator[int]:
    """Yield what each control group above this process still allows."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in {"memory", ""} & set(controllers.split(",")):
            folder, *names = _GROUPS[controller]
            mount = root / "sys/fs/cgroup" / folder
            group = mount / path.strip("/")
            for place in dict.fromkeys((group, *group.parents, mount)):
                if place.is_relative_to(mount):
                    yield from _left(place, *names)


def _left(folder: Path, limit: str, used: str, idle: str) -> Iterator[int]:
    """Yield what one control group allows; nothing where it has no limit."""
    with suppress(OSError, ValueError):
        allowed = int((folder / limit).read_text())
        taken = int((folder / used).read_text())
        found = re.search(rf"^{idle} (\d+)", (folder / "memory.stat").read_text(), re.M)
        yield max(0, allowed - taken + (int(found[1]) if found else 0))
