"""The short way of following an ordinary call and the long way, taken for all others, see the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from actdiag import attach
from actdiag.capture.leaves import LEAVES, LeafWatch
from actdiag.recording import Recording
from models.case import Case
from models.cases_leaves import ASIDE, Interrupted, interrupt
from models.cases_random import FAILING
from models.frames import assert_same
from models.harness import same
from models.plainly import Nested, assert_row, one_step
from models.runs import Run, run_attached
from models.test_battery import CASES

Patch = pytest.MonkeyPatch
TOO_LONG = "two thousand modules"
CHOSEN = [case for case in (*CASES, *ASIDE, *FAILING) if not case.skip and case.name != TOO_LONG]
PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TENSOR = {**dict.fromkeys(PRODUCTS, "preactivation"), **dict.fromkeys(NORMS, "output")}
MADE_WITH: dict[type[Any], tuple[int, ...]] = {
    **dict.fromkeys(NORMS, (6,)),
    **dict.fromkeys(PRODUCTS, (6, 6, 1)),
    nn.Linear: (6, 6),
    nn.GroupNorm: (2, 6),
}
POSITIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.BatchNorm2d: 2, nn.Conv3d: 3, nn.BatchNorm3d: 3}


def go_the_long_way(patch: Patch) -> None:
    patch.setattr(LeafWatch, "started", lambda self, *args: False)


def count_the_short_way(patch: Patch) -> Counter[str]:
    """Return what will count the calls that were followed the short way from now on."""
    short: Counter[str] = Counter()
    started: Callable[..., bool] = LeafWatch.started

    def counted(self: LeafWatch, name: str, *args: Any) -> bool:
        taken = started(self, name, *args)
        short[name] += taken
        return taken

    patch.setattr(LeafWatch, "started", counted)
    return short


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_both_ways_record_the_same_and_leave_the_same(case: Case, monkeypatch: Patch) -> None:
    short: tuple[Run, Recording] = run_attached(case)
    go_the_long_way(monkeypatch)
    long: tuple[Run, Recording] = run_attached(case)
    assert_same(short[1], long[1])
    assert short[0].error == long[0].error
    for name, value in short[0].after.items():
        assert same(value, long[0].after[name]), name


@pytest.mark.parametrize(
    "kind", sorted(LEAVES, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_an_ordinary_call_of_every_such_type_goes_the_short_way(kind: type[Any], monkeypatch: Patch) -> None:
    short = count_the_short_way(monkeypatch)
    torch.manual_seed(0)
    model = nn.Sequential(kind(*MADE_WITH.get(kind, ())), nn.Identity())
    x = torch.randn(4, 6, *(2,) * POSITIONS.get(kind, 0), requires_grad=True)
    with attach(model) as recorder:
        one_step(model, x)
    assert short == {"": 0, "0": 1, "1": 0}
    assert_row(recorder.recording(), "0", TENSOR.get(kind, "activation"), model[0](x))


def test_what_is_out_of_the_ordinary_does_not(monkeypatch: Patch) -> None:
    """The model itself, and writing in place."""
    short = count_the_short_way(monkeypatch)
    for model in (nn.Linear(6, 6), nn.Sequential(nn.ReLU(inplace=True))):
        with attach(model):
            model(torch.randn(2, 6))
    assert not any(short.values())
    assert short.keys() == {"", "0"}


class Switched(nn.Module):
    """Calls its layer in one of several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, by_name: bool = False) -> torch.Tensor:
        """Call it with its argument's name or without."""
        return self.layer(input=x) if by_name else self.layer(x)


def test_a_call_is_judged_as_it_comes(monkeypatch: Patch) -> None:
    short, model, x = count_the_short_way(monkeypatch), Switched(), torch.randn(2, 6)
    with attach(model):
        model(x)
        assert short["layer"] == 1
        model(x, by_name=True)
        assert short["layer"] == 1
        handle = model.layer.register_forward_hook(lambda *args: None)
        model(x)
        assert short["layer"] == 1
        handle.remove()
        model(nn.Parameter(x))
        assert short["layer"] == 1
        model(x)
        assert short["layer"] == 2


def test_two_recorders_see_what_one_does() -> None:
    found = []
    for count in (1, 2):
        torch.manual_seed(0)
        model = Nested()
        recorders = [attach(model) for _ in range(count)]
        one_step(model, torch.randn(8, 6))
        for recorder in recorders:
            recorder.detach()
            found.append(recorder.recording())
    for other in found[1:]:
        assert_same(found[0], other)


@pytest.mark.parametrize("short", [True, False])
def test_an_interrupt_in_a_layer_hides_nothing_from_the_next_pass(short: bool, monkeypatch: Patch) -> None:
    if not short:
        go_the_long_way(monkeypatch)
    torch.manual_seed(0)
    model, x = Interrupted(), torch.randn(5, 6)
    with attach(model) as recorder:
        handle = model.act.register_forward_pre_hook(interrupt)
        one_step(model, x)
        recorder.step()
        handle.remove()
        one_step(model, x)
    a = torch.tanh(model.last(torch.relu(model.first(x))))
    assert_row(recorder.recording(), ":tanh#0", "activation", a, step=1)
    assert_row(recorder.recording(), ":sigmoid#0", "activation", torch.sigmoid(model.middle(a)), step=1)
    assert torch.overrides._get_current_function_mode_stack() == []
