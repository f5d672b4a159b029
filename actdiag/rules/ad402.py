"""AD402: the Jacobian from the first hidden layer to the last is far from an isometry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from actdiag.numerals import numeral, percent
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold, times, two_layers
from actdiag.rules.remedies import even_out
from actdiag.types import Finding, Severity


@register
@dataclass(frozen=True)
class IllConditionedJacobian(Rule):
    """Find a Jacobian whose singular values shrink, grow, or leave one direction alone.

    What it measures:
        The singular values s of dz_L/dz_1, the derivative of the last hidden layer's preactivation with
        respect to the first one's, for single samples (median over a few), by Golub-Kahan-Lanczos. Judged
        are their root mean square, 1 for an isometry, and the share of the sum of squares that the largest
        has alone. It is measured on request: `actdiag scan --jacobian`, `check(..., jacobian=True)`.

    Why it matters:
        Signal and gradient pass this matrix. The mean of s^2 is chi^(L - 1) in mean-field theory: what it
        is over all directions. The largest alone says what happens to the worst one: where it has most of
        the sum, all gradients become parallel, whatever their size. The ratio of largest to smallest is
        shown and not judged: in networks of Gaussian weights that train it is already beyond 1e6, and it is
        infinite where ReLUs are silent.

    What to do:
        Give the weights the variance that their activation needs; draw them orthogonal, which keeps the
        singular values together in tanh networks and in linear ones, not in ReLU networks; or add residual
        connections.

    References:
        Saxe et al. 2014, section 4; Pennington et al. 2017, eq. 14 to 17; Glorot & Bengio 2010, section
        4.2.2, who report mean singular values of a layer's Jacobian.
    """

    code: ClassVar[str] = "AD402"
    name: ClassVar[str] = "ill-conditioned-jacobian"
    title: ClassVar[str] = "the Jacobian across the hidden layers is far from an isometry"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag scan --depth 12 --width 64 --act relu --init xavier --jacobian"
    good: ClassVar[str] = "actdiag scan --depth 8 --width 64 --act tanh --init orthogonal --jacobian"

    floor: float = threshold(
        0.1,
        "below it: a warning; one decade, as AD101.floor: the gradient passes this very matrix",
    )
    ceiling: float = threshold(
        10.0,
        "above it: a warning; one decade, the other way",
    )
    share: float = threshold(
        0.5,
        "above it: info; by definition: one direction has more than all the others together",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare the rms singular value with 1, and the largest with the rest."""
        rows = two_layers(run, finite(run.chain_at("preactivation")))
        numbers = run.facts.get("jacobian")
        if numbers is None:
            raise NotJudged(
                "no Jacobian was measured: ask for it by actdiag scan --jacobian, or in Python by "
                "actdiag.check(..., jacobian=True)"
            )
        if isinstance(numbers, dict) and "reason" in numbers:
            raise NotJudged(str(numbers["reason"]))
        try:
            rms, share = math.sqrt(float(numbers["mean_square"])), float(numbers["top_share"])
            layers, remedy = max(int(numbers["layers"]), 1), even_out(run, rows)
            known = {name: numbers[name] for name in ("largest", "smallest", "samples")}
        except (KeyError, TypeError, ValueError) as error:
            raise NotJudged(f"the recording's numbers of the Jacobian are damaged: {error!r}") from error
        if not self.floor <= rms <= self.ceiling:
            yield self.finding(
                run, Severity.WARNING, rows,
                f"A small difference {_change(rms)} from the first hidden layer to the last: the mean "
                f"squared singular value is {numeral(rms ** (2 / layers))} per layer.",
                remedy, measured=rms, expected=1.0,
                **self.against("floor" if rms < 1 else "ceiling"), **known,
            )  # fmt: skip
        elif share > self.share:
            yield self.finding(
                run, Severity.INFO, rows,
                f"One direction has {percent(share)} of the Jacobian's sum of squares: different errors' "
                "gradients become parallel on their way down.",
                remedy, measured=share, expected=1.0 / float(rows["units"].min()),
                **self.against("share"), **known,
            )  # fmt: skip


def _change(rms: float) -> str:
    if not rms:
        return "is lost"
    return f"shrinks {times(1 / rms)}" if rms < 1 else f"grows {times(rms)}"
