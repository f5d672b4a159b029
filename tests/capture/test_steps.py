"""Steps, notes and what goes wrong around them."""

from __future__ import annotations

import copy
import gc
import pickle
import signal
import sys
import threading

import pytest
import torch
import torch.utils.checkpoint
from capturing import record, row
from torch import nn

from actdiag import attach
from actdiag.capture import Recorder
from actdiag.capture.sites import Site
from actdiag.errors import UsageError


def test_a_recorder_that_nobody_holds_takes_its_hooks_off() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    recorder = attach(model)
    assert model[0]._forward_hooks
    del recorder
    gc.collect()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_a_recorder_that_was_taken_off_is_not_entered_again() -> None:
    with attach(nn.Linear(2, 2)) as recorder:
        pass
    with (
        pytest.raises(UsageError, match=r"^this recorder was taken off its model: attach\(model\) makes"),
        recorder,
    ):
        pass


def test_gradients_left_over_from_before_are_none_of_this_step() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "cut": nn.Linear(3, 3), "left": nn.Linear(4, 2)})
    model["left"](torch.randn(2, 4)).sum().backward()

    def step() -> None:
        h = model["used"](torch.randn(5, 4))
        (h + model["cut"](h).detach()).square().sum().backward()

    step()
    for clear in (lambda: None, lambda: model.zero_grad(set_to_none=False)):
        clear()
        with attach(model) as recorder:
            step()
            clear()
            step()
        modules = recorder.recording().modules.set_index("name")
        assert modules.loc[["used", "cut", "left"], "unused"].tolist() == ["", "bias, weight", "bias, weight"]
        assert modules.loc["left", "reason"] == "not called"
        assert "left" not in recorder.recording().rows["module"].tolist()


def test_a_weight_of_a_second_optimiser_is_taken_as_unscaled_and_a_note_says_so() -> None:
    model = nn.Linear(4, 2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with attach(model, scaler=scaler) as recorder:
        scaler.scale(model(torch.randn(3, 4)).sum()).backward()
        scaler.unscale_(optimiser)
        recorder.step()
    notes = recorder.recording().meta["runs"]["model"]["notes"]
    assert [note.partition(":")[0] for note in notes] == ["scaler.unscale_ ran before step()"]


def test_steps_without_a_forward_do_not_count_as_the_first() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    with attach(model) as recorder:
        recorder.step()
        for _ in range(3):
            model(torch.randn(5, 4)).sum().backward()
            recorder.step()
    recording = recorder.recording()
    kept = recording.rows.loc[list(recording.histograms), "step"]
    assert sorted(kept.unique()) == [1, 3]


def test_renaming_and_the_like_is_no_write() -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.last = nn.Flatten(), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = self.flat(x * 2.0)
            flat.requires_grad_()
            return self.last(flat)

    recording = record(Views(), torch.randn(4, 2, 3, requires_grad=True))
    assert recording.modules.set_index("name").loc["flat", "reason"] == ""


@pytest.mark.parametrize("view", [False, True])
def test_a_write_under_inference_mode_is_seen(view: bool) -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.same = nn.Linear(4, 3), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.first(x)
            (z.view(-1) if view else z).mul_(3.0)
            return self.same(z)

    model = Writes()
    with torch.inference_mode(), attach(model) as recorder:
        model(torch.randn(5, 4))
    recording = recorder.recording()
    once, thrice = row(recording, "first", "preactivation"), row(recording, "same", "output")
    assert thrice["rms"] == pytest.approx(3.0 * once["rms"], rel=1e-6)


def test_a_step_while_another_thread_runs_the_model_loses_nothing() -> None:
    model, stop = nn.Sequential(*[nn.Linear(6, 6) for _ in range(12)]), threading.Event()

    def evaluate() -> None:
        with torch.no_grad():
            while not stop.is_set():
                model(torch.randn(3, 6))

    worker, interval = threading.Thread(target=evaluate), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with attach(model) as recorder:
            worker.start()
            for _ in range(15):
                model(torch.randn(5, 6)).sum().backward()
                recorder.step()
            stop.set()
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    recording = recorder.recording()
    assert not [note for note in recording.meta["runs"]["model"]["notes"] if "could not" in note]
    assert set(range(15)) <= set(recording.rows["step"])


def test_a_stance_that_the_user_sets_while_attached_stays() -> None:
    from torch._dynamo import eval_frame

    model = nn.Linear(2, 2)
    before = eval_frame._stance
    with attach(model):
        torch.compiler.set_stance("eager_on_recompile")
    try:
        assert eval_frame._stance.stance == "eager_on_recompile"
    finally:
        eval_frame._set_stance(before)


def test_modules_that_came_late_keep_their_order() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    recorder = attach(model)
    for name in ("zeta", "alpha", "mid"):
        model.add_module(name, nn.Identity())
    recorder.detach()
    assert recorder.recording().modules["name"].tolist() == ["", "0", "zeta", "alpha", "mid"]


OWNERS = ("the model", "0")
"""Of the input, and of the output."""


def test_one_note_for_many_sizes() -> None:
    model = nn.Sequential(nn.Softmax(-1))
    with attach(model) as recorder:
        for length in range(2, 30):
            model(torch.randn(3, length, requires_grad=True)).square().sum().backward()
        recorder.step()
    notes = recorder.recording().meta["runs"]["model"]["notes"]
    assert notes == [f"{name}: tensors with other numbers of units have rows of their own" for name in OWNERS]


def test_validation_inside_a_step_is_left_out() -> None:
    model, training = nn.Sequential(nn.Linear(4, 3), nn.Tanh()), torch.randn(8, 4)

    def validate() -> None:
        with torch.no_grad():
            model(torch.randn(100, 4) * 50.0)

    with attach(model) as recorder:
        for _ in range(2):
            model(training).square().sum().backward()
            recorder.step()
            validate()
    recording = recorder.recording()
    assert recording.rows["step"].unique().tolist() == [0, 1]
    assert set(recording.rows.loc[recording.rows["tensor"] == "activation", "samples"]) == {8}
    notes = recording.meta["runs"]["model"]["notes"]
    assert notes == ["forward passes under no_grad beside others in a step are left out, as validation"]


def test_forward_passes_alone_are_added_up() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    with torch.no_grad(), attach(model) as recorder:
        for _ in range(3):
            model(torch.randn(5, 4))
    rows = recorder.recording().rows
    assert rows.query("tensor == 'activation'")["samples"].tolist() == [15]


def test_more_calls_than_can_be_kept_apart_are_added_up_in_words() -> None:
    cell = nn.RNNCell(3, 3)
    with attach(cell) as recorder:
        h = torch.zeros(2, 3)
        for _ in range(300):
            h = cell(torch.zeros(2, 3), h)
        h.sum().backward()
        recorder.step()
    recording = recorder.recording()
    rows = recording.rows.query("tensor == 'preactivation'")
    assert (rows["call"].max(), rows["samples"].sum()) == (255, 600)
    assert "called more than 256 times" in recording.meta["runs"]["model"]["notes"][0]


@pytest.mark.parametrize(
    ("where", "words"),
    [("before", "step() belongs after backward()"), ("grad", "no parameter holds a gradient at step()")],
)
def test_a_step_in_the_wrong_place_is_told(where: str, words: str) -> None:
    model = nn.Linear(4, 3)
    with attach(model) as recorder:
        loss = model(torch.randn(5, 4)).sum()
        if where == "grad":
            torch.autograd.grad(loss, list(model.parameters()))
        recorder.step()
    assert words in " ".join(recorder.recording().meta["runs"]["model"]["notes"])


class Late(Exception):  # noqa: N818 - as a time limit raises it
    """Raised by a signal's handler."""


# Python drops what is raised inside a destructor or another library's callback of the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_signal_raises_reaches_the_user() -> None:
    def ring(number: int, frame: object) -> None:
        raise Late

    model = nn.Sequential(*[nn.Linear(32, 32) for _ in range(20)])
    before = signal.signal(signal.SIGALRM, ring)
    rang = 0
    try:
        with attach(model) as recorder:
            for number in range(60):
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0003 * number)
                try:
                    for _ in range(1000):
                        model(torch.randn(16, 32)).sum().backward()
                        recorder.step()
                except Late:
                    rang += 1
                    model.zero_grad()
                assert torch.is_grad_enabled()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert rang > 50  # not 60: some are dropped
    assert torch.overrides._len_torch_function_stack() == 0


def test_symbolic_tracing_sees_the_model_alone() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(nn.functional.linear(x, self.weight))

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Functional()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    model = Outer()
    plain = [node.name for node in torch.fx.symbolic_trace(model).graph.nodes]
    with attach(model) as recorder:
        assert [node.name for node in torch.fx.symbolic_trace(model).graph.nodes] == plain
    assert len(recorder.recording().rows) == 0


def test_odd_modules_are_attached_to() -> None:
    class Own(nn.Linear):
        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.scale = nn.Parameter(torch.ones(3))

        def parameters(self) -> list[nn.Parameter]:  # type: ignore[override]
            return [self.scale]

        def named_modules(self) -> list[object]:  # type: ignore[override]
            return []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

    recording = record(Own(), torch.randn(4, 3))
    assert recording.modules["kind"].tolist() == ["other"]
    assert row(recording, "", "output")["samples"] == 4


def test_a_weight_that_cannot_be_read_takes_no_other_row_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from actdiag.capture import weighing as recording_side

    plain = recording_side.observe_weight

    def fail(weight: torch.Tensor) -> object:
        if weight.shape == (2, 3):
            raise RuntimeError("no such operation")
        return plain(weight)

    monkeypatch.setattr(recording_side, "observe_weight", fail)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    recording = record(model, torch.randn(5, 4))
    assert set(recording.rows["module"]) == {"", "0", "1"}
    assert "no such operation" in recording.modules.set_index("name").loc["1", "reason"]


def test_a_recorder_copies_as_itself_and_refuses_to_be_pickled() -> None:
    model = nn.Linear(2, 2)
    with attach(model) as recorder:
        assert copy.copy(recorder) is recorder
        assert copy.deepcopy([recorder])[0] is recorder
        with pytest.raises(TypeError, match=r"pickle or save its recording\(\)"):
            pickle.dumps(recorder)


def test_a_thousand_steps_of_a_cell_are_not_quadratic() -> None:
    book = Recorder(nn.Linear(2, 2))._book
    alive = [torch.ones(1) for _ in range(5)]
    for tensor in alive:
        book.ledger.claim(tensor, Site("", "Linear", 0, 0, "", "output"))
    looked: list[int] = []
    book.ledger._entries = Counting(book.ledger._entries, looked)
    for _ in range(100):
        book.prune()
    assert looked == []


class Counting(dict[int, object]):
    """Notes when its items are gone through."""

    def __init__(self, entries: dict[int, object], looked: list[int]) -> None:
        super().__init__(entries)
        self.looked = looked

    def items(self) -> object:  # type: ignore[override]
        """Note it."""
        self.looked.append(len(self))
        return super().items()


def test_products_by_function_have_their_gradient_under_reentrant_checkpointing() -> None:
    class Part(nn.Module):
        def __init__(self, reentrant: bool | None) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.first, self.weight = nn.Linear(4, 5), nn.Parameter(torch.randn(3, 5))
            self.reentrant = reentrant

        def part(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(torch.tanh(self.first(x)), self.weight).square()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.reentrant is None:
                return self.part(x)
            return torch.utils.checkpoint.checkpoint(self.part, x, use_reentrant=self.reentrant)

    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(5)).requires_grad_()
    plain = record(Part(None), x)
    for reentrant in (True, False):
        seen = record(Part(reentrant), x)
        for module, tensor in [(":linear#0", "preactivation_grad"), (":tanh#0", "activation_grad")]:
            expected = row(plain, module, tensor)["rms"]
            assert row(seen, module, tensor)["rms"] == pytest.approx(expected, rel=1e-6)


def test_a_weight_has_the_type_that_it_has_at_the_step() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    with attach(model) as recorder:
        for dtype in (torch.float32, torch.float64):
            model.to(dtype)
            model(torch.randn(6, 4, dtype=dtype)).sum().backward()
            recorder.step()
    rows = recorder.recording().measured
    for tensor in ("weight", "weight_grad", "activation"):
        types = rows[rows["tensor"] == tensor].groupby("step")["dtype"].unique()
        assert [list(found) for found in types] == [["float32"], ["float64"]], tensor
