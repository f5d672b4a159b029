"""AD204: units are saturated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import even_out
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class SaturatedUnit(Rule):
    """Find layers in which most units are saturated.

    What it measures:
        The share of preactivations at which the activation's derivative is below 5% of its maximum: both
        tails of sigmoid, tanh, softsign and hardtanh, the left one of ELU and SELU.

    Why it matters:
        A saturated unit passes almost no gradient to what lies before it and hardly reacts to its input.
        Training is slow and depends on the few units that are not saturated. It is never an error by
        itself: the last layers still learn from saturated features.

    What to do:
        Make the weights smaller (Xavier), standardise the inputs, or normalise before the activation.

    References:
        LeCun et al. 1998, section 4.4; Glorot & Bengio 2010, section 3.
    """

    code: ClassVar[str] = "AD204"
    name: ClassVar[str] = "saturated-unit"
    title: ClassVar[str] = "most units pass under 5% of the gradient"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING,)
    bad: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init normal:1"
    good: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init xavier"

    share: float = threshold(
        0.5,
        "above it: a warning; the typical (median) unit passes under 5% of the gradient",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's saturated share with the threshold."""
        rows = finite(run.hidden_at("activation"))
        rows = rows[~np.isnan(rows["saturated_fraction"])]
        if not rows:
            raise NotJudged("the activation does not saturate")
        found = rows[rows["saturated_fraction"] > self.share]
        if not found:
            return
        worst = found.row(int(found["saturated_fraction"].argmax()))
        share = float(worst["saturated_fraction"])
        yield self.finding(
            run,
            Severity.WARNING,
            found,
            f"{share:.0%} of the preactivations of layer {worst['layer']} are saturated: the derivative "
            "there is below 5% of its maximum.",
            even_out(run, found),
            measured=share,
            expected=f"< {self.share:g}",
            **self.against("share"),
        )
