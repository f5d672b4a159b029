"""Run a recipe and set down what came out, as plain facts that a page is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actdiag.errors import ActdiagError
from actdiag.recipes.base import Claim, Measured, Recipe, Size
from actdiag.recipes.judging import judge
from actdiag.sketches import Sketch
from actdiag.threads import one_thread

DIGITS = 6
"""Significant digits that are kept of a number."""


@dataclass(frozen=True)
class Reproduction:
    """A recipe that has been run.

    Attributes:
        facts: what claims.json holds: strings, finite numbers, None, lists and mappings of them.
        sketches: its figures.
    """

    facts: dict[str, Any]
    sketches: tuple[Sketch, ...]


def reproduce(recipe: Recipe, size: Size = Size.SMALL) -> Reproduction:
    """Run a recipe and judge its claims.

    Raises:
        ActdiagError: the recipe measures other claims than it makes.
    """
    with one_thread():
        claims, measured = recipe.claims(size), recipe.measure(size)
    if {claim.name for claim in claims} != set(measured.values):
        raise ActdiagError(f"recipe '{recipe.name}' must measure its claims, got {sorted(measured.values)}")
    facts = {
        "recipe": recipe.name,
        "title": recipe.title,
        "source": str(recipe.source),
        "summary": recipe.summary,
        "size": size.value,
        "setting": measured.setting,
        "limits": list(recipe.limits),
        "command": f"actdiag reproduce {recipe.name} --size {size.value}",
        "claims": [_claim(recipe, claim, measured) for claim in claims],
        "figures": [{"file": f"{part.name}.png", "alt": part.alt} for part in measured.sketches],
    }
    return Reproduction(facts, measured.sketches)


def _claim(recipe: Recipe, claim: Claim, measured: Measured) -> dict[str, Any]:
    values = measured.values[claim.name]
    outcome = judge(claim, values)
    return {
        "name": claim.name,
        "says": claim.says,
        "where": claim.where,
        "published": claim.published,
        "statistic": claim.statistic,
        "accepted": [plain(claim.accepted.low), plain(claim.accepted.high)],
        "reason": claim.reason,
        "expected": None if claim.expected is None else plain(claim.expected),
        "theory": claim.theory,
        "scale": "log" if claim.log else "linear",
        "outcome": outcome.verdict.value,
        "mean": plain(outcome.mean),
        "interval": [plain(outcome.low), plain(outcome.high)],
        "draws": outcome.draws,
        "needed": outcome.needed,
        "explanation": recipe.explained.get(claim.name, ""),
        "values": _plain(values),
    }


def plain(value: float) -> float | None:
    """Return a number as JSON can hold it, to six digits; None where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _plain(values: Sequence[float]) -> list[float | None]:
    return [plain(value) for value in values]
