"""What a measurement says of a claim, and how many draws would decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from actdiag.errors import ActdiagError
from actdiag.recipes.base import Claim
from actdiag.recipes.student import t_quantile

Floats = NDArray[np.float64]

CONFIDENCE, POWER = 0.95, 0.8
"""Of the interval, and the chance that as many draws as are named decide the claim."""
_MOST = 100_000
"""Draws beyond which no number is named."""


class Verdict(str, Enum):
    """Whether the measured interval agrees with what was published."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Outcome:
    """What was measured beside a claim.

    Attributes:
        verdict: reproduced where the interval lies within the accepted values, not reproduced where it lies
            outside, inconclusive where it straddles an end.
        mean: over the draws; geometric where the claim is about logarithms.
        low: lower end of the 95% interval of the mean, by Student's t.
        high: upper end.
        draws: how many there were.
        needed: draws that decide with a chance of 80% if mean and spread stay; None where the claim is
            decided, or where no reasonable number would.
    """

    verdict: Verdict
    mean: float
    low: float
    high: float
    draws: int
    needed: int | None = None


def judge(claim: Claim, values: Sequence[float]) -> Outcome:
    """Compare values, one of each independent draw, with a claim.

    Raises:
        ActdiagError: fewer than two draws: no interval can be given.
    """
    if len(values) < 2:
        raise ActdiagError(f"claim '{claim.name}' needs at least 2 draws, got {len(values)}")
    scaled = _scaled(np.asarray(values, dtype=np.float64), claim.log)
    if not np.isfinite(scaled).all():
        return Outcome(Verdict.INCONCLUSIVE, math.nan, math.nan, math.nan, len(values))
    mean, spread = float(scaled.mean()), float(scaled.std(ddof=1))
    half = t_quantile((1.0 + CONFIDENCE) / 2.0, len(values) - 1) * spread / math.sqrt(len(values))
    low, high = _ends(claim)
    verdict = _verdict(mean - half, mean + half, low, high)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        needed = draws_needed(spread, min(abs(mean - low), abs(mean - high)))
    back = math.exp if claim.log else float
    return Outcome(verdict, back(mean), back(mean - half), back(mean + half), len(values), needed)


def draws_needed(spread: float, distance: float) -> int | None:
    """Return the draws after which a mean this far from the nearest end is told from it.

    The smallest n with (t(0.975, n - 1) + t(0.8, n - 1)) spread / sqrt(n) <= distance; None beyond 100,000.

    References: Cohen 1988, Statistical power analysis, section 2.4.

    >>> draws_needed(1.0, 1.0), draws_needed(1.0, 0.0)
    (10, None)
    """
    low, high = 2, _MOST
    if not _decides(high, spread, distance):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _decides(middle, spread, distance) else (middle + 1, high)
    return low


def _decides(draws: int, spread: float, distance: float) -> bool:
    quantiles = (t_quantile(share, draws - 1) for share in ((1.0 + CONFIDENCE) / 2.0, POWER))
    return sum(quantiles) * spread <= distance * math.sqrt(draws)


def _verdict(low: float, high: float, accepted_low: float, accepted_high: float) -> Verdict:
    if accepted_low <= low and high <= accepted_high:
        return Verdict.REPRODUCED
    if high < accepted_low or low > accepted_high:
        return Verdict.NOT_REPRODUCED
    return Verdict.INCONCLUSIVE


def _scaled(values: Floats, log: bool) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values) if log else values


def _ends(claim: Claim) -> tuple[float, float]:
    """Return the accepted ends on the scale that is averaged."""
    low, high = claim.accepted.low, claim.accepted.high
    if not claim.log:
        return low, high
    return (math.log(low) if low > 0.0 else -math.inf), math.log(high)
