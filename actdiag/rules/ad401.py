"""AD401: a network behaves otherwise than its weights, drawn as they should be, would."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, sample_norm, threshold
from actdiag.types import Finding, Severity


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
        that are not small, and weights that are not independent: trained, pruned, of low rank, shared.

    References:
        Poole et al. 2016; Schoenholz et al. 2017; Hanin & Rolnick 2018 (the band's width).
    """

    code: ClassVar[str] = "AD401"
    name: ClassVar[str] = "theory-mismatch"
    title: ClassVar[str] = "signal or gradient is not what random weights give"
    bad: ClassVar[str] = "actdiag attach actdiag.examples:scaled --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag scan --depth 6 --width 64 --act tanh --init xavier"

    beyond: float = threshold(
        1.5, "half-widths of the 99% band, 3.9 standard deviations: one draw in 10,000 strays as far"
    )
    factor: float = threshold(
        1.25, "the square root of 1.5: a variance that is off by half, less than between two recipes"
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer with its prediction."""
        if run.step is not None:
            raise NotJudged("theory is made for the first step")
        finite(run.hidden_at("activation"))
        rows = run.recording.rows
        theory = rows[rows["source"] == "theory"]
        if theory.empty:
            raise NotJudged(str(run.facts.get("theory") or "the recording holds no rows of theory"))
        known = [(what, rows) for what, rows in _sides(run, theory) if not rows.empty]
        if not known:
            raise NotJudged(_why_no_band(run))
        for what, rows in known:
            found = rows[self._strays(rows)]
            if not found.empty:
                yield self._mismatch(run, what, found)

    def _strays(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which measured numbers lie well beyond the band, (rows,)."""
        away = np.log((rows["measured"] / rows["expected"]).to_numpy())
        half = np.log(np.where(away > 0, rows["high"], rows["low"]) / rows["expected"])
        limit = np.maximum(self.beyond * np.abs(half), math.log(self.factor))
        return np.asarray(np.abs(away) > limit)

    def _mismatch(self, run: Run, what: str, rows: pd.DataFrame) -> Finding:
        away = np.abs(np.log(rows["measured"] / rows["expected"]))
        worst = rows.iloc[int(away.argmax())]
        low, high, is_there, meant = (
            numeral(worst[name]) for name in ("low", "high", "measured", "expected")
        )
        return self.finding(
            run,
            Severity.INFO if run.spec is None else Severity.WARNING,
            rows,
            f"The {what} of layer {worst['layer']} is {is_there}; independent weights of this size give "
            f"{meant}, and {low} to {high} in 99% of draws.",
            _remedy(run),
            measured=float(worst["measured"]),
            expected=float(worst["expected"]),
            expected_low=float(worst["low"]),
            expected_high=float(worst["high"]),
            **self.against("beyond"),
        )


def _why_no_band(run: Run) -> str:
    spec = run.spec or {}
    if spec.get("norm", "none") != "none" or spec.get("dropout") or spec.get("residual"):
        return "a band is known for plain chains alone, without norm, dropout and residual sums"
    if spec.get("init") == "lsuv":
        return "a band is known for weights that do not depend on the data alone"
    return "no band is known at this width and depth: too narrow, or too far from theory"


def _sides(run: Run, theory: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what is compared, and layer, module, measured, expected, low, high of layers with a band."""
    signal = finite(run.hidden_at("activation"))
    yield "signal's rms", _beside(signal, signal["rms"], theory[theory["tensor"] == "activation"], "rms")
    if not run.at("preactivation_grad")["module"].isin(run.hidden["name"]).any():
        return
    gradients = finite(run.hidden_at("preactivation_grad"))
    norms = sample_norm(gradients)
    last = float(norms.iloc[-1])
    meant = theory[theory["tensor"] == "preactivation_grad"]
    if len(meant) and last > 0:
        scale = float(sample_norm(meant).iloc[-1])
        yield (
            f"gradient's norm, over that of layer {gradients['layer'].iloc[-1]},",
            _beside(gradients, norms / last, meant, "norm", scale),
        )


def _beside(
    rows: pd.DataFrame, measured: pd.Series, theory: pd.DataFrame, quantity: str, scale: float = 1.0
) -> pd.DataFrame:
    """Return measured and expected numbers side by side, of the layers that have both and a band."""
    factor = sample_norm(theory) / theory["rms"] / scale if quantity == "norm" else 1.0
    columns = {"expected": "rms", "low": "expected_low", "high": "expected_high"}
    meant = pd.DataFrame({name: theory[column] * factor for name, column in columns.items()})
    meant["layer"] = theory["layer"]
    both = rows[["layer", "module"]].assign(measured=measured).merge(meant, on="layer")
    whole = both[["measured", "expected", "low", "high"]].to_numpy()
    kept: pd.DataFrame = both[(np.isfinite(whole) & (whole > 0)).all(axis=1)]
    return kept


def _remedy(run: Run) -> str:
    causes = "weights that depend on each other, a bias, or another activation than the one named"
    if run.spec is None:
        return (
            "Look for a factor between the layers, and for "
            f"{causes}. Trained weights are not independent: of them it says that they have learnt."
        )
    return f"Look for {causes}; data whose samples differ much in size also do this."
