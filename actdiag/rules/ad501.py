"""AD501: the input's scale does not suit an initialiser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold, times
from actdiag.tables import Row, Table
from actdiag.types import Finding, Severity

RESCALED = 0.1
"""A first preactivation this much smaller than W x would be: the model scales its input itself."""


@register
@dataclass(frozen=True)
class UnscaledInput(Rule):
    """Find input that is far from mean 0 and std 1.

    What it measures:
        Of the batch that the model is given, or of what a norm before the first layer makes of it: the mean
        square; its part that differs between samples; and the variance of each feature (column) over that of
        the typical one. Zeros count as absent where the input is small, and a feature is large only if its
        largest value is, so that one-hot columns and images in 0..1 pass. Whole numbers, as ids have them,
        are not judged, nor is the size of what a norm behind the first layer or the model itself rescales.

    Why it matters:
        Initializers take inputs of mean square 1. The gradient of the first layer's weights, and so the
        learning rate it bears, goes with the input's square: raw pixels of 0..255 ask for one 1e4 times
        smaller than all other layers. Of two features the smaller one is learnt (ratio of variances) times
        later.

    What to do:
        Subtract each feature's mean and divide by its standard deviation, both over the training set.

    References:
        LeCun et al. 1998, section 4.3; LeCun, Kanter & Solla 1991; He et al. 2015, section 2.2 (E[x^2]).
    """

    code: ClassVar[str] = "AD501"
    name: ClassVar[str] = "unscaled-input"
    title: ClassVar[str] = "the input is far from mean 0 and standard deviation 1"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING,)
    bad: ClassVar[str] = "actdiag scan --depth 2 --act relu --init he --data digits --no-standardise"
    good: ClassVar[str] = "actdiag scan --depth 2 --act relu --init he --data digits"
    once: ClassVar[bool] = True

    largest: float = threshold(
        10.0,
        "above it: a warning; "
        "mean square: one decade of learning rate for the first layer, which goes with the square",
    )
    smallest: float = threshold(
        1e-3,
        "below it: a warning; "
        "mean square of what is not 0: three decades, all learning rates of the protocol (1e-3 to 1)",
    )
    part: float = threshold(
        0.05,
        "below it: a warning; "
        "std_across / rms: its inverse square is the 400 steps of the protocol, as in AD206",
    )
    features: float = threshold(
        400.0,
        "above it: a warning; "
        "ratio of variances: as many steps as the protocol has, at the rate the largest feature bears",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Look at the features, at the mean, and at the size."""
        row = finite(_input(run)).row(0)
        yield from self._features(run, row)
        yield from self._offset(run, row)
        yield from self._size(run, row)

    def _features(self, run: Run, row: Row) -> Iterator[Finding]:
        units = run.recording.units.get(row.index)
        if units is None or row["positions"] > 1:
            return
        ratios = _variance_ratios(units)
        if ratios.size and ratios.max() > self.features:
            yield self._found(
                run,
                row,
                f"Feature {int(ratios.argmax())} of the input varies {times(float(ratios.max()))} as much as "
                "the typical one, by variance: it alone decides which learning rate the first layer bears.",
                float(ratios.max()),
                "features",
            )

    def _offset(self, run: Run, row: Row) -> Iterator[Finding]:
        if row["positions"] > 1 or not row["rms"] or row["samples"] < 2:
            return
        part = float(row["std_across"] / row["rms"])
        if part < self.part:
            yield self._found(
                run,
                row,
                f"The input hardly differs between samples: std_across is {numeral(part)} of its rms "
                f"{numeral(row['rms'])}, the rest is an offset.",
                part,
                "part",
            )

    def _size(self, run: Run, row: Row) -> Iterator[Finding]:
        square = float(row["rms"] ** 2)
        present = square / max(1.0 - float(row["zero_fraction"]), 1e-12)
        small = 0.0 < present < self.smallest
        if not (small or square > self.largest) or _rescaled(run, row):
            return
        effect = "small: the first layer hardly learns" if small else "large for one learning rate"
        zeros = "; zeros left out" if small and row["zero_fraction"] else ""
        yield self._found(
            run,
            row,
            f"The input's mean square is {numeral(present if small else square)} (values from "
            f"{numeral(row['min'])} to {numeral(row['max'])}{zeros}), and initializers take 1. "
            f"It is too {effect}.",
            present if small else square,
            "smallest" if small else "largest",
        )

    def _found(self, run: Run, row: Row, message: str, measured: float, limit: str) -> Finding:
        remedy = "Subtract each feature's mean over the training set and divide by its standard deviation."
        if run.spec is not None and not run.spec["standardise"]:
            remedy = "Leave --no-standardise out."
        evidence = {"measured": measured, "expected": 1.0, **self.against(limit)}
        return self.finding(run, Severity.WARNING, _input(run), message, remedy, **evidence)


def _input(run: Run) -> Table:
    """Return the row of what the first layer is given: the input, or what a norm makes of it."""
    rows = run.at("input")
    if not rows:
        raise NotJudged("no input of floating-point numbers was recorded")
    behind = run.at("output")
    behind = behind[behind["layer"] == 0]
    return behind[-1:] if behind else rows[:1]


def _variance_ratios(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each feature's variance, or its squared largest value if less, over the typical feature's.

    Features that do not vary are left out of what is typical, and have 0.
    """
    n, _, variance, _, high, low = units
    variance, size = variance**2, np.maximum(np.abs(high), np.abs(low)) ** 2
    varies = (n > 0) & (variance > 0)
    if not varies.any():
        return np.empty(0)
    ratios = np.minimum(variance / _median(variance[varies]), size / _median(size[varies]))
    return np.where(varies, ratios, 0.0)


def _median(values: NDArray[np.float64]) -> float:
    """Return the middle one of some values; numpy's own takes five times as long for a hundred."""
    ordered, half = np.sort(values), len(values) // 2
    return float(0.5 * (ordered[half] + ordered[-1 - half]))


def _rescaled(run: Run, row: Row) -> bool:
    """Return whether the model makes up for the size: by itself, or by a norm behind its first layer."""
    first = run.at("preactivation")
    first = first[first["layer"] == first["layer"].min()]
    if len(first) > 1:
        own = run.modules[run.modules.among("name", set(first["module"]))]
        return "norm" in own["kind"]
    sizes, fans = run.at("weight").pairs("module", "rms"), run.modules.pairs("name", "fan_in")
    if not first or (name := first["module"][0]) not in sizes:
        return False
    whole = row["rms"] * sizes[name] * float(fans[name]) ** 0.5
    return bool(first["rms"][0] < RESCALED * whole)
