"""AD502: an activation before a loss that takes none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from actdiag.rules.base import NotJudged, Rule, Run, register
from actdiag.tables import Row, Table
from actdiag.types import Finding, Severity

LOSSES = {
    "crossentropy": "cross_entropy",
    "mse": "mse",
    "nll": "nll",
    "hinge": "hinge",
    "bcewithlogits": "bce_with_logits",
    "binarycrossentropywithlogits": "bce_with_logits",
}
"""How the loss was called, without underscores and the word loss -> which it is."""
WRONG = {
    "cross_entropy": ("softmax", "sigmoid", "tanh", "hardtanh", "relu"),
    "bce_with_logits": ("softmax", "sigmoid", "tanh", "hardtanh", "relu"),
    "nll": ("softmax", "sigmoid", "tanh", "hardtanh", "relu"),
    "mse": ("relu",),
    "hinge": ("softmax", "sigmoid", "relu"),
}
"""Loss -> the activations that must not come right before it."""
REACH = {"softmax": 1.0, "sigmoid": 1.0, "tanh": 2.0, "hardtanh": 2.0}
"""How far apart two of an activation's values can be."""
ROUNDING = 1e-5


@register
@dataclass(frozen=True)
class ActivationBeforeLoss(Rule):
    """Find an output that passes an activation before a loss that takes logits.

    What it measures:
        Which activation the model's output comes from, by the modules and functions that were seen, or a
        softmax by its values: none below 0, and a mean of exactly 1 / classes. It is set beside the loss that
        was used. A loss of the user's own, or none, is not judged. log_softmax before cross_entropy changes
        nothing (log_softmax of it is the same) and is worth knowing only.

    Why it matters:
        cross_entropy takes a softmax itself. Given probabilities, its outputs differ by at most 1, so that
        with C classes the loss stays above ln(1 + (C - 1) / e), 1.46 of 2.30 for ten, however good the model
        is, and its gradient is small everywhere. Behind a ReLU, an output below zero gets no gradient and
        cannot be reached by mse.

    What to do:
        Return what the last layer computes, and take the softmax or sigmoid where probabilities are read.

    References:
        torch.nn.CrossEntropyLoss, BCEWithLogitsLoss and NLLLoss: the input they expect; Bridle 1990.
    """

    code: ClassVar[str] = "AD502"
    name: ClassVar[str] = "activation-before-loss"
    title: ClassVar[str] = "the output passes an activation before a loss that takes none"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:softmax_twice --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag attach actdiag.examples:healthy --data actdiag.examples:batches"
    calibrated: ClassVar[bool] = False
    once: ClassVar[bool] = True

    def judge(self, run: Run) -> Iterator[Finding]:
        """Set the output's activation beside the loss."""
        loss = _loss(run)
        output = _output(run)
        if not output:
            return
        row = output.row(0)
        last = _activation(row)
        harmless = (loss, last) == ("cross_entropy", "logsoftmax")
        if not harmless and last not in WRONG[loss]:
            return
        spelt = "log_softmax" if harmless else last
        yield self.finding(
            run,
            Severity.INFO if harmless else Severity.WARNING,
            output,
            f"The output passes {spelt} before {loss}{_effect(loss, last, int(row['units']))}.",
            f"Return what the last layer computes, without {spelt}.",
            measured=spelt,
            expected="no activation",
            threshold="no activation",
            threshold_source="exact: what the loss takes, by its definition",
        )


def _loss(run: Run) -> str:
    kind = str((run.facts.get("loss") or {}).get("kind") or (run.spec or {}).get("loss") or "")
    known = LOSSES.get(kind.lower().replace("_", "").removesuffix("loss"))
    if known is None:
        raise NotJudged(_why_unknown(kind))
    return known


def _why_unknown(kind: str) -> str:
    if not kind:
        return "no loss function was seen (attach sees the model alone)"
    if kind.startswith(product := "inner product of output"):
        output = f"the output{kind.removeprefix(product)}"
        return (
            f"no targets were given, so the loss was the inner product of {output} with fixed random numbers"
        )
    return f"what the loss takes is not known: {kind}"


def _output(run: Run) -> Table:
    """Return the row of the tensor that the model returns; none where it was not seen."""
    root = run.modules[run.modules["name"] == ""]
    name = next(iter(root["same_tensor_as"]), "")
    found = (run.at(tensor) for tensor in ("output", "activation", "preactivation"))
    own = (rows[rows["module"] == name] for rows in found)
    return next((rows[-1:] for rows in own if rows), run.rows[:0])


def _activation(row: Row) -> str:
    """Return the activation that a tensor comes from, in small letters; "" where none is known."""
    if row["tensor"] == "preactivation":
        return ""
    kind = str(row["module_type"]).lower()
    if row["tensor"] == "activation" or kind in ("softmax", "logsoftmax"):
        return kind
    even = abs(row["mean"] * row["units"] - 1.0) < ROUNDING
    return "softmax" if even and row["min"] >= 0.0 and row["max"] <= 1.0 and row["units"] > 1 else ""


def _effect(loss: str, last: str, classes: int) -> str:
    """Return what comes of it, as the end of a sentence."""
    if last == "logsoftmax":
        return ", which takes it again: it changes nothing"
    if loss == "cross_entropy" and last in REACH and classes > 1:
        least = math.log1p((classes - 1) * math.exp(-REACH[last]))
        chance = math.log(classes)
        return f", which takes logits: the loss cannot fall below {least:.2f} (by chance: {chance:.2f})"
    if last == "relu":
        return ": an output below zero is cut off and gets no gradient"
    return ", which takes the output as it is" if loss == "hinge" else ", which takes something else"
