"""A short training run, the same for every start: plain SGD at four learning rates, the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from actdiag.batches import ModelBatch, changed
from actdiag.capture.outputs import find
from actdiag.checking import OwnLoss
from actdiag.cotangents import IGNORED, loss_of

RATES = (1e-3, 1e-2, 1e-1, 1.0)
"""Learning rates, of which the best counts, before and after alike."""
BATCH = 128
"""Samples of a batch, where one larger batch was given; of several batches each is taken whole."""
TAIL = 0.1
"""Share of the steps, the last ones, over which a run's loss is averaged."""


@dataclass(frozen=True)
class Curve:
    """One training run.

    Attributes:
        seed: of the draw of the weights and of the order of batches.
        rate: learning rate.
        losses: one per step, of the step's batch; shorter than asked where the loss left the numbers.
        accuracies: likewise, NaN where the targets are no classes.
        steps: how many were asked for.
    """

    seed: int
    rate: float
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    steps: int

    @property
    def loss(self) -> float:
        """Return the mean loss of the last steps, infinite where the run broke off."""
        return self._tail(self.losses) if len(self.losses) == self.steps else math.inf

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy of the last steps; NaN where there is none or the run broke off."""
        return self._tail(self.accuracies) if len(self.losses) == self.steps else math.nan

    def _tail(self, values: Sequence[float]) -> float:
        last = values[-max(round(TAIL * self.steps), 1) :]
        return sum(last) / len(last)


@dataclass(frozen=True)
class Pool:
    """The batches to train on, drawn in an order that a seed fixes.

    Attributes:
        batches: as the user gave them.
    """

    batches: tuple[ModelBatch, ...]

    def draw(self, seed: int) -> Iterator[ModelBatch]:
        """Yield batches without end: each pass takes everything once, in a new order."""
        generator = torch.Generator().manual_seed(seed)
        samples = self.samples
        while samples:
            order = torch.randperm(samples, generator=generator)
            for start in range(0, samples - BATCH + 1, BATCH):
                yield rows(self.batches[0], order[start : start + BATCH])
        while True:
            for place in torch.randperm(len(self.batches), generator=generator).tolist():
                yield self.batches[place]

    @property
    def samples(self) -> int:
        """Return how many samples the only batch has, 0 where batches are taken whole."""
        if len(self.batches) > 1:
            return 0
        batch = self.batches[0]
        tensors = [tensor for _, tensor in find((batch.args, batch.keywords, batch.targets)).tensors]
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in tensors}
        return sizes.pop() if len(sizes) == 1 and max(sizes) > BATCH else 0


def rows(batch: ModelBatch, chosen: torch.Tensor) -> ModelBatch:
    """Return the samples `chosen` of a batch whose tensors all begin with the samples."""

    def choose(part: Any) -> Any:
        return part[chosen.to(part.device)] if isinstance(part, torch.Tensor) else part

    return ModelBatch(*(changed(part, choose) for part in (batch.args, batch.keywords, batch.targets)))


def best(model: nn.Module, pool: Pool, loss: OwnLoss | None, steps: int, seed: int) -> Curve:
    """Return the run with the lowest loss in the end, over the learning rates; the model stays as it is."""
    return min(
        (train(deepcopy(model), pool, loss, steps, seed, rate) for rate in RATES),
        key=lambda curve: curve.loss,
    )


def train(model: nn.Module, pool: Pool, loss: OwnLoss | None, steps: int, seed: int, rate: float) -> Curve:
    """Train a model in place by plain SGD, in its own mode; stop where the loss is no number any more."""
    optimiser = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=rate)
    torch.manual_seed(seed)
    losses: list[float] = []
    accuracies: list[float] = []
    with torch.enable_grad():
        for _, batch in zip(range(steps), pool.draw(seed), strict=False):
            optimiser.zero_grad()
            outputs = model(*batch.args, **batch.keywords)
            value = loss_of(outputs, batch.targets, loss).value
            number = float(value.detach())
            if not math.isfinite(number):
                break
            losses.append(number)
            accuracies.append(accuracy(outputs, batch.targets))
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return Curve(seed, rate, tuple(losses), tuple(accuracies), steps)


def accuracy(outputs: Any, targets: Any) -> float:
    """Return the share of targets met by the largest output; NaN where the targets are no class numbers.

    >>> accuracy(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([1, 1]))
    0.5
    """
    found = find(outputs).tensors
    if not found or not isinstance(targets, torch.Tensor):
        return math.nan
    output = found[0][1]
    classes = output.dim() >= 2 and targets.shape == output.shape[:1] + output.shape[2:]
    if not classes or targets.is_floating_point() or targets.is_complex():
        return math.nan
    kept = targets != IGNORED
    return float((output.detach().argmax(1) == targets)[kept].double().mean())
