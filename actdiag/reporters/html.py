"""The report for people: one page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actdiag import profiles
from actdiag.comparisons import is_comparison
from actdiag.coverage import Coverage
from actdiag.diagnosis import in_order
from actdiag.panels import activation_panels, gradient_panels
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.reporters.comparison import comparison_page
from actdiag.reporters.figures import BOX, chart, histograms
from actdiag.reporters.pages import TONES, environment, finding_words, layer_rows
from actdiag.rules.base import Run
from actdiag.texts import printable
from actdiag.types import Diagnosis, Finding, Severity
from actdiag.verdicts import NOT_JUDGED, SIGNS

_MEANINGS = {
    "healthy": "Signal and gradient reach every layer: nothing found keeps this network from learning.",
    "trains worse than it could": "This network learns, but something at its start holds it back.",
    "does not train": "At no usual learning rate does plain gradient descent bring it to 30% accuracy on "
    "ten classes.",
    "nothing to judge": "No run was judged.",
    NOT_JUDGED: "No rule about signal or gradient could look at this network: see the reasons below.",
}
_BROKE = "Sound at its start, this network broke while it was trained."
FOLD = 60
"""Histograms that are shown at once; more are folded."""


@REPORTERS.row("html")
def html_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return report.html: of several networks the page that compares them."""
    if is_comparison(recording):
        return {"report.html": comparison_page(recording, diagnosis)}
    page = environment().get_template("report.html").render(**context(recording, diagnosis))
    return {"report.html": page.encode("utf-8", "backslashreplace")}


def context(recording: Recording, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what the template shows, for the run that stands for the verdict."""
    run = profiles.shown_run(recording, diagnosis)
    mine, facts = diagnosis.of(run.name), run.facts
    findings = in_order(mine.findings)
    verdict = diagnosis.verdict
    return {
        "run": run.name,
        "title": profiles.title(run),
        "verdict": verdict,
        "tone": TONES.get(verdict, "fair"),
        "mark": SIGNS.get(verdict, "?"),
        "sentence": _BROKE if _broke_later(findings) else _MEANINGS.get(verdict, ""),
        "votes": diagnosis.votes,
        "runs": [_vote(diagnosis.of(name), name) for name in diagnosis.runs],
        "findings": [finding_words(finding) for finding in findings],
        **_main(findings),
        "passed": mine.passed,
        "skipped": mine.skipped,
        "notes": facts.get("notes") or [],
        "remarks": profiles.remarks(run),
        **_coverage(run),
        "spec": _spec(facts.get("spec")),
        "command": str(facts.get("command", "")).split(" --"),
        "loss": {name: value for name, value in (facts.get("loss") or {}).items() if value is not None},
        "versions": {name: recording.meta.get(name, "unknown") for name in ("actdiag", "torch", "schema")},
        **_figures(run),
        **layer_rows(run),
    }


def _main(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the worst finding, and what to do first: that of a cause before it need not cure the rest."""
    told = [finding for finding in findings if finding.severity is not Severity.INFO]
    worst = max(told, key=lambda finding: finding.severity.rank, default=None)
    again = "" if worst is None or worst is told[0] else " Then judge again: what else was found may stay."
    return {"worst": worst, "advice": f"{told[0].remedy}{again}" if told and told[0].remedy else ""}


def _coverage(run: Run) -> dict[str, Any]:
    """Return what was seen of the model: a sentence, and the modules that were not, by reason."""
    coverage = Coverage.of(run.modules)
    gaps = [
        {"what": str(gap), "names": [printable(name) or "the model itself" for name in gap.names]}
        for gap in coverage.gaps
    ]
    return {"coverage": str(coverage), "gaps": gaps}


def _broke_later(findings: Sequence[Finding]) -> bool:
    """Return whether there are errors, and none at the first step."""
    steps = [finding.step for finding in findings if finding.severity is Severity.ERROR]
    return bool(steps) and None not in steps


def _vote(diagnosis: Diagnosis, run: str) -> dict[str, Any]:
    verdict = diagnosis.run_verdict
    codes = sorted({f"{f.code} {f.name}" for f in diagnosis.findings if f.severity is not Severity.INFO})
    return {"run": run, "verdict": verdict, "tone": TONES.get(verdict, "fair"), "codes": ", ".join(codes)}


def _spec(spec: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(spec or {})


def _figures(run: Run) -> dict[str, Any]:
    sets = [
        histograms("a", "Activations", "rms", activation_panels(run)),
        histograms("g", f"Gradients of the {profiles.differentiated(run)}", "gradient", gradient_panels(run)),
    ]
    return {
        "box": BOX,
        "fold": FOLD,
        "sets": sets,
        "charts": [
            chart("forward", "Activation", profiles.forward_profile(run)),
            chart("backward", "Norm of a sample's gradient", profiles.backward_profile(run)),
        ],
        "minis": {panel.layer: panel.name for panel in sets[0].panels if panel.path},
    }
