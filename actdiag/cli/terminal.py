"""What the terminal shows: the verdict first, then the layers, then what was found and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actdiag.coverage import Coverage, printable, shorten, some
from actdiag.numerals import numeral, percent
from actdiag.panels import Panel, activation_panels
from actdiag.profiles import layer_table, remarks, title
from actdiag.recording import Recording
from actdiag.rules.base import Run
from actdiag.types import Diagnosis, Finding, Severity

COLOURS = {"healthy": "green", "trains worse than it could": "yellow", "does not train": "red"}
MARKS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
BLOCKS, PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
SPARK_BARS = 16
"""About as many characters as a histogram takes."""
PLAIN_WIDTH = 140
"""Columns where the output is no terminal."""
MOST_ROWS = 40
"""Layers in the table; of more, the first half and the last half of as many."""
HANG, NARROWEST = 2, 20
"""Columns by which a broken line goes on further in, and those that its words have at least."""
MOST_GAPS = 6
"""Lines about modules that were not observed."""
NAME_WIDTHS = (40, 24, 14)
"""Characters of a module's name in the table: the widest that fits."""


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

    @contextmanager
    def counting(self, what: str, things: str) -> Iterator[Callable[[int, int], None]]:
        """Yield a function to be told how many things of how many are done; show it, with the time left."""
        visible = self._errors.is_terminal and not (self.quiet or self.as_json)
        columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(f"{things}, left:")
        progress = Progress(
            *columns, TimeRemainingColumn(), console=self._errors, transient=True, disable=not visible
        )
        with progress:
            task = progress.add_task(what, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def show(self, recording: Recording, diagnosis: Diagnosis) -> None:
        """Print the diagnosis of a recording."""
        if self.as_json:
            from actdiag.reporters import diagnosis_as_dict

            self.console.out(json.dumps(diagnosis_as_dict(diagnosis), indent=1), highlight=False)
            return
        run = Run.of(recording, diagnosis.typical_run)
        self._verdict(run, diagnosis)
        if self.quiet:
            return
        self._layers(run)
        advised: dict[str, str] = {}
        for finding in diagnosis.of(run.name).findings:
            self._finding(finding, advised)
        self._checks(run, diagnosis.of(run.name))

    def wrote(self, folder: Path, instead: bool = False) -> None:
        """Print where the files are, and whether they are there `instead` of others."""
        if not (self.as_json or self.quiet):
            words = f"Wrote {folder}{', in the place of an earlier report' * instead}"
            self.console.print(Text(printable(words)), soft_wrap=True)

    def aside(self, words: str) -> None:
        """Print words that are not about what was measured."""
        if not (self.as_json or self.quiet):
            self.line(printable(words))

    def line(self, *parts: str | tuple[str, str], indent: int = 0) -> None:
        """Print words as one line, see `print_line`."""
        print_line(self.console, *parts, indent=indent)

    def _verdict(self, run: Run, diagnosis: Diagnosis) -> None:
        verdict, votes = diagnosis.verdict, diagnosis.votes
        share = "" if len(diagnosis.runs) == 1 else f" ({votes[verdict]} of {len(diagnosis.runs)} draws)"
        self.line((verdict.upper(), f"bold {COLOURS.get(verdict, '')}"), f"{share}: {_sentence(run)}")
        others = ", ".join(f"{count} {name}" for name, count in votes.items() if name != verdict)
        if len(diagnosis.runs) > 1:
            apart = f"The other draws: {others}. " if others else ""
            self.line(f"{apart}Shown below: {run.name}.")

    def _layers(self, run: Run) -> None:
        """Print the richest table that fits; names go last where they are those of the user's own model."""
        layers = layer_table(run).to_dict("records")
        panels = {panel.layer: panel for panel in activation_panels(run)}
        theory = any(math.isfinite(layer["expected_rms"]) for layer in layers)
        shapes = [
            (width, drawn, expected)
            for drawn in ([panels] if run.spec is not None else [panels, {}])
            for expected in ([True, False] if theory else [False])
            for width in NAME_WIDTHS
        ]
        shapes += [(0, panels, False), (0, {}, False)]
        *richer, poorest = shapes
        self.console.print()
        tables = (self._table(layers, *shape) for shape in richer)
        self.console.print(next(filter(self.fits, tables), None) or self._table(layers, *poorest))
        if len(layers) > len(_shown(layers)):
            self.line(f"... {len(layers) - len(_shown(layers))} more layers in report.html")
        self.console.print()

    def fits(self, table: Table) -> bool:
        """Return whether a table has room in the terminal."""
        wide = self.console.options.update(max_width=1000)
        return self.console.measure(table, options=wide).maximum <= self.console.width

    def _table(
        self, layers: Sequence[Mapping[Any, Any]], name_width: int, panels: Mapping[int, Panel], theory: bool
    ) -> Table:
        """Return the table of layers with names of at most so many characters, 0 for none.

        Args:
            layers: see `layer_table`.
            name_width: of the names.
            panels: histograms by layer, none to leave them out.
            theory: show what rms is expected.
        """
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
        heads = ["layer", "rms a", "std across", "zero", "dead", "saturated", "|grad|", "grad/weight"]
        heads[2:2] = ["theory"] if theory else []
        for head in (*heads, *(["activations"] if panels else [])):
            table.add_column(
                head, justify="left" if head in ("layer", "activations") else "right", no_wrap=True
            )
        shown = _shown(layers)
        for place, layer in enumerate(shown):
            if place == MOST_ROWS // 2 and len(shown) < len(layers):
                table.add_row("...")
            panel = panels.get(layer["layer"])
            line = [Text("" if panel is None else self._sparkline(panel))] if panels else []
            cells = _cells(layer, name_width)
            expected = (_number(layer["expected_rms"]),) if theory else ()
            table.add_row(*map(Text, (*cells[:2], *expected, *cells[2:])), *line)
        return table

    def _sparkline(self, panel: Panel) -> str:
        """Return a histogram in one line of characters, scaled to its highest bar."""
        if not panel.heights.size:
            return ", ".join(panel.notes)
        marks = BLOCKS if self.console.encoding.lower().startswith("utf") else PLAIN
        heights = panel.heights.reshape(-1, len(panel.heights) // SPARK_BARS).max(axis=1)
        levels = np.ceil(heights * (len(marks) - 1)).astype(int)
        line = "".join(marks[level] for level in levels)
        return f"{numeral(panel.low, 2):>7} {line} {numeral(panel.high, 2)}"

    def _finding(self, finding: Finding, advised: dict[str, str]) -> None:
        """Print a finding, and note which code's remedy was told; the same is not told again."""
        mark = (f"{finding.severity.value} {finding.code} {finding.name}", f"bold {MARKS[finding.severity]}")
        self.line(mark, f": {finding.message}")
        evidence = "; ".join(
            f"{name} {_number(value)}"
            for name, value in finding.evidence.items()
            if name != "threshold_source"
        )
        if evidence:
            self.line(f"{evidence} ({finding.evidence.get('threshold_source', '')})", indent=4)
        told = advised.setdefault(finding.remedy, finding.code)
        remedy = finding.remedy if told == finding.code else f"as for {told}."
        self.line(("Remedy: ", "bold"), remedy, indent=4)
        self.console.print()

    def _checks(self, run: Run, diagnosis: Diagnosis) -> None:
        coverage = Coverage.of(run.modules)
        found = len({finding.code for finding in diagnosis.findings})
        passed, skipped = len(diagnosis.passed), len(diagnosis.skipped)
        self.line(f"{coverage}; rules: {found} found something, {passed} passed, {skipped} not judged")
        for gap in coverage.gaps[:MOST_GAPS]:
            self.line(f"{gap}: {some(gap.names)}", indent=4)
        if len(coverage.gaps) > MOST_GAPS:
            self.line(f"and {len(coverage.gaps) - MOST_GAPS} more reasons, in report.html", indent=4)
        reasons: dict[str, list[str]] = {}
        for outcome in diagnosis.skipped:
            reasons.setdefault(outcome.reason, []).append(f"{outcome.code} {outcome.name}")
        for reason, rules in reasons.items():
            self.line(f"not judged: {', '.join(rules)}: {reason}", indent=4)
        for note in (*remarks(run), *run.facts.get("notes", ())):
            self.line(f"note: {note}", indent=4)


def _sentence(run: Run) -> str:
    spec, name = run.spec, title(run)
    if spec is None:
        return name
    gain = "" if spec["gain"] is None else f", gain {spec['gain']:.4g}"
    return f"{name}{gain}, {spec['batch']} samples of {spec['data']} data"


def _shown(layers: Sequence[Mapping[Any, Any]]) -> list[Mapping[Any, Any]]:
    """Return all layers, or of very many the first and the last ones."""
    half = MOST_ROWS // 2
    return [*layers[:half], *layers[-half:]] if len(layers) > MOST_ROWS else list(layers)


def _cells(layer: Mapping[Any, Any], name_width: int) -> tuple[str, ...]:
    dead = layer["dead_units"]
    name = f" {shorten(layer['module'] or 'input', name_width)}" if name_width else ""
    return (
        f"{layer['layer']}{name}",
        _number(layer["rms"]),
        _number(layer["std_across"]),
        _percent(layer["zero_fraction"]),
        "-" if math.isnan(dead) else f"{dead:.0f}/{layer['units']:.0f}",
        _percent(layer["saturated_fraction"]),
        _number(layer["gradient_norm"]),
        _number(layer["grad_to_weight"]),
    )


def _number(value: object) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    return "-" if math.isnan(value) else numeral(value)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else percent(share)


def print_line(console: Console, *parts: str | tuple[str, str], indent: int = 0) -> None:
    """Print words, each plain or with a style, as one line.

    A terminal breaks it, and what is broken off stands further in. A file does not, so that whoever searches
    it for a code finds all of the finding.
    """
    text = Text()
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        text.append(printable(words), style)
    first, rest = " " * indent, " " * (indent + HANG)
    room = max(console.width - len(rest), NARROWEST)
    for place, line in enumerate(text.wrap(console, room) if console.is_terminal else [text]):
        line.rstrip()
        console.print(Text(rest if place else first) + line, soft_wrap=True)
