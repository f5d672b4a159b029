"""Check: one batch through a model of the user's own, judged, and everything put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from actdiag.arguments import flag
from actdiag.attaching import attach
from actdiag.batches import ModelBatch
from actdiag.capture.outputs import find
from actdiag.cotangents import loss_of, spell
from actdiag.diagnosis import diagnose
from actdiag.errors import ActdiagError, UsageError
from actdiag.importing import describe
from actdiag.isometry import with_jacobian
from actdiag.nonfinite import given_nonfinite
from actdiag.recording import Recording
from actdiag.restoring import restored
from actdiag.types import Diagnosis

OwnLoss = Callable[..., Any]
Stage = Callable[[str], AbstractContextManager[None]]


def check(
    model: nn.Module,
    inputs: Any,
    targets: Any = None,
    loss: OwnLoss | None = None,
    *,
    jacobian: bool = False,
) -> Diagnosis:
    """Say what is wrong with a model: one batch forward and backward, then everything is as it was.

    Put back are gradients, buffers, attributes, training flags, the inputs and the global random states,
    also after an exception, which passes on; see `actdiag.restoring`. Gradients are recorded under
    `no_grad`, too. Modules that a loss uses without being one itself are not known, and keep what the step
    does to them.

    Args:
        model: in the mode to be checked, training or evaluation.
        inputs: a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments.
        targets: whole numbers for cross_entropy, numbers of the outputs' shape for mse; with a `loss`,
            whatever it takes.
        loss: loss(outputs, targets), or loss(outputs) where there are no targets, returning a 0-d tensor.
        jacobian: measure the singular values across the hidden layers, too, for AD402.

    Raises:
        UsageError: no model, no inputs, no loss that fits, a jacobian that is neither True nor False.
        ActdiagError: the loss has no gradient, or the model holds lazy parameters.

    >>> from actdiag import examples
    >>> diagnosis = check(examples.vanishing(), *examples.batches())
    >>> diagnosis.worst.value
    'error'
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"check takes a torch.nn.Module, got {type(model).__name__}")
    if loss is not None and not callable(loss):
        raise UsageError(f"loss is a callable loss(outputs, targets), got {describe(loss)}")
    jacobian = flag("jacobian", jacobian)
    batch = ModelBatch.of(inputs, targets).detached()
    modules = [*model.modules(), *(loss.modules() if isinstance(loss, nn.Module) else ())]
    tensors = [tensor for _, tensor in find((batch.args, batch.keywords, targets)).tensors]
    with restored(modules, tensors):
        recording = measure(model, [batch], loss)
        if jacobian:
            recording = with_jacobian(recording, model, batch)
    return diagnose(recording)


def _plainly(stage: str) -> AbstractContextManager[None]:
    """Let what a stage raises pass."""
    return nullcontext()


def measure(
    model: nn.Module,
    batches: Iterable[ModelBatch],
    loss: OwnLoss | None = None,
    steps: int = 1,
    run: str = "model",
    command: str = "",
    *,
    every: int = 1,
    passive: bool = False,
    tensors: str = "all",
    notes: Sequence[str] = (),
    stage: Stage = _plainly,
) -> Recording:
    """Record forward and backward passes of a model; no optimiser takes a step.

    The gradients of the last batch stay on the model.

    Args:
        model: in the mode to be measured.
        batches: one is taken per step.
        loss: as `check` takes it.
        steps: how many batches to take; a note says so where there are fewer.
        run: name of the run.
        command: the command line that repeats it.
        every: record every so many steps.
        passive: as `attach` takes it.
        tensors: as `attach` takes it.
        notes: for the reader of the recording.
        stage: gives the context that "forward", "loss" and "backward" run in.

    Raises:
        ActdiagError: no batch, or a loss without a gradient.
        UsageError: no loss that fits, layers without shape or values, or a batch without samples.
    """
    _check_shaped(model)
    facts: list[dict[str, Any]] = []
    given: list[str] = []
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        attach(model, run, every=every, passive=passive, tensors=tensors) as recorder,
    ):
        for batch in islice(batches, steps):
            _check_samples(batch)
            given = given or given_nonfinite(model, batch)
            model.zero_grad(set_to_none=True)
            facts.append(_step(model, batch, loss, stage))
            recorder.step()
    if not facts:
        raise ActdiagError("there is no batch to measure: the batches ended before the first")
    short = [f"the batches ended after {len(facts)} of {steps} steps"] * (len(facts) < steps)
    recording = recorder.recording(None, facts[0], [*notes, *short], command)
    recording.meta["runs"][run]["nonfinite"] = given
    return recording


def _step(model: nn.Module, batch: ModelBatch, loss: OwnLoss | None, stage: Stage) -> dict[str, Any]:
    """Go forward and backward, and return what is to be said of the loss."""
    with stage("forward"):
        outputs = model(*batch.args, **batch.keywords)
    with stage("loss"):
        found = loss_of(outputs, batch.targets, loss)
    with stage("backward"):
        found.value.backward()  # type: ignore[no-untyped-call]
    return found.facts


def _check_shaped(model: nn.Module) -> None:
    """Raise where a parameter has no shape, or no values."""
    named = list(model.named_parameters())
    lazy = [name for name, parameter in named if is_lazy(parameter)]
    if lazy:
        raise UsageError(
            f"{len(lazy)} parameters of the model have no shape yet ({lazy[0]}): "
            "run one batch through it first"
        )
    meta = [name for name, parameter in named if parameter.is_meta]
    if meta:
        raise UsageError(
            f"{len(meta)} parameters of the model are on the meta device and have no values ({meta[0]}): "
            "build it on the CPU, or call to_empty() and draw them"
        )


def _check_samples(batch: ModelBatch) -> None:
    """Raise where all tensors of a batch are empty."""
    tensors = [tensor for _, tensor in find((batch.args, batch.keywords)).tensors]
    if tensors and not any(tensor.numel() for tensor in tensors):
        raise UsageError(f"the batch holds no samples: its inputs are {spell(tensors[0])}. Leave it out")
