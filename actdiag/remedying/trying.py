"""Where remedies are tried: draws of the model, measured and trained with and without each of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from torch import nn

from actdiag.batches import ModelBatch
from actdiag.checking import OwnLoss, measure
from actdiag.errors import ActdiagError, UsageError
from actdiag.importing import describe, one_line
from actdiag.recording import Recording
from actdiag.remedying.remedies import Remedy
from actdiag.remedying.training import Curve, Pool, best, rows
from actdiag.remedying.trial import Measured, Trial, improves

MEASURED_SAMPLES = 512
"""Samples of a larger batch that are measured, and seen by remedies that look at data."""
MOST_CONFIRMED = 3
"""Remedies, the best first, that may try to repeat what they did on the draw for choosing."""
Build = Callable[[], nn.Module]
Tell = Callable[[str], None]


@dataclass
class Laboratory:
    """One model's draws and what they are put through.

    Attributes:
        model: the user's: never trained or measured itself, or a function that builds it.
        pool: the batches.
        loss: as `check` takes it.
        steps: of each training run.
        draws: to confirm a remedy, beside the one for choosing.
        seed: of the draw for choosing; the others follow it.
        tell: is called with what is being done.
        trained: the runs without a remedy, by seed.
        seconds: how long each training took.
        left: how many trainings are still to come, at most.
    """

    model: nn.Module | Build
    pool: Pool
    loss: OwnLoss | None
    steps: int
    draws: int
    seed: int
    tell: Tell
    trained: dict[int, Curve] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    left: int = 0

    def start(self, seed: int) -> nn.Module:
        """Return a copy of the model as it starts on a draw."""
        set_seed(seed)
        model = self.model if isinstance(self.model, nn.Module) else self.model()
        if not isinstance(model, nn.Module):
            raise UsageError(f"the function must return a torch.nn.Module, got {describe(model)}")
        try:
            return deepcopy(model)
        except Exception as error:
            raise ActdiagError(f"the model cannot be copied: {one_line(error)}") from error

    def treated(self, remedy: Remedy, seed: int) -> nn.Module:
        """Return a copy of the model on a draw, with a remedy applied."""
        model = self.start(seed)
        set_seed(seed)
        remedy.apply(model, self.seen)
        return model

    @property
    def seen(self) -> ModelBatch:
        """Return the batch that is measured: the first one, or the first samples of it."""
        first = self.pool.batches[0]
        samples = self.pool.samples
        return rows(first, torch.arange(MEASURED_SAMPLES)) if samples > MEASURED_SAMPLES else first

    def measure(self, model: nn.Module) -> Recording:
        """Measure a copy of the model."""
        return measure(deepcopy(model), [self.seen], self.loss)

    def trials(self, before: Measured, remedies: Sequence[Remedy]) -> list[Trial]:
        """Try each remedy on the draw for choosing, then the best on the other draws until one helps."""
        self.left = len(remedies) + (self.draws if remedies else 0)
        self.left += 0 if self.trained or not remedies else self.draws + 1
        if remedies:
            self._tell("training the start as it is")
            self._before(self.seed)  # what the user's own code raises is raised here, not blamed on a remedy
        first = {remedy: self._first(before, remedy) for remedy in remedies}
        promising = sorted(
            (trial for trial in first.values() if not trial.reason),
            key=lambda trial: trial.curves_after[0].loss,
        )
        for place, trial in enumerate(promising):
            if any(each.helped for each in first.values()):
                outcome = replace(trial, reason="better than the start as it is, but not the best")
            elif place >= MOST_CONFIRMED:
                outcome = replace(trial, reason=f"{MOST_CONFIRMED} better ones did not repeat it")
            else:
                outcome = self._confirmed(trial)
            first[trial.remedy] = outcome
        return list(first.values())

    def _first(self, before: Measured, remedy: Remedy) -> Trial:
        """Apply, measure and train on the draw for choosing; the trial's reason says what speaks against."""
        self._tell(f"trying {remedy.name}")
        code = ""
        try:
            code = remedy.code(self.start(self.seed))
            model = self.treated(remedy, self.seed)
            after = Measured.of(self.measure(model))
            if after.severities > before.severities:
                return Trial(remedy, code, before, after, reason="measures worse than the start as it is")
            curve = self._train(model, self.seed)
        except Exception as error:
            return Trial(remedy, code, before, None, reason=f"cannot be tried: {one_line(error)}")
        old = self._before(self.seed)
        reason = "" if improves([old], [curve]) else "the loss is not lower"
        return Trial(remedy, code, before, after, (old,), (curve,), reason=reason)

    def _confirmed(self, trial: Trial) -> Trial:
        """Train on the other draws, with and without the remedy."""
        self._tell(f"confirming {trial.remedy.name} on {self.draws} other draws")
        seeds = range(self.seed + 1, self.seed + 1 + self.draws)
        old = tuple(self._before(seed) for seed in seeds)
        new = tuple(self._train(self.treated(trial.remedy, seed), seed) for seed in seeds)
        helped = improves(old, new)
        reason = "" if helped else "not better beyond the spread on other draws"
        return replace(trial, curves_before=old, curves_after=new, helped=helped, reason=reason)

    def _before(self, seed: int) -> Curve:
        """Return the run without a remedy, trained once for each draw."""
        if seed not in self.trained:
            self.trained[seed] = self._train(self.start(seed), seed)
        return self.trained[seed]

    def _train(self, model: nn.Module, seed: int) -> Curve:
        begin = perf_counter()
        curve = best(model, self.pool, self.loss, self.steps, seed)
        self.seconds.append(perf_counter() - begin)
        self.left -= 1
        return curve

    def _tell(self, what: str) -> None:
        """Say what is being done, and about how long everything will take."""
        spent = self.seconds
        more = f" (about {self.left * sum(spent) / len(spent):.0f} s left)" if spent and self.left > 0 else ""
        self.tell(what + more)

    def notes(self) -> list[str]:
        """Say what the draws without a remedy differ in."""
        if isinstance(self.model, nn.Module):
            return ["one model was given: runs without a remedy differ in the order of batches alone"]
        one, other = (self.start(seed).state_dict() for seed in (self.seed, self.seed + 1))
        if all(torch.equal(value, other[name]) for name, value in one.items()):
            return ["every call builds the same weights: runs without a remedy differ in batches alone"]
        return []


def set_seed(seed: int) -> None:
    """Set the seeds of torch, numpy and python."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
