"""What the rules about a slope over depth have in common: their finding."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import pandas as pd

from actdiag.rules.base import Rule, Run
from actdiag.rules.remedies import even_out
from actdiag.types import Finding, Severity


@dataclass(frozen=True)
class Slope(Rule, ABC):
    """A rule about the ratio of a quantity between two layers of the chain, with a threshold `error`."""

    def slope(
        self, run: Run, found: pd.DataFrame, ratio: float, apart: int, message: str, limit: str
    ) -> Finding:
        """Return the finding about a ratio.

        Args:
            run: where it was found.
            found: the rows beyond the milder limit.
            ratio: measured; 1 is level.
            apart: steps along the chain between the two that are compared.
            message: what changes how much, from where to where.
            limit: the threshold that was crossed, `error` for the severe one.
        """
        return self.finding(
            run,
            Severity.ERROR if limit == "error" else Severity.WARNING,
            found,
            f"{message}, a factor of {ratio ** (1 / apart):.2g} per layer.",
            even_out(run, found),
            measured=ratio,
            expected=1.0,
            **self.against(limit),
            **not_compared(run),
        )


def not_compared(run: Run) -> dict[str, str]:
    """Return, as evidence, how many hidden layers are not on the chain; {} where none are.

    A ratio between two branches, or between two places in a residual block, says nothing of either.
    """
    layers = "1 hidden layer" if run.aside == 1 else f"{run.aside} hidden layers"
    return {"not_compared": f"{layers} in other places"} if run.aside else {}
