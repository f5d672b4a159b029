"""Attached for long: the rows grow, nothing else does."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from actdiag import attach, schema
from actdiag.capture import Recorder

STEPS, EARLY = 2000, 200
ARRAYS = 4096 * 8 + 128 * 8 + 6 * 8 * 8
"""Bytes of the histograms and the unit array of one row."""


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    yield
    tracemalloc.stop()


def live() -> int:
    """Return how many tensors live."""
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def train(every: int, trace_from: int, steps: int = STEPS) -> tuple[Recorder, int, int, int]:
    """Train a layer.

    Returns:
        The recorder, the tensors that live after `EARLY` and after all steps, and the bytes that Python took
        since `trace_from` and holds.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 2), nn.Tanh())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(16, 4), torch.randn(16, 2)
    early = 0
    recorder = attach(model, every=every)
    for step in range(steps):
        if step == EARLY:
            early = live()
        if step == trace_from:
            tracemalloc.start()
        optimiser.zero_grad()
        (model(x) - y).square().mean().backward()
        recorder.step()
        optimiser.step()
    late, held = live(), tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    recorder.detach()
    return recorder, early, late, held


@pytest.mark.parametrize(("every", "trace_from", "between"), [(1, STEPS - 200, 1), (100, EARLY, 4)])
def test_only_the_rows_grow(every: int, trace_from: int, between: int) -> None:
    """Bytes beside the rows are the arrays of a step or three: those of the last, and what is just going.

    Of the 1,980 steps between those recorded every fourth makes the most that is no more than 512.
    """
    recorder, early, late, held = train(every, trace_from)
    rows = recorder.recording().rows
    rest = [step for step in range(STEPS) if step % every]
    kept = sorted([*range(0, STEPS, every), *rest[::between]])
    assert sorted(rows["step"].unique()) == kept
    assert late <= early, "live tensors"
    in_a_step = int((rows["step"] == 0).sum())
    assert in_a_step == 7
    of_the_rows = rows[rows["step"] >= trace_from].memory_usage(deep=True, index=False).sum()
    assert held <= of_the_rows + 3 * in_a_step * ARRAYS


def test_what_lies_between_recorded_steps_takes_bounded_room() -> None:
    """Held are at most 512 steps of a weight and its gradient, the first step, and one more at work."""
    steps = 3000
    recorder, early, late, held = train(1000, EARLY, steps)
    rows = recorder.recording().rows
    numbers = len(schema.COUNTED) * 8
    assert rows["step"].nunique() <= 512 + steps // 1000
    assert late <= early, "live tensors"
    assert held <= 512 * (2 * numbers + 1000) + 3 * 7 * ARRAYS
