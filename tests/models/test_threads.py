"""Models that run in several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from actdiag import attach
from actdiag.capture import Recorder
from models.plainly import (
    assert_row,
    facts,
    fresh,
    hooks_of,
    numbers,
    one_step,
    rows_of,
    truth,
)

THREADS = 4


def test_threads_at_once_add_up() -> None:
    net, _ = fresh()
    net.eval()
    inputs = [torch.randn(8 + index, 6) for index in range(4 * THREADS)]
    whole = truth(net, torch.cat(inputs))
    truths = [truth(net, x) for x in inputs]
    barrier = threading.Barrier(THREADS)

    def work(x: torch.Tensor) -> None:
        barrier.wait(30)
        one_step(net, x)

    with attach(net) as recorder, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, inputs))
    recording = recorder.recording()
    for site in whole:
        if site[1].startswith("weight") or site[0] == "drop":  # which passes its input on in eval mode
            continue
        expected = numbers(torch.cat([each[site] for each in truths]))
        found = rows_of(recording, *site)
        assert found["count"].sum() == expected["count"], site
        square = (found["rms"] ** 2 * found["count"]).sum() / expected["count"]
        assert square**0.5 == pytest.approx(expected["rms"], rel=1e-5), site
        assert (found["min"].min(), found["max"].max()) == pytest.approx((expected["min"], expected["max"]))
    for name in ("first", "hidden", "head"):
        assert_row(recording, name, "weight_grad", sum(each[name, "weight_grad"] for each in truths))
    assert facts(recording, "hidden")["calls"] == len(inputs)
    assert hooks_of(net) == []


class Meeting(nn.Module):
    """Waits in the middle of its forward pass until the other thread's model is in the middle of its own."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self.linear, self.barrier = nn.Linear(6, 5), barrier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Meet before, between and after two functions."""
        self.barrier.wait(30)
        x = functional.relu(self.linear(x))
        self.barrier.wait(30)
        x = torch.tanh(x)
        self.barrier.wait(30)
        return x


@pytest.mark.parametrize("both", [False, True])
def test_a_model_in_another_thread_is_not_mixed_up(both: bool) -> None:
    torch.manual_seed(0)
    barrier = threading.Barrier(2)
    here, there = Meeting(barrier), Meeting(barrier)
    x, y = torch.randn(8, 6), torch.randn(9, 6)
    recorders = [attach(there)] + ([attach(here)] if both else [])
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(one_step, there, y)
        one_step(here, x)
        other.result(30)
    for recorder, model, value in zip(recorders, (there, here), (y, x), strict=False):
        recorder.detach()
        recording = recorder.recording()
        z = model.linear(value)
        assert_row(recording, "linear", "preactivation", z)
        assert_row(recording, ":relu#0", "activation", z.relu())
        assert_row(recording, ":tanh#0", "activation", z.relu().tanh())
        functions = {name for name in recording.modules["name"] if ":" in name}
        assert functions == {":relu#0", ":tanh#0"}
        assert hooks_of(model) == []
    assert torch._C._len_torch_function_stack() == 0


def left_in_thread(act: Callable[[Recorder], None], every: int) -> int:
    """Let this thread act while another is inside the model; return the modes left in that one."""
    barrier = threading.Barrier(2)
    model = Meeting(barrier)
    recorder = attach(model, every=every)

    def work() -> int:
        model(torch.randn(8, 6))
        return torch._C._len_torch_function_stack()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(work)
        barrier.wait(30)
        act(recorder)
        barrier.wait(30)
        barrier.wait(30)
        left = other.result(30)
        recorder.detach()
        assert pool.submit(torch._C._len_torch_function_stack).result(30) == left
    assert hooks_of(model) == []
    return left


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("act", [Recorder.detach, Recorder.step])
def test_nothing_stays_in_a_thread_that_is_inside_the_model(act: Any, every: int) -> None:
    assert left_in_thread(act, every) == 0
