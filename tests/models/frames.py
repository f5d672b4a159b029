"""Two recordings beside each other, and what one should be by the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from actdiag.recording import Recording
from models.figures import UNREAD

WEIGHTS = ("weight", "weight_grad")
ACTIVATIONS = ("activation", "activation_grad")


def assert_same(one: Recording, other: Recording) -> None:
    """Check that two recordings are the same in every bit and every word.

    Raises:
        AssertionError: they are not.
    """
    pd.testing.assert_frame_equal(one.rows, other.rows, check_exact=True)
    pd.testing.assert_frame_equal(one.modules, other.modules, check_exact=True)
    assert one.meta == other.meta
    for name in ("histograms", "linear", "units"):
        tables: tuple[dict[int, Any], dict[int, Any]] = getattr(one, name), getattr(other, name)
        assert list(tables[0]) == list(tables[1]), name
        for row, array in tables[0].items():
            np.testing.assert_array_equal(array, tables[1][row], f"{name} of row {row}")


def without_theory(recording: Recording) -> Recording:
    """Return the recording without predictions: what was captured alone."""
    runs = {
        run: {name: fact for name, fact in facts.items() if name != "theory"}
        for run, facts in recording.meta["runs"].items()
    }
    rows = recording.rows[recording.rows["source"] == "measured"]
    return replace(recording, rows=rows, meta={**recording.meta, "runs": runs})


def sizes_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of weights and their gradients, as they are where only their sizes were read."""
    found = rows[rows["tensor"].isin(WEIGHTS)].copy()
    found[list(UNREAD)] = float("nan")
    return found


def activations_alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as they are where only activations are recorded, and the sizes of weights."""
    return in_order([rows[rows["tensor"].isin(ACTIVATIONS)], sizes_alone(rows)])


def in_order(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the parts of a recording's rows put together again, numbered anew."""
    return pd.concat(parts).sort_index().reset_index(drop=True)
