"""Where a tensor was seen, its state and its gradient's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch

from actdiag.activations import activation
from actdiag.capture.outputs import local
from actdiag.statistics import TensorState, merge, observe


class Rank(NamedTuple):
    """How far along the signal's way a site lies: the further one is where a sum or a product came from."""

    activations: int
    products: int
    order: int


START = Rank(0, 0, 0)
Count: TypeAlias = int | torch.Tensor
"""A count, 0-d where it has not left its device."""
UNCALLED = "not called"
TENSOR_OF = {"product": "preactivation", "activation": "activation"}
"""Kind of module or function -> what its output is called."""


@dataclass(slots=True, eq=False)
class Site:
    """One tensor of one call of one module or function, and its gradient, added up within a step.

    Attributes:
        module: name in the model, "" for the model itself; `name:relu#0` for a function.
        module_type: its class, or the function's name.
        layer: number of the product it belongs to, 0 for the input.
        call: which use of the module within one forward pass, from 0.
        path: place in a nested output, "" for a plain tensor.
        tensor: input, preactivation, activation or output.
        unit_axis: as `statistics.observe` takes it.
        batch_axis: as `statistics.observe` takes it.
        apart: of a forward pass that was under no_grad as a whole.
        single: the tensor is one sample without a batch axis.
        product: the last product on the way to it, "" before the first.
        fresh: no activation since that product.
        joined: since that product another signal came in, as in a residual sum.
        activation: its name, where the tensor is an activation's output.
        rank: how far along the signal's way it lies.
        units: of the tensor, 0 before one was met.
        forward: state of the tensor.
        backward: pass number, from 1, -> state of dLoss/dTensor.
        last: state of the latest tensor alone, by which a recomputed one is known again.
        differentiable: whether the latest tensor takes part in a graph.
        graph: whether it did in forward, where checkpointing may compute it again; None before the first.
        dtype: of the tensor, and of its gradient.
    """

    module: str
    module_type: str
    layer: int
    call: int
    path: str
    tensor: str
    unit_axis: int = -1
    batch_axis: int = 0
    single: bool = False
    apart: bool = False
    product: str = ""
    fresh: bool = False
    joined: bool = False
    activation: str = ""
    rank: Rank = START
    units: int = 0
    forward: TensorState | None = None
    backward: dict[int, TensorState] = field(default_factory=dict)
    last: TensorState | None = None
    differentiable: bool = False
    graph: bool | None = None
    dtype: torch.dtype | None = None

    def descend(self, source: Site) -> None:
        """Take over the axes of the site that the tensor comes from."""
        self.unit_axis, self.batch_axis, self.single = source.unit_axis, source.batch_axis, source.single

    def choose_axes(self, tensor: torch.Tensor) -> None:
        """Choose axes that this tensor has: a sample axis apart from the unit axis."""
        dimensions = tensor.dim() + self.single
        if dimensions > 1 and (self.unit_axis, self.batch_axis) == (-1, 0):
            return
        if not -dimensions <= self.unit_axis < dimensions:
            self.unit_axis = -1
        if not -dimensions <= self.batch_axis < dimensions or self._one_axis(dimensions):
            self.batch_axis = 0
            self.unit_axis = -1 if self._one_axis(dimensions) else self.unit_axis

    def fits(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor has this site's axes."""
        dimensions = tensor.dim() + self.single
        return dimensions < 2 or max(self.unit_axis, self.batch_axis) < dimensions

    def is_whole(self, tensor: torch.Tensor) -> bool:
        """Return whether a tensor has as many units as this site's: it is no part of it."""
        return self.fits(tensor) and self.units == self.units_of(tensor)

    def _one_axis(self, dimensions: int) -> bool:
        return dimensions > 1 and self.unit_axis % dimensions == self.batch_axis % dimensions

    def units_of(self, tensor: torch.Tensor) -> int:
        """Return the tensor's number of units: another one makes another site."""
        shape = (1, *tensor.shape) if self.single else tensor.shape
        return shape[self.unit_axis] if len(shape) > 1 else 1

    def state_of(self, tensor: torch.Tensor, saturated: Count | None = None) -> TensorState:
        """Return the state of one tensor of this site."""
        bounds = activation(self.activation).range if self.activation else None
        return observe(self._values(tensor), self.unit_axis, self.batch_axis, bounds, saturated)

    def see(self, tensor: torch.Tensor, saturated: Count | None = None) -> None:
        """Fold the tensor's value into the state."""
        self.dtype = tensor.dtype
        self.last = self.state_of(tensor, saturated)
        self.forward = self.last if self.forward is None else merge(self.forward, self.last)

    def see_gradient(self, gradient: torch.Tensor, number: int) -> None:
        """Fold the gradient with respect to the tensor into the state of its pass."""
        seen = observe(self._values(gradient), self.unit_axis, self.batch_axis)
        before = self.backward.get(number)
        self.backward[number] = seen if before is None else merge(before, seen)

    def _values(self, tensor: torch.Tensor) -> torch.Tensor:
        values = tensor if type(tensor) is torch.Tensor else local(tensor.detach())
        return values.detach().unsqueeze(0) if self.single else values

    def is_again(self, state: TensorState) -> bool:
        """Return whether a recomputed tensor's state is that of the latest tensor."""
        return self.last is not None and self.last.same_as(state)


@dataclass
class ModuleFacts:
    """What the modules table says of one module or function, see `schema.MODULES`.

    Attributes:
        in_graph: it was called with gradients on.
    """

    name: str
    type: str
    kind: str
    fan_in: int = 0
    fan_out: int = 0
    trainable: int = 0
    layer: int = 0
    activation_after: str = ""
    calls: int = 0
    observed: bool = False
    reason: str = UNCALLED
    same_tensor_as: str = ""
    follows: str = ""
    unused: str = ""
    joined: bool = False
    in_graph: bool = False

    def become(self, fresh: ModuleFacts) -> None:
        """Take over what a module is, once it was called: a lazy one shows it at its first call."""
        self.type, self.kind, self.trainable = fresh.type, fresh.kind, fresh.trainable
        self.fan_in, self.fan_out = fresh.fan_in, fresh.fan_out
