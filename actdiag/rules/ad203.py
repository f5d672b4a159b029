"""AD203: more units are dead than chance explains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import against_death
from actdiag.tables import Row, Table
from actdiag.theory import dead_share
from actdiag.types import Finding, Severity

NORMS_VARY = 2.0
"""E[||x||^2] / E[||x||]^2 at most: the correlation is over the first, a cosine over the second."""


@register
@dataclass(frozen=True)
class DeadUnit(Rule):
    """Find layers in which more units are dead than random weights explain.

    What it measures:
        The share of units whose activation is <= 0 on every sample, for activations that are flat there
        (relu, step). It is compared with what weights of mean zero can give: a unit that is dead on all
        samples is dead on any two, and two samples with cosine s are both below zero with probability
        1/4 + arcsin(s) / (2 pi), at most 1/2. Some two samples have no more than the mean cosine, which is
        at most twice the recorded correlation unless the samples' norms vary by more than their mean. What
        equally correlated samples would give is shown as expected.

    Why it matters:
        A dead unit passes neither signal nor gradient and does not come back by itself. Some are normal: a
        He/ReLU network of 30 layers has 40% of them at its end, and trains. More than the bound means that
        something pushes the preactivations below zero: a bias, weights with a negative mean, or a step of
        training that was too large. A layer that is dead as a whole stops everything.

    What to do:
        Start biases at 0 and weights with mean 0, lower the learning rate, or use leaky_relu.

    References:
        Maas, Hannun & Ng 2013; Lu, Shin, Su & Karniadakis 2020; Sheppard 1899 (the orthant probability).
    """

    code: ClassVar[str] = "AD203"
    name: ClassVar[str] = "dead-unit"
    title: ClassVar[str] = "more units are dead than random weights explain"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.ERROR, Severity.WARNING)
    bad: ClassVar[str] = "actdiag scan --depth 4 --width 64 --act relu --init he --bias -2"
    good: ClassVar[str] = "actdiag scan --depth 10 --width 64 --act relu --init he"

    spread: float = threshold(
        4.0,
        "standard deviations of a binomial count above what random weights give: beyond it a warning (a "
        "whole layer dead: an error, whatever this is); chance is below 1 in 30,000 a layer",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's dead share with the bound for its preactivations."""
        rows = finite(run.hidden_at("activation"))
        rows = rows[~np.isnan(rows["dead_units"])]
        if not rows:
            raise NotJudged("a unit can only be dead where the activation is flat on one side (relu, step)")
        if rows["samples"].min() < 2:
            raise NotJudged("whether a unit is dead takes two samples to tell")
        shares = rows["dead_units"] / rows["units"]
        correlations = _correlations(run, rows)
        limits = np.array(list(map(self._limit, correlations, rows["units"].tolist())))
        if (shares == 1).any():
            yield self._whole_layers(run, rows[shares == 1])
        elif (shares > limits).any():
            worst = int(np.nanargmax(shares - limits))
            found = rows[shares > limits]
            yield self._many(run, found, rows.row(worst), float(limits[worst]), correlations[worst])

    def _limit(self, correlation: float, units: int) -> float:
        """Return the bound, plus its chance spread over `units` independent units."""
        bound = pair_bound(NORMS_VARY * correlation)
        return bound + self.spread * math.sqrt(bound * (1.0 - bound) / units)

    def _whole_layers(self, run: Run, dead: Table) -> Finding:
        first = dead.row(0)
        bypassed = run.spec is not None and bool(run.spec["residual"])
        way_round = "; only the residual path still carries signal" if bypassed else ""
        return self.finding(
            run,
            Severity.WARNING if bypassed else Severity.ERROR,
            dead,
            f"Every unit of layer {first['layer']} is dead on all {first['samples']} samples{way_round}.",
            against_death(run, dead),
            measured=1.0,
            expected=0.5,
            threshold=1.0,
            threshold_source="exact: a layer without a living unit passes nothing",
        )

    def _many(self, run: Run, found: Table, row: Row, limit: float, correlation: float) -> Finding:
        share = float(row["dead_units"] / row["units"])
        return self.finding(
            run,
            Severity.WARNING,
            found,
            f"{share:.0%} of the units of layer {row['layer']} are dead on all {row['samples']} samples, and "
            f"random weights of mean zero give at most {limit:.0%}.",
            against_death(run, found),
            measured=share,
            expected=dead_share(correlation, int(row["samples"])),
            threshold=limit,
            threshold_source=f"1/4 + arcsin(2 c) / (2 pi) at c = {correlation:.3g}, and {self.spread:g} "
            f"{self.against('spread')['threshold_source']}",
        )


def pair_bound(cosine: float) -> float:
    """Return P[z_1 <= 0 and z_2 <= 0] for jointly normal z of mean zero: Sheppard's formula.

    >>> pair_bound(0.0), pair_bound(1.0)
    (0.25, 0.5)
    """
    return 0.25 + math.asin(min(max(cosine, -1.0), 1.0)) / (2.0 * math.pi)


def _correlations(run: Run, rows: Table) -> list[float]:
    """Return the correlation of what enters each layer's activation, (rows,).

    It is 1 where it is not defined, and NaN where no preactivation was recorded.
    """
    entering = run.at("preactivation").last_of_each("layer")
    values = entering["correlation"]
    defined = np.where(np.isnan(values), 1.0, values).tolist()
    known = dict(zip(entering["layer"].tolist(), defined, strict=True))
    return [known.get(layer, math.nan) for layer in rows["layer"].tolist()]
