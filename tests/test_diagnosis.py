"""The diagnosis: every rule over every run."""

from __future__ import annotations

import pytest
from recordings import Layer, made_up

from actdiag.diagnosis import diagnose
from actdiag.errors import UsageError
from actdiag.recording import concatenate
from actdiag.rules import RULES
from actdiag.settings import Settings
from actdiag.types import Severity

HEALTHY = [Layer(), Layer(), Layer()]
VANISHING = [Layer(preactivation_grad=1e-6), Layer(preactivation_grad=1e-3), Layer()]
BOTH = [Layer(preactivation_grad=0.02), Layer(activation=0.3), Layer(activation=1e-4)]


def test_every_rule_has_one_outcome_in_every_run() -> None:
    recording = concatenate([made_up(HEALTHY, run="a"), made_up(VANISHING, run="b")])
    diagnosis = diagnose(recording)
    assert diagnosis.runs == ("a", "b")
    for run in ("a", "b"):
        part = diagnosis.of(run)
        codes = [x.code for x in (*part.findings, *part.passed, *part.skipped)]
        assert sorted(codes) == sorted(RULES)


def test_a_run_is_judged_by_its_own_rows() -> None:
    recording = concatenate([made_up(HEALTHY, run="a"), made_up(VANISHING, run="b")])
    assert [(f.run, f.code) for f in diagnose(recording).findings] == [("b", "AD101")]


def test_the_worst_comes_first_then_the_code() -> None:
    findings = diagnose(made_up([*BOTH[:2], Layer(activation=1e-4, saturated_fraction=0.9)])).findings
    assert [(f.code, f.severity.value) for f in findings] == [
        ("AD201", "error"),
        ("AD101", "warning"),
        ("AD204", "warning"),
    ]


def test_what_cannot_be_judged_says_why() -> None:
    skipped = {x.code: x.reason for x in diagnose(made_up(HEALTHY, act="gelu")).skipped}
    assert skipped["AD204"] == "the activation does not saturate"


def test_selected_rules_alone() -> None:
    diagnosis = diagnose(made_up(VANISHING), Settings.parse(["AD2"], ["AD204"]))
    codes = {x.code for x in (*diagnosis.findings, *diagnosis.passed, *diagnosis.skipped)}
    assert codes == {"AD201", "AD202", "AD203", "AD206"}


def test_thresholds_reach_the_rule() -> None:
    settings = Settings.parse(assignments=["AD101.error=1e-9"])
    assert diagnose(made_up(VANISHING), settings).worst is Severity.WARNING


def test_a_calibrated_error_is_a_warning_in_a_model_of_the_users_own() -> None:
    (finding,) = diagnose(made_up(VANISHING, own=False)).findings
    assert (finding.code, finding.severity) == ("AD101", Severity.WARNING)
    assert finding.message.endswith(
        "(No error: the thresholds are made for the networks of actdiag scan, and this model may differ.)"
    )
    (own,) = diagnose(made_up(VANISHING)).findings
    assert own.severity is Severity.ERROR
    assert "Not called" not in own.message


def test_a_warning_needs_no_cap() -> None:
    (finding,) = diagnose(made_up([Layer(preactivation_grad=0.05), Layer()], own=False)).findings
    assert "Not called" not in finding.message


def test_nan_stays_an_error_in_any_model() -> None:
    recording = made_up([Layer(), Layer(broken={"activation": (1, 0)})], own=False)
    findings = diagnose(recording).findings
    assert [(f.code, f.severity) for f in findings] == [("AD901", Severity.ERROR)]


def test_evidence_is_plain() -> None:
    for finding in diagnose(made_up(BOTH)).findings:
        assert set(finding.evidence) >= {"measured", "expected", "threshold", "threshold_source"}
        assert all(type(value) in (int, float, str) for value in finding.evidence.values())


def test_no_rule_left_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no rule is left to judge by: ignore holds all of AD101"):
        diagnose(made_up(HEALTHY), Settings.parse(["AD101"], ["AD1"]))
