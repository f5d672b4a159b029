"""The arrays of a recording's rows in little room: read like dicts, made when they are asked for.

Seven hundred networks have 50,000 rows: 1.5 GB of dense histograms, of which one bin in twenty is not empty.
A selection shares the memory of the whole; what is pickled or saved is the selection alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from actdiag.bins import LINEAR_BINS, LOG_BINS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
FIELDS = 5
"""Fields of a unit besides the count of its values, see `recording.UNIT_FIELDS`."""
Kind = TypeVar("Kind", bound="Stored")


@dataclass(frozen=True, eq=False)
class Stored(Mapping[int, NDArray[Any]]):
    """Row of a recording -> array; the arrays lie one after the other in a few buffers.

    Attributes:
        rows: (arrays,) int64, rising.
        starts: (arrays,) int64, where each array begins in its buffer.
        lengths: (arrays,) int64, how much is kept of each.
    """

    rows: Ints
    starts: Ints
    lengths: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows.tolist())

    def __contains__(self, row: object) -> bool:
        return row in self._places

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self._array(self._places[row])

    def __repr__(self) -> str:
        """Return how many arrays there are."""
        return f"<{type(self).__name__} of {len(self)} rows>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: nothing that other rows alone need."""
        return self.packed().arrays()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {row: place for place, row in enumerate(self.rows.tolist())}

    @abstractmethod
    def _array(self, place: int) -> NDArray[Any]:
        """Return the array at a place of `rows`."""

    @abstractmethod
    def packed(self: Kind) -> Kind:
        """Return the same with buffers that hold these rows alone, in order."""

    def arrays(self) -> dict[str, Any]:
        """Return what tells a table from others of its type."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def only(self: Kind, rows: Ints) -> Kind:
        """Return the part of some rows, in rising order, without a copy of their arrays."""
        places: Any = np.flatnonzero(np.isin(self.rows, rows))
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            places = slice(*np.searchsorted(self.rows, (rows[0], rows[-1] + 1)).tolist())
        return replace(self, **{name: value[places] for name, value in self._columns().items()})

    def _columns(self) -> dict[str, Any]:
        """Return the arrays with an element for each row."""
        return {"rows": self.rows, "starts": self.starts, "lengths": self.lengths}

    def same(self, other: Stored) -> bool:
        """Return whether two tables of one type hold equal arrays; NaN equals NaN."""
        if not np.array_equal(self.rows, other.rows):
            return False
        mine, theirs = self.packed().arrays(), other.packed().arrays()
        return all(
            np.array_equal(value, theirs[name], equal_nan=np.asarray(value).dtype.kind == "f")
            for name, value in mine.items()
        )


@dataclass(frozen=True, eq=False, repr=False)
class Histograms(Stored):
    """Row -> (size,) int64 histogram, of which the bins that are not empty are kept.

    Attributes:
        bins: their numbers, uint16, of all rows.
        counts: uint32, or int64 where one does not fit.
        size: bins of each histogram.
    """

    bins: NDArray[np.uint16]
    counts: NDArray[np.uint32] | Ints
    size: int = LOG_BINS

    @classmethod
    def none(cls, size: int = LOG_BINS) -> Histograms:
        """Return no histograms."""
        return cls.of({}, size)

    @classmethod
    def of(cls, dense: Mapping[int, NDArray[Any]], size: int = LOG_BINS) -> Histograms:
        """Return a table of dense histograms, (size,) each; one that is such a table is returned as it is."""
        if isinstance(dense, cls):
            return dense
        rows = sorted(dense)
        bins = [np.flatnonzero(dense[row]) for row in rows]
        counts = [np.asarray(dense[row])[kept] for row, kept in zip(rows, bins, strict=True)]
        return cls.adjacent(rows, [len(kept) for kept in bins], _joined(bins), _joined(counts), size)

    @classmethod
    def adjacent(
        cls, rows: Sequence[int] | Ints, lengths: Sequence[int] | Ints, bins: Any, counts: Any, size: int
    ) -> Histograms:
        """Return a table whose rows follow each other in the buffers."""
        kept = np.asarray(lengths, dtype=np.int64)
        small = counts.dtype == np.uint32 or not counts.size or int(counts.max()) < 2**32
        narrow = counts.astype(np.uint32 if small else np.int64, copy=False)
        where = np.asarray(rows, dtype=np.int64)
        return cls(where, _starts(kept), kept, bins.astype(np.uint16, copy=False), narrow, size)

    def _array(self, place: int) -> Ints:
        here = slice(self.starts[place], self.starts[place] + self.lengths[place])
        histogram = np.zeros(self.size, dtype=np.int64)
        histogram[self.bins[here]] = self.counts[here]
        return histogram

    def packed(self) -> Histograms:
        """Return the same with buffers that hold these rows alone, in order."""
        if _is_packed(self.starts, self.lengths, len(self.bins)):
            return self
        kept = _ranges(self.starts, self.lengths)
        return self.adjacent(self.rows, self.lengths, self.bins[kept], self.counts[kept], self.size)

    @classmethod
    def joined(cls, parts: Sequence[Histograms], offsets: Sequence[int], size: int) -> Histograms:
        """Return one table of several; `offsets` are added to each one's rows."""
        packed = [part.packed() for part in parts]
        return cls.adjacent(
            _joined([part.rows + offset for part, offset in zip(packed, offsets, strict=True)]),
            _joined([part.lengths for part in packed]),
            _joined([part.bins for part in packed]),
            _joined([part.counts for part in packed]),
            size,
        )

    def saved(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the names and values that `read` takes."""
        packed = self.packed()
        return ((name, getattr(packed, name)) for name in ("rows", "lengths", "bins", "counts"))

    @classmethod
    def read(cls, size: int, rows: Ints, lengths: Ints, bins: Any, counts: Any) -> Histograms:
        """Return a table from what was saved.

        Raises:
            ValueError: its parts do not fit together, as after damage to a file.
        """
        _check(rows, lengths, int(lengths.sum()) == len(bins) == len(counts))
        if bins.size and int(bins.max()) >= size:
            raise ValueError(f"a histogram of {size} bins has a bin {bins.max()}")
        table = cls.adjacent(rows, lengths, bins, counts, size)
        rises = np.diff(bins.astype(np.int64)) > 0
        begins = table.starts[lengths > 0]
        rises[begins[begins > 0] - 1] = True  # from one histogram to the next
        _check(rows, lengths, bool(rises.all()) and not (counts <= 0).any())
        return table


@dataclass(frozen=True, eq=False, repr=False)
class Units(Stored):
    """Row -> (6, units) float64, see `recording.UNIT_FIELDS`.

    `lengths` are the rows' units. A row lies in `narrow` where float32 holds its fields and all its units saw
    as many values, else in `wide`.

    Attributes:
        seen: (arrays,) finite values of each unit; NaN for a row that lies in `wide`.
        narrow: float32, (5, units) of each such row, without the counts.
        wide: float64, (6, units) of each such row.
    """

    seen: Floats
    narrow: NDArray[np.float32]
    wide: Floats

    @classmethod
    def none(cls) -> Units:
        """Return no units."""
        return cls.of({})

    @classmethod
    def of(cls, dense: Mapping[int, NDArray[Any]]) -> Units:
        """Return a table of (6, units) arrays, equal in every number; a `Units` is returned as it is."""
        if isinstance(dense, cls):
            return dense
        rows = sorted(dense)
        arrays = [np.asarray(dense[row], dtype=np.float64) for row in rows]
        seen = np.array([_seen_alike(units) for units in arrays])
        known = np.isfinite(seen)
        narrow = [units[1:].astype(np.float32).ravel() for units in _chosen(arrays, known)]
        wide = [units.ravel() for units in _chosen(arrays, ~known)]
        lengths = [units.shape[1] for units in arrays]
        return cls.adjacent(rows, lengths, seen, _joined(narrow, np.float32), _joined(wide, np.float64))

    @classmethod
    def adjacent(
        cls,
        rows: Sequence[int] | Ints,
        lengths: Sequence[int] | Ints,
        seen: Floats,
        narrow: NDArray[np.float32],
        wide: Floats,
    ) -> Units:
        """Return a table whose rows follow each other in their buffers."""
        units, lies_wide = np.asarray(lengths, dtype=np.int64), np.isnan(seen)
        starts = np.empty(len(units), dtype=np.int64)
        starts[~lies_wide] = _starts(FIELDS * units[~lies_wide])
        starts[lies_wide] = _starts((FIELDS + 1) * units[lies_wide])
        return cls(np.asarray(rows, dtype=np.int64), starts, units, seen, narrow, wide)

    def _columns(self) -> dict[str, Any]:
        return {**super()._columns(), "seen": self.seen}

    def _array(self, place: int) -> Floats:
        start, units, seen = int(self.starts[place]), int(self.lengths[place]), self.seen[place]
        if np.isnan(seen):
            return self.wide[start : start + (FIELDS + 1) * units].reshape(FIELDS + 1, units).copy()
        array = np.empty((FIELDS + 1, units))
        array[0], array[1:] = seen, self.narrow[start : start + FIELDS * units].reshape(FIELDS, units)
        return array

    def packed(self) -> Units:
        """Return the same with buffers that hold these rows alone, in order."""
        wide = np.isnan(self.seen)
        sizes = np.where(wide, FIELDS + 1, FIELDS) * self.lengths
        starts, parts = self.starts, ((~wide, self.narrow), (wide, self.wide))
        if all(_is_packed(starts[of], sizes[of], len(held)) for of, held in parts):
            return self
        narrow, whole = (_ranges(starts[of], sizes[of]) for of, _ in parts)
        return self.adjacent(self.rows, self.lengths, self.seen, self.narrow[narrow], self.wide[whole])

    @classmethod
    def joined(cls, parts: Sequence[Units], offsets: Sequence[int]) -> Units:
        """Return one table of several; `offsets` are added to each one's rows."""
        packed = [part.packed() for part in parts]
        return cls.adjacent(
            _joined([part.rows + offset for part, offset in zip(packed, offsets, strict=True)]),
            _joined([part.lengths for part in packed]),
            _joined([part.seen for part in packed], np.float64),
            _joined([part.narrow for part in packed], np.float32),
            _joined([part.wide for part in packed], np.float64),
        )

    def saved(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield the names and values that `read` takes."""
        packed = self.packed()
        return ((name, getattr(packed, name)) for name in ("rows", "lengths", "seen", "narrow", "wide"))

    @classmethod
    def read(cls, rows: Ints, lengths: Ints, seen: Floats, narrow: Any, wide: Any) -> Units:
        """Return a table from what was saved.

        Raises:
            ValueError: its parts do not fit together, as after damage to a file.
        """
        _check(rows, lengths, len(seen) == len(lengths))
        lies_wide = np.isnan(seen)
        sizes = FIELDS * int(lengths[~lies_wide].sum()), (FIELDS + 1) * int(lengths[lies_wide].sum())
        _check(rows, lengths, sizes == (len(narrow), len(wide)))
        return cls.adjacent(rows, lengths, seen, narrow, wide)


Arrays = Mapping[int, NDArray[Any]]
Tables = tuple[Histograms, Histograms, Units]
"""Log-linear histograms, linear histograms and unit arrays."""
AnyTables = tuple[Arrays, Arrays, Arrays]


def join(parts: Sequence[AnyTables], offsets: Sequence[int]) -> Tables:
    """Return the tables of several recordings as one; `offsets` are added to each one's rows."""
    if len(parts) == 1 and offsets[0] == 0:
        log, linear, units = parts[0]
        return Histograms.of(log), Histograms.of(linear, LINEAR_BINS), Units.of(units)
    logs = [Histograms.of(part[0]) for part in parts]
    linears = [Histograms.of(part[1], LINEAR_BINS) for part in parts]
    return (
        Histograms.joined(logs, offsets, LOG_BINS),
        Histograms.joined(linears, offsets, LINEAR_BINS),
        Units.joined([Units.of(part[2]) for part in parts], offsets),
    )


def renumbered(table: Arrays, labels: NDArray[Any]) -> Arrays:
    """Return the arrays of some rows by the place of each among `labels`, by which the table has them."""
    if isinstance(table, Stored) and labels.dtype.kind == "i" and (np.diff(labels) > 0).all():
        part = table.only(labels)
        return replace(part, rows=np.searchsorted(labels, part.rows))
    return {place: table[label] for place, label in enumerate(labels.tolist()) if label in table}


def _seen_alike(units: Floats) -> float:
    """Return the count that all units share where float32 holds the other fields, else NaN."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = units[1:].astype(np.float32)
    alike = units.shape[1] > 0 and bool((units[0] == units[0, 0]).all())
    return float(units[0, 0]) if alike and np.array_equal(narrow, units[1:], equal_nan=True) else np.nan


def _chosen(arrays: Sequence[Floats], mask: NDArray[np.bool_]) -> list[Floats]:
    return [array for array, kept in zip(arrays, mask, strict=True) if kept]


def _check(rows: Ints, lengths: Ints, fits: bool) -> None:
    if not fits or len(rows) != len(lengths) or (np.diff(rows) <= 0).any() or (lengths < 0).any():
        raise ValueError("the arrays of histograms.npz do not fit together")


def _joined(parts: Sequence[NDArray[Any]], kind: Any = np.int64) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def _starts(lengths: Ints) -> Ints:
    return np.asarray(np.cumsum(lengths) - lengths, dtype=np.int64)


def _is_packed(starts: Ints, lengths: Ints, size: int) -> bool:
    return int(lengths.sum()) == size and np.array_equal(starts, _starts(lengths))


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """Return start, start + 1, ... start + length - 1 of each row after the other."""
    return np.asarray(
        np.repeat(starts - _starts(lengths), lengths) + np.arange(lengths.sum()), dtype=np.int64
    )
