"""Judge a made-up recording by one rule."""

from __future__ import annotations

from typing import Any

from recordings import Layer, made_up

from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.settings import Settings
from actdiag.types import Diagnosis, Finding


def judged(code: str, recording: Recording, *assignments: str) -> Diagnosis:
    return diagnose(recording, Settings.parse([code], [], assignments))


def found(code: str, recording: Recording) -> Finding:
    (finding,) = judged(code, recording).findings
    return finding


def silent(code: str, recording: Recording) -> None:
    diagnosis = judged(code, recording)
    assert [outcome.code for outcome in diagnosis.passed] == [code], (diagnosis.findings, diagnosis.skipped)


def reason(code: str, recording: Recording) -> str:
    (outcome,) = judged(code, recording).skipped
    return outcome.reason


def backward(*gradients: float, **rest: Any) -> Recording:
    return made_up([Layer(preactivation_grad=value) for value in gradients], **rest)


def forward(*signals: float, **rest: Any) -> Recording:
    return made_up([Layer(activation=value) for value in signals], **rest)
