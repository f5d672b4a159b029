"""A recipe that runs nothing, for tests of what is made of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from actdiag.recipes.base import Accepted, Claim, Measured, Recipe, Size, Source
from actdiag.sketches import Chart, Charts, Series

CHARTS = Charts("figure", "A line", "It rises.", (Chart("", "x", "y", (Series("a", [0, 1], [1.0, 2.0]),)),))


UNIT = Accepted(0.0, 1.0)
SOURCE = Source("Nobody & Noone", 1999, "A title", "A venue")


def claim(name: str = "one", accepted: Accepted = UNIT, log: bool = False, **words: str) -> Claim:
    """Return a claim whose words tell themselves apart."""
    told = {word: f"the {word}" for word in ("says", "where", "published", "statistic", "reason", "theory")}
    return Claim(name=name, accepted=accepted, expected=0.5, log=log, **{**told, **words})


@dataclass(frozen=True)
class Tiny(Recipe):
    """Returns the values it was made with."""

    name: str = "tiny"
    title: str = "A tiny recipe"
    source: Source = SOURCE
    summary: str = "It shows nothing."
    limits: tuple[str, ...] = ("It is not real.",)
    explained: dict[str, str] = field(default_factory=lambda: {"one": "Nobody knows."})
    claimed: tuple[Claim, ...] = (claim(),)
    values: Sequence[float] = (0.4, 0.5, 0.6)

    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return the claims it was made with."""
        return self.claimed

    def measure(self, size: Size) -> Measured:
        """Return the same values for each claim."""
        return Measured({each.name: self.values for each in self.claimed}, f"in {size.value}", (CHARTS,))
