"""The recording on disk: equal after a round trip, or refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actdiag import RunSpec, scan, schema
from actdiag.errors import ActdiagError, SchemaError
from actdiag.folders import replacing
from actdiag.recording import FILES, Recording, concatenate


@pytest.fixture(scope="module")
def recording() -> Recording:
    return scan(RunSpec(depth=3, width=16, batch=32, act="tanh", norm="batch"))


def test_columns_are_the_published_ones_in_order(recording: Recording) -> None:
    expected = """
        run source step layer module module_type call path tensor backward unit_axis
        samples units positions count
        mean std std_across rms min max p01 p50 p99 zero_fraction saturated_fraction dead_units constant_units
        correlation grad_to_weight nan_count inf_count subnormal_fraction expected_low expected_high
        depth width act init gain bias norm norm_place dropout residual data features classes standardise
        batch loss dtype device seed
    """
    assert list(recording.rows.columns) == expected.split()
    assert {name: str(kind) for name, kind in recording.rows.dtypes.items()} == schema.ROWS
    assert {name: str(kind) for name, kind in recording.modules.dtypes.items()} == schema.MODULES


def test_round_trip_is_equal(recording: Recording, tmp_path: Path) -> None:
    folder = recording.save(tmp_path / "deep" / "run")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert Recording.load(folder) == recording


def test_round_trip_keeps_hostile_values(recording: Recording, tmp_path: Path) -> None:
    names = ["", "NA", "nan", 'quo"te', "com,ma", "new\nline", "1", "True", "é"]
    rows = recording.rows.head(len(names)).assign(
        module=pd.Series(names, dtype="str"),
        mean=[np.nan, np.inf, -np.inf, -0.0, 5e-324, 1 / 3, 1e300, 0.1, 2.0],
    )
    hostile = replace(recording, rows=rows, histograms={}, linear={}, units={})
    assert Recording.load(hostile.save(tmp_path / "run")).rows.equals(rows)


@pytest.mark.parametrize(
    "part",
    [
        lambda rows: rows.iloc[5:],
        lambda rows: rows[rows["source"] == "measured"],
        lambda rows: rows[rows["layer"] == 1],
        lambda rows: rows.iloc[::-1],
        lambda rows: rows.sort_values(["tensor", "layer"]),
        lambda rows: rows.head(5),
        lambda rows: rows.iloc[:0],
    ],
    ids=["tail", "measured", "one layer", "reversed", "sorted", "head", "none"],
)
def test_rows_keep_their_arrays_whatever_their_index(recording: Recording, part: Any, tmp_path: Path) -> None:
    rows = part(recording.rows)
    replace(recording, rows=rows).save(tmp_path / "part")
    loaded = Recording.load(tmp_path / "part")
    pd.testing.assert_frame_equal(loaded.rows, rows.reset_index(drop=True), check_dtype=len(rows) > 0)
    for name in ("histograms", "linear", "units"):
        mine, theirs = getattr(recording, name), getattr(loaded, name)
        assert {place for place, label in enumerate(rows.index) if label in mine} == set(theirs)
        for place in theirs:
            np.testing.assert_array_equal(theirs[place], mine[rows.index[place]])


def test_each_run_of_a_comparison_can_be_saved_alone(recording: Recording, tmp_path: Path) -> None:
    other = scan(RunSpec(depth=2, width=8, batch=8, act="relu"))
    both = concatenate([recording, other])
    both.of(other.runs[0]).save(tmp_path / "run")
    assert Recording.load(tmp_path / "run") == other


def test_inequality_is_seen(recording: Recording) -> None:
    rows = recording.rows.copy()
    rows.loc[0, "mean"] += 1e-15
    assert recording != replace(recording, rows=rows)
    bins = {**recording.histograms, 0: recording.histograms[0] + 1}
    assert recording != replace(recording, histograms=bins)


def test_another_schema_version_is_refused_in_words(recording: Recording, tmp_path: Path) -> None:
    folder = recording.save(tmp_path / "run")
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "schema": 99}))
    with pytest.raises(
        SchemaError, match=f"has schema version 99, this actdiag reads {schema.VERSION}: scan again"
    ):
        Recording.load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(recording: Recording, tmp_path: Path, name: str) -> None:
    folder = recording.save(tmp_path / "run")
    (folder / name).unlink()
    with pytest.raises(SchemaError, match=f"no recording in .*: {name} is missing"):
        Recording.load(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"{", b"a,b\n1,2\n", b"PK\x03\x04 truncated"])
def test_a_damaged_file_is_one_line(recording: Recording, tmp_path: Path, name: str, content: bytes) -> None:
    folder = recording.save(tmp_path / "run")
    (folder / name).write_bytes(content)
    with pytest.raises(SchemaError, match="damaged recording in"):
        Recording.load(folder)


def test_rows_that_were_cut_short_are_seen(recording: Recording, tmp_path: Path) -> None:
    folder = recording.save(tmp_path / "run")
    lines = (folder / "rows.csv").read_text().splitlines(keepends=True)
    (folder / "rows.csv").write_text("".join(lines[:5]))
    with pytest.raises(SchemaError, match=r"rows\.csv has 4 rows, fewer than histograms\.npz knows"):
        Recording.load(folder)


def test_concatenating_keeps_each_run_whole(recording: Recording) -> None:
    other = scan(RunSpec(depth=2, width=8, batch=16, seed=7))
    both = concatenate([other, recording])
    assert both.runs == (*other.runs, *recording.runs)
    part = both.of(recording.runs[0])
    pd.testing.assert_frame_equal(part.rows.reset_index(drop=True), recording.rows)
    offset = len(other.rows)
    assert all(
        np.array_equal(part.histograms[key + offset], recording.histograms[key])
        for key in recording.histograms
    )
    assert len(part.units) == len(recording.units)


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "old").touch()
    with replacing(folder) as fresh:
        (fresh / "new").touch()
        assert (folder / "old").exists()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_exception_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "old").touch()

    def interrupted() -> None:
        with replacing(folder) as fresh:
            (fresh / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ActdiagError, match=r"cannot write .*Name another with --out"),
        replacing(tmp_path / "file" / "run"),
    ):
        pass


def test_a_table_of_other_columns_is_refused_by_their_names(tmp_path: Path) -> None:
    folder = scan(RunSpec(depth=1, width=4, batch=8)).save(tmp_path / "old")
    table = pd.read_csv(folder / "rows.csv", dtype=str, keep_default_na=False)
    table.drop(columns=["dtype", "expected_low"]).assign(extra="1").to_csv(folder / "rows.csv", index=False)
    with pytest.raises(ActdiagError, match=r"lacks .*expected_low.* and has extra"):
        Recording.load(folder)


def test_save_refuses_what_is_not_a_recordings(tmp_path: Path) -> None:
    recording = scan(RunSpec(depth=1, width=4, batch=8))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    with pytest.raises(ActdiagError, match="file is a file, expected a folder: name another"):
        recording.save(tmp_path / "file")
    with pytest.raises(
        ActdiagError, match="folder holds something else than a recording: name another folder"
    ):
        recording.save(tmp_path / "folder")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
