"""One remedy put to the test: measured again, and trained on several draws before and after."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.remedying.remedies import Remedy
from actdiag.remedying.training import Curve
from actdiag.rules.base import NotJudged, Run, sample_norm
from actdiag.types import Diagnosis, Severity

MARGIN = 0.05
"""The median loss must fall by this share of itself: less is not worth a change."""


@dataclass(frozen=True)
class Measured:
    """A model's start, in numbers.

    Attributes:
        diagnosis: what the rules say.
        gradient_ratio: a sample's gradient norm at the first hidden layer over that at the last one.
        std_across: of what the last hidden layer passes on: how far samples are told apart.
    """

    diagnosis: Diagnosis
    gradient_ratio: float
    std_across: float

    @classmethod
    def of(cls, recording: Recording) -> Measured:
        """Return what is told of a recording of one run."""
        run = Run.of(recording, recording.runs[0])
        return cls(diagnose(recording), _gradient_ratio(run), _std_across(run))

    @property
    def severities(self) -> tuple[int, int]:
        """Return how many errors and warnings were found, to be compared in this order."""
        found = [finding.severity for finding in self.diagnosis.findings]
        return found.count(Severity.ERROR), found.count(Severity.WARNING)


def _gradient_ratio(run: Run) -> float:
    try:
        norms = sample_norm(run.chain_at(run.backward))
    except NotJudged:
        return math.nan
    return float(norms[0] / norms[-1]) if len(norms) > 1 and norms[-1] else math.nan


def _std_across(run: Run) -> float:
    try:
        return float(run.signal()["std_across"][-1])
    except NotJudged:
        return math.nan


@dataclass(frozen=True)
class Trial:
    """A remedy and what came of it.

    Attributes:
        remedy: what was tried.
        code: lines of Python that do the same to `model`.
        before: the model's start as it is.
        after: its start with the remedy; None where it could not be measured.
        curves_before: the best training run of each draw, without the remedy.
        curves_after: the same draws with it. Where only one draw was trained, the one for choosing, it was
            not better there, or another remedy was better and proved itself.
        helped: it trains better on draws that played no part in choosing it, and measures no worse.
        reason: why it is not advised; "" where it helped.
    """

    remedy: Remedy
    code: str
    before: Measured
    after: Measured | None
    curves_before: tuple[Curve, ...] = ()
    curves_after: tuple[Curve, ...] = ()
    helped: bool = False
    reason: str = ""


def improves(before: Sequence[Curve], after: Sequence[Curve]) -> bool:
    """Return whether training got better beyond its spread.

    The worst run after must have a lower loss than the best one before, and the median must fall by
    `MARGIN` of itself. Were there no difference, three runs would stand so above three others in 1 of 20
    cases.

    >>> def run(loss): return Curve(0, 0.1, (loss,), (0.5,), 1)
    >>> improves([run(2.0), run(2.1)], [run(1.0), run(1.1)]), improves([run(2.0), run(2.1)], [run(1.99)] * 2)
    (True, False)
    """
    old, new = sorted(curve.loss for curve in before), sorted(curve.loss for curve in after)
    middle = statistics.median(old)
    wanted = MARGIN * abs(middle) if math.isfinite(middle) else 0.0
    return new[-1] < old[0] and middle - statistics.median(new) > wanted
