"""Every case of the battery."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from models.case import Case
from models.cases_random import FAILING
from models.harness import check, check_unchanged
from models.not_observed import NOT_OBSERVED

MODULES = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
CASES: list[Case] = [case for name in MODULES for case in import_module(f"models.{name}").CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recording_is_the_truth_and_attaching_changes_nothing(case: Case) -> None:
    if case.skip:
        pytest.skip(case.skip)
    check(case)


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_attaching_changes_nothing_where_backward_fails(case: Case) -> None:
    check_unchanged(case)


def test_every_name_is_one_case() -> None:
    names = Counter(case.name for case in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    assert {name for name, _, _ in NOT_OBSERVED} <= names.keys()
