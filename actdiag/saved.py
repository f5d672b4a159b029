"""Read the files of a recording, which may come from anywhere: what does not hold is told in words."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from actdiag import __version__, schema
from actdiag.arrays import FIELDS, Histograms, Tables, Units
from actdiag.bins import LINEAR_BINS, LOG_BINS
from actdiag.errors import SchemaError
from actdiag.reading import check_file, reason

_BOOL = {"True": True, "False": False}
_WORDS = {"int64": "whole numbers", "float64": "numbers", "bool": "True or False"}
_SPEC_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int64": (int,),
    "float64": (int, float),
    "bool": (bool,),
}
"""What JSON holds of a spec's fields; None stands for what was left open."""
_HISTOGRAM = {"rows": ("<i8",), "lengths": ("<i8",), "bins": ("<u2",), "counts": ("<u4", "<i8")}
_UNITS = {"rows": ("<i8",), "lengths": ("<i8",), "seen": ("<f8",), "narrow": ("<f4",), "wide": ("<f8",)}
_PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "histograms": _HISTOGRAM,
    "linear": _HISTOGRAM,
    "units": _UNITS,
}
"""The arrays of histograms.npz, `histograms/rows` and so on, and the types that each may have."""
_HEADER = re.compile(rb"\{'descr': '(<[iuf][248])', 'fortran_order': False, 'shape': \((\d{1,15}),\), \} *\n")
_LONGEST_HEADER = 1024


def read_meta(path: Path) -> dict[str, Any]:
    """Return what meta.json holds.

    Raises:
        SchemaError: of another schema version.
        ValueError: no JSON, or not of this form.
    """
    check_file(path)
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("meta.json is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"meta.json is no JSON: {error}") from error
    _need(isinstance(meta, dict) and "schema" in meta, "meta.json names no schema")
    if meta["schema"] != schema.VERSION:
        wrote = meta.get("actdiag", "?")
        raise SchemaError(
            f"the recording in {path.parent} has schema version {meta['schema']}, this actdiag reads "
            f"{schema.VERSION}: scan again, or use the version that wrote it "
            f"({wrote}; this is {__version__})."
        )
    runs = meta.get("runs")
    _need(isinstance(runs, dict) and runs, "meta.json names no runs")
    for run, facts in runs.items():
        _check_facts(f"meta.json, run '{run}'", facts)
    return dict(meta)


def _check_facts(where: str, facts: Any) -> None:
    _need(isinstance(facts, dict), f"{where}: an object is expected")
    spec, loss, notes = facts.get("spec"), facts.get("loss"), facts.get("notes")
    if spec is not None:
        _need(isinstance(spec, dict) and spec.keys() == schema.SPEC.keys(), f"{where}: no whole spec")
        for name, kind in schema.SPEC.items():
            if name != "gain" or not isinstance(spec[name], str):  # `exact` is a gain as well
                _check_field(f"{where}: {name}", spec[name], kind)
    _need(loss is None or isinstance(loss, dict), f"{where}: loss is no object")
    _need(notes is None or _are_words(notes), f"{where}: notes are no list of words")
    words = [facts.get(name) or "" for name in ("command", "theory", "error")]
    _need(_are_words(words), f"{where}: command, theory and error are words")


def _check_field(what: str, value: Any, kind: str) -> None:
    whole = isinstance(value, bool) == (kind == "bool")
    fits = value is None or (whole and isinstance(value, _SPEC_TYPES[kind]))
    _need(fits and (not isinstance(value, int) or abs(value) < 2**63), f"{what} is no {kind}")


def _are_words(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def read_table(path: Path, types: Mapping[str, str], runs: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table, exactly: every cell is read as text, so that floats round-trip and "NA" stays a name.

    Raises:
        ValueError: no table of these columns and types, or one of other runs.
    """
    check_file(path)
    cells = _cells(path, types)
    columns = {
        name: _parsed(path.name, name, cells[:, place], kind)
        for place, (name, kind) in enumerate(types.items())
    }
    unknown = set(columns["run"]) - runs.keys()
    _need(not unknown, f"{path.name} knows a run '{min(unknown, default='')}', meta.json does not")
    for name, kind in types.items():
        least = -1 if name in schema.SPEC or name == "unit_axis" else 0
        low = kind == "int64" and len(cells) and columns[name].min() < least
        _need(not low, f"{path.name}: column '{name}' holds a negative number")
    return pd.DataFrame(columns, copy=False)


def _cells(path: Path, types: Mapping[str, str]) -> NDArray[Any]:
    """Return the cells below the header, (rows, columns), as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            text = pd.read_csv(path, dtype="str", keep_default_na=False, lineterminator="\n", index_col=False)
        except (ValueError, pd.errors.ParserWarning) as error:
            raise ValueError(f"{path.name}: {error}") from error
    names = list(text.columns)
    windows = "its lines end as on Windows: another program, or git, has changed it"
    _need(not names[-1].endswith("\r"), f"{path.name}: {windows}")
    if names != list(types):
        missing, more = [name for name in types if name not in names], sorted({*names} - {*types})
        told = [f"{what} {', '.join(of)}" for what, of in (("lacks", missing), ("has", more)) if of]
        raise ValueError(f"{path.name} {' and '.join(told) or 'has its columns in another order'}")
    cells: NDArray[Any] = text.to_numpy(dtype=object)
    return cells


def _parsed(file: str, name: str, cells: NDArray[Any], kind: str) -> Any:
    if kind == "str":
        return pd.array(cells, dtype="str")
    try:
        return _numbers(cells, kind)
    except (ValueError, KeyError, OverflowError) as error:
        row = next(row for row in range(len(cells)) if not _is_number(cells[row : row + 1], kind))
        what = f"must hold {_WORDS[kind]}, got '{cells[row]}' in row {row + 1}"
        raise ValueError(f"{file}: column '{name}' {what}") from error


def _numbers(cells: NDArray[Any], kind: str) -> NDArray[Any]:
    if kind == "bool":
        return np.array([_BOOL[cell] for cell in cells], dtype=bool)
    return (np.where(cells == "", "nan", cells) if kind == "float64" else cells).astype(kind)


def _is_number(cells: NDArray[Any], kind: str) -> bool:
    try:
        _numbers(cells, kind)
    except (ValueError, KeyError, OverflowError):
        return False
    return True


def read_arrays(path: Path, units: NDArray[np.int64]) -> Tables:
    """Return the arrays of a recording's rows.

    Nothing is unpacked that is larger than rows.csv says; nothing in it is ever run.

    Args:
        path: histograms.npz.
        units: (rows,) of each row, as rows.csv has it.

    Raises:
        ValueError: other arrays than a recording's, or of other rows.
    """
    check_file(path)
    most = len(units) * LOG_BINS + (FIELDS + 1) * sum(units.tolist())
    try:
        arrays = _unpacked(path, most)
    except ValueError:
        raise
    except Exception as error:  # zip files and their decompressors raise many unrelated kinds
        raise ValueError(f"{path.name}: {reason(error)}") from error
    tables = {table: {part: arrays[f"{table}/{part}"] for part in parts} for table, parts in _PARTS.items()}
    for table in tables.values():
        known = table["rows"]
        fits = not len(known) or (known[0] >= 0 and known[-1] < len(units))
        _need(fits, f"rows.csv has {len(units)} rows, fewer than {path.name} knows")
    log, linear = (
        Histograms.read(size, **tables[name])
        for name, size in (("histograms", LOG_BINS), ("linear", LINEAR_BINS))
    )
    whole = Units.read(**tables["units"])
    _need(np.array_equal(whole.lengths, units[whole.rows]), f"{path.name} and rows.csv know other units")
    return log, linear, whole


def _unpacked(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """Return the arrays by name, each of at most so many values."""
    names = {f"{table}/{part}": kinds for table, parts in _PARTS.items() for part, kinds in parts.items()}
    with zipfile.ZipFile(path) as archive:
        held = [item.filename.removesuffix(".npy") for item in archive.infolist()]
        _need(sorted(held) == sorted(names), f"{path.name} holds other arrays than a recording's")
        return {name: _member(archive, name, kinds, most) for name, kinds in names.items()}


def _member(archive: zipfile.ZipFile, name: str, kinds: tuple[str, ...], most: int) -> NDArray[Any]:
    """Return an array of one axis, of one of the types, of at most so many values."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        header = _header(file.read(_LONGEST_HEADER))
        found = _HEADER.fullmatch(header[10:])
        kind, length = (found[1].decode(), int(found[2])) if found else ("", 0)
        _need(kind in kinds, f"histograms.npz: {name} is no array of {' or '.join(kinds)}")
        size = length * np.dtype(kind).itemsize
        _need(length <= most and info.file_size == len(header) + size, f"histograms.npz: {name} is too long")
    return np.frombuffer(archive.read(info), dtype=kind, offset=len(header))


def _header(start: bytes) -> bytes:
    """Return the header of version 1.0 at the start of a .npy file, `b""` where there is none."""
    if start[:8] != b"\x93NUMPY\x01\x00" or len(start) < 10:
        return b""
    return start[: 10 + int.from_bytes(start[8:10], "little")]


def _need(kept: object, what: str) -> None:
    if not kept:
        raise ValueError(what)
