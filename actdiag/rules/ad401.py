"""AD401: a network behaves otherwise than its weights, drawn as they should be, would."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, sample_norm, threshold
from actdiag.tables import Flags, Table
from actdiag.types import Finding, Severity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Layers whose measured numbers can be compared with theory's.

    Attributes:
        what: is compared.
        rows: that were measured.
        numbers: (4, rows) measured, expected, and the band's low and high end.
    """

    what: str
    rows: Table
    numbers: Floats


@register
@dataclass(frozen=True)
class TheoryMismatch(Rule):
    """Find layers whose signal or gradient lies far from what mean-field theory expects.

    What it measures:
        The rms of each hidden layer's activation, and its gradient's norm over the last hidden layer's,
        against the prediction for independent weights of their variance, and against the band that 99% of
        such draws fill at this width. A finding lies well beyond the band: the distance from the prediction,
        as a logarithm, is more than `beyond` times the band's own half.

    Why it matters:
        Signal and gradient of random weights follow from variance, fans and activation alone. A network that
        does otherwise is not the one that was meant: something between the layers, or weights that depend on
        each other. What is predicted for it (how deep it can be trained) does not hold.

    What to do:
        Look for a factor or a slice between the layers, another activation than the one recorded, biases
        that are not small, and weights that are not independent: trained, pruned, of low rank, shared, or
        scaled on a batch, as LSUV and `actdiag fix` do. Of trained and of scaled ones it is expected.

    References:
        Poole et al. 2016; Schoenholz et al. 2017; Hanin & Rolnick 2018 (the band's width).
    """

    code: ClassVar[str] = "AD401"
    name: ClassVar[str] = "theory-mismatch"
    title: ClassVar[str] = "signal or gradient is not what random weights give"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:scaled --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag scan --depth 6 --width 64 --act tanh --init xavier"

    beyond: float = threshold(
        1.5,
        "beyond both this and `factor`: a warning, in a model of one's own info; "
        "half-widths of the 99% band, 3.9 standard deviations: one draw in 10,000 strays as far",
    )
    factor: float = threshold(
        1.25,
        "beyond both this and `beyond`: a warning, in a model of one's own info; "
        "the square root of 1.5: a variance that is off by half, less than between two recipes",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer with its prediction."""
        if run.step is not None:
            raise NotJudged("theory is made for the first step")
        finite(run.hidden_at("activation"))
        if not run.theory:
            raise NotJudged(str(run.facts.get("theory") or "the recording holds no rows of theory"))
        known = [side for side in _sides(run) if side.rows]
        if not known:
            raise NotJudged(_why_no_band(run))
        for side in known:
            strays = self._strays(side.numbers)
            if strays.any():
                yield self._mismatch(run, Side(side.what, side.rows[strays], side.numbers[:, strays]))

    def _strays(self, numbers: Floats) -> Flags:
        """Return which measured numbers lie well beyond the band, (rows,)."""
        measured, expected, low, high = np.log(numbers)
        away = measured - expected
        half = np.where(away > 0, high, low) - expected
        limit = np.maximum(self.beyond * np.abs(half), math.log(self.factor))
        return np.asarray(np.abs(away) > limit)

    def _mismatch(self, run: Run, side: Side) -> Finding:
        worst = int(np.abs(np.log(side.numbers[0] / side.numbers[1])).argmax())
        measured, expected, low, high = side.numbers[:, worst].tolist()
        return self.finding(
            run,
            Severity.INFO if run.spec is None else Severity.WARNING,
            side.rows,
            f"The {side.what} of layer {side.rows['layer'][worst]} is {numeral(measured)}; independent "
            f"weights of this size give {numeral(expected)}, and {numeral(low)} to {numeral(high)} in 99% of "
            "draws.",
            _remedy(run),
            measured=measured,
            expected=expected,
            expected_low=low,
            expected_high=high,
            **self.against("beyond"),
        )


def _why_no_band(run: Run) -> str:
    spec = run.spec or {}
    if spec.get("norm", "none") != "none" or spec.get("dropout") or spec.get("residual"):
        return "a band is known for plain chains alone, without norm, dropout and residual sums"
    if spec.get("init") == "lsuv":
        return "a band is known for weights that do not depend on the data alone"
    return "no band is known at this width and depth: too narrow, or too far from theory"


def _sides(run: Run) -> Iterator[Side]:
    """Yield the signal, and the gradient where it was recorded."""
    signal, theory = finite(run.hidden_at("activation")), run.theory
    meant = theory[theory["tensor"] == "activation"]
    yield _beside("signal's rms", signal, signal["rms"], meant, np.ones(len(meant)))
    if not run.at("preactivation_grad").among("module", set(run.hidden["name"])).any():
        return
    gradients = finite(run.hidden_at("preactivation_grad"))
    norms = sample_norm(gradients)
    meant = theory[theory["tensor"] == "preactivation_grad"]
    if meant and norms[-1] > 0:
        scale = sample_norm(meant)
        what = f"gradient's norm, over that of layer {gradients['layer'][-1]},"
        yield _beside(what, gradients, norms / norms[-1], meant, scale / meant["rms"] / scale[-1])


def _beside(what: str, rows: Table, measured: Floats, theory: Table, factor: Floats) -> Side:
    """Return measured and expected numbers side by side, of the layers that have both and a band.

    Args:
        what: is compared.
        rows: that were measured, one for each layer.
        measured: (rows,) what is compared.
        theory: its rows, one for each layer.
        factor: (theory's rows,) by which their rms becomes what is compared.
    """
    places = {layer: place for place, layer in enumerate(theory["layer"].tolist())}
    both = rows.among("layer", places)
    at = [places[layer] for layer in rows[both]["layer"].tolist()]
    meant = [(theory[name] * factor)[at] for name in ("rms", "expected_low", "expected_high")]
    numbers = np.array([measured[both], *meant])
    whole: Flags = np.all((numbers > 0) & (numbers < np.inf), axis=0)
    return Side(what, rows[both][whole], numbers[:, whole])


def _remedy(run: Run) -> str:
    causes = "weights that depend on each other, a bias, or another activation than the one named"
    if run.spec is None:
        return (
            "Look for a factor between the layers, and for "
            f"{causes}. Of trained weights, and of a start scaled on a batch (LSUV, actdiag fix), it is "
            "expected: they depend on each other."
        )
    return f"Look for {causes}; data whose samples differ much in size also do this."
