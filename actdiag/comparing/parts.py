"""What a finished cell leaves, without tables of its own, and how many of them become one recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from actdiag import __version__, schema
from actdiag.arrays import Histograms, Tables, Units, join
from actdiag.bins import LINEAR_BINS
from actdiag.capture.recorder import spec_columns
from actdiag.predictions.numbers import NUMBERS
from actdiag.recording import Recording, table
from actdiag.types import RunSpec

Columns = Mapping[str, NDArray[Any]]
SITE: Final = tuple(name for name in schema.SITE if name not in (*schema.COUNTED, "run", "source"))
"""What differs from row to row of a run besides numbers."""
LONGEST = 300
"""Characters of an error that are kept."""
_MODULE: Final = tuple(name for name in schema.MODULES if name != "run")


@dataclass(frozen=True, eq=False)
class Sites:
    """What rows are about: the same in all networks of a structure.

    Attributes:
        columns: those of `SITE`.
        sources: of each row, measured or theory.
    """

    columns: Columns
    sources: NDArray[Any]

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, eq=False)
class Part:
    """One run: of a recording of many.

    Attributes:
        run: its name.
        facts: what the meta data say of it.
        sites: of its rows.
        numbers: (rows, len(NUMBERS)) float64.
        tables: histograms and unit arrays by row.
        modules: columns of the modules table but the run.
    """

    run: str
    facts: Mapping[str, Any]
    sites: Sites
    numbers: NDArray[np.float64]
    tables: Tables
    modules: Columns

    @classmethod
    def of(cls, recording: Recording) -> Part:
        """Return the one run of a recording."""
        (run,), rows = recording.runs, recording.rows
        sites = Sites(_columns(rows, SITE), rows["source"].to_numpy(dtype=object))
        numbers = rows[list(NUMBERS)].to_numpy(dtype=np.float64)
        modules = _columns(recording.modules, _MODULE)
        return cls(run, recording.meta["runs"][run], sites, numbers, recording.stored(), modules)


def failed(spec: RunSpec, error: str) -> Part:
    """Return the run of a network that could not be measured: no rows, and why."""
    words = error if len(error) <= LONGEST else f"{error[:LONGEST]}..."
    facts = {"spec": asdict(spec), "loss": {}, "notes": [], "command": spec.command(), "error": words}
    nothing = Histograms.none(), Histograms.none(LINEAR_BINS), Units.none()
    sites = Sites(_empty(SITE), np.empty(0, dtype=object))
    return Part(spec.slug, facts, sites, np.empty((0, len(NUMBERS))), nothing, _empty(_MODULE))


def assemble(parts: Sequence[Part]) -> Recording:
    """Return one recording of all parts, its tables made at once."""
    sizes = [len(part.sites) for part in parts]
    offsets = np.cumsum([0, *sizes[:-1]]).tolist()
    meta = {"schema": schema.VERSION, "actdiag": __version__, "torch": torch.__version__}
    return Recording(
        _rows(parts, sizes),
        _modules(parts),
        *join([part.tables for part in parts], offsets),
        meta={**meta, "runs": {part.run: part.facts for part in parts}},
    )


def _rows(parts: Sequence[Part], sizes: Sequence[int]) -> pd.DataFrame:
    numbers = np.concatenate([part.numbers for part in parts])
    specs = [spec_columns(part.facts["spec"]) for part in parts]
    columns: dict[str, Any] = {
        "run": _repeated([part.run for part in parts], sizes),
        "source": np.concatenate([part.sites.sources for part in parts]),
        **{name: np.concatenate([part.sites.columns[name] for part in parts]) for name in SITE},
        **{name: numbers[:, place] for place, name in enumerate(NUMBERS)},
        **{name: _repeated([spec[name] for spec in specs], sizes) for name in schema.SPEC},
    }
    return table(columns, schema.ROWS, sum(sizes))


def _modules(parts: Sequence[Part]) -> pd.DataFrame:
    sizes = [len(part.modules["name"]) for part in parts]
    columns: dict[str, Any] = {"run": _repeated([part.run for part in parts], sizes)}
    columns |= {name: np.concatenate([part.modules[name] for part in parts]) for name in _MODULE}
    return table(columns, schema.MODULES, sum(sizes))


def _columns(frame: pd.DataFrame, names: Iterable[str]) -> Columns:
    """Return columns of a table as arrays, words as objects."""
    words = {name: frame[name].dtype == "str" for name in names}
    return {name: frame[name].to_numpy(dtype=object if is_word else None) for name, is_word in words.items()}


def _empty(names: Iterable[str]) -> Columns:
    return {name: np.empty(0, dtype=object) for name in names}


def _repeated(values: Sequence[Any], sizes: Sequence[int]) -> NDArray[Any]:
    held = np.empty(len(values), dtype=object)
    held[:] = values
    return np.repeat(held, sizes)
