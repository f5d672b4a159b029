"""What the terminal shows of a comparison: a matrix of marks and gains, and the ranking."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from actdiag.cli.terminal import COLOURS, Terminal
from actdiag.comparisons import ORDER, Cell, Comparison, Sheet
from actdiag.numerals import numeral
from actdiag.reporters.machine import plain
from actdiag.verdicts import FAILED, SIGNS

PLAIN_SIGNS = {**SIGNS, "healthy": "+", "does not train": "x", FAILED: "0"}
"""Where the terminal's encoding has no others."""
BEST = 10
"""Networks of the ranking that are printed."""
_LEGEND = "The numbers: factor per layer of the activation's rms, and of a sample's gradient on its way down."


def show(terminal: Terminal, comparison: Comparison) -> None:
    """Print the comparison: for people, as JSON, or the counts alone."""
    if terminal.as_json:
        terminal.console.out(json.dumps(as_dict(comparison), indent=1), highlight=False)
        return
    terminal.line(*_counts(comparison))
    if terminal.quiet:
        return
    numbers = all(terminal.fits(_table(terminal, sheet, gains=True)) for sheet in comparison.sheets)
    for sheet in comparison.sheets:
        terminal.console.print()
        if sheet.label:
            terminal.line((sheet.label, "bold"))
        terminal.console.print(_table(terminal, sheet, gains=True) if numbers else _matrix(terminal, sheet))
    signs = _signs(terminal)
    words = (f"{signs[verdict]} {verdict}" for verdict in _present(comparison))
    terminal.console.print()
    terminal.line(f"{', '.join(words)}.{f' {_LEGEND}' if numbers else ''}")
    terminal.console.print()
    _ranking(terminal, comparison)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the ranked cells and the count of each verdict, as values that JSON can hold."""
    cells = comparison.table().to_dict("records")
    content: dict[str, Any] = plain({"verdicts": _present(comparison), "networks": cells})
    return content


def _present(comparison: Comparison) -> dict[str, int]:
    """Return how many cells have each verdict, the best verdict first, without those that none has."""
    counts = Counter(cell.verdict for cell in comparison.cells)
    return {verdict: counts[verdict] for verdict in ORDER if counts[verdict]}


def _counts(comparison: Comparison) -> Iterator[str | tuple[str, str]]:
    cells, draws = len(comparison.cells), max(len(cell.runs) for cell in comparison.cells)
    of_each = f" of {draws} draws each" if draws > 1 else ""
    yield f"{cells} {'network' if cells == 1 else 'networks'}{of_each}: "
    for place, (verdict, count) in enumerate(_present(comparison).items()):
        yield ", " if place else ""
        yield verdict, f"bold {COLOURS.get(verdict, '')}"
        yield f" {count}"


def _matrix(terminal: Terminal, sheet: Sheet) -> Table:
    """Return the richer matrix that fits: of marks alone, or as lists."""
    drawn = _table(terminal, sheet, gains=False)
    return drawn if terminal.fits(drawn) else _list(sheet)


def _table(terminal: Terminal, sheet: Sheet, gains: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for name in ("", *sheet.inits):
        table.add_column(Text(name), no_wrap=True)
    for act in sheet.acts:
        cells = (sheet.cells.get((act, init)) for init in sheet.inits)
        table.add_row(Text(act, "bold"), *(_cell(terminal, cell, gains) for cell in cells))
    return table


def _list(sheet: Sheet) -> Table:
    """Return a table of the initialisers by verdict, for a grid wider than the terminal."""
    present = [verdict for verdict in ORDER if any(cell.verdict == verdict for cell in sheet.cells.values())]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for name in ("", *present):
        table.add_column(Text(name, COLOURS.get(name, "")), overflow="fold")
    for act in sheet.acts:
        found = {init: sheet.cells[act, init].verdict for init in sheet.inits if (act, init) in sheet.cells}
        lists = (", ".join(init for init in found if found[init] == verdict) for verdict in present)
        table.add_row(Text(act, "bold"), *map(Text, lists))
    return table


def _cell(terminal: Terminal, cell: Cell | None, gains: bool) -> Text:
    if cell is None:
        return Text("")
    text = Text(_signs(terminal)[cell.verdict], COLOURS.get(cell.verdict, ""))
    if gains:
        text.append(f" {_number(cell.size.measured)} {_number(cell.gradient.measured)}", "default")
    return text


def _ranking(terminal: Terminal, comparison: Comparison) -> None:
    shown = comparison.ranking[:BEST]
    for rank, cell in enumerate(shown, start=1):
        spec = cell.spec
        name = f"{rank:>3} {spec['act']}, {spec['init']}, {spec['depth']} x {spec['width']}: "
        terminal.line(name, (cell.verdict, COLOURS.get(cell.verdict, "")), f". {cell.reason}")
    if len(comparison.ranking) > len(shown):
        terminal.line(f"... {len(comparison.ranking) - len(shown)} more in report.html")


def _signs(terminal: Terminal) -> Mapping[str, str]:
    return SIGNS if terminal.console.encoding.lower().startswith("utf") else PLAIN_SIGNS


def _number(value: float) -> str:
    return "-" if math.isnan(value) else numeral(value, padded=True)
