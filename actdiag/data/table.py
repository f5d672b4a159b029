"""A CSV file: numeric feature columns and one target column of class labels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from actdiag.data.batch import Batch, draw_batch
from actdiag.errors import ActdiagError, UsageError, unknown_name
from actdiag.reading import check_file, expand, reason
from actdiag.types import RunSpec

_MOST_CLASSES = 1000
_MOST_NAMES = 20
_LARGEST = float(np.finfo(np.float32).max)
_SEPARATORS = {"semicolons": ";", "tabs": "\t", "bars": "|"}


def load(spec: RunSpec, parameter: str) -> Batch:
    """Draw a batch of the table `FILE:TARGET`, inputs `(batch, columns - 1)`.

    The text after the last colon is the target. Its labels are numbered in sorted order.

    Raises:
        UsageError: no such target column, or one that holds measurements instead of class labels.
        ActdiagError: a missing, broken or empty file, or a feature that is not a finite number.
    """
    file, _, target = parameter.rpartition(":")
    path = expand(file)
    frame = _read(path)
    columns = list(frame.columns)
    if target not in columns:
        raise unknown_name(f"target column in {path}:", target, _some(target, columns))
    features = [name for name in columns if name != target]
    _check_shape(path, frame, features)
    targets = number_labels(path, frame[target])
    inputs = np.column_stack([_numbers(path, frame[name]) for name in features])
    return draw_batch(spec, torch.from_numpy(inputs), torch.from_numpy(targets))


def number_labels(path: Path, column: pd.Series) -> npt.NDArray[np.int64]:
    """Return the class number of each label, 0 for the first in sorted order, `(rows,)`.

    Raises:
        UsageError: more than 1000 labels, or fractions that never repeat.
        ActdiagError: a row without a label.

    >>> number_labels(Path("flowers.csv"), pd.Series(["rose", "aster", "rose"])).tolist()
    [1, 0, 1]
    """
    empty = (column.isna() | (column.astype(str) == "")).to_numpy()
    if empty.any():
        raise ActdiagError(f"{path}: target '{column.name}' has no label in row {empty.argmax() + 1}")
    distinct = column.nunique()
    never_repeats = pd.api.types.is_float_dtype(column) and distinct == len(column)
    if distinct > _MOST_CLASSES or never_repeats:
        raise UsageError(
            f"{path}: target '{column.name}' must hold class labels (at most {_MOST_CLASSES}), it holds "
            f"{distinct} different values in {len(column)} rows: name another column"
        )
    return pd.factorize(column, sort=True)[0].astype(np.int64)


def _read(path: Path) -> pd.DataFrame:
    try:
        check_file(path)
    except ActdiagError as error:
        raise ActdiagError(f"{error}: write csv:FILE:TARGET") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            header = pd.read_csv(path, header=None, nrows=1, dtype="str", keep_default_na=False)
            _check_names(path, header.iloc[0].tolist())
            # A label may be called "NA" or "None", so no word stands for a missing value; without
            # index_col=False, rows longer than the header silently lose their first column to the index.
            return pd.read_csv(path, keep_default_na=False, low_memory=False, index_col=False)
    except ActdiagError:
        raise
    except pd.errors.ParserWarning as error:
        raise ActdiagError(f"{path}: rows have more cells than the header has names") from error
    except pd.errors.EmptyDataError as error:
        raise ActdiagError(f"{path} is empty: a header and rows are expected") from error
    except UnicodeDecodeError as error:
        raise ActdiagError(f"cannot read {path} as CSV: {reason(error)}: save it as UTF-8") from error
    except Exception as error:  # pandas and its decompressors raise many unrelated kinds
        raise ActdiagError(f"cannot read {path} as CSV: {reason(error)}") from error


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse what is no header, and names that stand twice: one could be the target, the other its copy.

    Names of no letters are left to pandas, which writes one itself where it saves a table's index.
    """
    for what, mark in _SEPARATORS.items():
        if len(names) == 1 and mark in names[0]:
            raise UsageError(
                f"{path}: cells must be separated by commas, the header has {what}: '{names[0]}'"
            )
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    if twice:
        numbers = np.isfinite([_as_float(name) for name in names]).all()
        remedy = "write a header above the numbers" if numbers else "rename or drop one of them"
        raise ActdiagError(f"{path}: two columns are called '{twice[0]}': {remedy}")


def _check_shape(path: Path, frame: pd.DataFrame, features: Sequence[str]) -> None:
    if not len(frame):
        raise ActdiagError(f"{path} holds a header and no rows")
    if not features:
        raise ActdiagError(f"{path} holds no feature columns beside the target")


def _numbers(path: Path, column: pd.Series) -> npt.NDArray[np.float64]:
    numbers = _as_floats(column)
    wrong = ~(np.abs(numbers) <= _LARGEST)
    if wrong.any():
        row = int(wrong.argmax())
        value = column.iloc[row]
        shown = "an empty cell" if pd.isna(value) or value == "" else f"'{value}'"
        raise ActdiagError(
            f"{path}: feature column '{column.name}' must hold finite numbers that float32 holds, "
            f"got {shown} in row {row + 1}: encode, fill, rescale or drop it"
        )
    return numbers


def _as_floats(column: pd.Series) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    except OverflowError:  # pandas on a whole number beyond float64
        return np.array([_as_float(str(cell)) for cell in column])


def _as_float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _some(target: str, columns: Sequence[str]) -> list[str]:
    if len(columns) <= _MOST_NAMES:
        return list(columns)
    near = get_close_matches(target, columns, n=1)
    rest = [name for name in columns[:_MOST_NAMES] if name not in near]
    return [*near, *rest, f"... ({len(columns)} columns)"]
