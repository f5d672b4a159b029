"""Gradient descent in a deep linear network, at many learning rates at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from actdiag.data import load_batch
from actdiag.types import RunSpec

RATE_STEP = 10.0 ** (3.0 / 19.0)
"""Saxe et al. 2014, section 2: twenty rates, logarithmically spaced over three decades."""
RATES, HIGHEST = 26, 10.0
"""So many rates in such steps, down from this over the inputs' largest eigenvalue."""
LEARNED = 0.9
"""Share of what a linear map can learn at which learning counts as complete."""
MOST = 5_000
"""Steps after which a network is given up; its learning time is at least that."""
DIVERGED = 100.0
"""Loss over the first one beyond which a rate is given up."""


@dataclass(frozen=True)
class Task:
    """Least squares: the loss of a map W is tr(W inputs W^T) / 2 - tr(W cross^T), up to a constant.

    Attributes:
        inputs: (features, features) second moments of the inputs.
        cross: (outputs, features) of targets with inputs.
    """

    inputs: torch.Tensor
    cross: torch.Tensor

    @property
    def best(self) -> float:
        """Return the least loss of any map, below 0, the zero map's."""
        return -0.5 * float((self.cross @ torch.linalg.pinv(self.inputs, hermitian=True) * self.cross).sum())

    @property
    def rates(self) -> torch.Tensor:
        """Return the learning rates, (26,), in falling order."""
        largest = float(torch.linalg.eigvalsh(self.inputs)[-1])
        return HIGHEST / largest / RATE_STEP ** torch.arange(RATES)


def digits() -> Task:
    """Return scikit-learn's digits, standardised, with one-hot targets: their mean is nothing to the loss."""
    batch = load_batch(RunSpec(data="digits", batch=1797))
    targets = torch.nn.functional.one_hot(batch.targets, batch.classes).float()
    count = len(targets)
    return Task(batch.inputs.T @ batch.inputs / count, targets.T @ batch.inputs / count)


@torch.no_grad()
def learning_time(weights: Sequence[torch.Tensor], task: Task) -> tuple[float, float]:
    """Return the steps that the fastest learning rate needs, and that rate.

    Where none gets there these are `MOST` and NaN. All rates descend in step, so the first network to get
    there has the best one.

    Args:
        weights: of each layer from the input, (fan_out, fan_in).
        task: what to learn.
    """
    rates, goal, limit = task.rates, LEARNED * task.best, math.inf
    stacked = [weight.expand(len(rates), *weight.shape).clone() for weight in weights]
    for step in range(MOST):
        above = products_from_above(stacked)
        total = above[0]
        error = total @ task.inputs - task.cross
        loss = 0.5 * ((error - task.cross) * total).sum(dim=(1, 2))
        if bool((loss <= goal).any()):
            return float(step), float(rates[int(loss.nan_to_num(math.inf).argmin())])
        limit = limit if step else DIVERGED * max(float(loss[0]), -task.best)
        going = loss < limit
        if not bool(going.all()):
            rates, stacked = rates[going], [weight[going] for weight in stacked]
            above, error = [part[going] for part in above], error[going]
        if not len(rates):
            break
        _descend(stacked, above[1:], error, rates)
    return float(MOST), math.nan


def products_from_above(weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return W_L ... W_1, W_L ... W_2, and so on to W_L and the identity, each (rates, outputs, ...)."""
    outputs = weights[-1].shape[1]
    products = [torch.eye(outputs).expand(len(weights[-1]), outputs, outputs)]
    for weight in reversed(weights):
        products.append(products[-1] @ weight)
    return products[::-1]


def _descend(
    weights: Sequence[torch.Tensor], above: Sequence[torch.Tensor], error: torch.Tensor, rates: torch.Tensor
) -> None:
    """Take one step in place: dLoss/dW_l = (W_L ... W_(l+1))^T error (W_(l-1) ... W_1)^T."""
    below = error
    for weight, product in zip(weights, above, strict=True):
        passed = below @ weight.mT
        weight.sub_((product.mT * rates[:, None, None]) @ below)
        below = passed
