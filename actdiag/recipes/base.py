"""What a recipe is: a source, what it claims, and how to measure the same again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from actdiag.errors import UsageError
from actdiag.registry import Registry
from actdiag.sketches import Sketch


class Size(str, Enum):
    """How large a recipe is run: `paper` is the published size, `small` takes seconds."""

    SMALL = "small"
    PAPER = "paper"


@dataclass(frozen=True)
class Source:
    """Where the claims stand.

    Attributes:
        authors: as cited, `Glorot & Bengio`.
        year: of publication.
        title: of the work.
        venue: where it was published, with pages where there are any.
    """

    authors: str
    year: int
    title: str
    venue: str

    def __str__(self) -> str:
        """Return the reference in one line."""
        return f"{self.authors} ({self.year}): {self.title}. {self.venue}."


@dataclass(frozen=True)
class Accepted:
    """The values that agree with what was published, ends included."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UsageError(
                f"accepted values reach from a low to a higher end, got {self.low} to {self.high}"
            )

    @classmethod
    def around(cls, published: float, tolerance: float) -> Accepted:
        """Return published - tolerance to published + tolerance."""
        return cls(published - tolerance, published + tolerance)

    @classmethod
    def factor(cls, published: float, factor: float) -> Accepted:
        """Return published / factor to published * factor."""
        return cls(published / factor, published * factor)


@dataclass(frozen=True)
class Claim:
    """One thing the source says, and what is taken for agreement: fixed before anything is run.

    Attributes:
        name: key of its measured values, `[a-z0-9-]`.
        says: what the source says, in words.
        where: figure, table, section or slide.
        published: the value as it stands there, `around 0.8`, or the ordering that is claimed.
        statistic: what is measured of one draw.
        accepted: published value and tolerance.
        reason: why this tolerance.
        expected: by theory or an independent computation; None where there is none.
        theory: where `expected` comes from, or why there is none.
        log: average logarithms: the values are ratios or span decades.
    """

    name: str
    says: str
    where: str
    published: str
    statistic: str
    accepted: Accepted
    reason: str
    expected: float | None
    theory: str
    log: bool = False


@dataclass(frozen=True)
class Measured:
    """What came out of a run.

    Attributes:
        values: for each claim's name one value per independent draw.
        setting: what was run, in words: `10 layers x 500 units, 1000 samples, 8 draws`.
        sketches: the figures, the classic one first and called `figure`.
    """

    values: Mapping[str, Sequence[float]]
    setting: str
    sketches: tuple[Sketch, ...]


class Recipe(ABC):
    """A published experiment.

    Attributes:
        name: what `actdiag reproduce` calls it.
        title: of its page.
        source: where the claims stand.
        summary: what is shown, in a sentence or two.
        limits: what differs from the source, or cannot be run here, and why.
        explained: for a claim that did not come out, why; written after the run, changes nothing.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[Source]
    summary: ClassVar[str]
    limits: ClassVar[tuple[str, ...]] = ()
    explained: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def claims(self, size: Size) -> tuple[Claim, ...]:
        """Return what is claimed, with the tolerance at this size; nothing is run."""

    @abstractmethod
    def measure(self, size: Size) -> Measured:
        """Run the experiment; the same numbers every time."""


RECIPES: Registry[Recipe] = Registry("recipe")


def register(recipe: type[Recipe]) -> type[Recipe]:
    """Register a recipe under its name."""
    RECIPES.add(recipe.name, recipe())
    return recipe
