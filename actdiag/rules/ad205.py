"""AD205: activations share a large mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actdiag.activations import activation
from actdiag.coverage import within
from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold
from actdiag.rules.remedies import even_out
from actdiag.tables import Flags, Row, Table
from actdiag.types import Finding, Severity

RELU = 1.0 / (math.pi - 1.0)
"""E[phi]^2 / Var[phi] of a ReLU at z ~ N(0, q), any q: (1 / 2 pi) / (1 / 2 - 1 / 2 pi)."""


@register
@dataclass(frozen=True)
class MeanShift(Rule):
    """Find layers whose outputs have a common mean that outweighs all that differs between them.

    What it measures:
        mean^2 / variance of what a hidden layer passes on (past a norm, before dropout), over all units and
        samples. Of n units that are else independent, the matrix of second moments, which is the Hessian of
        the next layer's weights but for a factor per unit, has one eigenvalue n mean^2 along the common mean
        beside those of the size of the variance. A ReLU has 1 / (pi - 1) = 0.47 at any depth, a tanh 0, a
        sigmoid about 6 at z ~ N(0, 1), and more where z is smaller. What a BatchNorm takes off again, right
        behind the next product, is left out.

    Why it matters:
        Where all inputs of a unit have one sign, so have the gradients of all its incoming weights for a
        sample: they can only rise or fall together, and zigzag to where some must rise and others fall. The
        mean's eigenvalue bounds the learning rate, so that all else takes as many times longer. What a ReLU
        has is normal and not reported. It is worth knowing only: all 24 networks of the calibration side in
        which this was found and no error train to 95% and more.

    What to do:
        Take an activation with a mean near zero (tanh for sigmoid, elu or gelu for softplus), start biases at
        zero, or normalise behind the activation.

    References:
        LeCun, Kanter & Solla 1991 (the mean's eigenvalue); LeCun et al. 1998, sections 4.3 and 4.4; Clevert
        et al. 2016, section 2.
    """

    code: ClassVar[str] = "AD205"
    name: ClassVar[str] = "mean-shift"
    title: ClassVar[str] = "activations share a mean that outweighs what differs"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.INFO,)
    bad: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act sigmoid --init xavier"
    good: ClassVar[str] = "actdiag scan --depth 3 --width 64 --act tanh --init xavier"

    share: float = threshold(
        math.sqrt(10.0) * RELU,
        "above it: info; half a decade above a ReLU's 1 / (pi - 1)",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare the power of each hidden layer's mean with its variance."""
        rows = finite(run.signal())
        rows = rows[(rows["rms"] > 0) & ~np.isnan(rows["mean"]) & ~_centred_behind(run, rows)]
        if not rows:
            raise NotJudged("a BatchNorm follows each product, or there is no signal")
        power = rows["mean"] ** 2
        shares = power / np.maximum(rows["rms"] ** 2 - power, 1e-15 * power)
        if not (shares > self.share).any():
            return
        worst = int(np.nanargmax(shares))
        row = rows.row(worst)
        yield self.finding(
            run,
            Severity.INFO,
            rows[shares > self.share],
            f"{_spelt(run, row)} share a mean of {numeral(row['mean'])}, {_percent(row)} of "
            f"their rms: the gradients of a unit's incoming weights nearly all share a sign.",
            _remedy(run, rows[shares > self.share]),
            measured=float(shares[worst]),
            expected=f"up to {numeral(RELU, 2)}, what a ReLU has (mean^2 / variance)",
            **self.against("share"),
        )


def _spelt(run: Run, row: Row) -> str:
    """Name what a layer passes on: its activation, or what a sum, a norm or another module makes of it."""
    if row["tensor"] != "output":
        return f"The outputs of layer {row['layer']}"
    kinds = run.modules.pairs("name", "kind")
    if kinds.get(row["module"]) == "norm":
        return f"The outputs of the norm behind layer {row['layer']}"
    if run.spec is not None and run.spec["residual"]:
        return f"The residual sums after layer {row['layer']}"
    return f"The outputs of {within(str(row['module']), 60)}, after layer {row['layer']},"


def _percent(row: Row) -> str:
    return f"{min(abs(row['mean']) / row['rms'], 1.0):.0%}"


def _centred_behind(run: Run, rows: Table) -> Flags:
    """Return which layers' mean the next one takes off, (rows,): a BatchNorm follows its product.

    It subtracts the mean over the batch, so that what is the same in every sample gets no gradient.
    """
    before = run.at("preactivation")
    normalised = {
        layer for layer, kind in before.each("layer", "module_type") if kind.startswith("BatchNorm")
    }
    products = run.modules[run.modules["kind"] == "product"]
    layers = products.pairs("name", "layer")
    behind: dict[int, set[int]] = {}
    for follows, layer in products.each("follows", "layer"):
        behind.setdefault(layers.get(follows, 0), set()).add(layer)
    return rows.among("layer", {layer for layer, others in behind.items() if others <= normalised})


def _remedy(run: Run, rows: Table) -> str:
    if run.spec is None:
        return "Take an activation whose mean is near zero there, or put a norm behind it."
    if run.spec["bias"]:
        return f"Use --bias 0: {run.spec['bias']:g} shifts the outputs."
    if run.spec["residual"]:
        return "Use --norm batch, or fewer layers: means add up in residual sums, and differences do not."
    if activation(str(run.spec["act"])).partner is None:
        return even_out(run, rows)
    return "Use --norm batch, which takes the mean off behind the next product."
