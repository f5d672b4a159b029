"""Recordings: a small one with damaged files; what loads is judged, reported and drawn now and then."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from damage import FILES, damaged
from matplotlib.figure import Figure
from oracle import promise, refuses, scratch

from actdiag import RunSpec, plot, recording, saved, scan, schema
from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.reporters import REPORTERS

FOLDER = scratch("recording")
WHOLE = scan(RunSpec(depth=2, width=3, batch=4))
WHOLE.save(FOLDER)
SOUND = {name: (FOLDER / name).read_bytes() for name in FILES}
TABLES = {
    name: saved.read_table(FOLDER / name, types, WHOLE.meta["runs"])
    for name, types in (("rows.csv", schema.ROWS), ("modules.csv", schema.MODULES))
}
JUDGED_EVERY, DRAWN_EVERY = (int(word) for word in os.environ.get("ACTDIAG_FUZZ_EVERY", "50 2000").split())
"""Of what loads, every how many is judged, and reported and drawn; an input's checksum chooses."""
_written = dict(SOUND)


def _read_table(path: Path, types: Mapping[str, str], runs: Mapping[str, Any]) -> pd.DataFrame:
    """Read a table, but one without damage once for all inputs: that is most of the time."""
    sound = all(_written[name] == SOUND[name] for name in ("meta.json", path.name))
    return TABLES[path.name] if sound else saved.read_table(path, types, runs)


def seeds() -> list[bytes]:
    """Return edits of every kind, some of which leave a recording that loads."""
    files = [bytes([0, 255, place]) + SOUND[name] for place, name in enumerate(FILES)]
    with zipfile.ZipFile(io.BytesIO(SOUND["histograms.npz"])) as archive:
        members = [archive.read(name) for name in archive.namelist()]
    arrays = [bytes([6, 255, place]) + content for place, content in enumerate(members)]
    return [
        b"", *files, *arrays,
        b"\1\6\1\0\x30\1ab",
        b"\2\4\0\3\x18\1", b"\2\4\0\4\x0b\4", b"\2\6\0\5\x0712", b"\2\4\1\2\3\5", b"\2\7\1\1\6tanh",
        b"\3\3\0\x11\2", b"\3\3\0\x12\5", b"\3\3\1\7\4",
        b"\4\3\0\3\4", b"\4\2\1\2", b"\4\5\0\1\2\2\2",
        b'\5\5\4"x"', b"\5\5\7null", b"\5\3\x0a1e", b"\5\4\6{}\n", b"\5\2\x1b7",
        b"\7\x12\0\0" + np.array([0, 1]).tobytes(),
        b"\x08\4\0\0\0\1",
        b"\x09\4a/b\x1b",
        b"\x09\3<b>\4\3\0\3\4\2\4\0\3\x18\1",
    ]  # fmt: skip


def one(data: bytes, deep: bool = False) -> bool:
    """Load a damaged recording, and use it if `deep` or its turn has come.

    Returns:
        Whether it was read, not refused.
    """
    _write(damaged(SOUND, data))
    with patch.object(recording, "read_table", _read_table):
        loaded = refuses(lambda: Recording.load(FOLDER))
    if loaded is None:
        return False
    _check(loaded)
    turn = zlib.crc32(data)
    if deep or turn % JUDGED_EVERY == 0:
        refuses(lambda: diagnose(loaded))
    if deep or turn % DRAWN_EVERY == 0:
        refuses(lambda: _use(loaded))
    return True


def _write(files: Any) -> None:
    for name, content in files.items():
        if _written[name] != content:
            (FOLDER / name).write_bytes(content)
            _written[name] = content


def _check(loaded: Recording) -> None:
    rows, modules = loaded.rows, loaded.modules
    for frame, types in ((rows, schema.ROWS), (modules, schema.MODULES)):
        if any(frame is table for table in TABLES.values()):
            continue
        promise({name: str(kind) for name, kind in frame.dtypes.items()} == types, "other types of columns")
        promise({*frame["run"]} <= {*loaded.runs}, "rows of a run that is none")
        promise(frame.notna().to_numpy()[:, [kind != "float64" for kind in types.values()]].all(), "no value")
    for table, size in ((loaded.histograms, 4096), (loaded.linear, 128)):
        for row, histogram in table.items():
            promise(0 <= row < len(rows) and histogram.shape == (size,), "a histogram of no row or size")
            promise(
                histogram.dtype == np.int64 and (histogram >= 0).all(), "a histogram of other than counts"
            )
    for row, units in loaded.units.items():
        promise(0 <= row < len(rows) and units.shape == (6, rows["units"][row]), "units of no row or size")


def _use(loaded: Recording) -> None:
    diagnosis = diagnose(loaded)
    for kind in ("html", "csv", "json"):
        files = REPORTERS[kind](loaded, diagnosis)
        promise(all(isinstance(content, bytes) and content for content in files.values()), f"empty {kind}")
    for draw in (plot.profile, plot.distributions):
        refuses(lambda draw=draw: _draw(draw, loaded))  # type: ignore[misc]


def _draw(draw: Callable[..., Any], loaded: Recording) -> None:
    figure = Figure()
    draw(loaded, figure.subplots())
    figure.canvas.draw()
