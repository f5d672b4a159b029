"""The steps recorded so far: a row for each, arrays only where something was new."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag import schema
from actdiag.capture.guard import from_signal
from actdiag.capture.records import NUMBERS, Place, Record
from actdiag.recording import Arrays, Recording

Judge = Callable[[Recording], frozenset[str]]
DECADES = 1.5
"""A tensor that grew or shrank by this much is looked at again."""
_LOOKED_AT = ("zero_fraction", "saturated_fraction")


@dataclass(frozen=True)
class Step:
    """One recorded step.

    Attributes:
        number: of the step.
        places: what each row is about.
        numbers: (rows, len(NUMBERS)) float64.
        records: the rows with their arrays; empty once those were let go.
    """

    number: int
    places: tuple[Place, ...]
    numbers: NDArray[np.float64]
    records: tuple[Record, ...] = ()


@dataclass
class History:
    """Recorded steps, in order.

    The first and the last keep their histograms and unit arrays, and so does a step in which the judge finds
    what it did not find before. It is asked only where some tensor looks different: its size moved by 1.5
    decades, or it became zero, non-finite, or saturated.

    Attributes:
        keep_all: keep the arrays of every step.
        judge: recording of one step -> codes of what is found there; None: nothing is ever new.
        steps: the steps.
    """

    keep_all: bool = False
    judge: Judge | None = None
    steps: list[Step] = field(default_factory=list)
    _seen: set[tuple[Place, Any]] = field(default_factory=set)
    _codes: frozenset[str] | None = None
    _pinned: bool = True

    def add(self, number: int, records: Sequence[Record], single: Callable[[Step], Recording]) -> None:
        """Add a step.

        Args:
            number: of the step.
            records: its rows.
            single: makes a recording of one step, for the judge.
        """
        places = tuple(record.place for record in records)
        if self.steps and self.steps[-1].places == places:
            places = self.steps[-1].places
        numbers = np.stack([r.numbers for r in records]) if records else np.empty((0, len(NUMBERS)))
        step = Step(number, places, numbers, tuple(records))
        fresh = set(zip(places, _looks(numbers), strict=True)) - self._seen
        self._seen |= fresh
        pinned = not self.steps or (bool(fresh) and self._is_new(step, single))
        self._let_go_of_last()
        self._pinned = pinned
        self.steps.append(step)

    def _let_go_of_last(self) -> None:
        if self.steps and not (self._pinned or self.keep_all):
            self.steps[-1] = replace(self.steps[-1], records=())

    def _is_new(self, step: Step, single: Callable[[Step], Recording]) -> bool:
        """Return whether the judge finds something it did not find before; a judge that fails says yes."""
        if self.judge is None:
            return False
        try:
            if self._codes is None:
                self._codes = self.judge(single(self.steps[0]))
            codes = self.judge(single(step))
        except Exception as error:
            if from_signal(error):
                raise
            return True
        new = bool(codes - self._codes)
        self._codes |= codes
        return new


def _looks(numbers: NDArray[np.float64]) -> list[tuple[float, ...]]:
    """Return, of each row, what must change for it to look different."""
    value = {name: numbers[:, place] for place, name in enumerate(NUMBERS)}
    columns = [
        value["nan_count"] > 0,
        value["inf_count"] > 0,
        *(_decades(value[name]) for name in ("rms", "std_across")),
        *(_quarters(value[name]) for name in _LOOKED_AT),
        _quarters(value["dead_units"] / np.maximum(value["units"], 1.0)),
    ]
    return list(map(tuple, np.column_stack(columns).astype(np.float64).tolist()))


def _decades(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sizes in steps of 1.5 decades; -inf for zero, inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.floor(np.log10(sizes) / DECADES), nan=np.inf, posinf=np.inf, neginf=-np.inf)


def _quarters(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.nan_to_num(np.floor(4.0 * shares), nan=-1.0)


def rows_of(steps: Sequence[Step], constant: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of all steps; `constant` holds the columns that are the same in every row."""
    places = [place for step in steps for place in step.places]
    numbers = np.concatenate([step.numbers for step in steps]) if steps else np.empty((0, len(NUMBERS)))
    columns: dict[str, Any] = {
        "step": [step.number for step in steps for _ in step.places],
        **{name: [getattr(place, name) for place in places] for name in Place._fields},
        **{name: numbers[:, index] for index, name in enumerate(NUMBERS)},
        **{name: [value] * len(places) for name, value in constant.items()},
    }
    return pd.DataFrame({name: columns[name] for name in schema.ROWS}).astype(schema.ROWS)


def arrays_of(steps: Sequence[Step]) -> tuple[Arrays, Arrays, Arrays]:
    """Return the histograms, linear histograms and unit arrays by row, where they were kept."""
    kept = list(_numbered(steps))
    return (
        {index: record.log for index, record in kept},
        {index: record.linear for index, record in kept if record.linear is not None},
        {index: record.units for index, record in kept},
    )


def _numbered(steps: Sequence[Step]) -> Iterator[tuple[int, Record]]:
    first = 0
    for step in steps:
        yield from enumerate(step.records, start=first)
        first += len(step.places)
