"""A case: a model, a training step with it, and under what circumstances."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from models.walk import tensors_in


@dataclass
class Probe:
    """What a step may tell the harness; it changes nothing about the step.

    Attributes:
        close: called at the end of every training step.
        leaves: inputs that must carry no hook afterwards.
        outputs: weak references to tensors that must die with the step.
    """

    close: Callable[[], None]
    leaves: list[torch.Tensor] = field(default_factory=list)
    outputs: list[weakref.ref[torch.Tensor]] = field(default_factory=list)

    def end_step(self) -> None:
        """End a training step: after backward, before the optimiser."""
        self.close()

    def leaf(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note an input, and return it."""
        self.leaves.append(tensor)
        return tensor

    def output(self, value: Any) -> Any:
        """Note every tensor in an output, and return the output."""
        self.outputs += [weakref.ref(tensor) for _, tensor in tensors_in(value)]
        return value


Step = Callable[[nn.Module, Probe], Any]


def _nothing(model: nn.Module) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Case:
    """One model and one way of training it.

    Attributes:
        name: of the test.
        build: returns the model; called with the same seed for every run.
        step: trains; what it returns is compared bit by bit (a loss, tensors, anything with a repr).
        truth: changes the model so that the truth can be had (no checkpointing); None: as it is.
        options: the model -> the options of `attach`.
        around: circumstances of the runs that are not attached (a path that attaching switches off).
        gradient_scale: by which the gradients in the graph are larger than the rows'.
        weight_scale: the same of the parameters' gradients where it differs.
        tolerance: relative, of the numbers; counts are always exact.
        after_hooks: the truth looks at what a module returned after the user's own hooks.
        raises: the exception that every run ends with.
        skip: why the case cannot run here, "" where it can.
    """

    name: str
    build: Callable[[], nn.Module]
    step: Step
    truth: Callable[[nn.Module], None] | None = None
    options: Callable[[nn.Module], dict[str, Any]] = _nothing
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    gradient_scale: float = 1.0
    weight_scale: float | None = None
    tolerance: float = 1e-5
    after_hooks: bool = False
    raises: type[BaseException] | None = None
    skip: str = ""
