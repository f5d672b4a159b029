"""Third-party models that train never get an error, whatever the seed."""

from __future__ import annotations

import pytest

from actdiag import attach, diagnose
from actdiag.types import Severity
from zoo import language, perception
from zoo.cases import Case, need
from zoo.truth import seeded

SEEDS = 20
CONTROLS = [case for case in (*language.CASES, *perception.CASES) if case.name in ("BERT", "ResNet")]


def test_there_are_two() -> None:
    assert len(CONTROLS) == 2


@pytest.mark.parametrize("case", CONTROLS, ids=lambda case: case.name)
def test_a_model_that_trains_gets_no_error(case: Case) -> None:
    need(case.package)
    for seed in range(SEEDS):
        model = seeded(case.build, 500 + seed)
        with attach(model) as recorder:
            case.step(model)
            recorder.step()
        diagnosis = diagnose(recorder.recording())
        assert diagnosis.worst is not Severity.ERROR, (seed, str(diagnosis))
