"""What is seen of one network of a known structure: its tensors as they come, their states, their numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from actdiag.arrays import Tables
from actdiag.capture.parameters import observe_weight
from actdiag.capture.records import NUMBERS as COUNTED
from actdiag.capture.records import Floats, set_ratios
from actdiag.catalogue import count_saturated
from actdiag.comparing.structures import Network, Structure
from actdiag.models import Block
from actdiag.predictions.numbers import NUMBERS
from actdiag.statistics import TensorState, describe, observe

_BLANKS = len(NUMBERS) - len(COUNTED)


class Seen:
    """Runs a network part by part, and reads each tensor while it is in the processor's cache."""

    def __init__(self, structure: Structure, network: Network) -> None:
        self._structure, self._network = structure, network
        self._tensors: dict[str, torch.Tensor] = {}
        self._states: dict[str, TensorState] = {}

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the network makes of inputs, (batch, classes)."""
        x = inputs
        self._see("", x)
        for name, part in self._network.model.named_children():
            x = self._through(part, name, x) if isinstance(part, Block) else part(x)
            self._see(name, x)
        return x

    def _through(self, block: Block, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return what a block returns, as its own `forward` does."""
        h = x
        for label, part in block.named_children():
            before, h = h, part(h)
            self._see(f"{name}.{label}", h, before)
        return x + h if block.residual else h

    def _see(self, module: str, tensor: torch.Tensor, before: torch.Tensor | None = None) -> None:
        """Fold what a module returns, and was given before, into its state, where a row is of it."""
        row = self._structure.forward.get(module)
        if row is None:
            return
        self._tensors[module] = tensor
        if row.tensor != "activation" or before is None:
            self._states[module] = observe(tensor.detach())
            return
        act = self._structure.act
        saturated = count_saturated(before.detach(), act)
        self._states[module] = observe(tensor.detach(), bounds=act.range, saturated=saturated)

    def described(self, loss: torch.Tensor) -> tuple[Floats, Tables]:
        """Return (measured rows, len(NUMBERS)) numbers, and the arrays of these rows."""
        states = list(self._in_order(loss))
        table = describe(states, self._structure.dies)
        set_ratios(self._structure.ratios, table.numbers)
        blank = np.full((len(states), _BLANKS), np.nan)
        return np.concatenate([table.numbers, blank], axis=1), table.stored()

    def _in_order(self, loss: torch.Tensor) -> Iterator[TensorState]:
        """Yield the states of all measured rows."""
        weights, plan = self._network.weights, self._structure.plan
        asked = [
            weights[row.module] if row.tensor == "weight" else self._tensors[row.module]
            for row in plan
            if row.gradient
        ]
        gradients = iter(torch.autograd.grad(loss, asked) if asked else ())
        for row in plan:
            if row.tensor == "weight":
                yield observe_weight(next(gradients) if row.gradient else weights[row.module])
            else:
                yield observe(next(gradients).detach()) if row.gradient else self._states[row.module]
