"""Suggest: what helps a model that does not train, as measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn

from actdiag.arguments import LARGEST, callable_or_none, whole
from actdiag.batches import ModelBatch
from actdiag.capture.outputs import find
from actdiag.checking import OwnLoss
from actdiag.errors import UsageError
from actdiag.importing import describe
from actdiag.remedying.candidates import exchanges, norms, starts, treatable
from actdiag.remedying.products import Product, products
from actdiag.remedying.restructuring import INSTEAD
from actdiag.remedying.training import Curve, Pool
from actdiag.remedying.trial import Measured, Trial
from actdiag.remedying.trying import Build, Laboratory, Tell
from actdiag.restoring import restored
from actdiag.types import Severity

MOST_BATCHES = 64
"""Batches taken of many."""
FEWEST_DRAWS = 3
"""Draws to confirm a remedy: with fewer, chance would pass too often."""


@dataclass(frozen=True)
class Advice:
    """What was found to help.

    Attributes:
        before: the model's start as it is.
        suggestions: remedies that helped, the best first; empty where nothing did, or nothing was wrong.
        would_help: those that helped but change the network, which was not allowed.
        tried: every remedy that was tried, in order.
        notes: what the reader should know.
        weights: the state_dict of the model with the first suggestion, where that keeps the network.
    """

    before: Measured
    suggestions: tuple[Trial, ...] = ()
    would_help: tuple[Trial, ...] = ()
    tried: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        """Return a line for each thing that helped, with its code; or that nothing did."""
        parts = [f"{_spell(trial)}\n{trial.code}" for trial in self.suggestions]
        parts += [f"would help, but changes the network: {_spell(trial)}" for trial in self.would_help]
        return "\n".join([*(parts or [self.summary]), *self.notes])

    @property
    def summary(self) -> str:
        """Return the outcome in one line."""
        verdict = self.before.diagnosis.verdict
        if self.suggestions:
            return f"{verdict}: {', '.join(trial.remedy.name for trial in self.suggestions)} helps"
        if not self.tried:
            return f"{verdict}: nothing to fix" if verdict == "healthy" else f"{verdict}: nothing was tried"
        keeping = sum(not trial.remedy.changes_network for trial in self.tried)
        tried = f"none of {keeping} remedies tried" if keeping else "no remedy that can be tried"
        return f"{verdict}: {tried} helps without changing the network"


def _spell(trial: Trial) -> str:
    after = "?" if trial.after is None else trial.after.diagnosis.verdict
    old, new = (_losses(curves) for curves in (trial.curves_before, trial.curves_after))
    return (
        f"{trial.remedy.title} ({trial.remedy.source}): {trial.before.diagnosis.verdict} -> {after}; "
        f"training loss {old} -> {new}"
    )


def _losses(curves: Sequence[Curve]) -> str:
    losses = sorted(curve.loss for curve in curves)
    return f"{losses[0]:.3g} to {losses[-1]:.3g}" if losses else "?"


def suggest(
    model: nn.Module | Build,
    inputs: Any,
    targets: Any = None,
    loss: OwnLoss | None = None,
    *,
    steps: int = 200,
    draws: int = FEWEST_DRAWS,
    allow: Sequence[str] = (),
    seed: int = 0,
    tell: Tell | None = None,
) -> Advice:
    """Find what makes a model train better, by trying it: on copies, measured and trained, then as it was.

    Remedies come from the activations and layers that were seen. Each is applied to a copy and measured;
    plain SGD at four learning rates, the best of them, on one draw of the weights chooses; a remedy is
    suggested only where on other draws, too, every run with it ends below every run without it.

    Args:
        model: a module, or a function without arguments that builds one with other weights each time: then
            the runs without the remedy differ in their weights, too, and not in the order of batches alone.
        inputs: as `check` takes them; of one batch of more than 128 samples, 128 are drawn for each step.
            A list of `ModelBatch` stands for several batches, targets included.
        targets: as `check` takes them.
        loss: as `check` takes it.
        steps: of each training run.
        draws: how many draws confirm a remedy, at least 3.
        allow: changes of the network that may be suggested: "norm", "activation".
        seed: of the first draw.
        tell: is called with what is being done.

    Raises:
        UsageError: no model, no inputs, or an option out of its range.
        ActdiagError: the model cannot be copied or measured.

    >>> from actdiag import examples
    >>> print(suggest(examples.healthy, *examples.batches()))
    healthy: nothing to fix
    """
    steps, draws = whole("steps", steps, 1), whole("draws", draws, FEWEST_DRAWS)
    seed, allow = whole("seed", seed, 0, LARGEST), _allowed(allow)
    _check(model, loss, tell)
    pool = _pool(inputs, targets)
    modules = [each for part in (model, loss) if isinstance(part, nn.Module) for each in part.modules()]
    tensors = [
        tensor
        for batch in pool.batches
        for _, tensor in find((batch.args, batch.keywords, batch.targets)).tensors
    ]
    with restored(modules, tensors), torch.inference_mode(False):
        laboratory = Laboratory(model, pool, loss, steps, draws, seed, tell or (lambda words: None))
        return _advice(laboratory, allow)


def _advice(laboratory: Laboratory, allow: Sequence[str]) -> Advice:
    """Try what may help, and return what did."""
    start = laboratory.start(laboratory.seed)
    recording = laboratory.measure(start)
    before = Measured.of(recording)
    if not treatable(before.diagnosis):
        return Advice(before, notes=_untreated(before))
    layers, left = products(start, recording)
    offered = [*starts(layers), *(each for name in allow for each in CHANGES[name](layers))]
    tried = laboratory.trials(before, offered)
    suggestions = tuple(trial for trial in tried if trial.helped)
    hypothetical: list[Trial] = []
    if not suggestions:
        others = [each for name in CHANGES if name not in allow for each in CHANGES[name](layers)]
        hypothetical = laboratory.trials(before, others)
    notes = [f"left as they are: {'; '.join(left)}"] * bool(left) + laboratory.notes()
    if suggestions:
        notes += _not_allowed(layers, allow)
    if "activation" in allow and not exchanges(layers):
        notes.append(NOTHING_TO_EXCHANGE)
    would_help = tuple(trial for trial in hypothetical if trial.helped)
    weights = _weights(laboratory, suggestions)
    return Advice(before, suggestions, would_help, (*tried, *hypothetical), tuple(notes), weights)


def _weights(laboratory: Laboratory, suggestions: Sequence[Trial]) -> Mapping[str, Any] | None:
    """Return the weights of the draw that was measured, with the first suggestion."""
    if not suggestions or suggestions[0].remedy.changes_network:
        return None
    weights: Mapping[str, Any] = laboratory.treated(suggestions[0].remedy, laboratory.seed).state_dict()
    return weights


def _not_allowed(layers: Sequence[Product], allow: Sequence[str]) -> list[str]:
    """Name the changes of the network that were left out, and how to allow them."""
    left = [name for name in CHANGES if name not in allow and CHANGES[name](layers)]
    if not left:
        return []
    words, flags = " and ".join(CHANGED[name] for name in left), " ".join(f"--allow-{name}" for name in left)
    return [f"not tried, since they change the network: {words} ({flags}, in Python allow={left})"]


def _untreated(before: Measured) -> tuple[str, ...]:
    """Tell what to do about what was found that no remedy here treats."""
    found = [each for each in before.diagnosis.findings if each.severity is not Severity.INFO]
    return tuple(f"no start of another kind cures {each.code} {each.name}: {each.remedy}" for each in found)


def _check(model: Any, loss: Any, tell: Any) -> None:
    if not isinstance(model, nn.Module) and not callable(model):
        raise UsageError(
            f"suggest takes a torch.nn.Module or a function that builds one, got {describe(model)}"
        )
    callable_or_none("loss", loss)
    callable_or_none("tell", tell)


def _allowed(allow: Any) -> list[str]:
    """Return the changes that are allowed, of which one may be given as it is."""
    names = [allow] if isinstance(allow, str) or not isinstance(allow, Iterable) else list(allow)
    if unknown := [name for name in names if name not in CHANGES]:
        raise UsageError(f"allow takes {' and '.join(CHANGES)}, got {unknown[0]!r}")
    return names


CHANGES = {"norm": norms, "activation": exchanges}
CHANGED = {"norm": "norms before the activations", "activation": "other activations"}
NOTHING_TO_EXCHANGE = (
    f"no other activation was tried: only modules of {', '.join(INSTEAD)} are exchanged, no function calls"
)
"""What may be allowed to change the network."""


def _pool(inputs: Any, targets: Any) -> Pool:
    several = isinstance(inputs, list) and inputs and all(isinstance(each, ModelBatch) for each in inputs)
    batches = tuple(inputs) if several else (ModelBatch.of(inputs, targets),)
    return Pool(tuple(batch.detached() for batch in islice(batches, MOST_BATCHES)))
