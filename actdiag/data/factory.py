"""The user's own data: `pkg.mod:callable`, called without arguments, returns (inputs, targets)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from actdiag.data.batch import Batch, draw_batch
from actdiag.errors import ActdiagError
from actdiag.importing import call, current_folder_on_path, describe, find
from actdiag.types import RunSpec


def load(spec: RunSpec, parameter: str) -> Batch:
    """Draw a batch of what the callable returns.

    Inputs are a tensor or array `(samples, ...)`, flattened to `(samples, features)`; targets are
    `(samples,)` whole class numbers >= 0. The current folder is on `sys.path` for the import and the call.

    Raises:
        ActdiagError: nothing to import or call, a callable that raises, or another shape or type.
    """
    with current_folder_on_path():
        returned = call(parameter, _find(parameter))
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise ActdiagError(f"{parameter} must return (inputs, targets), got {describe(returned)}")
    inputs, targets = _inputs(parameter, returned[0]), _targets(parameter, returned[1])
    if len(inputs) != len(targets):
        raise ActdiagError(
            f"{parameter} must return one target for each sample, got {len(inputs)} samples "
            f"and {len(targets)} targets"
        )
    return draw_batch(spec, inputs, targets)


def _find(name: str) -> Any:
    found = find(name, "data")
    if not callable(found):
        raise ActdiagError(f"{name} must be a callable without arguments, got {describe(found)}")
    return found


def _inputs(name: str, value: Any) -> torch.Tensor:
    inputs = _tensor(f"{name}: inputs", value)
    if inputs.is_complex():
        raise ActdiagError(f"{name}: inputs must be real numbers, got {inputs.dtype}")
    if inputs.ndim < 2 or not inputs.numel():
        raise ActdiagError(
            f"{name}: inputs must have the shape (samples, features, ...), none of them 0, "
            f"got {tuple(inputs.shape)}"
        )
    if inputs.dtype not in (torch.uint8, torch.float32):
        inputs = inputs.to(torch.float64)
    return inputs.reshape(len(inputs), -1)


def _targets(name: str, value: Any) -> torch.Tensor:
    targets = _tensor(f"{name}: targets", value)
    if targets.ndim != 1:
        raise ActdiagError(f"{name}: targets must have the shape (samples,), got {tuple(targets.shape)}")
    if targets.is_floating_point() or targets.is_complex():
        raise ActdiagError(
            f"{name}: targets must be whole class numbers, got {targets.dtype}: cast them to int64"
        )
    targets = targets.to(torch.int64)
    if len(targets) and int(targets.min()) < 0:
        raise ActdiagError(f"{name}: targets must be class numbers >= 0, got {int(targets.min())}")
    return targets


def _tensor(what: str, value: Any) -> torch.Tensor:
    try:
        if isinstance(value, torch.Tensor):
            return value.detach().cpu().to_dense() if not value.is_quantized else value.detach().dequantize()
        array = np.array(value)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ActdiagError(
            f"{what} must be a tensor or an array of numbers, got {describe(value)}"
        ) from error
