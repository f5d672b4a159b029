"""The diagnosis: every selected rule over every run of a recording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from actdiag.recording import Recording
from actdiag.rules import Rule
from actdiag.rules.base import NotJudged, Run
from actdiag.settings import Settings
from actdiag.types import Diagnosis, Finding, Outcome, Severity

CAPPED = " (No error: the thresholds are made for the networks of actdiag scan, and this model may differ.)"


def diagnose(recording: Recording, settings: Settings | None = None) -> Diagnosis:
    """Judge every run by every selected rule.

    Returns:
        The findings, worst first and then by code; the rules that found nothing; and those that could not
        judge, with the reason.

    Raises:
        UsageError: the settings leave no rule.
    """
    rules = (settings or Settings()).rules()
    findings: list[Finding] = []
    passed: list[Outcome] = []
    skipped: list[Outcome] = []
    for name in recording.runs:
        run = Run(name, recording.of(name))
        for rule in rules:
            try:
                found = [_cap(rule, run, finding) for finding in rule.judge(run)]
            except NotJudged as reason:
                skipped.append(Outcome(rule.code, rule.name, name, str(reason)))
                continue
            findings += found
            if not found:
                passed.append(Outcome(rule.code, rule.name, name))
    return Diagnosis(recording.runs, tuple(_worst_first(findings)), tuple(passed), tuple(skipped))


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (-finding.severity.rank, finding.code))


def _cap(rule: Rule, run: Run, finding: Finding) -> Finding:
    """Lower an error to a warning on a model of the user's own, for which no threshold was calibrated."""
    if finding.severity is not Severity.ERROR or run.spec is not None or not rule.calibrated:
        return finding
    return replace(finding, severity=Severity.WARNING, message=finding.message + CAPPED)
