"""The recording: all that the torch side tells the frame side, and how it is kept on disk."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from actdiag import arguments, schema
from actdiag.arrays import Arrays, Histograms, Stored, Tables, Units, join, renumbered
from actdiag.errors import ActdiagError, SchemaError, UsageError
from actdiag.folders import keep_others, replacing
from actdiag.notebook import recording_html
from actdiag.reading import reason
from actdiag.saved import read_arrays, read_meta, read_table
from actdiag.texts import encodable, escaped, printable

FILES = ("rows.csv", "modules.csv", "histograms.npz", "meta.json")
PICTURES = ("matrix.png", "distributions.png", "profile.png")
OWN = frozenset(
    (*FILES, *PICTURES, "report.html", "layers.csv", "findings.csv", "networks.csv", "report.json")
)
"""The names that actdiag writes, and so replaces; anything else in a folder is somebody's."""
UNIT_FIELDS = ("n", "mean", "std", "std_across", "max", "min")
"""The rows of a `units` array, each with one number per unit."""


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """What was measured in one or more runs.

    Attributes:
        rows: one row per tensor, step and source; columns as in `actdiag.schema.ROWS`; index 0, 1, 2, ...
        histograms: row index -> (4096,) int64 log-linear histogram, see `actdiag.bins`.
        linear: row index -> (128,) int64 linear histogram over the activation's range, where it is bounded.
        units: row index -> (6, units) float64, its rows named by `UNIT_FIELDS`.
        modules: one row per module; columns as in `actdiag.schema.MODULES`.
        meta: schema, actdiag and torch versions; runs: {run: {spec, loss, notes, command}}.
    """

    rows: pd.DataFrame
    modules: pd.DataFrame
    histograms: Arrays = field(default_factory=dict)
    linear: Arrays = field(default_factory=dict)
    units: Arrays = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the runs, and how much is known of them, in one line."""
        runs = ", ".join(self.runs[:3]) + ", ..." * (len(self.runs) > 3)
        if lack := _lack(self):
            return printable(f"<Recording of {runs}: {lack}>")
        measured = len(self.measured)
        return printable(
            f"<Recording of {runs}: {measured} measured rows, {len(self.rows) - measured} predicted, "
            f"{len(self.modules)} modules>"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{escaped(repr(self))}</pre>" if _lack(self) else recording_html(self)

    @property
    def measured(self) -> pd.DataFrame:
        """Return the rows that were measured, without theory's predictions; indices are kept."""
        return self.rows[self.rows["source"] == "measured"]

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the names of the runs, in order; none where the meta data tell of none."""
        return tuple(self.meta.get("runs", ()))

    def of(self, run: str) -> Recording:
        """Return the part that belongs to one run; row indices are kept.

        Raises:
            UsageError: there is no such run.
        """
        self.check_run(run)
        if len(self.runs) == 1 and run in self.runs:
            return self
        rows, modules = (
            frame.iloc[places.get(run, [])]
            for frame, places in zip((self.rows, self.modules), self._places, strict=True)
        )
        meta = {**self.meta, "runs": {run: self.meta["runs"][run]}}
        histograms, linear, units = (_part(table, rows.index) for table in self._tables())
        return Recording(rows, modules, histograms, linear, units, meta)

    def check_run(self, run: object) -> None:
        """Raise where a run is none of the recording's, and name those that are nearest.

        Raises:
            UsageError: it is none.
        """
        if not isinstance(run, str) or run not in self.runs:
            near = get_close_matches(str(run), self.runs, n=3, cutoff=0.3) or self.runs[:3]
            raise UsageError(f"unknown run '{run}': expected one of recording.runs, as {', '.join(near)}")

    @cached_property
    def _places(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return where the runs lie in the rows and in the modules: looked for once for all runs."""
        return _runs_of(self.rows), _runs_of(self.modules)

    def __eq__(self, other: object) -> bool:
        """Compare every number; NaN equals NaN."""
        if not isinstance(other, Recording):
            return NotImplemented
        return (
            self.rows.equals(other.rows)
            and self.modules.equals(other.modules)
            and self.meta == other.meta
            and all(_same(mine, theirs) for mine, theirs in zip(self._tables(), other._tables(), strict=True))
        )

    def _tables(self) -> tuple[Arrays, Arrays, Arrays]:
        return self.histograms, self.linear, self.units

    def save(self, folder: str | Path) -> Path:
        """Write the recording's files into `folder`; a recording that is there is replaced as a whole.

        Rows are numbered anew where the index is not 0, 1, 2, ..., as of a part of a comparison. A report of
        the old one goes with it; others' files are kept.

        Raises:
            ActdiagError: the folder holds something else, or cannot be written.
        """
        folder = arguments.folder(folder).resolve()
        if Path.cwd().is_relative_to(folder):
            raise ActdiagError(f"{folder} is or holds the current folder: name a folder of its own")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "meta.json").is_file():
            raise ActdiagError(f"{folder} holds something else than a recording: name another folder")
        with replacing(folder) as fresh:
            self.write(fresh)
            keep_others(folder, fresh, is_own)
        return folder

    def write(self, folder: Path) -> None:
        """Write the recording's files into an existing folder; see `save`."""
        for name, frame in (("rows.csv", self.rows), ("modules.csv", self.modules)):
            frame.to_csv(folder / name, index=False, lineterminator="\n")
        log, linear, units = self._numbered().stored()
        named: dict[str, Histograms | Units] = {"histograms": log, "linear": linear, "units": units}
        arrays = {f"{name}/{part}": value for name, table in named.items() for part, value in table.saved()}
        np.savez_compressed(folder / "histograms.npz", **arrays)  # type: ignore[arg-type]
        (folder / "meta.json").write_text(json.dumps(self.meta, indent=1) + "\n", encoding="utf-8")

    def stored(self) -> Tables:
        """Return histograms, linear histograms and unit arrays in the form that files hold."""
        return join([self._tables()], [0])

    def _numbered(self) -> Recording:
        """Return the same with an index of 0, 1, 2, ..., in the order of the rows, and their arrays alone."""
        labels = self.rows.index.to_numpy()
        last = max((row for table in self._tables() for row in table), default=-1)
        if last < len(labels) and np.array_equal(labels, np.arange(len(labels))):
            return self
        histograms, linear, units = (renumbered(table, labels) for table in self._tables())
        rows = self.rows.reset_index(drop=True)
        return Recording(rows, self.modules, histograms, linear, units, self.meta)

    @classmethod
    def load(cls, folder: str | Path) -> Recording:
        """Read back what `save` wrote: equal in every number.

        Raises:
            SchemaError: no recording, a damaged one, or one of another schema version.
        """
        folder = arguments.folder(folder)
        _check_there(folder, FILES if not os.path.lexists(folder / "meta.json") else ())
        try:
            meta = read_meta(folder / "meta.json")  # an older version may lack the other files
            _check_there(folder, FILES)
            rows, modules = (
                read_table(folder / name, types, meta["runs"])
                for name, types in (("rows.csv", schema.ROWS), ("modules.csv", schema.MODULES))
            )
            arrays = read_arrays(folder / "histograms.npz", rows["units"].to_numpy())
        except SchemaError:
            raise
        except Exception as error:  # whatever else damage makes a parser raise
            raise SchemaError(f"damaged recording in {folder}: {reason(error)}. Scan again.") from error
        return cls(rows, modules, *arrays, meta)


def _check_there(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not os.path.lexists(folder / name):
            raise SchemaError(
                f"no recording in {folder}: {name} is missing. Make one with actdiag scan or attach."
            )


def is_own(name: str) -> bool:
    """Return whether actdiag writes files of a name; a picture may go on in `profile-2.png`."""
    return re.sub(r"-[1-9][0-9]*(?=\.png$)", "", name) in OWN


def check_recording(value: object) -> None:
    """Raise where something else than a recording was given, or one whose tables lack columns.

    Raises:
        UsageError: with what makes one.
    """
    makers = "make one with actdiag.scan, actdiag.compare or actdiag.attach"
    if not isinstance(value, Recording):
        raise UsageError(f"expected an actdiag.Recording, got {type(value).__name__}: {makers}")
    if lack := _lack(value):
        raise UsageError(f"expected an actdiag.Recording with all its columns, got {lack}: {makers}")


def _lack(recording: Recording) -> str:
    """Return which table is none, or is without which columns; "" where nothing is amiss."""
    for name, types in (("rows", schema.ROWS), ("modules", schema.MODULES)):
        table: object = getattr(recording, name)
        if not isinstance(table, pd.DataFrame):
            return f"{name} of type {type(table).__name__}"
        if missing := types.keys() - table.columns.tolist():
            return f"{name} without {', '.join(sorted(missing))}"
    return ""


def _same(mine: Arrays, theirs: Arrays) -> bool:
    if isinstance(mine, Stored) and type(mine) is type(theirs):
        return mine.same(theirs)
    return mine.keys() == theirs.keys() and all(
        np.array_equal(value, theirs[key], equal_nan=value.dtype.kind == "f") for key, value in mine.items()
    )


def _part(table: Arrays, rows: pd.Index[Any]) -> Arrays:
    """Return the arrays of some rows."""
    if isinstance(table, Stored):
        return table.only(rows.to_numpy())
    kept = set(rows)
    return {key: value for key, value in table.items() if key in kept}


def _runs_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Return where the rows of each run lie: a slice where they follow each other, else their places."""
    names = frame["run"].to_numpy()
    changes = np.flatnonzero(names[1:] != names[:-1]) + 1
    bounds = [0, *changes.tolist(), len(names)]
    found: dict[str, Any] = {}
    for first, last in pairwise(bounds):
        if first < last:
            name = names[first]
            found[name] = np.flatnonzero(names == name) if name in found else slice(first, last)
    return found


def frame(records: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with exactly the columns and types of a schema, from rows."""
    return table({name: [record[name] for record in records] for name in types}, types, len(records))


def table(columns: Mapping[str, Any], types: Mapping[str, str], rows: int) -> pd.DataFrame:
    """Return a table with exactly the columns and types of a schema.

    Args:
        columns: one value per row, or one for all of them.
        types: the schema.
        rows: how many there are.
    """
    return pd.DataFrame(
        {name: _column(columns[name], kind, rows) for name, kind in types.items()}, copy=False
    )


def _column(values: Any, kind: str, rows: int) -> Any:
    """Return a column as an array of the type that a schema says, its words such that files can hold them."""
    several = isinstance(values, (list, np.ndarray))
    if kind != "str":
        return np.asarray(values, dtype=kind) if several else np.full(rows, values, dtype=kind)
    held = np.empty(rows, dtype=object)
    held[:] = values
    if not "".join(held).isascii():
        held[:] = list(map(encodable, held))
    return pd.array(held, dtype="str")


def concatenate(recordings: Sequence[Recording]) -> Recording:
    """Return one recording of all the runs, rows numbered anew; each one's rows are adjacent."""
    sizes = [len(recording.rows) for recording in recordings]
    firsts = [
        recording.rows.index[0] if size else 0 for recording, size in zip(recordings, sizes, strict=True)
    ]
    offsets = (np.cumsum([0, *sizes[:-1]]) - firsts).tolist()
    runs = {run: facts for recording in recordings for run, facts in recording.meta["runs"].items()}
    return Recording(
        pd.concat([recording.rows for recording in recordings], ignore_index=True),
        pd.concat([recording.modules for recording in recordings], ignore_index=True),
        *join([recording._tables() for recording in recordings], offsets),
        meta={**recordings[0].meta, "runs": runs},
    )
