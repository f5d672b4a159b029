"""Attached for long: the rows grow, nothing else does."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from actdiag import attach
from actdiag.capture import Recorder

STEPS, EARLY = 2000, 200
ARRAYS = 4096 * 8 + 128 * 8 + 6 * 8 * 8
"""Bytes of the histograms and the unit array of one row."""


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    yield
    tracemalloc.stop()


def live() -> tuple[int, int]:
    """Return how many tensors and how many arrays live."""
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return sum(issubclass(kind, torch.Tensor) for kind in kinds), sum(kind is np.ndarray for kind in kinds)


def train(every: int, trace_from: int) -> tuple[Recorder, tuple[int, int], tuple[int, int], int]:
    """Train a layer for `STEPS` steps.

    Returns:
        The recorder, what lives after `EARLY` and after all steps, and the bytes that Python took since
        `trace_from` and holds.
    """
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 2), nn.Tanh())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(16, 4), torch.randn(16, 2)
    early = (0, 0)
    recorder = attach(model, every=every)
    for step in range(STEPS):
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


@pytest.mark.parametrize(("every", "trace_from"), [(1, STEPS - 200), (100, EARLY)])
def test_only_the_rows_grow(every: int, trace_from: int) -> None:
    """Bytes beside the rows are the arrays of a step or three: those of the last, and what is just going."""
    recorder, early, late, held = train(every, trace_from)
    rows = recorder.recording().rows
    assert sorted(rows["step"].unique()) == list(range(0, STEPS, every))
    assert late[0] <= early[0], "live tensors"
    assert late[1] <= early[1] + 2, "live arrays"
    in_a_step = len(rows) * every // STEPS
    of_the_rows = rows[rows["step"] >= trace_from].memory_usage(deep=True, index=False).sum()
    assert held <= of_the_rows + 3 * in_a_step * ARRAYS
