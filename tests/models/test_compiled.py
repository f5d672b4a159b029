"""Compiled models: run eagerly while attached, or left as they are and listed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo import eval_frame

import actdiag
from actdiag import attach
from actdiag.capture import Recorder
from actdiag.recording import Recording
from models.plainly import (
    Net,
    Site,
    assert_row,
    assert_rows,
    facts,
    hooks_of,
    notes,
    one_step,
    state,
    truth,
)

deprecated_script = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
ATTACHED = ("wrapper", "inner", "in place")


class Counting:
    """A compiler backend that changes nothing and counts what it compiled and how often that ran."""

    def __init__(self) -> None:
        self.frames = self.runs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        """Count a frame, and return what counts its runs."""
        self.frames += 1

        def run(*tensors: Any) -> Any:
            self.runs += 1
            return graph.forward(*tensors)

        return run


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
    assert eval_frame._stance.stance == "default"


def compiled_net(how: str, backend: Any) -> tuple[Net, nn.Module]:
    """Return a net and the module to call."""
    torch.manual_seed(0)
    net = Net()
    if how == "in place":
        net.compile(backend=backend)
        return net, net
    return net, torch.compile(net, backend=backend)


def run(how: str, backend: Any, warm: bool, observe: bool) -> tuple[dict[str, Any], Any, dict[Site, Any]]:
    """Train one step, plainly under `force_eager`; return the state, the recording and the truth."""
    net, model = compiled_net(how, backend)
    if warm:
        one_step(model, torch.randn(3, 6))
        model.zero_grad()
    x = torch.randn(8, 6)
    expected = truth(net, x) if how != "in place" else {}
    recorder = attach(net if how == "inner" else model) if observe else None
    with nullcontext() if observe else torch.compiler.set_stance("force_eager"):
        loss = one_step(model, x)
    if recorder is not None:
        recorder.step()
        recorder.detach()
    assert not hooks_of(model)
    return state(net, loss), recorder and recorder.recording(), expected


def prefix_of(recording: Recording) -> str:
    """Return how the recording calls the module inside the wrapper."""
    return "_orig_mod" if (recording.modules["name"] == "_orig_mod.first").any() else ""


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("how", ATTACHED)
def test_a_compiled_model_is_run_eagerly_while_attached(how: str, backend: str, warm: bool) -> None:
    plain, _, expected = run(how, backend, warm, observe=False)
    if how == "in place":
        _, _, expected = run("wrapper", "eager", warm, observe=False)
    attached, recording, _ = run(how, backend, warm, observe=True)
    for part in plain:
        assert attached[part] == plain[part], part
    assert_rows(recording, expected, prefix_of(recording))


@pytest.mark.parametrize("how", ["wrapper", "in place"])
def test_a_note_says_that_it_was_run_eagerly(how: str) -> None:
    _, recording, _ = run(how, "eager", warm=False, observe=True)
    assert "compile" in notes(recording)
    assert "eager" in notes(recording)


def test_a_model_that_is_not_compiled_has_no_such_note() -> None:
    net = Net()
    with attach(net) as recorder:
        one_step(net, torch.randn(4, 6))
    assert "compile" not in notes(recorder.recording())


@deprecated_script
def test_the_default_backend_compiles_nothing_while_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _, _ = run("wrapper", "inductor", warm=False, observe=False)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("inductor was called")

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", refuse)
    attached, recording, expected = run("wrapper", "inductor", warm=False, observe=True)
    assert attached == plain
    assert_rows(recording, expected, prefix_of(recording))


@pytest.mark.parametrize("how", ATTACHED)
def test_a_warm_model_runs_compiled_again_after_detach(how: str) -> None:
    backend, x = Counting(), torch.randn(8, 6)
    net, model = compiled_net(how, backend)
    one_step(model, x)
    frames, runs = backend.frames, backend.runs
    assert (frames, runs) == (1, 1)
    with attach(net if how == "inner" else model):
        one_step(model, x)
    assert (backend.frames, backend.runs) == (frames, runs)
    one_step(model, x)
    assert (backend.frames, backend.runs) == (frames, runs + 1)


@pytest.mark.parametrize("how", ATTACHED)
def test_a_cold_model_is_compiled_after_detach(how: str) -> None:
    backend, x = Counting(), torch.randn(8, 6)
    net, model = compiled_net(how, backend)
    with attach(net if how == "inner" else model):
        one_step(model, x)
    assert (backend.frames, backend.runs) == (0, 0)
    one_step(model, x)
    assert (backend.frames, backend.runs) == (1, 1)


def test_the_stance_is_what_it_was_after_detach() -> None:
    _, model = compiled_net("wrapper", "eager")
    before = eval_frame._stance
    recorder = attach(model)
    model(torch.randn(4, 6))
    recorder.detach()
    assert eval_frame._stance == before


def test_a_stance_of_the_users_own_comes_back() -> None:
    _, model = compiled_net("wrapper", "eager")
    with torch.compiler.set_stance("eager_on_recompile"):
        before = eval_frame._stance
        with attach(model):
            model(torch.randn(4, 6))
        assert eval_frame._stance == before


def test_the_stance_comes_back_after_an_exception() -> None:
    _, model = compiled_net("wrapper", "eager")
    before = eval_frame._stance
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), attach(model):
        model(torch.randn(4, 5))
    assert eval_frame._stance == before


def test_two_recorders_detached_in_the_order_they_came() -> None:
    """The first to go takes nothing from the second, the last puts the stance back."""
    backend, x = Counting(), torch.randn(4, 6)
    _, one = compiled_net("wrapper", backend)
    _, other = compiled_net("wrapper", backend)
    one_step(other, x)
    runs, before = backend.runs, eval_frame._stance
    first, second = attach(one), attach(other)
    first.detach()
    one_step(other, x)
    assert backend.runs == runs
    second.detach()
    assert eval_frame._stance == before
    assert_row(second.recording(), "", "input", x)
    one_step(other, x)
    assert backend.runs == runs + 1


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("warm", [False, True])
def test_a_compiled_training_step_is_observed(warm: bool) -> None:
    def train(observe: bool) -> tuple[dict[str, Any], Any, dict[Site, torch.Tensor]]:
        torch.manual_seed(0)
        net, backend = Net(), Counting()
        step = torch.compile(lambda x: one_step(net, x), backend=backend)
        if warm:
            step(torch.randn(8, 6))
            assert backend.runs > 0
            net.zero_grad()
        x, runs = torch.randn(8, 6), backend.runs
        expected = truth(net, x)
        recorder = attach(net) if observe else None
        with nullcontext() if observe else torch.compiler.set_stance("force_eager"):
            loss = step(x)
        assert backend.runs == runs
        if recorder is not None:
            recorder.step()
            recorder.detach()
        return state(net, loss), recorder and recorder.recording(), expected

    plain, _, expected = train(observe=False)
    attached, recording, _ = train(observe=True)
    assert attached == plain
    assert_rows(recording, expected)


def passive_run(how: str, warm: bool, observe: bool) -> tuple[dict[str, Any], tuple[int, int], Any]:
    """Train two steps compiled; return the state, what the backend counted, and the recording."""
    torch._dynamo.reset()
    backend = Counting()
    net, model = compiled_net(how, backend)
    if warm:
        one_step(model, torch.randn(8, 6))
    recorder: Recorder | None = attach(net if how == "inner" else model, passive=True) if observe else None
    losses = []
    for _ in range(2):
        losses.append(one_step(model, torch.randn(8, 6)))
        if recorder is not None:
            recorder.step()
    if recorder is not None:
        recorder.detach()
    assert not hooks_of(model)
    return state(net, *losses), (backend.frames, backend.runs), recorder and recorder.recording()


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("how", ATTACHED)
def test_passive_keeps_a_model_compiled(how: str, warm: bool) -> None:
    plain, counted, _ = passive_run(how, warm, observe=False)
    assert counted == (1, 3 if warm else 2)
    attached, counted_attached, recording = passive_run(how, warm, observe=True)
    assert counted_attached == counted or (how, warm) == ("inner", False)
    assert counted_attached[1] >= counted[1]
    assert attached == plain
    if how != "inner":
        for name in ("first", "act", "hidden"):
            told = facts(recording, f"{prefix_of(recording)}.{name}".lstrip("."))
            assert not told["observed"]
            assert told["reason"].startswith("passive"), told


@pytest.mark.parametrize("how", ["wrapper", "in place"])
def test_passive_leaves_the_stance_alone(how: str) -> None:
    _, model = compiled_net(how, "eager")
    before = eval_frame._stance
    with attach(model, passive=True):
        assert eval_frame._stance is before
        model(torch.randn(4, 6))
        assert eval_frame._stance is before


def test_passive_sees_the_modules_of_a_plain_model_and_says_what_it_hides() -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(8, 6)
    expected = truth(net, x)
    with attach(net, passive=True) as recorder:
        one_step(net, x)
    recording = recorder.recording()
    function = ":relu#0"
    assert_rows(recording, {site: value for site, value in expected.items() if site[0] != function})
    assert not (recording.rows["module"] == function).any()
    assert "passive" in notes(recording)


COMPILED_LATE = """
import sys, torch
from torch import nn
import actdiag
model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
assert "torch._dynamo" not in sys.modules
with actdiag.attach(model) as recorder:
    compiled = torch.compile(model, backend="eager")
    compiled(torch.randn(5, 4)).square().mean().backward()
recording = recorder.recording()
seen = recording.modules["observed"].all() and (recording.rows["tensor"] == "activation_grad").any()
said = any("compile" in note and "not" in note for note in recording.meta["runs"]["model"]["notes"])
assert seen or said, (recording.modules[["name", "reason"]], recording.meta)
"""


def test_a_model_compiled_after_attach_is_observed_or_named() -> None:
    """In a process of its own: the compiler is not loaded yet when the recorder attaches."""
    package = str(Path(actdiag.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", COMPILED_LATE],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
