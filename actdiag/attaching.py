"""Attach: the public call around a training step of any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from actdiag.capture import Options, Recorder
from actdiag.errors import UsageError
from actdiag.recording import Recording
from actdiag.texts import encodable


def attach(
    model: nn.Module,
    run: str = "model",
    *,
    every: int = 1,
    select: str | Sequence[str] | None = None,
    batch_axis: int = 0,
    passive: bool = False,
    keep: str = "auto",
    scaler: Any = None,
    tensors: str = "all",
) -> Recorder:
    """Attach to a model and record every layer's tensors and their gradients, step by step.

    Loss, gradients, parameters, buffers, random states and training flags are bit for bit those of the same
    model run eagerly without it. What cannot be seen is named with its reason in the modules table.

    Args:
        model: any module; also a submodule, or the wrapper of a compiled or distributed model.
        run: name of the run in the recording.
        every: record steps 0, every, 2 every, ...; in between the hooks rest, and `step()` reads of the
            weights and their gradients the rms and the counts of NaN and Inf.
        select: patterns of module names, as "encoder.*"; None is all.
        batch_axis: axis of the samples, where a module's type does not tell.
        passive: change no path: compiled models stay compiled and Transformer layers fast, and what that
            hides is listed (AD001). Otherwise compiled models run eagerly while attached.
        keep: "auto" keeps histograms and unit arrays for the first step, the last and those with a new
            finding; "all" keeps every step's. Rows are kept for every recorded step.
        scaler: a `torch.amp.GradScaler`, whose scale is divided out of the gradients.
        tensors: "all" records every output and its gradient, and the weights in full; "activations" the
            outputs of known activations, their gradients, and of weights the rms and the counts of NaN and
            Inf, for about half the cost.

    Returns:
        A recorder to use in a `with` block or to `detach()`. Call its `step()` after each `backward()`; what
        lies between two calls is one step, and its micro-batches are added up.

    Raises:
        UsageError: not a module, or an option out of its range.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> with attach(model) as recorder:
    ...     model(torch.randn(16, 4)).square().mean().backward()
    ...     recorder.step()
    >>> recorder.recording().measured.query("tensor == 'activation'")["layer"].tolist()
    [1]
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"attach takes a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(run, str):
        raise UsageError(f"run is a name in the recording, as 'model', got {run!r}")
    options = Options.of(
        select,
        every=every,
        batch_axis=batch_axis,
        passive=passive,
        keep=keep,
        scaler=scaler,
        tensors=tensors,
    )
    return Recorder(model, encodable(run), options, _codes_found, _predicted)


def _predicted(recording: Recording, biases: Mapping[str, tuple[float, float]]) -> Recording:
    from actdiag.predictions import predicted

    return predicted(recording, biases)


def _codes_found(recording: Recording) -> frozenset[str]:
    from actdiag.diagnosis import codes_found

    return codes_found(recording)
