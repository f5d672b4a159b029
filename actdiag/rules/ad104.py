"""AD104: one layer learns at another speed than its neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actdiag.coverage import within
from actdiag.numerals import numeral
from actdiag.rules.base import NotJudged, Rule, Run, finite, register, threshold, times
from actdiag.rules.slopes import not_compared
from actdiag.tables import Table
from actdiag.types import Finding, Severity

ECHO = 0.6
"""A kink of k at one layer shows as -k/2 at both of its neighbours; two neighbours off show as equals."""
FARTHEST = 300.0
"""Decades between neighbours that are told: float64 holds no more."""


@register
@dataclass(frozen=True)
class UnevenGradient(Rule):
    """Find a layer whose weights learn much faster or slower than those right before and behind it.

    What it measures:
        The learning speed of each hidden layer's weights, ||dLoss/dW|| / ||W|| sqrt(fan_out / fan_in), which
        is the same in every layer of an evenly initialised network, whatever the widths; and how far a
        layer's is from the geometric mean of its two neighbours'. A speed that rises or falls steadily over
        depth, as AD101 and AD102 judge it, is no kink. The first layer, which has the data's scale, and the
        last one, which has one neighbour, are not judged.

    Why it matters:
        One learning rate serves all layers. What suits the neighbours leaves a slow layer as it was drawn,
        and a fast one bounds the learning rate of all. It comes from one layer initialised apart from the
        others. Where the next layer makes up for it, or a norm does, neither the output nor the ends of the
        profile show it. The others can learn in its place: below three decades it is worth knowing only.

    What to do:
        Initialise the layer as its neighbours are, or give it a learning rate of its own (LARS, LAMB, Adam).

    References:
        You, Gitman & Ginsburg 2017 (LARS: ||w|| / ||grad|| differs between layers); Yang, Simon & Bernstein
        2023 (fans); Neyshabur, Salakhutdinov & Srebro 2015 (rescaled ReLU layers: the same function, harder
        to train).
    """

    code: ClassVar[str] = "AD104"
    name: ClassVar[str] = "uneven-gradient"
    title: ClassVar[str] = "one layer learns at another speed than its neighbours"
    severities: ClassVar[tuple[Severity, ...]] = (Severity.WARNING, Severity.INFO)
    bad: ClassVar[str] = "actdiag attach actdiag.examples:uneven --data actdiag.examples:batches"
    good: ClassVar[str] = "actdiag attach actdiag.examples:healthy --data actdiag.examples:batches"

    noted: float = threshold(
        10.0,
        "above it, or below its inverse: info; "
        "one decade, the step between neighbouring learning rates of the protocol",
    )
    ratio: float = threshold(
        1e3,
        "above it, or below its inverse: a warning; "
        "three decades, all learning rates of the protocol (1e-3 to 1). Two ReLU layers off by a and 1/a "
        "make a^3, and the gradient's square, which bounds the learning rate, a^2 of a layer's: at a = 10 "
        "a decade more than ten layers'",
    )

    def judge(self, run: Run) -> Iterator[Finding]:
        """Compare each hidden layer's learning speed with its two neighbours'."""
        rows, sizes, speeds = _weights(run)
        kinks = speeds[1:-1] - 0.5 * (speeds[2:] + speeds[:-2])
        off = (np.abs(kinks) > np.log10(self.noted)) & (np.abs(kinks) > ECHO * _largest_beside(kinks))
        if not off.any():
            return
        worst = int(np.argmax(np.abs(kinks)))
        kink, row = float(10.0 ** np.clip(kinks[worst], -FARTHEST, FARTHEST)), rows.row(1 + worst)
        severe = run.plain and max(kink, 1 / kink) > self.ratio
        beside = float(np.sqrt(sizes[worst]) * np.sqrt(sizes[2 + worst]))
        yield self.finding(
            run,
            Severity.WARNING if severe else Severity.INFO,
            rows[1:-1][off],
            f"The weights of layer {row['layer']} learn {times(max(kink, 1 / kink))} "
            f"{'faster' if kink > 1 else 'slower'} than those before and behind it, for their size.",
            f"Initialise {within(str(row['module']), 60)} as its neighbours are: its weights' rms is "
            f"{numeral(float(sizes[1 + worst]))}, theirs {numeral(beside)}. Or give it a learning rate "
            "of its own.",
            measured=kink,
            expected=1.0,
            **self.against("ratio" if severe else "noted"),
            **not_compared(run),
        )


class Weights(NamedTuple):
    """The weights behind the first hidden layer, first to last.

    Attributes:
        rows: of their gradients.
        sizes: (rows,) their rms.
        speeds: (rows,) log10 of how fast they learn.
    """

    rows: Table
    sizes: NDArray[np.float64]
    speeds: NDArray[np.float64]


def _weights(run: Run) -> Weights:
    finite(run.hidden_at(run.backward))
    weights = finite(run.chain_at("weight"))
    sizes = weights.pairs("module", "rms")
    rows = finite(run.chain_at("weight_grad"))[1:]
    rows = rows[rows.among("module", sizes)]
    if len(rows) < 3:
        raise NotJudged("it needs at least four hidden layers, one behind the other")
    own = np.array([sizes[name] for name in rows["module"].tolist()])
    if (own == 0).any() or (rows["rms"] == 0).any():
        raise NotJudged("a hidden layer's weights or their gradient are exactly zero (see AD103)")
    return Weights(rows, own, np.log10(rows["rms"]) - np.log10(own) + 0.5 * np.log10(_fans(run, rows)))


def _fans(run: Run, rows: Table) -> NDArray[np.float64]:
    """Return fan_out / fan_in of the rows' modules, (rows,)."""
    columns = run.hidden.each("name", "fan_in", "fan_out")
    fans = {name: max(fan_out, 1) / max(fan_in, 1) for name, fan_in, fan_out in columns}
    return np.array([fans[name] for name in rows["module"].tolist()])


def _largest_beside(kinks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the larger size of each kink's two neighbours."""
    padded = np.concatenate([[0.0], np.abs(kinks), [0.0]])
    larger: NDArray[np.float64] = np.maximum(padded[:-2], padded[2:])
    return larger
