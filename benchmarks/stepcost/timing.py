"""Steps with a tool between steps without, block by block, as ratios."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stepcost.base import Plain
from stepcost.workloads import Batch, Workload

WARM = 2
"""Blocks of each kind before any is timed: the first steps find memory, load modules, keep arrays."""
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}


@dataclass(frozen=True)
class Blocks:
    """Seconds a step of every block.

    Attributes:
        plain: (pairs + 1,) without the tool.
        tool: (pairs,) with it, each between two of `plain`.
    """

    plain: Sequence[float]
    tool: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """Return each block with the tool over the mean of those beside it."""
        beside = [(before + after) / 2.0 for before, after in itertools.pairwise(self.plain)]
        return [tool / plain for tool, plain in zip(self.tool, beside, strict=True)]

    @property
    def added(self) -> list[float]:
        """Return the seconds a step that each block with the tool took more than those beside it."""
        beside = [(before + after) / 2.0 for before, after in itertools.pairwise(self.plain)]
        return [tool - plain for tool, plain in zip(self.tool, beside, strict=True)]


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the first quartile, the median and the third."""
    return [float(value) for value in np.quantile(values, (0.25, 0.5, 0.75))]


def waiting(device: str, clock: str = "wall") -> Callable[[], float]:
    """Return a clock that first waits for what was started on the device."""
    now = CLOCKS[clock]
    if not device.startswith("cuda"):
        return now

    def synchronised() -> float:
        torch.cuda.synchronize()
        return now()

    return synchronised


def compare(
    workload: Workload, kind: type[Plain], pairs: int, device: str = "cpu", clock: str = "wall"
) -> tuple[Blocks, Plain]:
    """Time a tool against the plain step, on two copies of one network.

    The copy with the tool keeps it from first to last: neither attaching nor detaching is timed.

    Args:
        workload: what to run.
        kind: the tool.
        pairs: timed blocks with the tool, each of the tool's `period` steps; one more are plain.
        device: to run on.
        clock: of `CLOCKS`.

    Returns:
        The times, and the tool, still attached.
    """
    model = workload.model(device)
    plain, tool = Plain(workload, model), kind(workload, copy.deepcopy(model))
    turns, now = itertools.cycle(workload.batches(device)), waiting(device, clock)
    for _ in range(WARM):
        for runner in (plain, tool):
            block(runner, tool.period, turns, now)
    before, with_tool = [block(plain, tool.period, turns, now)], []
    for _ in range(pairs):
        with_tool.append(block(tool, tool.period, turns, now))
        before.append(block(plain, tool.period, turns, now))
    return Blocks(before, with_tool), tool


def block(runner: Plain, steps: int, turns: Iterator[Batch], now: Callable[[], float]) -> float:
    """Take steps and return the seconds that each took."""
    started = now()
    for _ in range(steps):
        runner.step(*next(turns))
    return (now() - started) / steps
