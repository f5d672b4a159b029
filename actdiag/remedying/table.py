"""Advice as plain values: for JSON, and its training curves as a table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import pandas as pd

from actdiag.remedying.advising import Advice
from actdiag.remedying.training import Curve
from actdiag.remedying.trial import Measured, Trial
from actdiag.reporters.machine import diagnosis_as_dict, plain


def advice_as_dict(advice: Advice) -> dict[str, Any]:
    """Return advice as values that JSON can hold; NaN is None, infinities are words."""
    content: dict[str, Any] = plain(
        {
            "verdict": advice.before.diagnosis.verdict,
            "summary": advice.summary,
            "diagnosis": diagnosis_as_dict(advice.before.diagnosis),
            "before": _measured(advice.before),
            "suggestions": [_trial(trial) for trial in advice.suggestions],
            "would_help": [_trial(trial) for trial in advice.would_help],
            "tried": [_trial(trial) for trial in advice.tried],
            "notes": advice.notes,
        }
    )
    return content


def _trial(trial: Trial) -> dict[str, Any]:
    remedy = trial.remedy
    return {
        **{name: getattr(remedy, name) for name in ("name", "title", "source", "changes_network")},
        "helped": trial.helped,
        "reason": trial.reason,
        "code": trial.code,
        "after": None if trial.after is None else _measured(trial.after),
        "training_before": _training(trial.curves_before),
        "training_after": _training(trial.curves_after),
    }


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "verdict": measured.diagnosis.verdict,
        "findings": [f"{found.severity.value} {found.code}" for found in measured.diagnosis.findings],
        "gradient_ratio": measured.gradient_ratio,
        "std_across": measured.std_across,
    }


def _training(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    return [
        {name: getattr(curve, name) for name in ("seed", "rate", "loss", "accuracy", "steps")}
        for curve in curves
    ]


def middle(curves: Sequence[Curve], quantity: str) -> tuple[float, float, float]:
    """Return the lowest, the median and the highest loss or accuracy at the end of these runs."""
    values = [getattr(curve, quantity) for curve in curves]
    return min(values), statistics.median(values), max(values)


def curves_table(trial: Trial) -> pd.DataFrame:
    """Return a trial's training runs, a row for each step: when, seed, rate, step, loss, accuracy."""
    parts = {"before": trial.curves_before, "after": trial.curves_after}
    return pd.DataFrame(
        [
            (when, curve.seed, curve.rate, step, loss, hit)
            for when, curves in parts.items()
            for curve in curves
            for step, (loss, hit) in enumerate(zip(curve.losses, curve.accuracies, strict=True), 1)
        ],
        columns=["when", "seed", "rate", "step", "loss", "accuracy"],
    )
