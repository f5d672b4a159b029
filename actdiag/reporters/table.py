"""The report for spreadsheets: one row per run and layer, per finding, and per network compared."""

from __future__ import annotations

import pandas as pd

from actdiag.comparisons import Comparison, is_comparison
from actdiag.numerals import interval
from actdiag.profiles import layer_table
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.rules.base import Run
from actdiag.texts import printable, spreadsheet_cell
from actdiag.types import Diagnosis

_FINDING = (
    "run",
    "severity",
    "code",
    "name",
    "layers",
    "message",
    "measured",
    "expected",
    "threshold",
    "remedy",
)


@REPORTERS.row("csv")
def csv_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return layers.csv and findings.csv; of a comparison networks.csv as well, the best network first."""
    tables = [layer_table(run).assign(run=run.name) for run in Run.all_of(recording)]
    layers = pd.concat(tables, ignore_index=True)
    findings = pd.DataFrame(
        [
            {
                **finding.evidence,
                "run": finding.run,
                "severity": finding.severity.value,
                "code": finding.code,
                "name": finding.name,
                "layers": interval(finding.layers),
                "message": finding.message,
                "remedy": finding.remedy,
            }
            for finding in diagnosis.findings
        ],
        columns=list(_FINDING),
    )
    ordered = layers[["run", *layers.columns.drop("run")]]
    files = {"layers.csv": _bytes(ordered), "findings.csv": _bytes(findings)}
    if is_comparison(recording):
        files["networks.csv"] = _bytes(Comparison(recording, diagnosis).table())
    return files


def _bytes(frame: pd.DataFrame) -> bytes:
    """Return a table in which no text is a formula; the recording's own rows.csv has every name as it is."""
    shown = frame.map(lambda cell: spreadsheet_cell(printable(cell)) if isinstance(cell, str) else cell)
    return shown.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")
