"""AD902: gradients fall below the smallest numbers of their format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.formats import FORMATS, share_below
from actdiag.rules.remedies import even_out_or_later
from actdiag.tables import Row, Table, stacked
from actdiag.types import Finding, Severity

HALF = FORMATS["float16"]


@register
@dataclass(frozen=True)
class Underflow(Rule):
    """Find gradients that are too small for their number format, or would be in float16.

    What it measures:
        Of what is not zero in the gradients of hidden preactivations and of weights, the share that is
        subnormal, counted in the tensor's own format: below 1.2e-38 in float32 and bfloat16, 6.1e-5 in
        float16. For float32 and float64 also, from the histogram, the share that float16 would round to
        zero: below 2^-25, half its smallest number. That is asked of tensors with an rms below 6.1e-5 alone:
        elements far below their own tensor's rms move next to nothing in any format.

    Why it matters:
        A subnormal number has lost digits, and what is smaller by their number of digits has become zero: it
        moves nothing. Gradients of exactly zero in a whole layer are AD103's. What would happen in float16 is
        worth knowing only (info): scaling the loss moves all gradients by one factor and so avoids it.

    What to do:
        In float16: scale the loss (torch.amp.GradScaler) or take bfloat16. In float32 and bfloat16 the
        gradient vanishes (AD101): remove its cause.

    References:
        Micikevicius et al. 2018, section 3.1 and 3.2: with about 5% of the weight gradients below 2^-24 a
        network trained with float16 weights lost much of its accuracy. IEEE 754.
    """

    code: ClassVar[str] = "AD902"
    name: ClassVar[str] = "gradient-underflow"
    title: ClassVar[str] = "gradients are too small for their number format"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag scan --depth 36 --width 64 --act tanh --init normal:0.01"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init xavier"
    calibrated: ClassVar[bool] = False
    remedies_later: ClassVar[bool] = True

    share: float = threshold(
        0.05,
        "above it in the tensor's own format: a warning, in float16 alone: info; "
        "Micikevicius et al. 2018, section 3.1: 5% below the smallest number do harm",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Count what is subnormal; where nothing is, what would be zero in float16."""
        rows = _gradients(run)
        lost = rows["subnormal_fraction"] / (1.0 - rows["zero_fraction"])
        if (lost > self.share).any():
            yield self._lost(run, rows, lost)
            return
        small = rows[(rows["rms"] < HALF.smallest_normal) & rows.among("dtype", ("float32", "float64"))]
        shares = np.array([_zero_in_half(run, row) for row in small])
        if (shares > self.share).any():
            yield self._in_half(run, small, shares)

    def _lost(self, run: Run, rows: Table, lost: NDArray[np.float64]) -> Finding:
        found, worst = rows[lost > self.share], int(np.nanargmax(lost))
        kind = rows["dtype"][worst]
        zero = int(((rows["rms"] == 0) & (rows["tensor"] == run.backward)).sum())
        gone = f"; in {zero} hidden layers all of it is zero (see AD103)" if zero else ""
        return self.finding(
            run,
            Severity.WARNING,
            found,
            f"{lost[worst]:.0%} of what is not zero in {_spelt(rows.row(worst))} is subnormal in "
            f"{kind or 'its format'}: it loses digits, and what is smaller has become zero{gone}.",
            "Scale the loss (torch.amp.GradScaler), or take bfloat16."
            if kind == "float16"
            else even_out_or_later(run, found),
            measured=float(lost[worst]),
            expected=0.0,
            **self.against("share"),
        )

    def _in_half(self, run: Run, rows: Table, shares: NDArray[np.float64]) -> Finding:
        worst = int(shares.argmax())
        row = rows.row(worst)
        return self.finding(
            run,
            Severity.INFO,
            rows[shares > self.share],
            f"In float16 {shares[worst]:.0%} of what is not zero in {_spelt(row)} would be rounded to zero; "
            f"in {row['dtype']}, as run, {'next to ' if row['subnormal_fraction'] else ''}nothing is lost.",
            "It concerns mixed precision only: before training in float16, scale the loss "
            "(torch.amp.GradScaler); bfloat16 needs none.",
            measured=float(shares[worst]),
            expected=0.0,
            **self.against("share"),
        )


def _gradients(run: Run) -> Table:
    """Return the rows of the hidden layers' gradients and of all weights'."""
    parts = [finite(run.hidden_at(run.backward))]
    with suppress(NotJudged):
        parts.append(finite(run.at("weight_grad")))
    return stacked(parts)


def _zero_in_half(run: Run, row: Row) -> float:
    """Return the share that float16 rounds to zero; 0 where the recording keeps no histogram."""
    counts = run.recording.histograms.get(row.index)
    if counts is None:
        return 0.0
    return share_below(counts, HALF.smallest / 2.0, row["zero_fraction"] * row["count"])


def _spelt(row: Row) -> str:
    return f"the {row['tensor']} of layer {row['layer']}"
