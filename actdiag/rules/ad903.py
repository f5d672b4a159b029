"""AD903: numbers come near the largest of their format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.numerals import numeral
from actdiag.rules.base import Rule, Run, finite, register, threshold
from actdiag.rules.formats import FORMATS
from actdiag.rules.remedies import even_out_or_later
from actdiag.tables import Table, stacked
from actdiag.types import Finding, Severity

HALF, WIDER = FORMATS["float16"], ("bfloat16", "float32", "float64")
LARGEST = {name: known.largest for name, known in FORMATS.items()}
Floats = NDArray[np.float64]
TENSORS = ("input", "preactivation", "activation", "output", "weight")


@register
@dataclass(frozen=True)
class Overflow(Rule):
    """Find numbers that come near the largest of their format, or would be beyond float16's.

    What it measures:
        The largest magnitude in each tensor and gradient, over the largest finite number of the tensor's own
        format: 65,504 in float16, 3.4e38 in float32 and bfloat16. For the wider formats also whether it is
        above 65,504.

    Why it matters:
        The next larger batch, learning rate or sum overflows to Inf, and Inf to NaN (AD901). What would
        happen in float16 is worth knowing only (info).

    What to do:
        Remove what makes the signal or the gradient grow (AD202, AD102). Lower the loss scale where it is set
        by hand. Take bfloat16 for float16.

    References:
        IEEE 754; Micikevicius et al. 2018, section 3.2 (the scaled gradient has to stay below 65,504).
    """

    code: ClassVar[str] = "AD903"
    name: ClassVar[str] = "number-overflow"
    title: ClassVar[str] = "numbers come near the largest of their format"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag scan --depth 10 --width 64 --act relu --init normal:1"
    good: ClassVar[str] = "actdiag scan --depth 10 --width 64 --act relu --init he"
    calibrated: ClassVar[bool] = False
    remedies_later: ClassVar[bool] = True

    share: float = threshold(
        0.1,
        "above it: a warning; "
        "of the largest number: one decade, the step between neighbouring learning rates of the protocol",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each tensor's extremes with its format's largest number, and with float16's."""
        finite(run.hidden_at("activation"))
        rows = stacked([run.at(kind + end) for kind in TENSORS for end in ("", "_grad")])
        if not _sizes(rows).max() > min(self.share, 1.0) * HALF.largest:  # in no format: the common case
            return
        rows = rows.sorted_by("layer")
        sizes = _sizes(rows)
        shares = sizes / np.array([LARGEST.get(kind, np.nan) for kind in rows["dtype"].tolist()])
        if (shares > self.share).any():
            yield self._near(run, rows, sizes, shares)
            return
        shares = np.where(rows.among("dtype", WIDER), sizes / HALF.largest, 0.0)
        if (shares > 1.0).any():
            yield self._beyond_half(run, rows, sizes, shares)

    def _near(self, run: Run, rows: Table, sizes: Floats, shares: Floats) -> Finding:
        worst = int(np.nanargmax(shares))
        kind, found = rows["dtype"][worst], rows[shares > self.share]
        remedy = "Lower the loss scale if gradients alone are large; else remove what makes the signal grow."
        return self.finding(
            run,
            Severity.WARNING,
            found,
            f"{_reached(rows, sizes, worst)}, and {kind} ends at {numeral(LARGEST[kind])}.",
            remedy if run.spec is None and run.step is None else even_out_or_later(run, found),
            measured=float(shares[worst]),
            expected=f"< {self.share:g}",
            **self.against("share"),
        )

    def _beyond_half(self, run: Run, rows: Table, sizes: Floats, shares: Floats) -> Finding:
        worst = int(shares.argmax())
        return self.finding(
            run,
            Severity.INFO,
            rows[shares > 1.0],
            f"{_reached(rows, sizes, worst)}, which float16 cannot hold: it ends at 65,504.",
            "Before training in float16, remove what makes the signal grow; bfloat16 reaches 3e38.",
            measured=float(shares[worst]),
            expected="<= 1",
            threshold=1.0,
            threshold_source="exact: float16 holds no finite number above 65,504",
        )


def _sizes(rows: Table) -> Floats:
    """Return the largest magnitude in each row's tensor, (rows,); 0 where none is known."""
    return np.asarray(np.fmax(0.0, np.fmax(np.abs(rows["max"]), np.abs(rows["min"]))))


def _reached(rows: Table, sizes: Floats, worst: int) -> str:
    row = rows.row(worst)
    place = "the input" if row["tensor"] == "input" else f"the {row['tensor']} of layer {row['layer']}"
    return f"Numbers in {place} reach {numeral(float(sizes[worst]), 2)}"
