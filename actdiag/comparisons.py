"""Many runs side by side: draws of one network make a cell, cells make the matrix and the ranking."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from actdiag.networks import initialiser_label, network_key, sheet_key, sheet_labels, specs
from actdiag.numerals import numeral
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.types import Diagnosis, Finding, Outcome, Severity
from actdiag.verdicts import FAILED, NOT_JUDGED, SIGNS

ORDER = tuple(SIGNS)
"""Verdicts, the best first."""
_Part = TypeVar("_Part", Finding, Outcome)
_ROUNDING = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7}
"""The step from 1 to the next number of a format."""
_ROUNDINGS = 4.0
"""How many of them, relative to the rms, a std_across must exceed to be told from rounding."""
_ENDS: tuple[Literal["first"], Literal["last"]] = ("first", "last")
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
        label: the activation and the initialiser, with the gain where one was asked for.
        runs: the draws' names.
        votes: how many draws got each verdict; `FAILED` counts those that raised.
        shown: the first draw that got the verdict.
        size: gain of the activation's rms from layer to layer.
        signal: gain of the activation's std_across, which tells samples apart.
        gradient: gain of a sample's gradient norm from the last hidden layer down to the first, per layer.
        finding: the worst of the shown draw, None where nothing but information was found.
        error: why a draw failed, "" where none did.
        unjudged: why no rule could look, "" where one could.
    """

    spec: Mapping[str, Any]
    label: str
    runs: tuple[str, ...]
    votes: Mapping[str, int]
    shown: str
    size: Gain
    signal: Gain
    gradient: Gain
    finding: Finding | None
    error: str
    unjudged: str = ""

    @property
    def verdict(self) -> str:
        """Return what most draws that ran got, of as many the more severe; `FAILED` where none ran."""
        ran = {verdict: count for verdict, count in self.votes.items() if verdict != FAILED}
        return max(ran, key=lambda verdict: (ran[verdict], ORDER.index(verdict)), default=FAILED)

    @property
    def reason(self) -> str:
        """Return why the cell has its verdict, in words."""
        if self.verdict == FAILED:
            return self.error
        if self.verdict == NOT_JUDGED:
            return self.unjudged
        gains = f"per layer: activation {self.size}, std_across {self.signal}, gradient {self.gradient}"
        return f"{gains.capitalize()}." if self.finding is None else f"{self.finding.message} ({gains})"

    @property
    def distortion(self) -> float:
        """Return |ln gain of std_across| + |ln gain of the gradient|, inf where one of them is not known."""
        gains = self.signal.measured, self.gradient.measured
        return sum(abs(math.log(gain)) if gain > 0.0 else math.inf for gain in gains)


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
        for run, spec in self._specs.items():
            groups.setdefault(network_key(spec), []).append(run)
        return tuple(self._cell(tuple(runs), gains) for runs in groups.values())

    def _cell(self, runs: tuple[str, ...], gains: Mapping[str, pd.DataFrame]) -> Cell:
        facts = [self.recording.meta["runs"][run] for run in runs]
        errors = [str(fact["error"]) for fact in facts if fact.get("error")]
        spec = next((fact["spec"] for fact in facts if not fact.get("error")), facts[0]["spec"])
        asked = self._specs[runs[0]]
        label = f"{asked['act']}, {initialiser_label(asked)}"
        numbers = {name: table.reindex(list(runs)).median() for name, table in gains.items()}
        size, signal, gradient = (
            Gain(*(float(numbers[source][name]) for source in ("measured", "theory")))
            for name in ("size", "signal", "gradient")
        )
        votes = Counter(self.verdicts[run] for run in runs)
        cell = Cell(spec, label, runs, votes, runs[0], size, signal, gradient, None, next(iter(errors), ""))
        shown = next(run for run in runs if self.verdicts[run] == cell.verdict)
        return replace(cell, shown=shown, finding=self._worst.get(shown), unjudged=self._unjudged(shown))

    @cached_property
    def _specs(self) -> dict[str, dict[str, Any]]:
        return specs(self.recording.meta["runs"])

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Return each run's own verdict, `FAILED` where it raised."""
        runs = self.recording.meta["runs"]
        return {run: FAILED if runs[run].get("error") else self.judged(run).run_verdict for run in runs}

    def judged(self, run: str) -> Diagnosis:
        """Return what the rules say of one run."""
        return self._judged.get(run, Diagnosis((run,)))

    @cached_property
    def _judged(self) -> dict[str, Diagnosis]:
        """Return every run's diagnosis, in one pass over all of them."""
        whole = self.diagnosis
        findings, passed, skipped = _by_run(whole.findings), _by_run(whole.passed), _by_run(whole.skipped)
        return {
            run: Diagnosis((run,), tuple(findings[run]), tuple(passed[run]), tuple(skipped[run]))
            for run in whole.runs
        }

    def _unjudged(self, run: str) -> str:
        """Return why no rule could look at a run: the reason of the first one."""
        if self.verdicts[run] != NOT_JUDGED:
            return ""
        return next((outcome.reason for outcome in self.judged(run).skipped), "no rule was asked")

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
            groups.setdefault(sheet_key(self._specs[cell.runs[0]]), []).append(cell)
        labels = sheet_labels([self._specs[cells[0].runs[0]] for cells in groups.values()])
        return tuple(self._sheet(*each) for each in zip(labels, groups.values(), strict=True))

    def _sheet(self, label: str, cells: Sequence[Cell]) -> Sheet:
        asked = [self._specs[cell.runs[0]] for cell in cells]
        places = [(str(spec["act"]), initialiser_label(spec)) for spec in asked]
        acts, inits = (tuple(dict.fromkeys(names)) for names in zip(*places, strict=True))
        return Sheet(label, acts, inits, dict(zip(places, cells, strict=True)))

    @cached_property
    def ranking(self) -> tuple[Cell, ...]:
        """Return the cells, the best first: by verdict, then by how little signal and gradient change."""
        return tuple(sorted(self.cells, key=lambda cell: (ORDER.index(cell.verdict), cell.distortion)))

    def run(self, cell: Cell) -> Run:
        """Return the draw that stands for a cell."""
        return Run(cell.shown, self._recordings[cell.shown])

    @cached_property
    def _recordings(self) -> dict[str, Recording]:
        """Return the recordings of the draws that are shown."""
        return {cell.shown: self.recording.of(cell.shown) for cell in self.cells}

    def table(self) -> pd.DataFrame:
        """Return one row per network, ranked: its spec, verdict, gains, reason and error."""
        return pd.DataFrame([_record(rank, cell) for rank, cell in enumerate(self.ranking, start=1)])


def is_comparison(recording: Recording) -> bool:
    """Return whether a recording is of several networks of `RunSpec`s, and not of draws of one."""
    runs = recording.meta.get("runs", {})
    if not all(facts.get("spec") for facts in runs.values()):
        return False
    return len({network_key(spec) for spec in specs(runs).values()}) > 1


def _by_run(parts: Iterable[_Part]) -> defaultdict[str, list[_Part]]:
    groups: defaultdict[str, list[_Part]] = defaultdict(list)
    for part in parts:
        groups[part.run].append(part)
    return groups


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
    """Return, measured and by theory, each run's gains per layer: one row per run.

    They reach as far as the quantity is a number above 0: what has become 0, NaN or Inf tells no factor, nor
    does a std_across that is but the rounding of values that are all the same.
    """
    rows = recording.rows
    depths = {run: facts["spec"]["depth"] for run, facts in recording.meta["runs"].items()}
    rows = rows[rows["tensor"].isin((_FORWARD, _BACKWARD)) & (rows["layer"] <= rows["run"].map(depths))]
    norm = rows["rms"] * np.sqrt(rows["units"])
    lost, measured = rows["nan_count"] + rows["inf_count"], rows["source"] == "measured"
    least = rows["dtype"].map(_ROUNDING).fillna(0.0) * rows["rms"] * measured
    rows = rows.assign(norm=norm, lost=lost, least=_ROUNDINGS * least)
    rows = rows.drop_duplicates(["run", "source", "tensor", "layer"])
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
        least = ordered["least"] if quantity == "std_across" else 0.0
        known = (ordered["lost"] == 0) & (ordered[quantity] > least) & np.isfinite(ordered[quantity])
        ends = ordered[known & (ordered["tensor"] == tensor)]
        first, last = (ends.drop_duplicates("run", keep=keep).set_index("run") for keep in _ENDS)
        steps = (last["layer"] - first["layer"]).where(lambda apart: apart > 0)
        ratio = (last[quantity] / first[quantity]) ** (way / steps)
        yield name, ratio.where(steps.notna())
