"""Recordings from elsewhere: whatever their files hold, one line says what does not hold; nothing runs."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actdiag import RunSpec, __version__, scan, schema
from actdiag.diagnosis import diagnose
from actdiag.errors import SchemaError
from actdiag.recording import Recording
from actdiag.reporters import REPORTERS

RUN = "tanh-xavier-2x3-batch4"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a recording."""
    return scan(RunSpec(depth=2, width=3, batch=4)).save(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the recording that a test may damage."""
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refused(folder: Path) -> str:
    """Return the line that the recording gets."""
    with pytest.raises(SchemaError) as caught:
        Recording.load(folder)
    line = str(caught.value)
    assert line.isprintable()
    assert str(folder) in line
    return line


def change_meta(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


def change_rows(folder: Path, change: Callable[[list[list[str]]], object], name: str = "rows.csv") -> None:
    rows = [line.split(",") for line in (folder / name).read_text().splitlines()]
    change(rows)
    (folder / name).write_text("".join(",".join(row) + "\n" for row in rows))


def set_cell(folder: Path, column: str, row: int, text: str, name: str = "rows.csv") -> None:
    change_rows(folder, lambda rows: rows[row].__setitem__(rows[0].index(column), text), name)


def change_array(folder: Path, name: str, array: Any, **more: Any) -> None:
    """Write histograms.npz again with another array."""
    with np.load(folder / "histograms.npz") as held:
        arrays = {**held, name: array}
    np.savez_compressed(folder / "histograms.npz", **arrays, **more)


def add_member(folder: Path, name: str, content: bytes) -> None:
    """Put a member of these very bytes into histograms.npz in the place of the one of that name."""
    with zipfile.ZipFile(folder / "histograms.npz") as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    with zipfile.ZipFile(folder / "histograms.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for item, held in {**members, name: content}.items():
            archive.writestr(item, held)


@pytest.mark.parametrize("version", [1, 2, 4, "3", None, [3]])
def test_another_version_says_which_wrote_it_and_which_are_read(folder: Path, version: object) -> None:
    change_meta(folder, lambda meta: meta.update(schema=version, actdiag="0.0.9"))
    assert refused(folder) == (
        f"the recording in {folder} has schema version {version}, this actdiag reads {schema.VERSION}: scan "
        f"again, or use the version that wrote it (0.0.9; this is {__version__})."
    )


def test_an_older_version_without_the_files_of_today_is_no_damage(folder: Path) -> None:
    for name in ("modules.csv", "histograms.npz", "rows.csv"):
        (folder / name).unlink()
    (folder / "meta.json").write_text('{"schema": 1}')
    assert "has schema version 1, this actdiag reads" in refused(folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "meta.json is no JSON: Expecting value"),
        ("[" * 100_000, "meta.json is nested too deeply"),
        ('{"schema": ' + "9" * 5000 + "}", "meta.json is no JSON: Exceeds the limit"),
        ("3", "meta.json names no schema"),
        ("null", "meta.json names no schema"),
        ('["schema"]', "meta.json names no schema"),
        (b"\xff\xfe{}", "meta.json is no JSON: 'utf-8' codec can't decode byte 0xff"),
        (b'{"schema": 3}\0', "meta.json is no JSON: Extra data"),
        ('{"schema": 3}', "meta.json names no runs"),
        ('{"schema": 3, "runs": {}}', "meta.json names no runs"),
        ('{"schema": 3, "runs": ["a"]}', "meta.json names no runs"),
        ('{"schema": 3, "runs": {"a\\u001b[31m": 1}}', "meta.json, run 'a?[31m': an object is expected"),
    ],
)
def test_meta_data_of_another_form(folder: Path, text: str | bytes, told: str) -> None:
    (folder / "meta.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refused(folder).startswith(f"damaged recording in {folder}: {told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spec": "tanh"}, "no whole spec"),
        ({"spec": {"depth": 2}}, "no whole spec"),
        ({"loss": [1]}, "loss is no object"),
        ({"notes": "word"}, "notes are no list of words"),
        ({"notes": [1]}, "notes are no list of words"),
        ({"command": 7}, "command, theory and error are words"),
        ({"error": {"a": 1}}, "command, theory and error are words"),
    ],
)
def test_facts_of_another_form(folder: Path, change: dict[str, Any], told: str) -> None:
    change_meta(folder, lambda meta: meta["runs"][RUN].update(change))
    assert f"meta.json, run '{RUN}': {told}. Scan again." in refused(folder)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("depth", "2", "int64"),
        ("depth", True, "int64"),
        ("depth", 2**63, "int64"),
        ("act", 3, "str"),
        ("residual", 1, "bool"),
        ("dropout", [0.1], "float64"),
        ("dropout", "../x", "float64"),
    ],
)
def test_a_field_of_another_type(folder: Path, name: str, value: object, kind: str) -> None:
    change_meta(folder, lambda meta: meta["runs"][RUN]["spec"].update({name: value}))
    assert f"meta.json, run '{RUN}': {name} is no {kind}" in refused(folder)


def test_a_gain_may_be_a_word_and_a_field_may_be_open(folder: Path) -> None:
    change_meta(folder, lambda meta: meta["runs"][RUN]["spec"].update(gain="exact", classes=None))
    assert Recording.load(folder).meta["runs"][RUN]["spec"]["gain"] == "exact"


def test_rows_of_a_run_that_is_none(folder: Path) -> None:
    change_meta(folder, lambda meta: meta["runs"].update({"other": meta["runs"].pop(RUN)}))
    assert f"rows.csv knows a run '{RUN}', meta.json does not" in refused(folder)


def test_modules_of_a_run_that_is_none(folder: Path) -> None:
    set_cell(folder, "run", 1, "../x", "modules.csv")
    assert "modules.csv knows a run '../x', meta.json does not" in refused(folder)


def test_a_run_without_rows_is_one_that_failed(folder: Path) -> None:
    change_meta(folder, lambda meta: meta["runs"].update(failed={**meta["runs"][RUN], "error": "raised"}))
    assert Recording.load(folder).runs == (RUN, "failed")


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("step", "1.5", "column 'step' must hold whole numbers, got '1.5' in row 2"),
        ("step", "", "column 'step' must hold whole numbers, got '' in row 2"),
        ("units", "9" * 19, f"column 'units' must hold whole numbers, got '{'9' * 19}' in row 2"),
        ("units", "-3", "column 'units' holds a negative number"),
        ("mean", "0,1", "Expected 54 fields in line 3, saw 55"),
        ("mean", "1e", "column 'mean' must hold numbers, got '1e' in row 2"),
        ("mean", "=1+1", "column 'mean' must hold numbers, got '=1+1' in row 2"),
        ("residual", "0", "column 'residual' must hold True or False, got '0' in row 2"),
        ("residual", "", "column 'residual' must hold True or False, got '' in row 2"),
        ("rms", "1\0", "column 'rms' must hold numbers, got '1?' in row 2"),
    ],
)
def test_a_wrong_cell_is_told_by_its_place(folder: Path, column: str, text: str, told: str) -> None:
    set_cell(folder, column, 2, text)
    line = refused(folder)
    assert "rows.csv" in line
    assert told in line


def test_a_row_that_ends_early(folder: Path) -> None:
    change_rows(folder, lambda rows: rows[3].pop())
    assert "rows.csv: column 'seed' must hold whole numbers, got '' in row 3" in refused(folder)


def test_longer_rows_move_no_column_into_the_index(folder: Path) -> None:
    change_rows(folder, lambda rows: [row.append("1") for row in rows[1:]])
    assert "rows.csv: Length of header or names does not match" in refused(folder)


@pytest.mark.parametrize("name", ["rows.csv", "modules.csv"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "No columns to parse from file"),
        (b"run\n", " lacks "),
        (b"\xff\xfe", "codec can't decode byte 0xff"),
        (b'"', "EOF inside string"),
        (b"\0" * 99, " lacks "),
    ],
)
def test_tables_that_are_none(folder: Path, name: str, content: bytes, told: str) -> None:
    (folder / name).write_bytes(content)
    line = refused(folder)
    assert f"damaged recording in {folder}: {name}" in line
    assert told in line


def test_other_line_ends_are_told_as_such_and_a_byte_order_mark_is_none(folder: Path) -> None:
    text = (folder / "rows.csv").read_bytes()
    (folder / "rows.csv").write_bytes(b"\xef\xbb\xbf" + text)
    assert len(Recording.load(folder).rows) == text.count(b"\n") - 1
    (folder / "rows.csv").write_bytes(text.replace(b"\n", b"\r\n"))
    assert "rows.csv: its lines end as on Windows: another program, or git, has changed it" in refused(folder)


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("histograms/rows", np.array([0]), "do not fit together"),
        ("units/wide", np.zeros(3), "do not fit together"),
        ("units/seen", np.zeros(3, dtype=np.float32), "units/seen is no array of <f8"),
        ("units/narrow", np.zeros(3), "units/narrow is no array of <f4"),
        ("histograms/rows", np.arange(3, dtype=np.int32), "histograms/rows is no array of <i8"),
        ("histograms/rows", np.arange(3, dtype=">i8"), "histograms/rows is no array of <i8"),
        ("histograms/counts", np.zeros(3, dtype=np.float64), "histograms/counts is no array of <u4 or <i8"),
        ("histograms/bins", np.zeros((3, 3), dtype=np.uint16), "histograms/bins is no array of <u2"),
        ("linear/bins", np.zeros((), dtype=np.uint16), "linear/bins is no array of <u2"),
        ("extra", np.zeros(3), "holds other arrays than a recording's"),
    ],
)
def test_arrays_of_another_form(folder: Path, name: str, array: Any, told: str) -> None:
    change_array(folder, name, array)
    assert told in refused(folder)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "histograms/rows",
            lambda rows: rows + 1000,
            "rows.csv has 25 rows, fewer than histograms.npz knows",
        ),
        ("histograms/rows", lambda rows: rows - 1, "rows.csv has 25 rows, fewer than histograms.npz knows"),
        ("histograms/rows", lambda rows: rows[::-1], "do not fit together"),
        ("histograms/lengths", np.negative, "do not fit together"),
        ("histograms/bins", lambda bins: bins + np.uint16(4096), "a histogram of 4096 bins has a bin"),
        ("histograms/bins", np.zeros_like, "do not fit together"),
        ("linear/bins", lambda bins: bins + np.uint16(128), "a histogram of 128 bins has a bin"),
        ("histograms/counts", lambda counts: -counts.astype(np.int64), "do not fit together"),
        ("units/lengths", lambda lengths: lengths[::-1], "do not fit together|know other units"),
    ],
)
def test_numbers_that_no_recording_holds(
    folder: Path, name: str, change: Callable[[Any], Any], told: str
) -> None:
    with np.load(folder / "histograms.npz") as held:
        array = change(held[name])
    change_array(folder, name, array)
    line = refused(folder)
    assert any(words in line for words in told.split("|")), line


def test_units_that_rows_do_not_know(folder: Path) -> None:
    set_cell(folder, "units", 1, "5")
    assert "histograms.npz and rows.csv know other units" in refused(folder)


def test_code_in_an_array_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "was-run"),)

    content = io.BytesIO()
    np.save(content, np.array([Payload()], dtype=object), allow_pickle=True)
    add_member(folder, "units/seen.npy", content.getvalue())
    assert "units/seen is no array of <f8" in refused(folder)
    assert not (tmp_path / "was-run").exists()


def npy(shape: str, values: bytes) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header.encode() + values


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (npy("(1250000000,)", b""), "units/wide is too long"),
        (npy("(999999999999999,)", bytes(800)), "units/wide is too long"),
        (npy("(8000000,)", bytes(64_000_000)), "units/wide is too long"),
        (npy("(3,)", bytes(64_000_000)), "units/wide is too long"),
        (npy("(3,)", bytes(8)), "units/wide is too long"),
        (npy("(-3,)", bytes(24)), "units/wide is no array of <f8"),
        (npy("(" * 500, b""), "units/wide is no array of <f8"),
        (b"", "units/wide is no array of <f8"),
        (b"\x93NUMPY\x01\0\xff\xff" + bytes(70_000), "units/wide is no array of <f8"),
        (b"\x93NUMPY\x02\0" + bytes(200), "units/wide is no array of <f8"),
    ],
)
def test_what_an_array_claims_takes_no_memory(folder: Path, content: bytes, told: str) -> None:
    add_member(folder, "units/wide.npy", content)
    tracemalloc.start()
    try:
        assert told in refused(folder)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_every_cut_of_the_archive_is_refused(folder: Path) -> None:
    content = (folder / "histograms.npz").read_bytes()
    for kept in range(0, len(content), 97):
        (folder / "histograms.npz").write_bytes(content[:kept])
        assert f"damaged recording in {folder}: histograms.npz: " in refused(folder)


def test_what_is_no_file_is_told_and_does_not_wait(folder: Path) -> None:
    for name in ("meta.json", "rows.csv", "modules.csv", "histograms.npz"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert f"cannot read {folder / name}: it is a pipe, expected a file" in refused(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(name)
        assert "Too many levels of symbolic links" in refused(folder)
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    assert Recording.load(folder).runs == (RUN,)


def test_rows_that_stand_twice_and_sizes_near_the_largest_float_are_reported(folder: Path) -> None:
    def last_twice(rows: list[list[str]]) -> None:
        column = rows[0].index("rms")
        for row in rows[1:]:
            row[column] = "1.7e308"
        rows.append(rows[-1])

    change_rows(folder, last_twice)
    recording = Recording.load(folder)
    diagnosis = diagnose(recording)
    assert all(REPORTERS[kind](recording, diagnosis) for kind in ("html", "csv", "json"))
