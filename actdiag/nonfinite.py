"""The first NaN or Inf among what a model is given: which tensor, where in it, and which of the two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from actdiag.batches import ModelBatch
from actdiag.capture.outputs import arguments, find, obstacle


def given_nonfinite(model: nn.Module, batch: ModelBatch) -> list[str]:
    """Return the first place that is not finite in the parameters, in the inputs and in the targets.

    >>> given_nonfinite(nn.Identity(), ModelBatch.of(torch.tensor([[1.0, float("inf")]])))
    ['input[0, 1] is inf']
    """
    inputs = (
        (f"input '{path}'" if path else "input", tensor)
        for path, tensor in arguments(batch.args, batch.keywords).tensors
    )
    targets = (("targets", tensor) for _, tensor in find(batch.targets).tensors)
    return [place for given in (model.named_parameters(), inputs, targets) for place in _first(given)]


@torch.no_grad()
def _first(named: Iterable[tuple[str, torch.Tensor]]) -> Iterator[str]:
    """Yield the first place that is not finite, where there is one."""
    for name, tensor in named:
        if obstacle(tensor) or not tensor.is_floating_point() or tensor.isfinite().all():
            continue
        place = (~tensor.isfinite()).nonzero()[0].tolist()
        yield f"{name}{place or ''} is {tensor[tuple(place)].item()}"
        return
