"""Jacobian: the singular values across a model's hidden layers, and everything as it was."""

from __future__ import annotations

from typing import Any

from torch import nn

from actdiag.arguments import whole
from actdiag.batches import ModelBatch
from actdiag.capture.outputs import find
from actdiag.checking import measure
from actdiag.errors import UsageError
from actdiag.importing import describe
from actdiag.isometry import SAMPLES, STEPS, Jacobian, of_chain
from actdiag.restoring import restored


def jacobian(model: nn.Module, inputs: Any, samples: int = SAMPLES, steps: int = STEPS) -> Jacobian:
    """Measure the Jacobian of a model's longest chain of hidden layers, from its first to its last.

    The model, the inputs and the random states are left as they were.

    Args:
        model: in the mode to be measured.
        inputs: as `check` takes them.
        samples: how many samples, the first ones of the batch.
        steps: of Lanczos; with as many as a layer has units all singular values are found.

    Raises:
        UsageError: no model, no inputs, or numbers that are none.
        ActdiagError: fewer than two hidden layers, or derivatives that do not exist or are not finite.

    >>> from actdiag import examples
    >>> found = jacobian(examples.healthy(), examples.batches()[0])
    >>> found.layers, 0.2 < found.per_layer < 5.0
    (2, True)
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"jacobian takes a torch.nn.Module, got {describe(model)}")
    samples, steps = whole("samples", samples, 1), whole("steps", steps, 1)
    batch = ModelBatch.of(inputs).detached()
    tensors = [tensor for _, tensor in find((batch.args, batch.keywords)).tensors]
    with restored(model.modules(), tensors):
        recording = measure(model, [batch])
        return of_chain(model, batch, recording, samples, steps)
