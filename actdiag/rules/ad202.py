"""AD202: the signal explodes on its way up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from actdiag.rules.base import NotJudged, Run, finite, register, threshold, times, two_layers
from actdiag.rules.slopes import Slope
from actdiag.types import Finding


@register
@dataclass(frozen=True)
class ExplodingActivation(Slope):
    """Find a signal that grows from the first hidden layer to the last.

    What it measures:
        The rms of what the last hidden layer passes on (past a norm or a residual sum) over that of the
        first one.

    Why it matters:
        The outputs grow with the signal, and so does the change that one step of gradient descent makes
        to them: the loss starts far too high, and training diverges unless the learning rate is tiny.
        Deep enough, the signal leaves the number format (AD901).

    What to do:
        Make the weights smaller: the variance the activation needs (He for relu, Xavier for tanh), or
        normalise. Residual sums add up: in a deep residual network without norms the branches need
        smaller weights.

    References:
        LeCun et al. 1998, section 4.6; He et al. 2015, eq. 9 and 10; Zhang, Dauphin & Ma 2019.
    """

    code: ClassVar[str] = "AD202"
    name: ClassVar[str] = "exploding-activation"
    title: ClassVar[str] = "the signal grows from layer to layer"
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act relu --init normal:1"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act relu --init he"

    ceiling: float = threshold(
        10.0,
        "above it: a warning; one decade, the step between neighbouring learning rates of the protocol",
    )
    error: float = threshold(
        316.0,
        "above it: an error; "
        "1 / 1e-3, the smallest learning rate of the protocol, at which one step changes the outputs by "
        "their own size; less half a decade for the first layer and the head, which the ratio leaves out",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare the last hidden layer's signal with the first one's."""
        rows = two_layers(run, finite(run.signal()))
        sizes = rows["rms"]
        if sizes[0] == 0:
            raise NotJudged("the signal of the first hidden layer is exactly zero")
        ratios = sizes / sizes[0]
        ratio = float(ratios[-1])
        if ratio <= self.ceiling:
            return
        first, last = int(rows["layer"][0]), int(rows["layer"][-1])
        yield self.slope(
            run,
            rows[ratios > self.ceiling],
            ratio,
            len(rows) - 1,
            f"The signal's rms grows {times(ratio)} from layer {first} up to layer {last}",
            "error" if ratio > self.error else "ceiling",
        )
