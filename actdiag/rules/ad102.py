"""AD102: the gradient explodes on its way down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from actdiag.rules.base import (
    NotJudged,
    Run,
    finite,
    register,
    sample_norm,
    threshold,
    times,
    two_layers,
)
from actdiag.rules.slopes import Slope
from actdiag.types import Finding


@register
@dataclass(frozen=True)
class ExplodingGradient(Slope):
    """Find a gradient that grows from the last hidden layer down to the first.

    What it measures:
        The norm of dLoss/dPreactivation per sample, sqrt(mean_i ||delta_i||^2), of each hidden layer over
        that of the last one.

    Why it matters:
        A gradient that grows backwards means that a small change in an early layer changes the output
        exponentially more: the learning rate the last layers need throws the first ones about. With a
        bounded activation the last layers still learn from what has become random features, which is why
        this alone is a warning. It is an error once so little of the input's geometry is left in them that
        the last layers cannot learn from them either. A signal that explodes forward as well is AD202's.

    What to do:
        Make the weights smaller: the variance the activation needs (He for relu, Xavier for tanh), or
        normalise.

    References:
        Bengio, Simard & Frasconi 1994; Glorot & Bengio 2010; Schoenholz et al. 2017 (the chaotic phase).
    """

    code: ClassVar[str] = "AD102"
    name: ClassVar[str] = "exploding-gradient"
    title: ClassVar[str] = "the gradient grows on its way to the first layers"
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init normal:1"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init xavier"

    ceiling: float = threshold(
        10.0,
        "above it: a warning; one decade, the step between neighbouring learning rates of the protocol",
    )
    error: float = threshold(
        2e5,
        "above it: an error; "
        "calibrated (benchmarks/verdicts.md): chaotic networks of tanh and hardtanh reach 24 to 45% "
        "accuracy on ten classes at growths of 2e3 to 4e4, by their last layers, and 18 to 22% at 1.4e6 and "
        "above",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's gradient with the last one's."""
        rows = two_layers(run, finite(run.chain_at(run.backward)))
        norms = sample_norm(rows)
        if norms[-1] == 0:
            raise NotJudged("the gradient of the last hidden layer is exactly zero (see AD103)")
        ratios = norms / norms[-1]
        largest = float(ratios.max())
        if largest <= self.ceiling:
            return
        place = int(ratios.argmax())
        low, last = int(rows["layer"][place]), int(rows["layer"][-1])
        yield self.slope(
            run,
            rows[ratios > self.ceiling],
            largest,
            len(rows) - 1 - place,
            f"The gradient's norm grows {times(largest)} from layer {last} down to layer {low}",
            "error" if largest > self.error else "ceiling",
        )
