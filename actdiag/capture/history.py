"""The steps recorded so far: a row for each, arrays only where something was new."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from actdiag import schema
from actdiag.arrays import Tables, join
from actdiag.capture.guard import from_signal
from actdiag.capture.records import NUMBERS, Arrays, Floats, Place
from actdiag.capture.weighing import Sizes
from actdiag.recording import Recording, table

Judge = Callable[[Recording], frozenset[str]]
DECADES = 1.5
"""A tensor that grew or shrank by this much is looked at again."""
MOST_BETWEEN = 512
"""Steps between recorded ones of which the weights' sizes are kept."""
_NONFINITE = [NUMBERS.index("nan_count"), NUMBERS.index("inf_count")]
_SIZES = [NUMBERS.index("rms"), NUMBERS.index("std_across")]
_SHARES = [NUMBERS.index("zero_fraction"), NUMBERS.index("saturated_fraction")]
_DEAD, _UNITS = NUMBERS.index("dead_units"), NUMBERS.index("units")


@dataclass(frozen=True)
class Step:
    """One recorded step, or what was seen of the weights between two of them.

    Attributes:
        number: of the step.
        places: what each row is about.
        numbers: (rows, len(NUMBERS)) float64.
        arrays: of the first rows; None once they were let go, and where there never were any.
    """

    number: int
    places: tuple[Place, ...]
    numbers: Floats
    arrays: Arrays | None = None


@dataclass
class Between:
    """The weights' sizes in steps between recorded ones: of all, and evenly thinned where they get many.

    Attributes:
        stride: one of so many steps is kept; besides, the first with something non-finite.
    """

    stride: int = 1
    _kept: dict[int, tuple[int, Sizes]] = field(default_factory=dict)
    _met: int = 0
    _broken: int = -1

    @property
    def steps(self) -> list[Step]:
        """Return the steps that are kept, in order."""
        return [Step(number, *sizes.rows()) for number, sizes in self._kept.values()]

    def add(self, number: int, sizes: Sizes) -> None:
        """Keep a step if its turn has come, or if it is the first with something non-finite."""
        place, self._met = self._met, self._met + 1
        if self._broken < 0 and sizes.broken:
            self._broken = place
        if not self._keeps(place):
            return
        _, last = next(reversed(self._kept.values()), (number, sizes))
        same = last.places == sizes.places
        self._kept[place] = number, sizes._replace(places=last.places) if same else sizes
        if len(self._kept) > MOST_BETWEEN:
            self.stride *= 2
            self._kept = {place: step for place, step in self._kept.items() if self._keeps(place)}

    def _keeps(self, place: int) -> bool:
        """Return whether the step that came after `place` others is kept."""
        return place % self.stride == 0 or place == self._broken


@dataclass
class History:
    """Recorded steps, in order.

    The first and the last keep their histograms and unit arrays, and so does a step in which the judge finds
    what it did not find before. It is asked only where some tensor looks different: its size moved by 1.5
    decades, or it became zero, non-finite, or saturated.

    Attributes:
        keep_all: keep the arrays of every step.
        judge: recording of one step -> codes of what is found there; None: nothing is ever new.
        recorded: the recorded steps.
        between: the weights' sizes in the steps between.
    """

    keep_all: bool = False
    judge: Judge | None = None
    recorded: list[Step] = field(default_factory=list)
    between: Between = field(default_factory=Between)
    _seen: set[tuple[Place, Any]] = field(default_factory=set)
    _looks: Floats | None = None
    _codes: frozenset[str] | None = None
    _pinned: bool = True

    @property
    def steps(self) -> list[Step]:
        """Return all steps, in order."""
        return sorted([*self.recorded, *self.between.steps], key=lambda step: step.number)

    def add(self, step: Step, single: Callable[[Step], Recording]) -> None:
        """Add a recorded step.

        Args:
            step: with its arrays.
            single: makes a recording of one step, for the judge.
        """
        if self.recorded and self.recorded[-1].places == step.places:
            step = replace(step, places=self.recorded[-1].places)
        fresh = self._looks_new(step)
        pinned = not self.recorded or (fresh and self._is_new(step, single))
        self._pinned = pinned
        self.recorded.append(step)

    def _looks_new(self, step: Step) -> bool:
        """Return whether some row looks as it never did before."""
        looks = _looks(step.numbers)
        before, self._looks = self._looks, looks
        rows: Sequence[int] = range(len(looks))
        if before is not None and self.recorded[-1].places is step.places:
            rows = np.flatnonzero((looks != before).any(axis=1)).tolist()
        fresh = {(step.places[row], tuple(looks[row].tolist())) for row in rows} - self._seen
        self._seen |= fresh
        return bool(fresh)

    def make_room(self) -> None:
        """Drop the arrays of the last step, or pack them where they are kept: another step is at hand.

        They go before its rows are made, so that the arrays of two steps are never there beside its states.
        """
        if self.recorded:
            last = self.recorded[-1]
            kept = last.arrays.compact() if last.arrays and (self._pinned or self.keep_all) else None
            self.recorded[-1] = replace(last, arrays=kept)

    def _is_new(self, step: Step, single: Callable[[Step], Recording]) -> bool:
        """Return whether the judge finds something it did not find before; a judge that fails says yes."""
        if self.judge is None:
            return False
        try:
            if self._codes is None:
                self._codes = self.judge(single(self.recorded[0]))
            codes = self.judge(single(step))
        except Exception as error:
            if from_signal(error):
                raise
            return True
        new = bool(codes - self._codes)
        self._codes |= codes
        return new


def _looks(numbers: Floats) -> Floats:
    """Return, of each row, what must change for it to look different: (rows, several)."""
    dead = numbers[:, _DEAD] / np.maximum(numbers[:, _UNITS], 1.0)
    shares = np.column_stack([numbers[:, _SHARES], dead])
    return np.hstack([numbers[:, _NONFINITE] > 0, _decades(numbers[:, _SIZES]), _quarters(shares)])


def _decades(sizes: Floats) -> Floats:
    """Return sizes in steps of 1.5 decades; -inf for zero, inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.floor(np.log10(sizes) / DECADES), nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _quarters(shares: Floats) -> Floats:
    return np.nan_to_num(np.floor(4.0 * shares), nan=-1.0)


def rows_of(steps: Sequence[Step], constant: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of all steps; `constant` holds the columns that are the same in every row."""
    places = [place for step in steps for place in step.places]
    numbers = np.concatenate([step.numbers for step in steps]) if steps else np.empty((0, len(NUMBERS)))
    blank = dict.fromkeys(schema.ROWS, "")
    columns: dict[str, Any] = {
        "step": np.repeat([step.number for step in steps], [len(step.places) for step in steps]),
        **{name: [getattr(place, name) for place in places] for name in Place._fields},
        **{name: numbers[:, index] for index, name in enumerate(NUMBERS)},
        **{name: value for name, value in constant.items() if value != ""},
    }
    return table({**blank, **columns}, schema.ROWS, len(places))


def arrays_of(steps: Sequence[Step]) -> Tables:
    """Return the histograms, linear histograms and unit arrays by row, where they were kept."""
    starts = np.cumsum([0, *(len(step.places) for step in steps)]).tolist()
    pairs = list(zip(steps, starts, strict=False))
    kept = [(step.arrays.stored(), start) for step, start in pairs if step.arrays is not None]
    return join([tables for tables, _ in kept], [start for _, start in kept])
