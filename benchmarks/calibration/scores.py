"""The scores: verdicts against labels, with intervals over clusters of like networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FAILS = 0.30
"""Below this best training accuracy a network does not train (ten classes)."""
TRAINS = 0.90
"""At or above it a network trains; what lies between trains worse than it could."""
DRAWS = 2000
CLUSTER = ["act", "variance", "depth"]


@dataclass(frozen=True)
class Score:
    """Counts of a verdict "does not train" against labels, and what follows from them."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @classmethod
    def of(cls, said: pd.Series, fails: pd.Series) -> Score:
        """Count two columns of booleans."""
        return cls(
            int((said & fails).sum()),
            int((said & ~fails).sum()),
            int((~said & fails).sum()),
            int((~said & ~fails).sum()),
        )

    @property
    def precision(self) -> float:
        """Return the share of what was said to fail that fails."""
        return _share(self.true_positives, self.false_positives)

    @property
    def recall(self) -> float:
        """Return the share of what fails that was said to."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def false_positive_rate(self) -> float:
        """Return the share of what does not fail that was said to."""
        return _share(self.false_positives, self.true_negatives)

    @property
    def prevalence(self) -> float:
        """Return the share of what fails."""
        positives = self.true_positives + self.false_negatives
        return _share(positives, self.false_positives + self.true_negatives)


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")


def label(best: float) -> str:
    """Return the class of a network by its best training accuracy."""
    return "fails" if best < FAILS else "trains" if best >= TRAINS else "worse"


def by_cell(table: pd.DataFrame, said: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """Return a row per cell: whether most of its seeds fail, and whether most of them are said to."""
    votes = table.assign(said=said(table), fails=table["best"] < FAILS)
    cells = votes.groupby("cell").agg(
        said=("said", "mean"),
        fails=("fails", "mean"),
        **{name: (name, "first") for name in (*CLUSTER, "family", "held", "init")},
    )
    return cells.assign(said=cells["said"] > 0.5, fails=cells["fails"] > 0.5)


def intervals(cells: pd.DataFrame, draws: int = DRAWS) -> dict[str, tuple[float, float]]:
    """Return 95% intervals of precision, recall and false-positive rate: a bootstrap over clusters.

    Clusters of (activation, variance class, depth) are drawn with replacement, each with all of its cells.
    """
    generator = np.random.default_rng(0)
    counted = cells.assign(
        tp=cells["said"] & cells["fails"],
        fp=cells["said"] & ~cells["fails"],
        fn=~cells["said"] & cells["fails"],
        tn=~cells["said"] & ~cells["fails"],
    )
    clusters = counted.groupby(CLUSTER)[["tp", "fp", "fn", "tn"]].sum().to_numpy()
    drawn = generator.integers(0, len(clusters), (draws, len(clusters)))
    scores = [Score(*map(int, clusters[rows].sum(0))) for rows in drawn]
    names = ("precision", "recall", "false_positive_rate")
    values = {name: np.array([getattr(score, name) for score in scores]) for name in names}
    return {name: _middle(found) for name, found in values.items()}


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the middle 95% of what is a number."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    return float(np.quantile(known, 0.025)), float(np.quantile(known, 0.975))
