"""The battery can fail: each way of spoiling capture is noticed, and for the reason meant."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from actdiag.capture import parameters, records, weighing
from actdiag.capture.book import Book
from actdiag.capture.history import Between
from actdiag.capture.leaves import LeafWatch
from actdiag.capture.ledger import Ledger
from actdiag.capture.recorder import Recorder
from actdiag.capture.records import NUMBERS
from actdiag.capture.sites import Site
from actdiag.capture.watcher import Watcher
from actdiag.capture.window import Window
from models.case import Case
from models.cases_graphs import several_steps
from models.harness import check
from models.steps import FEATURES, Net, regression

Patch = pytest.MonkeyPatch


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2), nn.Identity())


CASE = Case("mutation", chain, regression)


class Functional(Net):
    """Calls a function after a layer, and writes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.over = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return layers and activations of every sort."""
        return self.over(self.last(torch.tanh(self.act(self.first(x)))))


FUNCTIONS = Case("mutation, with functions", Functional, regression)
IN_STEPS = Case("mutation, in steps", chain, several_steps, options=lambda model: {"every": 3})


def wrap(patch: Patch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Replace a function by `change(original, *args)`."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: change(original, *args, **kwargs))


def drop_an_observation(patch: Patch) -> None:
    def meet(original: Any, self: Any, site: Any, *args: Any) -> Any:
        return None if site.module == "1" else original(self, site, *args)

    wrap(patch, Book, "meet", meet)


def scale_an_observation(patch: Patch) -> None:
    def state_of(original: Any, self: Any, tensor: torch.Tensor, *args: Any) -> Any:
        return original(self, tensor * 1.01 if self.module == "1" else tensor, *args)

    wrap(patch, Site, "state_of", state_of)


def leave_a_hook(patch: Patch) -> None:
    def detach(original: Any, self: Any, *args: Any) -> None:
        self._handles.pop()
        original(self, *args)

    wrap(patch, Recorder, "detach", detach)


def leave_a_hook_on_the_input(patch: Patch) -> None:
    def clear(original: Any, self: Any) -> None:
        self._handles[:1] = []
        original(self)

    wrap(patch, Book, "clear", clear)


def run_a_module_twice(patch: Patch) -> None:
    def started(original: Any, self: Any, name: str, module: Any, args: Any, kwargs: Any) -> None:
        original(self, name, module, args, kwargs)
        if name == "2":
            module.forward(*args)

    wrap(patch, Watcher, "started", started)


def count_twice(patch: Patch) -> None:
    def see(original: Any, self: Any, *args: Any) -> None:
        for _ in range(1 + (self.module == "1")):
            original(self, *args)

    wrap(patch, Site, "see", see)


def give_a_tensor_two_rows(patch: Patch) -> None:
    patch.setattr(Ledger, "owner", lambda self, tensor: None)


def drop_a_gradient(patch: Patch) -> None:
    def see_gradient(original: Any, self: Any, *args: Any) -> None:
        if self.module != "1":
            original(self, *args)

    wrap(patch, Site, "see_gradient", see_gradient)


def take_a_pass_for_two(patch: Patch) -> None:
    wrap(patch, Site, "see_gradient", lambda original, self, gradient, number: original(self, gradient, 2))


def keep_an_output(patch: Patch) -> None:
    kept = []

    def meet(original: Any, self: Any, site: Any, tensor: torch.Tensor, *args: Any) -> Any:
        kept.append(tensor)
        return original(self, site, tensor, *args)

    wrap(patch, Book, "meet", meet)


def change_a_gradient(patch: Patch) -> None:
    def meet(original: Any, self: Any, site: Any, tensor: torch.Tensor, *args: Any) -> Any:
        if site.module == "0" and tensor.requires_grad:
            tensor.register_hook(lambda gradient: gradient * (1.0 + 2.0**-20))
        return original(self, site, tensor, *args)

    wrap(patch, Book, "meet", meet)


def change_a_parameter(patch: Patch) -> None:
    def step(original: Any, self: Any) -> None:
        original(self)
        with torch.no_grad():
            self._modules["0"].bias[0] += 1e-6

    wrap(patch, Recorder, "step", step)


def change_at_the_end(patch: Patch) -> None:
    def detach(original: Any, self: Any, *args: Any) -> None:
        original(self, *args)
        torch.rand(1)

    wrap(patch, Recorder, "detach", detach)


def change_a_flag(patch: Patch) -> None:
    def step(original: Any, self: Any) -> None:
        original(self)
        self._modules["2"].training = False

    wrap(patch, Recorder, "step", step)


def store_on_the_model(patch: Patch) -> None:
    def step(original: Any, self: Any) -> None:
        original(self)
        self._modules["0"].seen = True

    wrap(patch, Recorder, "step", step)


def scale_a_weight(patch: Patch) -> None:
    def observe_weight(original: Any, weight: torch.Tensor) -> Any:
        return original(weight * 1.01)

    for module in (parameters, weighing):
        wrap(patch, module, "observe_weight", observe_weight)


def leave_a_mode(patch: Patch) -> None:
    patch.setattr(Window, "_leave", lambda self: None)


def warn(patch: Patch) -> None:
    def step(original: Any, self: Any) -> None:
        original(self)
        warnings.warn("a word to the user", stacklevel=1)

    wrap(patch, Recorder, "step", step)


def fail_inside(patch: Patch) -> None:
    def see(original: Any, self: Any, *args: Any) -> None:
        original(self, *args)
        if self.module == "1":
            raise ZeroDivisionError("of the tool's own")

    wrap(patch, Site, "see", see)


def say(patch: Patch, module: str, column: str, value: Any) -> None:
    """Write something into the modules table."""

    def recording(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        found.modules.loc[found.modules["name"] == module, column] = value
        return found

    wrap(patch, Recorder, "recording", recording)


def count_a_call_too_many(patch: Patch) -> None:
    say(patch, "1", "calls", 2)


def name_another_owner(patch: Patch) -> None:
    say(patch, "4", "same_tensor_as", "0")


def name_a_used_parameter(patch: Patch) -> None:
    say(patch, "0", "unused", "bias")


def deny_an_observation(patch: Patch) -> None:
    say(patch, "1", "observed", False)


def hide_a_module(patch: Patch) -> None:
    say(patch, "2", "name", "3")


def forget_the_mode(patch: Patch) -> None:
    patch.setattr(Window, "resume", lambda self: None)


def take_a_stale_entry(patch: Patch) -> None:
    patch.setattr(Ledger, "owner_of", lambda self, entry, tensor: entry.site if entry.own else None)


def end_a_call_unseen(patch: Patch) -> None:
    wrap(
        patch,
        LeafWatch,
        "ended",
        lambda original, self, call, *args: call.name == "act" or original(self, call, *args),
    )


def forget_a_call(patch: Patch) -> None:
    def see(original: Any, self: Any, facts: Any, *args: Any) -> None:
        original(self, facts, *args)
        facts.calls -= facts.name == "1"

    wrap(patch, LeafWatch, "_see", see)


def scale_a_size(patch: Patch) -> None:
    wrap(patch, weighing, "sizes", lambda original, tensors: original(tensors) * [1.0, 1.0, 1.01, 1.0, 1.0])


def drop_a_row_between(patch: Patch) -> None:
    def add(original: Any, self: Any, number: int, sizes: Any) -> None:
        original(self, number, sizes._replace(places=sizes.places[1:], found=sizes.found[1:]))

    wrap(patch, Between, "add", add)


def drop_a_step_between(patch: Patch) -> None:
    wrap(
        patch,
        Between,
        "add",
        lambda original, self, number, sizes: number == 1 or original(self, number, sizes),
    )


def keep_a_step_twice(patch: Patch) -> None:
    wrap(patch, Between, "add", lambda original, self, *step: (original(self, *step), original(self, *step)))


def guess_what_was_not_read(patch: Patch) -> None:
    def rows(original: Any, self: Any) -> Any:
        found = original(self)
        found.numbers[:, NUMBERS.index("mean")] = 0.0
        return found

    wrap(patch, weighing.Sizes, "rows", rows)


def set_the_wrong_sizes_beside(patch: Patch) -> None:
    def set_beside(original: Any, places: Any, numbers: Any) -> None:
        original(places, numbers)
        numbers[:, NUMBERS.index("grad_to_weight")] *= 1.01

    for module in (records, weighing):
        wrap(patch, module, "set_beside", set_beside)


MUTATIONS: dict[Callable[[Patch], None], str] = {
    drop_an_observation: r"missing: \(0, '1', 0, '', 'activation', 0\)",
    scale_an_observation: r"wrong: \(0, '1', 0, '', 'activation', 0\): rms is",
    leave_a_hook: r"left behind: hooks \['actdiag\.capture",
    leave_a_hook_on_the_input: "left behind: 1 hooks on input 0, plainly 0",
    run_a_module_twice: "changed: torch random state",
    count_twice: r"wrong: \(0, '1', 0, '', 'activation', 0\): count is 160, the truth is 80",
    give_a_tensor_two_rows: r"no truth for the row \(0, '4', 0, '', 'output', 0\)",
    drop_a_gradient: r"missing: \(0, '1', 0, '', 'activation_grad', 1\)",
    take_a_pass_for_two: r"no truth for the row \(0, '1', 0, '', 'activation_grad', 2\)",
    keep_an_output: "left behind: output 0 is still alive",
    change_a_gradient: r"changed: gradient 0\.weight",
    change_a_parameter: r"changed: parameter 0\.bias",
    change_at_the_end: "changed by detaching: torch random state",
    change_a_flag: "changed: training 2 is False, plainly True",
    store_on_the_model: "changed: attributes 0",
    scale_a_weight: r"wrong: \(0, '0', 0, '', 'weight', 0\): rms is",
    leave_a_mode: "left behind: function modes",
    warn: "changed: warns 'a word to the user'",
    fail_inside: "failed: .* could not be measured: ZeroDivisionError",
    count_a_call_too_many: "wrong: '1' called 2 times, was 1",
    deny_an_observation: "silent: '1' was not observed, and no reason is given",
    hide_a_module: "missing: '2' is not in the modules table",
    name_another_owner: "wrong: '4' passes on the tensor of {'3'}, it says '0'",
    name_a_used_parameter: "wrong: '0' has unused 'bias', unused are []",
    set_the_wrong_sizes_beside: r"wrong: \(0, '0', 0, '', 'weight_grad', 1\): grad_to_weight is",
    forget_a_call: "wrong: '1' called 0 times, was 1",
    forget_the_mode: r"missing: \(0, ':tanh#0', 0, '', 'activation', 0\)",
    take_a_stale_entry: r"missing: \(0, 'over', 0, '', 'activation', 0\)",
    end_a_call_unseen: r"missing: \(0, 'act', 0, '', 'activation', 0\)",
    scale_a_size: r"wrong: \(1, '0', 0, '', 'weight', 0\): rms is",
    drop_a_row_between: r"missing: \(1, '0', 0, '', 'weight', 0\)",
    drop_a_step_between: r"missing: \(1, '3', 0, '', 'weight_grad', 1\)",
    keep_a_step_twice: r"twice: \(1, '0', 0, '', 'weight', 0\)",
    guess_what_was_not_read: r"wrong: \(2, '3', 0, '', 'weight', 0\): mean is .*, it was not read",
}
"""What is spoilt -> what the battery must say."""
ELSEWHERE = {
    **dict.fromkeys((forget_the_mode, take_a_stale_entry, end_a_call_unseen), FUNCTIONS),
    **dict.fromkeys((scale_a_size, drop_a_row_between, drop_a_step_between), IN_STEPS),
    **dict.fromkeys((keep_a_step_twice, guess_what_was_not_read), IN_STEPS),
}
"""What the usual case cannot show."""


@pytest.mark.parametrize("case", [CASE, FUNCTIONS, IN_STEPS], ids=lambda case: case.name)
def test_the_case_is_clean(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_the_battery_notices(mutation: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutation(monkeypatch)
    try:
        with pytest.raises(AssertionError, match=MUTATIONS[mutation].replace("[]", r"\[\]")):
            check(ELSEWHERE.get(mutation, CASE))
    finally:
        while torch._C._len_torch_function_stack():
            torch._C._pop_torch_function_stack()


def test_an_exception_of_the_tool_is_no_part_of_the_case(monkeypatch: Patch) -> None:
    def started(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Watcher, "started", started)
    with pytest.raises(ZeroDivisionError):
        check(CASE)


def test_a_listed_gap_that_is_none_is_noticed(monkeypatch: Patch) -> None:
    monkeypatch.setattr("models.ledger.NOT_OBSERVED", (("mutation", "1", "anything"),))
    with pytest.raises(AssertionError, match="listed as not observed, yet it was: '1', 'anything'"):
        check(CASE)
