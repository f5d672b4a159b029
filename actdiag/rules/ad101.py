"""AD101: the gradient vanishes on its way down."""

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
from actdiag.rules.slopes import Fade
from actdiag.types import Finding


@register
@dataclass(frozen=True)
class VanishingGradient(Fade):
    """Find a gradient that shrinks from the last hidden layer down to the first.

    What it measures:
        The norm of dLoss/dPreactivation per sample, sqrt(mean_i ||delta_i||^2), of each hidden layer over
        that of the last one. A ratio has no unit: scaling the loss changes nothing. It is read together with
        the signal on its way up: a weight's gradient is the product of both, and a net in which each
        shrinks by two and a half decades learns as little as one in which the gradient shrinks by five.

    Why it matters:
        Back-propagation multiplies the gradient by W^T and phi' in every layer. Where that product is
        below 1 on average, the first layers receive exponentially little: they stay random while the
        last ones learn, and no single learning rate suits both ends.

    What to do:
        Give the weights the variance the activation needs (He for relu, Xavier for tanh), replace an
        activation whose derivative is small everywhere (sigmoid), or add normalisation or residual
        connections, or take fewer layers.

    References:
        Hochreiter 1991; Glorot & Bengio 2010, section 4; He et al. 2015, section 2.2: with Xavier's
        variance a ReLU network of 22 layers (ratio 2^-10.5 = 7e-4) still converges, one of 30 layers
        (2^-14.5 = 4e-5) stalls.
    """

    code: ClassVar[str] = "AD101"
    name: ClassVar[str] = "vanishing-gradient"
    title: ClassVar[str] = "the gradient shrinks on its way to the first layers"
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act sigmoid --init xavier"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init xavier"

    floor: float = threshold(
        0.1,
        "below it: a warning; one decade, the step between neighbouring learning rates of the protocol",
    )
    error: float = threshold(
        1e-3,
        "below it: an error; "
        "three decades, all learning rates of the protocol (1e-3 to 1); He et al. 2015: a ReLU network with "
        "Xavier's variance converges at 7e-4 given many epochs and stalls at 4e-5",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's gradient with the last one's."""
        rows = two_layers(run, finite(run.chain_at(run.backward)))
        norms = sample_norm(rows)
        if (norms == 0).any():
            raise NotJudged("a hidden gradient is exactly zero (see AD103)")
        ratios = norms / norms[-1]
        smallest = float(ratios.min())
        if smallest >= self.floor:
            return
        place = int(ratios.argmin())
        low, last = int(rows["layer"][place]), int(rows["layer"][-1])
        yield self.fade(
            run,
            rows[ratios < self.floor],
            smallest,
            len(rows) - 1 - place,
            f"The gradient's norm shrinks {times(1 / smallest)} from layer {last} down to layer {low}",
            self.error,
        )
