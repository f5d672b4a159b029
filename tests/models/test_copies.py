"""Copying and saving an attached model: it works as before, and the copy is not watched."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from actdiag import attach
from actdiag.recording import Recording
from models.plainly import Net, assert_rows, bits, fresh, hooks_of, one_step, truth

Copier = Callable[[nn.Module], nn.Module]


def through_torch(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_state(model: nn.Module) -> nn.Module:
    file, fresh = io.BytesIO(), Net()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file))
    return fresh


COPIERS: dict[str, Copier] = {
    "deepcopy": copy.deepcopy,
    "torch.save": through_torch,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "state_dict": through_state,
    "averaged": lambda model: AveragedModel(model),
    "twice": lambda model: copy.deepcopy(pickle.loads(pickle.dumps(model))),
}


def watched(copier: Copier | None, middle: bool) -> Recording:
    """Record one step; copy before it, or between forward and backward, and train the copy too."""
    net, x = fresh()
    with attach(net) as recorder:
        seed = torch.get_rng_state()
        loss = net(x).square().mean() if middle else None
        if copier is not None:
            after = torch.get_rng_state()
            one_step(copier(net), torch.randn(5, 6))
            torch.set_rng_state(after)
        if loss is None:
            torch.set_rng_state(seed)
            loss = net(x).square().mean()
        loss.backward()
    return recorder.recording()


@pytest.mark.parametrize("middle", [False, True])
@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_is_not_recorded_and_the_original_still_is(name: str, middle: bool) -> None:
    alone, beside = watched(None, middle), watched(COPIERS[name], middle)
    assert beside == alone
    net, x = fresh()
    assert_rows(beside, truth(net, x))


@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_computes_what_the_original_does(name: str) -> None:
    net, x = fresh()
    net.eval()
    plain = bits(net(x))
    with attach(net):
        one_step(net, x)
        copied = COPIERS[name](net).eval()
        assert bits(copied(x)) == plain


@pytest.mark.parametrize("name", COPIERS)
def test_the_hooks_of_a_copy_vanish_at_its_first_call(name: str) -> None:
    net, x = fresh()
    with attach(net) as recorder:
        watched_hooks = hooks_of(net)
        copied = COPIERS[name](net)
        copied(x)
        assert hooks_of(copied) == []
        assert hooks_of(net) == watched_hooks
        assert watched_hooks
    assert hooks_of(net) == []
    assert recorder.recording().rows.empty


@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_trains_after_the_original_was_detached(name: str) -> None:
    net, x = fresh()
    with attach(net):
        copied = COPIERS[name](net)
    torch.manual_seed(7)
    one_step(copied, x)
    plain, _ = fresh()
    torch.manual_seed(7)
    one_step(plain, x)
    gradients = [bits(value.grad) for value in copied.parameters() if value.grad is not None]
    assert gradients == [bits(value.grad) for value in plain.parameters() if value.grad is not None]
    assert hooks_of(copied) == []


@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_can_be_attached_to(name: str) -> None:
    net, x = fresh()
    with attach(net):
        copied = COPIERS[name](net)
    inner = copied.module if isinstance(copied, AveragedModel) else copied
    assert isinstance(inner, Net)
    torch.manual_seed(7)
    expected = truth(inner, x)
    with attach(inner) as recorder:
        one_step(inner, x)
    assert_rows(recorder.recording(), expected)
    assert hooks_of(inner) == []


def test_averaging_goes_on_while_attached() -> None:
    def averaged(observe: bool) -> list[Any]:
        net, x = fresh()
        average = AveragedModel(net)
        optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
        recorder = attach(net) if observe else None
        for _ in range(3):
            optimiser.zero_grad()
            one_step(net, x)
            if recorder is not None:
                recorder.step()
            optimiser.step()
            average.update_parameters(net)
        return [bits(value) for value in average.state_dict().values()]

    assert averaged(observe=True) == averaged(observe=False)


@pytest.mark.parametrize("after", ["forward", "backward"])
def test_an_output_is_saved_without_a_warning(after: str) -> None:
    net, x = fresh()
    kept: list[torch.Tensor] = []
    handle = net.act.register_forward_hook(lambda module, args, output: kept.append(output))
    with attach(net):
        output = net(x)
        if after == "backward":
            output.square().mean().backward()
        for tensor in (output, *kept):
            file = io.BytesIO()
            torch.save(tensor, file)
            file.seek(0)
            assert bits(torch.load(file)) == bits(tensor)
    handle.remove()


def error_of(action: Callable[[], Any]) -> tuple[type[BaseException], str] | None:
    try:
        action()
    except Exception as error:
        return type(error), str(error)
    return None


class Locked(Net):
    """A model that neither copies nor pickles."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class WithLambda(Net):
    """A model that copies and does not pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = lambda x: 2 * x


ACTIONS: dict[str, Callable[[nn.Module], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "torch.save": lambda model: torch.save(model, io.BytesIO()),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", [Locked, WithLambda])
def test_what_cannot_be_copied_fails_as_before(kind: type[Net], action: str) -> None:
    torch.manual_seed(0)
    model, x = kind(), torch.randn(4, 6)
    plain = error_of(lambda: ACTIONS[action](model))
    assert plain is not None or (kind, action) == (WithLambda, "deepcopy")
    with attach(model) as recorder:
        one_step(model, x)
        assert error_of(lambda: ACTIONS[action](model)) == plain
    assert not recorder.recording().rows.empty
