"""Tables of a few rows against pandas: what is selected, in which order, and that nothing is copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actdiag.tables import Columns, Table, stacked

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from(["weight", "input", ""])), max_size=12
)


def frame(rows: list[tuple[int, int, str]]) -> pd.DataFrame:
    """Return a frame whose indices are not its places, as those of a part of a recording."""
    columns = pd.DataFrame(rows, columns=["layer", "call", "tensor"])
    return columns.astype({"layer": "int64", "call": "int64", "tensor": "str"}).set_index(
        pd.Index(np.arange(len(rows), dtype=np.int64) * 3 + 5)
    )


def same(table: Table, expected: pd.DataFrame) -> None:
    """Compare rows, order and indices."""
    pd.testing.assert_frame_equal(table.to_frame(), expected)
    assert table.indices == expected.index.tolist()
    assert len(table) == len(expected)
    for name in expected:
        assert table[str(name)].tolist() == expected[name].tolist()


@given(ROWS)
def test_what_is_selected_is_what_pandas_selects(rows: list[tuple[int, int, str]]) -> None:
    whole = frame(rows)
    table = Table.of(whole)
    same(table, whole)
    same(table[table["layer"] > 1], whole[whole["layer"] > 1])
    same(table[table["tensor"] == "weight"], whole[whole["tensor"] == "weight"])
    same(table[1:-1], whole.iloc[1:-1])
    same(table[list(range(0, len(rows), 2))], whole.iloc[::2])
    same(table[table.among("tensor", ("", "input"))], whole[whole["tensor"].isin(["", "input"])])
    same(table[table["layer"] > 0][~(table["layer"] == 1)[table["layer"] > 0]], whole[whole["layer"] > 1])


@given(ROWS)
def test_the_order_is_pandas_order(rows: list[tuple[int, int, str]]) -> None:
    whole = frame(rows)
    table = Table.of(whole)
    ordered = whole.sort_values(["layer", "call"], kind="stable")
    same(table.sorted_by("layer", "call"), ordered)
    same(table.sorted_by("layer"), whole.sort_values("layer", kind="stable"))
    same(table.sorted_by("layer", "call").in_order(), whole)
    for name in ("layer", "tensor"):
        same(table.first_of_each(name), whole.drop_duplicates(name))
        same(table.last_of_each(name), whole.drop_duplicates(name, keep="last"))
        same(
            table.sorted_by("call").last_of_each(name),
            whole.sort_values("call", kind="stable").drop_duplicates(name, keep="last"),
        )


@given(ROWS)
def test_splitting_gives_each_value_its_rows(rows: list[tuple[int, int, str]]) -> None:
    """Rows of one value need not stand together."""
    whole = frame(rows)
    parts = Table.of(whole).split("tensor")
    assert list(parts) == list(dict.fromkeys(whole["tensor"]))
    for value, part in parts.items():
        same(part, whole[whole["tensor"] == value])


def test_splitting_looks_at_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values there are: the column is read once, and each part shares the columns."""
    whole = frame([(value, 0, "") for value in range(100)] * 2)
    read: list[str] = []
    original = Columns.__getitem__
    monkeypatch.setattr(
        Columns, "__getitem__", lambda self, name: (read.append(name), original(self, name))[1], raising=False
    )
    table = Table.of(whole)
    parts = table.split("layer")
    assert read == ["layer"]
    assert len(parts) == 100
    assert all(part.columns is table.columns for part in parts.values())
    assert sorted(place for part in parts.values() for place in part.places) == list(range(200))


def test_a_column_is_taken_out_of_the_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    original = pd.DataFrame.__getitem__
    monkeypatch.setattr(
        pd.DataFrame, "__getitem__", lambda self, name: (taken.append(name), original(self, name))[1]
    )
    table = Table.of(frame([(1, 0, "weight"), (2, 0, "input")]))
    for _ in range(3):
        assert table[table["layer"] > 1]["tensor"].tolist() == ["input"]
    assert taken == ["layer", "tensor"]


def test_tables_one_after_the_other() -> None:
    whole = frame([(3, 0, "weight"), (1, 0, "input"), (2, 0, "weight")])
    table = Table.of(whole)
    same(stacked([table[table["layer"] > 1], table[:0], table[:2]]), whole.iloc[[0, 2, 0, 1]])


def test_a_row_is_what_stands_at_its_place() -> None:
    table = Table.of(frame([(3, 0, "weight"), (1, 7, "input")])).sorted_by("layer")
    assert [(row["layer"], row["tensor"], row.index) for row in table] == [(1, "input", 8), (3, "weight", 5)]
    assert (table.row(0)["call"], table.row(-1)["call"]) == (7, 0)
    assert isinstance(table.row(0)["layer"], np.int64)


def test_text_is_objects_whatever_pandas_keeps_it_in() -> None:
    table = Table.of(frame([(1, 0, "weight")]))
    assert table["tensor"].dtype == object
    assert type(table["tensor"][0]) is str
    assert not Table.of(frame([]))


def test_columns_side_by_side_are_pythons_own_values() -> None:
    table = Table.of(frame([(3, 0, "weight"), (1, 7, "input"), (1, 8, "input")])).sorted_by("layer")
    assert list(table.each("layer", "tensor", "call")) == [(1, "input", 7), (1, "input", 8), (3, "weight", 0)]
    assert {type(value) for row in table.each("layer", "tensor") for value in row} == {int, str}
    assert table.pairs("tensor", "call") == {"input": 8, "weight": 0}
