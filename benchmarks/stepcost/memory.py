"""Peak resident memory of a process that trains, with and without a tool."""

from __future__ import annotations

import itertools
import re
from contextlib import suppress
from pathlib import Path

from stepcost.base import Plain
from stepcost.workloads import WORKLOADS, Workload

STEPS = 4
PER_TENSOR, PER_UNIT = 100_000, 64
"""Bytes that a tensor may take, and each of its units."""


def rehearse(kind: type[Plain]) -> None:
    """Load all that the tool loads, on a tiny network, so that imports count neither for nor against it."""
    workload = WORKLOADS["tiny"]
    tool = kind(workload, workload.model())
    for inputs, targets in workload.batches():
        tool.step(inputs * 1e3, targets)  # another size: what is asked only then is loaded, too
        tool.step(inputs, targets)
    tool.recorded()
    tool.close()


def peak(workload: Workload, kind: type[Plain], batch: int) -> tuple[int, list[int]]:
    """Return the bytes at the peak of a few steps, and the units of each row of a recorded one.

    The kernel's mark of the highest resident memory is set back once everything is loaded.
    """
    runner = kind(workload, workload.model())
    turns = itertools.cycle(workload.batches(batch=batch))
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for _ in range(STEPS):
        runner.step(*next(turns))
    highest = highest_resident()
    units = runner.units() if hasattr(runner, "units") else []
    return highest, units


def highest_resident() -> int:
    """Return the bytes of VmHWM; ru_maxrss would begin with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise OSError("/proc/self/status has no VmHWM")
    return 1024 * int(found.group(1))


def allowed(units: list[int]) -> int:
    """Return the bytes that the recorded tensors may take together."""
    return sum(PER_TENSOR + PER_UNIT * count for count in units)
