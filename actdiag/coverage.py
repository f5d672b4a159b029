"""How much of a model was seen, in the words of the modules table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Coverage:
    """Modules that are no mere containers: how many were observed, and which were not.

    Attributes:
        observed: modules whose output was seen.
        total: all of them.
        missed: (name, reason) of the others.
    """

    observed: int
    total: int
    missed: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, modules: pd.DataFrame) -> Coverage:
        """Return the coverage that a modules table tells of."""
        own = modules[modules["kind"] != "container"]
        missed = own[~own["observed"]]
        names = tuple(
            (str(name), str(reason)) for name, reason in zip(missed["name"], missed["reason"], strict=True)
        )
        return cls(len(own) - len(missed), len(own), names)

    def __str__(self) -> str:
        return f"observed {self.observed} of {self.total} modules"
