"""Running a case: plainly, attached, and for the truth; with what is left behind."""

from __future__ import annotations

import gc
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

import actdiag
from actdiag.recording import Recording
from models.case import Case, Probe
from models.figures import Array, array
from models.frames import without_theory
from models.truth import Truth, measurable
from models.walk import tensors_in

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
Weights = dict[str, tuple[Array, Array | None]]


@dataclass
class Run:
    """What a run left behind.

    Attributes:
        model: afterwards.
        result: what the step returned, without graph.
        error: type and text of the exception, "" where there was none.
        state: name -> parameter, gradient, buffer, flag, random state, at the end of the step.
        after: the same once detached, and the settings of the process.
        weights: for each training step, parameter -> (value, gradient) at its end.
        warned: texts of the warnings.
        alive: which noted outputs outlived the step.
        leaves: the noted inputs.
    """

    model: nn.Module
    result: Any = None
    error: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    weights: list[Weights] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)
    leaves: list[torch.Tensor] = field(default_factory=list)


def seed(number: int) -> None:
    """Set every generator that a model may draw from."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def built(case: Case) -> nn.Module:
    """Return the case's model, always the same."""
    seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.build()


def run_plain(case: Case) -> Run:
    """Run a case without anything around it."""
    run = Run(built(case))
    _run(case, run, lambda: run.weights.append(weights_of(run.model)), case.around())
    run.weights = run.weights or [weights_of(run.model)]
    return run


def run_attached(case: Case) -> tuple[Run, Recording]:
    """Run a case attached."""
    run = Run(built(case))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recorder = actdiag.attach(run.model, **case.options(run.model))
        try:
            _run(case, run, recorder.step, _no_change())
        finally:
            recorder.detach()
        recording = without_theory(recorder.recording())
    run.warned += [str(warning.message) for warning in caught]
    run.after = state_of(run.model, run.result) | switches()
    return run, recording


def run_truth(case: Case) -> tuple[Run, Truth]:
    """Run a case for the truth."""
    run = Run(built(case))
    if case.truth is not None:
        case.truth(run.model)
    truth = Truth(case.gradient_scale, case.after_hooks, case.options(run.model).get("every", 1))
    with truth.watching(run.model):
        _run(case, run, truth.end_step, case.around())
    return run, truth


@contextmanager
def _no_change() -> Iterator[None]:
    yield


def _run(case: Case, run: Run, close: Callable[[], None], around: AbstractContextManager[Any]) -> Run:
    probe = Probe(close)
    seed(1)
    with around, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.result, run.error = _stepped(case, run.model, probe)
    run.warned += [str(warning.message) for warning in caught]
    run.state = state_of(run.model, run.result)
    run.leaves = probe.leaves
    run.alive = _alive(probe)
    return run


def _stepped(case: Case, model: nn.Module, probe: Probe) -> tuple[Any, str]:
    try:
        return _frozen(case.step(model, probe)), ""
    except BaseException as error:
        if case.raises is None or type(error) is not case.raises:
            raise
        return None, f"{type(error).__name__}: {error}"


def _frozen(result: Any) -> list[Any]:
    """Return tensors without graph, and anything else as text."""
    found = [tensor.detach().clone() for _, tensor in tensors_in(result)]
    return found or [repr(result)]


def _alive(probe: Probe) -> list[int]:
    places = [place for place, output in enumerate(probe.outputs) if output() is not None]
    if places:
        gc.collect()
    return [place for place in places if probe.outputs[place]() is not None]


def weights_of(model: nn.Module) -> Weights:
    """Return every parameter's value and gradient."""
    named = dict(model.named_parameters(remove_duplicate=False))
    with _disable_current_modes():
        return {
            name: (array(parameter), None if parameter.grad is None else array(parameter.grad.to_dense()))
            for name, parameter in named.items()
            if not is_lazy(parameter) and measurable(parameter)
        }


def state_of(model: nn.Module, result: Any) -> dict[str, Any]:
    """Return all that attaching must leave alone."""
    state: dict[str, Any] = {f"result {place}": part for place, part in enumerate(result or [])}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        value = repr(parameter) if is_lazy(parameter) else parameter.detach()
        state |= {f"parameter {name}": value, f"gradient {name}": parameter.grad}
        state[f"requires_grad {name}"] = parameter.requires_grad
    state |= {f"buffer {name}": buffer for name, buffer in model.named_buffers()}
    state |= {f"training {name}": module.training for name, module in model.named_modules()}
    state["torch random state"] = torch.get_rng_state()
    kind, keys, *rest = np.random.get_state()
    state |= {"numpy random state": [kind, keys.tolist(), *rest], "python random state": random.getstate()}
    return state | {f"attributes {name}": sorted(vars(module)) for name, module in model.named_modules()}


def switches() -> dict[str, Any]:
    """Return the process's settings, which must be what they were."""
    return {
        "function modes": torch.overrides._get_current_function_mode_stack(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "global hooks": [
            len(getattr(torch.nn.modules.module, f"_global_{name}"))
            for name in ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")
        ],
    }


def hooks_of(model: nn.Module) -> dict[str, list[str]]:
    """Return the hooks on every module, by the name of their kind."""
    return {
        f"{name} {table}": [_describe(hook) for hook in getattr(module, table).values()]
        for name, module in model.named_modules()
        for table in HOOKS
    }


def _describe(hook: Any) -> str:
    return f"{getattr(hook, '__module__', '')}.{getattr(hook, '__qualname__', type(hook).__qualname__)}"
