"""The report for programs: JSON that every parser reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from actdiag.comparisons import Comparison, is_comparison
from actdiag.recording import Recording
from actdiag.reporters.base import REPORTERS
from actdiag.types import Diagnosis


@REPORTERS.row("json")
def json_report(recording: Recording, diagnosis: Diagnosis) -> dict[str, bytes]:
    """Return report.json: the verdict, what it rests on, and what was run."""
    runs = {
        run: {"verdict": diagnosis.of(run).run_verdict, **plain(facts)}
        for run, facts in recording.meta["runs"].items()
    }
    content = {
        **diagnosis_as_dict(diagnosis),
        "runs": runs,
        "versions": {name: recording.meta.get(name) for name in ("actdiag", "torch", "schema")},
    }
    if is_comparison(recording):
        content["networks"] = Comparison(recording, diagnosis).table().to_dict("records")
    text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    return {"report.json": (text + "\n").encode("utf-8", "backslashreplace")}


def diagnosis_as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as plain values that JSON can hold: NaN as None, infinities as words."""
    content: dict[str, Any] = plain(
        {
            "verdict": diagnosis.verdict,
            "votes": diagnosis.votes,
            "findings": [
                {**asdict(finding), "severity": finding.severity.value} for finding in diagnosis.findings
            ],
            "passed": [_outcome(outcome) for outcome in diagnosis.passed],
            "skipped": [{**_outcome(outcome), "reason": outcome.reason} for outcome in diagnosis.skipped],
        }
    )
    return content


def plain(value: Any) -> Any:
    """Return a value of JSON's own types.

    >>> plain({"a": (1, math.nan), "b": -math.inf})
    {'a': [1, None], 'b': '-inf'}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _outcome(outcome: Any) -> dict[str, str]:
    return {"code": outcome.code, "name": outcome.name, "run": outcome.run}
