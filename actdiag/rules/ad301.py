"""AD301: all units of a layer are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.recording import UNIT_FIELDS
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import even_out
from actdiag.tables import Flags, Table
from actdiag.types import Finding, Severity

ROUNDING = 1e-12
"""Of a difference of two squares, relative to the largest number's square: far above float64's."""
COMPARED = [UNIT_FIELDS.index(name) for name in ("mean", "std", "max", "min")]


@register
@dataclass(frozen=True)
class SymmetricUnits(Rule):
    """Find layers whose units all compute the same and learn the same.

    What it measures:
        Whether mean, std, max and min agree between all units of a hidden layer: of the preactivation and
        of its gradient over the samples, and of the incoming weights. Units that differ in one of them
        come apart.

    Why it matters:
        Units with equal incoming and outgoing weights get equal gradients and stay equal for ever: the
        layer is worth one unit, however wide it is. Weights of one constant, zero included, do this to the
        whole network.

    What to do:
        Draw the weights at random. Biases may start at zero.

    References:
        Rumelhart, Hinton & Williams 1986; Goodfellow, Bengio & Courville 2016, section 8.4.
    """

    code: ClassVar[str] = "AD301"
    name: ClassVar[str] = "symmetric-units"
    title: ClassVar[str] = "all units of a layer compute and learn the same"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR, Severity.WARNING)
    bad: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init constant:0.1"
    good: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init xavier"
    calibrated: ClassVar[bool] = False

    tolerance: float = threshold(
        1e-5,
        "up to it, in all hidden layers: an error, in some: a warning; "
        "difference between units over the layer's largest value, below which they are equal: about 100 "
        "roundings of float32, as of equal sums in another order",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare the units of each hidden layer with each other, forward and backward."""
        forward, backward = (
            finite(run.hidden_at(tensor)) for tensor in ("preactivation", "preactivation_grad")
        )
        judged = forward[(forward["units"] > 1) & forward.among("layer", set(backward["layer"]))]
        if not judged:
            raise NotJudged("no hidden layer has two units to compare")
        weights = run.at("weight")
        weights = weights[weights.among("module", set(judged["module"]))]
        for rows in (judged, backward, weights):
            _check_units(run, rows)
        alike = judged[~self._apart(judged)]
        same = self._symmetric(run, alike) & self._symmetric(run, backward) if alike else set()
        differ = set(weights["layer"].tolist()) - self._symmetric(run, weights) if same else set()
        found = judged[judged.among("layer", same - differ)]
        if not found:
            return
        every = len(found) == len(judged)
        yield self.finding(
            run,
            Severity.ERROR if every else Severity.WARNING,
            found,
            f"All units are equal in {len(found)} of {len(judged)} hidden layers, forward and backward: each "
            "such layer is worth one unit, and training keeps it so.",
            _remedy(run, found),
            measured=len(found),
            expected="0 layers",
            **self.against("tolerance"),
        )

    def _apart(self, rows: Table) -> Flags:
        """Return which layers' units differ in their means, as the layers' own numbers tell, (rows,).

        Pooled variance = mean of the units' variances + variance of their means. It spares most networks a
        look at each unit.
        """
        between = rows["std"] ** 2 - rows["std_across"] ** 2
        largest = np.maximum(np.abs(rows["max"]), np.abs(rows["min"]))
        apart = between > (self.tolerance**2 + ROUNDING) * largest**2
        return np.asarray((rows["positions"] == 1) & apart)

    def _symmetric(self, run: Run, rows: Table) -> set[int]:
        """Return the layers whose units agree."""
        layers = zip(rows.indices, rows["layer"].tolist(), strict=True)
        return {layer for index, layer in layers if self._agree(run.recording.units[index])}

    def _agree(self, state: NDArray[np.float64]) -> bool:
        """Return whether all units (columns) are equal, relative to the largest value in the layer."""
        compared = state[COMPARED]
        spread = np.ptp(compared, axis=1).max()
        return bool(spread <= self.tolerance * np.abs(compared).max())


def _check_units(run: Run, rows: Table) -> None:
    for index, layer in zip(rows.indices, rows["layer"].tolist(), strict=True):
        if index not in run.recording.units:
            raise NotJudged(f"the recording keeps no numbers per unit for layer {layer}")


def _remedy(run: Run, rows: Table) -> str:
    if run.spec is None:
        return f"Draw the weights of {', '.join(rows['module'][:4])} at random."
    return even_out(run, rows)
