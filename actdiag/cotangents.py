"""Where the gradient starts: the user's loss, one that fits the targets, or a fixed random cotangent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from actdiag.capture.outputs import find, obstacle
from actdiag.errors import ActdiagError, UsageError
from actdiag.importing import describe

SEED = 0
"""Of the cotangent: the same for every model, so that two runs can be compared."""
IGNORED = -100
"""The target that torch's cross_entropy leaves out."""


@dataclass(frozen=True)
class Loss:
    """A scalar to differentiate.

    Attributes:
        value: 0-d, needs grad.
        kind: cross_entropy, mse, the name of the user's callable, output or inner product.
        reduction: how the samples were put together, None where that is the user's affair.
        cotangent: what the output was multiplied by, None where a loss was there.
    """

    value: torch.Tensor
    kind: str
    reduction: str | None = None
    cotangent: str | None = None

    @property
    def facts(self) -> dict[str, float | str | None]:
        """Return what the recording says of the loss; a value that is not finite as its name."""
        value = self.value.item()
        return {
            "kind": self.kind,
            "reduction": self.reduction,
            "value": value if math.isfinite(value) else str(value),
            "cotangent": self.cotangent,
        }


def loss_of(outputs: Any, targets: Any = None, loss: Callable[..., Any] | None = None) -> Loss:
    """Return the scalar whose gradient is measured.

    With a `loss`: what it says of (outputs, targets), or of (outputs) where there are no targets. Without
    one: cross_entropy or mse, whichever fits the targets. Without targets: the outputs' own `loss`, or a
    scalar output, else <y, z> of the output y with a fixed z ~ N(0, 1). Never the sum of the outputs: behind
    a LayerNorm or a softmax its gradient is exactly zero.

    Raises:
        UsageError: the loss is no 0-d tensor, or none fits.
        ActdiagError: nothing trainable takes part in it.
    """
    if loss is not None:
        found = _called(loss, (outputs,) if targets is None else (outputs, targets))
    else:
        found = _without_targets(outputs) if targets is None else _fitting(outputs, targets)
    if not found.value.requires_grad:
        raise ActdiagError(
            "the loss has no gradient: no trainable parameter takes part in it. Is everything frozen, or was "
            "the graph cut by detach(), no_grad() or item()?"
        )
    return found


def _called(loss: Callable[..., Any], args: tuple[Any, ...]) -> Loss:
    value = loss(*args)
    if not isinstance(value, torch.Tensor) or value.dim():
        raise UsageError(f"loss must return a 0-d tensor, got {spell(value)}: return its mean")
    if value.is_complex():
        raise UsageError(f"loss must return a real number, got {spell(value)}: return its abs() or .real")
    reduction = getattr(loss, "reduction", None)
    return Loss(value, _name(loss), reduction if isinstance(reduction, str) else None)


def _name(loss: Any) -> str:
    loss = getattr(loss, "func", loss)  # a partial
    return str(getattr(loss, "__name__", type(loss).__name__))


def _fitting(outputs: Any, targets: Any) -> Loss:
    """Return the mean cross_entropy of class numbers, or the mean squared error."""
    path, output = _output(outputs, lowest_dim=1)
    if isinstance(targets, torch.Tensor):
        if _whole(targets) and output.dim() >= 2 and targets.shape == _positions(output):
            return _cross_entropy(output, targets)
        if targets.is_floating_point() and targets.shape == output.shape:
            return Loss(functional.mse_loss(output, targets.to(output.dtype)), "mse", "mean")
    classes = f"whole numbers of shape {_shape(_positions(output))} or " if output.dim() > 1 else ""
    raise UsageError(
        f"no loss is known for the output{path}, {spell(output)}, and these targets: {spell(targets)}. "
        f"Targets are {classes}floating numbers of shape {_shape(output.shape)}; else give a loss of your own"
    )


def _positions(output: torch.Tensor) -> torch.Size:
    """Return the shape without the classes: (samples, ...) of (samples, classes, ...)."""
    return output.shape[:1] + output.shape[2:]


def _cross_entropy(output: torch.Tensor, targets: torch.Tensor) -> Loss:
    classes = output.shape[1]
    if classes < 2:
        raise UsageError(
            f"an output of shape {_shape(output.shape)} has one class, whose cross_entropy is always 0: "
            "give a loss of your own, such as binary_cross_entropy_with_logits"
        )
    named = targets[targets != IGNORED]  # an index out of range would break a GPU's whole process
    if named.numel() and not 0 <= int(named.min()) <= int(named.max()) < classes:
        raise UsageError(
            f"targets are class numbers from 0 to {classes - 1} for an output of shape "
            f"{_shape(output.shape)}, got {int(named.min())} to {int(named.max())}"
        )
    return Loss(functional.cross_entropy(output, targets.long()), "cross_entropy", "mean")


def _whole(tensor: torch.Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _without_targets(outputs: Any) -> Loss:
    own = outputs.get("loss") if isinstance(outputs, Mapping) else getattr(outputs, "loss", None)
    if isinstance(own, torch.Tensor) and own.dim() == 0 and own.requires_grad:
        return Loss(own, "outputs.loss")
    path, output = _output(outputs)
    if output.dim() == 0:
        return Loss(output, f"output{path}")
    precision = torch.promote_types(output.dtype, torch.float32)
    value = (output * cotangent(output.shape).to(output.device, precision)).sum()
    return Loss(value, f"inner product of output{path}", "sum", f"N(0, 1), seed {SEED}")


def cotangent(shape: torch.Size) -> torch.Tensor:
    """Return z ~ N(0, 1), float32 on the CPU, always the same; the global random state is left alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED), device="cpu")


def _output(outputs: Any, lowest_dim: int = 0) -> tuple[str, torch.Tensor]:
    """Return the first floating tensor in the outputs, one with a gradient if there is one, and its place."""
    tensors = [
        (f" '{path}'" if path else "", tensor)
        for path, tensor in find(outputs).tensors
        if tensor.dim() >= lowest_dim and not obstacle(tensor)
    ]
    if not tensors:
        raise UsageError(
            f"the model's output holds no floating-point tensor, got {spell(outputs)}: "
            "give a loss of your own"
        )
    return next(((path, tensor) for path, tensor in tensors if tensor.requires_grad), tensors[0])


def spell(value: Any) -> str:
    """Say what a value is.

    >>> spell(torch.zeros(2, 3)), spell(1.0)
    ('a tensor of shape (2, 3), float32', 'one of type float')
    """
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {_shape(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
    return describe(value)


def _shape(shape: torch.Size) -> str:
    return str(tuple(shape))
