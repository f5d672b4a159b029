"""A Ctrl-C while a model is watched or checked leaves no hook and no change behind, whenever it comes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

from actdiag import attach, check, interrupts, restoring
from actdiag.capture import hooks, recorder, watcher

PLACES = {module.__file__ for module in (restoring, recorder, watcher, hooks, interrupts)}
"""Whose calls set up and put back; to be interrupted at each call of torch's would take minutes."""
INPUTS, TARGETS = torch.arange(48.0).reshape(8, 6).sin(), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def build() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    model = nn.Sequential(*layers)
    nn.functional.cross_entropy(model(INPUTS), TARGETS).backward()
    return model


def checked(model: nn.Module) -> None:
    check(model, INPUTS, TARGETS)


def watched(model: nn.Module) -> None:
    """Watch a pass whose gradients are the ones that are there, with weights and buffers that stay."""
    model.eval()
    try:
        with attach(model) as watch:
            model(INPUTS)
            watch.step()
    finally:
        model.train()


class CtrlC:
    """Sends the signal at the n-th call made in one of the places, and counts them."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self, frame: FrameType, event: str, what: Any) -> None:
        """Count a call, as `sys.setprofile` tells of it."""
        if event in ("call", "c_return") and frame.f_code.co_filename in PLACES:
            self.count += 1
            if self.count == self.at:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)


def interrupted(job: Callable[[nn.Module], None], model: nn.Module, at: int) -> int:
    """Run a job with a Ctrl-C at a call; return how many calls there were."""
    come = CtrlC(at)
    sys.setprofile(come)
    try:
        job(model)
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return come.count


def surroundings(model: nn.Module) -> tuple[list[Any], list[torch.Tensor]]:
    """Return what has to be as it was: hooks, modes and attributes; every tensor and the random state."""
    tables = [
        len(table)
        for module in model.modules()
        for table in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._forward_hooks_with_kwargs,
            module._forward_pre_hooks_with_kwargs,
            module._forward_hooks_always_called,
        )
    ]
    modes = [torch.is_grad_enabled(), torch._C._len_torch_function_stack(), torch.get_num_threads()]
    flags = [(module.training, sorted(vars(module))) for module in model.modules()]
    gradients = [torch.zeros(0) if weight.grad is None else weight.grad for weight in model.parameters()]
    tensors = [*model.state_dict().values(), *gradients, torch.get_rng_state()]
    return [tables, modes, flags, signal.getsignal(signal.SIGINT)], [tensor.clone() for tensor in tensors]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python's own, of __del__
@pytest.mark.parametrize("job", [checked, watched])
def test_a_ctrl_c_at_any_call_leaves_the_model_as_it_was(job: Callable[[nn.Module], None]) -> None:
    calls = interrupted(job, build(), 0)
    assert calls > 50
    for at in range(2, calls + 1, 3):
        model = build()
        before, tensors = surroundings(model)
        interrupted(job, model, at)
        after, now = surroundings(model)
        assert after == before, at
        assert all(map(torch.equal, now, tensors)), at


def test_a_held_ctrl_c_comes_when_the_block_has_ended() -> None:
    reached = []

    @interrupts.held()
    def block() -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
