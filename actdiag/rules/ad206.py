"""AD206: samples can no longer be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import even_out
from actdiag.rules.slopes import not_compared
from actdiag.tables import Table
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class CollapsedSignal(Rule):
    """Find a signal that is the same for every sample.

    What it measures:
        std_across / rms of what the last hidden layer passes on: the part of the signal that differs
        between samples, sqrt(1 - c) for samples of correlation c. The pooled std does not show it: units
        may differ from each other and still not react to the input.

    Why it matters:
        The part all samples share dominates the curvature and so bounds the learning rate; the part that
        tells them apart then takes (rms / std_across)^2 steps to be learnt. In a network deeper than about
        six correlation depths nothing of it is left.

    What to do:
        Replace an activation whose output has a large mean (sigmoid, softplus), take fewer layers, or add
        normalisation over the batch or residual connections.

    References:
        Schoenholz et al. 2017, section 5: networks train up to 6 correlation depths, 1 - c = e^-6, so
        sqrt(1 - c) = e^-3 = 0.05. LeCun, Kanter & Solla 1991 (the mean's eigenvalue).
    """

    code: ClassVar[str] = "AD206"
    name: ClassVar[str] = "collapsed-signal"
    title: ClassVar[str] = "the last hidden layer gives every sample the same signal"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR, Severity.WARNING)
    bad: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act sigmoid --init xavier"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init xavier"

    floor: float = threshold(
        0.05,
        "below it: a warning; "
        "e^-3: Schoenholz et al. 2017, 6 correlation depths; 1 / sqrt(400), the steps of the protocol",
    )
    error: float = threshold(
        0.0035,
        "below it: an error; "
        "calibrated (benchmarks/verdicts.md): sigmoid networks fail at 0.0024 and reach 33 to 48% accuracy "
        "from 0.0049; "
        "telling samples apart takes 1 / 0.0035^2 steps, 200 times the protocol's 400",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare the part that differs between samples with the whole."""
        rows = finite(run.signal())
        if rows["rms"][-1] == 0:
            raise NotJudged("the signal of the last hidden layer is exactly zero")
        parts = differing_parts(rows)
        part = float(parts[-1])
        if part != part:
            raise NotJudged("whether samples can be told apart takes two samples to say")
        if part >= self.floor:
            return
        severe = part < self.error
        found = rows[parts < self.floor]
        yield self.finding(
            run,
            Severity.ERROR if severe else Severity.WARNING,
            found,
            f"Samples can no longer be told apart in layer {found['layer'][-1]}: std_across is "
            f"{numeral(part)} of the signal's rms.",
            even_out(run, found, alike=True),
            measured=part,
            expected=f">= {self.floor:g} (less: a warning; below {self.error:g}: an error)",
            **self.against("error" if severe else "floor"),
            **not_compared(run),
        )


def differing_parts(rows: Table) -> NDArray[np.float64]:
    """Return std_across / rms, (rows,); with positions, both are of each sample's mean over positions.

    It is NaN where the rms is 0.
    """
    sizes, spatial = rows["rms"], rows["positions"] > 1
    parts = np.where(sizes == 0, np.nan, rows["std_across"] / sizes)
    parts[spatial] = [max(1.0 - c, 0.0) ** 0.5 for c in rows["correlation"][spatial].tolist()]
    return parts
