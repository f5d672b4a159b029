"""Train small networks on the digits: for claims that a network trains, or does not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from actdiag.activations import activation
from actdiag.data import load_batch
from actdiag.initialisers import initialiser
from actdiag.models import MLP, build
from actdiag.theory import resolve_gain
from actdiag.types import RunSpec

BATCH, MOMENTUM, RATE = 64, 0.9, 0.01
"""He et al. 2015 and Mishkin & Matas 2016 train with momentum 0.9 from a rate of 0.01."""
HELD_OUT = 360
"""Of the 1797 digits, a fifth: what held-out accuracy is measured on."""
LINE = 0.3
"""Accuracy on ten classes below which a network is said not to train, three times chance: actdiag's own."""
LINE_WORDS = "the line is at 30% accuracy on ten classes, three times chance, as everywhere in actdiag"
CHANCE = 0.1
"""What a run counts whose loss has left the numbers."""
TAIL = 0.1
"""Share of the steps, the last ones, over which training accuracy is averaged."""


@dataclass(frozen=True)
class Training:
    """How a run went.

    Attributes:
        losses: (steps,) of each step's batch; NaN once it has left the numbers.
        accuracy: on training batches, mean of the last tenth of the steps.
        held_out: accuracy on digits that were not trained on.
    """

    losses: NDArray[np.float64]
    accuracy: float
    held_out: float

    def steps_to(self, loss: float, window: int = 10) -> int:
        """Return after how many steps the mean of a window of losses is below `loss`; all, if never."""
        means = np.convolve(self.losses, np.full(window, 1.0 / window), mode="valid")
        below = np.flatnonzero(means < loss)
        return int(below[0]) + window if below.size else len(self.losses)


def train(spec: RunSpec, steps: int, rate: float = RATE) -> Training:
    """Train a network on the digits by SGD with momentum; its seed fixes weights, data and order."""
    whole = load_batch(replace(spec, data="digits", batch=1797))
    inputs, targets = whole.inputs[HELD_OUT:], whole.targets[HELD_OUT:]
    gain = resolve_gain(spec.gain, activation(spec.act), initialiser(spec.init).gain)
    model = build(replace(spec, data="digits"), gain, inputs[: spec.batch], whole.classes)
    losses, accuracies = _descend(model, inputs, targets, steps, rate, spec.seed)
    if not np.isfinite(losses).all():
        return Training(losses, CHANCE, CHANCE)
    model.eval()
    with torch.no_grad():
        right = model(whole.inputs[:HELD_OUT]).argmax(1) == whole.targets[:HELD_OUT]
    last = max(round(TAIL * steps), 1)
    return Training(losses, float(accuracies[-last:].mean()), float(right.double().mean()))


def _descend(
    model: MLP, inputs: torch.Tensor, targets: torch.Tensor, steps: int, rate: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return loss and accuracy of each step's batch; NaN from where the loss is not finite."""
    optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=MOMENTUM)
    generator = torch.Generator().manual_seed(seed)
    losses, accuracies = np.full(steps, np.nan), np.full(steps, np.nan)
    for step in range(steps):
        chosen = torch.randint(len(inputs), (BATCH,), generator=generator)
        outputs = model(inputs[chosen])
        loss = functional.cross_entropy(outputs, targets[chosen])
        if not torch.isfinite(loss):
            break
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses[step] = loss.item()
        accuracies[step] = (outputs.argmax(1) == targets[chosen]).double().mean().item()
    return losses, accuracies
