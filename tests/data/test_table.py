"""CSV files: expected values are worked out by hand in each test."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from actdiag.data import load_batch
from actdiag.errors import ActdiagError, UsageError
from actdiag.types import RunSpec


def spec_of(folder: Path, text: str, target: str = "kind", **fields: object) -> RunSpec:
    path = folder / "table.csv"
    path.write_text(text)
    return RunSpec(data=f"csv:{path}:{target}", **fields)  # type: ignore[arg-type]


def test_labels_are_numbered_in_sorted_order(tmp_path: Path) -> None:
    text = "a,kind,b\n1,rose,10\n2,aster,20\n3,rose,30\n4,iris,40\n"
    batch = load_batch(spec_of(tmp_path, text, batch=4, standardise=False))
    drawn = sorted(zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True))
    assert drawn == [([1, 10], 2), ([2, 20], 0), ([3, 30], 2), ([4, 40], 1)]
    assert batch.classes == 3


def test_numeric_labels_sort_as_numbers(tmp_path: Path) -> None:
    batch = load_batch(spec_of(tmp_path, "a,kind\n1,10\n2,9\n3,10\n4,100\n", batch=4, standardise=False))
    drawn = sorted(zip(batch.inputs[:, 0].tolist(), batch.targets.tolist(), strict=True))
    assert drawn == [(1, 1), (2, 0), (3, 1), (4, 2)]


def test_labels_called_na_are_labels(tmp_path: Path) -> None:
    batch = load_batch(spec_of(tmp_path, "a,kind\n1,NA\n2,None\n3,nan\n", batch=3))
    assert sorted(batch.targets.tolist()) == [0, 1, 2]


def test_columns_are_standardised_and_constant_ones_are_zero(tmp_path: Path) -> None:
    batch = load_batch(spec_of(tmp_path, "a,b,kind\n1,0.1,x\n3,0.1,y\n", batch=2))
    assert sorted(batch.inputs.tolist()) == [[-1, 0], [1, 0]]


def test_true_and_false_are_numbers(tmp_path: Path) -> None:
    batch = load_batch(spec_of(tmp_path, "a,kind\nTrue,x\nFalse,y\n", batch=2, standardise=False))
    assert sorted(batch.inputs[:, 0].tolist()) == [0, 1]


def test_a_comma_at_the_end_of_each_row_is_no_column(tmp_path: Path) -> None:
    batch = load_batch(spec_of(tmp_path, "a,kind\n1,x,\n2,y,\n", batch=2, standardise=False))
    assert sorted(batch.inputs.tolist()) == [[1], [2]]


def test_path_with_a_colon_and_compression(tmp_path: Path) -> None:
    path = tmp_path / "a:b.csv.gz"
    path.write_bytes(gzip.compress(b"a,kind\n1,x\n2,y\n"))
    assert load_batch(RunSpec(data=f"csv:{path}:kind", batch=2)).inputs.shape == (2, 1)


def test_batch_beyond_the_rows_says_so(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "a,kind\n1,x\n2,y\n", batch=3)
    assert load_batch(spec).note == f"{spec.data} has 2 samples: batch is 2, not 3"


WIDE = ",".join(f"pixel{number}" for number in range(100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,kimd\n1,x\n",
            r"unknown target column in .*table\.csv: 'kind': did you mean 'kimd'\? Known: a, kimd\.",
        ),
        (
            f"{WIDE},kinds\n",
            r"did you mean 'kinds'\? Known: kinds, pixel0, .*, pixel19, \.\.\. \(101 columns\)\.",
        ),
        (
            "a,b,kind\n1,2,x\n1,red,y\n",
            r"feature column 'b' must hold finite numbers that float32 holds, got 'red' in row 2",
        ),
        (
            "a,b,kind\n1,2,x\n1,,y\n",
            r"feature column 'b' must hold finite numbers that float32 holds, got an empty cell in row 2",
        ),
        (
            "a,b,kind\n1,2,x\n1,NA,y\n",
            r"feature column 'b' must hold finite numbers that float32 holds, got 'NA' in row 2",
        ),
        (
            "a,b,kind\n1,2,x\ninf,3,y\n",
            r"feature column 'a' must hold finite numbers that float32 holds, got 'inf' in row 2",
        ),
        ("a,kind\n1,x\n2,\n", r"target 'kind' has no label in row 2"),
        (
            "kind,a\nx,1\ny\n",
            r"feature column 'a' must hold finite numbers that float32 holds, got an empty cell in row 2",
        ),
        ("a,kind\n1,0.5\n2,1.5\n", r"target 'kind' must hold class labels .* 2 different values in 2 rows"),
        ("a,kind\n" + "".join(f"1,{row}\n" for row in range(1001)), r"1001 different values in 1001 rows"),
        ("", r"table\.csv is empty: a header and rows are expected"),
        ("a,kind\n", r"holds a header and no rows"),
        ("kind\nx\ny\n", r"holds no feature columns beside the target"),
        ("a,kind\n1,2,x\n3,4,y\n", r"rows have more cells than the header has names"),
        ("a,kind\n0,2,x\n1,4,y\n", r"rows have more cells than the header has names"),
        ("a,kind\n1,x\n1,x,3,4\n", r"cannot read .*table\.csv as CSV: .*Expected 2 fields in line 3, saw 4"),
        ("a,kind\n2,y\n1e39,x\n", r"feature column 'a' .* that float32 holds, got '1e\+39' in row 2"),
        ("a,kind\n2,y\n-1e400,x\n", r"feature column 'a' .* that float32 holds, got '-inf' in row 2"),
        ("a;kind\n1;x\n", r"cells must be separated by commas, the header has semicolons: 'a;kind'"),
        ("a;kind\n1,5;x\n", r"cells must be separated by commas, the header has semicolons"),
        ("a\tkind\n1\tx\n", r"the header has tabs: 'a kind'"),
        ("a,b,a,kind\n1,2,3,x\n", r"two columns are called 'a': rename or drop one of them"),
        ("a,kind,kind\n1,x,x\n", r"two columns are called 'kind'"),
        ("0,0,1\n1,2,3\n", r"two columns are called '0': write a header above the numbers"),
        ("\x1b[31m,kind\nred,x\n", r"feature column '\?\[31m' must hold"),
    ],
)
def test_wrong_tables_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ActdiagError, match=message) as caught:
        load_batch(spec_of(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_thousand_classes_and_repeated_fractions_pass(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row}\n" for row in range(1000))
    assert load_batch(spec_of(tmp_path, f"a,kind\n{rows}")).classes == 1000
    assert load_batch(spec_of(tmp_path, "a,kind\n1,0.5\n2,1.5\n3,0.5\n")).classes == 2


def test_missing_or_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ActdiagError, match=r"none\.csv: No such file .*: write csv:FILE:TARGET"):
        load_batch(RunSpec(data=f"csv:{tmp_path / 'none.csv'}:kind"))
    with pytest.raises(ActdiagError, match=r"it is a folder, expected a file: write csv:FILE:TARGET"):
        load_batch(RunSpec(data=f"csv:{tmp_path}:kind"))
    (tmp_path / "binary.csv").write_bytes(b"a,kind\n\xff\xfe,x\n")
    with pytest.raises(ActdiagError, match=r"cannot read .*binary\.csv as CSV: .*utf-8.*: save it as UTF-8$"):
        load_batch(RunSpec(data=f"csv:{tmp_path / 'binary.csv'}:kind"))


@pytest.mark.parametrize("name", ["n" * 300, "~nobody-of-that-name/a.csv", "a\0b"])
def test_a_name_that_no_file_can_have_is_one_line(name: str) -> None:
    with pytest.raises(ActdiagError, match=r"cannot read .*: write csv:FILE:TARGET"):
        load_batch(RunSpec(data=f"csv:{name}:kind"))


@pytest.mark.parametrize("digits", [300, 400])
@pytest.mark.parametrize("first", ["1,x\n", ""])
def test_a_whole_number_beyond_every_float_is_told_by_its_place(
    tmp_path: Path, digits: int, first: str
) -> None:
    text = f"a,kind\n{first}-{'9' * digits},y\n"
    with pytest.raises(
        ActdiagError, match=rf"feature column 'a' .* got '-99+.*' in row {len(first[:1]) + 1}: "
    ):
        load_batch(spec_of(tmp_path, text))


def test_names_that_pandas_writes_itself_are_kept_apart(tmp_path: Path) -> None:
    text = ",a,a.1,,kind\n1,2,3,4,x\n5,7,9,2,y\n"
    batch = load_batch(spec_of(tmp_path, text, batch=2, standardise=False))
    assert sorted(batch.inputs.tolist()) == [[1, 2, 3, 4], [5, 7, 9, 2]]


def test_features_and_too_few_classes_are_refused(tmp_path: Path) -> None:
    text = "a,kind\n1,x\n2,y\n"
    with pytest.raises(UsageError, match="features come from the data"):
        load_batch(spec_of(tmp_path, text, features=1))
    with pytest.raises(UsageError, match="holds classes 0 to 1, got classes 1: give at least 2"):
        load_batch(spec_of(tmp_path, text, classes=1))
