"""The diagnosis: every selected rule over every run of a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import numpy as np

from actdiag.errors import UsageError
from actdiag.recording import Recording, check_recording
from actdiag.rules import Rule
from actdiag.rules.base import NotJudged, Run
from actdiag.rules.remedies import LATER_REMEDY
from actdiag.settings import Settings
from actdiag.types import Diagnosis, Finding, Outcome, Severity

CAPPED = " (No error: the thresholds are made for the networks of actdiag scan, and this model may differ.)"
LATER = " (Worth knowing only: the threshold is made for networks that training has not changed yet.)"
CAUSES = {"AD501": ("AD",), "AD203": ("AD103",)}
"""Rules told before what they bring about, however severe that is -> the beginnings of its codes.

An unscaled input (AD501) alone can make gradients shrink, units saturate and samples look alike: what else
is found may be gone once it is scaled, so its remedy is the one to follow first. A layer of dead units
(AD203) passes no gradient down.
"""
MOST_STEPS = 50
"""Steps judged after the first; of more, as many as this, evenly spread, the last among them."""


@np.errstate(all="ignore")  # 0 / 0 is NaN, which every rule knows of
def diagnose(recording: Recording, settings: Settings | None = None) -> Diagnosis:
    """Judge every run by every selected rule.

    The first step is judged, then those later ones of which the recording keeps histograms: the last, and
    those with something new (with `keep="all"` 50 of them, evenly spread). A later step adds what was not
    found before, or only less severely; the message says which step it was. Thresholds are made for networks
    at their start: at a later step what rests on one is info; NaN, zero gradients and the like stay errors.

    A run that failed, whose facts hold an `error`, is not judged.

    Returns:
        The findings in the order of `in_order`: causes before what they bring about, else the worst first;
        the rules that found nothing; and those that could not judge, with the reason.

    Raises:
        UsageError: no recording, or the settings are none or leave no rule.
    """
    check_recording(recording)
    if settings is not None and not isinstance(settings, Settings):
        raise UsageError(
            f"settings are an actdiag.settings.Settings, got {settings!r}: write "
            "Settings.parse(['AD101']) for this rule alone"
        )
    rules = (settings or Settings()).rules()
    findings: list[Finding] = []
    passed: list[Outcome] = []
    skipped: list[Outcome] = []
    for run in Run.all_of(recording):
        if error := run.facts.get("error"):
            skipped += [Outcome(rule.code, rule.name, run.name, f"the run failed: {error}") for rule in rules]
            continue
        steps = list(_views(run))
        for rule in rules:
            found, reason = _judge(rule, steps[:1] if rule.once else steps)
            findings += found
            if reason:
                skipped.append(Outcome(rule.code, rule.name, run.name, reason))
            elif not found:
                passed.append(Outcome(rule.code, rule.name, run.name))
    runs = {run: recording.meta["runs"][run] for run in recording.runs}.items()
    notes = tuple((run, str(note)) for run, facts in runs for note in facts.get("notes", ()))
    return Diagnosis(recording.runs, tuple(in_order(findings)), tuple(passed), tuple(skipped), notes)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order in which they are told: follow the first one's remedy first.

    The worst come first, among equals the causes in `CAUSES` and then by code; what was not seen (AD0xx) is
    told after what was. A cause that is more than information stands as high as the worst of what it brings
    about in its run: a warning of AD501 goes before an error of AD101.
    """
    found = [*findings]
    ranks: dict[str, dict[str, int]] = {}
    for each in found:
        own = ranks.setdefault(each.run, {})
        own[each.code] = max(each.severity.rank, own.get(each.code, 0))
    return sorted(found, key=lambda each: _place(each, ranks[each.run]))


def _place(finding: Finding, ranks: Mapping[str, int]) -> tuple[int, bool, int, str]:
    """Return what a finding is sorted by, beside the worst severities of its run by code."""
    code, rank, place = finding.code, finding.severity.rank, len(CAUSES)
    if code in CAUSES and finding.severity is not Severity.INFO:
        rank = max([rank, *(other for name, other in ranks.items() if name.startswith(CAUSES[code]))])
        place = [*CAUSES].index(code)
    return -rank, code.startswith("AD0"), place, code


def check_diagnosis(recording: Recording, diagnosis: object) -> None:
    """Raise where something else than this recording's diagnosis was given.

    Raises:
        UsageError: with what makes one.
    """
    if not isinstance(diagnosis, Diagnosis):
        raise UsageError(
            f"expected an actdiag.Diagnosis, got {type(diagnosis).__name__}: make one with "
            "actdiag.diagnose(recording)"
        )
    if strange := {*diagnosis.runs} ^ {*recording.runs}:
        raise UsageError(
            f"the diagnosis is of other runs than the recording, as '{min(strange)}': make one with "
            "actdiag.diagnose(recording)"
        )


@np.errstate(all="ignore")
def codes_found(recording: Recording) -> frozenset[str]:
    """Return the codes of the rules that find an error or a warning at a recording's first step.

    A recorder asks it, step by step, whether there is something new.
    """
    rules, found = [rule for rule in Settings().rules() if not rule.of_modules], set()
    for run in Run.all_of(recording):
        for rule in rules:
            with suppress(NotJudged):
                found |= {each.code for each in rule.judge(run) if each.severity is not Severity.INFO}
    return frozenset(found)


def _views(run: Run) -> Iterator[Run]:
    """Yield the run at its first step, and at the later ones that are judged as well."""
    yield run
    steps, kept = run.rows["step"], run.recording.histograms
    others = run.rows[steps > min(steps, default=0)]
    numbered = zip(others["step"].tolist(), others.indices, strict=True)
    later = sorted({step for step, index in numbered if index in kept})
    if len(later) > MOST_STEPS:
        places = np.linspace(0, len(later) - 1, MOST_STEPS).round().astype(int)
        later = [later[place] for place in places]
    yield from map(run.at_step, later)


def _judge(rule: Rule, views: Iterable[Run]) -> tuple[list[Finding], str]:
    """Return what a rule finds over the steps, and why it could judge none of them; "" where it could."""
    findings: list[Finding] = []
    reasons: list[str] = []
    for run in views:
        try:
            found = [_cap(rule, run, _dated(rule, finding, run)) for finding in rule.judge(run)]
        except NotJudged as reason:
            reasons.append(str(reason))
            continue
        reasons.append("")
        worst = max((finding.severity.rank for finding in findings), default=-1)
        findings += [finding for finding in found if finding.severity.rank > worst]
    return findings, "" if "" in reasons else reasons[0]


def _dated(rule: Rule, finding: Finding, run: Run) -> Finding:
    """Say from which step on something was found, unless it was the first."""
    if run.step is None:
        return finding
    message = f"{finding.message.removesuffix('.')} (from step {run.step})."
    remedy = finding.remedy if rule.remedies_later else LATER_REMEDY
    return replace(finding, message=message, remedy=remedy, step=run.step)


def _cap(rule: Rule, run: Run, finding: Finding) -> Finding:
    """Lower what rests on a threshold made for other networks, or for the start of training."""
    if not rule.calibrated:
        return finding
    if run.step is not None:
        return replace(finding, severity=Severity.INFO, message=finding.message + LATER)
    if finding.severity is not Severity.ERROR or run.plain:
        return finding
    return replace(finding, severity=Severity.WARNING, message=finding.message + CAPPED)
