"""Laws of the recording: what is saved is read back, whatever words and numbers are in it."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actdiag import schema
from actdiag.recording import UNIT_FIELDS, Recording, concatenate, frame
from laws.conftest import LAWS

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "NA",
        "nan",
        "None",
        "True",
        "1e5",
        "-0",
        '"',
        '""',
        "\r",
        "\n",
        "\r\n",
        ",",
        "\0",
        " ",
        "\ufeff",
        "#",
    ]
)
"""Any text that a file can hold; what a reader of tables may take for something else more often."""
COUNTS = st.integers(0, 2**63 - 1)
BITS = st.integers(-(2**63), 2**63 - 1)
FLOATS = BITS.map(lambda bits: float(struct.unpack("d", struct.pack("q", bits))[0]))
"""Every bit pattern; any NaN is as good as another."""
KINDS = {"str": WORDS, "int64": COUNTS, "float64": FLOATS, "bool": st.booleans()}
PLAIN = st.recursive(
    st.none() | st.booleans() | COUNTS | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
FACTS = st.dictionaries(WORDS, PLAIN, max_size=3)


def histograms(bins: int) -> st.SearchStrategy[np.ndarray]:
    few = st.dictionaries(st.integers(0, bins - 1), st.integers(1, 2**40), max_size=6)
    return few.map(lambda counts: np.bincount(list(counts), list(counts.values()), bins).astype(np.int64))


def unit_arrays() -> st.SearchStrategy[np.ndarray]:
    numbers = st.floats(width=32, allow_subnormal=False).map(float)
    moments = st.integers(1, 5).flatmap(lambda n: arrays(np.float64, (len(UNIT_FIELDS), n), elements=numbers))
    return moments.map(_with_counts)


def _with_counts(units: np.ndarray) -> np.ndarray:
    """Return unit arrays whose first row holds how many values each unit has."""
    units[0] = np.arange(units.shape[1])
    return units


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    """Draw a recording of legal types with anything in it."""
    runs = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    rows = draw(_records(schema.ROWS, runs))
    indices = st.integers(0, max(len(rows) - 1, 0))
    tables = [
        draw(st.dictionaries(indices, values, max_size=len(rows) and 3))
        for values in (histograms(4096), histograms(128), unit_arrays())
    ]
    for row, units in tables[2].items():
        rows[row]["units"] = units.shape[1]
    meta = {"schema": schema.VERSION, "runs": {run: draw(FACTS) for run in runs}, "more": draw(PLAIN)}
    return Recording(frame(rows, schema.ROWS), frame(draw(_records(schema.MODULES, runs)), schema.MODULES),
                     *tables, meta=meta)  # fmt: skip


def _records(columns: dict[str, str], runs: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    cells: dict[str, st.SearchStrategy[Any]] = {name: KINDS[kind] for name, kind in columns.items()}
    return st.lists(st.fixed_dictionaries({**cells, "run": st.sampled_from(runs)}), max_size=4)


@LAWS
@given(recording=recordings())
def test_what_is_saved_is_read_back(recording: Recording) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = Recording.load(recording.save(Path(folder) / "run"))
        first = {path.name: path.read_bytes() for path in (Path(folder) / "run").iterdir()}
        again = {path.name: path.read_bytes() for path in back.save(Path(folder) / "again").iterdir()}
    assert back.rows.equals(recording.rows)
    assert back.modules.equals(recording.modules)
    assert back.meta == recording.meta
    for mine, theirs in zip(back._tables(), recording._tables(), strict=True):
        assert mine.keys() == theirs.keys()
        for row, values in theirs.items():
            np.testing.assert_array_equal(mine[row], values)
    assert again == first


@LAWS
@given(parts=st.lists(recordings(), min_size=1, max_size=3))
def test_each_part_of_what_was_put_together_is_as_it_was(parts: list[Recording]) -> None:
    """Runs of equal names would be one run: they are numbered."""
    named = [_renamed(part, number) for number, part in enumerate(parts)]
    whole = concatenate(named)
    assert whole.runs == tuple(run for part in named for run in part.runs)
    for part in named:
        for run in part.runs:
            mine, theirs = whole.of(run), part.of(run)
            assert mine.rows.reset_index(drop=True).equals(theirs.rows.reset_index(drop=True))
            assert mine.modules.reset_index(drop=True).equals(theirs.modules.reset_index(drop=True))
            for one, other in zip(_in_order(mine), _in_order(theirs), strict=True):
                np.testing.assert_array_equal(one, other)


def _in_order(recording: Recording) -> list[np.ndarray]:
    """Return the histograms in the order of their rows."""
    return [recording.histograms[row] for row in sorted(recording.histograms)]


def _renamed(part: Recording, number: int) -> Recording:
    names = {run: f"{number}:{run}" for run in part.runs}
    runs = {names[run]: facts for run, facts in part.meta["runs"].items()}
    return Recording(
        part.rows.assign(run=part.rows["run"].map(names).astype("str")),
        part.modules.assign(run=part.modules["run"].map(names).astype("str")),
        *part._tables(),
        meta={**part.meta, "runs": runs},
    )
