"""The page of a comparison: matrix, classic figures, depth profiles, ranking, and every network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from actdiag.comparisons import ORDER, Cell, Comparison, Gain, Sheet
from actdiag.numerals import interval, numeral
from actdiag.recording import Recording
from actdiag.reporters.families import HEIGHT, SLOTS, WIDTH
from actdiag.reporters.networks import Network, network, sources
from actdiag.reporters.pages import environment
from actdiag.reporters.plates import plate_of, plates
from actdiag.reporters.strips import COLUMNS, foot
from actdiag.reporters.strips import HEIGHT as HEIGHT_OF_STRIP
from actdiag.types import Diagnosis, Severity
from actdiag.verdicts import FAILED, NOT_JUDGED, SIGNS

_VERDICTS = {
    "healthy": ("good", "healthy"),
    "trains worse than it could": ("fair", "worse"),
    "does not train": ("bad", "fails"),
    NOT_JUDGED: ("none", "not judged"),
    FAILED: ("failed", "not run"),
}
"""CSS class and short word of each verdict."""


_SHAPES = (
    "M0-3.6A3.6 3.6 0 1 1-.01-3.6z",
    "M-3.2-3.2h6.4v6.4h-6.4z",
    "M0-4.4L4.2 3.2h-8.4z",
    "M0-4.6L4.6 0 0 4.6-4.6 0z",
    "M0 4.4L4.2-3.2h-8.4z",
    "M0-3.4A3.4 3.4 0 1 1-.01-3.4z",
    "M-3-3h6v6h-6z",
    "M0-4L4 3h-8z",
)
"""Markers: circle, square, triangle, diamond, triangle on its tip; then the first three, hollow."""


def comparison_page(recording: Recording, diagnosis: Diagnosis) -> bytes:
    """Return the page as it is written to report.html."""
    page = environment().get_template("comparison.html").render(**context(Comparison(recording, diagnosis)))
    return page.encode("utf-8", "backslashreplace")


def context(comparison: Comparison) -> dict[str, Any]:
    """Return what the template shows."""
    numbers = {cell.runs[0]: number for number, cell in enumerate(comparison.cells)}
    networks = {run: network(comparison, cell, numbers[run]) for run, cell in _by_name(comparison).items()}
    counts = Counter(cell.verdict for cell in comparison.cells)
    found = plates(comparison, networks)
    meta = comparison.recording.meta
    return {
        "title": _title(comparison),
        "counts": [{**_verdict(name), "count": counts[name]} for name in ORDER if counts[name]],
        "total": len(comparison.cells),
        "healthy": counts["healthy"],
        "best": _best(comparison, networks),
        "sheets": [_sheet(sheet, networks, place) for place, sheet in enumerate(comparison.sheets)],
        "plates": found,
        "plate_of": plate_of(found),
        "ranking": [_ranked(place, cell, networks) for place, cell in enumerate(comparison.ranking, start=1)],
        "settings": any(sheet.label for sheet in comparison.sheets),
        "draws": [len(cell.runs) for cell in comparison.cells],
        "networks": list(networks.values()),
        "slots": range(min(SLOTS, max(len(sheet.inits) for sheet in comparison.sheets))),
        "sources": sources(networks.values()),
        "shapes": _SHAPES,
        "chart_box": f"0 -20 {WIDTH} {HEIGHT + 20}",
        "tall": HEIGHT_OF_STRIP,
        "feet": [foot(columns) for columns in sorted(_columns(networks.values()))],
        "columns": COLUMNS,
        "skips": any(len(each.layers) < each.depth for each in networks.values()),
        "scaled": any(each.backward.scale != 1.0 for each in networks.values()),
        "drawn": {name for plate in found for name in plate.lines},
        "versions": {name: meta.get(name, "unknown") for name in ("actdiag", "torch")},
        "verdict": _verdict,
    }


def _columns(parts: Iterable[Network]) -> set[int]:
    """Return how many histograms the strips have."""
    return {strip.columns for part in parts for strip in (part.activations, part.gradients)}


def _by_name(comparison: Comparison) -> dict[str, Cell]:
    return {cell.runs[0]: cell for cell in comparison.cells}


def _verdict(name: str) -> dict[str, Any]:
    """Return how a verdict is shown: its place among all, CSS class, mark, short word and full name."""
    tone, word = _VERDICTS[name]
    return {"name": name, "tone": tone, "mark": SIGNS[name], "word": word, "place": ORDER.index(name)}


def _title(comparison: Comparison) -> str:
    acts, inits = (
        len(dict.fromkeys(name for sheet in comparison.sheets for name in getattr(sheet, axis)))
        for axis in ("acts", "inits")
    )
    specs = [cell.spec for cell in comparison.cells]
    depths, widths = (tuple(sorted({int(spec[name]) for spec in specs})) for name in ("depth", "width"))
    grid = f"{_count(acts, 'activation')} \u00d7 {_count(inits, 'initializer')}"
    return f"{grid}, depth {interval(depths)}, width {interval(widths)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _best(comparison: Comparison, networks: Mapping[str, Network]) -> Network | None:
    """Return the first of the ranking, if it is healthy."""
    first = comparison.ranking[0]
    return networks[first.runs[0]] if first.verdict == "healthy" else None


def _sheet(sheet: Sheet, networks: Mapping[str, Network], place: int) -> dict[str, Any]:
    """Return a matrix: a row for each activation, None where a combination was not asked for."""
    rows = [
        (act, [_square(sheet.cells.get((act, init)), networks) for init in sheet.inits]) for act in sheet.acts
    ]
    return {"name": f"m{place}", "label": sheet.label, "inits": sheet.inits, "rows": rows}


def _square(cell: Cell | None, networks: Mapping[str, Network]) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {
        "network": networks[cell.runs[0]],
        "verdict": _verdict(cell.verdict),
        "gains": [_pair(cell.size), _pair(cell.gradient)],
        "spoken": _spoken(cell),
    }


def _pair(gain: Gain) -> tuple[str, str]:
    """Return a gain in two digits, measured and expected, "" for what is not known."""
    return _short(gain.measured), _short(gain.expected)


def _short(value: float) -> str:
    return "" if value != value else numeral(value, 2, padded=True)


def _spoken(cell: Cell) -> str:
    """Return a cell in words, for those who do not see it."""
    parts = [
        f"{name} {gain}, expected {Gain(gain.expected, gain.expected)}"
        for name, gain in (("activation", cell.size), ("gradient", cell.gradient))
        if gain.measured == gain.measured
    ]
    return "; ".join([f"{cell.label}: {cell.verdict}", *parts])


def _ranked(place: int, cell: Cell, networks: Mapping[str, Network]) -> dict[str, Any]:
    gains = (cell.size, cell.signal, cell.gradient)
    return {
        "place": place,
        "act": cell.spec["act"],
        "init": cell.label.partition(", ")[2],
        "network": networks[cell.runs[0]],
        "verdict": _verdict(cell.verdict),
        "gains": [{"key": _key(gain.measured), "words": _factor(gain.measured)} for gain in gains],
        "reason": _reason(cell, networks[cell.runs[0]].diagnosis),
    }


def _key(value: float) -> str:
    """Return a number to sort by, "" where there is none."""
    return "" if value != value else f"{value:.4g}"


def _factor(value: float) -> str:
    return "" if value != value else f"\u00d7{numeral(value, padded=True)}"


def _reason(cell: Cell, diagnosis: Diagnosis) -> str:
    """Return why a network has its verdict, without the gains: they have columns of their own."""
    if cell.finding is not None:
        return cell.finding.message
    if cell.verdict in (FAILED, NOT_JUDGED):
        return cell.reason
    names = ", ".join(_worth_knowing(diagnosis))
    return f"Nothing that keeps it from training{names and f'; worth knowing: {names}'}."


def _worth_knowing(diagnosis: Diagnosis) -> list[str]:
    """Return the names of the findings that are mere information about the network, each once."""
    info = (finding for finding in diagnosis.findings if finding.severity is Severity.INFO)
    return list(dict.fromkeys(finding.name for finding in info if not finding.code.startswith("AD0")))
