"""Many runs side by side: draws of one network make a cell, cells make the matrix and the ranking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from actdiag.numerals import numeral
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.types import NOT_JUDGED, VERDICTS, Diagnosis, Finding, Severity

FAILED = "could not be run"
"""The verdict on a network none of whose draws could be measured."""
ORDER = (*dict.fromkeys(VERDICTS.values()), NOT_JUDGED, FAILED)
"""Verdicts, the best first."""
_AXES = ("act", "init", "gain", "seed", "features")
"""What may differ within a sheet: its rows, its columns, the draws of a cell, and what follows the width."""
_FORWARD, _BACKWARD = "activation", "preactivation_grad"


@dataclass(frozen=True)
class Gain:
    """The factor by which a quantity changes per layer, from the first to the last hidden layer.

    Attributes:
        measured: geometric mean over the layers, median over the draws; NaN where there is none.
        expected: by theory for an infinitely wide network; NaN where theory cannot speak.
    """

    measured: float
    expected: float

    def __str__(self) -> str:
        """Return the measured factor."""
        return "unknown" if math.isnan(self.measured) else numeral(self.measured, padded=True)


@dataclass(frozen=True)
class Cell:
    """One network of a comparison: its draws and what is said of them together.

    Attributes:
        spec: the fields of the `RunSpec` of the first draw, resolved where it was run.
        runs: the draws' names.
        verdict: the one that most draws got (of as many the more severe), or `FAILED`.
        shown: the first draw that got the verdict.
        size: gain of the activation's rms from layer to layer.
        signal: gain of the activation's std_across, which tells samples apart.
        gradient: gain of a sample's gradient norm from the last hidden layer down to the first, per layer.
        finding: the worst of the shown draw, None where nothing but information was found.
        error: why a draw failed, "" where none did.
    """

    spec: Mapping[str, Any]
    runs: tuple[str, ...]
    verdict: str
    shown: str
    size: Gain
    signal: Gain
    gradient: Gain
    finding: Finding | None
    error: str

    @property
    def reason(self) -> str:
        """Return why the cell has its verdict, in words."""
        if self.verdict == FAILED:
            return self.error
        gains = f"per layer, activation {self.size}, std_across {self.signal}, gradient {self.gradient}"
        return gains if self.finding is None else f"{self.finding.message} ({gains})"

    @property
    def distortion(self) -> float:
        """Return |ln gain of std_across| + |ln gain of the gradient|, inf where one of them is not known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.abs(np.log([self.signal.measured, self.gradient.measured]))
        return float(np.nan_to_num(logs, nan=math.inf).sum())


@dataclass(frozen=True)
class Sheet:
    """The cells that differ in activation and initialiser alone: one compatibility matrix.

    Attributes:
        label: what sets it apart from the other sheets: `depth 50`; "" where it is the only one.
        acts: the rows' activations.
        inits: the columns' initialisers, with the gain where one of them has several.
        cells: by row and column.
    """

    label: str
    acts: tuple[str, ...]
    inits: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]


@dataclass(frozen=True, eq=False)
class Comparison:
    """A recording of many runs of `RunSpec`s, ordered for people."""

    recording: Recording
    diagnosis: Diagnosis

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Return the networks in the order of their first draws."""
        gains = _gains(self.recording)
        groups: dict[tuple[Any, ...], list[str]] = {}
        for run, facts in self.recording.meta["runs"].items():
            groups.setdefault(_key(facts["spec"], ("seed",)), []).append(run)
        return tuple(self._cell(tuple(runs), gains) for runs in groups.values())

    def _cell(self, runs: tuple[str, ...], gains: Mapping[str, pd.DataFrame]) -> Cell:
        facts = [self.recording.meta["runs"][run] for run in runs]
        ran = tuple(run for run, fact in zip(runs, facts, strict=True) if not fact.get("error"))
        verdicts = {run: self.verdicts[run] for run in ran}
        verdict = _majority(verdicts.values()) if ran else FAILED
        shown = next((run for run in ran if verdicts[run] == verdict), runs[0])
        errors = [str(fact["error"]) for fact in facts if fact.get("error")]
        numbers = {name: table.reindex(list(runs)).median() for name, table in gains.items()}
        size, signal, gradient = (
            Gain(*(float(numbers[source][name]) for source in ("measured", "theory")))
            for name in ("size", "signal", "gradient")
        )
        spec = next((fact["spec"] for fact in facts if not fact.get("error")), facts[0]["spec"])
        worst = self._worst.get(shown)
        return Cell(spec, runs, verdict, shown, size, signal, gradient, worst, next(iter(errors), ""))

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Return each run's own verdict."""
        return {run: self.diagnosis.of(run).run_verdict for run in self.recording.runs}

    @cached_property
    def _worst(self) -> dict[str, Finding]:
        """Return each run's first finding of the highest severity, without mere information."""
        worst: dict[str, Finding] = {}
        for finding in sorted(self.diagnosis.findings, key=lambda each: -each.severity.rank):
            if finding.severity is not Severity.INFO and not finding.code.startswith("AD0"):
                worst.setdefault(finding.run, finding)
        return worst

    @cached_property
    def sheets(self) -> tuple[Sheet, ...]:
        """Return a matrix for each combination of the other fields, depth and width among them."""
        groups: dict[tuple[Any, ...], list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(_key(cell.spec, _AXES), []).append(cell)
        names = _differing([cells[0].spec for cells in groups.values()])
        return tuple(_sheet(cells, names) for cells in groups.values())

    @cached_property
    def ranking(self) -> tuple[Cell, ...]:
        """Return the cells, the best first: by verdict, then by how little signal and gradient change."""
        return tuple(sorted(self.cells, key=lambda cell: (ORDER.index(cell.verdict), cell.distortion)))

    def run(self, cell: Cell) -> Run:
        """Return the draw that stands for a cell."""
        return Run.of(self.recording, cell.shown)

    def table(self) -> pd.DataFrame:
        """Return one row per network, ranked: its spec, verdict, gains, reason and error."""
        return pd.DataFrame([_record(rank, cell) for rank, cell in enumerate(self.ranking, start=1)])


def is_comparison(recording: Recording) -> bool:
    """Return whether a recording is of several networks of `RunSpec`s, and not of draws of one."""
    specs = [facts.get("spec") for facts in recording.meta["runs"].values()]
    return all(specs) and len({_key(spec, ("seed",)) for spec in specs if spec}) > 1


def _key(spec: Mapping[str, Any], without: Sequence[str]) -> tuple[Any, ...]:
    return tuple((name, value) for name, value in sorted(spec.items()) if name not in without)


def _differing(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fields in which specs differ, those of the axes left out."""
    names = [name for name in specs[0] if name not in _AXES]
    return [name for name in names if len({str(spec.get(name)) for spec in specs}) > 1]


def _sheet(cells: Sequence[Cell], names: Sequence[str]) -> Sheet:
    label = ", ".join(f"{name.replace('_', ' ')} {cells[0].spec.get(name)}" for name in names)
    places = [(str(cell.spec["act"]), str(cell.spec["init"])) for cell in cells]
    if len(set(places)) < len(cells):
        places = [
            (act, f"{init}, gain {cell.spec['gain']:.3g}")
            for (act, init), cell in zip(places, cells, strict=True)
        ]
    acts, inits = (tuple(dict.fromkeys(names)) for names in zip(*places, strict=True))
    return Sheet(label, acts, inits, dict(zip(places, cells, strict=True)))


def _majority(verdicts: Iterable[str]) -> str:
    counts = dict.fromkeys(reversed(ORDER), 0)
    for verdict in verdicts:
        counts[verdict] += 1
    return max(counts, key=lambda verdict: counts[verdict])


def _record(rank: int, cell: Cell) -> dict[str, Any]:
    gains = {"activation_gain": cell.size, "std_across_gain": cell.signal, "gradient_gain": cell.gradient}
    return {
        "rank": rank,
        **{name: cell.spec[name] for name in ("act", "init", "depth", "width")},
        "verdict": cell.verdict,
        "draws": len(cell.runs),
        **{name: gain.measured for name, gain in gains.items()},
        **{f"expected_{name}": gain.expected for name, gain in gains.items()},
        "reason": cell.reason,
        "error": cell.error,
    }


def _gains(recording: Recording) -> dict[str, pd.DataFrame]:
    """Return, measured and by theory, each run's gains per layer: one row per run."""
    rows = recording.rows
    rows = rows[rows["tensor"].isin((_FORWARD, _BACKWARD)) & (rows["layer"] <= rows["depth"])]
    norm = rows["rms"] * np.sqrt(rows["units"])
    rows = rows.assign(norm=norm).drop_duplicates(["run", "source", "tensor", "layer"])
    return {source: _ratios(rows[rows["source"] == source]) for source in ("measured", "theory")}


def _ratios(rows: pd.DataFrame) -> pd.DataFrame:
    columns = dict(_columns(rows))
    return pd.DataFrame(columns, columns=["size", "signal", "gradient"], dtype=np.float64)


def _columns(rows: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Yield the gains by run; above 1 what grows on its way, up for the signal and down for the gradient."""
    ordered = rows.sort_values("layer", kind="stable")
    quantities = (
        ("size", _FORWARD, "rms", 1),
        ("signal", _FORWARD, "std_across", 1),
        ("gradient", _BACKWARD, "norm", -1),
    )
    for name, tensor, quantity, way in quantities:
        groups = ordered[ordered["tensor"] == tensor].groupby("run", sort=False)
        ends = groups[[quantity, "layer"]].agg(["first", "last"])
        steps = (ends["layer", "last"] - ends["layer", "first"]).where(lambda apart: apart > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            yield name, (ends[quantity, "last"] / ends[quantity, "first"]) ** (way / steps)
