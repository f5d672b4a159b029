"""Tables of a few rows: columns as numpy arrays and the places of the rows, far cheaper than frames."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Places = NDArray[np.intp]


class Columns(dict[str, NDArray[Any]]):
    """The columns of a frame, each taken out of it when it is asked for first; text is an array of objects.

    Attributes:
        frame: where they come from; None where there is none.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        super().__init__()
        self.frame = frame

    def __missing__(self, name: str) -> NDArray[Any]:
        column = self[name] = self.frame[name].to_numpy()
        return column


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `row["layer"]` is a number of numpy's, or text."""

    columns: Columns
    place: int

    def __getitem__(self, name: str) -> Any:
        return self.columns[name][self.place]

    @property
    def index(self) -> int:
        """Return the row's index in its frame."""
        return int(self.columns.frame.index[self.place])


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """Some rows of a frame, in an order of their own; what is selected from them shares the columns.

    Attributes:
        columns: name -> (rows of the frame,) values.
        places: (rows,) where the rows stand in the frame, from 0.

    >>> table = Table.of(pd.DataFrame({"layer": [2, 1, 1], "tensor": ["weight", "input", "weight"]}))
    >>> table[table["tensor"] == "weight"].sorted_by("layer")["layer"].tolist()
    [1, 2]
    """

    columns: Columns
    places: Places

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Table:
        """Return all rows of a frame, which must not change any more."""
        return cls(Columns(frame), np.arange(len(frame)))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, key: str) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, key: Flags | Places | list[bool] | list[int] | slice) -> Table: ...

    def __getitem__(self, key: str | Flags | Places | list[bool] | list[int] | slice) -> NDArray[Any] | Table:
        """Return the values of a column, (rows,); or the rows that flags, places or a slice choose."""
        if isinstance(key, str):
            return self.columns[key][self.places]
        return Table(self.columns, self.places[key])

    def __iter__(self) -> Iterator[Row]:
        return (Row(self.columns, place) for place in self.places.tolist())

    def each(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Yield, row by row, the values of some columns as Python's own numbers and text."""
        return zip(*(self[name].tolist() for name in names), strict=True)

    def pairs(self, key: str, value: str) -> dict[Any, Any]:
        """Return one column by another; of rows with the same key the last counts."""
        return dict(zip(self[key].tolist(), self[value].tolist(), strict=True))

    def row(self, place: int) -> Row:
        """Return the row at a place, from the end where it is negative."""
        return Row(self.columns, int(self.places[place]))

    @property
    def indices(self) -> list[int]:
        """Return the rows' indices in the frame: the keys of a recording's histograms."""
        indices: list[int] = self.columns.frame.index.to_numpy()[self.places].tolist()
        return indices

    def among(self, name: str, values: Container[Any]) -> Flags:
        """Return which rows have one of some values in a column, (rows,)."""
        return np.array([value in values for value in self[name].tolist()], dtype=np.bool_)

    def first_of_each(self, name: str) -> Table:
        """Return the first row for each value of a column."""
        values = self[name].tolist()
        places = dict(zip(reversed(values), range(len(self) - 1, -1, -1), strict=True))
        return self if len(places) == len(self) else self[sorted(places.values())]

    def last_of_each(self, name: str) -> Table:
        """Return the last row for each value of a column."""
        places = dict(zip(self[name].tolist(), range(len(self)), strict=True))
        return self if len(places) == len(self) else self[sorted(places.values())]

    def sorted_by(self, *names: str) -> Table:
        """Return the rows in the order of their numbers; equal ones stay as they stand."""
        return self[np.lexsort([self[name] for name in reversed(names)])]

    def in_order(self) -> Table:
        """Return the rows as they stand in the frame."""
        return Table(self.columns, np.sort(self.places))

    def split(self, name: str) -> dict[Any, Table]:
        """Return the rows of each value of a column, in the order in which these appear: in one pass."""
        parts: dict[Any, list[int]] = {}
        for place, value in zip(self.places.tolist(), self[name].tolist(), strict=True):
            parts.setdefault(value, []).append(place)
        return {value: Table(self.columns, np.array(part)) for value, part in parts.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as a frame, with all its columns and indices."""
        return self.columns.frame.iloc[self.places]


def stacked(tables: Iterable[Table]) -> Table:
    """Return the rows of one or more tables of one frame, one table after the other."""
    first, *others = tables
    return Table(first.columns, np.concatenate([first.places, *(table.places for table in others)]))
