"""What the terminal shows: the verdict first, then the layers, then what was found and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actdiag.layers import coverage, layer_table, linear_counts, title_of
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.types import Diagnosis, Finding, Severity

COLOURS = {"healthy": "green", "trains worse than it could": "yellow", "does not train": "red"}
MARKS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
SPARK_BINS = 16
PLAIN_WIDTH = 120
"""Columns where the output is no terminal."""


class Terminal:
    """Prints a diagnosis: for people, as JSON, or the verdict alone."""

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        console = Console(highlight=False)
        self.console = console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)
        self.as_json, self.quiet = as_json, quiet
        self._errors = Console(stderr=True)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show a spinner with `what` on standard error while the block runs, if that is a terminal."""
        visible = self._errors.is_terminal and not (self.quiet or self.as_json)
        with self._errors.status(what) if visible else nullcontext():
            yield

    def show(self, recording: Recording, diagnosis: Diagnosis) -> None:
        """Print the diagnosis of a recording."""
        if self.as_json:
            from actdiag.reporters import diagnosis_as_dict

            self.console.out(json.dumps(diagnosis_as_dict(diagnosis), indent=1), highlight=False)
            return
        run = Run(diagnosis.typical_run, recording.of(diagnosis.typical_run))
        self._verdict(run, diagnosis)
        if self.quiet:
            return
        self._layers(run)
        for finding in diagnosis.of(run.name).findings:
            self._finding(finding)
        self._checks(run, diagnosis.of(run.name))

    def wrote(self, folder: Path) -> None:
        """Print where the files are."""
        if not (self.as_json or self.quiet):
            self.console.print(Text(f"Wrote {folder}"), soft_wrap=True)

    def _print(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        self.console.print(Text.assemble(" " * indent, *parts), soft_wrap=not self.console.is_terminal)

    def _verdict(self, run: Run, diagnosis: Diagnosis) -> None:
        verdict, votes = diagnosis.verdict, diagnosis.votes
        share = "" if len(diagnosis.runs) == 1 else f" ({votes[verdict]} of {len(diagnosis.runs)} draws)"
        self._print((verdict.upper(), f"bold {COLOURS.get(verdict, '')}"), f"{share}: {_sentence(run)}")
        others = ", ".join(f"{count} {name}" for name, count in votes.items() if name != verdict)
        if others:
            self._print(f"The other draws: {others}. Shown below: {run.name}.")

    def _layers(self, run: Run) -> None:
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
        heads = (
            "layer",
            "rms a",
            "std across",
            "zero %",
            "dead",
            "sat %",
            "|grad|",
            "grad/weight",
            "activations",
        )
        for head in heads:
            table.add_column(
                head, justify="left" if head in ("layer", "activations") else "right", no_wrap=True
            )
        for layer in layer_table(run).itertuples():
            table.add_row(*_cells(layer), self._sparkline(run, int(layer.row)))  # type: ignore[arg-type]
        self.console.print()
        self.console.print(table)
        self.console.print()

    def _sparkline(self, run: Run, row: int) -> Text:
        """Return a row's histogram in one line of characters, scaled to its highest bin."""
        counts, low, high = linear_counts(run, row, SPARK_BINS)
        marks = BLOCKS if self.console.encoding.lower().startswith("utf") else PLAIN
        top = counts.max()
        levels = (
            np.ceil(counts / top * (len(marks) - 1)).astype(int) if top > 0 else np.zeros(SPARK_BINS, int)
        )
        return Text(f"{''.join(marks[level] for level in levels)}  {low:.2g} .. {high:.2g}")

    def _finding(self, finding: Finding) -> None:
        mark = (f"{finding.severity.value} {finding.code} {finding.name}", f"bold {MARKS[finding.severity]}")
        self._print(mark, f": {finding.message}")
        evidence = ", ".join(
            f"{name} {_number(value)}"
            for name, value in finding.evidence.items()
            if name != "threshold_source"
        )
        if evidence:
            self._print(f"{evidence} ({finding.evidence.get('threshold_source', '')})", indent=4)
        self._print(("Remedy: ", "bold"), finding.remedy, indent=4)
        self.console.print()

    def _checks(self, run: Run, diagnosis: Diagnosis) -> None:
        observed, modules, unseen = coverage(run)
        checked = len(diagnosis.passed) + len({finding.code for finding in diagnosis.findings})
        self._print(
            f"observed {observed} of {modules} modules; {checked} rules checked, {len(diagnosis.passed)} passed"
        )
        for name, reason in zip(unseen["name"], unseen["reason"], strict=True):
            self._print(f"not observed: {name}: {reason}", indent=4)
        for outcome in diagnosis.skipped:
            self._print(f"not judged: {outcome.code} {outcome.name}: {outcome.reason}", indent=4)
        for note in run.facts.get("notes", ()):
            self._print(f"note: {note}", indent=4)


def _sentence(run: Run) -> str:
    spec = run.spec
    if spec is None:
        return title_of(run.facts)
    gain = "" if spec["gain"] is None else f", gain {spec['gain']:.4g}"
    return f"{title_of(run.facts)}{gain}, {spec['batch']} samples of {spec['data']}"


def _cells(layer: Any) -> tuple[str, ...]:
    return (
        f"{layer.layer} {layer.module}",
        _number(layer.rms),
        _number(layer.std_across),
        _percent(layer.zero_fraction),
        "-" if math.isnan(layer.dead_units) else f"{layer.dead_units:.0f}/{layer.units}",
        _percent(layer.saturated_fraction),
        _number(layer.gradient_norm),
        _number(layer.grad_to_weight),
    )


def _number(value: object) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3g}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
