"""What one tensor's statistics cost an element, beside one read of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from actdiag.statistics import observe
from stepcost.timing import quartiles

SHAPES = ((512, 512), (1000, 500), (256, 2048))
SMALL = (8, 8)


def nanoseconds(shape: tuple[int, int], repeats: int) -> dict[str, list[float]]:
    """Return quartiles of ns an element of `observe`, of `sum`, and of their ratio, in turn.

    The tensor is a ReLU's output: half of it is zeros.
    """
    torch.manual_seed(0)
    tensor = torch.randn(shape).relu_()
    times: dict[str, list[float]] = {"observe": [], "read": []}
    for turn in range(repeats + 2):
        for name, work in (("read", tensor.sum), ("observe", lambda: observe(tensor))):
            took = seconds(work) / tensor.numel() * 1e9
            if turn >= 2:
                times[name].append(took)
    ratios = [a / b for a, b in zip(times["observe"], times["read"], strict=True)]
    return {**{name: quartiles(values) for name, values in times.items()}, "ratio": quartiles(ratios)}


def call_microseconds(repeats: int) -> list[float]:
    """Return quartiles of the microseconds of one call on a tiny tensor."""
    tensor = torch.randn(SMALL).relu_()
    return quartiles([1e6 * seconds(lambda: observe(tensor), 20) for _ in range(repeats)])


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Return the wall time of one call of a few in a row."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times
