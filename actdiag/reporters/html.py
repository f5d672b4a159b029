"""The report for people: one page that needs nothing beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from actdiag import profiles
from actdiag.coverage import Coverage, printable, shorten
from actdiag.numerals import interval, numeral, percent
from actdiag.panels import activation_panels, gradient_panels
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.reporters.figures import BOX, chart, histograms
from actdiag.rules.base import Run
from actdiag.types import NOT_JUDGED, Diagnosis, Finding, Severity

_MEANINGS = {
    "healthy": "Signal and gradient reach every layer: nothing found keeps this network from learning.",
    "trains worse than it could": "This network learns, but something at its start holds it back.",
    "does not train": "At no usual learning rate does plain gradient descent bring it to 30% of ten classes.",
    "nothing to judge": "No run was judged.",
    NOT_JUDGED: "No rule about signal or gradient could look at this network: see the reasons below.",
}
_BROKE = "Sound at its start, this network broke while it was trained."
_TONES = {"healthy": "good", "trains worse than it could": "fair", "does not train": "bad"}
_MARKS = {"good": "✓", "fair": "!", "bad": "✕"}
FOLD = 60
"""Histograms that are shown at once; more are folded."""
_EVIDENCE = ("measured", "expected", "threshold", "threshold_source")


@dataclass(frozen=True)
class Column:
    """A column of the table of layers."""

    name: str
    heading: str
    share: bool = False


_COLUMNS = (
    Column("rms", "rms a"),
    Column("expected_rms", "theory"),
    Column("std_across", "std_across a"),
    Column("zero_fraction", "zero", share=True),
    Column("dead_units", "dead units"),
    Column("saturated_fraction", "saturated", share=True),
    Column("gradient_norm", "gradient norm"),
    Column("grad_to_weight", "grad_to_weight"),
)


@REPORTERS.row("html")
def html_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return report.html."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("actdiag.reporters"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(numeral=_number, interval=interval, options=_options)
    page = environment.get_template("report.html").render(**context(recording, diagnosis))
    return {"report.html": page.encode("utf-8", "backslashreplace")}


def _options(text: str) -> str:
    """Return HTML in which no option of the command line is broken at its hyphens."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="option">\g<0></span>', str(escape(text))))


def context(recording: Recording, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what the template shows, for the run that stands for the verdict."""
    run = profiles.shown_run(recording, diagnosis)
    mine, facts = diagnosis.of(run.name), run.facts
    findings = sorted(mine.findings, key=lambda finding: -finding.severity.rank)
    verdict = diagnosis.verdict
    return {
        "run": run.name,
        "title": profiles.title(run),
        "verdict": verdict,
        "tone": _TONES.get(verdict, "fair"),
        "mark": _MARKS[_TONES.get(verdict, "fair")],
        "sentence": _BROKE if _broke_later(findings) else _MEANINGS.get(verdict, ""),
        "votes": diagnosis.votes,
        "runs": [_vote(diagnosis.of(name), name) for name in diagnosis.runs],
        "findings": [_finding(finding) for finding in findings],
        "main": next((f for f in findings if f.severity is not Severity.INFO), None),
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
        **_table(run),
    }


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
    return {"run": run, "verdict": verdict, "tone": _TONES.get(verdict, "fair"), "codes": ", ".join(codes)}


def _finding(finding: Finding) -> dict[str, Any]:
    evidence = {name: finding.evidence[name] for name in _EVIDENCE if name in finding.evidence}
    return {
        "finding": finding,
        "tone": {Severity.ERROR: "bad", Severity.WARNING: "fair"}.get(finding.severity, "info"),
        "evidence": {**evidence, **finding.evidence},
        "words": {"threshold_source": "threshold from"},
    }


def _number(value: Any) -> str:
    """Spell a value of evidence, a spec or a loss: numbers short, everything else as it is."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "default"
    if isinstance(value, float):
        return numeral(value)
    return str(value)


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


def _table(run: Run) -> dict[str, Any]:
    """Return the table of layers as text, without the columns that have no number at all."""
    table = profiles.layer_table(run)
    columns = [column for column in _COLUMNS if table[column.name].notna().any()]
    rows = [
        {
            "layer": int(row["layer"]),
            "module": shorten(row["module"] or "input"),
            "full": printable(row["module"]),
            "cells": [_cell(row, column) for column in columns],
        }
        for _, row in table.iterrows()
    ]
    undefined = [
        column.heading for column in _COLUMNS if column not in columns and column.name != "expected_rms"
    ]
    return {"columns": columns, "layers": rows, "undefined": ", ".join(undefined)}


def _cell(row: pd.Series, column: Column) -> str:
    value = float(row[column.name])
    if math.isnan(value):
        return ""
    if column.name == "dead_units":
        return f"{value:.0f} of {row['units']:.0f}"
    return percent(value) if column.share else numeral(value, padded=True)
