"""Only activations recorded: all that is known of them otherwise, of weights the size, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actdiag.capture.book import OTHER_TENSORS, VIEW
from actdiag.recording import Recording
from models.case import Case
from models.cases_leaves import ASIDE
from models.cases_random import FAILING
from models.frames import ACTIVATIONS, WEIGHTS, activations_alone
from models.harness import check_unchanged, compared
from models.runs import run_attached
from models.test_battery import CASES

TOO_LONG = "two thousand modules"
CHOSEN = [case for case in (*CASES, *ASIDE) if not case.skip and case.name != TOO_LONG]


def with_activations_alone(case: Case) -> Case:
    return replace(case, options=lambda model: {**case.options(model), "tensors": "activations"})


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_what_is_recorded_is_a_part_of_the_whole_and_nothing_changes(case: Case) -> None:
    _, _, recording, problems = compared(with_activations_alone(case))
    assert not problems, "\n".join(problems)
    _, whole = run_attached(case)
    expected = activations_alone(whole.rows)
    pd.testing.assert_frame_equal(recording.rows, expected, rtol=1e-9, atol=0.0)
    assert_same_modules(recording.modules, whole.modules)
    assert recording.meta == whole.meta
    assert_same_arrays(recording, whole)


def assert_same_modules(found: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Check that the modules table is the same but for the reason of what is not recorded."""
    columns = [name for name in whole.columns if name != "reason"]
    pd.testing.assert_frame_equal(found[columns], whole[columns])
    for said, before, kind in zip(found["reason"], whole["reason"], whole["kind"], strict=True):
        parts, wanted = (text.split("; ") if text else [] for text in (said, before))
        if kind != "activation":
            parts = [part for part in parts if part != OTHER_TENSORS]
        # no gradient is waited for, and none lost, where a preactivation is not recorded
        lost = {part for part in wanted if part.endswith(VIEW)} - set(parts)
        assert [part for part in wanted if part not in lost] == parts


def assert_same_arrays(recording: Recording, whole: Recording) -> None:
    """Check that each activation has its histograms and units where the whole has them, and it alone."""
    places = whole.rows.index[whole.rows["tensor"].isin((*ACTIVATIONS, *WEIGHTS))]
    for name in ("histograms", "linear", "units"):
        found: dict[int, Any] = getattr(recording, name)
        assert recording.rows.loc[list(found), "tensor"].isin(ACTIVATIONS).all()
        tables = {new: getattr(whole, name).get(old) for new, old in enumerate(places)}
        kept = recording.rows["tensor"].isin(ACTIVATIONS)
        assert found.keys() == {row for row, array in tables.items() if array is not None and kept[row]}
        for row, array in found.items():
            np.testing.assert_array_equal(array, tables[row], f"{name} of row {row}")


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_nothing_changes_where_backward_fails(case: Case) -> None:
    check_unchanged(with_activations_alone(case))
