"""What the rules about a slope over depth have in common: their finding."""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass, replace
from typing import ClassVar

from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, sample_norm, threshold, times
from actdiag.rules.remedies import even_out
from actdiag.tables import Table
from actdiag.types import Finding, Severity


@dataclass(frozen=True)
class Slope(Rule, ABC):
    """A rule about the ratio of a quantity between two layers of the chain, with a threshold `error`."""

    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR, Severity.WARNING)

    def slope(
        self, run: Run, found: Table, ratio: float, apart: int, message: str, limit: str, more: str = ""
    ) -> Finding:
        """Return the finding about a ratio.

        Args:
            run: where it was found.
            found: the rows beyond the milder limit.
            ratio: measured; 1 is level.
            apart: steps along the chain between the two that are compared.
            message: what changes how much, from where to where.
            limit: the threshold that was crossed; `error` and `both` are the severe ones.
            more: said behind the message.
        """
        per_layer = f", a factor of {numeral(ratio ** (1 / apart), 2)} per layer" if ratio else ""
        return self.finding(
            run,
            Severity.ERROR if limit in ("error", "both") else Severity.WARNING,
            found,
            f"{message}{per_layer}{more}.",
            even_out(run, run.hidden[run.hidden.among("name", set(run.chain))]),
            measured=ratio,
            expected=1.0,
            **self.against(limit),
            **not_compared(run),
        )


@dataclass(frozen=True)
class Fade(Slope, ABC):
    """A slope that vanishes: an error by itself, or because the other direction vanishes as well."""

    both: float = threshold(
        1e-5,
        "below it, where the ratio is below `floor`: an error; "
        "calibrated for both ways together (benchmarks/verdicts.md): of 357 networks that lose this much up "
        "and down 341 stay below 30% training accuracy on ten classes in the protocol, and none gets beyond "
        "61%",
    )

    def fade(self, run: Run, found: Table, ratio: float, apart: int, message: str, error: float) -> Finding:
        """Return the finding about a ratio below the floor, severe below `error` or where `both` is crossed.

        Args:
            run: where it was found.
            found: the rows below the floor.
            ratio: measured; 1 is level.
            apart: steps along the chain between the two that are compared.
            message: what shrinks how much, from where to where.
            error: below it the ratio is an error by itself.
        """
        together = both_ways(run)
        if ratio < error or not together < self.both:
            return self.slope(run, found, ratio, apart, message, "error" if ratio < error else "floor")
        more = (
            "; what tells samples apart on its way up and the gradient on its way down shrink "
            f"{times(1.0 / together)} together"
            if together
            else "; what tells samples apart on its way up, or the gradient on its way down, is lost"
        )
        severe = self.slope(run, found, ratio, apart, message, "both", more)
        return replace(severe, evidence={**severe.evidence, "both_ways": together})


def both_ways(run: Run) -> float:
    """Return what is left of a signal up and down the chain: forward times backward ratio.

    Forward it is std_across of what the last hidden layer passes on over that of the first; backward the
    norm of a sample's gradient at the first hidden layer over that at the last. A layer's weight gradient is
    the product of the signal below it and the gradient above it, and so the same share is missing from each
    of them, wherever in the chain it lies. NaN where one of the two cannot be told.
    """
    try:
        signal, gradients = run.signal(), sample_norm(run.chain_at(run.backward))
    except NotJudged:
        return math.nan
    parts = signal["std_across"]
    if not parts[0] or not gradients[-1]:
        return math.nan
    return float(parts[-1] / parts[0] * gradients[0] / gradients[-1])


def not_compared(run: Run) -> dict[str, str]:
    """Return, as evidence, how many hidden layers are not on the chain; {} where none are.

    A ratio between two branches, or between two places in a residual block, says nothing of either.
    """
    layers = "1 hidden layer" if run.aside == 1 else f"{run.aside} hidden layers"
    return {"not_compared": f"{layers} in other places"} if run.aside else {}
