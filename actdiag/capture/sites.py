"""Where a tensor was seen, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from actdiag.activations import activation
from actdiag.statistics import Summary, TensorState, describe, merge, observe


@dataclass
class Site:
    """One tensor of one call of one module, and its gradient, added up within a step.

    Attributes:
        module: name in the model, "" for the model itself.
        module_type: its class.
        layer: number of the product it belongs to, 0 for the input.
        call: which use of the module within one forward pass, from 0.
        tensor: input, preactivation, activation or output.
        unit_axis: as `statistics.observe` takes it.
        product: the product whose output this still is, "" past an activation.
        activation: its name, where the tensor is an activation's output.
        forward: state of the tensor.
        backward: state of dLoss/dTensor; None until it was seen.
    """

    module: str
    module_type: str
    layer: int
    call: int
    tensor: str
    unit_axis: int
    product: str = ""
    activation: str = ""
    forward: TensorState | None = None
    backward: TensorState | None = None

    def see(self, tensor: torch.Tensor, saturated: torch.Tensor | None = None) -> None:
        """Fold the tensor's value into the state."""
        bounds = activation(self.activation).range if self.activation else None
        seen = observe(tensor, self.unit_axis, bounds=bounds, saturated=saturated)
        self.forward = seen if self.forward is None else merge(self.forward, seen)

    def see_gradient(self, gradient: torch.Tensor) -> None:
        """Fold the gradient with respect to the tensor into the state."""
        seen = observe(gradient, self.unit_axis)
        self.backward = seen if self.backward is None else merge(self.backward, seen)

    def records(self, step: int) -> Iterator[Record]:
        """Yield the row of the tensor and, where it was seen, of its gradient."""
        dies = bool(self.activation) and activation(self.activation).dies
        place = {
            "step": step,
            "layer": self.layer,
            "module": self.module,
            "module_type": self.module_type,
            "call": self.call,
        }
        if self.forward is not None:
            yield Record.of(place, self.tensor, self.forward, dies)
        if self.backward is not None:
            yield Record.of(place, f"{self.tensor}_grad", self.backward)


@dataclass(frozen=True)
class Record:
    """One row to be, and its arrays."""

    row: Mapping[str, Any]
    units: np.ndarray[Any, Any]
    log: np.ndarray[Any, Any]
    linear: np.ndarray[Any, Any] | None = None

    @classmethod
    def of(cls, place: Mapping[str, Any], tensor: str, state: TensorState, dies: bool = False) -> Record:
        """Return the record of a state; this copies it from its device."""
        summary: Summary = describe(state, dies)
        row = {
            **place,
            "tensor": tensor,
            "unit_axis": state.unit_axis,
            **summary.numbers,
            "grad_to_weight": np.nan,
        }
        linear = None if state.linear is None else state.linear.cpu().numpy()
        return cls(row, summary.units, state.log.cpu().numpy(), linear)


def weight_records(place: Mapping[str, Any], weight: torch.nn.Parameter) -> Iterator[Record]:
    """Yield the rows of a weight (fan_out, ...) and of its gradient: one sample, fan_out units."""
    record = Record.of(place, "weight", _observe_weight(weight))
    yield record
    if weight.grad is None or weight.grad.is_sparse:
        return
    gradient = Record.of(place, "weight_grad", _observe_weight(weight.grad))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.divide(gradient.row["rms"], record.row["rms"]))
    yield replace(gradient, row={**gradient.row, "grad_to_weight": ratio})


def _observe_weight(weight: torch.Tensor) -> TensorState:
    return replace(observe(weight.detach().unsqueeze(0), unit_axis=1), unit_axis=0)


@dataclass
class ModuleFacts:
    """What the modules table says of one module."""

    name: str
    type: str
    kind: str
    fan_in: int
    fan_out: int
    trainable: int
    layer: int = 0
    activation_after: str = ""
    calls: int = 0
    observed: bool = False
    reason: str = "not called"
    same_tensor_as: str = field(default="")
