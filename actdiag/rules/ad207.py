"""AD207: units give every sample the same value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actdiag.rules.ad206 import CollapsedSignal, differing_parts
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import even_out
from actdiag.tables import Table
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class ConstantUnit(Rule):
    """Find layers in which units give one and the same value for every sample.

    What it measures:
        The units of a hidden layer's activation whose largest and smallest value over all samples and
        positions are equal, exactly. Dead units of an activation that can die are AD203's and left out, and
        so is a layer whose samples can hardly be told apart as a whole, of which AD206 and AD103 speak: there
        units are constant by rounding.

    Why it matters:
        Such a unit is a bias: it tells the next layer nothing of the sample. Most also pass no gradient: a
        tanh or sigmoid rounded to its limit, a hardtanh beyond its corner, a GELU that rounds to zero. The
        layer is worth as many units fewer. Where they are most, it is a warning, else worth knowing (info).

    What to do:
        Make weights and biases smaller, standardise the inputs, draw rows of zero weights at random.

    References:
        LeCun et al. 1998, section 4.4; Glorot & Bengio 2010, section 3; Lu, Shin, Su & Karniadakis 2020.
    """

    code: ClassVar[str] = "AD207"
    name: ClassVar[str] = "constant-unit"
    title: ClassVar[str] = "units give every sample the same value"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:pruned --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag attach actdiag.examples:healthy --data actdiag.examples:batches"
    calibrated: ClassVar[bool] = False

    share: float = threshold(
        0.5,
        "above it: a warning, up to it: info; "
        "the typical (median) unit tells nothing; that a unit is constant is exact",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Count each hidden layer's constant units, without the dead ones."""
        rows = finite(run.hidden_at("activation"))
        if rows["samples"].min() < 2:
            raise NotJudged("whether a unit is constant takes two samples to tell")
        rows = rows[rows["constant_units"] < rows["units"]]
        rows = rows[~(differing_parts(rows) < CollapsedSignal.floor)]
        constant = rows["constant_units"] - np.where(np.isnan(rows["dead_units"]), 0.0, rows["dead_units"])
        shares = constant / rows["units"]
        found = rows[shares > 0]
        if not found:
            return
        worst = rows.row(int(shares.argmax()))
        share = float(shares.max())
        many = share > self.share
        yield self.finding(
            run,
            Severity.WARNING if many else Severity.INFO,
            rows[shares > self.share] if many else found,
            f"{share * worst['units']:.0f} of the {worst['units']} units of layer {worst['layer']} give the "
            f"same value for all {worst['samples']} samples.",
            _remedy(run, found),
            measured=share,
            expected=0.0,
            **self.against("share"),
        )


def _remedy(run: Run, rows: Table) -> str:
    if run.spec is not None and run.spec["bias"]:
        return f"Use --bias 0: {run.spec['bias']:g} shifts the preactivations."
    zero = "Draw rows of zero weights at random. " if run.spec is None else ""
    return f"{zero}{even_out(run, rows)}"
