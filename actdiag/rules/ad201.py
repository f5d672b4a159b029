"""AD201: the signal vanishes on its way up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actdiag.rules.base import NotJudged, Run, finite, register, threshold, times, two_layers
from actdiag.rules.slopes import Fade
from actdiag.tables import Table
from actdiag.types import Finding


@register
@dataclass(frozen=True)
class VanishingActivation(Fade):
    """Find a signal that shrinks from the first hidden layer to the last.

    What it measures:
        The rms of what the last hidden layer passes on (past a norm or a residual sum) over that of the
        first one; read together with the gradient on its way down, as in AD101.

    Why it matters:
        Where W and phi shrink the signal in every layer, the output no longer depends on the input, and
        the weight gradients, products of signal and gradient, shrink as well. Biases do not help: they
        carry no information about the sample.

    What to do:
        Make the weights larger: the variance the activation needs (He for relu, Xavier for tanh), or
        normalise.

    References:
        LeCun et al. 1998, section 4.6; Glorot & Bengio 2010; He et al. 2015, eq. 9 and 10.
    """

    code: ClassVar[str] = "AD201"
    name: ClassVar[str] = "vanishing-activation"
    title: ClassVar[str] = "the signal shrinks from layer to layer"
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init normal:0.01"
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
        """Compare the last hidden layer's signal with the first one's."""
        rows = two_layers(run, finite(run.signal()))
        sizes = rows["rms"]
        if sizes[0] == 0:
            raise NotJudged("the signal of the first hidden layer is exactly zero")
        ratios = sizes / sizes[0]
        ratio = float(ratios[-1])
        if ratio >= self.floor:
            return
        first, last = int(rows["layer"][0]), int(rows["layer"][-1])
        message = (
            f"The signal's rms shrinks {times(1 / ratio)} from layer {first} up to layer {last}"
            if ratio
            else ""
        )
        yield self.fade(
            run,
            rows[ratios < self.floor],
            ratio,
            len(rows) - 1,
            message or f"The signal is exactly 0 from layer {_silent_from(rows)} on",
            self.error,
        )


def _silent_from(rows: Table) -> int:
    """Return the first layer behind which, itself included, there is no signal."""
    return int(rows["layer"][1 + int(np.flatnonzero(rows["rms"])[-1])])
