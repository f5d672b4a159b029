"""The verdicts: what the tool, and two simpler rules, say of each network's first weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import pandas as pd
import torch

from actdiag.diagnosis import diagnose
from actdiag.recording import Recording
from actdiag.rules.base import Run, sample_norm
from actdiag.scanning import scan
from actdiag.types import Severity
from calibration import grid
from calibration.training import built, digest

RATIO = 1e3
"""The first baseline's threshold: three decades between the first and the last hidden gradient."""


def judge(networks: Sequence[tuple[grid.Cell, int]], workers: int) -> list[dict[str, Any]]:
    """Return a line for each (cell, seed): the digest of its weights, and what each method says of it."""
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        return list(pool.map(_judged, networks, chunksize=8))


def _judged(network: tuple[grid.Cell, int]) -> dict[str, Any]:
    cell, seed = network
    spec = replace(cell.spec, seed=seed)
    recording = scan(spec)
    diagnosis = diagnose(recording)
    codes = {
        severity: _codes(diagnosis.findings, severity) for severity in (Severity.ERROR, Severity.WARNING)
    }
    return {
        "weights": digest(built(spec)),
        "verdict": str(diagnosis.worst.value) if diagnosis.worst else "info",
        "errors": codes[Severity.ERROR],
        "warnings": codes[Severity.WARNING],
        **{name: baseline(recording) for name, baseline in BASELINES.items()},
    }


def _codes(findings: Any, severity: Severity) -> str:
    return " ".join(sorted({found.code for found in findings if found.severity is severity}))


def gradient_ratio(recording: Recording) -> bool:
    """Say that a network does not train if its hidden gradients span three decades from end to end."""
    run = Run.of(recording, recording.runs[0])
    rows = run.at("preactivation_grad")
    norms = sample_norm(rows[rows["layer"] <= (run.spec or {})["depth"]])
    if not len(norms) or not all(map(math.isfinite, norms)) or not norms[-1]:
        return True
    return not 1.0 / RATIO <= norms[0] / norms[-1] <= RATIO


def autotrainer(recording: Recording) -> bool:
    """Say what the symptoms of AUTOTRAINER (Zhang et al. 2021) say on the first batch.

    With its published defaults, on the gradients of the kernels: vanishing where the norm of the first is
    below 1e-3 of the last's and below 1e-4, exploding where it is above 70 times the last's, dying where 70%
    of all elements of the gradients are zero, and wherever one is not finite. Its symptoms of the loss
    need training and are left out.
    """
    run = Run.of(recording, recording.runs[0])
    rows = run.at("weight_grad")
    if (rows["nan_count"] + rows["inf_count"]).any():
        return True
    norms = rows["rms"] * rows["count"] ** 0.5
    zeros = float((rows["zero_fraction"] * rows["count"]).sum() / rows["count"].sum())
    ratio = norms[0] / norms[-1] if norms[-1] else math.nan
    return bool((ratio < 1e-3 and norms[0] < 1e-4) or ratio > 70.0 or zeros >= 0.7)


BASELINES: Mapping[str, Callable[[Recording], bool]] = {
    "gradient ratio": gradient_ratio,
    "AUTOTRAINER": autotrainer,
}


def frame(networks: Sequence[tuple[grid.Cell, int]], lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the verdicts as a table, a row for each network."""
    facts = [
        {
            "act": cell.spec.act,
            "init": cell.spec.init + (f" x {cell.spec.gain:g}" if cell.spec.gain else ""),  # type: ignore[str-format]
            "depth": cell.spec.depth,
            "variance": cell.variance,
            "family": cell.family,
            "held": cell.held,
            "cell": number,
            "seed": seed,
        }
        for number, (cell, seed) in _numbered(networks)
    ]
    return pd.DataFrame([{**fact, **line} for fact, line in zip(facts, lines, strict=True)])


def _numbered(networks: Sequence[tuple[grid.Cell, int]]) -> Any:
    numbers = {cell: number for number, cell in enumerate(grid.cells())}
    return ((numbers[cell], (cell, seed)) for cell, seed in networks)
