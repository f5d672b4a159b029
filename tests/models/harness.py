"""The check of a case: nothing changed or left behind, nothing missed or twice, every number true."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from actdiag.recording import Recording
from models.case import Case
from models.ledger import compare
from models.runs import Run, hooks_of, run_attached, run_plain, run_truth, switches


def check(case: Case) -> None:
    """Run a case plainly, attached and for the truth.

    Raises:
        AssertionError: attaching changed something, left something behind, or the recording is not the truth.
    """
    plain, watched, recording, problems = compared(case)
    found, truth = run_truth(case)
    problems += _truth_is_true(case, plain, found)
    problems += compare(case, recording, truth, plain.weights, watched.model)
    assert not problems, f"{case.name}:\n" + "\n".join(problems)


def check_unchanged(case: Case) -> None:
    """Run a case plainly and attached, where there is no truth.

    Raises:
        AssertionError: attaching changed something, or left something behind.
    """
    plain, _, _, problems = compared(case)
    assert plain.error, f"{case.name}: nothing was raised, so there is a truth to check"
    assert not problems, f"{case.name}:\n" + "\n".join(problems)


def compared(case: Case) -> tuple[Run, Run, Recording, list[str]]:
    before = switches()
    plain = run_plain(case)
    watched, recording = run_attached(case)
    return plain, watched, recording, [*_states(plain, watched), *_left_behind(plain, watched, before)]


def _states(plain: Run, watched: Run) -> Iterator[str]:
    """Yield what attaching changed."""
    if plain.error != watched.error:
        yield f"changed: raises {watched.error!r}, plainly {plain.error!r}"
    for name in plain.state.keys() | watched.state.keys():
        one, other, after = (state.get(name) for state in (plain.state, watched.state, watched.after))
        if not same(one, other):
            yield f"changed: {name} is {_short(other)}, plainly {_short(one)}"
        elif not same(one, after):
            yield f"changed by detaching: {name} is {_short(after)}, plainly {_short(one)}"
    for text in set(watched.warned) - set(plain.warned):
        yield f"changed: warns {text!r}"


def _left_behind(plain: Run, watched: Run, before: dict[str, Any]) -> Iterator[str]:
    """Yield hooks, tensors and settings that detaching left behind."""
    hooks, own = hooks_of(watched.model), hooks_of(plain.model)
    for place in hooks:
        if hooks[place] != own.get(place):
            yield f"left behind: hooks {hooks[place]} in {place}, plainly {own.get(place)}"
    for (name, tensor), (_, other) in zip(_tensors(watched), _tensors(plain), strict=True):
        if _hooks_on(tensor) != _hooks_on(other):
            yield f"left behind: {_hooks_on(tensor)} hooks on {name}, plainly {_hooks_on(other)}"
    for place in set(watched.alive) - set(plain.alive):
        yield f"left behind: output {place} is still alive"
    for name, setting in before.items():
        if watched.after[name] != setting:
            yield f"left behind: {name} is {watched.after[name]}, was {setting}"


def _tensors(run: Run) -> list[tuple[str, torch.Tensor]]:
    """Return the parameters and the noted inputs."""
    inputs = [(f"input {place}", leaf) for place, leaf in enumerate(run.leaves)]
    return [*run.model.named_parameters(), *inputs]


def _hooks_on(tensor: torch.Tensor) -> int:
    return len(tensor._backward_hooks or ()) + len(tensor._post_accumulate_grad_hooks or ())


def _truth_is_true(case: Case, plain: Run, found: Run) -> Iterator[str]:
    """Yield where the run for the truth came out differently, so that it is no truth.

    Another way of running (no checkpointing) may add gradients up in another order.
    """
    alike = same if case.truth is None else partial(close, tolerance=case.tolerance)
    if plain.error != found.error:
        yield f"no truth: raises {found.error!r}, plainly {plain.error!r}"
    for name, value in plain.state.items():
        if name.startswith(("result", "gradient", "torch")) and not alike(value, found.state.get(name)):
            yield f"no truth: {name} is {_short(found.state.get(name))}, plainly {_short(value)}"


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, tensors bit by bit with NaN equal to NaN."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return type(one) is type(other) and bool(one == other)
    if (one.dtype, one.shape, one.layout, one.device) != (
        other.dtype,
        other.shape,
        other.layout,
        other.device,
    ):
        return False
    if one.device.type == "meta":
        return True
    if one.is_nested:
        return all(map(same, one.unbind(), other.unbind()))
    one, other = (tensor.detach().to_dense() for tensor in (one, other))
    unequal = one != other
    return not bool((unequal & ~((one != one) & (other != other))).any())


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether two tensors are equal to a part of their size, and anything else is equal."""
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor) or one.shape != other.shape:
        return same(one, other)
    return bool(((one - other).abs() <= tolerance * one.abs().max()).all())


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) < 90 else f"{text[:90]}..."
